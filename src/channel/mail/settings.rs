//! Where mail goes and how (`contract.md`, Settings). The text of the settings is parsed elsewhere;
//! here it becomes what lettre and rustls take.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use lettre::message::Mailbox;
use lettre::transport::smtp::extension::ClientId;
use rustls::{ClientConfig, RootCertStore};
use secrecy::SecretString;
use tokio_rustls::TlsConnector;

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
        let patient = Self {
            connect: Duration::from_secs(3),
            command: Duration::from_mins(1),
            final_dot: Duration::from_mins(10),
            idle: Duration::from_secs(30),
        };
        #[cfg(feature = "chaos")]
        let patient = patient.hurried();
        patient
    }
}

#[cfg(feature = "chaos")]
impl Timeouts {
    /// A test of servers that hang can't wait ten minutes for each: `PAYLINK_CHAOS_SMTP_MS` is how
    /// long commands and the final dot are waited for.
    fn hurried(self) -> Self {
        let millis = std::env::var("PAYLINK_CHAOS_SMTP_MS").ok();
        match millis.and_then(|text| text.parse().ok()) {
            Some(millis) => Self {
                command: Duration::from_millis(millis),
                final_dot: Duration::from_millis(millis),
                ..self
            },
            None => self,
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

/// A name for people, where there is one, and an address.
pub type Person = (Option<String>, String);

/// What the settings say of a mail server, parsed.
#[derive(Clone, Debug)]
pub struct Server {
    /// Name or address, without brackets.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// How the connection is protected.
    pub security: Security,
    /// User name and password, decoded.
    pub credentials: Option<(String, SecretString)>,
    /// `SMTP_HELO`: a host name, or an address with or without brackets.
    pub helo: String,
    /// `MAIL_FROM`
    pub from: Person,
    /// `MAIL_REPLY_TO`
    pub reply_to: Option<Person>,
}

impl MailSettings {
    /// Makes of the settings what a conversation needs and, where TLS may be spoken, reads the
    /// trusted certificates. Each fault is a setting's name and a sentence on what would be right.
    pub fn new(server: Server) -> Result<Self, Vec<(&'static str, String)>> {
        let mut faults = Vec::new();
        let from = mailbox(server.from).map_err(|sentence| faults.push(("MAIL_FROM", sentence)));
        let reply_to = server
            .reply_to
            .map(mailbox)
            .transpose()
            .map_err(|sentence| faults.push(("MAIL_REPLY_TO", sentence)));
        let helo = helo(&server.helo).map_err(|sentence| faults.push(("SMTP_HELO", sentence)));
        let roots = if server.security == Security::None {
            Ok(RootCertStore::empty())
        } else {
            native_roots().map_err(|sentence| faults.push(("SSL_CERT_FILE", sentence)))
        };
        let (Ok(from), Ok(reply_to), Ok(helo), Ok(roots)) = (from, reply_to, helo, roots) else {
            return Err(faults);
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

fn loopback(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost")
        || host
            .parse::<IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

fn mailbox((name, address): Person) -> Result<Mailbox, String> {
    // lettre panics on these in a display name
    if name
        .as_deref()
        .is_some_and(|name| name.chars().any(char::is_control))
    {
        return Err("must not hold control characters".into());
    }
    // only an ASCII address gets through without SMTPUTF8
    let address = Some(address.as_str())
        .filter(|address| address.is_ascii())
        .and_then(|address| address.parse().ok())
        .ok_or("must be an ASCII address, a foreign domain in its xn-- form")?;
    Ok(Mailbox::new(name, address))
}

fn helo(name: &str) -> Result<ClientId, String> {
    let bare = name.trim().trim_start_matches('[').trim_end_matches(']');
    let bare = bare.strip_prefix("IPv6:").unwrap_or(bare);
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

    fn server(from: &str, helo: &str) -> Server {
        Server {
            host: "127.0.0.1".into(),
            port: 25,
            security: Security::None,
            credentials: None,
            helo: helo.into(),
            from: (Some("Shop".into()), from.into()),
            reply_to: None,
        }
    }

    #[test]
    fn greetings() {
        let greeting = |helo| {
            let settings = MailSettings::new(server("pay@example.com", helo)).ok();
            settings.map(|settings| settings.helo.to_string())
        };
        for (helo, expected) in [
            ("pay.example.com", Some("pay.example.com")),
            ("127.0.0.1", Some("[127.0.0.1]")),
            ("[127.0.0.1]", Some("[127.0.0.1]")),
            ("[IPv6:::1]", Some("[IPv6:::1]")),
            ("::1", Some("[IPv6:::1]")),
            ("bad host", None),
            ("x\r\nMAIL", None),
            ("", None),
        ] {
            assert_eq!(greeting(helo).as_deref(), expected, "{helo}");
        }
    }

    #[test]
    fn faults_come_together() {
        let broken = Server {
            from: (Some("Sh\nop".into()), "pay@example.com".into()),
            reply_to: Some((None, "hj\u{e4}lp@example.com".into())),
            ..server("", "bad host")
        };
        let faults = MailSettings::new(broken).err().unwrap();
        let names: Vec<_> = faults.into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["MAIL_FROM", "MAIL_REPLY_TO", "SMTP_HELO"]);
    }
}
