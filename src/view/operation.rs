//! What was done with the money of a link.

use serde::Serialize;
use utoipa::ToSchema;

use super::{FailureView, Instant, words};
use crate::link::{Operation, OperationKind, Outcome};

/// A capture or a refund.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = Movement)]
pub struct MovementView {
    /// `cap_…` or `rfd_…`; stands in Klarna's reference too.
    #[schema(example = "cap_019ab3f0c6d77b0e8f4a2f6d5c1b9a72")]
    pub id: String,
    /// `capture` or `refund`.
    #[schema(schema_with = words::movement_object)]
    pub object: &'static str,
    /// Whose money.
    pub link: String,
    /// Minor units.
    pub amount: i64,
    /// The caller's own words; Klarna's, where it was booked elsewhere.
    pub reference: Option<String>,
    /// `pending`: Klarna's answer is not known yet; it is insisted on.
    #[schema(schema_with = words::operation_status)]
    pub status: &'static str,
    /// Klarna's own id, once it is known.
    pub klarna_id: Option<String>,
    /// Why it was not done, where it was not.
    pub failure: Option<FailureView>,
    /// Who wanted it: a key, a user, `paylink` (captured at once, as the sale asked) or `klarna`
    /// (booked elsewhere).
    pub created_by: String,
    /// When it was wanted, or booked.
    pub created_at: Instant,
}

impl MovementView {
    /// `None` for what is neither a capture nor a refund.
    pub fn new(operation: &Operation) -> Option<Self> {
        let object = match operation.kind() {
            OperationKind::Capture => "capture",
            OperationKind::Refund => "refund",
            OperationKind::Cancel | OperationKind::Release | OperationKind::Extend => return None,
        };
        let failure = match &operation.outcome {
            Outcome::Failed { why, .. } => Some(FailureView::from(why)),
            Outcome::Pending | Outcome::Done { .. } => None,
        };
        Some(Self {
            id: operation.id.to_string(),
            object,
            link: operation.link.to_string(),
            amount: operation.amount?,
            reference: operation.reference.clone(),
            status: operation.outcome.as_str(),
            klarna_id: operation.outcome.klarna().cloned(),
            failure,
            created_by: operation.created_by.to_string(),
            created_at: Instant(operation.created_at),
        })
    }
}
