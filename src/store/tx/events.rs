//! Events: appended in the transaction of the change that they tell of, frozen, read in order.

use diesel::prelude::*;
use diesel::sql_types::BigInt;
use jiff::Timestamp;

use super::super::rows::event::{EventRow, StoredEvent};
use super::super::rows::micros;
use super::super::schema::{event, event_head};
use super::super::statement::statement;
use super::super::witness::Witness;
use super::super::{MultiBackend, StoreError, Tx};
use crate::chaos::{self, Bug};
use crate::link::{Actor, Delivery, EventId, EventKind, Link, LinkId};
use crate::view;

/// Which events of the stream somebody may see, and wants to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EventFilter {
    /// Of this store.
    pub store: Option<String>,
    /// Of this link.
    pub link: Option<LinkId>,
    /// Of these kinds; all where it is empty.
    pub kinds: Vec<EventKind>,
    /// Of links that this actor created.
    pub actor: Option<Actor>,
}

#[derive(QueryableByName)]
struct Position {
    #[diesel(sql_type = BigInt)]
    position: i64,
}

impl Tx<'_> {
    /// Appends an event about a link that was touched (or inserted) in this transaction, and
    /// counts its `sequence` up. The JSON is frozen with the link as it is given and its deliveries
    /// as they are stored now: change first, append then.
    pub fn append(
        &mut self,
        link: &mut Link,
        kind: EventKind,
        id: EventId,
        delivery: Option<&Delivery>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        link.sequence += 1;
        let deliveries = self.deliveries(link.id)?;
        let json = view::event::freeze(id, kind, now, link, &deliveries, delivery);
        let position = self.next_position()?;
        self.sql(|conn| {
            diesel::insert_into(event::table)
                .values((
                    event::id.eq(id.to_string()),
                    event::position.eq(position),
                    event::kind.eq(kind.as_str()),
                    event::store.eq(&link.store),
                    event::link.eq(link.id.to_string()),
                    event::sequence.eq(link.sequence),
                    event::delivery.eq(delivery.map(|it| it.id.to_string())),
                    event::created_by.eq(link.created_by.to_string()),
                    event::created_at.eq(micros(now)),
                    event::json.eq(json),
                ))
                .execute(conn)
        })?;
        self.counted.retain(|(id, _)| *id != link.id);
        self.counted.push((link.id, link.sequence));
        self.noted.appended = true;
        self.noted.position = position;
        self.noted.witness = Some(Witness::Event(id));
        Ok(())
    }

    /// Appends an event that is about no link.
    pub fn append_general(
        &mut self,
        kind: EventKind,
        id: EventId,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let json = view::event::freeze_general(id, kind, now);
        let position = self.next_position()?;
        self.sql(|conn| {
            diesel::insert_into(event::table)
                .values((
                    event::id.eq(id.to_string()),
                    event::position.eq(position),
                    event::kind.eq(kind.as_str()),
                    event::created_at.eq(micros(now)),
                    event::json.eq(json),
                ))
                .execute(conn)
        })?;
        self.noted.appended = true;
        self.noted.position = position;
        self.noted.witness = Some(Witness::Event(id));
        Ok(())
    }

    /// SQLite has one writer, so the place in the stream is taken here; on PostgreSQL the relay
    /// stamps it after the commit.
    fn next_position(&mut self) -> Result<Option<i64>, StoreError> {
        if self.is_shared() {
            return Ok(None);
        }
        let next = "UPDATE event_head SET position = position + 1 WHERE id = 1 RETURNING position";
        let next: Position = self.sql(|conn| statement(next).get_result(conn))?;
        Ok(Some(next.position))
    }

    /// A link's own events, oldest first.
    pub fn events_of(&mut self, link: LinkId) -> Result<Vec<StoredEvent>, StoreError> {
        let rows: Vec<EventRow> = self.sql(|conn| {
            event::table
                .filter(event::link.eq(link.to_string()))
                .order(event::sequence)
                .select(<EventRow as Selectable<MultiBackend>>::construct_selection())
                .load(conn)
        })?;
        opened(rows)
    }

    /// The stream after a position, in order.
    pub fn events_after(
        &mut self,
        position: i64,
        filter: &EventFilter,
        limit: u32,
    ) -> Result<Vec<StoredEvent>, StoreError> {
        let mut query = event::table
            .limit(i64::from(limit))
            .select(<EventRow as Selectable<MultiBackend>>::construct_selection())
            .into_boxed();
        query = if chaos::planted(Bug::EventsById) {
            let last = self.id_at(position)?;
            query.filter(event::id.gt(last)).order(event::id)
        } else {
            query
                .filter(event::position.gt(position))
                .order(event::position)
        };
        if let Some(store) = &filter.store {
            query = query.filter(event::store.eq(store));
        }
        if let Some(link) = filter.link {
            query = query.filter(event::link.eq(link.to_string()));
        }
        if !filter.kinds.is_empty() {
            query = query.filter(event::kind.eq_any(filter.kinds.iter().map(|it| it.as_str())));
        }
        if let Some(actor) = filter.actor {
            query = query.filter(event::created_by.eq(actor.to_string()));
        }
        opened(self.sql(|conn| query.load(conn))?)
    }

    /// For [`Bug::EventsById`] only: the id of the event at a position.
    fn id_at(&mut self, position: i64) -> Result<String, StoreError> {
        let id: Option<String> = self.sql(|conn| {
            event::table
                .filter(event::position.eq(position))
                .select(event::id)
                .first(conn)
                .optional()
        })?;
        Ok(id.unwrap_or_default())
    }

    /// The position of the last event of the stream, 0 before the first.
    pub fn head(&mut self) -> Result<i64, StoreError> {
        self.sql(|conn| {
            event_head::table
                .find(1)
                .select(event_head::position)
                .first(conn)
        })
    }

    /// The position of the oldest event that is kept; `None` where there is none.
    pub fn oldest(&mut self) -> Result<Option<i64>, StoreError> {
        let oldest: Option<Option<i64>> = self.sql(|conn| {
            event::table
                .filter(event::position.is_not_null())
                .order(event::position)
                .select(event::position)
                .first(conn)
                .optional()
        })?;
        Ok(oldest.flatten())
    }
}

fn opened(rows: Vec<EventRow>) -> Result<Vec<StoredEvent>, StoreError> {
    rows.into_iter().map(|row| Ok(row.try_into()?)).collect()
}
