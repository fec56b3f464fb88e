//! *Operate*: capture, refund, cancel, release, extend. Committed before Klarna is asked, asked
//! under a key of its own so that a repeat is the same operation for Klarna, and settled by
//! reading once Klarna may have forgotten the key (`contract.md`, Captures and refunds). Here is
//! what is wanted and what is answered; [`insist`] asks Klarna, [`outcome`] writes what came of it.

mod insist;
mod itself;
mod outcome;

use jiff::Timestamp;

use super::idempotency::{self, Answer, Key, Made};
use super::pen::Pen;
use super::{House, Refusal, sees, settle};
use crate::access::Caller;
use crate::chaos::{self, Point};
use crate::link::{
    Actor, Code, Failure, Fault, Free, Link, LinkId, MovementRequest, Operation, OperationId,
    OperationKind, Outcome, Stage,
};
use crate::store::{Claim, Job, JobKind, Kept, Tx};

pub(super) use insist::insist;
pub(super) use itself::capture_by_itself;

/// What an operation came to, as far as is known.
#[derive(Debug)]
pub struct Operated {
    /// The link as it is now.
    pub link: Link,
    /// The operation as it is now.
    pub operation: Operation,
    /// The kind of the first answer.
    pub answer: Answer,
    /// The same request was answered before.
    pub replayed: bool,
}

/// What is wanted.
#[derive(Clone)]
struct Wish {
    id: OperationId,
    movement: Option<MovementRequest>,
    by: Actor,
}

/// Does `kind` with the money of a paid link; a capture or a refund takes what `movement` says.
///
/// # Errors
/// `NotCompleted`; `Faults` where less is left; `Busy` while Klarna checks, or another operation
/// must end first; `Held` after a mismatch; `KlarnaNotAllowed`.
pub async fn operate(
    house: &House,
    caller: &Caller,
    id: LinkId,
    kind: OperationKind,
    movement: Option<MovementRequest>,
    wanted_version: Option<i64>,
    key: Option<Key>,
) -> Result<Operated, Refusal> {
    let link = house.visible(caller, id).await?;
    if let Stage::Completed { payment, .. } = &link.stage
        && payment.remaining_amount.is_none()
    {
        // nothing can be weighed before Order Management has told the amounts
        let worker = house.clone();
        let read = house.patiently(Box::pin(async move { settle::read(&worker, &link).await }));
        if let Some(Err(refusal)) = read.await {
            tracing::info!(link = %id, error = &refusal as &dyn std::error::Error, "the payment's amounts are not known yet");
        }
    }
    let pen = house.pen();
    let wish = Wish {
        id: OperationId::new(kind, pen.at, &house.random),
        movement,
        by: caller.actor,
    };
    let (caller, lease, kept) = (caller.clone(), house.lease.clone(), key.clone());
    let begun = house
        .store
        .write(move |tx| {
            if let Some(kept) = idempotency::recall(tx, kept.as_ref())? {
                return Ok(Begun::Before(kept));
            }
            // a copy may lack what this request did before: Klarna's books are read first
            if tx.recovery()?.is_some() {
                return Err(Refusal::Busy);
            }
            let visible = tx.link(id)?.filter(|link| sees(&caller, link));
            visible.ok_or(Refusal::NotFound)?;
            // before the link's lock: a parallel repeat waits here, and never weighs money that its
            // twin has taken
            let made = Made {
                link: id,
                resource: Some(wish.id.to_string()),
                answer: None,
            };
            idempotency::keep(tx, kept.as_ref(), made, pen.at)?;
            let link = tx.touch(id)?.ok_or(Refusal::NotFound)?;
            // touch has counted this change already
            if wanted_version.is_some_and(|wanted| wanted != link.version - 1) {
                return Err(Refusal::VersionMismatch);
            }
            let mut operation = weigh(tx, &link, &wish, pen)?;
            // the claim below asks at once: from here on an answer may be lost
            operation.asked_at = Some(pen.at);
            let link = promise(tx, link, &operation, pen)?;
            let claim = tx.enqueue_leased(&job(&operation, pen.at), &lease)?;
            Ok::<_, Refusal>(Begun::Ask(Box::new((link, operation)), claim))
        })
        .await?;
    let (promised, claim) = match begun {
        Begun::Before(kept) => return replay(house, &kept).await,
        Begun::Ask(promised, claim) => (*promised, claim),
    };
    let (link, operation) = promised;
    chaos::at(Point::OperateIntended);
    let (worker, asked, first) = (house.clone(), operation.clone(), key.clone());
    let held = claim.clone();
    // boxed: it may hold a call, a booking and a read
    let work = Box::pin(async move { insist::ask(&worker, claim, asked, first.as_ref()).await });
    if let Some(Err(refusal)) = house.patiently_under(held, work).await {
        tracing::warn!(operation = %operation.id, error = &refusal as &dyn std::error::Error, "an operation goes on in the background");
    }
    match answer(house, id, operation.id, key).await {
        // What is wanted is durable and goes on. A 503 says "nothing was done", and whoever believes
        // it asks for the same money under another key.
        Err(refusal @ (Refusal::Overloaded | Refusal::Storage(_))) => {
            tracing::warn!(operation = %operation.id, error = &refusal as &dyn std::error::Error, "what came of an operation could not be read yet");
            Ok(Operated {
                link,
                operation,
                answer: Answer::Accepted,
                replayed: false,
            })
        }
        answered => answered,
    }
}

/// What the first transaction decided.
enum Begun {
    /// The key was here before.
    Before(Kept),
    /// Klarna is to be asked, under this claim.
    Ask(Box<(Link, Operation)>, Claim),
}

fn job(operation: &Operation, due_at: Timestamp) -> Job {
    Job {
        kind: JobKind::Operate,
        subject: operation.id.to_string(),
        link: operation.link,
        due_at,
    }
}

/// Writes down what is wanted. The link is counted one version up under its lock, so that two
/// operations at once cannot both take the last of the money.
fn promise(tx: &mut Tx, mut link: Link, operation: &Operation, pen: Pen) -> Result<Link, Refusal> {
    tx.insert_operation(operation)?;
    link.updated_at = pen.at;
    tx.save(&link)?;
    Ok(link)
}

/// Whether the wish can be granted, by what is known: zero calls to Klarna for what it must refuse.
fn weigh(tx: &mut Tx, link: &Link, wish: &Wish, pen: Pen) -> Result<Operation, Refusal> {
    let Stage::Completed { payment, .. } = &link.stage else {
        return Err(Refusal::NotCompleted);
    };
    if link.mismatch {
        return Err(Refusal::Held);
    }
    let operations = tx.operations(link.id)?;
    let waits = |kinds: &[OperationKind]| {
        let mut pending = operations.iter().filter(|it| it.is_pending());
        pending.any(|it| kinds.contains(&it.kind()))
    };
    let kind = wish.id.kind();
    let blocked = match kind {
        OperationKind::Capture => waits(&[OperationKind::Cancel, OperationKind::Release]),
        OperationKind::Refund => false,
        OperationKind::Cancel => waits(OperationKind::ALL),
        OperationKind::Release => waits(&[
            OperationKind::Capture,
            OperationKind::Cancel,
            OperationKind::Release,
        ]),
        OperationKind::Extend => waits(&[OperationKind::Cancel, OperationKind::Extend]),
    };
    if blocked || payment.fraud_status.as_deref() == Some("PENDING") {
        return Err(Refusal::Busy);
    }
    let free = Free::of(payment, &operations).ok_or(Refusal::Busy)?;
    let amount = match kind {
        OperationKind::Capture => Some(amount(wish, free.capture, "captured")?),
        OperationKind::Refund => Some(amount(wish, free.refund, "refunded")?),
        OperationKind::Cancel | OperationKind::Release | OperationKind::Extend => None,
    };
    let movement = wish.movement.as_ref();
    Ok(Operation {
        id: wish.id,
        link: link.id,
        amount,
        reference: movement.and_then(|it| it.reference.clone()),
        lines: movement.map(|it| it.lines.clone()).unwrap_or_default(),
        shipments: movement.map(|it| it.shipments.clone()).unwrap_or_default(),
        outcome: Outcome::Pending,
        asked_at: None,
        created_by: wish.by,
        created_at: pen.at,
    })
}

/// The amount that is wanted, or all that is left.
fn amount(wish: &Wish, left: i64, done: &str) -> Result<i64, Refusal> {
    let movement = wish.movement.as_ref();
    let amount = movement.and_then(|it| it.amount).unwrap_or(left);
    if (1..=left).contains(&amount) {
        return Ok(amount);
    }
    let detail = if left == 0 {
        format!("nothing is left to be {done}")
    } else {
        format!("must be from 1 to {left}, which is left to be {done}")
    };
    Err(Refusal::Faults(vec![Fault::new(
        "/amount".to_owned(),
        Code::OutOfRange,
        detail,
    )]))
}

/// The first answer: as far as it is known within the caller's patience.
async fn answer(
    house: &House,
    link: LinkId,
    operation: OperationId,
    key: Option<Key>,
) -> Result<Operated, Refusal> {
    let (link, operation) = house
        .store
        .read(move |tx| whole(tx, link, operation))
        .await?;
    let answer = match &operation.outcome {
        Outcome::Done { .. } => Answer::Done,
        Outcome::Failed { why, .. } => return Err(refused(link.id, why)),
        Outcome::Pending => {
            house
                .store
                .write(move |tx| idempotency::settle(tx, key.as_ref(), Answer::Accepted))
                .await?;
            Answer::Accepted
        }
    };
    Ok(Operated {
        link,
        operation,
        answer,
        replayed: false,
    })
}

/// A repeat: what is there now, as the first answer was.
async fn replay(house: &House, kept: &Kept) -> Result<Operated, Refusal> {
    let id: OperationId = kept
        .resource
        .as_deref()
        .and_then(|id| id.parse().ok())
        .ok_or(Refusal::NotFound)?;
    let of = kept.link.ok_or(Refusal::NotFound)?;
    let (at_work, (link, operation)) = house
        .store
        .read(move |tx| {
            // asked first: what ends in between is then seen as ended, not as given up
            let at_work = tx.in_flight(JobKind::Operate, &id.to_string())?;
            Ok::<_, Refusal>((at_work, whole(tx, of, id)?))
        })
        .await?;
    let first = kept.answer.as_deref().and_then(Answer::from_word);
    let answer = match (first, &operation.outcome) {
        (Some(Answer::Refused) | None, Outcome::Failed { why, .. }) => {
            return Err(Refusal::Replayed(Box::new(refused(link.id, why))));
        }
        (None, Outcome::Pending) if at_work => return Err(Refusal::IdempotencyInProgress),
        (Some(Answer::Accepted), _) | (None, Outcome::Pending) => Answer::Accepted,
        (Some(Answer::Done | Answer::Refused), _) | (None, Outcome::Done { .. }) => Answer::Done,
    };
    Ok(Operated {
        link,
        operation,
        answer,
        replayed: true,
    })
}

fn whole(tx: &mut Tx, link: LinkId, operation: OperationId) -> Result<(Link, Operation), Refusal> {
    let link = tx.link(link)?.ok_or(Refusal::NotFound)?;
    let operation = tx.operation(operation)?.ok_or(Refusal::NotFound)?;
    Ok((link, operation))
}

/// Klarna's refusal in the words of the contract: its 403 is a matter of the order's state.
fn refused(link: LinkId, why: &Failure) -> Refusal {
    match &why.klarna {
        Some(said) if said.status == 403 => Refusal::KlarnaNotAllowed(link, said.clone()),
        Some(said) => Refusal::KlarnaRefused(link, said.clone()),
        None => Refusal::KlarnaUnavailable(Some(link), std::time::Duration::from_mins(1)),
    }
}
