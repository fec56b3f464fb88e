//! *Recover*: a ledger that is a copy learns what happened after it was made. What may have left
//! has left or not, nobody can tell (failure-model, Three outcomes); what may have been shown is not
//! made again (One to one); what can be read is read, before any job runs. The mark of a copy keeps
//! all jobs from being claimed; taking it away is the last step, so a crash goes on where it was.

use std::time::Duration;

use futures_util::StreamExt;
use jiff::{SignedDuration, Timestamp};

use super::{House, Refusal, after, observe, settle};
use crate::link::{
    DeliveryId, DeliveryStatus, EventKind, Failure, FailureCode, Link, LinkId, Mode, PaymentStatus,
    Reason, ReasonCode, Stage, Status,
};
use crate::store::{Job, JobKind, Recovery, Step, StoreError, Tx};

/// Rows that are looked at between two notes of how far it is.
const PAGE: u32 = 50;
/// Links that are read at a time.
const AT_ONCE: usize = 8;
/// Links that are read in a second: what is left of Klarna's limits (200/s live, 50/s in the
/// playground) serves the agents who are at work meanwhile.
const LIVE_PACE: u32 = 100;
const TEST_PACE: u32 = 20;
/// Jobs wait for Klarna's answers so long; then they run, and each link is read when it can be.
const PATIENCE: SignedDuration = SignedDuration::from_mins(15);
/// Waits while Klarna answers nothing, seconds.
const WAITS: &[i64] = &[1, 2, 5, 15, 30];
/// A link that is not answered about while others are is tried so often.
const TRIES: i64 = 3;
/// What was captured in whole is refunded within such a time, or hardly ever.
const REFUNDED_WITHIN: SignedDuration = SignedDuration::from_hours(180 * 24);
/// Captured payments that are read again in a second, once jobs run.
const REREAD_PACE: i64 = 10;

/// What a recovery came to.
#[derive(Default)]
struct Tally {
    messages: usize,
    failed: usize,
    read: usize,
    unread: usize,
    captured: i64,
}

/// Brings a ledger that is a copy up to now; does nothing to one that is none, or whose recovery
/// another process is at. May be dropped and called again at any moment.
///
/// # Errors
/// Where the store cannot be read or written.
pub async fn recover(house: &House) -> Result<(), Refusal> {
    if is_marked(house).await?.is_none() {
        return Ok(());
    }
    let mut tally = Tally::default();
    let mut page = Page::default();
    loop {
        let lease = house.lease.clone();
        // also renews our hold on it: a page takes less than a minute
        let taken = house
            .store
            .write(move |tx| tx.take_recovery(&lease))
            .await?;
        let Some(mut at) = taken else { return Ok(()) };
        let more = match at.step {
            Step::Deliveries => messages(house, &at, &mut page, &mut tally).await?,
            Step::Creating => pageless(house, &mut at, &mut tally).await?,
            Step::Open => links(house, &mut at, Status::Open, &mut tally).await?,
            Step::Disabling => links(house, &mut at, Status::Disabling, &mut tally).await?,
            Step::Completed => links(house, &mut at, Status::Completed, &mut tally).await?,
        };
        if !more {
            at.after = None;
            match at.step.next() {
                Some(next) => at.step = next,
                None => return end(house, at, &tally).await,
            }
        }
        let lease = house.lease.clone();
        if !house
            .store
            .write(move |tx| tx.save_recovery(&at, &lease))
            .await?
        {
            return Ok(());
        }
        tracing::info!(
            messages = tally.messages, links = tally.read, unread = tally.unread, step = ?at.step,
            "this ledger is a copy: finding out what happened since it was made"
        );
    }
}

async fn is_marked(house: &House) -> Result<Option<Recovery>, StoreError> {
    // the method alone is not general over a transaction's lifetime
    #[allow(clippy::redundant_closure_for_method_calls)]
    house.store.read(|tx| tx.recovery()).await
}

async fn end(house: &House, at: Recovery, tally: &Tally) -> Result<(), Refusal> {
    let lease = house.lease.clone();
    if !house
        .store
        .write(move |tx| tx.end_recovery(&at, &lease))
        .await?
    {
        return Ok(());
    }
    for kind in JobKind::ALL {
        house.store.wake(*kind);
    }
    let words = format!(
        "the ledger was restored from a copy of {}: {} messages may have left since and are not sent again, \
         {} links may have been shown and failed, {} links were read at Klarna, {} could not be and will be",
        at.marked_at, tally.messages, tally.failed, tally.read, tally.unread
    );
    house.alert("restored", &words, None).await;
    Ok(())
}

/// How far the messages are; their own status says it in the database.
#[derive(Default)]
struct Page {
    after: Option<DeliveryId>,
}

/// Each message that had not left may have left after the copy was made.
async fn messages(
    house: &House,
    at: &Recovery,
    page: &mut Page,
    tally: &mut Tally,
) -> Result<bool, Refusal> {
    let (until, after) = (at.marked_at, page.after);
    let ids = house
        .store
        .read(move |tx| tx.unsent_deliveries(until, after, PAGE))
        .await?;
    let Some(last) = ids.last() else {
        return Ok(false);
    };
    page.after = Some(*last);
    let doubted = ids.into_iter().map(|id| doubt(house, id));
    let mut doubted = futures_util::stream::iter(doubted).buffered(AT_ONCE);
    while let Some(one) = doubted.next().await {
        tally.messages += usize::from(one?);
    }
    Ok(true)
}

async fn doubt(house: &House, id: DeliveryId) -> Result<bool, Refusal> {
    let pen = house.pen();
    house
        .store
        .write(move |tx| {
            let mut pen = pen;
            let Some(mut delivery) = tx.delivery(id)? else {
                return Ok(false);
            };
            if !matches!(
                delivery.status,
                DeliveryStatus::Queued | DeliveryStatus::Sending
            ) {
                return Ok(false);
            }
            let mut link = tx.touch(delivery.link)?.ok_or(Refusal::NotFound)?;
            for attempt in tx.open_attempts(id)? {
                tx.finish_attempt(attempt.id, "unknown", "restored from a copy", pen.at)?;
            }
            delivery.status = DeliveryStatus::Unknown;
            delivery.next_attempt_at = None;
            delivery.reason = Some(Reason {
                code: ReasonCode::UnknownOutcome,
                detail: "the database was restored from a copy, and the message may have left after that was made".into(),
            });
            tx.save_delivery(&delivery)?;
            link.updated_at = pen.at;
            pen.tell(tx, &mut link, EventKind::DeliveryUnknown, Some(&delivery))?;
            tx.save(&link)?;
            tx.cancel(JobKind::Deliver, &id.to_string())?;
            Ok::<_, Refusal>(true)
        })
        .await
}

/// A link without a page may have got one after the copy was made, and somebody may have been shown
/// it. Klarna cannot be asked for it, and a second one would make two that can be paid.
async fn pageless(house: &House, at: &mut Recovery, tally: &mut Tally) -> Result<bool, Refusal> {
    let links = listed(house, at, Status::Creating).await?;
    let Some(last) = links.last() else {
        return Ok(false);
    };
    at.after = Some((last.created_at, last.id));
    let failed = links.into_iter().map(|link| fail(house, link.id));
    let mut failed = futures_util::stream::iter(failed).buffered(AT_ONCE);
    while let Some(one) = failed.next().await {
        tally.failed += usize::from(one?);
    }
    Ok(true)
}

async fn fail(house: &House, id: LinkId) -> Result<bool, Refusal> {
    let pen = house.pen();
    house
        .store
        .write(move |tx| {
            let mut pen = pen;
            let mut link = tx.touch(id)?.ok_or(Refusal::NotFound)?;
            if link.stage.status() != Status::Creating {
                return Ok(false);
            }
            let why = Failure {
                code: FailureCode::GaveUp,
                detail: "the database was restored from a copy; a page that was made after that is not known any more".into(),
                klarna: None,
            };
            link.stage = link.stage.failed(pen.at, why)?;
            link.updated_at = pen.at;
            pen.tell(tx, &mut link, EventKind::LinkFailed, None)?;
            pen.skip_unsent(tx, &mut link)?;
            tx.save(&link)?;
            tx.cancel(JobKind::Open, &id.to_string())?;
            Ok::<_, Refusal>(true)
        })
        .await
}

async fn listed(house: &House, at: &Recovery, status: Status) -> Result<Vec<Link>, Refusal> {
    let (until, after) = (at.marked_at, at.after);
    let links = house
        .store
        .read(move |tx| tx.links_of_status(status, until, after, PAGE))
        .await?;
    Ok(links)
}

/// A page of links is read at Klarna. Where it answers about none of them the page waits, up to
/// [`PATIENCE`] in all.
async fn links(
    house: &House,
    at: &mut Recovery,
    status: Status,
    tally: &mut Tally,
) -> Result<bool, Refusal> {
    let begun = tokio::time::Instant::now();
    let links = listed(house, at, status).await?;
    let Some(last) = links.last().map(|link| (link.created_at, link.id)) else {
        return Ok(false);
    };
    let (spent, mut left): (Vec<_>, Vec<_>) = links.into_iter().partition(is_captured);
    reread_later(house, spent, tally).await?;
    let pace = match house.settings.mode {
        Mode::Live => LIVE_PACE,
        Mode::Test => TEST_PACE,
    };
    let due = Duration::from_secs(1) * u32::try_from(left.len()).unwrap_or(PAGE) / pace;
    let (mut round, mut answered) = (0, false);
    while !left.is_empty() {
        let asked = left.len();
        left = read(house, left).await?;
        tally.read += asked - left.len();
        let now = house.clock.now();
        answered |= left.len() < asked;
        if answered {
            at.silent_since = None;
        }
        if left.is_empty() {
            break;
        }
        let enough = if answered {
            round >= TRIES
        } else {
            now.duration_since(*at.silent_since.get_or_insert(now)) >= PATIENCE
        };
        if enough {
            tally.unread += left.len();
            read_when_it_can_be(house, left).await?;
            break;
        }
        let (kept, lease) = (*at, house.lease.clone());
        // how long it has been silent outlives us, and our hold on the recovery does not run out
        let ours = house
            .store
            .write(move |tx| {
                Ok::<_, StoreError>(
                    tx.take_recovery(&lease)?.is_some() && tx.save_recovery(&kept, &lease)?,
                )
            })
            .await?;
        if !ours {
            return Ok(true);
        }
        let wait = super::nth_wait(WAITS, round);
        round += 1;
        tokio::time::sleep(Duration::try_from(wait).unwrap_or_default()).await;
    }
    at.after = Some(last);
    tokio::time::sleep_until(begun + due).await;
    Ok(true)
}

/// Answers those that Klarna did not answer about.
async fn read(house: &House, links: Vec<Link>) -> Result<Vec<Link>, Refusal> {
    let reads = links.into_iter().map(|link| async move {
        let done = match link.stage.status() {
            Status::Completed => settle::read(house, &link).await.map(drop),
            _ => observe::read_back(house, &link).await.map(drop),
        };
        (link, done)
    });
    let mut reads = futures_util::stream::iter(reads).buffered(AT_ONCE);
    let mut left = Vec::new();
    while let Some((link, done)) = reads.next().await {
        match done {
            Ok(()) => {}
            Err(Refusal::KlarnaUnavailable(..)) => left.push(link),
            Err(refusal) => return Err(refusal),
        }
    }
    Ok(left)
}

/// Nobody waits for Klarna any longer; each link's own job reads it as soon as it can.
async fn read_when_it_can_be(house: &House, links: Vec<Link>) -> Result<(), Refusal> {
    let now = house.clock.now();
    promise(house, links.iter().map(|link| due(link, now)).collect()).await
}

fn due(link: &Link, due_at: Timestamp) -> Job {
    Job {
        kind: match link.stage.status() {
            Status::Completed => JobKind::Settle,
            _ => JobKind::Watch,
        },
        subject: link.id.to_string(),
        link: link.id,
        due_at,
    }
}

/// Money that was captured in whole can only be refunded: no job asks for that, and there may be
/// very many. They are read when jobs run again, a few in a second.
fn is_captured(link: &Link) -> bool {
    matches!(&link.stage, Stage::Completed { payment, .. } if payment.status == PaymentStatus::Captured)
}

async fn reread_later(house: &House, links: Vec<Link>, tally: &mut Tally) -> Result<(), Refusal> {
    let now = house.clock.now();
    let young = |link: &Link| match &link.stage {
        Stage::Completed { at, .. } => now.duration_since(*at) < REFUNDED_WITHIN,
        _ => true,
    };
    let mut jobs = Vec::new();
    for link in links.iter().filter(|link| young(link)) {
        tally.captured += 1;
        let wait = SignedDuration::from_millis(tally.captured * 1_000 / REREAD_PACE);
        jobs.push(due(link, after(now, wait)));
    }
    promise(house, jobs).await
}

async fn promise(house: &House, jobs: Vec<Job>) -> Result<(), Refusal> {
    if jobs.is_empty() {
        return Ok(());
    }
    house
        .store
        .write(move |tx: &mut Tx| {
            for job in &jobs {
                tx.enqueue(job)?;
            }
            Ok::<_, Refusal>(())
        })
        .await
}
