//! Who works on what. A worker claims a job by writing owner and `attempt + 1`; every later write
//! about it says `WHERE attempt = mine` (failure-model R2). On SQLite a lease is the boot id of the
//! one process, without an end; on PostgreSQL it lasts a minute of the *database's* time, so that no
//! leap of a wall clock steals a job. The one place that asks which database this is.

use std::time::Duration;

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Nullable, Text};
use jiff::{SignedDuration, Timestamp};

use super::rows::job::JobRow;
use super::rows::{Of, micros};
use super::statement::statement;
use super::{Job, JobKind, Lease, StoreError, Tx};
use crate::chaos::{self, Bug};
use crate::clock::Clock;
use crate::link::Channel;

/// A job that panicked so often is parked: kept for a person, never claimed.
const POISON: i64 = 5;

/// PostgreSQL's clock in our unit, in words of SQL. (`clock_timestamp`, not `now`: a transaction
/// may have waited.)
pub(super) const DATABASE_NOW: &str = "(extract(epoch FROM clock_timestamp()) * 1000000)::bigint";
/// The same as of the statement's begin: what does not change within a statement can be looked up
/// in an index.
const STATEMENT_NOW: &str = "(extract(epoch FROM statement_timestamp()) * 1000000)::bigint";
/// SQLite: no end; a job of another boot id is free at start.
const NO_END: &str = "NULL";

/// PostgreSQL: the end of a lease that begins now, in words of SQL.
pub(super) fn lease_end() -> String {
    format!("{DATABASE_NOW} + {}", Lease::length().as_micros())
}

const COLUMNS: &str =
    "job.id, job.kind, job.subject, job.link, job.due_at, job.attempt, job.tries, job.hinted";

/// A hint has had its run, unless it came while that was under way.
const HINT_KEPT: &str = "hinted = (hinted AND again_at IS NOT NULL)";

/// A job that is ours until we say otherwise, or (PostgreSQL) until the lease runs out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// What is to be done.
    pub job: Job,
    /// The fence: every claim counts one up.
    pub attempt: i64,
    /// Whose it is.
    pub owner: String,
    /// How often it panicked in a row.
    pub tries: i64,
    /// Klarna called about it since it was last put back.
    pub hinted: bool,
    /// When it was claimed, by this process's wall clock: before the database was asked.
    pub claimed_at: Timestamp,
    /// The same moment by its monotonic clock.
    pub since: Duration,
}

impl Claim {
    /// Whether another panic parks it.
    pub fn is_last_try(&self) -> bool {
        self.tries + 1 >= POISON
    }

    /// The job's primary key.
    pub fn key(&self) -> String {
        Job::key(self.job.kind, &self.job.subject)
    }

    /// Job and attempt: what the fence asks for.
    pub fn fence(&self) -> (String, i64) {
        (self.key(), self.attempt)
    }

    /// Whether it was made less than `age` ago by both clocks: a wall clock that was set hides no
    /// age, nor does a machine that slept.
    pub fn is_younger(&self, age: SignedDuration, clock: &Clock) -> bool {
        let wall = clock.now().duration_since(self.claimed_at);
        let passed = clock.monotonic().saturating_sub(self.since);
        (SignedDuration::ZERO..age).contains(&wall)
            && SignedDuration::try_from(passed).is_ok_and(|it| it < age)
    }
}

#[derive(QueryableByName)]
struct Held {
    #[diesel(sql_type = Text)]
    id: String,
    #[diesel(sql_type = BigInt)]
    attempt: i64,
}

#[derive(QueryableByName)]
struct Least {
    #[diesel(sql_type = Nullable<BigInt>)]
    at: Option<i64>,
}

/// While this ledger is a copy that does not know yet what happened since, nobody claims anything.
const NOT_A_COPY: &str = "NOT EXISTS (SELECT 1 FROM recovery WHERE recovery.id = 1)";

/// What may be claimed at `$1`, this process's now; where that is NULL, at the database's. Whose
/// lease has run out only the database's clock says; both bounds are there for the index.
pub(super) fn ready(shared: bool) -> String {
    let due = if shared {
        format!(
            "ready_at <= GREATEST($1, {STATEMENT_NOW}) \
             AND ready_at <= CASE WHEN owner IS NULL THEN COALESCE($1, {STATEMENT_NOW}) ELSE {STATEMENT_NOW} END"
        )
    } else {
        "ready_at <= $1".into()
    };
    format!("{due} AND {NOT_A_COPY}")
}

/// What has hands of its own: a kind of jobs, and each channel of deliveries. Nobody waits for the
/// other's server (a mail's may take ten minutes).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lane {
    kind: JobKind,
    pub(super) channel: Option<Channel>,
}

impl Lane {
    /// The lanes of a kind.
    pub fn of(kind: JobKind) -> Vec<Self> {
        let channels = match kind {
            JobKind::Deliver => vec![Some(Channel::Email), Some(Channel::Sms)],
            _ => vec![None],
        };
        let lane = |channel| Self { kind, channel };
        channels.into_iter().map(lane).collect()
    }

    /// Of which kind its jobs are.
    pub fn kind(self) -> JobKind {
        self.kind
    }
}

/// Only deliveries by this channel.
pub(super) fn by(channel: Channel) -> String {
    format!(
        "EXISTS (SELECT 1 FROM delivery WHERE delivery.id = job.subject AND delivery.channel = '{}')",
        channel.as_str()
    )
}

fn claim_sql(shared: bool, kinds: &[JobKind], limit: u32, channel: Option<Channel>) -> String {
    let words: Vec<_> = kinds
        .iter()
        .map(|it| format!("'{}'", it.as_str()))
        .collect();
    let of_kind = format!("kind IN ({})", words.join(", "));
    let mut ready = ready(shared);
    if let Some(channel) = channel {
        ready = format!("{ready} AND {}", by(channel));
    }
    // Klarna's limit makes links queue for their pages: the oldest link first, however often it was
    // tried; its id says its age. (Of other kinds there may be very many that are not due.)
    let (of_kind, order) = match (kinds == [JobKind::Open], shared) {
        (false, _) => (of_kind, "ready_at"),
        (true, true) => (of_kind, "id"),
        // the key begins with the kind: its own order, without a sort
        (true, false) => ("id >= 'open:' AND id < 'open;'".to_owned(), "id"),
    };
    if shared {
        let end = lease_end();
        // MATERIALIZED: the planner may otherwise run the sub-select twice and claim twice
        format!(
            "WITH picked AS MATERIALIZED (SELECT id FROM job WHERE {ready} AND {of_kind} \
             ORDER BY {order} LIMIT {limit} FOR UPDATE SKIP LOCKED) \
             UPDATE job SET owner = $2, attempt = job.attempt + 1, lease_until = {end}, ready_at = {end} \
             FROM picked WHERE job.id = picked.id RETURNING {COLUMNS}"
        )
    } else {
        format!(
            "WITH picked AS MATERIALIZED (SELECT id FROM job WHERE {ready} AND {of_kind} \
             ORDER BY {order} LIMIT {limit}) \
             UPDATE job SET owner = $2, attempt = attempt + 1, ready_at = {NO_END} \
             WHERE id IN (SELECT id FROM picked) RETURNING {}",
            COLUMNS.replace("job.", "")
        )
    }
}

/// The earliest moment at which anybody may claim something: a walk to the first of each kind.
pub(super) fn next_due_sql() -> String {
    let looks: Vec<_> = JobKind::ALL
        .iter()
        .map(|it| {
            let kind = it.as_str();
            format!(
                "SELECT min(ready_at) AS at FROM job WHERE kind = '{kind}' AND ready_at IS NOT NULL"
            )
        })
        .collect();
    format!(
        "SELECT min(at) AS at FROM ({}) AS firsts",
        looks.join(" UNION ALL ")
    )
}

impl Tx<'_> {
    /// Enqueues a job that is this process's own from birth: the handler that answers the request
    /// and a worker never both do it. [`StoreError::Taken`] where it is there already.
    pub fn enqueue_leased(&mut self, job: &Job, lease: &Lease) -> Result<Claim, StoreError> {
        let end = if self.is_shared() {
            lease_end()
        } else {
            NO_END.to_owned()
        };
        let insert = format!(
            "INSERT INTO job (id, kind, subject, link, due_at, owner, ready_at, lease_until, attempt, tries, parked) \
             VALUES ($1, $2, $3, $4, $5, $6, {end}, {end}, 1, 0, FALSE)"
        );
        let claim = Claim {
            job: job.clone(),
            attempt: 1,
            owner: lease.owner().to_owned(),
            tries: 0,
            hinted: false,
            claimed_at: self.shared.clock.now(),
            since: self.shared.clock.monotonic(),
        };
        self.sql(|conn| {
            statement(insert)
                .bind::<Text, _>(claim.key())
                .bind::<Text, _>(job.kind.as_str())
                .bind::<Text, _>(&job.subject)
                .bind::<Text, _>(job.link.to_string())
                .bind::<BigInt, _>(micros(job.due_at))
                .bind::<Text, _>(lease.owner())
                .execute(conn)
        })?;
        Ok(claim)
    }

    /// Claims up to `limit` jobs of these kinds that are due at `now`, the longest due first, and
    /// on PostgreSQL those whose lease has run out by the database's clock.
    pub fn claim(
        &mut self,
        lease: &Lease,
        now: Timestamp,
        limit: u32,
        kinds: &[JobKind],
    ) -> Result<Vec<Claim>, StoreError> {
        self.claim_of(lease, now, limit, kinds, None)
    }

    /// The same of one lane.
    pub fn claim_in(
        &mut self,
        lane: Lane,
        lease: &Lease,
        now: Timestamp,
        limit: u32,
    ) -> Result<Vec<Claim>, StoreError> {
        self.claim_of(lease, now, limit, &[lane.kind], lane.channel)
    }

    fn claim_of(
        &mut self,
        lease: &Lease,
        now: Timestamp,
        limit: u32,
        kinds: &[JobKind],
        channel: Option<Channel>,
    ) -> Result<Vec<Claim>, StoreError> {
        if kinds.is_empty() || limit == 0 {
            return Ok(Vec::new());
        }
        let update = claim_sql(self.is_shared(), kinds, limit, channel);
        let clock = &self.shared.clock;
        // a link's own end is the database's to judge, where there is one clock for all (R7)
        let by_database = self.is_shared() && clock.is_system() && *kinds == [JobKind::Expire];
        let (claimed_at, since) = (clock.now(), clock.monotonic());
        let mut rows: Vec<JobRow> = self.sql(|conn| {
            statement(update)
                .bind::<Nullable<BigInt>, _>((!by_database).then(|| micros(now)))
                .bind::<Text, _>(lease.owner())
                .load(conn)
        })?;
        if kinds == [JobKind::Open] {
            rows.sort_by(|a, b| a.id.cmp(&b.id));
        } else {
            rows.sort_by_key(|row| row.due_at);
        }
        rows.iter()
            .map(|row| {
                Ok(Claim {
                    job: row.try_into()?,
                    attempt: row.attempt,
                    owner: lease.owner().to_owned(),
                    tries: row.tries,
                    hinted: row.hinted,
                    claimed_at,
                    since,
                })
            })
            .collect()
    }

    /// What the time is by the clock that leases and links' ends go by, where that is not this
    /// process's: PostgreSQL's.
    pub fn database_now(&mut self) -> Result<Option<Timestamp>, StoreError> {
        if !self.is_shared() {
            return Ok(None);
        }
        let select = format!("SELECT {DATABASE_NOW} AS at");
        let now: Least = self.sql(|conn| diesel::sql_query(select).get_result(conn))?;
        now.at
            .map(|at| Of("clock").time("now", at))
            .transpose()
            .map_err(StoreError::Corrupt)
    }

    /// Whether a claim still stands. Asked directly before an effect that must not happen twice.
    pub fn confirm(&mut self, claim: &Claim) -> Result<bool, StoreError> {
        let alive = if self.is_shared() {
            format!("lease_until > {DATABASE_NOW}")
        } else {
            "TRUE".into()
        };
        let select = format!(
            "SELECT id, attempt FROM job WHERE id = $1 AND owner = $2 AND attempt = $3 AND {alive}"
        );
        let found = self.sql(|conn| {
            statement(select)
                .bind::<Text, _>(claim.key())
                .bind::<Text, _>(&claim.owner)
                .bind::<BigInt, _>(claim.attempt)
                .get_result::<Held>(conn)
                .optional()
        })?;
        Ok(found.is_some())
    }

    /// Renews all leases of a process in one statement and names what it still holds: keys and
    /// attempts. What is not among them must stop.
    pub fn renew(&mut self, lease: &Lease) -> Result<Vec<(String, i64)>, StoreError> {
        let renewed = if self.is_shared() {
            let end = lease_end();
            format!(
                "UPDATE job SET lease_until = {end}, ready_at = {end} \
                 WHERE owner = $1 RETURNING id, attempt"
            )
        } else {
            "SELECT id, attempt FROM job WHERE owner = $1".into()
        };
        let held: Vec<Held> =
            self.sql(|conn| statement(renewed).bind::<Text, _>(lease.owner()).load(conn))?;
        Ok(held.into_iter().map(|it| (it.id, it.attempt)).collect())
    }

    /// Gives back jobs by key and attempt, undone; they are due as they were. Answers how many of
    /// them were still this process's.
    pub fn free(&mut self, lease: &Lease, keys: &[(String, i64)]) -> Result<usize, StoreError> {
        let update = "UPDATE job SET owner = NULL, lease_until = NULL, again_at = NULL, \
                      ready_at = CASE WHEN again_at < due_at THEN again_at ELSE due_at END \
                      WHERE id = $1 AND owner = $2 AND attempt = $3";
        let mut freed = 0;
        for (id, attempt) in keys {
            freed += self.sql(|conn| {
                statement(update)
                    .bind::<Text, _>(id)
                    .bind::<Text, _>(lease.owner())
                    .bind::<BigInt, _>(*attempt)
                    .execute(conn)
            })?;
        }
        Ok(freed)
    }

    /// Gives a claim back undone; it is due as it was. `false`: it was no longer ours.
    pub fn release(&mut self, claim: &Claim) -> Result<bool, StoreError> {
        self.leave(
            claim,
            "ready_at = CASE WHEN again_at < due_at THEN again_at ELSE due_at END",
        )
    }

    /// The job is done: it is gone, or due again where somebody asked for it meanwhile. `false`:
    /// the fence was lost, a successor decides.
    pub fn done(&mut self, claim: &Claim) -> Result<bool, StoreError> {
        let delete =
            "DELETE FROM job WHERE id = $1 AND owner = $2 AND attempt = $3 AND again_at IS NULL";
        let rows = self.sql(|conn| {
            statement(delete)
                .bind::<Text, _>(claim.key())
                .bind::<Text, _>(&claim.owner)
                .bind::<BigInt, _>(claim.attempt)
                .execute(conn)
        })?;
        if rows == 1 {
            self.noted.ended.push(claim.fence());
            return Ok(true);
        }
        let set = format!("due_at = again_at, ready_at = again_at, tries = 0, {HINT_KEPT}");
        let again = self.leave(claim, &set)?;
        if again {
            self.noted.due.push(claim.job.kind);
        }
        Ok(again || chaos::planted(Bug::NoFence))
    }

    /// The job is to be done again at `due_at`, or earlier where somebody asked so meanwhile.
    /// `poison` says that it panicked: the fifth time in a row parks it. `false`: the fence was
    /// lost.
    pub fn again(
        &mut self,
        claim: &Claim,
        due_at: Timestamp,
        poison: bool,
    ) -> Result<bool, StoreError> {
        let due = micros(due_at);
        let earlier = format!("CASE WHEN again_at < {due} THEN again_at ELSE {due} END");
        let set = if poison && claim.is_last_try() {
            format!("due_at = {earlier}, ready_at = NULL, parked = TRUE, tries = tries + 1")
        } else {
            let tries = if poison { "tries + 1" } else { "0" };
            format!("due_at = {earlier}, ready_at = {earlier}, tries = {tries}, {HINT_KEPT}")
        };
        let left = self.leave(claim, &set)?;
        if left && due_at <= self.shared.clock.now() {
            self.noted.due.push(claim.job.kind);
        }
        Ok(left)
    }

    fn leave(&mut self, claim: &Claim, set: &str) -> Result<bool, StoreError> {
        let update = format!(
            "UPDATE job SET owner = NULL, lease_until = NULL, again_at = NULL, {set} \
             WHERE id = $1 AND owner = $2 AND attempt = $3"
        );
        let rows = self.sql(|conn| {
            diesel::sql_query(update)
                .bind::<Text, _>(claim.key())
                .bind::<Text, _>(&claim.owner)
                .bind::<BigInt, _>(claim.attempt)
                .execute(conn)
        })?;
        if rows == 1 {
            self.noted.ended.push(claim.fence());
        }
        Ok(rows == 1 || chaos::planted(Bug::NoFence))
    }

    /// When anybody may next claim something: a due date, or the end of a lease.
    pub fn next_due(&mut self) -> Result<Option<Timestamp>, StoreError> {
        let least: Least = self.sql(|conn| statement(next_due_sql()).get_result(conn))?;
        Ok(Of("next").time_maybe("job.ready_at", least.at)?)
    }

    /// SQLite, at start: frees what a dead process held. Answers how many.
    pub fn free_foreign(&mut self, boot: &Lease) -> Result<usize, StoreError> {
        if self.is_shared() {
            return Ok(0);
        }
        let update = "UPDATE job SET owner = NULL, again_at = NULL, \
                      ready_at = CASE WHEN again_at < due_at THEN again_at ELSE due_at END \
                      WHERE owner IS NOT NULL AND owner <> $1";
        self.sql(|conn| {
            diesel::sql_query(update)
                .bind::<Text, _>(boot.owner())
                .execute(conn)
        })
    }
}
