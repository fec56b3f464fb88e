//! The evidence that a message may have left: a row before the first byte, its result afterwards
//! (failure-model R1, R3).

use diesel::prelude::*;
use jiff::Timestamp;

use super::super::rows::{Of, micros};
use super::super::schema::attempt;
use super::super::witness::Witness;
use super::super::{Claim, StoreError, Tx};
use crate::link::DeliveryId;

/// Names an attempt: its delivery and the claim under which it was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub struct AttemptId {
    pub delivery: DeliveryId,
    pub claim: i64,
}

/// An attempt that has no result yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Attempt {
    pub id: AttemptId,
    pub begun_at: Timestamp,
}

impl Tx<'_> {
    /// Writes that the first byte is about to leave. `Taken(Attempt)` where this claim has begun
    /// one already.
    pub fn begin_attempt(
        &mut self,
        claim: &Claim,
        delivery: DeliveryId,
        now: Timestamp,
    ) -> Result<AttemptId, StoreError> {
        self.sql(|conn| {
            diesel::insert_into(attempt::table)
                .values((
                    attempt::delivery.eq(delivery.to_string()),
                    attempt::claim.eq(claim.attempt),
                    attempt::begun_at.eq(micros(now)),
                ))
                .execute(conn)
        })?;
        let id = AttemptId {
            delivery,
            claim: claim.attempt,
        };
        self.noted.witness = Some(Witness::Attempt(id));
        Ok(id)
    }

    /// Writes an attempt's result. `false`: it has one already, the first stands.
    pub fn finish_attempt(
        &mut self,
        id: AttemptId,
        outcome: &str,
        detail: &str,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let rows = self.sql(|conn| {
            diesel::update(
                attempt::table
                    .find((id.delivery.to_string(), id.claim))
                    .filter(attempt::outcome.is_null()),
            )
            .set((
                attempt::finished_at.eq(micros(now)),
                attempt::outcome.eq(outcome),
                attempt::detail.eq(detail),
            ))
            .execute(conn)
        })?;
        Ok(rows == 1)
    }

    /// When those attempts of a delivery began of which nobody can tell whether it left: without a
    /// result, or with the result `unknown`. The first first.
    pub fn doubtful_attempts(
        &mut self,
        delivery: DeliveryId,
    ) -> Result<Vec<Timestamp>, StoreError> {
        let key = delivery.to_string();
        let begun: Vec<i64> = self.sql(|conn| {
            attempt::table
                .filter(attempt::delivery.eq(&key))
                .filter(
                    attempt::outcome
                        .is_null()
                        .or(attempt::outcome.eq("unknown")),
                )
                .order(attempt::claim)
                .select(attempt::begun_at)
                .load(conn)
        })?;
        begun
            .into_iter()
            .map(|at| Ok(Of(&key).time("attempt.begun_at", at)?))
            .collect()
    }

    /// The attempts of a delivery that have no result: what they sent may have left.
    pub fn open_attempts(&mut self, delivery: DeliveryId) -> Result<Vec<Attempt>, StoreError> {
        let rows: Vec<(i64, i64)> = self.sql(|conn| {
            attempt::table
                .filter(attempt::delivery.eq(delivery.to_string()))
                .filter(attempt::outcome.is_null())
                .order(attempt::claim)
                .select((attempt::claim, attempt::begun_at))
                .load(conn)
        })?;
        rows.into_iter()
            .map(|(claim, begun_at)| {
                let key = delivery.to_string();
                Ok(Attempt {
                    id: AttemptId { delivery, claim },
                    begun_at: Of(&key).time("attempt.begun_at", begun_at)?,
                })
            })
            .collect()
    }
}
