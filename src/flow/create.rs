//! *Create*: a sale becomes a link. Two commits stand between the request and the payable link:
//! the acceptance here, and the opening in [`super::open`]; a crash anywhere is healed by the job
//! that the first of them holds.

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::idempotency::{self, Answer, Key, Made};
use super::pen::Pen;
use super::{House, Refusal, after, disable, open};
use crate::access::Caller;
use crate::chaos::{self, Point};
use crate::link::{
    Closing, Delivery, DeliveryId, DeliveryStatus, EventKind, FailureCode, Link, LinkId,
    OnDuplicate, Request, Stage, Status,
};
use crate::store::{Claim, Constraint, Job, JobKind, Kept, Lease, Tx};

/// A reference that was paid is not sold again within this time (`contract.md`, Duplicates).
const PAID_FOR: SignedDuration = SignedDuration::from_hours(30 * 24);

/// What a create came to.
#[derive(Debug)]
pub struct Created {
    /// The link as it is now.
    pub link: Link,
    /// Its deliveries.
    pub deliveries: Vec<Delivery>,
    /// Payable at once, or accepted.
    pub answer: Answer,
    /// The same request was answered before.
    pub replayed: bool,
}

/// Accepts a sale, has Klarna make a pair for it within the caller's patience, and answers the
/// link as it is then.
pub async fn create(
    house: &House,
    caller: &Caller,
    request: Request,
    key: Option<Key>,
) -> Result<Created, Refusal> {
    let acceptance = Acceptance::of(house, caller, request, key, None);
    if acceptance.on_duplicate == OnDuplicate::Replace {
        replace(house, &acceptance).await?;
    }
    accept(house, acceptance).await
}

/// The whole of *create* once nothing stands in the way.
pub(super) async fn accept(house: &House, acceptance: Acceptance) -> Result<Created, Refusal> {
    chaos::at(Point::CreateWanted);
    let key = acceptance.key.clone();
    let acceptance = Arc::new(acceptance);
    let theirs = Arc::clone(&acceptance);
    let accepted = house.store.write(move |tx| theirs.run(tx)).await;
    let accepted = match accepted {
        Err(refusal) if refusal.is_taken(Constraint::LiveReference) => {
            return Err(lost(house, acceptance).await);
        }
        accepted => accepted?,
    };
    let (link, claim) = match accepted {
        Accepted::Before(kept) => return replay(house, &kept).await,
        Accepted::Now(link, claim) => (*link, claim),
    };
    chaos::at(Point::CreateAccepted);
    let id = link.id;
    // boxed: the caller's future does not carry it
    let unread = key.is_none().then(|| Box::new(link.clone()));
    let work = open::open(house.clone(), claim.clone(), link, key.clone());
    let outcome = house.patiently_under(claim, work).await;
    match outcome {
        // as the commit that made it payable had it, which spares the hot path a read: a message
        // may have left since, and the caller could not tell that from an answer on its way
        Some(Ok(Some((link, deliveries)))) => {
            return Ok(Created {
                link,
                deliveries,
                answer: Answer::Done,
                replayed: false,
            });
        }
        // The acceptance is durable and the job's lease is still ours: the worker takes it up
        // again, the caller learns that his sale is kept.
        Some(Err(refusal)) => {
            tracing::warn!(link = %id, error = &refusal as &dyn std::error::Error, "opening the link could not be written down");
        }
        Some(Ok(None)) | None => {}
    }
    match (answer(house, id, key).await, unread) {
        // The sale is kept. A 503 says "nothing was done", and whoever believes it and has no key to
        // repeat it under sells twice.
        (Err(refusal @ (Refusal::Overloaded | Refusal::Storage(_))), Some(link)) => {
            tracing::warn!(link = %id, error = &refusal as &dyn std::error::Error, "what came of a sale could not be read yet");
            Ok(Created {
                link: *link,
                deliveries: acceptance.deliveries.clone(),
                answer: Answer::Accepted,
                replayed: false,
            })
        }
        (answered, _) => answered,
    }
}

/// The answer of a first request, from the ledger: whatever ran ahead of us or gave up has
/// written there what it came to.
async fn answer(house: &House, id: LinkId, key: Option<Key>) -> Result<Created, Refusal> {
    let (link, deliveries) = house.store.read(move |tx| whole(tx, id)).await?;
    let answer = match &link.stage {
        Stage::Failed { why, .. } => return Err(failed(&link, why)),
        Stage::Creating { .. } => Answer::Accepted,
        _ => Answer::Done,
    };
    if answer == Answer::Accepted && key.is_some() {
        house
            .store
            .write(move |tx| idempotency::settle(tx, key.as_ref(), answer))
            .await?;
    }
    Ok(Created {
        link,
        deliveries,
        answer,
        replayed: false,
    })
}

fn failed(link: &Link, why: &crate::link::Failure) -> Refusal {
    match (why.code, &why.klarna) {
        (FailureCode::KlarnaRefused, Some(refusal)) => {
            Refusal::KlarnaRefused(link.id, refusal.clone())
        }
        _ => Refusal::KlarnaUnavailable(Some(link.id), Duration::from_mins(1)),
    }
}

/// A link with its deliveries, as they are now.
pub(super) fn whole(tx: &mut Tx, id: LinkId) -> Result<(Link, Vec<Delivery>), Refusal> {
    let link = tx.link(id)?.ok_or(Refusal::NotFound)?;
    let deliveries = tx.deliveries(id)?;
    Ok((link, deliveries))
}

/// A repeat of a request that was accepted before: the link as it is now, the first answer's kind.
async fn replay(house: &House, kept: &Kept) -> Result<Created, Refusal> {
    let id = kept.link.ok_or(Refusal::NotFound)?;
    let ((link, deliveries), at_work) = house
        .store
        .read(move |tx| {
            let at_work = tx.in_flight(JobKind::Open, &id.to_string())?;
            Ok::<_, Refusal>((whole(tx, id)?, at_work))
        })
        .await?;
    let answer = match kept.answer.as_deref().and_then(Answer::from_word) {
        Some(Answer::Refused) => match &link.stage {
            Stage::Failed { why, .. } => {
                return Err(Refusal::Replayed(Box::new(failed(&link, why))));
            }
            _ => Answer::Done,
        },
        Some(answer) => answer,
        // The first request never answered: it is still at work, or its process died.
        None if at_work => return Err(Refusal::IdempotencyInProgress),
        None if link.stage.status() == Status::Open => Answer::Done,
        None => Answer::Accepted,
    };
    Ok(Created {
        link,
        deliveries,
        answer,
        replayed: true,
    })
}

/// Closes what is live of this reference first. Paid meanwhile: nothing is created.
async fn replace(house: &House, acceptance: &Acceptance) -> Result<(), Refusal> {
    for id in make_room(house, acceptance, None).await? {
        let by = acceptance.caller.actor;
        disable::make_way(house, id, by, Closing::Replaced, None).await?;
        chaos::at(Point::CreateMadeWay);
    }
    Ok(())
}

/// The links that have to be closed for this one, once everything else speaks for it: a link that
/// a buyer holds is not closed for one that would be refused. It is `old`, or all that are live with
/// this reference.
pub(super) async fn make_room(
    house: &House,
    acceptance: &Acceptance,
    old: Option<LinkId>,
) -> Result<Vec<LinkId>, Refusal> {
    let acceptance = acceptance.clone();
    house
        .store
        .read(move |tx| {
            // a repeat must not close what its first run created
            if idempotency::recall(tx, acceptance.key.as_ref())?.is_some() {
                return Ok(Vec::new());
            }
            let link = &acceptance.link;
            let going = match old {
                Some(old) => vec![old],
                None => tx.live_links(&link.store, &link.sale.reference)?,
            };
            acceptance.weigh(tx, &going)?;
            Ok::<_, Refusal>(going)
        })
        .await
}

enum Accepted {
    Now(Box<Link>, Claim),
    Before(Box<Kept>),
}

/// Everything that the first transaction writes, made before it.
#[derive(Clone)]
pub(super) struct Acceptance {
    link: Link,
    deliveries: Vec<Delivery>,
    token_hash: [u8; 32],
    lease: Lease,
    key: Option<Key>,
    on_duplicate: OnDuplicate,
    renews: Option<LinkId>,
    /// Of the link that is renewed.
    wanted_version: Option<i64>,
    caller: Caller,
    limits: super::Limits,
    pen: Pen,
    renewal: Pen,
}

impl Acceptance {
    /// A renewal belongs to the store of the link that it renews, whoever asks for it.
    pub(super) fn of(
        house: &House,
        caller: &Caller,
        request: Request,
        key: Option<Key>,
        renews: Option<&Link>,
    ) -> Self {
        let store = renews.map_or(&caller.home, |old| &old.store).clone();
        let renews = renews.map(|old| old.id);
        let pen = house.pen();
        let now = pen.at;
        let id = LinkId::new(now, &house.random);
        let deliveries = request
            .send
            .iter()
            .map(|send| {
                queued(
                    DeliveryId::new(now, &house.random),
                    id,
                    send.clone(),
                    request.agent.clone(),
                    now,
                )
            })
            .collect();
        let on_duplicate = request.on_duplicate;
        let mode = house.settings.mode;
        let mut link = Link::accepted(id, store, mode, caller.actor, request, now);
        link.renewed_from = renews;
        Self {
            link,
            deliveries,
            token_hash: crate::secret::token_hash(&house.vault.token(id, 1)),
            lease: house.lease.clone(),
            key,
            on_duplicate,
            renews,
            wanted_version: None,
            caller: caller.clone(),
            limits: house.settings.limits,
            pen,
            renewal: house.pen(),
        }
    }

    /// The same, where the link that is renewed is at this version still.
    pub(super) fn at_version(self, wanted_version: Option<i64>) -> Self {
        Self {
            wanted_version,
            ..self
        }
    }

    fn run(&self, tx: &mut Tx) -> Result<Accepted, Refusal> {
        if let Some(kept) = idempotency::recall(tx, self.key.as_ref())? {
            return Ok(Accepted::Before(Box::new(kept)));
        }
        let (mut link, mut pen) = (self.link.clone(), self.pen);
        let now = pen.at;
        // first of all writes: a parallel request with the same key never meets our link as a
        // stranger's
        let made = Made {
            link: link.id,
            resource: None,
            answer: None,
        };
        idempotency::keep(tx, self.key.as_ref(), made, now)?;
        let renewed = match self.renews {
            Some(old) => Some(self.locked(tx, old)?),
            None => None,
        };
        self.weigh(tx, &[])?;
        chaos::at(Point::CreateWeighed);
        let exclusive = self.on_duplicate != OnDuplicate::Allow;
        tx.insert_link(&link, &self.token_hash, exclusive)?;
        pen.tell(tx, &mut link, EventKind::LinkCreated, None)?;
        for delivery in &self.deliveries {
            tx.insert_delivery(delivery)?;
            pen.tell(tx, &mut link, EventKind::DeliveryQueued, Some(delivery))?;
        }
        tx.save(&link)?;
        let claim = tx.enqueue_leased(
            &Job {
                kind: JobKind::Open,
                subject: link.id.to_string(),
                link: link.id,
                due_at: now,
            },
            &self.lease,
        )?;
        if let Some(old) = renewed {
            self.mark_renewed(tx, old)?;
        }
        Ok(Accepted::Now(Box::new(link), claim))
    }

    /// The link that is renewed, under its lock and at the version that is wanted.
    fn locked(&self, tx: &mut Tx, old: LinkId) -> Result<Link, Refusal> {
        let old = tx.touch(old)?.ok_or(Refusal::NotFound)?;
        // touch has counted this change already
        match self.wanted_version {
            Some(wanted) if wanted != old.version - 1 => Err(Refusal::VersionMismatch),
            _ => Ok(old),
        }
    }

    fn mark_renewed(&self, tx: &mut Tx, mut old: Link) -> Result<(), Refusal> {
        let mut pen = self.renewal;
        old.renewed_by = Some(self.link.id);
        old.updated_at = pen.at;
        pen.tell(tx, &mut old, EventKind::LinkRenewed, None)?;
        Ok(tx.save(&old)?)
    }

    /// Whether this link may be made now, `going` apart, which are closed for it.
    fn weigh(&self, tx: &mut Tx, going: &[LinkId]) -> Result<(), Refusal> {
        let (link, now) = (&self.link, self.pen.at);
        self.limits
            .link(tx, &self.caller, link.agent.as_deref(), now)?;
        for delivery in &self.deliveries {
            self.limits.recipient(tx, &delivery.to, now)?;
        }
        if self.on_duplicate == OnDuplicate::Allow {
            return Ok(());
        }
        let reference = &link.sale.reference;
        let live = tx.live_links(&link.store, reference)?;
        if let Some(other) = live.into_iter().find(|it| !going.contains(it)) {
            return Err(in_use(self.on_duplicate, other));
        }
        match tx.paid_link(&link.store, reference, after(now, -PAID_FOR))? {
            Some(paid) => Err(Refusal::ReferencePaid(paid)),
            None => Ok(()),
        }
    }
}

/// Another link is live with this reference. Who wanted to replace it meets one that was made after
/// he had looked, and is told to come again rather than what he has said already.
fn in_use(on_duplicate: OnDuplicate, other: LinkId) -> Refusal {
    match on_duplicate {
        OnDuplicate::Replace => Refusal::Busy,
        OnDuplicate::Refuse | OnDuplicate::Allow => Refusal::ReferenceInUse(other),
    }
}

/// Another of the same reference was as quick: the look-up before could not see it, and the database
/// let only one of them in.
async fn lost(house: &House, acceptance: Arc<Acceptance>) -> Refusal {
    let on_duplicate = acceptance.on_duplicate;
    let live = house
        .store
        .read(move |tx| {
            let link = &acceptance.link;
            tx.live_links(&link.store, &link.sale.reference)
        })
        .await;
    match live {
        Ok(live) => live
            .first()
            // the winner is closed again already
            .map_or(Refusal::Busy, |other| in_use(on_duplicate, *other)),
        Err(error) => error.into(),
    }
}

/// A delivery that waits for its turn.
pub(super) fn queued(
    id: DeliveryId,
    link: LinkId,
    send: crate::link::Send,
    agent: Option<String>,
    now: Timestamp,
) -> Delivery {
    Delivery {
        id,
        link,
        to: send.to,
        template: send.template,
        agent,
        status: DeliveryStatus::Queued,
        attempts: 0,
        reason: None,
        sent_at: None,
        next_attempt_at: None,
        gateway: None,
        gateway_message_id: None,
        segments: None,
        created_at: now,
    }
}
