//! *Deliver*: one message leaves, at most once. The attempt row is committed before the first
//! byte; what it came to is committed afterwards; an attempt without a result is evidence that
//! the message may have left (failure-model R1, R3, R4). Whether it may be sent again is [`doubt`]'s,
//! what an attempt came to is [`verdict`]'s.

mod doubt;
mod verdict;

use jiff::{SignedDuration, Timestamp};

use self::doubt::{Doubt, Repeats};
use self::verdict::{Next, judge};
use super::{House, Refusal, after};
use crate::channel::mail::{Mail, Turn};
use crate::channel::sms::Sms;
use crate::channel::{Outcome, qr};
use crate::chaos::{self, Bug, Point};
use crate::link::{
    Delivery, DeliveryId, DeliveryStatus, EventKind, Link, LinkId, Reason, ReasonCode, Recipient,
    Status,
};
use crate::store::{Attempt, AttemptId, Claim, Tx};
use crate::templates::{Facts, Message};

/// The picture in a mail: twice the pixels that it is shown at.
const MAIL_QR: qr::Look = qr::Look {
    size: 264,
    ecc: qr::Ecc::M,
    margin: 4,
};
/// An older claim is confirmed in the database directly before the first byte.
const FRESH: SignedDuration = SignedDuration::from_secs(2);

/// What the transaction before the first byte decided.
enum Decision {
    /// Nothing is to be sent; the job is done or waits.
    Nothing,
    Send(Box<Sending>),
}

/// One attempt, as it is committed before its first byte.
struct Sending {
    link: Link,
    delivery: Delivery,
    attempt: AttemptId,
    /// Of the attempts before this one.
    doubt: Option<Doubt>,
}

/// Sends the message of a claimed job.
pub(super) async fn deliver(house: &House, claim: Claim) -> Result<(), Refusal> {
    let Ok(id) = claim.job.subject.parse::<DeliveryId>() else {
        return house.finish(claim).await;
    };
    // waited for before anything is decided: others may hold all sessions for minutes
    let turn = match (
        &house.mailer,
        house.store.read(move |tx| tx.delivery(id)).await?,
    ) {
        (Some(mailer), Some(delivery)) if matches!(delivery.to, Recipient::Email(_)) => {
            house.closing.run_until_cancelled(mailer.turn()).await
        }
        _ => None,
    };
    if house.closing.is_cancelled() {
        house.store.write(move |tx| tx.release(&claim)).await?;
        return Ok(());
    }
    let hasty = if chaos::planted(Bug::SendBeforeCommit) {
        at_once(house, id).await?
    } else {
        None
    };
    let Decision::Send(sending) = decide(house, &claim, id).await? else {
        return Ok(());
    };
    chaos::at(Point::DeliverBegun);
    let (link, delivery) = (&sending.link, &sending.delivery);
    let outcome = match words(house, link, delivery) {
        Ok(message) => {
            if !still_ours(house, &claim).await? {
                // whoever holds the job now finds our attempt without result and judges by it
                return Ok(());
            }
            match hasty {
                Some(outcome) => outcome,
                // nothing of it has left, so it is put back
                None if house.closing.is_cancelled() => {
                    Outcome::unreached("the service stopped first")
                }
                None => send(house, link, delivery, message, turn).await,
            }
        }
        Err(detail) => Outcome::Refused(Reason {
            code: ReasonCode::Rejected,
            detail,
        }),
    };
    chaos::at(Point::DeliverLeft);
    write_down(house, claim, *sending, outcome).await?;
    chaos::at(Point::DeliverWritten);
    Ok(())
}

/// For [`Bug::SendBeforeCommit`] only: what a program does that has not heard of R1.
async fn at_once(house: &House, id: DeliveryId) -> Result<Option<Outcome>, Refusal> {
    let (delivery, link) = house
        .store
        .read(move |tx| {
            let delivery = tx.delivery(id)?.ok_or(Refusal::NotFound)?;
            let link = tx.link(delivery.link)?.ok_or(Refusal::NotFound)?;
            Ok::<_, Refusal>((delivery, link))
        })
        .await?;
    match (words(house, &link, &delivery), delivery.status) {
        (Ok(message), DeliveryStatus::Queued) => {
            Ok(Some(send(house, &link, &delivery, message, None).await))
        }
        _ => Ok(None),
    }
}

async fn decide(house: &House, claim: &Claim, id: DeliveryId) -> Result<Decision, Refusal> {
    let (claim, pen) = (claim.clone(), house.pen());
    let repeats = Repeats::of(house);
    house
        .store
        .write(move |tx| {
            let mut pen = pen;
            let now = pen.at;
            // a transaction that began under a lease may come after its end: an attempt that nobody
            // makes would read as one that may have left
            if !tx.confirm(&claim)? {
                return Ok(Decision::Nothing);
            }
            let Some(mut delivery) = tx.delivery(id)? else {
                tx.done(&claim)?;
                return Ok(Decision::Nothing);
            };
            let waiting = matches!(
                delivery.status,
                DeliveryStatus::Queued | DeliveryStatus::Sending
            );
            if !waiting {
                tx.done(&claim)?;
                return Ok(Decision::Nothing);
            }
            let mut link = tx.touch(delivery.link)?.ok_or(Refusal::NotFound)?;
            link.updated_at = now;
            let doubt = Doubt::of(tx, id)?;
            let left = tx.open_attempts(id)?;
            close(tx, &left, now)?;
            // also a repeat that was promised: it may be late, and the promise over
            if doubt.is_some_and(|it| !repeats.allow(delivery.to.channel(), it, now)) {
                give_up(tx, &mut link, &mut delivery, NOBODY_KNOWS, &mut pen)?;
                tx.done(&claim)?;
                return Ok(Decision::Nothing);
            }
            match link.stage.status() {
                Status::Creating => {
                    tx.again(&claim, after(now, FRESH), false)?;
                    return Ok(Decision::Nothing);
                }
                Status::Open if link.payable(now) => {}
                _ => {
                    if doubt.is_some() {
                        give_up(tx, &mut link, &mut delivery, CLOSED_IN_DOUBT, &mut pen)?;
                    } else {
                        skip(tx, &mut link, &mut delivery, &mut pen)?;
                    }
                    tx.done(&claim)?;
                    return Ok(Decision::Nothing);
                }
            }
            delivery.status = DeliveryStatus::Sending;
            delivery.attempts += 1;
            delivery.next_attempt_at = None;
            tx.save_delivery(&delivery)?;
            tx.save(&link)?;
            let attempt = if chaos::planted(Bug::NoAttemptRow) {
                AttemptId {
                    delivery: id,
                    claim: claim.attempt,
                }
            } else {
                tx.begin_attempt(&claim, id, now)?
            };
            chaos::at(Point::DeliverDecided);
            Ok::<_, Refusal>(Decision::Send(Box::new(Sending {
                link,
                delivery,
                attempt,
                doubt,
            })))
        })
        .await
}

/// What nobody could write down is written down now.
fn close(tx: &mut Tx, left: &[Attempt], now: Timestamp) -> Result<(), Refusal> {
    for attempt in left {
        tx.finish_attempt(attempt.id, "unknown", "the program stopped meanwhile", now)?;
    }
    Ok(())
}

const NOBODY_KNOWS: &str =
    "the program stopped, or an answer was lost, while the message was leaving";
const CLOSED_IN_DOUBT: &str =
    "the link was closed before anybody knew whether the message had left";

/// It may have left or not: for a person.
fn give_up(
    tx: &mut Tx,
    link: &mut Link,
    delivery: &mut Delivery,
    why: &str,
    pen: &mut super::pen::Pen,
) -> Result<(), Refusal> {
    delivery.status = DeliveryStatus::Unknown;
    delivery.next_attempt_at = None;
    delivery.reason = Some(unknown(why));
    tx.save_delivery(delivery)?;
    pen.tell(tx, link, EventKind::DeliveryUnknown, Some(delivery))?;
    Ok(tx.save(link)?)
}

fn unknown(detail: impl Into<String>) -> Reason {
    Reason {
        code: ReasonCode::UnknownOutcome,
        detail: detail.into(),
    }
}

fn skip(
    tx: &mut Tx,
    link: &mut Link,
    delivery: &mut Delivery,
    pen: &mut super::pen::Pen,
) -> Result<(), Refusal> {
    delivery.status = DeliveryStatus::Skipped;
    delivery.next_attempt_at = None;
    delivery.reason = Some(closed_first());
    tx.save_delivery(delivery)?;
    pen.tell(tx, link, EventKind::DeliverySkipped, Some(delivery))?;
    Ok(tx.save(link)?)
}

async fn still_ours(house: &House, claim: &Claim) -> Result<bool, Refusal> {
    let fresh = claim.is_younger(FRESH, &house.clock);
    if fresh || chaos::planted(Bug::NoConfirmation) {
        return Ok(true);
    }
    let claim = claim.clone();
    let ours = house.store.read(move |tx| tx.confirm(&claim)).await?;
    Ok(ours)
}

fn words(house: &House, link: &Link, delivery: &Delivery) -> Result<Message, String> {
    let until = link.expires_at().unwrap_or(Timestamp::MAX);
    let facts = Facts::of(link, until).ok_or("the link has no page to lead to")?;
    house
        .templates
        .message(&delivery.template, &facts)
        .map_err(|fault| fault.to_string())
}

async fn send(
    house: &House,
    link: &Link,
    delivery: &Delivery,
    message: Message,
    turn: Option<Turn<'_>>,
) -> Outcome {
    match (&delivery.to, &house.mailer, &house.sms) {
        (Recipient::Email(to), Some(mailer), _) => {
            let qr_png = link
                .stage
                .pair()
                .and_then(|pair| qr::png(&pair.url, &MAIL_QR).ok());
            let mail = Mail {
                to: to.clone(),
                subject: message.subject,
                text: message.text,
                html: message.html,
                qr_png,
                message_id: format!("<{}@{}>", delivery.id, house.settings.mail_domain),
                date: house.clock.now(),
                language: message.language,
            };
            match turn {
                Some(turn) => mailer.send_now(&mail, turn, &house.closing).await,
                None => mailer.send(&mail).await,
            }
        }
        (Recipient::Sms(to), _, Some(gateway)) => {
            let sms = Sms {
                to: to.clone(),
                from: house.settings.sms_from.clone(),
                text: message.sms,
                id: delivery.id.to_string(),
            };
            gateway.submit(&sms).await
        }
        (Recipient::Email(_), None, _) | (Recipient::Sms(_), _, None) => Outcome::Later {
            reason: Reason {
                code: ReasonCode::GatewayAuth,
                detail: "the channel is no longer configured".into(),
            },
            connection: false,
            wait: None,
        },
    }
}

fn is_closed(tx: &mut Tx, link: LinkId) -> Result<bool, Refusal> {
    let status = tx.link(link)?.map(|link| link.stage.status());
    Ok(!matches!(status, Some(Status::Creating | Status::Open)))
}

fn closed_first() -> Reason {
    Reason {
        code: ReasonCode::LinkClosed,
        detail: "the link was closed first".into(),
    }
}

async fn write_down(
    house: &House,
    claim: Claim,
    sending: Sending,
    outcome: Outcome,
) -> Result<(), Refusal> {
    let Sending {
        link,
        mut delivery,
        attempt,
        doubt,
    } = sending;
    let pen = house.pen();
    let in_doubt = doubt.is_some() || matches!(outcome, Outcome::Unknown { .. });
    let word = outcome.word();
    let detail = outcome.detail().to_owned();
    let next = judge(house, &link, &mut delivery, doubt, outcome);
    tracing::info!(
        link = %link.id, delivery = %delivery.id, to = %delivery.to.masked(),
        status = delivery.status.as_str(), detail, "a delivery was tried"
    );
    metrics::counter!("paylink_deliveries_total", "channel" => delivery.to.channel().as_str(), "status" => delivery.status.as_str()).increment(1);
    house
        .store
        .write(move |tx| {
            let (mut pen, mut delivery, mut next) = (pen, delivery.clone(), next);
            // closed while the message was refused for now: there will be no other try
            if matches!(next, Next::Again(_)) && is_closed(tx, delivery.link)? {
                delivery.next_attempt_at = None;
                next = if in_doubt {
                    delivery.status = DeliveryStatus::Unknown;
                    delivery.reason = Some(unknown(CLOSED_IN_DOUBT));
                    Next::Over(EventKind::DeliveryUnknown)
                } else {
                    delivery.status = DeliveryStatus::Skipped;
                    delivery.reason = Some(closed_first());
                    Next::Over(EventKind::DeliverySkipped)
                };
            }
            let mine = match &next {
                Next::Over(_) => tx.done(&claim)?,
                Next::Again(due) => tx.again(&claim, *due, false)?,
            };
            if !mine {
                // the fence: a successor judged by our attempt row; what we know is logged, not written
                return Ok(());
            }
            tx.finish_attempt(attempt, word, &detail, pen.at)?;
            tx.save_delivery(&delivery)?;
            let mut link = tx.touch(delivery.link)?.ok_or(Refusal::NotFound)?;
            link.updated_at = pen.at;
            if let Next::Over(kind) = next {
                pen.tell(tx, &mut link, kind, Some(&delivery))?;
            }
            Ok::<_, Refusal>(tx.save(&link)?)
        })
        .await
}
