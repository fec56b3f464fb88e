//! Background work: claim, run, done. Jobs are rows that were committed with the state that caused
//! them; here they find a hand. The one list job → verb is [`crate::flow::run`].

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use jiff::SignedDuration;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::flow::{self, House};
use crate::store::{Claim, JobKind, StoreError};

/// Jobs of one kind that run at a time: enough to keep a slow upstream busy, few enough to leave
/// room for the others.
const HANDS: usize = 32;
/// At most so many jobs are claimed by one statement.
const BATCH: usize = 32;
/// An idempotency key is remembered this long (`contract.md`, Idempotency).
const KEYS_KEPT: SignedDuration = SignedDuration::from_hours(30 * 24);
/// Without a wake-up the table is looked at this often: jobs of other processes, and clocks.
const IDLE: Duration = Duration::from_millis(500);
/// How often the leases of this process are renewed.
const HEARTBEAT: Duration = Duration::from_secs(20);
/// A job that panicked comes again after this time; after five panics it is parked.
const AFTER_PANIC: SignedDuration = SignedDuration::from_secs(30);
/// A job that could not be written down comes again after this time.
const AFTER_FAULT: SignedDuration = SignedDuration::from_secs(5);

/// A job that could not be put back is put back so much later.
const PUT_BACK_AGAIN: Duration = Duration::from_secs(2);

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
    stop: CancellationToken,
    loops: Vec<JoinHandle<()>>,
    house: House,
}

/// Starts the background work of this process.
pub fn start(house: House) -> Worker {
    let stop = CancellationToken::new();
    let mut loops = vec![
        house.runtime.spawn(heartbeat(house.clone(), stop.clone())),
        house
            .runtime
            .spawn(housekeeping(house.clone(), stop.clone())),
    ];
    for kind in KINDS {
        loops.push(
            house
                .runtime
                .spawn(serve(house.clone(), *kind, stop.clone())),
        );
    }
    Worker { stop, loops, house }
}

impl Worker {
    /// Claims nothing more; waits for what is under way, at most `grace`.
    pub async fn stop(self, grace: Duration) {
        self.stop.cancel();
        for task in self.loops {
            if let Err(error) = task.await {
                tracing::error!(%error, "a loop of the worker ended badly");
            }
        }
        self.house.tasks.close();
        if tokio::time::timeout(grace, self.house.tasks.wait())
            .await
            .is_err()
        {
            tracing::warn!("work was under way when the time to stop was over; its leases heal it");
        }
    }
}

async fn serve(house: House, kind: JobKind, stop: CancellationToken) {
    let hands = Arc::new(Semaphore::new(HANDS));
    let woken = house.store.woken(kind);
    loop {
        let signal = woken.notified();
        tokio::pin!(signal);
        // registered before the look: a commit between look and wait is not missed
        signal.as_mut().enable();
        let claimed = match take(&house, kind, &hands).await {
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
            () = tokio::time::sleep(IDLE) => {}
        }
    }
}

/// Claims what is due and free hands can take, and sets it going.
async fn take(house: &House, kind: JobKind, hands: &Arc<Semaphore>) -> Result<usize, StoreError> {
    // wait for one hand, so that what is claimed begins at once
    let Ok(first) = hands.clone().acquire_owned().await else {
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
    let claims = claim(house, most, &[kind]).await?;
    let count = claims.len();
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

async fn claim(house: &House, most: u32, kinds: &[JobKind]) -> Result<Vec<Claim>, StoreError> {
    let now = house.clock.now();
    // the cheap look first: an idle worker must not take the writer
    let kinds: Vec<JobKind> = kinds.to_vec();
    let look = kinds.clone();
    let due = house.store.read(move |tx| tx.is_due(&look, now)).await?;
    if !due {
        return Ok(Vec::new());
    }
    let lease = house.lease.clone();
    house
        .store
        .write(move |tx| tx.claim(&lease, now, most, &kinds))
        .await
}

/// Runs one job to its end. A panic parks the job in the end and blocks no other.
async fn work(house: &House, claim: Claim) {
    let kind = claim.job.kind.as_str();
    let begun = tokio::time::Instant::now();
    let run = std::panic::AssertUnwindSafe(flow::run(house, claim.clone())).catch_unwind();
    let (outcome, again) = match run.await {
        Ok(Ok(())) => ("done", None),
        Ok(Err(refusal)) => {
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
    let Some((wait, poison)) = again else { return };
    let due = house
        .clock
        .now()
        .saturating_add(wait)
        .unwrap_or(jiff::Timestamp::MAX);
    put_back(house, claim, due, poison).await;
}

/// Puts a job back as soon as the database can be written again. Until then nobody takes it up while
/// this process lives: on SQLite a lease has no end, on PostgreSQL the heartbeat renews it.
async fn put_back(house: &House, claim: Claim, due: jiff::Timestamp, poison: bool) {
    let kind = claim.job.kind.as_str();
    loop {
        let claim = claim.clone();
        let again = house
            .store
            .write(move |tx| tx.again(&claim, due, poison))
            .await;
        let Err(error) = again else { return };
        tracing::warn!(%error, job = kind, "a job could not be put back");
        match error {
            StoreError::Overloaded
            | StoreError::Again
            | StoreError::Busy
            | StoreError::Lost
            | StoreError::Full => tokio::time::sleep(PUT_BACK_AGAIN).await,
            // no later try would go better; the end of this process brings it back
            _ => return,
        }
    }
}

async fn heartbeat(house: House, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(HEARTBEAT) => {}
        }
        let lease = house.lease.clone();
        if let Err(error) = house.store.write(move |tx| tx.renew(&lease)).await {
            tracing::error!(%error, "the leases of this process could not be renewed");
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
        let claims = claim(house, 1, KINDS).await?;
        if claims.is_empty() {
            return Ok(ran);
        }
        for claim in claims {
            work(house, claim).await;
            ran += 1;
        }
    }
}
