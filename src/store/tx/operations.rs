//! Operations on money: wanted, saved, listed; and the links whose money a day brought.

use diesel::prelude::*;
use jiff::Timestamp;

use super::super::rows::micros;
use super::super::rows::operation::{OperationRow, OutcomeRow};
use super::super::schema::{link, operation};
use super::super::witness::Witness;
use super::super::{MultiBackend, StoreError, Tx};
use crate::link::{LinkId, Operation, OperationId, Outcome};

type Row = (OperationRow, OutcomeRow);

macro_rules! columns {
    () => {
        (
            <OperationRow as Selectable<MultiBackend>>::construct_selection(),
            <OutcomeRow as Selectable<MultiBackend>>::construct_selection(),
        )
    };
}

impl Tx<'_> {
    /// Stores a new operation. [`StoreError::Taken`] where it is there already.
    pub fn insert_operation(&mut self, wanted: &Operation) -> Result<(), StoreError> {
        let row = OperationRow::of(wanted);
        let outcome = OutcomeRow::of(wanted);
        self.sql(|conn| {
            diesel::insert_into(operation::table)
                .values((&row, &outcome))
                .execute(conn)
        })?;
        self.noted.witness = Some(Witness::Operation(wanted.id, wanted.link));
        Ok(())
    }

    /// Reads an operation.
    pub fn operation(&mut self, id: OperationId) -> Result<Option<Operation>, StoreError> {
        let row: Option<Row> = self.sql(|conn| {
            operation::table
                .find(id.to_string())
                .select(columns!())
                .first(conn)
                .optional()
        })?;
        Ok(row.map(TryInto::try_into).transpose()?)
    }

    /// All operations of a link, oldest first.
    pub fn operations(&mut self, of: LinkId) -> Result<Vec<Operation>, StoreError> {
        let rows: Vec<Row> = self.sql(|conn| {
            operation::table
                .filter(operation::link.eq(of.to_string()))
                .order((operation::created_at, operation::id))
                .select(columns!())
                .load(conn)
        })?;
        rows.into_iter().map(|row| Ok(row.try_into()?)).collect()
    }

    /// Writes what came of an operation, and when Klarna was first asked.
    pub fn save_operation(&mut self, known: &Operation) -> Result<(), StoreError> {
        let outcome = OutcomeRow::of(known);
        self.sql(|conn| {
            diesel::update(operation::table.find(known.id.to_string()))
                .set(&outcome)
                .execute(conn)
        })?;
        Ok(())
    }

    /// Writes since when Klarna's answer to a pending operation may be lost.
    pub fn ask_operation(
        &mut self,
        id: OperationId,
        at: Option<Timestamp>,
    ) -> Result<(), StoreError> {
        self.sql(|conn| {
            diesel::update(
                operation::table
                    .find(id.to_string())
                    .filter(operation::status.eq(Outcome::Pending.as_str())),
            )
            .set(operation::asked_at.eq(at.map(micros)))
            .execute(conn)
        })?;
        Ok(())
    }

    /// Links that were completed at or after `since` and before `until`, in that order; the next
    /// page begins behind `after`.
    pub fn completed_links(
        &mut self,
        since: Timestamp,
        until: Timestamp,
        after: Option<(Timestamp, LinkId)>,
        limit: u32,
    ) -> Result<Vec<(Timestamp, LinkId)>, StoreError> {
        let mut query = link::table
            // a completed link and no other has it; said as the partial index says it
            .filter(link::payment_status.is_not_null())
            .filter(link::stage_at.lt(micros(until)))
            .order((link::stage_at, link::id))
            .limit(i64::from(limit))
            .select((link::stage_at.assume_not_null(), link::id))
            .into_boxed();
        query = match after {
            None => query.filter(link::stage_at.ge(micros(since))),
            Some((at, id)) => query.filter(
                link::stage_at.gt(micros(at)).or(link::stage_at
                    .eq(micros(at))
                    .and(link::id.gt(id.to_string()))),
            ),
        };
        let rows: Vec<(i64, String)> = self.sql(|conn| query.load(conn))?;
        rows.into_iter()
            .map(|(at, id)| {
                let of = super::super::rows::Of(&id);
                Ok((of.time("link.stage_at", at)?, of.id("link.id", &id)?))
            })
            .collect()
    }
}
