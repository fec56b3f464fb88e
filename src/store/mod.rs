//! The database, and the only room that says diesel. One set of functions serves SQLite and
//! PostgreSQL behind one door: [`Store::write`] and [`Store::read`] hand a closure a [`Tx`], whose
//! verbs are all that anybody outside can say. Retries, savepoints, unknown commits and the order
//! of the event stream live inside. Knows nothing of HTTP, of Klarna or of what a verb is for.

mod audit;
mod backup;
mod claim;
mod door;
mod error;
mod held;
mod lease;
mod listen;
mod lite;
mod migrate;
mod pg;
mod pgw;
mod pool;
mod relay;
mod rows;
mod schema;
mod search;
mod statement;
#[cfg(test)]
mod tests;
mod tx;
mod url;
mod witness;
mod writer;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, watch};

use crate::clock::Clock;
use crate::random::Random;
use crate::secret::Vault;

pub use audit::AuditRow;
pub use backup::{Backup, BackupError};
pub use claim::{Claim, Lane};
pub use door::Tx;
pub use error::{Constraint, OpenError, StoreError};
pub use lease::Lease;
pub use migrate::Migrated;
pub use rows::Corrupt;
pub use rows::event::StoredEvent;
pub use rows::job::{Job, JobKind};
pub use search::Query;
pub use tx::attempts::{Attempt, AttemptId};
pub use tx::events::EventFilter;
pub use tx::gates::{Granted, Turn};
pub use tx::idempotency::Kept;
pub use tx::lists::{Cursor, Filter, Listed};
pub use tx::parked::Parked;
pub use tx::recovery::{Recovery, Step};

/// How long a stop waits for PostgreSQL's last answers.
const LAST_ANSWERS: Duration = Duration::from_secs(1);

/// Either database; Diesel's queries are written once against both.
#[derive(diesel::MultiConnection)]
// a few dozen of them live, each longer than what a box would save
#[allow(clippy::large_enum_variant)]
enum Conn {
    Lite(diesel::SqliteConnection),
    Pg(pgw::PgW),
}

/// Where the data lies.
#[derive(Clone, Debug)]
pub struct Database {
    /// `sqlite://FILE` or `postgres://…`; the scheme picks the database. PostgreSQL's `sslmode` is
    /// `disable` (the default on loopback) or `verify-full` (the default elsewhere), and
    /// `sslrootcert` names the file of its authority.
    pub url: String,
    /// Connections that this process may hold: readers beside SQLite's one writer, or all of
    /// PostgreSQL's pool.
    pub connections: usize,
}

/// What this process is to a SQLite file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holding {
    /// It serves the file and does its jobs: one process only (an OS lock keeps others out).
    Serving,
    /// It writes rows and jobs beside the serving process: `keys`, `check`, `backup`.
    Beside,
}

/// The open database. Clones share it.
#[derive(Clone)]
pub struct Store(Arc<Inner>);

struct Inner {
    shared: Arc<Shared>,
    backend: Backend,
    /// Relay and listener; they end with the last clone of the store.
    followers: std::sync::OnceLock<Vec<tokio::task::AbortHandle>>,
}

enum Backend {
    Lite(lite::Lite),
    Pg(pg::Pg),
}

/// What every transaction is given beside its connection.
struct Shared {
    vault: Vault,
    clock: Clock,
    random: Random,
    lease: Lease,
    /// A due job was committed: for each kind, since each has a hand of its own that waits.
    woken: [Arc<Notify>; JobKind::ALL.len()],
    /// An event was committed that the relay has still to stamp.
    appended: Notify,
    /// What this process works on.
    held: held::Held,
    /// What is heard of other processes' commits.
    ear: listen::Ear,
    /// Position of the last event of the stream.
    head: watch::Sender<i64>,
    /// What to do when nobody can know what the disk holds (failure-model R6). Never returns in
    /// production.
    fatal: Box<dyn Fn(&StoreError) + Send + Sync>,
}

impl Inner {
    /// PostgreSQL's connections.
    fn pool(&self) -> Option<Arc<pool::Pool>> {
        match &self.backend {
            Backend::Lite(_) => None,
            Backend::Pg(pg) => Some(Arc::clone(&pg.pool)),
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        for follower in self.followers.get().into_iter().flatten() {
            follower.abort();
        }
    }
}

impl Store {
    /// Opens the database. It must be called within a tokio runtime, whose handle serves the
    /// connections of PostgreSQL from then on.
    ///
    /// A serving process also takes the lock of a SQLite file and follows the event stream. The
    /// schema is not touched: see [`Store::migrate`]. What a dead process held is freed by
    /// [`Tx::free_foreign`] before the first claim.
    pub async fn open(
        database: &Database,
        holding: Holding,
        vault: Vault,
        clock: Clock,
        random: Random,
    ) -> Result<Self, OpenError> {
        let fatal = |fault: &StoreError| {
            tracing::error!(%fault, "the disk cannot be trusted; leaving without an answer");
            std::process::exit(70);
        };
        Self::open_with(database, holding, vault, clock, random, Box::new(fatal)).await
    }

    async fn open_with(
        database: &Database,
        holding: Holding,
        vault: Vault,
        clock: Clock,
        random: Random,
        fatal: Box<dyn Fn(&StoreError) + Send + Sync>,
    ) -> Result<Self, OpenError> {
        let shared = Arc::new(Shared {
            lease: Lease::of(random.uuid().simple().to_string()),
            vault,
            clock,
            random,
            woken: Default::default(),
            appended: Notify::new(),
            held: held::Held::default(),
            ear: listen::Ear::default(),
            head: watch::Sender::new(0),
            fatal,
        });
        let backend = match url::Place::parse(&database.url)? {
            url::Place::Lite(file) => Backend::Lite(
                lite::Lite::open(file, database.connections, holding, Arc::clone(&shared)).await?,
            ),
            url::Place::Pg(target) => {
                Backend::Pg(pg::Pg::open(*target, database.connections).await?)
            }
        };
        let store = Self(Arc::new(Inner {
            shared,
            backend,
            followers: std::sync::OnceLock::new(),
        }));
        if holding == Holding::Serving {
            store.follow();
        }
        Ok(store)
    }

    /// The end: nothing more is asked of PostgreSQL, and the threads that still wait for it are waited
    /// for, a moment. (SQLite's don't use the runtime, which ends behind them.)
    pub async fn close(&self) {
        if let Some(pool) = self.0.pool() {
            pool.close(LAST_ANSWERS).await;
        }
    }

    /// Notified when a write committed a job of this kind that is due: the worker of this process
    /// need not wait for its next poll. Whoever waits for a delivery must wait already when it looks.
    pub fn woken(&self, kind: JobKind) -> Arc<Notify> {
        Arc::clone(&self.0.shared.woken[kind as usize])
    }

    /// Wakes the hands of a kind.
    pub fn wake(&self, kind: JobKind) {
        self.0.shared.wake(kind);
    }

    /// Notified when another process committed something, where that can be heard: a job of any
    /// kind may be due.
    pub fn woken_elsewhere(&self) -> Arc<Notify> {
        Arc::clone(&self.0.shared.ear.elsewhere)
    }

    /// The position of the last event of the stream, as a serving process sees it.
    pub fn head_watch(&self) -> watch::Receiver<i64> {
        self.0.shared.head.subscribe()
    }

    /// The lease under which this process claims jobs: its boot id.
    pub fn lease(&self) -> Lease {
        self.0.shared.lease.clone()
    }

    /// Whether leases end with time and more than one process may work: PostgreSQL.
    pub fn is_shared(&self) -> bool {
        matches!(self.0.backend, Backend::Pg(_))
    }

    /// The SQLite file, where it is one.
    pub fn file(&self) -> Option<PathBuf> {
        match &self.0.backend {
            Backend::Lite(lite) => Some(lite.file.clone()),
            Backend::Pg(_) => None,
        }
    }
}
