//! What is asked of jobs beside claiming them: is anything due, is somebody at it, may it go.

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Text};
use jiff::Timestamp;

use super::super::claim::{DATABASE_NOW, ready};
use super::super::rows::micros;
use super::super::{Job, JobKind, StoreError, Tx};

#[derive(QueryableByName)]
struct Found {
    #[diesel(sql_type = BigInt)]
    #[allow(dead_code)]
    one: i64,
}

impl Tx<'_> {
    /// Whether a job of these kinds could be claimed now: the cheap look before the write.
    pub fn is_due(&mut self, kinds: &[JobKind], now: Timestamp) -> Result<bool, StoreError> {
        let words: Vec<_> = kinds
            .iter()
            .map(|it| format!("'{}'", it.as_str()))
            .collect();
        let ready = ready(self.is_shared());
        let select = format!(
            "SELECT CAST(1 AS bigint) AS one FROM job WHERE {ready} AND kind IN ({}) LIMIT 1",
            words.join(", ")
        );
        let found = self.sql(|conn| {
            diesel::sql_query(select)
                .bind::<BigInt, _>(micros(now))
                .get_result::<Found>(conn)
                .optional()
        })?;
        Ok(found.is_some())
    }

    /// Whether a living process is at this job.
    pub fn in_flight(&mut self, kind: JobKind, subject: &str) -> Result<bool, StoreError> {
        let alive = if self.is_shared() {
            format!("lease_until > {DATABASE_NOW}")
        } else {
            "owner IS NOT NULL".into()
        };
        let select = format!("SELECT CAST(1 AS bigint) AS one FROM job WHERE id = $1 AND {alive}");
        let found = self.sql(|conn| {
            diesel::sql_query(select)
                .bind::<Text, _>(Job::key(kind, subject))
                .get_result::<Found>(conn)
                .optional()
        })?;
        Ok(found.is_some())
    }

    /// Takes a job away that nobody is at. `false`: somebody is, and must be left to notice.
    pub fn cancel(&mut self, kind: JobKind, subject: &str) -> Result<bool, StoreError> {
        // one statement: between a look and a delete a worker could claim it
        let idle = if self.is_shared() {
            format!("(owner IS NULL OR lease_until <= {DATABASE_NOW})")
        } else {
            "owner IS NULL".into()
        };
        let delete = format!("DELETE FROM job WHERE id = $1 AND {idle}");
        self.sql(|conn| {
            diesel::sql_query(delete)
                .bind::<Text, _>(Job::key(kind, subject))
                .execute(conn)
        })?;
        Ok(!self.in_flight(kind, subject)?)
    }
}
