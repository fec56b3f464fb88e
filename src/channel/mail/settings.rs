//! Where mail goes and how (`contract.md`, Settings): parsed once, all faults together.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use lettre::message::Mailbox;
use lettre::transport::smtp::extension::ClientId;
use rustls::{ClientConfig, RootCertStore};
use secrecy::SecretString;
use tokio_rustls::TlsConnector;
use url::Url;

/// A session carries at most so many mails; servers that rate by connection like it.
pub(super) const MAILS_PER_SESSION: u32 = 100;

/// How the connection is protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Security {
    /// `smtps://`: TLS from the first byte.
    Implicit,
    /// STARTTLS or nothing is sent.
    Required,
    /// STARTTLS where it is offered. A certificate is checked even so: an operator whose server
    /// has a private one names its CA by `SSL_CERT_FILE`.
    Opportunistic,
    /// Clear text.
    None,
}

/// Time-outs of the single steps, by the monotonic clock.
#[derive(Clone, Debug)]
pub struct Timeouts {
    /// TCP, per address.
    pub connect: Duration,
    /// TLS handshake, greeting, each command, and writing the body.
    pub command: Duration,
    /// From the final dot to the answer: RFC 5321 4.5.3.2.6 wants ten minutes, since a mail given
    /// up too early is a mail sent twice.
    pub final_dot: Duration,
    /// How long a session stays open without a mail.
    pub idle: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(3),
            command: Duration::from_mins(1),
            final_dot: Duration::from_mins(10),
            idle: Duration::from_secs(30),
        }
    }
}

/// Everything that sending needs.
#[derive(Clone)]
pub struct MailSettings {
    /// Name or address of the server; also the name its certificate must have.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// How the connection is protected.
    pub security: Security,
    /// User name and password.
    pub credentials: Option<(String, SecretString)>,
    /// How we name ourselves in EHLO.
    pub helo: ClientId,
    /// `From` and the envelope's sender, which gets the bounces.
    pub from: Mailbox,
    /// Where answers go, if not to `from`.
    pub reply_to: Option<Mailbox>,
    /// Whose certificates are believed: the system's, or those of `SSL_CERT_FILE`.
    pub roots: Arc<RootCertStore>,
    /// Time-outs of the steps.
    pub timeouts: Timeouts,
    /// Sessions at once.
    pub connections: usize,
}

/// The settings as they were found.
#[derive(Clone, Copy, Debug)]
pub struct Given<'a> {
    /// `SMTP_URL`
    pub smtp_url: &'a str,
    /// `MAIL_FROM`: `pay@example.com` or `Shop <pay@example.com>`
    pub mail_from: Option<&'a str>,
    /// `MAIL_REPLY_TO`
    pub reply_to: Option<&'a str>,
    /// `SMTP_HELO`, or the public host
    pub helo: &'a str,
    /// `PAYLINK_ALLOW_INSECURE_SMTP`
    pub allow_insecure: bool,
}

impl MailSettings {
    /// Reads the settings and, where TLS may be spoken, the trusted certificates. Each fault is a
    /// setting's name and a sentence that says what would be right; never a password.
    pub fn parse(given: &Given) -> Result<Self, Vec<(&'static str, String)>> {
        let mut faults = Vec::new();
        let server = server(given.smtp_url, given.allow_insecure)
            .map_err(|sentence| faults.push(("SMTP_URL", sentence)));
        let from = given
            .mail_from
            .ok_or_else(|| "is required with SMTP_URL".to_owned())
            .and_then(mailbox)
            .map_err(|sentence| faults.push(("MAIL_FROM", sentence)));
        let reply_to = given
            .reply_to
            .map(mailbox)
            .transpose()
            .map_err(|sentence| faults.push(("MAIL_REPLY_TO", sentence)));
        let helo = helo(given.helo).map_err(|sentence| faults.push(("SMTP_HELO", sentence)));
        let (Ok(server), Ok(from), Ok(reply_to), Ok(helo)) = (server, from, reply_to, helo) else {
            return Err(faults);
        };
        let roots = if server.security == Security::None {
            RootCertStore::empty()
        } else {
            native_roots().map_err(|sentence| vec![("SSL_CERT_FILE", sentence)])?
        };
        Ok(Self {
            host: server.host,
            port: server.port,
            security: server.security,
            credentials: server.credentials,
            helo,
            from,
            reply_to,
            roots: Arc::new(roots),
            timeouts: Timeouts::default(),
            connections: 8,
        })
    }

    pub(super) fn connector(&self) -> TlsConnector {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("ring's suites serve both TLS 1.2 and 1.3, the only versions built in")
            .with_root_certificates(Arc::clone(&self.roots))
            .with_no_client_auth();
        TlsConnector::from(Arc::new(config))
    }

    /// Whether the server is this machine, which clear-text passwords do not leave.
    pub(super) fn on_loopback(&self) -> bool {
        loopback(&self.host)
    }
}

struct Server {
    host: String,
    port: u16,
    security: Security,
    credentials: Option<(String, SecretString)>,
}

fn server(text: &str, allow_insecure: bool) -> Result<Server, String> {
    let url = Url::parse(text.trim()).map_err(|cause| format!("is not a URL: {cause}"))?;
    let host = match url.host() {
        Some(url::Host::Ipv6(address)) => address.to_string(),
        Some(host) => host.to_string(),
        None => String::new(),
    };
    if host.is_empty() {
        return Err("names no host: smtps://user:password@mail.example.com".into());
    }
    if !matches!(url.path(), "" | "/") || url.fragment().is_some() {
        return Err("must end after host, port and ?tls=".into());
    }
    let mut tls = None;
    for (name, value) in url.query_pairs() {
        if name != "tls" || tls.replace(value.into_owned()).is_some() {
            return Err("knows only the one parameter tls".into());
        }
    }
    let security = match (url.scheme(), tls.as_deref()) {
        ("smtps", None) => Security::Implicit,
        ("smtps", Some(_)) => return Err("smtps:// is always TLS: leave out tls=".into()),
        ("smtp", None | Some("required")) => Security::Required,
        ("smtp", Some("opportunistic")) => Security::Opportunistic,
        ("smtp", Some("none")) => Security::None,
        ("smtp", Some(_)) => return Err("tls must be required, opportunistic or none".into()),
        _ => return Err("must begin with smtps:// or smtp://".into()),
    };
    let user =
        decoded(url.username()).ok_or("has a user name that is not percent-encoded UTF-8")?;
    let password = decoded(url.password().unwrap_or_default())
        .ok_or("has a password that is not percent-encoded UTF-8")?;
    let credentials = match (user.is_empty(), password.is_empty()) {
        (true, true) => None,
        (false, false) => Some((user, SecretString::from(password))),
        _ => return Err("needs both user name and password, or neither".into()),
    };
    if security == Security::None && !loopback(&host) {
        if credentials.is_some() {
            return Err("tls=none would send the password in the clear: only on loopback".into());
        }
        if !allow_insecure {
            return Err("tls=none needs PAYLINK_ALLOW_INSECURE_SMTP=1 or a loopback host".into());
        }
    }
    let port = url.port().unwrap_or(match security {
        Security::Implicit => 465,
        Security::Required | Security::Opportunistic => 587,
        Security::None => 25,
    });
    Ok(Server {
        host,
        port,
        security,
        credentials,
    })
}

fn loopback(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost")
        || host
            .parse::<IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

/// Percent-decoding; absent where `%` is not followed by two hex digits, or the bytes are not UTF-8
/// or hold a control character (no mechanism could carry a NUL).
fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        if *first == b'%' {
            let digits = std::str::from_utf8(tail.get(..2)?).ok()?;
            if !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
                return None;
            }
            bytes.push(u8::from_str_radix(digits, 16).ok()?);
            rest = &tail[2..];
        } else {
            bytes.push(*first);
            rest = tail;
        }
    }
    String::from_utf8(bytes)
        .ok()
        .filter(|text| !text.chars().any(char::is_control))
}

fn mailbox(text: &str) -> Result<Mailbox, String> {
    // lettre panics on these in a display name
    if text.chars().any(char::is_control) {
        return Err("must not hold control characters".into());
    }
    let mailbox: Mailbox = text
        .trim()
        .parse()
        .map_err(|_| "must be pay@example.com or Shop <pay@example.com>".to_owned())?;
    if AsRef::<str>::as_ref(&mailbox.email).is_ascii() {
        Ok(mailbox)
    } else {
        Err("must be an ASCII address (a domain in its xn-- form)".into())
    }
}

fn helo(name: &str) -> Result<ClientId, String> {
    let bare = name.trim().trim_start_matches('[').trim_end_matches(']');
    match bare.parse() {
        Ok(IpAddr::V4(address)) => return Ok(ClientId::Ipv4(address)),
        Ok(IpAddr::V6(address)) => return Ok(ClientId::Ipv6(address)),
        Err(_) => {}
    }
    let fits = (1..=255).contains(&bare.len())
        && bare
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'.' || b == b'-');
    if fits {
        Ok(ClientId::Domain(bare.into()))
    } else {
        Err("must be a host name or an IP address".into())
    }
}

fn native_roots() -> Result<RootCertStore, String> {
    // honours SSL_CERT_FILE
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    let (taken, _) = roots.add_parsable_certificates(found.certs);
    if taken == 0 {
        let cause = found
            .errors
            .first()
            .map_or_else(String::new, |cause| format!(": {cause}"));
        return Err(format!(
            "gives no trusted certificate for SMTP over TLS{cause}"
        ));
    }
    Ok(roots)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(url: &str) -> String {
        server(url, false).err().unwrap_or_default()
    }

    #[test]
    fn urls_of_every_kind() {
        let it = server("smtps://us%40er:p%3Aa%25ss@mail.example.com", false).unwrap();
        assert_eq!(
            (it.host.as_str(), it.port, it.security),
            ("mail.example.com", 465, Security::Implicit)
        );
        let (user, password) = it.credentials.unwrap();
        assert_eq!(user, "us@er");
        assert_eq!(secrecy::ExposeSecret::expose_secret(&password), "p:a%ss");
        let it = server("smtp://mail.example.com:2525?tls=opportunistic", false).unwrap();
        assert_eq!((it.port, it.security), (2525, Security::Opportunistic));
        let it = server("smtp://mail.example.com", false).unwrap();
        assert_eq!((it.port, it.security), (587, Security::Required));
        let it = server("smtp://u:p@[::1]:25?tls=none", false).unwrap();
        assert_eq!((it.host.as_str(), it.security), ("::1", Security::None));
        assert!(server("smtp://relay.example.com?tls=none", true).is_ok());
    }

    #[test]
    fn faults_say_what_would_be_right() {
        assert!(fault("smtp://relay.example.com?tls=none").contains("PAYLINK_ALLOW_INSECURE_SMTP"));
        assert!(server("smtp://u:p@relay.example.com?tls=none", true).is_err());
        assert!(fault("http://mail.example.com").contains("smtps://"));
        assert!(fault("smtp://mail.example.com?tls=maybe").contains("opportunistic"));
        assert!(fault("smtps://mail.example.com?tls=none").contains("always TLS"));
        assert!(fault("smtp://user@mail.example.com").contains("both"));
        assert!(fault("smtp://us%0Aer:p@mail.example.com").contains("user name"));
        assert!(fault("smtp://user:p%zz@mail.example.com").contains("password"));
        assert!(fault("smtp://mail.example.com/path").contains("must end"));
        let given = Given {
            smtp_url: "mail.example.com",
            mail_from: Some("Sh\nop <pay@example.com>"),
            reply_to: Some("nobody"),
            helo: "bad host",
            allow_insecure: false,
        };
        let names: Vec<_> = MailSettings::parse(&given)
            .err()
            .unwrap()
            .into_iter()
            .map(|(name, _)| name)
            .collect();
        assert_eq!(
            names,
            ["SMTP_URL", "MAIL_FROM", "MAIL_REPLY_TO", "SMTP_HELO"]
        );
        let missing = Given {
            smtp_url: "smtp://127.0.0.1?tls=none",
            mail_from: None,
            reply_to: None,
            helo: "x",
            ..given
        };
        assert_eq!(
            MailSettings::parse(&missing).err().unwrap()[0].0,
            "MAIL_FROM"
        );
    }
}
