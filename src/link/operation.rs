//! What the seller does with the money of a paid link: capture it, give it back, let it go. An
//! operation is an intention that is committed before Klarna is asked, so its outcome may be
//! unknown for a while (failure-model R1, Three outcomes).

use jiff::Timestamp;

use super::fault::Fault;
use super::grammar::Member;
use super::ids::OperationId;
use super::sale::{Line, words};
use super::shape::said;
use super::stage::Failure;
use super::tree::Tree;
use super::walk::Walk;
use super::{Actor, Link, LinkId, Payment, PaymentStatus, grammar, lines};

/// The writes of Order Management that move money, or the right to it (klarna.md §3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(missing_docs)]
pub enum OperationKind {
    Capture,
    Refund,
    /// Gives up the whole authorisation, before any capture.
    Cancel,
    /// Gives up what is left of the authorisation, after a capture.
    Release,
    /// Asks Klarna for more time to capture.
    Extend,
}
words!(OperationKind {
    Capture = "capture",
    Refund = "refund",
    Cancel = "cancel",
    Release = "release",
    Extend = "extend",
});

impl OperationKind {
    /// What the ids of its kind begin with.
    pub fn prefix(self) -> &'static str {
        match self {
            OperationKind::Capture => "cap_",
            OperationKind::Refund => "rfd_",
            OperationKind::Cancel => "ccl_",
            OperationKind::Release => "rel_",
            OperationKind::Extend => "ext_",
        }
    }
}

/// One operation on the money of one link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operation {
    /// Its name, which stands in Klarna's `reference` too; its kind is part of it.
    pub id: OperationId,
    /// Whose money.
    pub link: LinkId,
    /// Minor units, for captures and refunds.
    pub amount: Option<i64>,
    /// The caller's own words for it.
    pub reference: Option<String>,
    /// What is captured or returned, where the caller said so.
    pub lines: Vec<Line>,
    /// How captured goods went to the buyer, each in Klarna's names (`shipping_info`).
    pub shipments: Vec<Tree>,
    /// What came of it.
    pub outcome: Outcome,
    /// When Klarna was first asked in a way whose outcome may be unknown; its memory of our
    /// idempotency key is counted from here.
    pub asked_at: Option<Timestamp>,
    /// Who wanted it: a caller, `paylink` by itself, or `klarna` where it was booked elsewhere.
    pub created_by: Actor,
    /// When it was wanted.
    pub created_at: Timestamp,
}

/// What came of an operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Klarna did not say yet; it is insisted on.
    Pending,
    /// Klarna did it.
    Done {
        /// Klarna's name for the capture or refund, where it gave one.
        klarna: Option<String>,
        /// When that was known, or booked where Klarna says when.
        at: Timestamp,
    },
    /// Klarna did not do it and will not.
    Failed {
        /// When that was known.
        at: Timestamp,
        /// Why.
        why: Failure,
    },
}

impl Outcome {
    /// The word in rows and answers.
    pub fn as_str(&self) -> &'static str {
        match self {
            Outcome::Pending => "pending",
            Outcome::Done { .. } => "done",
            Outcome::Failed { .. } => "failed",
        }
    }

    /// Klarna's name for the capture or refund, where it is done and has one.
    pub fn klarna(&self) -> Option<&String> {
        match self {
            Outcome::Done { klarna, .. } => klarna.as_ref(),
            Outcome::Pending | Outcome::Failed { .. } => None,
        }
    }
}

impl Operation {
    /// What it does.
    pub fn kind(&self) -> OperationKind {
        self.id.kind()
    }

    /// Whether Klarna did not say yet.
    pub fn is_pending(&self) -> bool {
        matches!(self.outcome, Outcome::Pending)
    }

    /// Whether Klarna did it.
    pub fn is_done(&self) -> bool {
        matches!(self.outcome, Outcome::Done { .. })
    }

    /// `reference` at Klarna: the caller's words, then our name, by which a lost answer is found
    /// again (`contract.md`, Captures and refunds). At most 255 characters, by the grammar.
    pub fn mark(&self) -> String {
        match &self.reference {
            Some(reference) => format!("{reference} {}", self.id),
            None => self.id.to_string(),
        }
    }

    /// Whether a booking's reference names this operation.
    pub fn is_named_by(&self, reference: &str) -> bool {
        let id = self.id.to_string();
        reference.split_whitespace().any(|word| word == id)
    }

    /// The operation of ours whose name an entry from elsewhere bears: only we give such names, so
    /// something was done twice or copied.
    pub fn name_of_another(&self) -> Option<OperationId> {
        if self.created_by != Actor::Klarna {
            return None;
        }
        let mut words = self.reference.as_deref()?.split_whitespace();
        words.find_map(|word| word.parse().ok())
    }
}

/// A checked body of `POST …/capture` or `…/refunds`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MovementRequest {
    /// Minor units; absent = all that is left.
    pub amount: Option<i64>,
    /// What is captured or returned; they sum to `amount`.
    pub lines: Vec<Line>,
    /// The caller's own words.
    pub reference: Option<String>,
    /// How captured goods went to the buyer.
    pub shipments: Vec<Tree>,
}

impl MovementRequest {
    /// Checks `{amount?, order_lines?, reference?, shipping_info?}` of a capture.
    ///
    /// # Errors
    /// All faults, never none.
    pub fn capture(body: &Tree, link: &Link) -> Result<Self, Vec<Fault>> {
        Self::parse(body, grammar::CAPTURE, link)
    }

    /// Checks `{amount?, order_lines?, reference?}` of a refund.
    ///
    /// # Errors
    /// All faults, never none.
    pub fn refund(body: &Tree, link: &Link) -> Result<Self, Vec<Fault>> {
        Self::parse(body, grammar::REFUND, link)
    }

    /// Whether so much is left is a matter of the moment and not asked here.
    fn parse(body: &Tree, members: &[Member], link: &Link) -> Result<Self, Vec<Fault>> {
        let mut walk = Walk::new(Some(&link.sale.country), false);
        walk.members(body, members);
        let movement = lines::movement(body, members, link.sale.country == "US", &mut walk);
        walk.finish(movement.map(|(amount, lines)| {
            Self {
                amount,
                lines,
                reference: said(body, "reference"),
                shipments: body
                    .items("shipping_info")
                    .iter()
                    .map(Tree::without_nulls)
                    .collect(),
            }
        }))
    }
}

/// What the pending operations of a link leave of its payment: nothing may be promised twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Free {
    /// What can still be captured, minor units.
    pub capture: i64,
    /// What can still be refunded, minor units.
    pub refund: i64,
}

impl Free {
    /// `None` while Order Management has not told the amounts.
    pub fn of(payment: &Payment, operations: &[Operation]) -> Option<Self> {
        let (captured, refunded, remaining) = (
            payment.captured_amount?,
            payment.refunded_amount?,
            payment.remaining_amount?,
        );
        let pending = |kind| -> i64 {
            operations
                .iter()
                .filter(|it| it.is_pending() && it.kind() == kind)
                .filter_map(|it| it.amount)
                .fold(0, i64::saturating_add)
        };
        Some(Self {
            capture: remaining
                .saturating_sub(pending(OperationKind::Capture))
                .max(0),
            refund: captured
                .saturating_sub(refunded)
                .saturating_sub(pending(OperationKind::Refund))
                .max(0),
        })
    }
}

impl Payment {
    /// The payment after Klarna did `operation`, as far as that can be said without reading it.
    /// (A read after each write would say it too; Klarna asks not to poll for that, klarna.md §3.5.)
    #[must_use]
    pub fn after(mut self, operation: &Operation) -> Self {
        let amount = operation.amount.unwrap_or(0);
        match operation.kind() {
            OperationKind::Capture => {
                self.captured_amount = self.captured_amount.map(|it| it.saturating_add(amount));
                self.remaining_amount = self
                    .remaining_amount
                    .map(|it| it.saturating_sub(amount).max(0));
                self.status = match self.remaining_amount {
                    Some(0) => PaymentStatus::Captured,
                    _ => PaymentStatus::PartCaptured,
                };
            }
            OperationKind::Refund => {
                self.refunded_amount = self.refunded_amount.map(|it| it.saturating_add(amount));
            }
            OperationKind::Cancel => {
                self.status = PaymentStatus::Cancelled;
                self.remaining_amount = self.remaining_amount.map(|_| 0);
            }
            OperationKind::Release => self.remaining_amount = self.remaining_amount.map(|_| 0),
            // the new end is Klarna's to say
            OperationKind::Extend => {}
        }
        self
    }
}
