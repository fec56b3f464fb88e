//! The changes that move money, or what there is to move: capture, refund, cancel, release,
//! extension, a new amount. Sources: klarna.md §3, Order Management's OpenAPI document, and Klarna's
//! guides to the single calls.

use serde_json::{Map, Value};

use super::super::answer::{Answer, Outcome, Refusal};
use super::super::order::later;
use super::write::{Scene, done};
use super::{
    AUTHORISED_FOR, Capture, Fraud, LONGEST_AUTHORISED, Payment, Refund, Status, forbidden,
};

/// A member of a checked body, moved out.
fn taken(body: &mut Map<String, Value>, name: &str) -> Option<Value> {
    body.remove(name)
}

fn amount(body: &Map<String, Value>, name: &str) -> i64 {
    // the shape demands it
    body.get(name).and_then(Value::as_i64).unwrap_or(0)
}

fn list(body: &mut Map<String, Value>, name: &str) -> Vec<Value> {
    match taken(body, name) {
        Some(Value::Array(items)) => items,
        _ => Vec::new(),
    }
}

fn no_capture(message: &str) -> Refusal {
    Refusal::new(403, "CAPTURE_NOT_ALLOWED", message)
}

impl Payment {
    /// `POST …/captures`
    pub(super) fn take(&mut self, scene: &Scene<'_>, mut body: Map<String, Value>) -> Outcome {
        let amount = amount(&body, "captured_amount");
        match self.status(scene.now) {
            Status::Authorized | Status::PartCaptured => {}
            status => {
                let message = format!("Order is {}. Capture not allowed.", status.said());
                return Err(no_capture(&message));
            }
        }
        if scene.fraud != Fraud::Accepted {
            return Err(no_capture("Order is not accepted. Capture not allowed."));
        }
        // an expired rest is none, whatever the status says
        if amount == 0 || amount > self.remaining(scene.now) {
            return Err(no_capture(
                "Captured amount is not within the remaining authorized amount.",
            ));
        }
        let id = scene.world.random.uuid();
        self.captures.push(Capture {
            id,
            amount,
            at: scene.now,
            reference: taken(&mut body, "reference"),
            description: taken(&mut body, "description"),
            lines: list(&mut body, "order_lines"),
            shipping_info: list(&mut body, "shipping_info"),
            shipping_address: self.sale.get("shipping_address").cloned(),
        });
        Ok(created(scene, "captures", "capture-id", &id.to_string()))
    }

    /// `POST …/refunds`: of what is captured, at any time.
    pub(super) fn give_back(&mut self, scene: &Scene<'_>, mut body: Map<String, Value>) -> Outcome {
        let amount = amount(&body, "refunded_amount");
        if amount == 0 || amount > self.captured() - self.refunded() {
            return Err(Refusal::new(
                403,
                "REFUND_NOT_ALLOWED",
                "Refunded amount is not within the captured amount.",
            ));
        }
        let id = scene.world.random.uuid();
        self.refunds.push(Refund {
            id,
            amount,
            at: scene.now,
            reference: taken(&mut body, "reference"),
            description: taken(&mut body, "description"),
            lines: list(&mut body, "order_lines"),
        });
        Ok(created(scene, "refunds", "refund-id", &id.to_string()))
    }

    /// `POST …/cancel`
    pub(super) fn cancel(&mut self, scene: &Scene<'_>) -> Outcome {
        match self.status(scene.now) {
            Status::Authorized => {
                self.cancelled = true;
                Ok(done())
            }
            status => Err(Refusal::new(
                403,
                "CANCEL_NOT_ALLOWED",
                format!("Order is {}. Cancel not allowed.", status.said()),
            )),
        }
    }

    /// `POST …/release-remaining-authorization`: the order is worth what was captured of it.
    pub(super) fn release(&mut self, scene: &Scene<'_>) -> Outcome {
        match self.status(scene.now) {
            Status::PartCaptured => {
                self.amount = self.captured();
                Ok(done())
            }
            Status::Authorized => Err(forbidden(
                "Order has no captures. Remaining authorization cannot be released.",
            )),
            status => Err(forbidden(format!(
                "Order is {}. Remaining authorization cannot be released.",
                status.said()
            ))),
        }
    }

    /// `POST …/extend-authorization-time`: a full period from now, not from the end that was; so
    /// a second call on the same day moves nothing. Never beyond 180 days after the purchase.
    pub(super) fn extend(&mut self, scene: &Scene<'_>) -> Outcome {
        match self.status(scene.now) {
            Status::Authorized | Status::PartCaptured if scene.now < self.expires_at => {
                let farthest = later(self.created_at, LONGEST_AUTHORISED);
                self.expires_at = later(scene.now, AUTHORISED_FOR).min(farthest);
                Ok(done())
            }
            Status::Authorized | Status::PartCaptured => Err(forbidden(
                "Order is expired. Authorization time cannot be extended.",
            )),
            status => Err(forbidden(format!(
                "Order is {}. Authorization time cannot be extended.",
                status.said()
            ))),
        }
    }

    /// `PATCH …/authorization`: not below what is captured. More than before is granted here,
    /// where Klarna would assess the risk.
    pub(super) fn authorize(&mut self, scene: &Scene<'_>, mut body: Map<String, Value>) -> Outcome {
        let amount = amount(&body, "order_amount");
        let open = matches!(
            self.status(scene.now),
            Status::Authorized | Status::PartCaptured
        );
        if !open || scene.now >= self.expires_at || scene.fraud != Fraud::Accepted {
            return Err(forbidden("Update authorization not allowed."));
        }
        if amount < self.captured() {
            return Err(forbidden("Order amount is below the captured amount."));
        }
        self.amount = amount;
        if let Some(lines) = taken(&mut body, "order_lines") {
            self.sale.insert("order_lines".to_owned(), lines);
        }
        Ok(done())
    }
}

/// 201 without a body, the new thing named twice.
fn created(scene: &Scene<'_>, collection: &str, header: &'static str, id: &str) -> Answer {
    let (base, order) = (&scene.world.base, scene.order);
    let location = format!("{base}/ordermanagement/v1/orders/{order}/{collection}/{id}");
    Answer::empty(201)
        .with(header, id.to_owned())
        .with("location", location)
}
