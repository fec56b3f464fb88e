//! *Settle*: Order Management tells what became of the money of a paid link, and is told that the
//! order arrived (`contract.md`, Paid). A push, a notification or a refresh only make it ask sooner.

use jiff::SignedDuration;

use super::book::{self, Booked};
use super::{House, Refusal, after, nth_wait, observe, operate};
use crate::chaos::{self, Point};
use crate::klarna::KlarnaError;
use crate::link::{Link, LinkId, Stage};
use crate::store::{Claim, Job, JobKind};

/// Waits until Order Management knows a new order, seconds; right after completion it may not.
const WAITS: &[i64] = &[2, 5, 15, 60, 120, 300, 600];
/// How often a payment is read that Klarna is still checking.
const PENDING: SignedDuration = SignedDuration::from_mins(10);

/// How often one read is repeated while money is booked.
const READS: usize = 3;

/// Asks Order Management again soon.
pub(super) async fn hasten(house: &House, id: LinkId) -> Result<(), Refusal> {
    let now = house.clock.now();
    house
        .store
        .write(move |tx| {
            tx.enqueue(&Job {
                kind: JobKind::Settle,
                subject: id.to_string(),
                link: id,
                due_at: now,
            })
        })
        .await?;
    Ok(())
}

/// Fills `payment`, acknowledges the order, and comes again while either is missing or Klarna
/// still checks.
pub(super) async fn settle(house: &House, claim: Claim) -> Result<(), Refusal> {
    let id = claim.job.link;
    let link = house.store.read(move |tx| tx.link(id)).await?;
    let Some(link) = link.filter(|link| matches!(link.stage, Stage::Completed { .. })) else {
        return house.finish(claim).await;
    };
    let Some(pair) = link.stage.pair() else {
        return house.finish(claim).await;
    };
    let soon = after(house.clock.now(), nth_wait(WAITS, claim.attempt - 1));
    let begun = book::begin(house, id).await?;
    let news = match house.klarna.read_payment(&pair.order).await {
        Ok(news) => news,
        Err(error) => {
            tracing::info!(link = %id, %error, "order management does not know the order yet");
            return house.retry(claim, soon).await;
        }
    };
    chaos::at(Point::SettleRead);
    let pending = news.payment.fraud_status.as_deref() == Some("PENDING");
    if book::write_down(house, id, begun, news).await? == Booked::Stale {
        // money was booked while Klarna was read: nothing failed, however often it was tried before
        let again = after(house.clock.now(), nth_wait(WAITS, 0));
        return house.retry(claim, again).await;
    }
    chaos::at(Point::SettleWritten);
    if !link.acknowledged && !acknowledge(house, &link, &pair.order).await? {
        return house.retry(claim, soon).await;
    }
    if pending {
        let due = after(house.clock.now(), PENDING);
        return house.retry(claim, due).await;
    }
    match operate::capture_by_itself(house, id).await? {
        Some(due) => house.retry(claim, due).await,
        None => house.finish(claim).await,
    }
}

/// Reads the payment of a completed link now, again where something was booked meanwhile;
/// `KlarnaUnavailable` where it did not answer.
pub(super) async fn read(house: &House, link: &Link) -> Result<Booked, Refusal> {
    let Some(pair) = link.stage.pair() else {
        return Ok(Booked::Known);
    };
    for _ in 0..READS {
        let begun = book::begin(house, link.id).await?;
        let news = house.klarna.read_payment(&pair.order).await;
        let news = news.map_err(|error| observe::unavailable(&error))?;
        if book::write_down(house, link.id, begun, news).await? == Booked::Known {
            return Ok(Booked::Known);
        }
    }
    Ok(Booked::Stale)
}

/// Tells Order Management that the order arrived; `false` where it has to be told again. The key
/// is derived from the link, so a repeat is the same call for Klarna.
async fn acknowledge(house: &House, link: &Link, order: &str) -> Result<bool, Refusal> {
    let key = uuid::Uuid::new_v5(&link.id.uuid(), b"acknowledge");
    chaos::at(Point::SettleUnacknowledged);
    let told = house.klarna.acknowledge(order, key).await;
    chaos::at(Point::SettleAcknowledged);
    match told {
        Ok(()) | Err(KlarnaError::Refused(_)) => {}
        // cancelled meanwhile; there is nothing to acknowledge any more
        Err(KlarnaError::Forbidden(refusal)) if refusal.status == 403 => {}
        Err(error) => {
            tracing::info!(link = %link.id, %error, "the order is not acknowledged yet");
            return Ok(false);
        }
    }
    let (id, now) = (link.id, house.clock.now());
    house
        .store
        .write(move |tx| {
            let mut link = tx.touch(id)?.ok_or(Refusal::NotFound)?;
            link.acknowledged = true;
            link.updated_at = now;
            Ok::<_, Refusal>(tx.save(&link)?)
        })
        .await?;
    chaos::at(Point::SettleNoted);
    Ok(true)
}
