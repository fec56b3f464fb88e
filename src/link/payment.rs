//! What is known of the money of a completed link. Only a read-back from Klarna writes here.

use jiff::Timestamp;

use super::sale::{Address, words};

/// `payment` of a completed link. Between the proof of payment and the first answer of Order
/// Management only `status` is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Payment {
    /// Where the money stands.
    pub status: PaymentStatus,
    /// `ACCEPTED`, `PENDING`, `REJECTED`, `STOPPED`, or a word that we do not know.
    pub fraud_status: Option<String>,
    /// Minor units.
    pub captured_amount: Option<i64>,
    /// Minor units.
    pub refunded_amount: Option<i64>,
    /// Still capturable, minor units.
    pub remaining_amount: Option<i64>,
    /// Until when it can be captured.
    pub expires_at: Option<Timestamp>,
    /// Who pays and where goods go, as Klarna knows it at the end; personal.
    pub buyer: Option<Buyer>,
}

impl Payment {
    /// What is known when payment is proved and Order Management has not answered yet.
    pub fn authorized() -> Self {
        Self {
            status: PaymentStatus::Authorized,
            fraud_status: None,
            captured_amount: None,
            refunded_amount: None,
            remaining_amount: None,
            expires_at: None,
            buyer: None,
        }
    }
}

/// Order Management's status in our words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum PaymentStatus {
    Authorized,
    PartCaptured,
    Captured,
    Cancelled,
    Expired,
    Closed,
}
words!(PaymentStatus {
    Authorized = "authorized",
    PartCaptured = "part_captured",
    Captured = "captured",
    Cancelled = "cancelled",
    Expired = "expired",
    Closed = "closed",
});

/// The buyer as Klarna's page left him: goods go there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Buyer {
    /// As in the order that Order Management holds.
    pub billing: Option<Address>,
    /// As in the order that Order Management holds.
    pub shipping: Option<Address>,
    /// `initial_payment_method.type`, with its description where there is one.
    pub payment_method: Option<String>,
}
