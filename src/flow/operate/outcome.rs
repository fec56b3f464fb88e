//! What came of an operation, written down with the payment and its events, and with the answer of
//! the request that wanted it.

use jiff::Timestamp;

use crate::chaos::{self, Point};
use crate::flow::idempotency::{self, Answer, Key};
use crate::flow::observe::Alarms;
use crate::flow::pen::Pen;
use crate::flow::{House, Refusal, settle};
use crate::link::{
    Actor, EventKind, Failure, Link, LinkId, Operation, OperationKind, Outcome, Payment, Stage,
};
use crate::store::{Claim, Job, JobKind, Tx};

/// Klarna did it. Written down whatever became of the claim: it is a fact.
pub(super) async fn done(
    house: &House,
    claim: Claim,
    link: &Link,
    operation: Operation,
    named: Option<String>,
    key: Option<&Key>,
) -> Result<(), Refusal> {
    let (pen, key, id, of) = (house.pen(), key.cloned(), operation.id, operation.link);
    let listed = matches!(
        operation.kind(),
        OperationKind::Capture | OperationKind::Refund
    );
    let read = !listed || named.is_none();
    house
        .store
        .write(move |tx| {
            let mut pen = pen;
            tx.done(&claim)?;
            idempotency::settle(tx, key.as_ref(), Answer::Done)?;
            // under the link's lock: a read may have found it booked before this answer came
            let locked = tx.touch(of)?.ok_or(Refusal::NotFound)?;
            let mut operation = tx.operation(id)?.ok_or(Refusal::NotFound)?;
            if !operation.is_pending() {
                return Ok(());
            }
            operation.outcome = Outcome::Done {
                klarna: named.clone(),
                at: pen.at,
            };
            tx.save_operation(&operation)?;
            book(tx, locked, &operation, &mut pen)?;
            if read {
                tx.enqueue(&settle_now(of, pen.at))?;
            }
            Ok::<_, Refusal>(())
        })
        .await?;
    chaos::at(Point::OperateWritten);
    if read {
        read_again(house, link).await;
    }
    Ok(())
}

fn settle_now(link: LinkId, now: Timestamp) -> Job {
    Job {
        kind: JobKind::Settle,
        subject: link.to_string(),
        link,
        due_at: now,
    }
}

/// While the caller waits; the job that was promised does it where this does not come to an end.
async fn read_again(house: &House, link: &Link) {
    if let Err(refusal) = settle::read(house, link).await {
        tracing::info!(link = %link.id, error = &refusal as &dyn std::error::Error, "the payment is read again in the background");
    }
}

/// The payment after an operation that was just done.
fn book(tx: &mut Tx, mut link: Link, operation: &Operation, pen: &mut Pen) -> Result<(), Refusal> {
    let Stage::Completed { payment, .. } = &link.stage else {
        return Ok(());
    };
    let payment: Payment = (**payment).clone();
    link.updated_at = pen.at;
    link.stage = link.stage.settled(payment.after(operation))?;
    let kind = match operation.kind() {
        OperationKind::Capture => Some(EventKind::PaymentCaptured),
        OperationKind::Refund => Some(EventKind::PaymentRefunded),
        OperationKind::Cancel => Some(EventKind::PaymentCancelled),
        OperationKind::Release => Some(EventKind::PaymentReleased),
        // told of with the new end, which only a read has
        OperationKind::Extend => None,
    };
    if let Some(kind) = kind {
        pen.tell(tx, &mut link, kind, None)?;
    }
    Ok(tx.save(&link)?)
}

/// Klarna will not do it. Who waits for the answer is told; else a person must hear of it. That
/// Klarna refused what our ledger allowed shows that the ledger is behind: it is read again.
pub(super) async fn failed(
    house: &House,
    claim: Claim,
    link: &Link,
    operation: Operation,
    why: Failure,
    key: Option<&Key>,
) -> Result<(), Refusal> {
    let (pen, key, id, of) = (house.pen(), key.cloned(), operation.id, operation.link);
    let told = claim.attempt == 1 && operation.created_by != Actor::Paylink;
    let alarms = house
        .store
        .write(move |tx| {
            tx.done(&claim)?;
            idempotency::settle(tx, key.as_ref(), Answer::Refused)?;
            let mut pen = pen;
            // under the link's lock: a read may find it booked in this moment
            let mut link = tx.touch(of)?.ok_or(Refusal::NotFound)?;
            let mut operation = tx.operation(id)?.ok_or(Refusal::NotFound)?;
            if !operation.is_pending() {
                return Ok(Alarms::new());
            }
            operation.outcome = Outcome::Failed {
                at: pen.at,
                why: why.clone(),
            };
            tx.save_operation(&operation)?;
            link.updated_at = pen.at;
            pen.tell(tx, &mut link, EventKind::PaymentOperationFailed, None)?;
            tx.save(&link)?;
            tx.enqueue(&settle_now(of, pen.at))?;
            let words = format!("{id} of {of} was not done: {}", why.detail);
            let alarm = (!told).then_some(("operation_failed", words));
            Ok::<_, Refusal>(alarm.into_iter().collect())
        })
        .await?;
    house.sound(alarms, of).await;
    read_again(house, link).await;
    Ok(())
}
