//! What became of a COMMIT that nobody answered (failure-model R6). A write that is not harmless to
//! repeat inserts a row under an id that was made before it; that row is its witness.

use std::time::Duration;

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Text};

use super::pool::Pool;
use super::{AttemptId, Conn, StoreError};
use crate::chaos::{self, Bug};
use crate::link::{EventId, KeyId, LinkId, OperationId};

/// A row that is there exactly where its transaction was committed. Nothing deletes one within the
/// seconds in which it is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Witness {
    Event(EventId),
    /// What is wanted of a payment, and of whose: it is told once it is done.
    Operation(OperationId, LinkId),
    /// A message is about to leave.
    Attempt(AttemptId),
    Key(KeyId),
}

impl Witness {
    /// The transaction's old backend may still be inside COMMIT, where a look-up would say "no" too
    /// early: an insert of the same id waits for it. Answers how many rows it inserted; they are
    /// undone by whoever asked, and serve for nothing else.
    fn insert(self, conn: &mut Conn) -> QueryResult<usize> {
        match self {
            Self::Event(id) => diesel::sql_query(
                "INSERT INTO event (id, kind, created_at, json) VALUES ($1, '', 0, '') \
                 ON CONFLICT (id) DO NOTHING",
            )
            .bind::<Text, _>(id.to_string())
            .execute(conn),
            Self::Operation(id, link) => diesel::sql_query(
                "INSERT INTO operation (id, link, kind, lines, status, created_by, created_at) \
                 VALUES ($1, $2, 'cancel', '', 'pending', '', 0) ON CONFLICT (id) DO NOTHING",
            )
            .bind::<Text, _>(id.to_string())
            .bind::<Text, _>(link.to_string())
            .execute(conn),
            Self::Attempt(id) => diesel::sql_query(
                "INSERT INTO attempt (delivery, claim, begun_at) VALUES ($1, $2, 0) \
                 ON CONFLICT (delivery, claim) DO NOTHING",
            )
            .bind::<Text, _>(id.delivery.to_string())
            .bind::<BigInt, _>(id.claim)
            .execute(conn),
            Self::Key(id) => diesel::sql_query(
                "INSERT INTO api_key (id, name, role, store, mode, hash, created_at) \
                 VALUES ($1, '', 'agent', '', 'test', '', 0) ON CONFLICT (id) DO NOTHING",
            )
            .bind::<Text, _>(id.to_string())
            .execute(conn),
        }
    }

    /// For [`Bug::PlainLookup`] only: one row where there is none.
    fn look_up(self, conn: &mut Conn) -> QueryResult<usize> {
        let Self::Event(id) = self else {
            return self.insert(conn);
        };
        diesel::sql_query("SELECT 1 WHERE NOT EXISTS (SELECT 1 FROM event WHERE id = $1)")
            .bind::<Text, _>(id.to_string())
            .execute(conn)
    }

    /// Whether its transaction was committed; asked for as long as a failover takes.
    /// [`StoreError::Unknown`]: the database can't be asked.
    pub fn was_committed(self, pool: &Pool) -> Result<bool, StoreError> {
        for millis in [0, 50, 200, 1000, 3000, 3000] {
            std::thread::sleep(Duration::from_millis(millis));
            let Ok(mut conn) = pool.begun("BEGIN") else {
                continue;
            };
            let missing = if chaos::planted(Bug::PlainLookup) {
                self.look_up(&mut conn)
            } else {
                self.insert(&mut conn)
            };
            // one that can't be asked, such as a standby's, is dropped
            if let Ok(rows) = missing {
                pool.undo(conn);
                return Ok(rows == 0);
            }
        }
        Err(StoreError::Unknown)
    }
}
