//! Deliveries: asked for, saved, skipped, counted.

use diesel::dsl;
use diesel::prelude::*;
use jiff::Timestamp;

use super::super::rows::delivery::{DeliveryRow, ProgressRow};
use super::super::rows::micros;
use super::super::schema::{attempt, delivery};
use super::super::{MultiBackend, StoreError, Tx, search};
use crate::link::{Delivery, DeliveryId, DeliveryStatus, Link, LinkId, ReasonCode, Recipient};

type Row = (DeliveryRow, ProgressRow);

macro_rules! columns {
    () => {
        (
            <DeliveryRow as Selectable<MultiBackend>>::construct_selection(),
            <ProgressRow as Selectable<MultiBackend>>::construct_selection(),
        )
    };
}

impl Tx<'_> {
    /// Stores a new delivery; its link is found by the recipient from then on.
    pub fn insert_delivery(&mut self, delivery: &Delivery) -> Result<(), StoreError> {
        let shared = self.shared;
        let row = DeliveryRow::of(delivery, &shared.vault, &shared.random);
        let progress = ProgressRow::of(delivery);
        self.sql(|conn| {
            diesel::insert_into(delivery::table)
                .values((&row, &progress))
                .execute(conn)
        })?;
        match &mut self.deliveries {
            Some((link, known)) if *link == delivery.link => known.push(delivery.clone()),
            _ => {}
        }
        self.index_by_id(delivery.link, search::of_recipient(&delivery.to))
    }

    /// Reads a delivery.
    pub fn delivery(&mut self, id: DeliveryId) -> Result<Option<Delivery>, StoreError> {
        let row: Option<Row> = self.sql(|conn| {
            delivery::table
                .find(id.to_string())
                .select(columns!())
                .first(conn)
                .optional()
        })?;
        let vault = &self.shared.vault;
        Ok(row.map(|row| (row, vault).try_into()).transpose()?)
    }

    /// All deliveries of a link, oldest first.
    pub fn deliveries(&mut self, link: LinkId) -> Result<Vec<Delivery>, StoreError> {
        if let Some((known, deliveries)) = &self.deliveries
            && *known == link
        {
            return Ok(deliveries.clone());
        }
        let rows: Vec<Row> = self.sql(|conn| {
            delivery::table
                .filter(delivery::link.eq(link.to_string()))
                .order((delivery::created_at, delivery::id))
                .select(columns!())
                .load(conn)
        })?;
        let deliveries = self.opened_deliveries(rows)?;
        self.deliveries = Some((link, deliveries.clone()));
        Ok(deliveries)
    }

    /// All deliveries of several links, oldest first within each.
    pub(in crate::store) fn deliveries_of(
        &mut self,
        links: &[Link],
    ) -> Result<Vec<Delivery>, StoreError> {
        let ids: Vec<_> = links.iter().map(|link| link.id.to_string()).collect();
        let rows: Vec<Row> = self.sql(|conn| {
            delivery::table
                .filter(delivery::link.eq_any(ids))
                .order((delivery::link, delivery::created_at, delivery::id))
                .select(columns!())
                .load(conn)
        })?;
        self.opened_deliveries(rows)
    }

    fn opened_deliveries(&self, rows: Vec<Row>) -> Result<Vec<Delivery>, StoreError> {
        let vault = &self.shared.vault;
        rows.into_iter()
            .map(|row| Ok((row, vault).try_into()?))
            .collect()
    }

    /// Writes how far a delivery is.
    pub fn save_delivery(&mut self, delivery: &Delivery) -> Result<(), StoreError> {
        let progress = ProgressRow::of(delivery);
        self.sql(|conn| {
            diesel::update(delivery::table.find(delivery.id.to_string()))
                .set(&progress)
                .execute(conn)
        })?;
        self.deliveries = None;
        Ok(())
    }

    /// Turns a link's unsent deliveries to `skipped` and answers them. One that an attempt may have
    /// sent is not among them: its own job says what is known of it.
    pub fn skip_queued(&mut self, link: LinkId) -> Result<Vec<Delivery>, StoreError> {
        let rows: Vec<Row> = self.sql(|conn| {
            diesel::update(
                delivery::table
                    .filter(delivery::link.eq(link.to_string()))
                    .filter(delivery::status.eq(DeliveryStatus::Queued.as_str()))
                    .filter(dsl::not(dsl::exists(
                        attempt::table
                            .filter(attempt::delivery.eq(delivery::id))
                            .filter(
                                attempt::outcome
                                    .is_null()
                                    .or(attempt::outcome.eq("unknown")),
                            )
                            .select(attempt::claim),
                    ))),
            )
            .set((
                delivery::status.eq(DeliveryStatus::Skipped.as_str()),
                delivery::reason_code.eq(ReasonCode::LinkClosed.as_str()),
                delivery::reason_detail.eq("the link was closed before this was sent"),
                delivery::next_attempt_at.eq(None::<i64>),
            ))
            .returning(columns!())
            .get_results(conn)
        })?;
        self.deliveries = None;
        let mut skipped = self.opened_deliveries(rows)?;
        skipped.sort_by_key(|it| (it.created_at, it.id));
        Ok(skipped)
    }

    /// How many messages were asked for to this recipient at or after `since`: for limits. Skipped
    /// ones cost nobody anything and do not count.
    pub fn count_deliveries_to(
        &mut self,
        to: &Recipient,
        since: Timestamp,
    ) -> Result<i64, StoreError> {
        let blind = search::recipient(&self.shared.vault, to);
        self.sql(|conn| {
            delivery::table
                .filter(delivery::recipient_blind.eq(blind))
                .filter(delivery::created_at.ge(micros(since)))
                .filter(delivery::status.ne(DeliveryStatus::Skipped.as_str()))
                .count()
                .get_result(conn)
        })
    }
}
