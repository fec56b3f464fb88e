//! The plain values that the configuration consists of. Secrets print as `[REDACTED]`.

use std::path::PathBuf;

use secrecy::SecretString;
use url::Url;

use crate::link::LineKind;

/// `DATABASE_URL`.
#[derive(Clone, Debug)]
pub struct Database {
    /// As it was given, password and all.
    pub url: SecretString,
    /// The file, where it is SQLite; `None` = PostgreSQL.
    pub sqlite_file: Option<PathBuf>,
    /// Connections to PostgreSQL.
    pub connections: u32,
}

/// `LOG`, `LOG_FORMAT`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Log {
    /// A filter that `tracing_subscriber` takes.
    pub filter: String,
    pub format: LogFormat,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum LogFormat {
    Text,
    Json,
}

/// How Klarna is reached.
#[derive(Clone, Debug)]
pub struct Klarna {
    /// Scheme, host and port; its path is `/`.
    pub base: Url,
    /// It is a simulator: http URLs on loopback are in order.
    pub loopback: bool,
    /// Basic auth.
    pub username: SecretString,
    /// Basic auth.
    pub password: SecretString,
    /// Hosts that a returned page may have.
    pub hosts: Vec<AllowedHost>,
    /// Country and currency pairs that are sold in.
    pub markets: Vec<(String, String)>,
    /// 0 = no limit.
    pub creates_per_second: u32,
    /// Where the distributed URL comes from.
    pub source: LinkSource,
    /// `acquiring_channel` for telesales.
    pub channel_telesales: String,
    /// `acquiring_channel` for `in_store`.
    pub channel_in_store: String,
}

/// One entry of `KLARNA_LINK_HOSTS`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AllowedHost {
    /// Lower case, punycode, IPv6 in brackets: as `url::Url::host_str` has it.
    pub host: String,
    /// `None` = any.
    pub port: Option<u16>,
}

/// `KLARNA_LINK_SOURCE`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum LinkSource {
    Redirect,
    Qr,
}

/// Who sells.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Merchant {
    pub name: String,
    pub terms_url: Url,
    pub logo_url: Option<Url>,
    /// E-mail or phone, shown as it is.
    pub support: Option<String>,
}

/// `DEFAULT_*`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Defaults {
    pub country: Option<String>,
    pub currency: Option<String>,
    pub locale: Option<String>,
    pub line_kind: LineKind,
    /// `None` = the link's reference.
    pub line_name: Option<String>,
    /// Hundredths of a percent.
    pub tax_rate: Option<i64>,
    /// IANA name, known to jiff.
    pub time_zone: String,
}

/// How mail leaves.
#[derive(Clone, Debug)]
pub struct Smtp {
    /// Name or address, without brackets.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// How it is encrypted.
    pub tls: SmtpTls,
    /// User and password, decoded.
    pub credentials: Option<(String, SecretString)>,
    /// What we greet with.
    pub helo: String,
    /// Sender.
    pub from: Mailbox,
    /// Where answers go.
    pub reply_to: Option<Mailbox>,
    /// What follows an unknown outcome.
    pub unknown: MailUnknown,
}

/// Encryption of SMTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SmtpTls {
    /// From the first byte (smtps).
    Implicit,
    /// STARTTLS or nothing.
    Required,
    /// STARTTLS where offered.
    Opportunistic,
    /// Clear text.
    None,
}

/// `MAIL_UNKNOWN`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum MailUnknown {
    Ask,
    ResendOnce,
}

/// An address with a name for people.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Mailbox {
    pub name: Option<String>,
    pub address: String,
}

/// How SMS leave.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub enum Sms {
    None,
    Log { from: String },
    Http(Box<SmsHttp>),
}

/// `SMS_HTTP_*`.
#[derive(Clone, Debug)]
pub struct SmsHttp {
    /// A parsed URL; a secret because gateways put tokens there.
    pub url: SecretString,
    /// `POST` or `PUT`.
    pub method: &'static str,
    /// Names and values.
    pub headers: Vec<(String, SecretString)>,
    /// Handlebars.
    pub body: String,
    /// JSON pointer.
    pub message_id: Option<String>,
    /// JSON pointer and the value that it must have.
    pub success: Option<(String, String)>,
    /// The same id may be posted again.
    pub idempotent: bool,
    /// Sender.
    pub from: String,
}

/// How much is too much; 0 = no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Limits {
    pub agent_links_per_hour: u32,
    pub tablet_links_per_hour: u32,
    pub integrator_links_per_hour: u32,
    pub recipient_sms_per_minute: u32,
    pub recipient_sms_per_day: u32,
    pub recipient_mails_per_day: u32,
}
