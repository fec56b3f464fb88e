//! *Observe*: what Klarna says about a link becomes what we know about it. Callback, push,
//! redirect and polling only cause the reads here; nothing else ever makes a link paid
//! (failure-model R8, R9; `contract.md`, Paid).

use std::time::Duration;

use jiff::Timestamp;

use super::book::Booked;
use super::idempotency::{self, Answer, Key, Made};
use super::pen::Pen;
use super::{House, Refusal};
use crate::access::Caller;
use crate::chaos::{self, Point};
use crate::klarna::KlarnaError;
use crate::link::{
    Closing, Consumer, EventKind, Link, LinkId, OrderNews, Pair, Payment, PaymentNews, Reading,
    SessionNews, Stage, Status,
};
use crate::store::{Job, JobKind, Tx};

/// Re-reads Klarna now, within the caller's patience. Answers whether the same request was answered
/// before: then nothing is read.
///
/// # Errors
/// `VersionMismatch` where the link is not at `wanted_version`. (Not compared under a lock: the call
/// changes nothing by itself, and what Klarna said is written down by its own rules, as the next
/// poll would do without any `If-Match`.)
pub async fn refresh(
    house: &House,
    caller: &Caller,
    id: LinkId,
    wanted_version: Option<i64>,
    key: Option<Key>,
) -> Result<bool, Refusal> {
    let link = house.visible(caller, id).await?;
    let recalled = key.clone();
    let before = house
        .store
        .read(move |tx| idempotency::recall(tx, recalled.as_ref()))
        .await?;
    if before.is_some() {
        return Ok(true);
    }
    if wanted_version.is_some_and(|wanted| wanted != link.version) {
        return Err(Refusal::VersionMismatch);
    }
    look(house, link).await?;
    if key.is_some() {
        let now = house.clock.now();
        let kept = house
            .store
            .write(move |tx| {
                let made = Made {
                    link: id,
                    resource: None,
                    answer: Some(Answer::Done),
                };
                idempotency::keep(tx, key.as_ref(), made, now)
            })
            .await;
        return match kept {
            // its twin was as quick, and has read what this one has read
            Err(Refusal::IdempotencyInProgress) => Ok(true),
            kept => kept.map(|()| false),
        };
    }
    Ok(false)
}

/// One read-back of a link, whatever its stage; Klarna's silence is no fault of the caller's.
pub(super) async fn look(house: &House, link: Link) -> Result<(), Refusal> {
    let (worker, id) = (house.clone(), link.id);
    let looked = house
        .patiently(async move { read_back(&worker, &link).await })
        .await;
    match looked {
        Some(Err(Refusal::KlarnaUnavailable(..))) | None => {
            tracing::info!(link = %id, "klarna did not answer a read-back in time");
            Ok(())
        }
        Some(done) => done.map(drop),
    }
}

/// What a read-back learned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Learned {
    /// The link is in a final stage now, or was. Else it can still be paid, or is still being closed.
    pub is_final: bool,
    /// The buyer did something with the page that was not known: Klarna calls back about that.
    pub is_move: bool,
}

impl Learned {
    const FINAL: Self = Self::only(true);
    const OPEN: Self = Self::only(false);

    const fn only(is_final: bool) -> Self {
        Self {
            is_final,
            is_move: false,
        }
    }
}

/// Reads Klarna about `link` and writes what changed. `KlarnaUnavailable` where it did not answer.
pub(super) async fn read_back(house: &House, link: &Link) -> Result<Learned, Refusal> {
    match link.stage.status() {
        Status::Open => read_session(house, link).await,
        Status::Disabling | Status::Cancelled | Status::Disabled | Status::Expired => {
            read_order(house, link).await
        }
        Status::Completed => {
            match super::settle::read(house, link).await {
                Ok(Booked::Known) => {}
                // in the background then
                Ok(Booked::Stale) | Err(Refusal::KlarnaUnavailable(..)) => {
                    super::settle::hasten(house, link.id).await?;
                }
                Err(refusal) => return Err(refusal),
            }
            Ok(Learned::FINAL)
        }
        Status::Creating => Ok(Learned::OPEN),
        Status::Failed => Ok(Learned::FINAL),
    }
}

async fn read_session(house: &House, link: &Link) -> Result<Learned, Refusal> {
    let Some(pair) = link.stage.pair() else {
        return Ok(Learned::OPEN);
    };
    match house.klarna.read_session(&pair.session).await {
        Ok(news) => take(house, link.id, news).await,
        // Klarna's end came: the order says how it ended
        Err(KlarnaError::NotFound(_)) => {
            let proof = payment_of(house, pair).await?;
            end(house, link.id, proof).await?;
            Ok(Learned::FINAL)
        }
        Err(error) => Err(unavailable(&error)),
    }
}

/// Reads the order of a link that is closed or being closed; only payment changes anything.
async fn read_order(house: &House, link: &Link) -> Result<Learned, Refusal> {
    let Some(pair) = link.stage.pair() else {
        return Ok(Learned::FINAL);
    };
    match payment_of(house, pair).await? {
        Some(proof) => {
            end(house, link.id, Some(proof)).await?;
            Ok(Learned::FINAL)
        }
        None if link.stage.status().is_final() => Ok(Learned::FINAL),
        None => Ok(Learned::OPEN),
    }
}

/// An authenticated answer that proves payment.
#[derive(Clone, Debug)]
pub(super) enum Proof {
    /// HPP says COMPLETED of our session; amounts are compared at the first read that has them.
    Session,
    /// KCO says `checkout_complete`.
    Order(OrderNews),
    /// Order Management knows the order.
    Payment(Box<PaymentNews>),
}

/// Whether the order of `pair` is paid. KCO may answer 404 for an order that Order Management
/// knows (klarna.md §3), so "gone" is believed only when both say so.
pub(super) async fn payment_of(house: &House, pair: &Pair) -> Result<Option<Proof>, Refusal> {
    match house.klarna.read_order(&pair.order).await {
        Ok(news) => Ok(news.complete.then_some(Proof::Order(news))),
        Err(KlarnaError::NotFound(_)) => match house.klarna.read_payment(&pair.order).await {
            Ok(news) => Ok(Some(Proof::Payment(Box::new(news)))),
            Err(KlarnaError::NotFound(_)) => Ok(None),
            Err(error) => Err(unavailable(&error)),
        },
        Err(error) => Err(unavailable(&error)),
    }
}

/// Klarna did not answer; whoever asked comes again.
pub(super) fn unavailable(error: &KlarnaError) -> Refusal {
    tracing::warn!(%error, "klarna did not answer a read");
    Refusal::KlarnaUnavailable(None, Duration::from_secs(5))
}

/// What a transaction wants a person to be told of, once it is committed: kind and words of each.
pub(super) type Alarms = Vec<(&'static str, String)>;

/// Writes what a session's read said.
pub(super) async fn take(house: &House, id: LinkId, news: SessionNews) -> Result<Learned, Refusal> {
    chaos::at(Point::ObserveRead);
    let pen = house.pen();
    let (learned, alarms) = house
        .store
        .write(move |tx| {
            let before = tx.link(id)?.ok_or(Refusal::NotFound)?;
            if !is_news(&before, &news) {
                return Ok((learned(&before), Alarms::new()));
            }
            let mut pen = pen;
            // judged again under the link's lock: another read may have been written down meanwhile
            let mut link = tx.touch(id)?.ok_or(Refusal::NotFound)?;
            if !is_news(&link, &news) {
                return Ok((learned(&link), Alarms::new()));
            }
            link.updated_at = pen.at;
            let is_move = is_move(&link, &news);
            let alarms = take_in(tx, &mut link, &news, &mut pen)?;
            tx.save(&link)?;
            let learned = Learned {
                is_move,
                ..learned(&link)
            };
            Ok::<_, Refusal>((learned, alarms))
        })
        .await?;
    chaos::at(Point::ObserveWritten);
    house.sound(alarms, id).await;
    Ok(learned)
}

fn learned(link: &Link) -> Learned {
    Learned::only(link.stage.status().is_final())
}

/// Whether the buyer did something that `link` does not show, and of which Klarna tells.
fn is_move(link: &Link, news: &SessionNews) -> bool {
    let told = match news.reading {
        Reading::Completed | Reading::Cancelled => true,
        Reading::Consumer(consumer) => consumer != Consumer::NotOpened,
        Reading::Disabled | Reading::Unclear => false,
    };
    told && link.klarna.status.as_deref() != Some(&news.raw)
}

/// Whether a read says anything that the row does not. Older news than the newest taken is none
/// (failure-model R9), unless it is final: a final word cannot be overtaken.
fn is_news(link: &Link, news: &SessionNews) -> bool {
    let known = &link.klarna;
    let last_word = matches!(
        news.reading,
        Reading::Completed | Reading::Cancelled | Reading::Disabled
    );
    let stale =
        matches!((known.updated_at, news.updated_at), (Some(known), Some(new)) if new < known);
    if link.stage.status().is_final() || (stale && !last_word) {
        return last_word
            && link.stage.status() != Status::Completed
            && news.reading == Reading::Completed;
    }
    last_word
        || known.status.as_deref() != Some(&news.raw)
        || (news.expires_at.is_some() && known.expires_at != news.expires_at)
        || known.updated_at != news.updated_at
}

fn take_in(
    tx: &mut Tx,
    link: &mut Link,
    news: &SessionNews,
    pen: &mut Pen,
) -> Result<Alarms, Refusal> {
    let ours = link
        .stage
        .pair()
        .is_some_and(|pair| news.order.as_ref().is_none_or(|order| *order == pair.order));
    if !ours {
        return mismatch(tx, link, pen);
    }
    let first_word = link.klarna.status.as_deref() != Some(&news.raw);
    if first_word && news.reading == Reading::Unclear && news.raw != "TIMEOUT" {
        tracing::warn!(link = %link.id, status = news.raw, "klarna said a status that we do not know; it is kept and not acted on");
    }
    link.klarna.status = Some(news.raw.clone());
    link.klarna.updated_at = news.updated_at.or(link.klarna.updated_at);
    link.klarna.expires_at = news.expires_at.or(link.klarna.expires_at);
    link.klarna.verified_at = Some(pen.at);
    if news.klarna_reference.is_some() {
        link.klarna.reference.clone_from(&news.klarna_reference);
    }
    match news.reading {
        Reading::Completed => complete(tx, link, &Proof::Session, pen),
        Reading::Consumer(consumer) => {
            moved(tx, link, consumer, news, pen)?;
            Ok(Alarms::new())
        }
        Reading::Cancelled => {
            link.stage = link.stage.clone().cancelled(pen.at)?;
            pen.tell(tx, link, EventKind::LinkCancelled, None)?;
            pen.skip_unsent(tx, link)?;
            Ok(Alarms::new())
        }
        // our own DELETE is proved by the verb *disable*; here it was another's
        Reading::Disabled if link.stage.status() == Status::Open => {
            link.stage = link.stage.clone().disabled_by_klarna(pen.at)?;
            link.closing_reason = Some(Closing::Klarna);
            pen.tell(tx, link, EventKind::LinkDisabled, None)?;
            pen.skip_unsent(tx, link)?;
            Ok(Alarms::new())
        }
        Reading::Disabled | Reading::Unclear => Ok(Alarms::new()),
    }
}

fn moved(
    tx: &mut Tx,
    link: &mut Link,
    consumer: Consumer,
    news: &SessionNews,
    pen: &mut Pen,
) -> Result<(), Refusal> {
    let Stage::Open {
        pair,
        until,
        consumer: before,
    } = &link.stage
    else {
        return Ok(());
    };
    let (before, until) = (*before, news.expires_at.unwrap_or(*until));
    let mut pair = pair.clone();
    if news.id_check_url.is_some() {
        pair.id_check_url.clone_from(&news.id_check_url);
    }
    link.stage = Stage::Open {
        pair,
        until,
        consumer,
    };
    if consumer != Consumer::NotOpened && !link.viewed {
        link.viewed = true;
        pen.tell(tx, link, EventKind::LinkViewed, None)?;
    }
    if consumer != before {
        pen.tell(tx, link, EventKind::LinkConsumerChanged, None)?;
    }
    Ok(())
}

/// Klarna's page is gone: paid, or over.
pub(super) async fn end(house: &House, id: LinkId, proof: Option<Proof>) -> Result<Link, Refusal> {
    let pen = house.pen();
    let (link, alarms) = house
        .store
        .write(move |tx| {
            let mut pen = pen;
            let mut link = tx.touch(id)?.ok_or(Refusal::NotFound)?;
            link.updated_at = pen.at;
            let alarms = if let Some(proof) = &proof {
                complete(tx, &mut link, proof, &mut pen)?
            } else {
                expire(tx, &mut link, &mut pen)?;
                Alarms::new()
            };
            tx.save(&link)?;
            Ok::<_, Refusal>((link, alarms))
        })
        .await?;
    house.sound(alarms, id).await;
    Ok(link)
}

fn expire(tx: &mut Tx, link: &mut Link, pen: &mut Pen) -> Result<(), Refusal> {
    if !matches!(link.stage.status(), Status::Open | Status::Disabling) {
        return Ok(());
    }
    link.stage = link.stage.clone().expired(pen.at)?;
    link.klarna.verified_at = Some(pen.at);
    pen.tell(tx, link, EventKind::LinkExpired, None)?;
    Ok(pen.skip_unsent(tx, link)?)
}

/// Money was authorised. Beats every other stage; a second payment of one reference, and one that
/// came after the link was closed, are for a person to see.
pub(super) fn complete(
    tx: &mut Tx,
    link: &mut Link,
    proof: &Proof,
    pen: &mut Pen,
) -> Result<Alarms, Refusal> {
    let before = link.stage.status();
    if before == Status::Completed {
        return Ok(Alarms::new());
    }
    let (ours, payment) = match proof {
        Proof::Session => (true, Payment::authorized()),
        Proof::Order(news) => (
            link.owns(
                &news.order,
                news.amount,
                news.currency.as_deref(),
                news.merchant_reference2.as_deref(),
            ),
            Payment::authorized(),
        ),
        Proof::Payment(news) => (
            link.owns(
                &news.order,
                news.amount,
                news.currency.as_deref(),
                news.merchant_reference2.as_deref(),
            ),
            news.payment.clone(),
        ),
    };
    if !ours {
        return mismatch(tx, link, pen);
    }
    let twin = tx.paid_link(&link.store, &link.sale.reference, Timestamp::UNIX_EPOCH)?;
    link.stage = link.stage.clone().completed(pen.at, payment)?;
    link.klarna.verified_at = Some(pen.at);
    pen.tell(tx, link, EventKind::LinkCompleted, None)?;
    pen.tell(tx, link, EventKind::PaymentAuthorized, None)?;
    pen.skip_unsent(tx, link)?;
    tx.enqueue(&Job {
        kind: JobKind::Settle,
        subject: link.id.to_string(),
        link: link.id,
        due_at: pen.at,
    })?;
    let mut alarms = Alarms::new();
    if matches!(
        before,
        Status::Disabled | Status::Expired | Status::Cancelled
    ) {
        pen.tell(tx, link, EventKind::LinkPaidAfterDisable, None)?;
        alarms.push((
            "paid_after_disable",
            format!("{} was paid after it was {}", link.id, before.as_str()),
        ));
    }
    if let Some(twin) = twin.filter(|twin| *twin != link.id) {
        pen.tell(tx, link, EventKind::LinkDuplicatePayment, None)?;
        alarms.push((
            "duplicate_payment",
            format!("{} and {twin} are both paid for one reference", link.id),
        ));
    }
    Ok(alarms)
}

/// Order, amount, currency or reference are not ours: nothing is completed, a person decides.
pub(super) fn mismatch(tx: &mut Tx, link: &mut Link, pen: &mut Pen) -> Result<Alarms, Refusal> {
    if link.mismatch {
        return Ok(Alarms::new());
    }
    link.mismatch = true;
    pen.tell(tx, link, EventKind::LinkMismatch, None)?;
    Ok(vec![(
        "mismatch",
        format!("what klarna says of {} is not what was sold", link.id),
    )])
}
