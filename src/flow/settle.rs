//! *Settle*: Order Management tells what became of the money of a paid link, and is told that the
//! order arrived (`contract.md`, Paid). A push, a notification or a refresh only make it ask sooner.

use jiff::SignedDuration;

use super::observe;
use super::{House, Refusal, after, nth_wait};
use crate::klarna::KlarnaError;
use crate::link::{EventKind, Link, LinkId, PaymentNews, Stage};
use crate::store::{Claim, Job, JobKind};

/// Waits until Order Management knows a new order, seconds; right after completion it may not.
const WAITS: &[i64] = &[2, 5, 15, 60, 120, 300, 600];
/// How often a payment is read that Klarna is still checking.
const PENDING: SignedDuration = SignedDuration::from_mins(10);

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
    let news = match house.klarna.read_payment(&pair.order).await {
        Ok(news) => news,
        Err(error) => {
            tracing::info!(link = %id, %error, "order management does not know the order yet");
            return house.retry(claim, soon).await;
        }
    };
    let pending = news.payment.fraud_status.as_deref() == Some("PENDING");
    write_down(house, id, news).await?;
    if !link.acknowledged && !acknowledge(house, &link, &pair.order).await? {
        return house.retry(claim, soon).await;
    }
    if pending {
        let due = after(house.clock.now(), PENDING);
        return house.retry(claim, due).await;
    }
    house.finish(claim).await
}

async fn write_down(house: &House, id: LinkId, news: PaymentNews) -> Result<(), Refusal> {
    let pen = house.pen();
    let alarm = house
        .store
        .write(move |tx| {
            let mut pen = pen;
            let before = tx.link(id)?.ok_or(Refusal::NotFound)?;
            let Stage::Completed { payment, .. } = &before.stage else {
                return Ok(None);
            };
            let ours = before.owns(
                &news.order,
                news.amount,
                news.currency.as_deref(),
                news.merchant_reference2.as_deref(),
            );
            let known = **payment == news.payment
                && before.klarna.reference == news.klarna_reference
                && (ours || before.mismatch);
            if known {
                return Ok(None);
            }
            let fraud = payment
                .fraud_status
                .as_ref()
                .is_some_and(|known| Some(known) != news.payment.fraud_status.as_ref());
            let mut link = tx.touch(id)?.ok_or(Refusal::NotFound)?;
            link.updated_at = pen.at;
            link.stage = link.stage.settled(news.payment.clone())?;
            link.klarna.verified_at = Some(pen.at);
            if news.klarna_reference.is_some() {
                link.klarna.reference.clone_from(&news.klarna_reference);
            }
            if fraud {
                pen.tell(tx, &mut link, EventKind::PaymentFraudUpdated, None)?;
            }
            let alarm = if ours {
                None
            } else {
                observe::mismatch(tx, &mut link, &mut pen)?
            };
            tx.save(&link)?;
            Ok::<_, Refusal>(alarm)
        })
        .await?;
    house.sound(alarm, id).await;
    Ok(())
}

/// Tells Order Management that the order arrived; `false` where it has to be told again. The key
/// is derived from the link, so a repeat is the same call for Klarna.
async fn acknowledge(house: &House, link: &Link, order: &str) -> Result<bool, Refusal> {
    let key = uuid::Uuid::new_v5(&link.id.uuid(), b"acknowledge");
    match house.klarna.acknowledge(order, key).await {
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
    Ok(true)
}
