//! Which hosts a URL in an answer may have. An upstream that was taken over, or a misread answer,
//! must not be able to send our buyers elsewhere (`contract.md`, Settings: `KLARNA_LINK_HOSTS`).

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

use url::{Host, Url};

/// One entry of `KLARNA_LINK_HOSTS`: an exact host; without a port any port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AllowedHost {
    host: Host<String>,
    port: Option<u16>,
}

impl AllowedHost {
    /// Reads `host` or `host:port` (an IPv6 address in brackets). `None` where it is neither.
    pub fn parse(text: &str) -> Option<Self> {
        let (host, port) = match text.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => {
                let port = port.parse::<u16>().ok().filter(|port| *port != 0)?;
                (host, Some(port))
            }
            _ => (text, None),
        };
        let host = Host::parse(host).ok()?;
        Some(Self { host, port })
    }

    /// The host and port of a URL: how a loopback Klarna URL allows itself.
    pub fn of(url: &Url) -> Option<Self> {
        Some(Self {
            host: url.host()?.to_owned(),
            port: url.port_or_known_default(),
        })
    }

    fn allows(&self, url: &Url) -> bool {
        url.host().is_some_and(|host| host.to_owned() == self.host)
            && self
                .port
                .is_none_or(|port| url.port_or_known_default() == Some(port))
    }
}

impl fmt::Display for AllowedHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.port {
            Some(port) => write!(f, "{}:{port}", self.host),
            None => write!(f, "{}", self.host),
        }
    }
}

/// Whether `text` may be shown to a buyer: https (http on loopback), no userinfo, an allowed host,
/// and spelled so that every browser reads the same URL in it.
pub(super) fn allowed(text: &str, hosts: &[AllowedHost]) -> bool {
    // parsers disagree about backslashes, blanks and raw non-ASCII: what they could read two ways
    // is no URL of Klarna's
    let plain = text.len() <= 2000
        && text
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'\\' | b'"' | b'<' | b'>'));
    let Ok(url) = Url::parse(text) else {
        return false;
    };
    let safe = match url.scheme() {
        "https" => true,
        "http" => loopback(&url),
        _ => false,
    };
    plain
        && safe
        && url.username().is_empty()
        && url.password().is_none()
        && hosts.iter().any(|host| host.allows(&url))
}

/// Whether a URL stays on this machine.
pub(super) fn loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => Ipv4Addr::is_loopback(&address),
        Some(Host::Ipv6(address)) => Ipv6Addr::is_loopback(&address),
        None => false,
    }
}
