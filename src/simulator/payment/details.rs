//! The changes that move no money: references, the buyer's address, shipments, and what the buyer
//! is told about a capture.

use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::super::answer::{Answer, Outcome, Refusal};
use super::shape::MOST_SHIPPING;
use super::write::{Scene, done};
use super::{Capture, Payment, Status, forbidden, no_such_capture, upper_country};

/// What Klarna offers for a later due date, days and fee in minor units.
const DUE_DATES: [(i64, i64); 3] = [(14, 0), (30, 1900), (60, 3900)];

impl Payment {
    /// `PATCH …/merchant-references`: a reference that is absent stays.
    pub(super) fn refer(&mut self, references: Map<String, Value>) -> Outcome {
        if self.cancelled {
            return Err(forbidden("Order is canceled. It cannot be updated."));
        }
        self.sale.extend(references);
        Ok(done())
    }

    /// `PATCH …/customer-details`, before all is shipped. The billing address can't be changed, and
    /// who tries is told so.
    pub(super) fn readdress(&mut self, scene: &Scene<'_>, mut body: Map<String, Value>) -> Outcome {
        if body.contains_key("billing_address") {
            return Err(forbidden("Billing address cannot be updated."));
        }
        match self.status(scene.now) {
            Status::Authorized | Status::PartCaptured => {}
            status => {
                return Err(forbidden(format!(
                    "Order is {}. Customer details cannot be updated.",
                    status.said()
                )));
            }
        }
        if let Some(mut address) = body.remove("shipping_address") {
            upper_country(&mut address);
            self.sale.insert("shipping_address".to_owned(), address);
        }
        Ok(done())
    }

    /// `POST …/shipping-info` of the order: appended, in every state.
    pub(super) fn ship(&mut self, body: Map<String, Value>) -> Outcome {
        append(&mut self.shipping_info, body)
    }

    /// `POST …/captures/{id}/shipping-info`
    pub(super) fn ship_capture(&mut self, id: Option<Uuid>, body: Map<String, Value>) -> Outcome {
        append(&mut self.captured_as(id)?.shipping_info, body)
    }

    /// `POST …/captures/{id}/trigger-send-out`: there is nobody to send to.
    pub(super) fn send_out(&mut self, id: Option<Uuid>) -> Outcome {
        self.captured_as(id)?;
        Ok(done())
    }

    /// `PATCH …/captures/{id}/extend-due-date`, by what was offered; nothing that can be read
    /// shows it.
    pub(super) fn put_off(&mut self, id: Option<Uuid>, body: &Map<String, Value>) -> Outcome {
        self.captured_as(id)?;
        let days = body.get("number_of_days").and_then(Value::as_i64);
        if !DUE_DATES.iter().any(|(offered, _)| Some(*offered) == days) {
            return Err(forbidden("Extension of due date is not possible."));
        }
        Ok(done())
    }

    /// `GET …/captures/{id}/extend-due-date-options`
    pub(super) fn due_dates(&self, id: Option<Uuid>) -> Outcome {
        if !self.captures.iter().any(|capture| Some(capture.id) == id) {
            return Err(no_such_capture());
        }
        let options: Vec<Value> = DUE_DATES
            .iter()
            .map(|(days, fee)| json!({ "number_of_days": days, "amount": fee }))
            .collect();
        let currency = self.sale.get("purchase_currency");
        let body = json!({ "currency": currency, "options": options });
        Ok(Answer::json(200, &body))
    }

    /// A capture to be changed. Where there is none at all, Klarna does not say that this one is
    /// missing.
    fn captured_as(&mut self, id: Option<Uuid>) -> Result<&mut Capture, Refusal> {
        if self.captures.is_empty() {
            return Err(forbidden("Order has no captures."));
        }
        let mut captures = self.captures.iter_mut();
        captures
            .find(|capture| Some(capture.id) == id)
            .ok_or_else(no_such_capture)
    }
}

/// The document bounds a request; the same bound for the whole keeps an order finite.
fn append(to: &mut Vec<Value>, mut body: Map<String, Value>) -> Outcome {
    let Some(Value::Array(shipments)) = body.remove("shipping_info") else {
        return Ok(done()); // the shape demands it
    };
    if to.len() + shipments.len() > MOST_SHIPPING {
        return Err(Refusal::bad_value("shipping_info"));
    }
    to.extend(shipments);
    Ok(done())
}
