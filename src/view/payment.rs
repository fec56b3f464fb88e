//! The money of a completed link.

use serde::Serialize;
use utoipa::ToSchema;

use super::{AddressView, Detail, Instant, words};
use crate::link::{Buyer, Payment};

/// What is known of the payment: never `null` in a completed link. Between the proof of payment and
/// Order Management's first answer only `status` is known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = Payment)]
pub struct PaymentView {
    /// Where the money stands.
    #[schema(schema_with = words::payment_status)]
    pub status: &'static str,
    /// `PENDING`: authorised, Klarna is still checking, do not hand over.
    #[schema(example = "ACCEPTED")]
    pub fraud_status: Option<String>,
    /// Minor units.
    pub captured_amount: Option<i64>,
    /// Minor units.
    pub refunded_amount: Option<i64>,
    /// Still capturable, minor units.
    pub remaining_amount: Option<i64>,
    /// Until when it can be captured.
    pub expires_at: Option<Instant>,
    /// The buyer as Klarna's page left him: goods go there. Masked.
    pub buyer: Option<BuyerView>,
}

/// Who pays and where goods go.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = Buyer)]
#[allow(missing_docs)]
pub struct BuyerView {
    pub billing_address: Option<AddressView>,
    pub shipping_address: Option<AddressView>,
    pub payment_method: Option<String>,
}

impl PaymentView {
    /// `payment`, its buyer as `detail` allows.
    pub fn new(payment: &Payment, detail: Detail) -> Self {
        Self {
            status: payment.status.as_str(),
            fraud_status: payment.fraud_status.clone(),
            captured_amount: payment.captured_amount,
            refunded_amount: payment.refunded_amount,
            remaining_amount: payment.remaining_amount,
            expires_at: payment.expires_at.map(Instant),
            buyer: payment
                .buyer
                .as_ref()
                .map(|buyer| BuyerView::new(buyer, detail)),
        }
    }
}

impl BuyerView {
    fn new(buyer: &Buyer, detail: Detail) -> Self {
        let seen = |address: &Option<crate::link::Address>| {
            address.as_ref().map(|it| AddressView::new(it, detail))
        };
        Self {
            billing_address: seen(&buyer.billing),
            shipping_address: seen(&buyer.shipping),
            payment_method: buyer.payment_method.clone(),
        }
    }
}
