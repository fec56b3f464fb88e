//! PostgreSQL: the connection and its TLS, the transaction and its retries, and what to do when
//! nobody knows whether a COMMIT happened.

use std::sync::Arc;
use std::time::Duration;

use diesel::connection::SimpleConnection;
use diesel_async::{AsyncPgConnection, SimpleAsyncConnection};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use tokio::runtime::Handle;
use tokio_postgres::NoTls;
use tokio_postgres_rustls::MakeRustlsConnect;

use super::door::run;
use super::error::judge;
use super::pgw::PgW;
use super::pool::{Pool, blocking, patiently};
use super::url::{Target, Tls};
use super::{Conn, OpenError, Shared, StoreError, Tx};
use crate::chaos::{self, Point};

/// A server says within this time who it is.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// How often a transaction is tried before its caller is told.
const TRIES: u32 = 5;

/// What a connection is told first. Deadlocks are known by their English words only (to set the
/// language takes a superuser before PostgreSQL 15 allowed to grant it); an acknowledged write is
/// durable (failure-model R5), and a server that is stricter than that stays so.
const SETTINGS: [&str; 2] = [
    "SELECT set_config('synchronous_commit', 'on', false) \
     WHERE current_setting('synchronous_commit') IN ('off', 'local')",
    "SET lc_messages = 'C'",
];

/// Who waits for a row or a table that another session holds is told so in the end, as SQLite's
/// `busy_timeout` does (failure-model R12). Local: behind a pooler the session is somebody else's next.
///
/// Who stands still in the middle of a transaction, as a process does that was stopped, loses it after
/// the same time: its successor needs the rows, and the relay of every process one lock.
pub(super) const BEGIN: &str = "BEGIN; SET LOCAL lock_timeout = '5s'; \
                                SET LOCAL idle_in_transaction_session_timeout = '5s'";

pub(super) struct Pg {
    pub pool: Arc<Pool>,
    pub target: Box<Target>,
    pub tls: Option<MakeRustlsConnect>,
}

impl Pg {
    pub async fn open(target: Target, size: usize) -> Result<Self, OpenError> {
        let tls = match &target.tls {
            Tls::Disable => None,
            Tls::VerifyFull { authorities } => Some(verify_full(authorities.as_deref())?),
        };
        let runtime = Handle::current();
        let (to, by) = (target.clone(), tls.clone());
        let pool = Pool::new(size, move |closed| {
            let made = closed.run_until_cancelled(connected(&to, by.clone()));
            let Some(made) = runtime.block_on(made) else {
                return Err(StoreError::Closed);
            };
            made.map(Conn::Pg).map_err(|refused| {
                tracing::warn!(cause = refused.words, "cannot connect to PostgreSQL");
                refused.fault
            })
        });
        // the first one is made here, where the operator is told why it cannot be had
        let (to, by) = (target.clone(), tls.clone());
        let runtime = Handle::current();
        let first =
            blocking(move || -> Result<_, StoreError> { Ok(runtime.block_on(connected(&to, by))) });
        match first.await {
            Ok(Ok(conn)) => pool.back(Conn::Pg(conn)),
            Ok(Err(refused)) => return Err(OpenError::Unusable(refused.words)),
            Err(error) => return Err(OpenError::Unusable(error.to_string())),
        }
        Ok(Self {
            pool,
            target: Box::new(target),
            tls,
        })
    }

    pub async fn write<T, E>(
        &self,
        shared: &Arc<Shared>,
        closure: impl Fn(&mut Tx) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        let permit = self.pool.admit().await?;
        let (pool, shared) = (Arc::clone(&self.pool), Arc::clone(shared));
        let writing = blocking(move || {
            let _permit = permit;
            write(&pool, &shared, closure)
        });
        // it may still be committed
        patiently(StoreError::Unknown, writing).await
    }
}

/// Why a connection could not be had.
struct Refused {
    fault: StoreError,
    /// For the operator, with every cause.
    words: String,
}

impl From<tokio_postgres::Error> for Refused {
    fn from(error: tokio_postgres::Error) -> Self {
        let fault = match error.as_db_error() {
            Some(refusal) => StoreError::Fatal(refusal.message().to_owned()),
            None => StoreError::Lost,
        };
        let mut words = format!("cannot connect to PostgreSQL: {error}");
        let mut cause = std::error::Error::source(&error);
        while let Some(deeper) = cause {
            let said = deeper.to_string();
            if !words.ends_with(&said) {
                words = format!("{words}: {said}");
            }
            cause = deeper.source();
        }
        Self { fault, words }
    }
}

impl From<diesel::ConnectionError> for Refused {
    fn from(error: diesel::ConnectionError) -> Self {
        let words = error.to_string();
        Self {
            fault: StoreError::Fatal(words.clone()),
            words,
        }
    }
}

/// One connection, where the server speaks to us at all: its `connect_timeout` is about TCP.
async fn connected(target: &Target, tls: Option<MakeRustlsConnect>) -> Result<PgW, Refused> {
    tokio::time::timeout(HANDSHAKE, connect(target, tls))
        .await
        .unwrap_or_else(|_| {
            Err(Refused {
                fault: StoreError::Lost,
                words: "PostgreSQL took the connection and said nothing".into(),
            })
        })
}

/// One connection. The driver of its socket runs on the runtime that `Handle::block_on` enters.
async fn connect(target: &Target, tls: Option<MakeRustlsConnect>) -> Result<PgW, Refused> {
    let mut inner = match tls {
        None => {
            let (client, connection) = target.config.connect(NoTls).await?;
            AsyncPgConnection::try_from_client_and_connection(client, connection).await?
        }
        Some(tls) => {
            let (client, connection) = target.config.connect(tls).await?;
            AsyncPgConnection::try_from_client_and_connection(client, connection).await?
        }
    };
    for statement in SETTINGS {
        // each is refused to some users of some servers, and none is worth refusing to start
        if let Err(error) = inner.batch_execute(statement).await {
            tracing::debug!(%error, statement, "PostgreSQL refused a setting");
        }
    }
    Ok(PgW(inner.into()))
}

fn verify_full(file: Option<&std::path::Path>) -> Result<MakeRustlsConnect, OpenError> {
    let mut roots = rustls::RootCertStore::empty();
    if let Some(file) = file {
        let unreadable =
            |error: &dyn std::fmt::Display| OpenError::Unusable(format!("sslrootcert: {error}"));
        for authority in CertificateDer::pem_file_iter(file).map_err(|it| unreadable(&it))? {
            roots
                .add(authority.map_err(|it| unreadable(&it))?)
                .map_err(|it| unreadable(&it))?;
        }
    } else {
        // what the system has and rustls cannot read is of no use, and no fault of ours
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    }
    if roots.is_empty() {
        let words =
            "no certificate authority to check the server by: set sslrootcert or SSL_CERT_FILE";
        return Err(OpenError::Unusable(words.into()));
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| OpenError::Unusable(error.to_string()))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(MakeRustlsConnect::new(config))
}

fn write<T, E: From<StoreError>>(
    pool: &Pool,
    shared: &Shared,
    closure: impl Fn(&mut Tx) -> Result<T, E>,
) -> Result<T, E> {
    let mut last = StoreError::Lost;
    for attempt in 0..TRIES {
        if attempt > 0 {
            let jitter = shared.random.below(10 << attempt);
            std::thread::sleep(Duration::from_millis(jitter));
        }
        let mut conn = match pool.begun(BEGIN) {
            Ok(conn) => conn,
            Err(StoreError::Lost) => continue,
            Err(error) => return Err(error.into()),
        };
        let (answer, ended) = run(&mut conn, shared, &closure);
        match ended.fault {
            Some(StoreError::Again) => {
                pool.undo(conn);
                last = StoreError::Again;
                continue;
            }
            Some(StoreError::Lost) => {
                // dropped, also where it could be rolled back: a server that became a standby can do
                // that, and would be asked again for ever
                last = StoreError::Lost;
                continue;
            }
            _ if !ended.keep => {
                pool.undo(conn);
                return answer;
            }
            _ => {}
        }
        chaos::at(Point::StoreUncommitted);
        match conn.batch_execute("COMMIT").map_err(|error| judge(&error)) {
            Ok(()) => {
                chaos::at(Point::StoreCommitted);
                pool.back(conn);
                ended.noted.tell(shared);
                return answer;
            }
            Err(StoreError::Again) => {
                // 40001 at COMMIT: the server has rolled back
                pool.back(conn);
                last = StoreError::Again;
            }
            Err(error) => {
                drop(conn);
                // without a witness the write is harmless to repeat
                if let Some(witness) = ended.noted.witness {
                    tracing::warn!(%error, ?witness, "a COMMIT went unanswered; asking for its witness");
                    if witness.was_committed(pool)? {
                        ended.noted.tell(shared);
                        return answer;
                    }
                }
                last = error;
            }
        }
    }
    Err(last.into())
}
