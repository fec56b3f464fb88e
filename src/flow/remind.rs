//! *Remind*: money that is authorised and not captured is lost when the authorisation ends
//! (`contract.md`, Events: `payment.expiring`).

use jiff::{SignedDuration, Timestamp};

use super::{House, Refusal, after};
use crate::chaos::{self, Point};
use crate::link::{EventKind, Link, Payment, PaymentStatus, Stage};
use crate::store::{Claim, Job, JobKind, StoreError, Tx};

/// How long before its end the seller is reminded.
const BEFORE: [SignedDuration; 2] = [
    SignedDuration::from_hours(7 * 24),
    SignedDuration::from_hours(2 * 24),
];
/// So long after its end Order Management is read once more: the payment has expired then.
const AFTER: SignedDuration = SignedDuration::from_hours(1);

/// Something can still be captured, until this moment.
fn end(payment: &Payment) -> Option<Timestamp> {
    let open = matches!(
        payment.status,
        PaymentStatus::Authorized | PaymentStatus::PartCaptured
    );
    let left = payment.remaining_amount.is_some_and(|it| it > 0);
    payment.expires_at.filter(|_| open && left)
}

/// The moments at which something is to be said or read.
fn moments(end: Timestamp) -> [Timestamp; 3] {
    let before = BEFORE.map(|it| end.saturating_sub(it).unwrap_or(end));
    [before[0], before[1], after(end, AFTER)]
}

fn next(end: Timestamp, now: Timestamp) -> Option<Timestamp> {
    moments(end).into_iter().find(|it| *it > now)
}

/// Promises the next reminder of a payment that was just read.
pub(super) fn schedule(tx: &mut Tx, link: &Link, now: Timestamp) -> Result<(), StoreError> {
    let Stage::Completed { payment, .. } = &link.stage else {
        return Ok(());
    };
    let Some(due_at) = end(payment).and_then(|end| next(end, now)) else {
        return Ok(());
    };
    tx.enqueue(&Job {
        kind: JobKind::Remind,
        subject: link.id.to_string(),
        link: link.id,
        due_at,
    })
}

/// Says that the end is near, unless the money was captured or the end was moved meanwhile.
pub(super) async fn remind(house: &House, claim: Claim) -> Result<(), Refusal> {
    let id = claim.job.link;
    let pen = house.pen();
    house
        .store
        .write(move |tx| {
            let mut pen = pen;
            let link = tx.link(id)?;
            let end = link.as_ref().and_then(|link| match &link.stage {
                Stage::Completed { payment, .. } => end(payment),
                _ => None,
            });
            let Some(end) = end else {
                tx.done(&claim)?;
                return Ok(());
            };
            if pen.at >= end {
                tx.enqueue(&Job {
                    kind: JobKind::Settle,
                    subject: id.to_string(),
                    link: id,
                    due_at: pen.at,
                })?;
                tx.done(&claim)?;
                return Ok(());
            }
            let left = match next(end, pen.at) {
                Some(due) => tx.again(&claim, due, false)?,
                None => tx.done(&claim)?,
            };
            // an end that was moved leaves a promise at a moment that is none any more
            let due = claim.job.due_at.as_microsecond();
            let is_moment = moments(end).iter().any(|it| it.as_microsecond() == due);
            if left && is_moment {
                let mut link = tx.touch(id)?.ok_or(Refusal::NotFound)?;
                link.updated_at = pen.at;
                pen.tell(tx, &mut link, EventKind::PaymentExpiring, None)?;
                tx.save(&link)?;
            }
            Ok::<_, Refusal>(())
        })
        .await?;
    chaos::at(Point::RemindWritten);
    Ok(())
}
