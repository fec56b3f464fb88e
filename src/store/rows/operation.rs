//! Table `operation`: the seller's ledger of a link's money.

use diesel::prelude::*;

use super::sale::{lines, lines_of};
use super::stage::RefusalJson;
use super::{Corrupt, Of, micros, trees, trees_of};
use crate::link::{Failure, FailureCode, Operation, OperationId, OperationKind, Outcome};
use crate::store::schema::operation;

#[derive(Queryable, Selectable, Insertable)]
#[diesel(table_name = operation, treat_none_as_default_value = false)]
pub(in crate::store) struct OperationRow {
    pub id: String,
    pub link: String,
    pub kind: String,
    pub amount: Option<i64>,
    pub reference: Option<String>,
    pub lines: String,
    pub shipments: String,
    pub created_by: String,
    pub created_at: i64,
}

/// What changes after it was wanted.
#[derive(Queryable, Selectable, Insertable, AsChangeset)]
#[diesel(table_name = operation, treat_none_as_default_value = false, treat_none_as_null = true)]
pub(in crate::store) struct OutcomeRow {
    pub status: String,
    pub klarna_id: Option<String>,
    pub outcome_at: Option<i64>,
    pub failure_code: Option<String>,
    pub failure_detail: Option<String>,
    pub failure_klarna: Option<String>,
    pub asked_at: Option<i64>,
}

impl OperationRow {
    pub fn of(operation: &Operation) -> Self {
        Self {
            id: operation.id.to_string(),
            link: operation.link.to_string(),
            kind: operation.kind().as_str().to_owned(),
            amount: operation.amount,
            reference: operation.reference.clone(),
            lines: lines(&operation.lines),
            shipments: trees(&operation.shipments),
            created_by: operation.created_by.to_string(),
            created_at: micros(operation.created_at),
        }
    }
}

impl OutcomeRow {
    pub fn of(operation: &Operation) -> Self {
        let mut row = Self {
            status: operation.outcome.as_str().to_owned(),
            klarna_id: None,
            outcome_at: None,
            failure_code: None,
            failure_detail: None,
            failure_klarna: None,
            asked_at: operation.asked_at.map(micros),
        };
        match &operation.outcome {
            Outcome::Pending => {}
            Outcome::Done { klarna, at } => {
                row.klarna_id.clone_from(klarna);
                row.outcome_at = Some(micros(*at));
            }
            Outcome::Failed { at, why } => {
                row.outcome_at = Some(micros(*at));
                row.failure_code = Some(why.code.as_str().to_owned());
                row.failure_detail = Some(why.detail.clone());
                row.failure_klarna = why.klarna.as_ref().map(RefusalJson::column);
            }
        }
        row
    }

    fn outcome(self, of: Of<'_>) -> Result<Outcome, Corrupt> {
        let at =
            |at: Option<i64>| of.time("operation.outcome_at", of.some("operation.outcome_at", at)?);
        Ok(match self.status.as_str() {
            "pending" => Outcome::Pending,
            "done" => Outcome::Done {
                klarna: self.klarna_id,
                at: at(self.outcome_at)?,
            },
            "failed" => {
                let code = self.failure_code.as_deref();
                let code = code.and_then(FailureCode::from_word);
                let klarna = self.failure_klarna.as_deref();
                let klarna =
                    klarna.map(|it| of.json::<RefusalJson>("operation.failure_klarna", it));
                Outcome::Failed {
                    at: at(self.outcome_at)?,
                    why: Failure {
                        code: of.some("operation.failure_code", code)?,
                        detail: of.some("operation.failure_detail", self.failure_detail)?,
                        klarna: klarna.transpose()?.map(Into::into),
                    },
                }
            }
            _ => return Err(of.bad("operation.status")),
        })
    }
}

impl TryFrom<(OperationRow, OutcomeRow)> for Operation {
    type Error = Corrupt;

    fn try_from((row, outcome): (OperationRow, OutcomeRow)) -> Result<Self, Corrupt> {
        let of = Of(&row.id);
        let id: OperationId = of.id("operation.id", &row.id)?;
        if OperationKind::from_word(&row.kind) != Some(id.kind()) {
            return Err(of.bad("operation.kind"));
        }
        Ok(Self {
            id,
            link: of.id("operation.link", &row.link)?,
            amount: row.amount,
            lines: lines_of(of, "operation.lines", &row.lines)?,
            shipments: trees_of(of, "operation.shipments", &row.shipments)?,
            asked_at: of.time_maybe("operation.asked_at", outcome.asked_at)?,
            outcome: outcome.outcome(of)?,
            created_by: of.id("operation.created_by", &row.created_by)?,
            created_at: of.time("operation.created_at", row.created_at)?,
            reference: row.reference,
        })
    }
}
