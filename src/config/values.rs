//! Forms that several settings share: URLs, hosts, addresses, lists. `None` = not of that form; the
//! caller knows what to say.

use url::{Host, Url};

use super::{AllowedHost, Mailbox};
use crate::link::place;

/// Whether a URL's host is this machine's own.
pub(super) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

/// https, or http on loopback; no user, no fragment.
pub(super) fn web_url(text: &str) -> Option<Url> {
    let url = Url::parse(text).ok()?;
    let secure = url.scheme() == "https" || (url.scheme() == "http" && is_loopback(&url));
    let bare = url.username().is_empty() && url.password().is_none() && url.fragment().is_none();
    (secure && bare && url.has_host() && url.port() != Some(0)).then_some(url)
}

/// `host` or `host:port`; an IPv6 address in brackets. The host as [`Url::host_str`] spells it.
pub(super) fn allowed_host(text: &str) -> Option<AllowedHost> {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => {
            let digits = port.bytes().all(|b| b.is_ascii_digit());
            let port = port.parse().ok().filter(|port| digits && *port != 0)?;
            (host, Some(port))
        }
        _ => (text, None),
    };
    if host.is_empty() || host.contains(['/', '@', '?', '#', '*', '\\']) {
        return None;
    }
    let url = Url::parse(&format!("https://{host}/")).ok()?;
    if url.port().is_some() {
        return None;
    }
    Some(AllowedHost {
        host: url.host_str()?.to_owned(),
        port,
    })
}

/// Items of a list that is separated by commas or spaces, none of them empty.
pub(super) fn list<T>(text: &str, parse: impl Fn(&str) -> Option<T>) -> Option<Vec<T>> {
    let items: Option<Vec<T>> = text
        .split([',', ' ', '\t', '\n'])
        .filter(|item| !item.is_empty())
        .map(parse)
        .collect();
    items.filter(|items| !items.is_empty())
}

/// A country of ISO 3166-1, two letters, upper case.
pub(super) fn country(text: &str) -> Option<String> {
    place::country(text).ok()
}

/// Three letters, upper case.
pub(super) fn currency(text: &str) -> Option<String> {
    letters(text, 3).map(str::to_ascii_uppercase)
}

/// `GB/GBP`, both existing.
pub(super) fn market(text: &str) -> Option<(String, String)> {
    // an item of a list: there is one
    place::markets(text)?.pop()
}

/// `en` or `en-GB`.
pub(super) fn locale(text: &str) -> Option<String> {
    let (language, region) = match text.split_once('-') {
        Some((language, region)) => (language, Some(country(region)?)),
        None => (text, None),
    };
    let language = letters(language, 2)?.to_ascii_lowercase();
    Some(region.map_or_else(|| language.clone(), |region| format!("{language}-{region}")))
}

fn letters(text: &str, count: usize) -> Option<&str> {
    (text.len() == count && text.bytes().all(|b| b.is_ascii_alphabetic())).then_some(text)
}

/// One line of text, 1 to `most` characters, none of them a control character.
pub(super) fn line(text: &str, most: usize) -> Option<String> {
    let fits = (1..=most).contains(&text.chars().count());
    (fits && !text.chars().any(char::is_control)).then(|| text.to_owned())
}

/// Whom a buyer can turn to: an address, or a phone number as people write it. Nothing else: what
/// looks like a web address would be a second link in a message.
pub(super) fn support(text: &str) -> Option<String> {
    let layout = |c: char| matches!(c, ' ' | '\u{a0}' | '-' | '.' | '(' | ')' | '/');
    let dialled = || {
        let dial: String = text.chars().filter(|c| !layout(*c)).collect();
        let digits = dial.strip_prefix('+').unwrap_or(&dial);
        (3..=15).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit())
    };
    line(text, 100).filter(|text| address(text).is_some() || dialled())
}

/// An address alone: dot-atom, `@`, a domain (one label is enough: `localhost`), 254 at most.
pub(super) fn address(text: &str) -> Option<String> {
    let (local, domain) = text.rsplit_once('@')?;
    let atom = |part: &str| {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~".contains(&b);
        !part.is_empty() && part.bytes().all(allowed)
    };
    let label = |part: &str| {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
        (1..=63).contains(&part.len())
            && part.bytes().all(allowed)
            && !part.starts_with('-')
            && !part.ends_with('-')
    };
    let fits = local.len() <= 64 && text.len() <= 254;
    (fits && local.split('.').all(atom) && domain.split('.').all(label)).then(|| text.to_owned())
}

/// An address, or `Name <address>`, the name perhaps in double quotes.
pub(super) fn mailbox(text: &str) -> Option<Mailbox> {
    let Some((name, rest)) = text.rsplit_once('<') else {
        return Some(Mailbox {
            name: None,
            address: address(text)?,
        });
    };
    let name = name.trim();
    let name = name
        .strip_prefix('"')
        .and_then(|name| name.strip_suffix('"'))
        .unwrap_or(name);
    if name.contains(['"', '\\', '<', '>']) {
        return None;
    }
    Some(Mailbox {
        name: if name.is_empty() {
            None
        } else {
            Some(line(name, 100)?)
        },
        address: address(rest.strip_suffix('>')?)?,
    })
}

/// Undoes percent-encoding; `None` where what it encodes is not UTF-8 or a `%` stands alone.
pub(super) fn percent_decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        if byte == b'%' {
            let (digits, tail) = tail.split_first_chunk::<2>()?;
            let digit = |b: u8| char::from(b).to_digit(16);
            let code = digit(digits[0])? * 16 + digit(digits[1])?;
            bytes.push(u8::try_from(code).ok()?);
            rest = tail;
        } else {
            bytes.push(byte);
            rest = tail;
        }
    }
    String::from_utf8(bytes).ok()
}

/// An RFC 6901 pointer.
pub(super) fn pointer(text: &str) -> Option<String> {
    let mut escapes = text.split('~').skip(1);
    let whole = escapes.all(|after| after.starts_with(['0', '1']));
    (text.starts_with('/') && whole).then(|| text.to_owned())
}
