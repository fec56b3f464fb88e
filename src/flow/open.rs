//! *Open*: Klarna makes an order and a session for a link that was accepted. Klarna has no
//! idempotency for creating them, so a pair whose outcome is unknown is thrown away and a new one
//! is made (failure-model, One to one; `contract.md`, Pairs and outages).

use std::time::Duration;

use jiff::SignedDuration;

use super::idempotency::{Answer, Key, settle};
use super::pen::Pen;
use super::{House, Refusal, after, nth_wait};
use crate::chaos::{self, Point};
use crate::klarna::{KlarnaError, Limit, Opened};
use crate::link::{
    Delivery, DeliveryStatus, EventKind, Failure, FailureCode, Link, LinkId, Stage, Status,
};
use crate::store::{Claim, Job, JobKind, Tx};

/// Waits between tries, seconds; the last one repeats.
const WAITS: &[i64] = &[1, 2, 5, 15, 30, 60];
/// How long after its acceptance a link is still opened.
const GIVE_UP: SignedDuration = SignedDuration::from_mins(15);
/// Pairs of one link that may be lost without anybody knowing whether they exist.
const MOST_PAIRS: u8 = 3;
/// How long a link waits for a token of the bucket with its job in hand: as long as a caller does.
/// Put back for each wait of a fraction of a second, a thousand links after an outage would write
/// thousands of rows a second and be served by chance.
const IN_HAND: Duration = Duration::from_secs(4);

/// What one try came to.
enum Tried {
    Opened(Box<Opened>),
    /// Proved not done, or only an order without a page: the same pair number again, later.
    NotYet {
        wait: Option<SignedDuration>,
        detail: String,
    },
    /// A page may exist that nobody was shown: the next pair.
    Lost {
        detail: String,
    },
    /// The answer cannot be used; one repeat.
    Unusable {
        detail: String,
    },
    Never(Failure),
}

/// A link that became payable, and its messages, as the commit that made it so had them.
pub(super) type Payable = (Link, Vec<Delivery>);

/// Opens a link under a claim that was born with it. `key` is the idempotency key of the request
/// that waits for the answer. `None`: the link is not payable by this.
pub(super) async fn open(
    house: House,
    claim: Claim,
    link: Link,
    key: Option<Key>,
) -> Result<Option<Payable>, Refusal> {
    let Stage::Creating { pairs_tried } = link.stage else {
        give_way(&house, claim, link.id).await?;
        return Ok(None);
    };
    let number = pairs_tried.saturating_add(1);
    match make_pair(&house, &link, number).await {
        Tried::Opened(opened) => return opened_now(&house, claim, link.id, *opened, key).await,
        Tried::Never(why) => never(&house, claim, link.id, why, key).await?,
        tried => later(&house, claim, &link, number, tried, key).await?,
    }
    Ok(None)
}

/// The worker's entry: the link as it is now.
pub(super) async fn resume(house: &House, claim: Claim) -> Result<(), Refusal> {
    let id = claim.job.link;
    match house.store.read(move |tx| tx.link(id)).await? {
        Some(link) => open(house.clone(), claim, link, None).await.map(drop),
        None => house.finish(claim).await,
    }
}

async fn make_pair(house: &House, link: &Link, number: u8) -> Tried {
    chaos::at(Point::OpenBegun);
    let token = house.vault.token(link.id, number);
    let order = match order(house, link, &token).await {
        Ok(order) => order,
        Err(error) => return order_missing(error),
    };
    chaos::at(Point::OpenOrdered);
    match house
        .klarna
        .create_session(link, &order, &token, number)
        .await
    {
        Ok(opened) => Tried::Opened(Box::new(opened)),
        Err(error) => {
            let tried = session_missing(error);
            // nobody was shown its page: aborting is tidy, not necessary
            let klarna = house.klarna.clone();
            house.tasks.spawn_on(
                async move {
                    if let Err(error) = klarna.abort_order(&order).await {
                        tracing::debug!(%order, %error, "a stray order could not be aborted and expires by itself");
                    }
                },
                &house.runtime,
            );
            tried
        }
    }
}

/// Asks for the order, as soon as our own limit leaves room for it.
async fn order(house: &House, link: &Link, token: &str) -> Result<String, KlarnaError> {
    let begun = tokio::time::Instant::now();
    loop {
        house.provide(Limit::Creates, 1).await;
        match house.klarna.create_order(link, token).await {
            // our own bucket: Klarna was not asked, and would have answered with a refusal
            Err(KlarnaError::Busy {
                retry_after: Some(wait),
                refusal: None,
            }) if begun.elapsed() + wait < IN_HAND => tokio::time::sleep(wait).await,
            asked => return asked,
        }
    }
}

fn order_missing(error: KlarnaError) -> Tried {
    match error {
        // an order without a session has no page: a lost one harms nobody and does not count
        KlarnaError::NotDone { detail }
        | KlarnaError::Unknown { detail }
        | KlarnaError::Unusable { detail } => Tried::NotYet { wait: None, detail },
        error => refused_or_later(error),
    }
}

fn session_missing(error: KlarnaError) -> Tried {
    match error {
        KlarnaError::NotDone { detail } => Tried::NotYet { wait: None, detail },
        KlarnaError::Unknown { detail } => Tried::Lost { detail },
        KlarnaError::Unusable { detail } => Tried::Unusable { detail },
        // "payment session has expired": the order went before its page could be made
        KlarnaError::NotFound(_) => Tried::NotYet {
            wait: None,
            detail: "klarna no longer knew the order when its page was asked for".into(),
        },
        error => refused_or_later(error),
    }
}

fn refused_or_later(error: KlarnaError) -> Tried {
    let detail = error.to_string();
    match error {
        KlarnaError::Busy { retry_after, .. } => Tried::NotYet {
            wait: retry_after.and_then(|wait| SignedDuration::try_from(wait).ok()),
            detail,
        },
        KlarnaError::Refused(refusal) | KlarnaError::NotFound(refusal) => Tried::Never(Failure {
            code: FailureCode::KlarnaRefused,
            detail: "klarna refused the sale".into(),
            klarna: Some(refusal),
        }),
        KlarnaError::Forbidden(refusal) => Tried::Never(Failure {
            code: FailureCode::KlarnaUnavailable,
            detail: "klarna did not accept our credentials".into(),
            klarna: Some(refusal),
        }),
        KlarnaError::Open { .. }
        | KlarnaError::NotDone { .. }
        | KlarnaError::Unknown { .. }
        | KlarnaError::Unusable { .. } => Tried::NotYet { wait: None, detail },
    }
}

/// The second of the two commits: the link is payable, its messages may leave.
async fn opened_now(
    house: &House,
    claim: Claim,
    id: LinkId,
    opened: Opened,
    key: Option<Key>,
) -> Result<Option<Payable>, Refusal> {
    chaos::at(Point::OpenPaired);
    let pen = house.pen();
    let (pair, until) = (opened.pair, opened.until);
    let ours = pair.clone();
    let stood = house
        .store
        .write(move |tx| {
            if !tx.done(&claim)? {
                return Ok(None);
            }
            if claim.attempt > 1 {
                tx.hasten_oldest_opens(pen.at)?;
            }
            let mut pen = pen;
            let mut link = tx.touch(id)?.ok_or(Refusal::NotFound)?;
            link.updated_at = pen.at;
            match link.stage.status() {
                Status::Creating => {
                    link.stage = link.stage.opened(ours.clone(), until)?;
                    link.klarna.status = Some("WAITING".into());
                    link.klarna.expires_at = Some(until);
                    link.klarna.verified_at = Some(pen.at);
                    pen.tell(tx, &mut link, EventKind::LinkPayable, None)?;
                    let now = pen.at;
                    let deliveries = tx.deliveries(id)?;
                    release_messages(tx, &deliveries, now)?;
                    follow(tx, &link, now)?;
                    settle(tx, key.as_ref(), Answer::Done)?;
                    tx.save(&link)?;
                    Ok::<_, Refusal>(Some((link, deliveries)))
                }
                // disabled while Klarna was asked: nobody was shown this pair
                Status::Disabling => {
                    close_unseen(tx, &mut link, &mut pen)?;
                    settle(tx, key.as_ref(), Answer::Done)?;
                    Ok(None)
                }
                _ => Ok(None),
            }
        })
        .await?;
    chaos::at(Point::OpenWritten);
    if stood.is_none() {
        clean_up(house, &pair.order, &pair.session).await;
    }
    Ok(stood)
}

/// Whoever loses the race removes its own effect; what cannot be removed expires unseen.
async fn clean_up(house: &House, order: &str, session: &str) {
    if let Err(error) = house.klarna.disable_session(session).await {
        tracing::info!(session, %error, "an unseen session could not be disabled and expires by itself");
    }
    if let Err(error) = house.klarna.abort_order(order).await {
        tracing::info!(order, %error, "an unseen order could not be aborted and expires by itself");
    }
}

fn release_messages(
    tx: &mut Tx,
    deliveries: &[Delivery],
    now: jiff::Timestamp,
) -> Result<(), Refusal> {
    for delivery in deliveries {
        if delivery.status == DeliveryStatus::Queued {
            tx.enqueue(&Job {
                kind: JobKind::Deliver,
                subject: delivery.id.to_string(),
                link: delivery.link,
                due_at: now,
            })?;
        }
    }
    Ok(())
}

/// From now on its outcome is asked for, and its own end is watched.
fn follow(tx: &mut Tx, link: &Link, now: jiff::Timestamp) -> Result<(), Refusal> {
    tx.enqueue(&Job {
        kind: JobKind::Watch,
        subject: link.id.to_string(),
        link: link.id,
        due_at: after(now, super::watch::FIRST),
    })?;
    if let Some(end) = link.wanted_end {
        tx.enqueue(&Job {
            kind: JobKind::Expire,
            subject: link.id.to_string(),
            link: link.id,
            due_at: end,
        })?;
    }
    Ok(())
}

/// A disable that met a link without a pair is proved by there being none.
fn close_unseen(tx: &mut Tx, link: &mut Link, pen: &mut Pen) -> Result<(), Refusal> {
    link.stage = link.stage.clone().closed(pen.at)?;
    link.updated_at = pen.at;
    pen.tell(tx, link, EventKind::LinkDisabled, None)?;
    Ok(tx.save(link)?)
}

async fn give_way(house: &House, claim: Claim, id: LinkId) -> Result<(), Refusal> {
    let pen = house.pen();
    house
        .store
        .write(move |tx| {
            if !tx.done(&claim)? {
                return Ok(());
            }
            let Some(link) = tx.link(id)? else {
                return Ok(());
            };
            if matches!(link.stage, Stage::Disabling { pair: None, .. }) {
                let mut link = tx.touch(id)?.ok_or(Refusal::NotFound)?;
                close_unseen(tx, &mut link, &mut pen.clone())?;
            }
            Ok::<_, Refusal>(())
        })
        .await
}

async fn never(
    house: &House,
    claim: Claim,
    id: LinkId,
    why: Failure,
    key: Option<Key>,
) -> Result<(), Refusal> {
    let pen = house.pen();
    let alarming = why.code == FailureCode::KlarnaUnavailable;
    let detail = why.detail.clone();
    house
        .store
        .write(move |tx| {
            if !tx.done(&claim)? {
                return Ok(());
            }
            let mut pen = pen;
            let mut link = tx.touch(id)?.ok_or(Refusal::NotFound)?;
            match link.stage.status() {
                Status::Creating => {
                    link.stage = link.stage.failed(pen.at, why.clone())?;
                    link.updated_at = pen.at;
                    pen.tell(tx, &mut link, EventKind::LinkFailed, None)?;
                    pen.skip_unsent(tx, &mut link)?;
                    tx.save(&link)?;
                }
                Status::Disabling => close_unseen(tx, &mut link, &mut pen)?,
                _ => return Ok(()),
            }
            let Some(key) = &key else { return Ok(()) };
            match why.code {
                FailureCode::KlarnaRefused => settle(tx, Some(key), Answer::Refused)?,
                // the first answer is a 503: its repeat shall be a new try
                FailureCode::KlarnaUnavailable | FailureCode::GaveUp => {
                    tx.forget_unanswered(&key.scope, &key.key)?;
                }
            }
            Ok::<_, Refusal>(())
        })
        .await?;
    chaos::at(Point::OpenFailed);
    if alarming {
        house.alert("klarna_unavailable", &detail, Some(id)).await;
    }
    Ok(())
}

async fn later(
    house: &House,
    claim: Claim,
    link: &Link,
    number: u8,
    tried: Tried,
    key: Option<Key>,
) -> Result<(), Refusal> {
    let (counts, unusable, wait, detail) = match tried {
        Tried::NotYet { wait, detail } => (false, false, wait, detail),
        Tried::Lost { detail } => (true, false, None, detail),
        Tried::Unusable { detail } => (true, true, None, detail),
        Tried::Opened(_) | Tried::Never(_) => return Ok(()),
    };
    let now = house.clock.now();
    let wait = wait.unwrap_or_else(|| nth_wait(WAITS, claim.attempt - 1));
    let due = after(now, wait);
    tracing::warn!(link = %link.id, pair = number, attempt = claim.attempt, detail, "klarna gave no pair yet");
    // an unusable answer is repeated once; lost pairs end with the third
    let spent = counts && (number >= MOST_PAIRS || (unusable && number >= 2));
    if spent || due > after(link.created_at, GIVE_UP) {
        let code = if spent {
            FailureCode::GaveUp
        } else {
            FailureCode::KlarnaUnavailable
        };
        let why = Failure {
            code,
            detail,
            klarna: None,
        };
        return never(house, claim, link.id, why, key).await;
    }
    let (id, pen) = (link.id, house.pen());
    let token_hash = crate::secret::token_hash(&house.vault.token(id, number.saturating_add(1)));
    house
        .store
        .write(move |tx| {
            if counts {
                let mut link = tx.touch(id)?.ok_or(Refusal::NotFound)?;
                if link.stage.status() == Status::Creating {
                    link.stage = link.stage.tried()?;
                    link.updated_at = pen.at;
                    tx.insert_token(&token_hash, id, number.saturating_add(1))?;
                    tx.save(&link)?;
                }
            }
            tx.again(&claim, due, false)?;
            Ok::<_, Refusal>(())
        })
        .await?;
    chaos::at(Point::OpenPutOff);
    Ok(())
}
