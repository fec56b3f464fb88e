//! Background work: claim, run, done. Jobs are rows that were committed with the state that caused
//! them; here they find a hand. The one list job → verb is [`crate::flow::run`]. Beside it what every
//! process does that holds a lease, also one that only serves: the heartbeat, the look at the clocks,
//! the exchange of Klarna's gates.

mod clocks;

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use jiff::SignedDuration;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use self::clocks::Clocks;
use crate::chaos::{self, Point};
use crate::flow::{self, Gates, House};
use crate::store::{Claim, JobKind, Lane, Lease, StoreError};

/// Jobs of one lane that run at a time: enough to keep a slow upstream busy, few enough to leave
/// room for the others.
const HANDS: usize = 32;
/// At most so many jobs are claimed by one statement.
const BATCH: usize = 32;
/// An idempotency key is remembered this long (`contract.md`, Idempotency).
const KEYS_KEPT: SignedDuration = SignedDuration::from_hours(30 * 24);
/// Without a wake-up the table is looked at this often: jobs of other processes, and clocks.
const IDLE: Duration = Duration::from_millis(500);
/// Other processes may commit a thousand times a second; one look serves all that came meanwhile.
const PAUSE: Duration = Duration::from_millis(20);
/// How often wall clock and monotonic clock are compared, and other processes' gates looked at.
const TICK: Duration = Duration::from_secs(1);
/// After so much of a stop no effect begins any more; the rest is for what is under way.
const LAST_CALL: Duration = Duration::from_secs(10);
/// A job that panicked comes again after this time; after five panics it is parked.
const AFTER_PANIC: SignedDuration = SignedDuration::from_secs(30);
/// A job that could not be written down comes again after this time.
const AFTER_FAULT: SignedDuration = SignedDuration::from_secs(5);

const KINDS: &[JobKind] = &[
    JobKind::Open,
    JobKind::Deliver,
    JobKind::Disable,
    JobKind::Abort,
    JobKind::Watch,
    JobKind::Settle,
    JobKind::Expire,
    JobKind::Operate,
    JobKind::Remind,
];

/// A worker at work; stops when told.
pub struct Worker {
    /// Nothing more is claimed.
    stop: CancellationToken,
    loops: Vec<JoinHandle<()>>,
    /// Go on until what is under way has ended.
    beats: Vec<JoinHandle<()>>,
    house: House,
}

/// Starts the background work of this process. Without `jobs` it claims none, and only keeps what
/// its requests hold.
pub fn start(house: House, jobs: bool) -> Worker {
    let stop = CancellationToken::new();
    let clocks = Arc::new(Clocks::new(&house.clock));
    let mut beats = vec![
        house
            .runtime
            .spawn(tick(house.clone(), Arc::clone(&clocks))),
    ];
    // SQLite's leases have no end; the beat frees what nobody works on any more there, too
    beats.push(
        house
            .runtime
            .spawn(heartbeat(house.clone(), Arc::clone(&clocks))),
    );
    if house.store.is_shared() {
        beats.push(house.runtime.spawn(share_gates(house.clone())));
    }
    let mut loops = Vec::new();
    if jobs {
        let look = look_out(house.clone(), stop.clone());
        let keep = housekeeping(house.clone(), stop.clone());
        loops.push(house.runtime.spawn(look));
        loops.push(house.runtime.spawn(keep));
        let recovering = recovery(house.clone(), stop.clone());
        loops.push(house.runtime.spawn(recovering));
        for lane in KINDS.iter().flat_map(|kind| Lane::of(*kind)) {
            let serving = serve(house.clone(), lane, stop.clone(), Arc::clone(&clocks));
            loops.push(house.runtime.spawn(serving));
        }
    }
    Worker {
        stop,
        loops,
        beats,
        house,
    }
}

impl Worker {
    /// Claims nothing more.
    pub fn claims_no_more(&self) {
        self.stop.cancel();
    }

    /// Waits for what is under way, `grace` after `begun` at most; from 10 s after it on, nothing
    /// that reaches outside begins. What is left then is stopped where it stands.
    pub async fn stop(self, begun: Instant, grace: Duration) {
        self.claims_no_more();
        for mut task in self.loops {
            match tokio::time::timeout_at(begun + LAST_CALL, &mut task).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::error!(%error, "a loop of the worker ended badly"),
                // a database that does not answer holds it up
                Err(_) => task.abort(),
            }
        }
        let tasks = &self.house.tasks;
        tasks.close();
        let calls = tokio::time::timeout_at(begun + LAST_CALL, tasks.wait());
        if calls.await.is_err() {
            self.house.close();
            let ends = tokio::time::timeout_at(begun + grace, tasks.wait());
            if ends.await.is_err() {
                tracing::warn!("work was under way when the time to stop was over");
                self.house.store.give_up().await;
            }
        }
        for beat in self.beats {
            beat.abort();
        }
        self.house.store.close().await;
    }
}

async fn serve(house: House, lane: Lane, stop: CancellationToken, clocks: Arc<Clocks>) {
    let kind = lane.kind();
    let hands = Arc::new(Semaphore::new(HANDS));
    let woken = house.store.woken(kind);
    loop {
        let signal = woken.notified();
        tokio::pin!(signal);
        // registered before the look: a commit between look and wait is not missed
        signal.as_mut().enable();
        // looked at here, too: a leap is met by what it makes due before the next tick notices it
        let taken = if kind == JobKind::Expire && clocks.are_doubted(&house).await {
            Ok(0)
        } else {
            take(&house, lane, &hands, &stop).await
        };
        let claimed = match taken {
            Ok(claimed) => claimed,
            Err(error) => {
                tracing::warn!(%error, kind = kind.as_str(), "jobs could not be claimed");
                0
            }
        };
        if stop.is_cancelled() {
            return;
        }
        if claimed > 0 {
            continue;
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = signal => {}
        }
    }
}

/// Wakes the kinds of which something became due: by another process's commit, where that is
/// heard, or because its time came. One look for all of them, so that many idle processes cost the
/// database little; what this process commits itself wakes its kind at once.
async fn look_out(house: House, stop: CancellationToken) {
    let elsewhere = house.store.woken_elsewhere();
    loop {
        let now = house.clock.now();
        match house.store.read(move |tx| tx.due_kinds(KINDS, now)).await {
            Ok(due) => {
                for kind in due {
                    house.store.wake(kind);
                }
            }
            Err(error) => tracing::warn!(%error, "due jobs could not be looked for"),
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(PAUSE) => {}
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = elsewhere.notified() => {}
            () = tokio::time::sleep(IDLE) => {}
        }
    }
}

/// Claims what is due and free hands can take, and sets it going.
async fn take(
    house: &House,
    lane: Lane,
    hands: &Arc<Semaphore>,
    stop: &CancellationToken,
) -> Result<usize, StoreError> {
    // wait for one hand, so that what is claimed begins at once; all of them may be held for minutes
    let hand = stop.run_until_cancelled(hands.clone().acquire_owned());
    let Some(Ok(first)) = hand.await else {
        return Ok(0);
    };
    let mut permits = vec![first];
    while permits.len() < BATCH {
        match hands.clone().try_acquire_owned() {
            Ok(permit) => permits.push(permit),
            Err(_) => break,
        }
    }
    let most = u32::try_from(permits.len()).unwrap_or(1);
    if !is_due(house, lane).await? || stop.is_cancelled() {
        return Ok(0);
    }
    // the longest due first, as many as Klarna's limit leaves room for
    let watches = lane.kind() == JobKind::Watch;
    let budget = if watches {
        house.may_read(most).await
    } else {
        most
    };
    let claims = claim(house, budget, lane).await?;
    let count = claims.len();
    if count > 0 {
        chaos::at(Point::WorkerClaimed);
    }
    if watches {
        let spent = u32::try_from(count).unwrap_or(budget);
        house.klarna.unread(budget.saturating_sub(spent));
    }
    for claim in claims {
        let Some(permit) = permits.pop() else { break };
        let hand = house.clone();
        house.tasks.spawn_on(
            async move {
                work(&hand, claim).await;
                drop(permit);
            },
            &house.runtime,
        );
    }
    Ok(count)
}

/// The cheap look before the claim: an idle worker must not take the writer.
async fn is_due(house: &House, lane: Lane) -> Result<bool, StoreError> {
    let now = house.clock.now();
    house.store.read(move |tx| tx.is_due(lane, now)).await
}

async fn claim(house: &House, most: u32, lane: Lane) -> Result<Vec<Claim>, StoreError> {
    let now = house.clock.now();
    let lease = house.lease.clone();
    house
        .store
        .write(move |tx| tx.claim_in(lane, &lease, now, most))
        .await
}

/// Runs one job to its end. A panic parks the job in the end and blocks no other.
async fn work(house: &House, claim: Claim) {
    let kind = claim.job.kind.as_str();
    let begun = Instant::now();
    let run = Box::pin(flow::run(house, claim.clone()));
    let run = house.store.under(&claim, run);
    let run = std::panic::AssertUnwindSafe(run).catch_unwind();
    let (outcome, again) = match run.await {
        Ok(Some(Ok(()))) => ("done", None),
        // a successor decides by what was written down
        Ok(None) => ("lost", None),
        Ok(Some(Err(refusal))) => {
            tracing::warn!(
                job = kind,
                subject = claim.job.subject,
                error = &refusal as &dyn std::error::Error,
                "a job could not be done"
            );
            ("fault", Some((AFTER_FAULT, false)))
        }
        Err(_) => {
            tracing::error!(job = kind, subject = claim.job.subject, "a job panicked");
            ("panic", Some((AFTER_PANIC, true)))
        }
    };
    metrics::histogram!("paylink_job_seconds", "kind" => kind, "outcome" => outcome)
        .record(begun.elapsed().as_secs_f64());
    chaos::at(Point::WorkerDone);
    let Some((wait, poison)) = again else { return };
    let due = house
        .clock
        .now()
        .saturating_add(wait)
        .unwrap_or(jiff::Timestamp::MAX);
    let put_back = claim.clone();
    match house
        .store
        .write(move |tx| tx.again(&put_back, due, poison))
        .await
    {
        Ok(true) if poison && claim.is_last_try() => flow::parked(house, &claim).await,
        Ok(_) => {}
        // its lease ends, or this process does: either way it comes again
        Err(error) => tracing::warn!(%error, job = kind, "a job could not be put back"),
    }
}

/// Renews the leases of this process. What does not come back is stopped.
async fn heartbeat(house: House, clocks: Arc<Clocks>) {
    let lease = Lease::length();
    // where a lease lasts a minute: a beat every 20 s, 2 s after one that failed, and each within
    // 10 s, for a connection that hangs must not keep the next one waiting
    let (pace, again, patience) = (lease / 3, lease / 30, lease / 6);
    loop {
        let begun = Instant::now();
        let beat = tokio::time::timeout(patience, house.store.renew_leases());
        let wait = match beat.await {
            Ok(Ok(_)) => {
                let compared = tokio::time::timeout(patience, clocks.compare(&house));
                if let Ok(Err(error)) = compared.await {
                    tracing::warn!(%error, "the database's clock could not be read");
                }
                // what the look took is no reason to renew later
                pace.saturating_sub(begun.elapsed())
            }
            Ok(Err(error)) => {
                tracing::error!(%error, "the leases of this process could not be renewed");
                again
            }
            Err(_) => {
                tracing::error!("the leases of this process were not renewed in time");
                again
            }
        };
        tokio::time::sleep(wait).await;
    }
}

/// Looks each second at leases that ran out, and at a wall clock that was set.
async fn tick(house: House, clocks: Arc<Clocks>) {
    loop {
        tokio::time::sleep(TICK).await;
        house.store.let_lapse();
        clocks.are_doubted(&house).await;
    }
}

/// Klarna's breakers, as other processes see them.
async fn share_gates(house: House) {
    let mut gates = Gates::default();
    loop {
        gates.exchange(&house).await;
        tokio::select! {
            () = house.klarna.turned() => {}
            () = tokio::time::sleep(TICK) => {}
        }
    }
}

/// How often it is looked whether somebody said that this ledger is a copy.
const A_COPY: Duration = Duration::from_secs(5);

/// A ledger that is a copy learns what happened since; until then nothing can be claimed.
async fn recovery(house: House, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            done = flow::recover(&house) => if let Err(refusal) = done {
                tracing::warn!(
                    error = &refusal as &dyn std::error::Error,
                    "the recovery of a copy is not done yet"
                );
            }
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(A_COPY) => {}
        }
    }
}

/// Rows that nobody may ask for any more.
async fn housekeeping(house: House, stop: CancellationToken) {
    loop {
        let now = house.clock.now();
        if let Err(error) = house
            .store
            .write(move |tx| tx.purge_idempotency(now - KEYS_KEPT))
            .await
        {
            tracing::warn!(%error, "old rows could not be removed");
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(Duration::from_hours(1)) => {}
        }
    }
}

/// Runs everything that is due until nothing is, one after the other: a test says "the worker
/// runs" and knows afterwards that it is done. Answers how many jobs ran.
///
/// # Errors
/// Where the store cannot be read or written.
pub async fn drain(house: &House) -> Result<usize, StoreError> {
    let mut ran = 0;
    loop {
        let (now, lease) = (house.clock.now(), house.lease.clone());
        let claims = house
            .store
            .write(move |tx| tx.claim(&lease, now, 1, KINDS))
            .await?;
        if claims.is_empty() {
            return Ok(ran);
        }
        for claim in claims {
            work(house, claim).await;
            ran += 1;
        }
    }
}
