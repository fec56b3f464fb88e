//! Alerts: the first of a kind in an hour is told, the others are counted.

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Nullable, Text};
use jiff::Timestamp;

use super::super::rows::micros;
use super::super::{StoreError, Tx};
use crate::link::LinkId;

const HOUR: i64 = 3_600_000_000;
const RAISE: &str = "INSERT INTO alert (kind, hour, detail, link, at, count) VALUES ($1, $2, $3, $4, $5, 1) \
     ON CONFLICT (kind, hour) DO UPDATE SET count = alert.count + 1 RETURNING count AS it";

#[derive(QueryableByName)]
struct Count {
    #[diesel(sql_type = BigInt)]
    it: i64,
}

impl Tx<'_> {
    /// Raises an alert. `true`: it is the first of its kind in this hour, so somebody is told.
    pub fn alert(
        &mut self,
        kind: &str,
        detail: &str,
        link: Option<LinkId>,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let at = micros(now);
        let count: Count = self.sql(|conn| {
            diesel::sql_query(RAISE)
                .bind::<Text, _>(kind)
                .bind::<BigInt, _>(at.div_euclid(HOUR))
                .bind::<Text, _>(detail)
                .bind::<Nullable<Text>, _>(link.map(|it| it.to_string()))
                .bind::<BigInt, _>(at)
                .get_result(conn)
        })?;
        Ok(count.it == 1)
    }
}
