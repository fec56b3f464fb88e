//! *Operate*: capture, refund, cancel, release, extend. Committed before Klarna is asked, asked
//! under a key of its own so that a repeat is the same operation for Klarna, and settled by
//! reading once Klarna may have forgotten the key (`contract.md`, Captures and refunds).

use jiff::{SignedDuration, Timestamp};

use super::idempotency::{self, Answer, Key, Made};
use super::observe::Alarm;
use super::pen::Pen;
use super::{House, Refusal, after, nth_wait, sees, settle};
use crate::access::Caller;
use crate::klarna::{KlarnaError, Movement};
use crate::link::{
    Actor, Code, EventKind, Failure, FailureCode, Fault, Free, Link, LinkId, MovementRequest,
    Operation, OperationId, OperationKind, Outcome, Payment, PaymentStatus, Stage,
};
use crate::store::{Claim, Job, JobKind, Kept, Tx};

/// Waits between tries, seconds; the last one repeats.
const WAITS: &[i64] = &[2, 5, 15, 60, 300, 600];
/// Klarna remembers a key for 24 h; a repeat under it stops well before.
const KEY_LIFE: SignedDuration = SignedDuration::from_hours(20);
/// What nobody could settle by reading is looked at again so much later.
const UNCLEAR: SignedDuration = SignedDuration::from_hours(24);
/// Klarna's own capture of an order that asked for it is waited for so long.
const ITS_OWN: SignedDuration = SignedDuration::from_mins(2);

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
    request: Option<MovementRequest>,
    by: Actor,
}

/// Captures or refunds.
///
/// # Errors
/// `NotCompleted`; `Faults` where less is left; `Busy` while Klarna checks, or another operation
/// must end first; `KlarnaNotAllowed`.
pub async fn move_money(
    house: &House,
    caller: &Caller,
    link: LinkId,
    kind: OperationKind,
    request: MovementRequest,
    wanted_version: Option<i64>,
    key: Option<Key>,
) -> Result<Operated, Refusal> {
    begin(
        house,
        caller,
        link,
        kind,
        Some(request),
        wanted_version,
        key,
    )
    .await
}

/// Cancels, releases or extends.
///
/// # Errors
/// As [`move_money`].
pub async fn operate(
    house: &House,
    caller: &Caller,
    link: LinkId,
    kind: OperationKind,
    wanted_version: Option<i64>,
    key: Option<Key>,
) -> Result<Operated, Refusal> {
    begin(house, caller, link, kind, None, wanted_version, key).await
}

async fn begin(
    house: &House,
    caller: &Caller,
    id: LinkId,
    kind: OperationKind,
    request: Option<MovementRequest>,
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
        request,
        by: caller.actor,
    };
    let (caller, lease, kept) = (caller.clone(), house.lease.clone(), key.clone());
    let begun = house
        .store
        .write(move |tx| {
            if let Some(kept) = idempotency::recall(tx, kept.as_ref())? {
                return Ok(Begun::Before(kept));
            }
            let link = tx
                .touch(id)?
                .filter(|link| sees(&caller, link))
                .ok_or(Refusal::NotFound)?;
            // touch has counted this change already
            if wanted_version.is_some_and(|wanted| wanted != link.version - 1) {
                return Err(Refusal::VersionMismatch);
            }
            let mut operation = weigh(tx, &link, &wish, pen)?;
            // the claim below asks at once: from here on an answer may be lost
            operation.asked_at = Some(pen.at);
            promise(tx, link, &operation, pen)?;
            let made = Made {
                link: id,
                resource: Some(operation.id.to_string()),
                answer: None,
            };
            idempotency::keep(tx, kept.as_ref(), made, pen.at)?;
            let claim = tx.enqueue_leased(&job(&operation, pen.at), &lease)?;
            Ok::<_, Refusal>(Begun::Ask(Box::new(operation), claim))
        })
        .await?;
    let (operation, claim) = match begun {
        Begun::Before(kept) => return replay(house, &kept).await,
        Begun::Ask(operation, claim) => (*operation, claim),
    };
    let (worker, asked, first) = (house.clone(), operation.clone(), key.clone());
    // boxed: it may hold a call, a booking and a read
    let work = Box::pin(async move { ask(&worker, claim, asked, first.as_ref()).await });
    if let Some(Err(refusal)) = house.patiently(work).await {
        tracing::warn!(operation = %operation.id, error = &refusal as &dyn std::error::Error, "an operation goes on in the background");
    }
    answer(house, id, operation.id, key).await
}

/// What the first transaction decided.
enum Begun {
    /// The key was here before.
    Before(Kept),
    /// Klarna is to be asked, under this claim.
    Ask(Box<Operation>, Claim),
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
fn promise(tx: &mut Tx, mut link: Link, operation: &Operation, pen: Pen) -> Result<(), Refusal> {
    tx.insert_operation(operation)?;
    link.updated_at = pen.at;
    Ok(tx.save(&link)?)
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
    let request = wish.request.as_ref();
    Ok(Operation {
        id: wish.id,
        link: link.id,
        amount,
        reference: request.and_then(|it| it.reference.clone()),
        lines: request.map(|it| it.lines.clone()).unwrap_or_default(),
        outcome: Outcome::Pending,
        asked_at: None,
        created_by: wish.by,
        created_at: pen.at,
    })
}

/// The amount that is wanted, or all that is left.
fn amount(wish: &Wish, left: i64, done: &str) -> Result<i64, Refusal> {
    let request = wish.request.as_ref();
    let amount = request.and_then(|it| it.amount).unwrap_or(left);
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
    let (link, operation) = whole(house, link, operation).await?;
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
    let (link, operation) = whole(house, kept.link.ok_or(Refusal::NotFound)?, id).await?;
    let first = kept.answer.as_deref().and_then(Answer::from_word);
    let answer = match (first, &operation.outcome) {
        (Some(Answer::Refused) | None, Outcome::Failed { why, .. }) => {
            return Err(Refusal::Replayed(Box::new(refused(link.id, why))));
        }
        (Some(Answer::Accepted), _) => Answer::Accepted,
        (Some(Answer::Done | Answer::Refused), _) | (None, Outcome::Done { .. }) => Answer::Done,
        (None, Outcome::Pending) => {
            let at_work = house
                .store
                .read(move |tx| tx.in_flight(JobKind::Operate, &id.to_string()))
                .await?;
            if at_work {
                return Err(Refusal::IdempotencyInProgress);
            }
            Answer::Accepted
        }
    };
    Ok(Operated {
        link,
        operation,
        answer,
        replayed: true,
    })
}

async fn whole(
    house: &House,
    link: LinkId,
    operation: OperationId,
) -> Result<(Link, Operation), Refusal> {
    house
        .store
        .read(move |tx| {
            let link = tx.link(link)?.ok_or(Refusal::NotFound)?;
            let operation = tx.operation(operation)?.ok_or(Refusal::NotFound)?;
            Ok((link, operation))
        })
        .await
}

/// Klarna's refusal in the words of the contract: its 403 is a matter of the order's state.
fn refused(link: LinkId, why: &Failure) -> Refusal {
    match &why.klarna {
        Some(said) if said.status == 403 => Refusal::KlarnaNotAllowed(link, said.clone()),
        Some(said) => Refusal::KlarnaRefused(link, said.clone()),
        None => Refusal::KlarnaUnavailable(Some(link), std::time::Duration::from_mins(1)),
    }
}

/// The worker's entry: what is pending is insisted on until Klarna says yes or no.
pub(super) async fn insist(house: &House, claim: Claim) -> Result<(), Refusal> {
    let Ok(id) = claim.job.subject.parse::<OperationId>() else {
        return house.finish(claim).await;
    };
    match house.store.read(move |tx| tx.operation(id)).await? {
        Some(operation) if operation.is_pending() => ask(house, claim, operation, None).await,
        _ => house.finish(claim).await,
    }
}

async fn ask(
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
    let error = match call(house, &pair.order, &operation).await {
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
                failed(house, claim, operation, why, key).await
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

/// Klarna did it. Written down whatever became of the claim: it is a fact.
async fn done(
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
                tx.enqueue(&Job {
                    kind: JobKind::Settle,
                    subject: operation.link.to_string(),
                    link: operation.link,
                    due_at: pen.at,
                })?;
            }
            Ok::<_, Refusal>(())
        })
        .await?;
    if read && let Err(refusal) = settle::read(house, link).await {
        tracing::info!(link = %link.id, error = &refusal as &dyn std::error::Error, "the payment is read again in the background");
    }
    Ok(())
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

/// Klarna will not do it. Who waits for the answer is told; else a person must hear of it.
async fn failed(
    house: &House,
    claim: Claim,
    operation: Operation,
    why: Failure,
    key: Option<&Key>,
) -> Result<(), Refusal> {
    let (pen, key, id, link) = (house.pen(), key.cloned(), operation.id, operation.link);
    let told = claim.attempt == 1 && operation.created_by != Actor::Paylink;
    let alarm = house
        .store
        .write(move |tx| {
            tx.done(&claim)?;
            idempotency::settle(tx, key.as_ref(), Answer::Refused)?;
            // under the link's lock: a read may find it booked in this moment
            tx.touch(link)?;
            let mut operation = tx.operation(id)?.ok_or(Refusal::NotFound)?;
            if !operation.is_pending() {
                return Ok(None);
            }
            operation.outcome = Outcome::Failed {
                at: pen.at,
                why: why.clone(),
            };
            tx.save_operation(&operation)?;
            let alarm: Alarm = (!told).then(|| {
                (
                    "operation_failed",
                    format!("{id} of {link} was not done: {}", why.detail),
                )
            });
            Ok::<_, Refusal>(alarm)
        })
        .await?;
    house.sound(alarm, link).await;
    Ok(())
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
    let before = match &link.stage {
        Stage::Completed { payment, .. } => payment.expires_at,
        _ => None,
    };
    match settle::read(house, link).await {
        Ok(()) => {}
        Err(Refusal::KlarnaUnavailable(..)) => return house.retry(claim, due).await,
        Err(refusal) => return Err(refusal),
    }
    let (id, of) = (operation.id, operation.link);
    let (now, known) = house
        .store
        .read(move |tx| Ok::<_, Refusal>((tx.link(of)?, tx.operations(of)?)))
        .await?;
    let Some(Stage::Completed { payment, .. }) = now.map(|link| link.stage) else {
        return house.finish(claim).await;
    };
    if !known.iter().any(|it| it.id == id && it.is_pending()) {
        return house.finish(claim).await;
    }
    let shown = match operation.kind() {
        OperationKind::Capture | OperationKind::Refund => false,
        OperationKind::Cancel => payment.status == PaymentStatus::Cancelled,
        OperationKind::Release => payment.remaining_amount == Some(0),
        OperationKind::Extend => payment.expires_at > before,
    };
    if shown {
        return done(house, claim, link, operation, None, None).await;
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
    failed(house, claim, operation, why, None).await
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

/// An order that was to be captured at once and that Klarna did not capture is captured by us,
/// once, whole. (Whole: if Klarna does it in the same moment, one of the two is refused.) Answers
/// when to come again, where it is too early.
pub(super) async fn capture_by_itself(
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
            request: None,
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
