//! Work under a lease, as this process has it in hand (failure-model R2). A heartbeat renews the
//! leases in the database; work whose lease did not come back, or may have run out while nobody
//! could be asked, is cancelled: it must not touch the world beside its successor. The database's
//! fence would keep it from writing, but not from sending.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::future::poll_fn;
use std::pin::pin;
use std::slice;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::{Claim, JobKind, LAST_ANSWERS, Lease, Store, StoreError};

/// A lease is counted as run out this much before its end: looked for once a second, by a clock
/// that may run slower than the database's. However long a lease is: neither has to do with that.
const MARGIN: Duration = Duration::from_secs(3);
/// A job that was just done is missing from the answer of a renewal, too. Its commit is told within
/// this time.
const TELLING: Duration = Duration::from_millis(100);

type Key = (String, i64);

struct Hold {
    claim: Claim,
    lost: CancellationToken,
    /// By the monotonic clock; never on SQLite.
    until: Option<Duration>,
}

/// What this process works on.
#[derive(Default)]
pub(super) struct Held {
    at_work: Mutex<HashMap<Key, Hold>>,
    /// What the last heartbeat found to be ours, with nobody at work on it.
    idle: Mutex<HashSet<Key>>,
}

impl Held {
    fn all(&self) -> MutexGuard<'_, HashMap<Key, Hold>> {
        self.at_work.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The claim was ended by ourselves, in a transaction that is durable.
    pub fn ended(&self, key: &Key) {
        self.all().remove(key);
    }

    fn lose(&self, keys: &[Key], why: &'static str) {
        let mut all = self.all();
        for key in keys {
            if let Some(hold) = all.remove(key) {
                tracing::warn!(job = key.0, attempt = key.1, "work was stopped: {why}");
                metrics::counter!("paylink_leases_lost_total").increment(1);
                hold.lost.cancel();
            }
        }
    }

    /// Loses what of these may have run out at `now`. Answers how much that was.
    fn lapse(&self, keys: &[Key], now: Duration) -> usize {
        let over: Vec<Key> = {
            let all = self.all();
            let is_over = |key: &&Key| {
                let until = all.get(*key).and_then(|hold| hold.until);
                until.is_some_and(|until| until <= now + MARGIN)
            };
            keys.iter().filter(is_over).cloned().collect()
        };
        self.lose(&over, "its lease could not be renewed in time");
        over.len()
    }
}

/// Lets go of a claim however its work ends.
struct Letting<'a>(&'a Held, Key);

impl Drop for Letting<'_> {
    fn drop(&mut self) {
        self.0.ended(&self.1);
    }
}

impl Store {
    /// Does `work` under a claim. `None`: its lease was lost meanwhile, and the work was dropped
    /// where it stood; a successor judges by what it had written down. A process that was stopped
    /// and comes to itself after the end of the lease takes no further step.
    pub async fn under<T>(&self, claim: &Claim, work: impl Future<Output = T>) -> Option<T> {
        let held = &self.0.shared.held;
        let key = claim.fence();
        let lost = CancellationToken::new();
        let taken_up = Hold {
            claim: claim.clone(),
            lost: lost.clone(),
            until: self.is_shared().then(|| claim.since + Lease::length()),
        };
        if let Entry::Vacant(place) = held.all().entry(key.clone()) {
            place.insert(taken_up);
        }
        let _letting = Letting(held, key.clone());
        let mut work = pin!(work);
        let mut ends = pin!(lost.cancelled());
        poll_fn(|cx| {
            // looked at before each step: what woke the work may be quicker than the look each second
            held.lapse(slice::from_ref(&key), self.0.shared.clock.monotonic());
            match ends.as_mut().poll(cx) {
                Poll::Ready(()) => Poll::Ready(None),
                Poll::Pending => work.as_mut().poll(cx).map(Some),
            }
        })
        .await
    }

    /// The heartbeat: renews all leases of this process and stops the work whose lease did not come
    /// back. Answers how much that was.
    pub async fn renew_leases(&self) -> Result<usize, StoreError> {
        let shared = &self.0.shared;
        // what is taken up from here on is not asked about: its claim may be younger than the answer
        let before: Vec<Key> = shared.held.all().keys().cloned().collect();
        let begun = shared.clock.monotonic();
        let lease = shared.lease.clone();
        let ours = self.write(move |tx| tx.renew(&lease)).await?;
        let mut gone = before;
        {
            let mut all = shared.held.all();
            for key in &ours {
                if let Some(hold) = all.get_mut(key) {
                    hold.until = hold.until.map(|until| until.max(begun + Lease::length()));
                }
            }
            gone.retain(|key| !ours.contains(key) && all.contains_key(key));
        }
        self.free_idle(ours).await?;
        if gone.is_empty() {
            return Ok(0);
        }
        tokio::time::sleep(TELLING).await;
        gone.retain(|key| shared.held.all().contains_key(key));
        shared.held.lose(&gone, "its lease is another's");
        Ok(gone.len())
    }

    /// Frees what is leased to this process while nobody here works on it: its work ended, and the
    /// end could not be written down because the database was away. Renewed, it would stay ours for
    /// ever. A claim that is on its way from the statement to its work is idle at one heartbeat, not
    /// at two.
    async fn free_idle(&self, ours: Vec<Key>) -> Result<(), StoreError> {
        let shared = &self.0.shared;
        let idle: HashSet<Key> = {
            let all = shared.held.all();
            ours.into_iter()
                .filter(|key| !all.contains_key(key))
                .collect()
        };
        let stuck: Vec<Key> = {
            let mut before = shared
                .held
                .idle
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            let stuck = idle.intersection(&before).cloned().collect();
            *before = idle;
            stuck
        };
        if stuck.is_empty() {
            return Ok(());
        }
        let lease = shared.lease.clone();
        let freed = self.write(move |tx| tx.free(&lease, &stuck)).await?;
        tracing::warn!(
            jobs = freed,
            "freed jobs whose end could not be written down"
        );
        Ok(())
    }

    /// Stops the work whose lease may have run out since it was last renewed, by the monotonic
    /// clock: the database could not be asked. Answers how much that was.
    pub fn let_lapse(&self) -> usize {
        let shared = &self.0.shared;
        let keys: Vec<Key> = shared.held.all().keys().cloned().collect();
        shared.held.lapse(&keys, shared.clock.monotonic())
    }

    /// Stops all work, at the end of a process. Jobs *open* are given back, to be taken up at once:
    /// a second pair harms nobody. The others keep their lease: only its end says that nothing of
    /// theirs is under way any more.
    pub async fn give_up(&self) {
        let (mut keys, mut open) = (Vec::new(), Vec::new());
        for (key, hold) in self.0.shared.held.all().iter() {
            keys.push(key.clone());
            if hold.claim.job.kind == JobKind::Open {
                open.push(hold.claim.clone());
            }
        }
        self.0.shared.held.lose(&keys, "the process ends");
        let release = async move {
            for claim in open {
                if let Err(error) = self.write(move |tx| tx.release(&claim)).await {
                    tracing::warn!(%error, "a job could not be given back; its lease ends by itself");
                }
            }
        };
        if tokio::time::timeout(LAST_ANSWERS, release).await.is_err() {
            tracing::warn!(
                "the database does not answer: leases of this process end by themselves"
            );
        }
    }
}
