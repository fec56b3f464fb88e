//! Promising work, and asking for it sooner. Doing it: [`super::super::claim`].

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Bool, Text};
use jiff::Timestamp;

use super::super::rows::micros;
use super::super::statement::statement;
use super::super::{Job, JobKind, StoreError, Tx};

/// Where the job is there already: sooner, never later. While it is leased the wish is kept beside
/// it, so that whoever ends the lease finds it; a parked one stays parked.
const ENQUEUE: &str = "INSERT INTO job (id, kind, subject, link, due_at, ready_at, attempt, tries, parked, hinted) \
     VALUES ($1, $2, $3, $4, $5, $5, 0, 0, FALSE, $6) ON CONFLICT (id) DO UPDATE SET \
     hinted = job.hinted OR excluded.hinted, \
     due_at = CASE WHEN job.owner IS NULL AND excluded.due_at < job.due_at THEN excluded.due_at ELSE job.due_at END, \
     ready_at = CASE WHEN job.owner IS NULL AND NOT job.parked AND excluded.due_at < job.ready_at \
         THEN excluded.due_at ELSE job.ready_at END, \
     again_at = CASE WHEN job.owner IS NOT NULL AND (job.again_at IS NULL OR excluded.due_at < job.again_at) \
         THEN excluded.due_at ELSE job.again_at END";

const HASTEN: &str = "UPDATE job SET \
     due_at = CASE WHEN owner IS NULL AND $1 < due_at THEN $1 ELSE due_at END, \
     ready_at = CASE WHEN owner IS NULL AND $1 < ready_at THEN $1 ELSE ready_at END, \
     again_at = CASE WHEN owner IS NOT NULL AND (again_at IS NULL OR $1 < again_at) THEN $1 ELSE again_at END \
     WHERE id = $2 AND NOT parked";

/// The links that have waited longest for their pages, whatever their back-off.
const WAITING_LITE: &str = "SELECT id FROM job WHERE id >= 'open:' AND id < 'open;' \
     AND owner IS NULL AND ready_at > $1 ORDER BY id LIMIT 2";
const WAITING_PG: &str = "SELECT id FROM job WHERE kind = 'open' \
     AND owner IS NULL AND ready_at > $1 ORDER BY id LIMIT 2 FOR UPDATE SKIP LOCKED";

impl Tx<'_> {
    /// Klarna makes pages again: the two links that have waited longest need not wait out their
    /// back-off.
    pub fn hasten_oldest_opens(&mut self, now: Timestamp) -> Result<(), StoreError> {
        let waiting = if self.is_shared() {
            WAITING_PG
        } else {
            WAITING_LITE
        };
        let update = format!(
            "WITH picked AS MATERIALIZED ({waiting}) UPDATE job SET due_at = $1, ready_at = $1 \
             WHERE id IN (SELECT id FROM picked)"
        );
        let rows = self.sql(|conn| {
            diesel::sql_query(update)
                .bind::<BigInt, _>(micros(now))
                .execute(conn)
        })?;
        if rows > 0 {
            self.noted.due.push(JobKind::Open);
        }
        Ok(())
    }

    /// Promises a job. Where kind and subject are promised already, the earlier due date holds.
    pub fn enqueue(&mut self, job: &Job) -> Result<(), StoreError> {
        self.promise(job, false)
    }

    /// The same because Klarna called: whoever claims it is told so.
    pub fn hint(&mut self, job: &Job) -> Result<(), StoreError> {
        self.promise(job, true)
    }

    fn promise(&mut self, job: &Job, hinted: bool) -> Result<(), StoreError> {
        self.sql(|conn| {
            statement(ENQUEUE)
                .bind::<Text, _>(Job::key(job.kind, &job.subject))
                .bind::<Text, _>(job.kind.as_str())
                .bind::<Text, _>(&job.subject)
                .bind::<Text, _>(job.link.to_string())
                .bind::<BigInt, _>(micros(job.due_at))
                .bind::<Bool, _>(hinted)
                .execute(conn)
        })?;
        if job.due_at <= self.shared.clock.now() {
            self.noted.due.push(job.kind);
        }
        Ok(())
    }

    /// Wants a promised job at `due` at the latest. `false`: there is none (or it is parked).
    pub fn hasten(
        &mut self,
        kind: JobKind,
        subject: &str,
        due: Timestamp,
    ) -> Result<bool, StoreError> {
        let rows = self.sql(|conn| {
            statement(HASTEN)
                .bind::<BigInt, _>(micros(due))
                .bind::<Text, _>(Job::key(kind, subject))
                .execute(conn)
        })?;
        if rows == 1 && due <= self.shared.clock.now() {
            self.noted.due.push(kind);
        }
        Ok(rows == 1)
    }
}
