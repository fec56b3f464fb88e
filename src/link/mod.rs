//! The noun: a payment link, its sale, its stages, its deliveries and its events. Pure: nothing
//! here knows of databases, HTTP, Klarna's spelling, or the time of day.

mod contact;
mod delivery;
mod draft;
mod event;
mod expiry;
mod fault;
pub mod grammar;
mod ids;
mod json_text;
mod lines;
pub mod mask;
pub mod money;
mod observation;
mod operation;
mod payment;
pub mod place;
mod request;
mod sale;
mod send;
mod shape;
mod stage;
#[cfg(test)]
mod tests;
mod text;
mod tree;
mod walk;

use jiff::Timestamp;

pub use contact::{Email, Phone, warm};
pub use delivery::{Channel, Delivery, DeliveryStatus, Reason, ReasonCode, Recipient};
pub use event::EventKind;
pub use fault::{Code, Fault, MOST_FAULTS};
pub use ids::{DeliveryId, EventId, KeyId, LinkId, NotAnId, OperationId, UserId};
pub use observation::{Booking, OrderNews, PaymentNews, Reading, SessionNews};
pub use operation::{Free, MovementRequest, Operation, OperationKind, Outcome};
pub use payment::{Buyer, Payment, PaymentStatus};
pub use request::{
    Defaults, DisableRequest, NoRequest, OnDuplicate, RenewRequest, Request, Send, SendRequest,
};
pub use sale::{Address, Background, Customer, Exit, Line, LineKind, Page, Sale, UseCase};
pub use stage::{Closing, Consumer, Failure, FailureCode, Pair, Refusal, Refused, Stage, Status};
pub use tree::Tree;

/// Whether real money moves (`contract.md`, Settings: mode).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum Mode {
    Live,
    Test,
}
sale::words!(Mode { Live = "live", Test = "test" });

/// Who did something: the key, the user, or one of the two sides by itself. In answers and rows
/// it is its id (`key_…`, `usr_…`), or the word `klarna`, `paylink`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum Actor {
    Key(KeyId),
    User(UserId),
    Klarna,
    Paylink,
}

impl std::fmt::Display for Actor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Actor::Key(id) => id.fmt(f),
            Actor::User(id) => id.fmt(f),
            Actor::Klarna => f.write_str("klarna"),
            Actor::Paylink => f.write_str("paylink"),
        }
    }
}

impl std::str::FromStr for Actor {
    type Err = NotAnId;
    fn from_str(text: &str) -> Result<Self, NotAnId> {
        match text {
            "klarna" => Ok(Actor::Klarna),
            "paylink" => Ok(Actor::Paylink),
            _ => text
                .parse()
                .map(Actor::Key)
                .or_else(|_| text.parse().map(Actor::User)),
        }
    }
}

/// A payment link with everything that is true of it, its deliveries apart.
#[derive(Clone, Debug, PartialEq, Eq)]
// three facts that are independent of each other and of the stage
#[allow(clippy::struct_excessive_bools)]
pub struct Link {
    /// Its name; KCO's `merchant_reference2`.
    pub id: LinkId,
    /// From 1, +1 with each change; the `ETag`.
    pub version: i64,
    /// Number of its last event; events of one link count from 1 without gaps.
    pub sequence: i64,
    /// Which store it belongs to (`[a-z0-9_-]{1,32}`).
    pub store: String,
    /// Live or test.
    pub mode: Mode,
    /// On whose behalf, where the request said so.
    pub agent: Option<String>,
    /// Who created it.
    pub created_by: Actor,
    /// What is sold.
    pub sale: Sale,
    /// How Klarna's page looks.
    pub page: Page,
    /// Whether Klarna captures at once.
    pub auto_capture: bool,
    /// The integrator's own pairs, ≤ 50.
    pub metadata: Vec<(String, String)>,
    /// Where it is in its life.
    pub stage: Stage,
    /// Its end as asked for; absent = the session's end at Klarna.
    pub wanted_end: Option<Timestamp>,
    /// What Klarna last said of it.
    pub klarna: KlarnaView,
    /// Why it was closed, kept through `disabled`, `expired` and a late `completed`.
    pub closing_reason: Option<Closing>,
    /// Free words with a disable, ≤ 255.
    pub closing_note: Option<String>,
    /// The link whose sale this one repeats.
    pub renewed_from: Option<LinkId>,
    /// The link that repeats this one's sale.
    pub renewed_by: Option<LinkId>,
    /// The page was opened at least once (`link.viewed` was told).
    pub viewed: bool,
    /// Amount, currency or reference read back were not ours; a person decides; capture is blocked.
    pub mismatch: bool,
    /// Order Management took our acknowledgement, or needs none.
    pub acknowledged: bool,
    /// When it was accepted.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
}

/// What Klarna last said, raw, for people and for its support.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KlarnaView {
    /// HPP's status word as it was read, unknown ones included.
    pub status: Option<String>,
    /// The order number that buyer and Klarna's support use.
    pub reference: Option<String>,
    /// HPP's `updated_at` of the newest news taken; older news is dropped (failure-model R9).
    pub updated_at: Option<Timestamp>,
    /// HPP's or KCO's end as last read.
    pub expires_at: Option<Timestamp>,
    /// When Klarna was last read with success.
    pub verified_at: Option<Timestamp>,
}

impl Link {
    /// A link as it is accepted: nothing of it exists at Klarna yet. The request's messages are
    /// deliveries of their own.
    pub fn accepted(
        id: LinkId,
        store: String,
        mode: Mode,
        by: Actor,
        request: Request,
        now: Timestamp,
    ) -> Self {
        Self {
            id,
            version: 1,
            sequence: 0,
            store,
            mode,
            agent: request.agent,
            created_by: by,
            sale: request.sale,
            page: request.page,
            auto_capture: request.auto_capture,
            metadata: request.metadata,
            stage: Stage::Creating { pairs_tried: 0 },
            wanted_end: request.wanted_end,
            klarna: KlarnaView::default(),
            closing_reason: None,
            closing_note: None,
            renewed_from: None,
            renewed_by: None,
            viewed: false,
            mismatch: false,
            acknowledged: false,
            created_at: now,
            updated_at: now,
        }
    }

    /// When the link stops being payable: its own end, or Klarna's where that is earlier.
    pub fn expires_at(&self) -> Option<Timestamp> {
        match &self.stage {
            Stage::Open { until, .. } => {
                Some(self.wanted_end.map_or(*until, |end| end.min(*until)))
            }
            _ => match (self.wanted_end, self.klarna.expires_at) {
                (Some(ours), Some(theirs)) => Some(ours.min(theirs)),
                (ours, theirs) => ours.or(theirs),
            },
        }
    }

    /// Whether a buyer who opens the page now can pay.
    pub fn payable(&self, now: Timestamp) -> bool {
        self.stage.status() == Status::Open && self.expires_at().is_none_or(|end| now < end)
    }

    /// Whether an order that Klarna speaks of is this link's: its id, and amount, currency and our
    /// reference wherever the answer has them (`contract.md`, Paid).
    pub fn owns(
        &self,
        order: &str,
        amount: Option<i64>,
        currency: Option<&str>,
        merchant_reference2: Option<&str>,
    ) -> bool {
        self.stage.pair().is_some_and(|pair| pair.order == order)
            && amount.is_none_or(|amount| amount == self.sale.order_amount)
            && currency.is_none_or(|currency| currency.eq_ignore_ascii_case(&self.sale.currency))
            && merchant_reference2.is_none_or(|reference| reference == self.id.to_string())
    }
}
