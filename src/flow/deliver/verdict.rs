//! What an attempt came to, judged: over, or again, and when. Decides and writes nothing.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::doubt::{Doubt, Repeats};
use super::unknown;
use crate::channel::Outcome;
use crate::flow::{House, after, nth_wait};
use crate::link::{Channel, Delivery, DeliveryStatus, EventKind, Link, Reason, ReasonCode};

/// Waits of a mail that the server put off, seconds (`contract.md`, Deliveries).
const MAIL_WAITS: &[i64] = &[60, 300, 900, 1_800, 3_600];
/// Waits where the connection failed before the body, seconds; then as above.
const MAIL_QUICK: &[i64] = &[5, 15, 60];
/// Waits of an SMS that the gateway put off, seconds.
const SMS_WAITS: &[i64] = &[5, 10, 20, 40, 80, 160, 300];
/// What becomes of the delivery after an attempt.
#[derive(Clone, Copy)]
pub(super) enum Next {
    Over(EventKind),
    Again(Timestamp),
}

pub(super) fn judge(
    house: &House,
    link: &Link,
    delivery: &mut Delivery,
    doubt: Option<Doubt>,
    outcome: Outcome,
) -> Next {
    let now = house.clock.now();
    let channel = delivery.to.channel();
    let may = |doubt, due| Repeats::of(house).allow(channel, doubt, due);
    delivery.reason = None;
    match outcome {
        Outcome::Sent {
            gateway,
            message_id,
            segments,
            ..
        } => {
            delivery.status = DeliveryStatus::Sent;
            delivery.sent_at = Some(now);
            delivery.gateway = Some(gateway);
            delivery.gateway_message_id = message_id;
            delivery.segments = segments;
            Next::Over(EventKind::DeliverySent)
        }
        Outcome::Refused(reason) => ended(delivery, doubt, reason),
        Outcome::Later {
            reason,
            connection,
            wait,
        } => {
            let due = after(now, back_off(house, delivery, connection, wait));
            if link.expires_at().is_some_and(|end| due >= end)
                || doubt.is_some_and(|it| !may(it, due))
            {
                let reason = Reason {
                    code: ReasonCode::Expired,
                    ..reason
                };
                return ended(delivery, doubt, reason);
            }
            again(delivery, reason, due)
        }
        Outcome::Unknown { detail } => {
            let wait = match channel {
                Channel::Email => SignedDuration::from_secs(60),
                Channel::Sms => nth_wait(SMS_WAITS, i64::from(delivery.attempts)),
            };
            let due = after(now, wait);
            if may(Doubt::more(doubt, now), due) {
                return again(delivery, unknown(detail), due);
            }
            delivery.reason = Some(unknown(detail));
            delivery.status = DeliveryStatus::Unknown;
            Next::Over(EventKind::DeliveryUnknown)
        }
    }
}

fn again(delivery: &mut Delivery, reason: Reason, due: Timestamp) -> Next {
    delivery.status = DeliveryStatus::Queued;
    delivery.reason = Some(reason);
    delivery.next_attempt_at = Some(due);
    Next::Again(due)
}

/// It did not leave by this attempt. Where an earlier one may have sent it, that is still so.
fn ended(delivery: &mut Delivery, doubt: Option<Doubt>, reason: Reason) -> Next {
    if doubt.is_some() {
        delivery.status = DeliveryStatus::Unknown;
        delivery.reason = Some(unknown(format!(
            "an earlier attempt may have sent it; the last one did not: {}",
            reason.detail
        )));
        return Next::Over(EventKind::DeliveryUnknown);
    }
    delivery.status = DeliveryStatus::Failed;
    delivery.reason = Some(reason);
    Next::Over(EventKind::DeliveryFailed)
}

fn back_off(
    house: &House,
    delivery: &Delivery,
    connection: bool,
    asked: Option<Duration>,
) -> SignedDuration {
    let tries = i64::from(delivery.attempts) - 1;
    let plain = wait(delivery.to.channel(), tries, connection, asked);
    // up to 10 % more, so that a mail server that was away is not met by all at once
    let millis = u64::try_from(plain.as_millis()).unwrap_or(0) / 10;
    let jitter = i64::try_from(house.random.below(millis + 1)).unwrap_or(0);
    plain + SignedDuration::from_millis(jitter)
}

/// The wait after `tries` earlier ones of its kind. What a gateway asked for lengthens it, up to
/// the schedule's own longest (failure-model, SMS: 5 s … 5 min).
fn wait(channel: Channel, tries: i64, connection: bool, asked: Option<Duration>) -> SignedDuration {
    match channel {
        Channel::Sms => {
            let most = nth_wait(SMS_WAITS, i64::MAX);
            // longer than can be counted is longer than that too
            let asked = asked.map(|it| SignedDuration::try_from(it).unwrap_or(most));
            let asked = asked.unwrap_or(SignedDuration::ZERO).min(most);
            nth_wait(SMS_WAITS, tries).max(asked)
        }
        Channel::Email if connection && tries < 3 => nth_wait(MAIL_QUICK, tries),
        Channel::Email if connection => nth_wait(MAIL_WAITS, tries - 3),
        Channel::Email => nth_wait(MAIL_WAITS, tries),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gateway_may_ask_for_a_longer_wait_of_up_to_five_minutes() {
        let sms = |tries, asked: Option<u64>| {
            wait(Channel::Sms, tries, false, asked.map(Duration::from_secs)).as_secs()
        };
        assert_eq!(sms(0, None), 5);
        assert_eq!(sms(0, Some(42)), 42);
        assert_eq!(sms(0, Some(1)), 5);
        assert_eq!(sms(5, Some(42)), 160);
        assert_eq!(sms(0, Some(3_600)), 300);
        assert_eq!(sms(0, Some(u64::MAX)), 300);
        assert_eq!(sms(99, None), 300);
    }
}
