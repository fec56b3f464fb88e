//! Being told of other processes' commits (PostgreSQL). One connection outside the pool hears the
//! relay's NOTIFY and wakes this process's relay, which reads where the stream is, and its worker.
//! A notification is only ever a hint: it may come from another schema of the same database, or not
//! at all. So polling goes on, and whether notifications arrive is not believed but tried: the
//! process calls itself over the pool and listens for the echo. (A pooler in transaction mode
//! accepts LISTEN and delivers nothing.)

use std::sync::{Arc, Weak};
use std::time::Duration;

use diesel::prelude::*;
use diesel::sql_types::Text;
use futures_util::stream::{StreamExt, poll_fn};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Notify;
use tokio_postgres::{AsyncMessage, Client, Connection, NoTls};

use super::error::judge;
use super::pg::Pg;
use super::pool::{Pool, blocking};
use super::{Backend, Inner, Shared, StoreError};

/// Where the relay says how long the stream is.
pub(super) const EVENTS: &str = "paylink_events";
/// After a loss the connection is tried again, sooner at first.
const AGAIN: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));
/// An echo that does not come within this time does not come.
const ECHO: Duration = Duration::from_secs(5);
/// How often a connection that hears is tried again: a machine that vanished closes nothing.
const TRIAL: Duration = Duration::from_secs(30);
/// Where notifications do not arrive, this long until the next try.
const DEAF: Duration = Duration::from_mins(1);

/// What this process hears.
#[derive(Default)]
pub(super) struct Ear {
    /// Whether the last trial was heard.
    hears: std::sync::atomic::AtomicBool,
    echo: Notify,
    /// Another process committed something: a job may be due.
    pub elsewhere: Arc<Notify>,
}

impl Ear {
    /// Whether notifications arrive, as far as is known.
    pub fn hears(&self) -> bool {
        self.hears.load(std::sync::atomic::Ordering::Relaxed)
    }

    /// Answers whether that is news.
    fn set(&self, hears: bool) -> bool {
        self.hears.swap(hears, std::sync::atomic::Ordering::Relaxed) != hears
    }
}

/// Why the ear is closed.
enum Silence {
    /// The connection could not be had, or ended.
    Lost(tokio_postgres::Error),
    /// It stands, and nothing comes through.
    Deaf,
    /// The store is gone.
    Over,
}

/// Listens for as long as any clone of the store lives.
pub(super) async fn listening(inner: Weak<Inner>) {
    let mut wait = AGAIN.0;
    loop {
        let Some(shared) = inner.upgrade().map(|it| Arc::clone(&it.shared)) else {
            return;
        };
        let silence = listen(&inner, &shared).await;
        let heard = shared.ear.set(false);
        match silence {
            Silence::Over => return,
            Silence::Lost(error) => {
                if heard {
                    wait = AGAIN.0;
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "notifications are no longer heard; the database is polled"
                    );
                }
            }
            Silence::Deaf => {
                tracing::info!("PostgreSQL's notifications do not arrive; the database is polled");
                wait = DEAF;
            }
        }
        let jitter = shared.random.below(100);
        tokio::time::sleep(wait + Duration::from_millis(jitter)).await;
        wait = (wait * 2).min(if wait >= DEAF { DEAF } else { AGAIN.1 });
    }
}

async fn listen(inner: &Weak<Inner>, shared: &Shared) -> Silence {
    let (target, tls) = match inner.upgrade().as_deref() {
        Some(Inner {
            backend: Backend::Pg(Pg { target, tls, .. }),
            ..
        }) => (target.clone(), tls.clone()),
        _ => return Silence::Over,
    };
    match tls {
        None => match target.config.connect(NoTls).await {
            Ok((client, connection)) => attend(inner, shared, client, connection).await,
            Err(error) => Silence::Lost(error),
        },
        Some(tls) => match target.config.connect(tls).await {
            Ok((client, connection)) => attend(inner, shared, client, connection).await,
            Err(error) => Silence::Lost(error),
        },
    }
}

async fn attend<S, T>(
    inner: &Weak<Inner>,
    shared: &Shared,
    client: Client,
    mut connection: Connection<S, T>,
) -> Silence
where
    S: AsyncRead + AsyncWrite + Unpin,
    T: AsyncRead + AsyncWrite + Unpin,
{
    let own = own_channel(shared);
    let mut messages = poll_fn(|context| connection.poll_message(context));
    let hearing = async {
        while let Some(message) = messages.next().await {
            match message {
                Ok(AsyncMessage::Notification(note)) if note.channel() == own => {
                    shared.ear.echo.notify_one();
                }
                Ok(AsyncMessage::Notification(note)) => shared.hear(note.payload()),
                Ok(_) => {}
                Err(error) => return Silence::Lost(error),
            }
        }
        Silence::Over
    };
    let trying = async {
        let order = format!("LISTEN {EVENTS}; LISTEN \"{own}\"");
        if let Err(error) = client.batch_execute(&order).await {
            return Silence::Lost(error);
        }
        loop {
            let Some(pool) = inner.upgrade().and_then(|it| it.pool()) else {
                return Silence::Over;
            };
            let echo = shared.ear.echo.notified();
            // a call that fails says nothing of the ear: the echo stays out, and that decides
            if let Err(error) = call(pool, own.clone()).await {
                tracing::debug!(%error, "the database could not be called");
            }
            if tokio::time::timeout(ECHO, echo).await.is_err() {
                return Silence::Deaf;
            }
            if shared.ear.set(true) {
                tracing::debug!("notifications are heard");
                // what was committed before may have been missed
                shared.appended.notify_one();
                shared.ear.elsewhere.notify_one();
            }
            tokio::time::sleep(TRIAL).await;
        }
    };
    tokio::select! {
        silence = hearing => silence,
        silence = trying => silence,
    }
}

fn own_channel(shared: &Shared) -> String {
    format!("paylink_{}", shared.lease.owner())
}

/// Calls this process itself, by another connection than the one that listens.
async fn call(pool: Arc<Pool>, channel: String) -> Result<(), StoreError> {
    let permit = pool.admit().await?;
    blocking(move || {
        let _permit = permit;
        let mut conn = pool.begun("BEGIN")?;
        let said = diesel::sql_query("SELECT pg_notify($1, '')")
            .bind::<Text, _>(channel)
            .execute(&mut conn)
            .map_err(|error| judge(&error));
        match said {
            Ok(_) => pool.end(conn),
            Err(error) => {
                pool.undo(conn);
                Err(error)
            }
        }
    })
    .await
}

impl Shared {
    /// The relay of some process says how long the stream is.
    fn hear(&self, payload: &str) {
        let known = *self.head.borrow();
        if payload.parse::<i64>().is_ok_and(|head| head <= known) {
            return;
        }
        self.appended.notify_one();
        self.ear.elsewhere.notify_one();
    }
}
