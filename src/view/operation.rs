//! What was done with the money of a link.

use serde::Serialize;
use utoipa::ToSchema;

use super::{FailureView, Instant, Json, words};
use crate::link::{Operation, Outcome};

/// A capture, a refund, or what gives up or prolongs the right to capture.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = Operation)]
pub struct OperationView {
    /// `cap_…`, `rfd_…`, `ccl_…`, `rel_…` or `ext_…`; stands in Klarna's reference too.
    #[schema(example = "cap_019ab3f0c6d77b0e8f4a2f6d5c1b9a72")]
    pub id: String,
    /// What it does.
    #[schema(schema_with = words::operation_object)]
    pub object: &'static str,
    /// Whose money.
    pub link: String,
    /// Minor units of a capture or a refund; null for the others.
    pub amount: Option<i64>,
    /// The caller's own words; Klarna's, where it was booked elsewhere.
    pub reference: Option<String>,
    /// How captured goods went to the buyer, as the caller said it.
    pub shipping_info: Vec<Json>,
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

impl OperationView {
    /// What is known of it.
    pub fn new(operation: &Operation) -> Self {
        let failure = match &operation.outcome {
            Outcome::Failed { why, .. } => Some(FailureView::from(why)),
            Outcome::Pending | Outcome::Done { .. } => None,
        };
        Self {
            id: operation.id.to_string(),
            object: operation.kind().as_str(),
            link: operation.link.to_string(),
            amount: operation.amount,
            reference: operation.reference.clone(),
            shipping_info: operation.shipments.iter().cloned().map(Json).collect(),
            status: operation.outcome.as_str(),
            klarna_id: operation.outcome.klarna().cloned(),
            failure,
            created_by: operation.created_by.to_string(),
            created_at: Instant(operation.created_at),
        }
    }
}
