//! The process itself: database, secret, log, and under which URL it is reached.

use std::net::SocketAddr;
use std::path::PathBuf;

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use secrecy::SecretString;
use url::Url;

use super::reader::Reader;
use super::{Database, Log, LogFormat, values};
use crate::secret::MasterKey;
use crate::secret::key_file::KeyFile;

impl Database {
    pub(super) fn sqlite(file: &str) -> Self {
        Self {
            url: SecretString::from(format!("sqlite://{file}")),
            sqlite_file: Some(PathBuf::from(file)),
            connections: 1,
        }
    }

    /// Where the secret is kept when `PAYLINK_SECRET` is absent; `None` with PostgreSQL.
    pub fn key_file(&self) -> Option<PathBuf> {
        self.sqlite_file.as_deref().map(KeyFile::beside)
    }
}

pub(super) fn database(r: &mut Reader) -> Option<Database> {
    let connections = r.number("DATABASE_CONNECTIONS", 1..=1000);
    let text = r.text("DATABASE_URL")?;
    if let Some(file) = text.strip_prefix("sqlite://") {
        // every connection to :memory: is a database of its own, and a restart loses it
        if !file.is_empty() && !file.starts_with(':') && !file.contains(['?', '#']) {
            return Some(Database::sqlite(file));
        }
        r.fault(
            "DATABASE_URL",
            "names no SQLite file",
            "give sqlite://FILE, without parameters",
        );
        return None;
    }
    let rest = text
        .strip_prefix("postgres://")
        .or_else(|| text.strip_prefix("postgresql://"));
    let Some(rest) = rest.filter(|rest| !rest.is_empty()) else {
        r.fault(
            "DATABASE_URL",
            "has a wrong value",
            "give sqlite://FILE or postgres://USER:PASSWORD@HOST/NAME",
        );
        return None;
    };
    let (before, query) = rest.split_once('?').unwrap_or((rest, ""));
    let modes = query
        .split('&')
        .filter_map(|it| it.strip_prefix("sslmode="));
    for mode in modes {
        match mode {
            "verify-full" => {}
            "disable" if only_loopback(before) => {}
            "disable" => r.fault(
                "DATABASE_URL",
                "has sslmode=disable beyond loopback",
                "use sslmode=verify-full",
            ),
            _ => r.fault(
                "DATABASE_URL",
                "has an sslmode that is not taken",
                "use sslmode=verify-full, or disable on loopback",
            ),
        }
    }
    Some(Database {
        url: SecretString::from(text.as_str()),
        sqlite_file: None,
        connections: connections?,
    })
}

/// Whether every host of `user:password@host:port,host:port/name` is this machine.
fn only_loopback(before_query: &str) -> bool {
    let authority = before_query.split('/').next().unwrap_or_default();
    let hosts = authority.rsplit('@').next().unwrap_or_default();
    hosts.split(',').all(|host| {
        Url::parse(&format!("http://{host}/")).is_ok_and(|url| values::is_loopback(&url))
    })
}

pub(super) fn secret(r: &mut Reader, database: Option<&Database>) -> Option<MasterKey> {
    const RIGHT: &str = "give 32 random bytes in base64 (openssl rand -base64 32)";
    let before = r.faults.len();
    let text = r.given("PAYLINK_SECRET");
    let Some(text) = text.map(zeroize::Zeroizing::new) else {
        let postgres = database.is_some_and(|database| database.sqlite_file.is_none());
        if postgres && r.faults.len() == before {
            r.fault("PAYLINK_SECRET", "is missing with PostgreSQL", RIGHT);
        }
        return None;
    };
    MasterKey::parse(&text)
        .map_err(|cause| r.fault("PAYLINK_SECRET", format!("is {cause}"), RIGHT))
        .ok()
}

pub(super) fn ca_file(r: &mut Reader) -> Option<PathBuf> {
    const RIGHT: &str =
        "name a PEM file that this user can read, with the authorities' certificates";
    let path = PathBuf::from(r.given("SSL_CERT_FILE")?);
    match r.bytes(&path) {
        Ok(pem) if has_certificate(&pem) => {}
        Ok(_) => r.fault("SSL_CERT_FILE", "names a file without a certificate", RIGHT),
        Err(cause) => r.fault(
            "SSL_CERT_FILE",
            format!("names a file that cannot be read ({})", cause.kind()),
            RIGHT,
        ),
    }
    Some(path)
}

/// Whether there is one that can be trusted: the readers of the file pass over all others.
fn has_certificate(pem: &[u8]) -> bool {
    CertificateDer::pem_slice_iter(pem)
        .filter_map(Result::ok)
        .any(|certificate| RootCertStore::empty().add(certificate).is_ok())
}

pub(super) fn log(r: &mut Reader) -> Option<Log> {
    let filter = r.parse(
        "LOG",
        "give a level (error, warn, info, debug, trace) or target=level pairs",
        |text| {
            tracing_subscriber::EnvFilter::try_new(text)
                .ok()
                .map(|_| text.to_owned())
        },
    );
    let format = r.parse("LOG_FORMAT", "give text or json", |text| match text {
        "text" => Some(LogFormat::Text),
        "json" => Some(LogFormat::Json),
        _ => None,
    });
    Some(Log {
        filter: filter?,
        format: format?,
    })
}

/// The URL, and whether it is only the listen address.
pub(super) fn public_url(
    r: &mut Reader,
    loopback: bool,
    listen: Option<SocketAddr>,
) -> Option<(String, bool)> {
    const RIGHT: &str = "give the https URL (http on loopback) under which Klarna and buyers reach this service, without query";
    if let Some(listen) = listen
        && loopback
        && r.given("PAYLINK_PUBLIC_URL").is_none()
    {
        return Some((listen_url(listen), true));
    }
    r.need("PAYLINK_PUBLIC_URL", RIGHT, |text| {
        let url = values::web_url(text).filter(|url| url.query().is_none())?;
        Some((url.as_str().trim_end_matches('/').to_owned(), false))
    })
}

pub(super) fn listen_url(listen: SocketAddr) -> String {
    let mut reachable = listen;
    if listen.ip().is_unspecified() {
        // 0.0.0.0 is where to listen, not where to go
        reachable.set_ip(if listen.is_ipv4() {
            std::net::Ipv4Addr::LOCALHOST.into()
        } else {
            std::net::Ipv6Addr::LOCALHOST.into()
        });
    }
    format!("http://{reachable}")
}
