//! SQLite's one writer: a thread that lets up to 64 waiting closures share one COMMIT. It owns
//! BEGIN, SAVEPOINT, RELEASE, ROLLBACK TO and COMMIT as raw SQL, because Diesel's nested
//! transactions lose count of their depth when a panic passes through them, and then acknowledge
//! what is not durable.

use std::sync::Arc;
use std::sync::mpsc::Receiver;

use diesel::connection::SimpleConnection;
use tokio::sync::oneshot;

use super::door::{Noted, run};
use super::error::judge;
use super::{Conn, Shared, StoreError, Tx};
use crate::chaos::{self, Bug, Point};

/// Closures that share a COMMIT at most.
const MOST: usize = 64;

/// A closure with its waiting caller, its types forgotten.
pub(super) trait Op: Send {
    /// Runs it within its savepoint; says whether to keep what it wrote.
    fn run(&mut self, conn: &mut Conn, shared: &Shared) -> bool;
    /// It panicked.
    #[cfg(feature = "chaos")]
    fn panicked(&self) -> bool;
    /// It did not happen after all.
    fn fail(&mut self, error: StoreError);
    /// Tells the caller, and others what it noted.
    fn answer(self: Box<Self>, shared: &Shared);
}

pub(super) struct Waiting<F, T, E> {
    closure: F,
    ended: Option<(Result<T, E>, Noted)>,
    #[cfg(feature = "chaos")]
    panicked: bool,
    caller: oneshot::Sender<Result<T, E>>,
}

impl<F, T, E> Waiting<F, T, E> {
    pub fn new(closure: F) -> (Self, oneshot::Receiver<Result<T, E>>) {
        let (caller, answer) = oneshot::channel();
        let waiting = Self {
            closure,
            ended: None,
            #[cfg(feature = "chaos")]
            panicked: false,
            caller,
        };
        (waiting, answer)
    }
}

impl<F, T, E> Op for Waiting<F, T, E>
where
    F: Fn(&mut Tx) -> Result<T, E> + Send,
    T: Send,
    E: From<StoreError> + Send,
{
    fn run(&mut self, conn: &mut Conn, shared: &Shared) -> bool {
        let (answer, ended) = run(conn, shared, &self.closure);
        #[cfg(feature = "chaos")]
        {
            self.panicked = ended.panicked;
        }
        self.ended = Some((answer, ended.noted));
        ended.keep
    }

    #[cfg(feature = "chaos")]
    fn panicked(&self) -> bool {
        self.panicked
    }

    fn fail(&mut self, error: StoreError) {
        self.ended = Some((Err(error.into()), Noted::default()));
    }

    fn answer(self: Box<Self>, shared: &Shared) {
        let Some((answer, noted)) = self.ended else {
            return;
        };
        if answer.is_ok() {
            noted.tell(shared);
        }
        // a caller that has gone away needs no answer
        let _ = self.caller.send(answer);
    }
}

/// How a group ended.
enum Group {
    Durable,
    /// SQLite has undone the whole transaction, or its state is not what it must be: this closure
    /// is answered, the others run again.
    Culprit(usize),
    /// Nothing of the group is stored.
    Nothing(StoreError),
    /// COMMIT failed in a way that may yet be durable: after a crash the rows can be there.
    Unknown(StoreError),
}

fn group(conn: &mut Conn, shared: &Shared, ops: &mut [Box<dyn Op>]) -> Group {
    #[cfg(feature = "chaos")]
    if chaos::planted(Bug::SharedSavepoints) {
        return miscounted(conn, shared, ops);
    }
    let begin = if chaos::planted(Bug::DeferredBegin) {
        "BEGIN"
    } else {
        "BEGIN IMMEDIATE"
    };
    if let Err(error) = conn.batch_execute(begin) {
        return Group::Nothing(judge(&error));
    }
    for (i, op) in ops.iter_mut().enumerate() {
        if let Err(error) = conn.batch_execute("SAVEPOINT one") {
            op.fail(judge(&error));
            return Group::Culprit(i);
        }
        let keep = op.run(conn, shared);
        let end = if keep {
            "RELEASE one"
        } else {
            "ROLLBACK TO one; RELEASE one"
        };
        if let Err(error) = conn.batch_execute(end) {
            // "no such savepoint": a full disk made SQLite roll back everything, and what came
            // next would have run in autocommit
            if keep {
                op.fail(judge(&error));
            }
            return Group::Culprit(i);
        }
    }
    chaos::at(Point::StoreUncommitted);
    match conn.batch_execute("COMMIT").map_err(|error| judge(&error)) {
        Ok(()) => Group::Durable,
        Err(error @ (StoreError::Full | StoreError::Busy)) => Group::Nothing(error),
        Err(error) => Group::Unknown(error),
    }
}

/// Runs until the last sender is gone.
pub(super) fn work(mut conn: Conn, queue: &Receiver<Box<dyn Op>>, shared: &Arc<Shared>) {
    while let Ok(first) = queue.recv() {
        let mut ops = vec![first];
        ops.extend(queue.try_iter().take(MOST - 1));
        while !ops.is_empty() {
            match group(&mut conn, shared, &mut ops) {
                Group::Durable => {
                    chaos::at(Point::StoreCommitted);
                    ops.drain(..).for_each(|op| op.answer(shared));
                }
                Group::Culprit(i) => {
                    undo(&mut conn);
                    ops.remove(i).answer(shared);
                }
                Group::Nothing(error) => {
                    undo(&mut conn);
                    for mut op in ops.drain(..) {
                        op.fail(error.clone());
                        op.answer(shared);
                    }
                }
                Group::Unknown(error) => {
                    // nobody is answered: the callers repeat under their keys and find what is there
                    (shared.fatal)(&error);
                    return;
                }
            }
        }
    }
}

/// Leaves whatever transaction there is; none at all is as good.
fn undo(conn: &mut Conn) {
    let _ = conn.batch_execute("ROLLBACK");
}

/// For [`Bug::SharedSavepoints`] only: BEGIN and its savepoints are counted by Diesel's manager,
/// which a panic in a closure leaves one too deep.
#[cfg(feature = "chaos")]
fn miscounted(conn: &mut Conn, shared: &Shared, ops: &mut [Box<dyn Op>]) -> Group {
    use diesel::connection::{Connection, TransactionManager};
    type Manager = <Conn as Connection>::TransactionManager;

    let counted = (|| {
        Manager::begin_transaction(conn)?;
        for op in ops.iter_mut() {
            Manager::begin_transaction(conn)?;
            if op.run(conn, shared) {
                Manager::commit_transaction(conn)?;
            } else if !op.panicked() {
                Manager::rollback_transaction(conn)?;
            }
        }
        Manager::commit_transaction(conn)
    })();
    match counted {
        Ok(()) => Group::Durable,
        Err(error) => Group::Nothing(judge(&error)),
    }
}
