//! The mark of a copy, and how far its recovery is. What it means is `flow::recover`'s.

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Text};
use jiff::Timestamp;

use super::super::claim::{DATABASE_NOW, lease_end};
use super::super::rows::link::{BirthRow, LifeRow, LinkRow};
use super::super::rows::stage::StageColumns;
use super::super::rows::{Of, micros};
use super::super::schema::{delivery, link, recovery};
use super::super::{Lease, MultiBackend, StoreError, Tx};
use super::links::columns;
use crate::link::{DeliveryId, DeliveryStatus, Link, LinkId, PaymentStatus, Status};

/// What of a copy is being looked at. In this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Messages that had not left when the copy was made.
    Deliveries,
    /// Links that had no page.
    Creating,
    /// Links that could be paid.
    Open,
    /// Links that were being closed.
    Disabling,
    /// Paid links whose money may have moved.
    Completed,
}

impl Step {
    const ALL: [(Self, &'static str); 5] = [
        (Self::Deliveries, "deliveries"),
        (Self::Creating, "creating"),
        (Self::Open, "open"),
        (Self::Disabling, "disabling"),
        (Self::Completed, "completed"),
    ];

    fn as_str(self) -> &'static str {
        Self::ALL[self as usize].1
    }

    /// The next one; `None` after the last.
    pub fn next(self) -> Option<Self> {
        Self::ALL.get(self as usize + 1).map(|it| it.0)
    }
}

/// This ledger is a copy, and so far is its recovery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recovery {
    /// When the copy was made, or said to be one. What was asked for later is not the copy's.
    pub marked_at: Timestamp,
    /// What is being looked at.
    pub step: Step,
    /// The last link of this step that was looked at.
    pub after: Option<(Timestamp, LinkId)>,
    /// Since when Klarna has answered nothing.
    pub silent_since: Option<Timestamp>,
}

const MARK: &str = "INSERT INTO recovery (id, marked_at, step) VALUES (1, $1, 'deliveries') \
     ON CONFLICT (id) DO UPDATE SET marked_at = excluded.marked_at, step = 'deliveries', \
     cursor_at = NULL, cursor_id = NULL, silent_since = NULL, owner = NULL, lease_until = NULL";

type Row = (i64, String, Option<i64>, Option<String>, Option<i64>);

fn read(row: Row) -> Result<Recovery, StoreError> {
    let (marked_at, word, cursor_at, cursor_id, silent) = row;
    let of = Of("recovery");
    let step = Step::ALL.iter().find(|it| it.1 == word).map(|it| it.0);
    let after = match (cursor_at, cursor_id) {
        (Some(at), Some(id)) => Some((
            of.time("recovery.cursor_at", at)?,
            of.id("recovery.cursor_id", &id)?,
        )),
        _ => None,
    };
    Ok(Recovery {
        marked_at: of.time("recovery.marked_at", marked_at)?,
        step: of.some("recovery.step", step)?,
        after,
        silent_since: of.time_maybe("recovery.silent_since", silent)?,
    })
}

macro_rules! state {
    () => {
        (
            recovery::marked_at,
            recovery::step,
            recovery::cursor_at,
            recovery::cursor_id,
            recovery::silent_since,
        )
    };
}

impl Tx<'_> {
    /// Says that this ledger is a copy that was made at `now` or before. No job is claimed until
    /// its recovery is over.
    pub fn mark_as_copy(&mut self, now: Timestamp) -> Result<(), StoreError> {
        self.sql(|conn| {
            diesel::sql_query(MARK)
                .bind::<BigInt, _>(micros(now))
                .execute(conn)
        })?;
        Ok(())
    }

    /// Whether this ledger is a copy whose recovery is not over.
    pub fn recovery(&mut self) -> Result<Option<Recovery>, StoreError> {
        let row: Option<Row> = self.sql(|conn| {
            recovery::table
                .find(1)
                .select(state!())
                .first(conn)
                .optional()
        })?;
        row.map(read).transpose()
    }

    /// Takes the recovery upon this process, or goes on with it. `None`: there is none, or another
    /// process is at it.
    pub fn take_recovery(&mut self, lease: &Lease) -> Result<Option<Recovery>, StoreError> {
        // on SQLite one process serves; on PostgreSQL whoever is quiet for a lease has lost it
        let (end, free) = if self.is_shared() {
            let free = format!("(owner IS NULL OR owner = $1 OR lease_until <= {DATABASE_NOW})");
            (lease_end(), free)
        } else {
            ("NULL".to_owned(), "TRUE".to_owned())
        };
        let take =
            format!("UPDATE recovery SET owner = $1, lease_until = {end} WHERE id = 1 AND {free}");
        let rows = self.sql(|conn| {
            diesel::sql_query(take)
                .bind::<Text, _>(lease.owner())
                .execute(conn)
        })?;
        if rows == 0 { Ok(None) } else { self.recovery() }
    }

    /// Writes how far the recovery is. `false`: another process has taken it, or it was marked anew.
    pub fn save_recovery(&mut self, now: &Recovery, lease: &Lease) -> Result<bool, StoreError> {
        let rows = self.sql(|conn| {
            diesel::update(
                recovery::table
                    .find(1)
                    .filter(recovery::owner.eq(lease.owner()))
                    .filter(recovery::marked_at.eq(micros(now.marked_at))),
            )
            .set((
                recovery::step.eq(now.step.as_str()),
                recovery::cursor_at.eq(now.after.map(|it| micros(it.0))),
                recovery::cursor_id.eq(now.after.map(|it| it.1.to_string())),
                recovery::silent_since.eq(now.silent_since.map(micros)),
            ))
            .execute(conn)
        })?;
        Ok(rows == 1)
    }

    /// The recovery is over: jobs may be claimed. `false` as in [`Tx::save_recovery`].
    ///
    /// Operations on money that the copy calls never asked for may have been asked for since, under a
    /// name that Klarna has forgotten by now: their first asking counts from when they were wanted.
    pub fn end_recovery(&mut self, of: &Recovery, lease: &Lease) -> Result<bool, StoreError> {
        let rows = self.sql(|conn| {
            diesel::delete(
                recovery::table
                    .find(1)
                    .filter(recovery::owner.eq(lease.owner()))
                    .filter(recovery::marked_at.eq(micros(of.marked_at))),
            )
            .execute(conn)
        })?;
        if rows == 0 {
            return Ok(false);
        }
        // whatever is pending has a job
        let waiting = "SELECT subject FROM job WHERE kind = 'operate' AND ready_at IS NOT NULL \
                       UNION ALL SELECT subject FROM job WHERE parked AND kind = 'operate'";
        let asked = format!(
            "UPDATE operation SET asked_at = created_at WHERE id IN ({waiting}) \
             AND status = 'pending' AND asked_at IS NULL AND created_at <= $1"
        );
        // a job's first claim passes for one that follows no lost answer
        let tried = "UPDATE job SET attempt = 1 \
                     WHERE kind = 'operate' AND ready_at IS NOT NULL AND attempt = 0";
        self.sql(|conn| {
            diesel::sql_query(asked)
                .bind::<BigInt, _>(micros(of.marked_at))
                .execute(conn)?;
            diesel::sql_query(tried).execute(conn)
        })?;
        Ok(true)
    }

    /// Deliveries that were asked for until `until` and have not ended, by id.
    pub fn unsent_deliveries(
        &mut self,
        until: Timestamp,
        after: Option<DeliveryId>,
        limit: u32,
    ) -> Result<Vec<DeliveryId>, StoreError> {
        let after = after.map_or_else(String::new, |id| id.to_string());
        let unsent = [DeliveryStatus::Queued, DeliveryStatus::Sending].map(DeliveryStatus::as_str);
        let ids: Vec<String> = self.sql(|conn| {
            delivery::table
                .filter(delivery::id.gt(after))
                .filter(delivery::status.eq_any(unsent))
                .filter(delivery::created_at.le(micros(until)))
                .order(delivery::id)
                .limit(i64::from(limit))
                .select(delivery::id)
                .load(conn)
        })?;
        ids.iter()
            .map(|id| Ok(Of(id).id("delivery.id", id)?))
            .collect()
    }

    /// Links of one status that were accepted until `until`, oldest first, behind `after`; of the
    /// completed ones those whose money may still move.
    pub fn links_of_status(
        &mut self,
        status: Status,
        until: Timestamp,
        after: Option<(Timestamp, LinkId)>,
        limit: u32,
    ) -> Result<Vec<Link>, StoreError> {
        let rows: Vec<LinkRow> = self.sql(|conn| {
            let mut query = link::table
                .filter(link::status.eq(status.as_str()))
                .filter(link::created_at.le(micros(until)))
                .order((link::created_at, link::id))
                .limit(i64::from(limit))
                .select(columns!())
                .into_boxed();
            if let Some((at, id)) = after {
                query = query.filter(link::created_at.ge(micros(at))).filter(
                    link::created_at
                        .gt(micros(at))
                        .or(link::id.gt(id.to_string())),
                );
            }
            if status == Status::Completed {
                let moving = [
                    PaymentStatus::Authorized,
                    PaymentStatus::PartCaptured,
                    PaymentStatus::Captured,
                ];
                query =
                    query.filter(link::payment_status.eq_any(moving.map(PaymentStatus::as_str)));
            }
            query.load(conn)
        })?;
        rows.into_iter()
            .filter_map(|row| self.opened(Some(row)).transpose())
            .collect()
    }
}
