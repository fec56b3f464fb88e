//! The order of the event stream. Readers of everything follow `position`, one gapless integer. On
//! SQLite it is taken in the transaction of the change, since there is one writer. On PostgreSQL
//! commits do not come in the order of any number that was drawn before them, so a relay stamps
//! what is committed, in the order of insertion (of one link's events that is the order of its
//! row's lock): whoever gets an advisory lock, woken by its own process's commits and by the NOTIFY
//! of others, else each 200 ms.

use std::sync::{Arc, Weak};
use std::time::Duration;

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Bool, Text};

use super::error::judge;
use super::listen::{EVENTS, listening};
use super::pool::blocking;
use super::statement::statement;
use super::{Backend, Conn, Inner, Store, StoreError, pg};
use crate::chaos::{self, Point};

/// How long an event may wait for those who were not woken.
const FALLBACK: Duration = Duration::from_millis(200);
/// The same where notifications are heard: then only a process that died between its commit and
/// its stamp has left anything behind.
const HEARING: Duration = Duration::from_secs(1);

const LOCK: &str = "SELECT pg_advisory_xact_lock(7237139)";
const HEAD: &str = "SELECT position AS it FROM event_head WHERE id = 1";
const PENDING: &str = "SELECT EXISTS (SELECT 1 FROM event WHERE position IS NULL) AS it";
/// A statement of its own: it needs a snapshot that is younger than the lock.
const STAMP: &str = "WITH head AS (SELECT position FROM event_head WHERE id = 1), \
     batch AS MATERIALIZED (SELECT n, row_number() OVER (ORDER BY n) AS place FROM \
     (SELECT n FROM event WHERE position IS NULL ORDER BY n LIMIT 2000) AS waiting), \
     stamped AS (UPDATE event SET position = head.position + batch.place FROM batch, head \
     WHERE event.n = batch.n RETURNING event.n) \
     UPDATE event_head SET position = position + (SELECT count(*) FROM stamped) \
     WHERE id = 1 RETURNING position AS it";

#[derive(QueryableByName)]
struct Position {
    #[diesel(sql_type = BigInt)]
    it: i64,
}

#[derive(QueryableByName)]
struct Whether {
    #[diesel(sql_type = Bool)]
    it: bool,
}

impl Store {
    /// Stamps up to 2 000 committed events (PostgreSQL) and answers the position of the last event
    /// of the stream.
    pub async fn relay_once(&self) -> Result<i64, StoreError> {
        let store = self.clone();
        let (pool, stamps, begin) = match &self.0.backend {
            Backend::Lite(lite) => (Arc::clone(&lite.readers), false, "BEGIN"),
            Backend::Pg(pg) => (Arc::clone(&pg.pool), true, pg::BEGIN),
        };
        let permit = pool.admit().await?;
        let head = blocking(move || {
            let _permit = permit;
            let mut conn = pool.begun(begin)?;
            match relay(&mut conn, stamps).map_err(|error| judge(&error)) {
                // what is not known to be stamped is looked at again next time
                Ok((head, true)) => pool.end(conn).map(|()| head),
                Ok((head, false)) => {
                    pool.undo(conn);
                    Ok(head)
                }
                Err(error) => {
                    pool.undo(conn);
                    Err(error)
                }
            }
        })
        .await?;
        store.0.shared.advance(head);
        Ok(head)
    }

    /// Follows the stream for as long as any clone of the store lives.
    pub(super) fn follow(&self) {
        let inner = Arc::downgrade(&self.0);
        let mut tasks = vec![tokio::spawn(following(inner.clone())).abort_handle()];
        if self.is_shared() {
            tasks.push(tokio::spawn(listening(inner)).abort_handle());
        }
        // set once, directly after the store was made
        let _ = self.0.followers.set(tasks);
    }
}

async fn following(inner: Weak<Inner>) {
    let Some(shared) = inner.upgrade().map(|it| Arc::clone(&it.shared)) else {
        return;
    };
    // not before it was seen to move: at first there may be no schema
    let mut healthy = false;
    loop {
        let Some(inner) = inner.upgrade() else { return };
        let before = *shared.head.borrow();
        let stamps = matches!(inner.backend, Backend::Pg(_));
        let result = Store(inner).relay_once().await;
        match &result {
            Ok(_) => healthy = true,
            Err(error) if healthy => {
                // once per outage, not five times a second
                healthy = false;
                tracing::warn!(%error, "the event stream stands still");
            }
            Err(_) => {}
        }
        // a full batch may have left more behind
        if stamps && result.is_ok_and(|head| head >= before + 2000) {
            continue;
        }
        tokio::select! {
            () = shared.appended.notified() => {}
            () = tokio::time::sleep(if shared.ear.hears() { HEARING } else { FALLBACK }) => {}
        }
    }
}

/// The head, and whether something was stamped.
fn relay(conn: &mut Conn, stamps: bool) -> QueryResult<(i64, bool)> {
    let pending = stamps && {
        let pending: Whether = statement(PENDING).get_result(conn)?;
        pending.it
    };
    if !pending {
        let head: Position = statement(HEAD).get_result(conn)?;
        return Ok((head.it, false));
    }
    conn.batch_execute(LOCK)?;
    let head: Position = statement(STAMP).get_result(conn)?;
    statement("SELECT pg_notify($1, $2)")
        .bind::<Text, _>(EVENTS)
        .bind::<Text, _>(head.it.to_string())
        .execute(conn)?;
    chaos::at(Point::RelayStamped);
    Ok((head.it, true))
}
