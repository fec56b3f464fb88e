//! What is asked of jobs beside claiming them: is anything due, is somebody at it, may it go.

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Text};
use jiff::Timestamp;

use super::super::claim::{DATABASE_NOW, by, ready};
use super::super::rows::micros;
use super::super::statement::statement;
use super::super::{Job, JobKind, Lane, StoreError, Tx};

#[derive(QueryableByName)]
struct Found {
    #[diesel(sql_type = BigInt)]
    #[allow(dead_code)]
    one: i64,
}

#[derive(QueryableByName)]
struct Word {
    #[diesel(sql_type = Text)]
    kind: String,
}

impl Tx<'_> {
    /// Of which of these kinds a job could be claimed now: the cheap look before the write, one
    /// for all kinds, since every idle process takes it.
    pub fn due_kinds(
        &mut self,
        kinds: &[JobKind],
        now: Timestamp,
    ) -> Result<Vec<JobKind>, StoreError> {
        if kinds.is_empty() {
            return Ok(Vec::new());
        }
        let ready = ready(self.is_shared());
        let looks: Vec<_> = kinds
            .iter()
            .map(|it| {
                let kind = it.as_str();
                format!(
                    "SELECT '{kind}' AS kind WHERE EXISTS \
                     (SELECT 1 FROM job WHERE kind = '{kind}' AND {ready})"
                )
            })
            .collect();
        let words: Vec<Word> = self.sql(|conn| {
            statement(looks.join(" UNION ALL "))
                .bind::<BigInt, _>(micros(now))
                .load(conn)
        })?;
        Ok(words
            .iter()
            .filter_map(|it| JobKind::from_word(&it.kind))
            .collect())
    }

    /// Whether a job of this lane could be claimed now: an idle worker must not take the writer.
    pub fn is_due(&mut self, lane: Lane, now: Timestamp) -> Result<bool, StoreError> {
        let Some(channel) = lane.channel else {
            return Ok(!self.due_kinds(&[lane.kind()], now)?.is_empty());
        };
        let (ready, by) = (ready(self.is_shared()), by(channel));
        let look = format!(
            "SELECT CAST(1 AS bigint) AS one FROM job WHERE kind = 'deliver' AND {ready} AND {by} LIMIT 1"
        );
        let found = self.sql(|conn| {
            statement(look)
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
            statement(select)
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
            statement(delete)
                .bind::<Text, _>(Job::key(kind, subject))
                .execute(conn)
        })?;
        Ok(!self.in_flight(kind, subject)?)
    }
}
