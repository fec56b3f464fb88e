//! Order Management: what an order becomes once it is paid. Reads and the acknowledgement; the
//! writes (capture, refund, cancel …) are not answered by this simulator.
//!
//! An order is there from the moment of payment, and its authorisation ends after 28 days.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::answer::{Answer, Outcome, Refusal};
use super::order::later;
use super::world::{World, millis};

const AUTHORISED_FOR: SignedDuration = SignedDuration::from_hours(28 * 24);

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

/// All amounts in minor units of the order's currency.
pub(super) struct Payment {
    amount: i64,
    reference: String,
    acknowledged: bool,
    created_at: Timestamp,
    expires_at: Timestamp,
    captures: Vec<Capture>,
    /// Members that are told as they were when the buyer paid.
    sale: Map<String, Value>,
}

struct Capture {
    id: Uuid,
    amount: i64,
    at: Timestamp,
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
        let upper = |value: Option<&Value>| {
            value
                .and_then(Value::as_str)
                .map(|text| Value::from(text.to_ascii_uppercase()))
        };
        sale.extend(
            upper(order.get("purchase_country"))
                .map(|country| ("purchase_country".to_owned(), country)),
        );
        for name in ["billing_address", "shipping_address"] {
            let mut address = order.get(name).cloned().unwrap_or_else(|| json!({}));
            if let Some(country) = upper(address.get("country")) {
                address["country"] = country;
            }
            sale.insert(name.to_owned(), address);
        }
        let born = order
            .get("customer")
            .and_then(|customer| customer.get("date_of_birth"));
        let customer = born.map_or_else(|| json!({}), |born| json!({ "date_of_birth": born }));
        sale.insert("customer".to_owned(), customer);
        Self {
            amount,
            reference,
            acknowledged: false,
            created_at: now,
            expires_at: later(now, AUTHORISED_FOR),
            captures: capture
                .map(|id| Capture {
                    id,
                    amount,
                    at: now,
                })
                .into_iter()
                .collect(),
            sale,
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

    fn status(&self, now: Timestamp) -> &'static str {
        match self.captured() {
            0 if now >= self.expires_at => "EXPIRED",
            0 => "AUTHORIZED",
            captured if captured < self.amount => "PART_CAPTURED",
            _ => "CAPTURED",
        }
    }

    /// The order as Order Management answers it.
    pub(super) fn body(&self, id: Uuid, fraud: Fraud, now: Timestamp) -> Value {
        let captured = self.captured();
        let mut body = json!({
            "order_id": id.to_string(),
            "status": self.status(now),
            "fraud_status": fraud.word(),
            "order_amount": self.amount,
            "original_order_amount": self.amount,
            "captured_amount": captured,
            "refunded_amount": 0,
            "remaining_authorized_amount": self.amount - captured,
            "klarna_reference": self.reference,
            "created_at": millis(self.created_at),
            "expires_at": millis(self.expires_at),
            "captures": self.capture_bodies(),
            "refunds": [],
            "shipping_info": [],
            "initial_payment_method": { "type": "INVOICE", "description": "Pay later" },
        });
        if let Some(body) = body.as_object_mut() {
            body.extend(self.sale.clone());
        }
        body
    }

    fn capture_bodies(&self) -> Vec<Value> {
        self.captures
            .iter()
            .map(|capture| self.capture_body(capture))
            .collect()
    }

    fn capture_body(&self, capture: &Capture) -> Value {
        json!({
            "capture_id": capture.id.to_string(),
            "klarna_reference": self.reference,
            "captured_amount": capture.amount,
            "captured_at": millis(capture.at),
            "refunded_amount": 0,
            "order_lines": self.sale.get("order_lines"),
            "billing_address": self.sale.get("billing_address"),
            "shipping_address": self.sale.get("shipping_address"),
            "shipping_info": [],
        })
    }
}

fn no_such_order() -> Refusal {
    Refusal::new(404, "NO_SUCH_ORDER", "No such order")
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

/// `POST /ordermanagement/v1/orders/{id}/acknowledge`, as often as one likes.
pub(super) fn acknowledge(world: &World, id: Option<Uuid>) -> Outcome {
    let mut state = world.state();
    let payment = id
        .and_then(|id| state.orders.get_mut(&id))
        .and_then(|order| order.payment.as_mut())
        .ok_or_else(no_such_order)?;
    payment.acknowledged = true;
    Ok(Answer::empty(204))
}

/// `GET /ordermanagement/v1/orders/{id}/captures`
pub(super) fn captures(world: &World, id: Option<Uuid>) -> Outcome {
    let state = world.state();
    let payment = id
        .and_then(|id| state.orders.get(&id))
        .and_then(|order| order.payment.as_ref())
        .ok_or_else(no_such_order)?;
    Ok(Answer::json(200, &payment.capture_bodies()))
}

/// `GET /ordermanagement/v1/orders/{id}/captures/{capture}`
pub(super) fn capture(world: &World, id: Option<Uuid>, capture: Option<Uuid>) -> Outcome {
    let state = world.state();
    let payment = id
        .and_then(|id| state.orders.get(&id))
        .and_then(|order| order.payment.as_ref())
        .ok_or_else(no_such_order)?;
    let found = payment.captures.iter().find(|one| Some(one.id) == capture);
    let found = found.ok_or_else(|| Refusal::new(404, "NO_SUCH_CAPTURE", "No such capture"))?;
    Ok(Answer::json(200, &payment.capture_body(found)))
}
