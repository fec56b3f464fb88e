//! Order Management: what an order becomes once it is paid, and its reads. What changes it is
//! beside it, behind one door (`write`).
//!
//! An order is there from the moment of payment, and its authorisation ends after 28 days. How
//! Klarna words a partly captured order whose authorisation ended is not documented: here it stays
//! `PART_CAPTURED` with nothing remaining.

mod details;
mod kept;
mod money;
mod shape;
mod write;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::answer::{Answer, Outcome, Refusal};
use super::order::later;
use super::world::{World, millis};
use kept::Kept;
pub(super) use write::{Asked, Write, write};

const AUTHORISED_FOR: SignedDuration = SignedDuration::from_hours(28 * 24);
/// Extensions end here, counted from the purchase.
const LONGEST_AUTHORISED: SignedDuration = SignedDuration::from_hours(180 * 24);

/// What Klarna's fraud desk says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fraud {
    Accepted,
    Pending,
    Rejected,
    Stopped,
}

impl Fraud {
    pub(super) fn of(word: &str) -> Option<Self> {
        [Self::Accepted, Self::Pending, Self::Rejected, Self::Stopped]
            .into_iter()
            .find(|fraud| fraud.word() == word)
    }

    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Accepted => "ACCEPTED",
            Self::Pending => "PENDING",
            Self::Rejected => "REJECTED",
            Self::Stopped => "STOPPED",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Status {
    Authorized,
    PartCaptured,
    Captured,
    Cancelled,
    Expired,
}

impl Status {
    fn word(self) -> &'static str {
        match self {
            Self::Authorized => "AUTHORIZED",
            Self::PartCaptured => "PART_CAPTURED",
            Self::Captured => "CAPTURED",
            Self::Cancelled => "CANCELLED",
            Self::Expired => "EXPIRED",
        }
    }

    /// In the words of an error message.
    fn said(self) -> &'static str {
        match self {
            Self::Authorized => "authorized",
            Self::PartCaptured => "partially captured",
            Self::Captured => "fully captured",
            Self::Cancelled => "canceled",
            Self::Expired => "expired",
        }
    }
}

/// All amounts in minor units of the order's currency.
pub(super) struct Payment {
    /// What the buyer agreed to.
    original: i64,
    /// What the order is worth now: all that was or may be captured.
    amount: i64,
    reference: String,
    acknowledged: bool,
    cancelled: bool,
    created_at: Timestamp,
    expires_at: Timestamp,
    captures: Vec<Capture>,
    refunds: Vec<Refund>,
    shipping_info: Vec<Value>,
    /// Members that are told as they were when the buyer paid, or were set since.
    sale: Map<String, Value>,
    kept: Kept,
}

struct Capture {
    id: Uuid,
    amount: i64,
    at: Timestamp,
    reference: Option<Value>,
    description: Option<Value>,
    lines: Vec<Value>,
    shipping_info: Vec<Value>,
    /// The order's at that time.
    shipping_address: Option<Value>,
}

struct Refund {
    id: Uuid,
    amount: i64,
    at: Timestamp,
    reference: Option<Value>,
    description: Option<Value>,
    lines: Vec<Value>,
}

impl Payment {
    /// The payment of a checkout order, `order` being its body.
    pub(super) fn of(
        order: &Map<String, Value>,
        reference: String,
        capture: Option<Uuid>,
        now: Timestamp,
    ) -> Self {
        let amount = order
            .get("order_amount")
            .and_then(Value::as_i64)
            .unwrap_or(0);
        let mut sale = Map::new();
        for name in [
            "locale",
            "purchase_currency",
            "order_lines",
            "merchant_reference1",
            "merchant_reference2",
            "merchant_data",
        ] {
            if let Some(value) = order.get(name) {
                sale.insert(name.to_owned(), value.clone());
            }
        }
        // Order Management writes countries in upper case, Checkout in lower
        if let Some(country) = order.get("purchase_country").and_then(Value::as_str) {
            let country = country.to_ascii_uppercase();
            sale.insert("purchase_country".to_owned(), country.into());
        }
        for name in ["billing_address", "shipping_address"] {
            let mut address = order.get(name).cloned().unwrap_or_else(|| json!({}));
            upper_country(&mut address);
            sale.insert(name.to_owned(), address);
        }
        let born = order
            .get("customer")
            .and_then(|customer| customer.get("date_of_birth"));
        let customer = born.map_or_else(|| json!({}), |born| json!({ "date_of_birth": born }));
        sale.insert("customer".to_owned(), customer);
        let lines = match sale.get("order_lines") {
            Some(Value::Array(lines)) => lines.clone(),
            _ => Vec::new(),
        };
        let captures = capture.map(|id| Capture {
            id,
            amount,
            at: now,
            reference: None,
            description: None,
            lines,
            shipping_info: Vec::new(),
            shipping_address: sale.get("shipping_address").cloned(),
        });
        Self {
            original: amount,
            amount,
            reference,
            acknowledged: false,
            cancelled: false,
            created_at: now,
            expires_at: later(now, AUTHORISED_FOR),
            captures: captures.into_iter().collect(),
            refunds: Vec::new(),
            shipping_info: Vec::new(),
            sale,
            kept: Kept::default(),
        }
    }

    pub(super) fn acknowledged(&self) -> bool {
        self.acknowledged
    }

    /// Does Klarna still push? Not once the merchant acknowledged, and a capture counts as that.
    pub(super) fn is_settled(&self) -> bool {
        self.acknowledged || !self.captures.is_empty()
    }

    fn captured(&self) -> i64 {
        self.captures.iter().map(|capture| capture.amount).sum()
    }

    fn refunded(&self) -> i64 {
        self.refunds.iter().map(|refund| refund.amount).sum()
    }

    /// What can still be captured: nothing after a cancellation or the authorisation's end.
    fn remaining(&self, now: Timestamp) -> i64 {
        if self.cancelled || now >= self.expires_at {
            return 0;
        }
        self.amount - self.captured()
    }

    fn status(&self, now: Timestamp) -> Status {
        match self.captures.as_slice() {
            _ if self.cancelled => Status::Cancelled,
            [] if now >= self.expires_at => Status::Expired,
            [] => Status::Authorized,
            _ if self.captured() < self.amount => Status::PartCaptured,
            _ => Status::Captured,
        }
    }

    /// The order as Order Management answers it.
    pub(super) fn body(&self, id: Uuid, fraud: Fraud, now: Timestamp) -> Value {
        let refunds: Vec<Value> = self.refunds.iter().map(Refund::body).collect();
        let mut body = json!({
            "order_id": id.to_string(),
            "status": self.status(now).word(),
            "fraud_status": fraud.word(),
            "order_amount": self.amount,
            "original_order_amount": self.original,
            "captured_amount": self.captured(),
            "refunded_amount": self.refunded(),
            "remaining_authorized_amount": self.remaining(now),
            "klarna_reference": self.reference,
            "created_at": millis(self.created_at),
            "expires_at": millis(self.expires_at),
            "captures": self.capture_bodies(),
            "refunds": refunds,
            "shipping_info": self.shipping_info,
            "initial_payment_method": { "type": "INVOICE", "description": "Pay later" },
        });
        if let Some(body) = body.as_object_mut() {
            body.extend(self.sale.clone());
        }
        body
    }

    /// The captures, oldest first. A refund is of the order; it is told of the oldest captures, as
    /// far as they go.
    fn capture_bodies(&self) -> Vec<Value> {
        let mut refunded = self.refunded();
        let told = self.captures.iter().map(|capture| {
            let part = refunded.min(capture.amount);
            refunded -= part;
            let mut body = json!({
                "capture_id": capture.id.to_string(),
                "klarna_reference": self.reference,
                "captured_amount": capture.amount,
                "captured_at": millis(capture.at),
                "refunded_amount": part,
                "order_lines": capture.lines,
                "billing_address": self.sale.get("billing_address"),
                "shipping_address": capture.shipping_address,
                "shipping_info": capture.shipping_info,
            });
            note(
                &mut body,
                capture.reference.as_ref(),
                capture.description.as_ref(),
            );
            body
        });
        told.collect()
    }
}

impl Refund {
    fn body(&self) -> Value {
        let mut body = json!({
            "refund_id": self.id.to_string(),
            "refunded_amount": self.amount,
            "refunded_at": millis(self.at),
            "order_lines": self.lines,
        });
        note(
            &mut body,
            self.reference.as_ref(),
            self.description.as_ref(),
        );
        body
    }
}

/// What the merchant wrote on a capture or refund; absent where nothing was.
fn note(body: &mut Value, reference: Option<&Value>, description: Option<&Value>) {
    for (name, value) in [("reference", reference), ("description", description)] {
        if let Some(value) = value {
            body[name] = value.clone();
        }
    }
}

fn upper_country(address: &mut Value) {
    if let Some(Value::String(country)) = address.get_mut("country") {
        country.make_ascii_uppercase();
    }
}

fn no_such_order() -> Refusal {
    Refusal::new(404, "NO_SUCH_ORDER", "No such order")
}

fn no_such_capture() -> Refusal {
    Refusal::new(404, "NO_SUCH_CAPTURE", "No such capture")
}

fn forbidden(message: impl Into<String>) -> Refusal {
    Refusal::new(403, "NOT_ALLOWED", message)
}

/// Asks a payment, where there is one.
fn asked<T>(
    world: &World,
    id: Option<Uuid>,
    ask: impl FnOnce(&Payment) -> Result<T, Refusal>,
) -> Result<T, Refusal> {
    let state = world.state();
    let order = id.and_then(|id| state.orders.get(&id));
    let payment = order.and_then(|order| order.payment.as_ref());
    ask(payment.ok_or_else(no_such_order)?)
}

/// `GET /ordermanagement/v1/orders/{id}`
pub(super) fn read(world: &World, id: Option<Uuid>) -> Outcome {
    let now = world.now();
    let state = world.state();
    let order = id
        .and_then(|id| state.orders.get(&id))
        .ok_or_else(no_such_order)?;
    let payment = order.payment.as_ref().ok_or_else(no_such_order)?;
    Ok(Answer::json(200, &payment.body(order.id, order.fraud, now)))
}

/// `GET /ordermanagement/v1/orders/{id}/captures`
pub(super) fn captures(world: &World, id: Option<Uuid>) -> Outcome {
    asked(world, id, |payment| {
        Ok(Answer::json(200, &payment.capture_bodies()))
    })
}

/// `GET /ordermanagement/v1/orders/{id}/captures/{capture}`
pub(super) fn capture(world: &World, id: Option<Uuid>, capture: Option<Uuid>) -> Outcome {
    asked(world, id, |payment| {
        let index = payment
            .captures
            .iter()
            .position(|it| Some(it.id) == capture);
        let index = index.ok_or_else(no_such_capture)?;
        Ok(Answer::json(200, &payment.capture_bodies()[index]))
    })
}

/// `GET /ordermanagement/v1/orders/{id}/captures/{capture}/extend-due-date-options`
pub(super) fn due_dates(world: &World, id: Option<Uuid>, capture: Option<Uuid>) -> Outcome {
    asked(world, id, |payment| payment.due_dates(capture))
}

/// `GET /ordermanagement/v1/orders/{id}/refunds/{refund}`
pub(super) fn refund(world: &World, id: Option<Uuid>, refund: Option<Uuid>) -> Outcome {
    asked(world, id, |payment| {
        let found = payment.refunds.iter().find(|it| Some(it.id) == refund);
        Ok(Answer::json(
            200,
            &found.ok_or_else(Refusal::not_found)?.body(),
        ))
    })
}
