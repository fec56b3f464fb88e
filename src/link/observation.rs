//! News about a link from Klarna's side, in our own words. The client translates; nothing here
//! knows how Klarna spells it.

use jiff::Timestamp;

use super::payment::Payment;
use super::stage::Consumer;

/// What a read of the HPP session said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionNews {
    /// What it means to us.
    pub reading: Reading,
    /// The status word as it was read.
    pub raw: String,
    /// The order that the session belongs to, where the answer names one. Not ours: not our news.
    pub order: Option<String>,
    /// The order number that people use.
    pub klarna_reference: Option<String>,
    /// When the session last changed; orders news in time.
    pub updated_at: Option<Timestamp>,
    /// The session's end.
    pub expires_at: Option<Timestamp>,
    /// Where a clerk does the identity check, when one is asked for.
    pub id_check_url: Option<String>,
}

/// The meaning of a session's status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reading {
    /// The buyer did something that does not end the link.
    Consumer(Consumer),
    /// Authorised.
    Completed,
    /// Confirmed cancel; final.
    Cancelled,
    /// Deleted by a merchant's call, ours or another's; final.
    Disabled,
    /// TIMEOUT, or a word that nobody told us: leaves the link as it is.
    Unclear,
}

/// What a read of the KCO order said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrderNews {
    /// KCO's order id.
    pub order: String,
    /// `checkout_complete` was read.
    pub complete: bool,
    /// The status word as it was read.
    pub raw: String,
    /// Minor units.
    pub amount: Option<i64>,
    /// ISO 4217, upper case.
    pub currency: Option<String>,
    /// Our link's id, where it was kept.
    pub merchant_reference2: Option<String>,
}

/// What a read of Order Management said. That it answered at all proves the payment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PaymentNews {
    /// Order Management's id, equal to KCO's.
    pub order: String,
    /// Status, amounts and buyer.
    pub payment: Payment,
    /// Minor units, as authorised.
    pub amount: Option<i64>,
    /// ISO 4217, upper case.
    pub currency: Option<String>,
    /// Our link's id, where it was kept.
    pub merchant_reference2: Option<String>,
    /// The order number that people use.
    pub klarna_reference: Option<String>,
    /// All captures of the order, as Order Management lists them.
    pub captures: Vec<Booking>,
    /// All refunds of the order, as Order Management lists them.
    pub refunds: Vec<Booking>,
}

/// A capture or a refund that stands in Order Management, whoever made it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Booking {
    /// `capture_id` or `refund_id`.
    pub id: String,
    /// Minor units.
    pub amount: i64,
    /// What whoever made it wrote beside it; ours holds the id of our operation.
    pub reference: Option<String>,
    /// When it was booked.
    pub at: Option<Timestamp>,
}
