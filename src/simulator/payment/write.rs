//! The door for changes: which one is it, was it made under this key before, what came of it.

use jiff::Timestamp;
use serde_json::{Map, Value};
use uuid::Uuid;

use super::super::answer::{Answer, Outcome, Refusal};
use super::super::grammar::Field;
use super::super::world::World;
use super::shape::{
    AUTHORIZATION, CAPTURE, CUSTOMER, DUE_DATE, REFERENCES, REFUND, SHIPPING, read,
};
use super::{Fraud, Payment, no_such_order};

/// A change of a payment. Ids that are no UUIDs are `None`, and never found.
#[derive(Clone, Copy, Debug)]
pub(in super::super) enum Write {
    Acknowledge,
    Capture,
    Refund,
    Cancel,
    Release,
    Extend,
    Authorization,
    References,
    Customer,
    Shipping,
    CaptureShipping(Option<Uuid>),
    SendOut(Option<Uuid>),
    DueDate(Option<Uuid>),
}

/// How a change was asked for.
pub(in super::super) struct Asked<'a> {
    pub order: Option<Uuid>,
    /// `Klarna-Idempotency-Key`. Klarna wants a UUID there; any text is honoured.
    pub key: Option<&'a str>,
    /// The call's, for what is refused.
    pub correlation: Uuid,
    pub body: &'a [u8],
}

/// What a change needs to know beside the payment.
pub(super) struct Scene<'a> {
    pub world: &'a World,
    pub order: Uuid,
    pub fraud: Fraud,
    pub now: Timestamp,
}

impl Write {
    /// The change at the end of a path behind the order's id, with its method.
    pub(in super::super) fn of(rest: &[&str]) -> Option<(&'static str, Self)> {
        let id = |text: &str| Uuid::try_parse(text).ok();
        Some(match rest {
            ["acknowledge"] => ("POST", Self::Acknowledge),
            ["captures"] => ("POST", Self::Capture),
            ["refunds"] => ("POST", Self::Refund),
            ["cancel"] => ("POST", Self::Cancel),
            ["release-remaining-authorization"] => ("POST", Self::Release),
            ["extend-authorization-time"] => ("POST", Self::Extend),
            ["authorization"] => ("PATCH", Self::Authorization),
            ["merchant-references"] => ("PATCH", Self::References),
            ["customer-details"] => ("PATCH", Self::Customer),
            ["shipping-info"] => ("POST", Self::Shipping),
            ["captures", capture, "shipping-info"] => ("POST", Self::CaptureShipping(id(capture))),
            ["captures", capture, "trigger-send-out"] => ("POST", Self::SendOut(id(capture))),
            ["captures", capture, "extend-due-date"] => ("PATCH", Self::DueDate(id(capture))),
            _ => return None,
        })
    }

    /// The name that faults and log have for it.
    pub(in super::super) fn op(self) -> &'static str {
        match self {
            Self::Acknowledge => "acknowledge",
            Self::Capture => "capture",
            Self::Refund => "refund",
            Self::Cancel => "cancel",
            Self::Release => "release",
            Self::Extend => "extend",
            Self::Authorization => "update_authorization",
            Self::References => "merchant_references",
            Self::Customer => "customer_details",
            Self::Shipping => "shipping_info",
            Self::CaptureShipping(_) => "capture_shipping_info",
            Self::SendOut(_) => "trigger_send_out",
            Self::DueDate(_) => "extend_due_date",
        }
    }

    /// What its body may hold; `None` where a body is not looked at.
    fn fields(self) -> Option<&'static [Field]> {
        Some(match self {
            Self::Acknowledge | Self::Cancel | Self::Release | Self::Extend | Self::SendOut(_) => {
                return None;
            }
            Self::Capture => CAPTURE,
            Self::Refund => REFUND,
            Self::Authorization => AUTHORIZATION,
            Self::References => REFERENCES,
            Self::Customer => CUSTOMER,
            Self::Shipping | Self::CaptureShipping(_) => SHIPPING,
            Self::DueDate(_) => DUE_DATE,
        })
    }

    fn done(self, payment: &mut Payment, scene: &Scene<'_>, body: Map<String, Value>) -> Outcome {
        match self {
            Self::Acknowledge => {
                payment.acknowledged = true; // as often as one likes
                Ok(done())
            }
            Self::Capture => payment.take(scene, body),
            Self::Refund => payment.give_back(scene, body),
            Self::Cancel => payment.cancel(scene),
            Self::Release => payment.release(scene),
            Self::Extend => payment.extend(scene),
            Self::Authorization => payment.authorize(scene, body),
            Self::References => payment.refer(body),
            Self::Customer => payment.readdress(scene, body),
            Self::Shipping => payment.ship(body),
            Self::CaptureShipping(id) => payment.ship_capture(id, body),
            Self::SendOut(id) => payment.send_out(id),
            Self::DueDate(id) => payment.put_off(id, &body),
        }
    }
}

/// Makes a change. The lock is held from the look for the key to the keeping of the answer: of two
/// calls under one key at the same moment, the second hears what the first did.
pub(in super::super) fn write(world: &World, write: Write, asked: &Asked<'_>) -> Outcome {
    // judged before the lock, because it may be long; told after it, because a repeat's body does
    // not count
    let body = match write.fields() {
        Some(fields) => read(asked.body, fields),
        None => Ok(Map::new()),
    };
    let now = world.now();
    let mut state = world.state();
    let order = asked.order.and_then(|id| state.orders.get_mut(&id));
    let order = order.ok_or_else(no_such_order)?;
    let scene = Scene {
        world,
        order: order.id,
        fraud: order.fraud,
        now,
    };
    let payment = order.payment.as_mut().ok_or_else(no_such_order)?;
    let Some(key) = asked.key else {
        return write.done(payment, &scene, body?);
    };
    if let Some(first) = payment.kept.first(write.op(), key, now) {
        return Ok(first);
    }
    let correlation = asked.correlation;
    let answer = body
        .and_then(|body| write.done(payment, &scene, body))
        .unwrap_or_else(|refusal: Refusal| refusal.answer(correlation))
        // the repeat is told the first call's, in the header as in the body
        .with("klarna-correlation-id", correlation.to_string());
    payment.kept.keep(write.op(), key, answer.clone(), now);
    Ok(answer)
}

/// 204, what every change but a capture or refund answers.
pub(super) fn done() -> Answer {
    Answer::empty(204)
}
