//! The one door. A closure gets a [`Tx`], says verbs, and answers; what it answered is durable, or
//! it is told why not.

use std::panic::{AssertUnwindSafe, catch_unwind};

use diesel::result::QueryResult;

use super::error::judge;
use super::pool::patiently;
use super::witness::Witness;
use super::{Backend, Conn, JobKind, Shared, Store, StoreError};
use crate::link::{Delivery, LinkId};

/// One transaction. Its verbs are spread over `tx/`, a file per subject.
pub struct Tx<'a> {
    conn: &'a mut Conn,
    pub(super) shared: &'a Shared,
    /// The first error of the database. From then on nothing reaches it: PostgreSQL behaves so by
    /// itself, on SQLite it is the guard against autocommit.
    fault: Option<StoreError>,
    pub(super) noted: Noted,
    /// Sequences that *append* counted on and no *save* has written yet.
    pub(super) counted: Vec<(LinkId, i64)>,
    /// Deliveries of the link that was last asked for: events of one change all freeze them.
    pub(super) deliveries: Option<(LinkId, Vec<Delivery>)>,
    /// Search terms that are known to be stored for a link that was touched.
    pub(super) indexed: Vec<(LinkId, Vec<super::search::Term>)>,
}

/// What others must be told when the transaction is durable.
#[derive(Default)]
pub(super) struct Noted {
    /// Kinds of which a due job was enqueued.
    pub due: Vec<JobKind>,
    /// Claims that were ended: job and attempt.
    pub ended: Vec<(String, i64)>,
    /// An event was appended.
    pub appended: bool,
    /// The place in the stream that it took (SQLite).
    pub position: Option<i64>,
    /// A row that this write inserted: tells what became of an unknown commit (failure-model R6).
    pub witness: Option<Witness>,
}

impl Noted {
    /// Tells them.
    pub fn tell(&self, shared: &Shared) {
        for kind in &self.due {
            shared.wake(*kind);
        }
        for claim in &self.ended {
            shared.held.ended(claim);
        }
        if let Some(position) = self.position {
            shared.advance(position);
        } else if self.appended {
            shared.appended.notify_one();
        }
    }
}

impl Shared {
    /// Something of this kind may be due.
    pub fn wake(&self, kind: JobKind) {
        let woken = &self.woken[kind as usize];
        if kind == JobKind::Deliver {
            // two wait, one for each channel
            woken.notify_waiters();
        } else {
            woken.notify_one();
        }
    }

    /// The stream has grown to `position`.
    pub fn advance(&self, position: i64) {
        self.head.send_if_modified(|head| {
            let grown = position > *head;
            *head = position.max(*head);
            grown
        });
    }
}

/// How a closure ended, its own answer apart.
pub(super) struct Ended {
    /// Whether to keep what it wrote.
    pub keep: bool,
    pub fault: Option<StoreError>,
    pub noted: Noted,
    #[cfg(feature = "chaos")]
    pub panicked: bool,
}

impl<'a> Tx<'a> {
    pub(super) fn new(conn: &'a mut Conn, shared: &'a Shared) -> Self {
        Self {
            conn,
            shared,
            fault: None,
            noted: Noted::default(),
            counted: Vec::new(),
            deliveries: None,
            indexed: Vec::new(),
        }
    }

    /// The only way to SQL.
    pub(super) fn sql<T>(
        &mut self,
        statement: impl FnOnce(&mut Conn) -> QueryResult<T>,
    ) -> Result<T, StoreError> {
        if self.fault.is_some() {
            return Err(StoreError::Spent);
        }
        statement(self.conn).map_err(|error| {
            let fault = judge(&error);
            self.fault = Some(fault.clone());
            fault
        })
    }

    /// An error that undoes the transaction as one of the database's own would.
    pub(super) fn failed(&mut self, error: StoreError) -> StoreError {
        self.fault.get_or_insert(error).clone()
    }

    /// Whether this is PostgreSQL: only claims, leases and positions ask.
    pub(super) fn is_shared(&self) -> bool {
        matches!(self.conn, Conn::Pg(_))
    }
}

/// Runs a closure on a connection that is inside a transaction (or savepoint) of ours. A panic is
/// an ordinary rollback; an error that the closure swallowed still undoes it.
pub(super) fn run<T, E: From<StoreError>>(
    conn: &mut Conn,
    shared: &Shared,
    closure: impl FnOnce(&mut Tx) -> Result<T, E>,
) -> (Result<T, E>, Ended) {
    let mut tx = Tx::new(conn, shared);
    let caught = catch_unwind(AssertUnwindSafe(|| {
        let value = closure(&mut tx)?;
        tx.write_sequences()?;
        Ok(value)
    }));
    #[cfg(feature = "chaos")]
    let panicked = caught.is_err();
    let answer = caught.unwrap_or_else(|_| Err(StoreError::Panicked.into()));
    let answer = match (answer, &tx.fault) {
        (Ok(_), Some(fault)) => Err(fault.clone().into()),
        (answer, _) => answer,
    };
    let ended = Ended {
        keep: answer.is_ok(),
        fault: tx.fault,
        noted: tx.noted,
        #[cfg(feature = "chaos")]
        panicked,
    };
    (answer, ended)
}

impl Store {
    /// One transaction, durable when it answers `Ok`. The closure may run more than once: ids, time
    /// and chance are made before it. A write that is not harmless to repeat inserts a row that is
    /// its [`Witness`].
    pub async fn write<T, E>(
        &self,
        closure: impl Fn(&mut Tx) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        match &self.0.backend {
            Backend::Lite(lite) => lite.write(closure).await,
            Backend::Pg(pg) => pg.write(&self.0.shared, closure).await,
        }
    }

    /// One consistent view of the database. What the closure writes is refused.
    pub async fn read<T, E>(
        &self,
        closure: impl FnOnce(&mut Tx) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        match &self.0.backend {
            Backend::Lite(lite) => lite.readers.read("BEGIN", &self.0.shared, closure).await,
            Backend::Pg(pg) => {
                let begin = "BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY";
                let reading = pg.pool.read(begin, &self.0.shared, closure);
                patiently(StoreError::Lost, reading).await
            }
        }
    }
}
