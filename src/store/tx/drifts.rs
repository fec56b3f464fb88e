//! Differences from Klarna, counted; and the links of a day that are not paid.

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Text};
use jiff::Timestamp;

use super::super::rows::{Of, micros};
use super::super::schema::{drift, link};
use super::super::{StoreError, Tx};
use crate::link::{LinkId, Status};

const COUNT: &str = "INSERT INTO drift (what, count) VALUES ($1, $2) \
     ON CONFLICT (what) DO UPDATE SET count = drift.count + excluded.count";

impl Tx<'_> {
    /// Counts differences of one kind.
    pub fn count_drift(&mut self, what: &str, number: i64) -> Result<(), StoreError> {
        self.sql(|conn| {
            diesel::sql_query(COUNT)
                .bind::<Text, _>(what)
                .bind::<BigInt, _>(number)
                .execute(conn)
        })?;
        Ok(())
    }

    /// How many differences of each kind were ever counted.
    pub fn drifts(&mut self) -> Result<Vec<(String, i64)>, StoreError> {
        self.sql(|conn| {
            drift::table
                .order(drift::what)
                .select((drift::what, drift::count))
                .load(conn)
        })
    }

    /// Links that were accepted at or after `since` and before `until`, have a page and are not
    /// paid, oldest first; the next page begins behind `after`.
    pub fn unpaid_links(
        &mut self,
        since: Timestamp,
        until: Timestamp,
        after: Option<(Timestamp, LinkId)>,
        limit: u32,
    ) -> Result<Vec<(Timestamp, LinkId)>, StoreError> {
        let mut query = link::table
            .filter(link::created_at.ge(micros(after.map_or(since, |it| it.0))))
            .filter(link::created_at.lt(micros(until)))
            .filter(link::status.ne(Status::Completed.as_str()))
            .filter(link::pair_number.is_not_null())
            .order((link::created_at, link::id))
            .limit(i64::from(limit))
            .select((link::created_at, link::id))
            .into_boxed();
        if let Some((at, id)) = after {
            query = query.filter(
                link::created_at
                    .gt(micros(at))
                    .or(link::id.gt(id.to_string())),
            );
        }
        let rows: Vec<(i64, String)> = self.sql(|conn| query.load(conn))?;
        rows.into_iter()
            .map(|(at, id)| {
                let of = Of(&id);
                Ok((of.time("link.created_at", at)?, of.id("link.id", &id)?))
            })
            .collect()
    }
}
