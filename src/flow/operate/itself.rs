//! A sale that asked to be captured at once is captured at once, by Klarna or else by us.

use jiff::{SignedDuration, Timestamp};

use super::{Wish, job, promise, weigh};
use crate::flow::{House, Refusal, after};
use crate::link::{Actor, LinkId, OperationId, OperationKind, PaymentStatus, Stage};

/// Klarna's own capture of an order that asked for it is waited for so long.
const ITS_OWN: SignedDuration = SignedDuration::from_mins(2);

/// An order that was to be captured at once and that Klarna did not capture is captured by us,
/// once, whole. (Whole: if Klarna does it in the same moment, one of the two is refused.) Answers
/// when to come again, where it is too early.
pub(in crate::flow) async fn capture_by_itself(
    house: &House,
    id: LinkId,
) -> Result<Option<Timestamp>, Refusal> {
    let link = house.store.read(move |tx| tx.link(id)).await?;
    let Some(link) = link.filter(|link| link.auto_capture && !link.mismatch) else {
        return Ok(None);
    };
    let Stage::Completed { at, payment, .. } = &link.stage else {
        return Ok(None);
    };
    if payment.status != PaymentStatus::Authorized
        || payment
            .fraud_status
            .as_deref()
            .is_some_and(|it| it != "ACCEPTED")
    {
        return Ok(None);
    }
    let due = after(*at, ITS_OWN);
    if house.clock.now() < due {
        return Ok(Some(due));
    }
    let (pen, wish) = (
        house.pen(),
        Wish {
            id: OperationId::derived(OperationKind::Capture, id, "auto_capture"),
            movement: None,
            by: Actor::Paylink,
        },
    );
    house
        .store
        .write(move |tx| {
            if tx.operation(wish.id)?.is_some() {
                return Ok::<_, Refusal>(());
            }
            let link = tx.touch(id)?.ok_or(Refusal::NotFound)?;
            // somebody else is at it
            let Ok(operation) = weigh(tx, &link, &wish, pen) else {
                return Ok(());
            };
            promise(tx, link, &operation, pen)?;
            Ok(tx.enqueue(&job(&operation, pen.at))?)
        })
        .await?;
    Ok(None)
}
