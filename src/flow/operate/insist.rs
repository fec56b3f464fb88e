//! Klarna is asked, again under the same key while it remembers that, until it says yes or no; an
//! answer that was lost is looked up in its books.

use jiff::SignedDuration;

use super::outcome::{done, failed};
use crate::chaos::{self, Point};
use crate::flow::book::Booked;
use crate::flow::idempotency::Key;
use crate::flow::{House, Refusal, after, nth_wait, settle};
use crate::klarna::{KlarnaError, Movement};
use crate::link::{Actor, Failure, FailureCode, Link, Operation, OperationId, OperationKind};
use crate::store::Claim;

/// Waits between tries, seconds; the last one repeats.
const WAITS: &[i64] = &[2, 5, 15, 60, 300, 600];
/// Klarna remembers a key for 24 h; a repeat under it stops well before.
const KEY_LIFE: SignedDuration = SignedDuration::from_hours(20);
/// What nobody could settle by reading is looked at again so much later.
const UNCLEAR: SignedDuration = SignedDuration::from_hours(24);

/// The worker's entry: what is pending is insisted on until Klarna says yes or no.
pub(in crate::flow) async fn insist(house: &House, claim: Claim) -> Result<(), Refusal> {
    let Ok(id) = claim.job.subject.parse::<OperationId>() else {
        return house.finish(claim).await;
    };
    match house.store.read(move |tx| tx.operation(id)).await? {
        Some(operation) if operation.is_pending() => ask(house, claim, operation, None).await,
        _ => house.finish(claim).await,
    }
}

pub(super) async fn ask(
    house: &House,
    claim: Claim,
    operation: Operation,
    key: Option<&Key>,
) -> Result<(), Refusal> {
    let id = operation.link;
    let link = house.store.read(move |tx| tx.link(id)).await?;
    let Some(link) = link else {
        return house.finish(claim).await;
    };
    let Some(pair) = link.stage.pair() else {
        return house.finish(claim).await;
    };
    let now = house.clock.now();
    // the first claim is born with its operation; only a later one may follow a lost answer
    let fresh = claim.attempt == 1 || operation.asked_at.is_none();
    if !fresh
        && operation
            .asked_at
            .is_some_and(|at| now > after(at, KEY_LIFE))
    {
        return look_up(house, claim, &link, operation, None).await;
    }
    if operation.asked_at.is_none() {
        let (mine, id) = (claim.clone(), operation.id);
        let held = house
            .store
            .write(move |tx| {
                let held = tx.confirm(&mine)?;
                if held {
                    tx.ask_operation(id, Some(now))?;
                }
                Ok::<_, Refusal>(held)
            })
            .await?;
        if !held {
            return Ok(());
        }
    }
    let wait = nth_wait(WAITS, claim.attempt - 1);
    let called = call(house, &pair.order, &operation).await;
    chaos::at(Point::OperateCalled);
    let error = match called {
        Ok(named) => return done(house, claim, &link, operation, named, key).await,
        Err(error) => error,
    };
    tracing::warn!(operation = %operation.id, link = %link.id, %error, "klarna did not do an operation");
    match error {
        KlarnaError::Forbidden(said) if said.status == 401 => {
            let words = "Klarna does not take our credentials for an operation on money";
            house.alert("klarna_access", words, Some(link.id)).await;
            later(house, claim, operation.id, fresh, wait).await
        }
        KlarnaError::Refused(said) | KlarnaError::Forbidden(said) | KlarnaError::NotFound(said) => {
            let why = Failure {
                code: FailureCode::KlarnaRefused,
                detail: "Klarna refused the operation".into(),
                klarna: Some(said),
            };
            if fresh {
                failed(house, claim, &link, operation, why, key).await
            } else {
                // an answer was lost before: what is booked decides, not what a repeat is told
                look_up(house, claim, &link, operation, Some(why)).await
            }
        }
        KlarnaError::Unknown { .. } | KlarnaError::Unusable { .. } => {
            house.retry(claim, after(now, wait)).await
        }
        KlarnaError::Busy { retry_after, .. } => {
            let asked = retry_after.and_then(|it| SignedDuration::try_from(it).ok());
            let wait = asked.map_or(wait, |asked| asked.max(wait));
            later(house, claim, operation.id, fresh, wait).await
        }
        KlarnaError::Open { .. } | KlarnaError::NotDone { .. } => {
            later(house, claim, operation.id, fresh, wait).await
        }
    }
}

async fn call(
    house: &House,
    order: &str,
    operation: &Operation,
) -> Result<Option<String>, KlarnaError> {
    let (key, mark) = (operation.id.key(), operation.mark());
    let movement = Movement {
        amount: operation.amount.unwrap_or(0),
        reference: &mark,
        description: None,
        lines: &operation.lines,
        shipments: &operation.shipments,
    };
    let klarna = &house.klarna;
    match operation.kind() {
        OperationKind::Capture => klarna.capture(order, &movement, key).await,
        OperationKind::Refund => klarna.refund(order, &movement, key).await,
        OperationKind::Cancel => klarna.cancel(order, key).await.map(|()| None),
        OperationKind::Release => klarna.release(order, key).await.map(|()| None),
        OperationKind::Extend => klarna.extend(order, key).await.map(|()| None),
    }
}

/// Proved not done, so nothing is lost: Klarna's memory of the key has not begun.
async fn later(
    house: &House,
    claim: Claim,
    id: OperationId,
    fresh: bool,
    wait: SignedDuration,
) -> Result<(), Refusal> {
    let due = after(house.clock.now(), wait);
    house
        .store
        .write(move |tx| {
            if tx.again(&claim, due, false)? && fresh {
                tx.ask_operation(id, None)?;
            }
            Ok::<_, Refusal>(())
        })
        .await
}

/// Settles an operation whose answer was lost, by what Order Management shows. `refused` is what
/// a repeat was told; absent where the key is too old to be used again.
async fn look_up(
    house: &House,
    claim: Claim,
    link: &Link,
    operation: Operation,
    refused: Option<Failure>,
) -> Result<(), Refusal> {
    let due = after(house.clock.now(), nth_wait(WAITS, claim.attempt - 1));
    match settle::read(house, link).await {
        Ok(Booked::Known) => {}
        Ok(Booked::Stale) | Err(Refusal::KlarnaUnavailable(..)) => {
            return house.retry(claim, due).await;
        }
        Err(refusal) => return Err(refusal),
    }
    let (id, of) = (operation.id, operation.link);
    let known = house.store.read(move |tx| tx.operations(of)).await?;
    // what the read shows to be done is done by now
    if !known.iter().any(|it| it.id == id && it.is_pending()) {
        return house.finish(claim).await;
    }
    if may_be_it(&known, &operation) {
        let words = format!(
            "{id} of {of} may be one that Klarna shows without our reference; compare both"
        );
        house.alert("operation_unclear", &words, Some(of)).await;
        return house.retry(claim, after(house.clock.now(), UNCLEAR)).await;
    }
    let why = refused.unwrap_or_else(|| Failure {
        code: FailureCode::GaveUp,
        detail: "Klarna's answer was lost, and it shows no such operation".into(),
        klarna: None,
    });
    failed(house, claim, link, operation, why, None).await
}

/// Whether the ledger has an entry from elsewhere that may be this operation: of its kind and
/// amount, without a reference, not older than it.
fn may_be_it(known: &[Operation], operation: &Operation) -> bool {
    known.iter().any(|it| {
        it.created_by == Actor::Klarna
            && it.kind() == operation.kind()
            && it.amount == operation.amount
            && it.reference.is_none()
            && it.created_at >= operation.created_at
    })
}
