//! Connections and who may use them: an idle list and a semaphore. (Not r2d2: after a cut
//! connection its `is_broken` says no, and its ping panics on a runtime thread.) A connection comes
//! back only after its transaction has ended well.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use diesel::connection::SimpleConnection;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

use super::door::run;
use super::{Conn, Shared, StoreError, Tx};

/// Callers that may wait for a connection, of either database; more are told that the store is
/// overloaded.
const MOST_WAITING: usize = 1024;
/// Nobody waits longer for a connection, and then for PostgreSQL's answer: together less than a lease.
const IN_THE_QUEUE: Duration = Duration::from_secs(10);
const FOR_AN_ANSWER: Duration = Duration::from_secs(20);
/// A connection of a pool may have been cut while it lay idle. So often another is tried.
const STALE: usize = 8;

type Make = dyn Fn(&CancellationToken) -> Result<Conn, StoreError> + Send + Sync;

pub(super) struct Pool {
    make: Box<Make>,
    idle: Mutex<Vec<Conn>>,
    gate: Arc<Semaphore>,
    size: u32,
    waiting: AtomicUsize,
    closed: CancellationToken,
}

/// Counts a waiting caller for as long as it waits, also when it gives up.
struct Queued<'a>(&'a AtomicUsize);
impl Drop for Queued<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Pool {
    /// A pool of at most `size` connections (at least one). `make` blocks; it is called off the
    /// runtime's threads, and gives up when its token is cancelled.
    pub fn new(
        size: usize,
        make: impl Fn(&CancellationToken) -> Result<Conn, StoreError> + Send + Sync + 'static,
    ) -> Arc<Self> {
        let size = u32::try_from(size).unwrap_or(u32::MAX).max(1);
        Arc::new(Self {
            make: Box::new(make),
            idle: Mutex::default(),
            gate: Arc::new(Semaphore::new(size as usize)),
            size,
            waiting: AtomicUsize::new(0),
            closed: CancellationToken::new(),
        })
    }

    /// The right to one connection. Who got none in time is told that the store is overloaded.
    pub async fn admit(&self) -> Result<OwnedSemaphorePermit, StoreError> {
        self.admit_within(IN_THE_QUEUE).await
    }

    async fn admit_within(&self, patience: Duration) -> Result<OwnedSemaphorePermit, StoreError> {
        if let Ok(permit) = Arc::clone(&self.gate).try_acquire_owned() {
            return Ok(permit);
        }
        if self.waiting.fetch_add(1, Ordering::Relaxed) >= MOST_WAITING {
            drop(Queued(&self.waiting));
            return Err(StoreError::Overloaded);
        }
        let _queued = Queued(&self.waiting);
        tokio::time::timeout(patience, Arc::clone(&self.gate).acquire_owned())
            .await
            .map_err(|_| StoreError::Overloaded)?
            .map_err(|_| StoreError::Closed)
    }

    /// Admits nobody else, and waits for those that were admitted, at most `patience`. Who gave up
    /// waiting for an answer left a thread behind that still waits for the database, and the
    /// runtime must not end under it.
    pub async fn close(&self, patience: Duration) {
        self.closed.cancel();
        let all = self.gate.acquire_many(self.size);
        if tokio::time::timeout(patience, all).await.is_err() {
            tracing::warn!("a transaction was under way when the time to stop was over");
        }
        self.gate.close();
    }

    /// A connection inside a transaction that `begin` opened. Blocks.
    pub fn begun(&self, begin: &str) -> Result<Conn, StoreError> {
        for _ in 0..STALE {
            let Some(mut conn) = self.lock().pop() else {
                break;
            };
            if conn.batch_execute(begin).is_ok() {
                return Ok(conn);
            }
        }
        let mut conn = (self.make)(&self.closed)?;
        conn.batch_execute(begin)
            .map_err(|error| super::error::judge(&error))?;
        Ok(conn)
    }

    /// A new connection, outside the pool's count. Blocks.
    pub fn fresh(&self) -> Result<Conn, StoreError> {
        (self.make)(&self.closed)
    }

    /// Gives back a connection whose transaction has ended.
    pub fn back(&self, conn: Conn) {
        self.lock().push(conn);
    }

    /// Commits. A connection whose COMMIT went unanswered is dropped.
    pub fn end(&self, mut conn: Conn) -> Result<(), StoreError> {
        conn.batch_execute("COMMIT")
            .map_err(|error| super::error::judge(&error))?;
        self.back(conn);
        Ok(())
    }

    /// Ends a transaction by undoing it; a connection that cannot even do that is dropped.
    pub fn undo(&self, mut conn: Conn) {
        if conn.batch_execute("ROLLBACK").is_ok() {
            self.back(conn);
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Conn>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs a closure that only reads.
    pub async fn read<T, E>(
        self: &Arc<Self>,
        begin: &'static str,
        shared: &Arc<Shared>,
        closure: impl FnOnce(&mut Tx) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        let permit = self.admit().await?;
        let (pool, shared) = (Arc::clone(self), Arc::clone(shared));
        let reading = move || {
            let _permit = permit;
            let mut conn = pool.begun(begin)?;
            let (answer, _) = run(&mut conn, &shared, closure);
            pool.undo(conn);
            answer
        };
        blocking(reading).await
    }
}

/// What a server came to that may live and not answer: a COMMIT waits for a synchronous standby for as
/// long as that is away (failure-model R12). Its thread goes on waiting, and keeps its connection.
pub(super) async fn patiently<T, E: From<StoreError>>(
    otherwise: StoreError,
    work: impl Future<Output = Result<T, E>>,
) -> Result<T, E> {
    tokio::time::timeout(FOR_AN_ANSWER, work)
        .await
        .unwrap_or_else(|_| Err(otherwise.into()))
}

/// Runs what blocks on a thread that may.
pub(super) async fn blocking<T, E>(
    work: impl FnOnce() -> Result<T, E> + Send + 'static,
) -> Result<T, E>
where
    T: Send + 'static,
    E: From<StoreError> + Send + 'static,
{
    match tokio::task::spawn_blocking(work).await {
        Ok(answer) => answer,
        Err(error) if error.is_panic() => Err(StoreError::Panicked.into()),
        Err(_) => Err(StoreError::Closed.into()),
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[tokio::test]
    async fn who_finds_all_places_taken_is_refused_and_who_gives_up_makes_room() {
        let pool = Pool::new(1, |_| Err(StoreError::Closed));
        let _held = pool.admit().await.unwrap();
        let mut waiting: Vec<_> = (0..MOST_WAITING).map(|_| Box::pin(pool.admit())).collect();
        assert!(waiting.iter_mut().all(|it| it.now_or_never().is_none()));
        let refused = pool.admit().await.map(|_| ());
        assert_eq!(refused, Err(StoreError::Overloaded));
        waiting.pop();
        assert!(pool.admit().now_or_never().is_none(), "there is room");
    }

    #[tokio::test]
    async fn nobody_waits_for_ever() {
        let pool = Pool::new(1, |_| Err(StoreError::Closed));
        let _held = pool.admit().await.unwrap();
        let refused = pool.admit_within(Duration::ZERO).await.map(|_| ());
        assert_eq!(refused, Err(StoreError::Overloaded));
        assert_eq!(pool.waiting.load(Ordering::Relaxed), 0);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn who_still_connects_when_it_closes_gives_up_and_is_waited_for() {
        let pool = Pool::new(2, |closed| {
            while !closed.is_cancelled() {
                std::thread::yield_now();
            }
            Err(StoreError::Closed)
        });
        let (permit, connecting) = (pool.admit().await.unwrap(), Arc::clone(&pool));
        let (tells, told) = std::sync::mpsc::channel();
        // nobody waits for its answer any more
        drop(tokio::task::spawn_blocking(move || {
            let _permit = permit;
            tells.send(connecting.begun("BEGIN").map(|_| ()))
        }));
        pool.close(Duration::from_secs(30)).await;
        let answer = told.try_recv().expect("it was waited for");
        assert_eq!(answer, Err(StoreError::Closed));
        assert_eq!(pool.admit().await.map(|_| ()), Err(StoreError::Closed));
    }
}
