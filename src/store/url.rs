//! `DATABASE_URL`: which database, where, and how its connection is guarded. tokio-postgres knows
//! neither `sslmode=verify-full` nor `sslrootcert`, so both are taken out here.

use std::path::PathBuf;

use tokio_postgres::config::Host;

use super::OpenError;

/// Where the data lies.
#[derive(Debug)]
pub(super) enum Place {
    Lite(PathBuf),
    Pg(Box<Target>),
}

/// A PostgreSQL server, or several of which one is the primary.
#[derive(Clone, Debug)]
pub(super) struct Target {
    pub config: tokio_postgres::Config,
    pub tls: Tls,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Tls {
    /// Clear text, on the machine itself or where the operator says so.
    Disable,
    /// The server's name is checked against its certificate, and that against the system's
    /// authorities, or those of one file.
    VerifyFull { authorities: Option<PathBuf> },
}

/// A server that owes an answer is asked so often whether it lives.
const PROBE: std::time::Duration = std::time::Duration::from_secs(5);
/// How long a server may leave unconfirmed what it was sent: less than a lease.
const UNCONFIRMED: std::time::Duration = std::time::Duration::from_secs(20);

impl Place {
    pub fn parse(url: &str) -> Result<Self, OpenError> {
        if let Some(rest) = url.strip_prefix("sqlite:") {
            let file = rest.strip_prefix("//").unwrap_or(rest);
            if file.is_empty() || file.starts_with(':') || file.contains('?') {
                let words = "sqlite:// is followed by the name of a file, nothing else";
                return Err(OpenError::Unsupported(words.into()));
            }
            return Ok(Place::Lite(PathBuf::from(file)));
        }
        if url.starts_with("postgres://") || url.starts_with("postgresql://") {
            return Target::parse(url).map(|target| Place::Pg(Box::new(target)));
        }
        let words = "must begin with sqlite:// or postgres://";
        Err(OpenError::Unsupported(words.into()))
    }
}

impl Target {
    fn parse(url: &str) -> Result<Self, OpenError> {
        let unsupported = |words: String| OpenError::Unsupported(words);
        let (base, query) = url.split_once('?').unwrap_or((url, ""));
        let (mut mode, mut authorities, mut rest) = (None, None, Vec::new());
        for part in query.split('&').filter(|it| !it.is_empty()) {
            match part.split_once('=') {
                Some(("sslmode", value)) => mode = Some(value),
                Some(("sslrootcert", value)) => authorities = Some(PathBuf::from(value)),
                _ => rest.push(part),
            }
        }
        let url = if rest.is_empty() {
            base.to_owned()
        } else {
            format!("{base}?{}", rest.join("&"))
        };
        let mut config: tokio_postgres::Config = url
            .parse()
            // the driver's own words may hold the URL with its password
            .map_err(|_| unsupported("is not a PostgreSQL URL".into()))?;
        let tls = match mode {
            None if config.get_hosts().iter().all(is_local) => Tls::Disable,
            None | Some("verify-full") => Tls::VerifyFull { authorities },
            Some("disable") => Tls::Disable,
            Some(other) => {
                return Err(unsupported(format!(
                    "sslmode={other} is not supported: use verify-full, or disable on a network that nobody else is on"
                )));
            }
        };
        config.ssl_mode(match tls {
            Tls::Disable => tokio_postgres::config::SslMode::Disable,
            Tls::VerifyFull { .. } => tokio_postgres::config::SslMode::Require,
        });
        config.application_name("paylink");
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(std::time::Duration::from_secs(3));
        }
        // A server that vanished says nothing. What was sent and is not confirmed ends the connection;
        // one that owes an answer to what it has confirmed is asked whether it lives. (The library's
        // own idle time is two hours, and the kernel gives up on probes by the same time-out.)
        if config.get_tcp_user_timeout().is_none() {
            config.tcp_user_timeout(UNCONFIRMED);
        }
        if !query.contains("keepalives") {
            config.keepalives_idle(PROBE).keepalives_interval(PROBE);
        }
        Ok(Self { config, tls })
    }
}

fn is_local(host: &Host) -> bool {
    match host {
        Host::Tcp(name) => {
            name == "localhost"
                || name
                    .parse::<std::net::IpAddr>()
                    .is_ok_and(|it| it.is_loopback())
        }
        #[cfg(unix)]
        Host::Unix(_) => true,
    }
}
