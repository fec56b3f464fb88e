//! Rules of text that hold wherever people read it: length, emptiness, characters that hide or
//! reorder other characters, URLs (`contract.md`, Contacts, places, text).

use std::net::{Ipv4Addr, Ipv6Addr};

use url::{Host, Url};

use super::fault::Code;

/// Control characters, separators of lines included: one of them in a mail's subject or an SMS
/// would start a line that we did not write.
fn controls(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}' | '\u{2029}')
}

/// Characters that change the direction of those around them.
fn bidi(c: char) -> bool {
    matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Characters that print nothing, or nothing but room.
pub(super) fn invisible(c: char) -> bool {
    c.is_whitespace()
        || controls(c)
        || bidi(c)
        || matches!(c,
            '\u{ad}' | '\u{34f}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
            | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200d}' | '\u{2060}'..='\u{206f}'
            | '\u{2800}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}'
            | '\u{fff0}'..='\u{fffb}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

/// Whether a text may not be shown: it has control or bidi characters.
pub(super) fn tainted(text: &str) -> bool {
    text.chars().any(|c| controls(c) || bidi(c))
}

/// What is wrong with a text of `min..=max` Unicode scalar values, if anything. Blank text is too
/// short even where empty text is allowed: a member that is there should say something.
pub(super) fn flaws(text: &str, min: usize, max: usize) -> Vec<Code> {
    let mut flaws = Vec::new();
    if tainted(text) {
        flaws.push(Code::ControlCharacter);
    } else if text.chars().count() < min || (!text.is_empty() && text.chars().all(invisible)) {
        flaws.push(Code::TooShort);
    }
    if text.chars().count() > max {
        flaws.push(Code::TooLong);
    }
    flaws
}

/// Whether a text may be used as a URL that others open: https, or http on a loopback host where
/// `loopback` allows it; a host; no userinfo. `https:host` and back-slashes, which browsers
/// forgive, are not forgiven: the next reader may read another host.
pub(super) fn is_url(text: &str, loopback: bool) -> bool {
    let lower = text.to_ascii_lowercase();
    let Some(rest) = lower
        .strip_prefix("https://")
        .or_else(|| lower.strip_prefix("http://"))
    else {
        return false;
    };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or("");
    if authority.contains('@') || text.chars().any(|c| invisible(c) || c == '\\') {
        return false;
    }
    let Ok(url) = Url::parse(text) else {
        return false;
    };
    match url.scheme() {
        "https" => url.host().is_some(),
        "http" => loopback && url.host().is_some_and(|host| is_loopback(&host)),
        _ => false,
    }
}

fn is_loopback(host: &Host<&str>) -> bool {
    match host {
        Host::Domain(name) => *name == "localhost",
        Host::Ipv4(ip) => Ipv4Addr::is_loopback(ip),
        Host::Ipv6(ip) => Ipv6Addr::is_loopback(ip),
    }
}

/// Endings that mail programs and phones make links of.
const ENDINGS: &[&str] = &[
    "app", "at", "be", "biz", "ch", "click", "cn", "co", "com", "de", "dev", "dk", "es", "eu",
    "fi", "fr", "gov", "icu", "info", "io", "it", "link", "live", "me", "mobi", "net", "nl", "no",
    "online", "org", "pl", "pt", "ru", "se", "shop", "site", "store", "to", "top", "tv", "uk",
    "us", "vip", "xyz",
];

/// Words that stand before a name with a dot and no space behind it.
const TITLES: &[&str] = &[
    "dr", "prof", "mr", "mrs", "ms", "st", "ste", "sr", "jr", "hr", "fr", "ing", "mag", "dra",
    "sra", "rev",
];

/// Whether a person's name has something in it that a mail program or a phone would make a link
/// of. `St.John`, `Dr.No` and `J.P. de Vries` are names; `evil.com`, `t.co/x`, `1.2.3.4` and
/// `www.x` are not.
pub(super) fn has_url(name: &str) -> bool {
    let lower = name.to_lowercase();
    if lower.contains("://") || lower.contains("www.") {
        return true;
    }
    lower
        .split(|c: char| c.is_whitespace() || matches!(c, ',' | ';' | '(' | ')' | '@' | '"' | '\''))
        .any(is_linked)
}

fn is_linked(word: &str) -> bool {
    let (host, path) = match word.split_once(['/', ':', '?', '#']) {
        Some((host, rest)) => (
            host,
            word[host.len()..].starts_with('/') || !rest.is_empty(),
        ),
        None => (word, false),
    };
    let host = host.trim_matches(|c: char| !c.is_alphanumeric());
    if host.parse::<Ipv4Addr>().is_ok() {
        return true;
    }
    let Some((before, ending)) = host.rsplit_once('.') else {
        return false;
    };
    let label = before.rsplit('.').next().unwrap_or("");
    let domain = !label.is_empty() && label.chars().all(|c| c.is_alphanumeric() || c == '-');
    let top = ending.len() > 1 && ending.chars().all(char::is_alphabetic);
    let known = ENDINGS.contains(&ending);
    let initial = label.chars().count() == 1;
    domain
        && top
        && if path {
            // J.Smith/R.Jones are two people
            !initial || known || ending.len() == 2
        } else {
            // A.de and Dr.No: an initial or a title before a short name
            known && !(ending.len() == 2 && (initial || TITLES.contains(&label)))
        }
}

/// `#RRGGBB`.
pub(super) fn is_color(text: &str) -> bool {
    text.strip_prefix('#')
        .is_some_and(|hex| hex.len() == 6 && hex.bytes().all(|b| b.is_ascii_hexdigit()))
}

/// `yyyy-mm-dd`, and a day that the calendar has.
pub(super) fn is_date(text: &str) -> bool {
    text.len() == 10
        && text.bytes().enumerate().all(|(at, b)| match at {
            4 | 7 => b == b'-',
            _ => b.is_ascii_digit(),
        })
        && text.parse::<jiff::civil::Date>().is_ok()
}
