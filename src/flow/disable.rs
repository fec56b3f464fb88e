//! *Disable*: the link is closed, at once if Klarna agrees and for certain in the end. Against a
//! buyer who pays at the same moment there is one defined winner: paid (failure-model, Disable
//! against pay).

use jiff::SignedDuration;

use super::idempotency::{self, Answer, Key, Made};
use super::observe::{self, Proof};
use super::{House, Refusal, after, create, nth_wait, sees};
use crate::access::Caller;
use crate::chaos::{self, Bug, Point};
use crate::klarna::KlarnaError;
use crate::link::{
    Actor, Closing, Delivery, DisableRequest, EventKind, Link, LinkId, Pair, Stage, Status,
};
use crate::store::{Claim, Job, JobKind, Kept, Lease, Tx};

/// Waits between tries, seconds; the last one repeats until Klarna answers.
const WAITS: &[i64] = &[2, 5, 15, 30, 60];

/// What a disable came to.
#[derive(Debug)]
pub struct Disabled {
    /// The link as it is now: closed, or `disabling` where Klarna did not answer yet and the
    /// buyer may still be able to pay.
    pub link: Link,
    /// Its deliveries.
    pub deliveries: Vec<Delivery>,
    /// The kind of the first answer: closed, or accepted because Klarna did not answer yet.
    pub answer: Answer,
    /// The same request was answered before.
    pub replayed: bool,
}

/// Who wants it closed, and why.
#[derive(Clone)]
struct Wish {
    why: Closing,
    note: Option<String>,
    by: Actor,
    wanted_version: Option<i64>,
}

/// Closes a link.
///
/// # Errors
/// `AlreadyCompleted` where the buyer was first; `Replayed` with it where that was answered before.
pub async fn disable(
    house: &House,
    caller: &Caller,
    id: LinkId,
    request: DisableRequest,
    wanted_version: Option<i64>,
    key: Option<Key>,
) -> Result<Disabled, Refusal> {
    let wish = Wish {
        why: request.reason.unwrap_or(Closing::Unsaid),
        note: request.note,
        by: caller.actor,
        wanted_version,
    };
    let keyed = key.is_some();
    match close(house, Some(caller), id, wish, key.clone()).await? {
        Closed::Before(kept) => replay(house, caller, &kept).await,
        Closed::Now(intended) => match (first(house, id, key).await, intended) {
            (answered, _) if keyed => answered,
            // It is durable and goes on. A 503 says "nothing was done", and whoever believes it and
            // has no key to repeat it under takes the page for one that can be paid.
            (Err(error @ (Refusal::Overloaded | Refusal::Storage(_))), Some(intended)) => {
                tracing::warn!(link = %id, error = &error as &dyn std::error::Error, "what came of a disable could not be read yet");
                let (link, deliveries) = *intended;
                Ok(Disabled {
                    answer: answer_of(&link),
                    link,
                    deliveries,
                    replayed: false,
                })
            }
            (answered, _) => answered,
        },
    }
}

/// The first answer, and that it was given so: one transaction, so that a repeat is told the same
/// kind whatever becomes of the link meanwhile.
async fn first(house: &House, id: LinkId, key: Option<Key>) -> Result<Disabled, Refusal> {
    let keyed = key.is_some();
    let told = move |tx: &mut Tx| {
        let (link, deliveries) = create::whole(tx, id)?;
        let answer = answer_of(&link);
        idempotency::settle(tx, key.as_ref(), answer)?;
        Ok::<_, Refusal>((link, deliveries, answer))
    };
    let (link, deliveries, answer) = if keyed {
        house.store.write(told).await?
    } else {
        house.store.read(told).await?
    };
    match answer {
        Answer::Refused => Err(Refusal::AlreadyCompleted(Box::new(link))),
        Answer::Done | Answer::Accepted => Ok(Disabled {
            link,
            deliveries,
            answer,
            replayed: false,
        }),
    }
}

fn answer_of(link: &Link) -> Answer {
    match link.stage.status() {
        Status::Completed => Answer::Refused,
        Status::Creating | Status::Open | Status::Disabling => Answer::Accepted,
        Status::Disabled | Status::Cancelled | Status::Expired | Status::Failed => Answer::Done,
    }
}

/// A repeat: the link as it is now, the first answer's kind (`contract.md`, Idempotency).
async fn replay(house: &House, caller: &Caller, kept: &Kept) -> Result<Disabled, Refusal> {
    let id = kept.link.ok_or(Refusal::NotFound)?;
    let ((link, deliveries), at_work) = house
        .store
        .read(move |tx| {
            let at_work = tx.in_flight(JobKind::Disable, &id.to_string())?;
            Ok::<_, Refusal>((create::whole(tx, id)?, at_work))
        })
        .await?;
    if !sees(caller, &link) {
        return Err(Refusal::NotFound);
    }
    let answer = match kept.answer.as_deref().and_then(Answer::from_word) {
        Some(answer) => answer,
        // the first request never answered: it is still at work, or its process died
        None if at_work => return Err(Refusal::IdempotencyInProgress),
        None => answer_of(&link),
    };
    match answer {
        Answer::Refused => Err(Refusal::Replayed(Box::new(Refusal::AlreadyCompleted(
            Box::new(link),
        )))),
        Answer::Done | Answer::Accepted => Ok(Disabled {
            link,
            deliveries,
            answer,
            replayed: true,
        }),
    }
}

/// Closes the link whose place a new one takes.
///
/// # Errors
/// `AlreadyCompleted` where it is paid; `Busy` where Klarna did not answer (the closing goes on);
/// `VersionMismatch`.
pub(super) async fn make_way(
    house: &House,
    id: LinkId,
    by: Actor,
    why: Closing,
    wanted_version: Option<i64>,
) -> Result<(), Refusal> {
    let wish = Wish {
        why,
        note: None,
        by,
        wanted_version,
    };
    close(house, None, id, wish, None).await?;
    let link = house.store.read(move |tx| tx.link(id)).await?;
    let link = link.ok_or(Refusal::NotFound)?;
    match link.stage.status() {
        Status::Completed => Err(Refusal::AlreadyCompleted(Box::new(link))),
        Status::Creating | Status::Open | Status::Disabling => Err(Refusal::Busy),
        Status::Disabled | Status::Cancelled | Status::Expired | Status::Failed => Ok(()),
    }
}

/// What a wish came to.
enum Closed {
    /// The key was here before.
    Before(Box<Kept>),
    /// Whatever could be done within the caller's patience is done; with what was written first, if
    /// anything was.
    Now(Option<Intended>),
}

/// A link that is being closed, and its deliveries.
type Intended = Box<(Link, Vec<Delivery>)>;

/// What the first transaction decided.
enum Begun {
    /// The key was here before.
    Before(Box<Kept>),
    /// Nothing more is to be asked of Klarna now; with what was written, if anything was.
    Over(Option<Intended>),
    /// Klarna is to be asked, under this claim.
    Ask(Intended, Claim),
}

async fn close(
    house: &House,
    caller: Option<&Caller>,
    id: LinkId,
    wish: Wish,
    key: Option<Key>,
) -> Result<Closed, Refusal> {
    let (caller, pen, lease) = (caller.cloned(), house.pen(), house.lease.clone());
    let begun = house
        .store
        .write(move |tx| {
            if let Some(kept) = idempotency::recall(tx, key.as_ref())? {
                return Ok(Begun::Before(Box::new(kept)));
            }
            let link = tx
                .link(id)?
                .filter(|link| caller.as_ref().is_none_or(|caller| sees(caller, link)))
                .ok_or(Refusal::NotFound)?;
            let made = Made {
                link: id,
                resource: None,
                answer: None,
            };
            idempotency::keep(tx, key.as_ref(), made, pen.at)?;
            begin(tx, &link, &wish, &lease, pen)
        })
        .await?;
    let (intended, claim) = match begun {
        Begun::Before(kept) => return Ok(Closed::Before(kept)),
        Begun::Over(intended) => return Ok(Closed::Now(intended)),
        Begun::Ask(intended, claim) => (intended, claim),
    };
    let link = intended.0.clone();
    chaos::at(Point::DisableIntended);
    let (worker, held) = (house.clone(), claim.clone());
    let asked = house
        .patiently_under(held, async move { ask(&worker, claim, link).await })
        .await;
    if let Some(Err(refusal)) = asked {
        tracing::warn!(link = %id, error = &refusal as &dyn std::error::Error, "a disable goes on in the background");
    }
    Ok(Closed::Now(Some(intended)))
}

fn begin(
    tx: &mut Tx,
    link: &Link,
    wish: &Wish,
    lease: &Lease,
    mut pen: super::pen::Pen,
) -> Result<Begun, Refusal> {
    if wish
        .wanted_version
        .is_some_and(|wanted| wanted != link.version)
    {
        return Err(Refusal::VersionMismatch);
    }
    match link.stage.status() {
        Status::Creating | Status::Open => {}
        Status::Disabling
        | Status::Completed
        | Status::Cancelled
        | Status::Disabled
        | Status::Expired
        | Status::Failed => return Ok(Begun::Over(None)),
    }
    let mut link = tx.touch(link.id)?.ok_or(Refusal::NotFound)?;
    // another may have changed it between the read and the lock; touch has counted this change
    if wish
        .wanted_version
        .is_some_and(|wanted| wanted != link.version - 1)
    {
        return Err(Refusal::VersionMismatch);
    }
    link.updated_at = pen.at;
    link.stage = link.stage.disabling(wish.why, wish.by, pen.at)?;
    link.closing_reason = Some(wish.why);
    link.closing_note.clone_from(&wish.note);
    pen.tell(tx, &mut link, EventKind::LinkDisabling, None)?;
    pen.skip_unsent(tx, &mut link)?;
    let subject = link.id.to_string();
    if link.stage.pair().is_none() {
        // nothing is in flight: there is no pair and there will be none
        if tx.cancel(JobKind::Open, &subject)? {
            link.stage = link.stage.closed(pen.at)?;
            pen.tell(tx, &mut link, EventKind::LinkDisabled, None)?;
        }
        tx.save(&link)?;
        let deliveries = tx.deliveries(link.id)?;
        return Ok(Begun::Over(Some(Box::new((link, deliveries)))));
    }
    tx.save(&link)?;
    let claim = tx.enqueue_leased(
        &Job {
            kind: JobKind::Disable,
            subject,
            link: link.id,
            due_at: pen.at,
        },
        lease,
    )?;
    let deliveries = tx.deliveries(link.id)?;
    Ok(Begun::Ask(Box::new((link, deliveries)), claim))
}

/// The worker's entry: what is `disabling` is insisted on until it is final.
pub(super) async fn insist(house: &House, claim: Claim) -> Result<(), Refusal> {
    let id = claim.job.link;
    match house.store.read(move |tx| tx.link(id)).await? {
        Some(link) => ask(house, claim, link).await,
        None => house.finish(claim).await,
    }
}

/// What Klarna's answer to the DELETE means.
enum Answered {
    /// The session is gone by our own call.
    Gone,
    /// 400: the buyer was first, says the session.
    Paid,
    /// 404: its time ran out, or it is unknown.
    Missing,
    NotYet,
}

async fn ask(house: &House, claim: Claim, link: Link) -> Result<(), Refusal> {
    let Stage::Disabling {
        pair: Some(pair), ..
    } = &link.stage
    else {
        return house.finish(claim).await;
    };
    let answered = match house.klarna.disable_session(&pair.session).await {
        Ok(()) => Answered::Gone,
        Err(KlarnaError::Refused(_)) if chaos::planted(Bug::DisableBeatsPaid) => Answered::Gone,
        Err(KlarnaError::Refused(_)) => Answered::Paid,
        Err(KlarnaError::NotFound(_)) => Answered::Missing,
        Err(error) => {
            tracing::warn!(link = %link.id, %error, "klarna did not disable the session yet");
            Answered::NotYet
        }
    };
    chaos::at(Point::DisableDeleted);
    let due = after(house.clock.now(), nth_wait(WAITS, claim.attempt - 1));
    let proof = match answered {
        Answered::NotYet => return house.retry(claim, due).await,
        Answered::Gone | Answered::Paid | Answered::Missing => {
            match payment_of(house, pair, &answered).await {
                Ok(proof) => proof,
                Err(Refusal::KlarnaUnavailable(..)) => return house.retry(claim, due).await,
                Err(refusal) => return Err(refusal),
            }
        }
    };
    chaos::at(Point::DisableRead);
    match (
        proof.filter(|_| !chaos::planted(Bug::DisableBeatsPaid)),
        answered,
    ) {
        (Some(proof), _) => {
            observe::end(house, link.id, Some(proof)).await?;
            house.finish(claim).await
        }
        (None, Answered::Gone) => proved(house, claim, &link).await,
        (None, Answered::Missing) => {
            observe::end(house, link.id, None).await?;
            house.finish(claim).await
        }
        // Klarna says paid and shows no payment yet: it must in the end
        (None, Answered::Paid | Answered::NotYet) => house.retry(claim, due).await,
    }
}

/// The read-back. Where the DELETE was refused as "already completed", the session itself is
/// asked too: it may say so before the order does.
async fn payment_of(
    house: &House,
    pair: &Pair,
    answered: &Answered,
) -> Result<Option<Proof>, Refusal> {
    if let Answered::Paid = answered {
        match house.klarna.read_session(&pair.session).await {
            Ok(news)
                if news.reading == crate::link::Reading::Completed
                    && news.order.as_ref().is_none_or(|order| *order == pair.order) =>
            {
                return Ok(Some(Proof::Session));
            }
            Ok(_) | Err(KlarnaError::NotFound(_)) => {}
            Err(error) => return Err(observe::unavailable(&error)),
        }
    }
    observe::payment_of(house, pair).await
}

/// The session is gone and the order was read unpaid: closed. The order is aborted in the
/// background, so that a stray page of it could not be paid either.
async fn proved(house: &House, claim: Claim, link: &Link) -> Result<(), Refusal> {
    let (id, pen) = (link.id, house.pen());
    house
        .store
        .write(move |tx| {
            if !tx.done(&claim)? {
                return Ok(());
            }
            let mut pen = pen;
            let mut link = tx.touch(id)?.ok_or(Refusal::NotFound)?;
            if link.stage.status() != Status::Disabling {
                return Ok(());
            }
            link.updated_at = pen.at;
            link.stage = link.stage.closed(pen.at)?;
            link.klarna.status = Some("DISABLED".into());
            link.klarna.verified_at = Some(pen.at);
            let kind = match link.stage.status() {
                Status::Expired => EventKind::LinkExpired,
                _ => EventKind::LinkDisabled,
            };
            pen.tell(tx, &mut link, kind, None)?;
            tx.save(&link)?;
            tx.enqueue(&Job {
                kind: JobKind::Abort,
                subject: id.to_string(),
                link: id,
                due_at: pen.at,
            })?;
            Ok::<_, Refusal>(())
        })
        .await?;
    chaos::at(Point::DisableWritten);
    Ok(())
}

/// Aborts the KCO order of a closed link until Klarna says done, gone or read-only. Read-only may
/// mean paid: one more read-back, and the proof decides.
pub(super) async fn abort(house: &House, claim: Claim) -> Result<(), Refusal> {
    let id = claim.job.link;
    let link = house.store.read(move |tx| tx.link(id)).await?;
    let Some(pair) = link.as_ref().and_then(|link| link.stage.pair()) else {
        return house.finish(claim).await;
    };
    let due = after(
        house.clock.now(),
        nth_wait(WAITS, claim.attempt - 1).max(SignedDuration::from_secs(2)),
    );
    chaos::at(Point::AbortBegun);
    let aborted = house.klarna.abort_order(&pair.order).await;
    chaos::at(Point::AbortDone);
    match aborted {
        Ok(()) | Err(KlarnaError::NotFound(_)) => house.finish(claim).await,
        Err(KlarnaError::Forbidden(refusal)) if refusal.status == 403 => {
            match observe::payment_of(house, pair).await {
                Ok(Some(proof)) => {
                    observe::end(house, id, Some(proof)).await?;
                    house.finish(claim).await
                }
                Ok(None) => house.finish(claim).await,
                Err(Refusal::KlarnaUnavailable(..)) => house.retry(claim, due).await,
                Err(refusal) => Err(refusal),
            }
        }
        Err(error) => {
            tracing::info!(link = %id, %error, "the order of a closed link is not aborted yet");
            house.retry(claim, due).await
        }
    }
}
