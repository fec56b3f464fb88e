//! Links: born, touched, saved. **Touch first**: one portable statement locks the row and reads the
//! state, so that read-then-decide is safe at READ COMMITTED on PostgreSQL.

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Text};
use jiff::Timestamp;

use super::super::rows::link::{BirthRow, LifeRow, LinkRow};
use super::super::rows::stage::StageColumns;
use super::super::rows::{Of, micros};
use super::super::schema::link;
use super::super::statement::statement;
use super::super::{MultiBackend, StoreError, Tx, search};
use crate::link::{Actor, Link, LinkId, Status};

/// All columns, as the rows want them.
macro_rules! columns {
    () => {
        (
            <BirthRow as Selectable<MultiBackend>>::construct_selection(),
            <LifeRow as Selectable<MultiBackend>>::construct_selection(),
            <StageColumns as Selectable<MultiBackend>>::construct_selection(),
        )
    };
}
pub(in crate::store) use columns;

/// The statuses that are not final.
const LIVE: [&str; 3] = ["creating", "open", "disabling"];

fn live_reference(store: &str, reference: &str) -> String {
    format!("{store}/{reference}")
}

impl Tx<'_> {
    /// Stores a new link and the token of its first pair. An `exclusive` one is refused with
    /// `Taken(LiveReference)` while another exclusive link of its store and reference is live.
    pub fn insert_link(
        &mut self,
        link: &Link,
        token_hash: &[u8; 32],
        exclusive: bool,
    ) -> Result<(), StoreError> {
        let shared = self.shared;
        let birth = BirthRow::of(link, &shared.vault, &shared.random);
        let life = LifeRow::of(link);
        let stage = StageColumns::of(link, &shared.vault, &shared.random);
        let alone = (exclusive && !link.stage.status().is_final())
            .then(|| live_reference(&link.store, &link.sale.reference));
        self.sql(|conn| {
            diesel::insert_into(link::table)
                .values((&birth, &life, &stage, link::live_reference.eq(alone)))
                .execute(conn)
        })?;
        self.deliveries = Some((link.id, Vec::new()));
        self.insert_token(token_hash, link.id, 1)?;
        self.index(link, &search::at_birth(link))?;
        self.index_life(link)
    }

    /// Locks a link for the rest of the transaction, counts its version up, and reads it.
    pub fn touch(&mut self, id: LinkId) -> Result<Option<Link>, StoreError> {
        let update = "UPDATE link SET version = version + 1 WHERE id = $1";
        let rows = self.sql(|conn| {
            statement(update)
                .bind::<Text, _>(id.to_string())
                .execute(conn)
        })?;
        let touched = match rows {
            0 => None,
            _ => self.link(id)?,
        };
        if let Some(link) = &touched {
            self.indexed.push((link.id, search::in_life(link)));
        }
        Ok(touched)
    }

    /// Reads a link.
    pub fn link(&mut self, id: LinkId) -> Result<Option<Link>, StoreError> {
        let row: Option<LinkRow> = self.sql(|conn| {
            link::table
                .find(id.to_string())
                .select(columns!())
                .first(conn)
                .optional()
        })?;
        self.opened(row)
    }

    pub(in crate::store) fn opened(
        &self,
        row: Option<LinkRow>,
    ) -> Result<Option<Link>, StoreError> {
        let vault = &self.shared.vault;
        Ok(row.map(|row| (row, vault).try_into()).transpose()?)
    }

    /// Writes all that may change of a link that was touched (or inserted) in this transaction.
    pub fn save(&mut self, link: &Link) -> Result<(), StoreError> {
        let shared = self.shared;
        let life = LifeRow::of(link);
        let stage = StageColumns::of(link, &shared.vault, &shared.random);
        let row = link::table
            .find(link.id.to_string())
            .filter(link::version.eq(link.version));
        let is_final = link.stage.status().is_final();
        let rows = self.sql(|conn| {
            if is_final {
                // the reference is free for the next link
                diesel::update(row)
                    .set((&life, &stage, link::live_reference.eq(None::<String>)))
                    .execute(conn)
            } else {
                diesel::update(row).set((&life, &stage)).execute(conn)
            }
        })?;
        if rows == 0 {
            // somebody else has touched it since it was read: run again on what is there now
            return Err(self.failed(StoreError::Again));
        }
        self.counted.retain(|(id, _)| *id != link.id);
        self.index_life(link)
    }

    /// Writes the sequences that events counted on and no save has written.
    pub(in crate::store) fn write_sequences(&mut self) -> Result<(), StoreError> {
        for (id, sequence) in std::mem::take(&mut self.counted) {
            let update = "UPDATE link SET sequence = $1 WHERE id = $2";
            self.sql(|conn| {
                statement(update)
                    .bind::<BigInt, _>(sequence)
                    .bind::<Text, _>(id.to_string())
                    .execute(conn)
            })?;
        }
        Ok(())
    }

    /// The live links of a store and reference, exclusive or not, newest first.
    pub fn live_links(&mut self, store: &str, reference: &str) -> Result<Vec<LinkId>, StoreError> {
        let ids: Vec<String> = self.sql(|conn| {
            link::table
                .filter(link::reference.eq(reference))
                .filter(link::store.eq(store))
                .filter(link::status.eq_any(LIVE))
                .order((link::created_at.desc(), link::id.desc()))
                .select(link::id)
                .load(conn)
        })?;
        ids.iter().map(|id| Ok(Of(id).id("link.id", id)?)).collect()
    }

    /// A link of this store and reference that was completed at or after `since`.
    pub fn paid_link(
        &mut self,
        store: &str,
        reference: &str,
        since: Timestamp,
    ) -> Result<Option<LinkId>, StoreError> {
        let id: Option<String> = self.sql(|conn| {
            link::table
                .filter(link::reference.eq(reference))
                .filter(link::store.eq(store))
                .filter(link::status.eq(Status::Completed.as_str()))
                .filter(link::stage_at.ge(micros(since)))
                .order((link::created_at.desc(), link::id.desc()))
                .select(link::id)
                .first(conn)
                .optional()
        })?;
        Ok(id
            .map(|id| super::super::rows::Of(&id).id("link.id", &id))
            .transpose()?)
    }

    /// When an actor (on behalf of an agent) made the `nth` newest link (1 = the newest) of those
    /// made at or after `since`; `None` where there are fewer. For limits: with a limit of `nth`,
    /// one more is free once this one leaves the window.
    pub fn nth_link_since(
        &mut self,
        actor: Actor,
        agent: Option<&str>,
        since: Timestamp,
        nth: u32,
    ) -> Result<Option<Timestamp>, StoreError> {
        let actor = actor.to_string();
        let at: Option<i64> = self.sql(|conn| {
            let all = link::table
                .filter(link::created_by.eq(actor))
                .filter(link::created_at.ge(micros(since)))
                .order(link::created_at.desc())
                .select(link::created_at)
                .offset(i64::from(nth.saturating_sub(1)))
                .limit(1);
            match agent {
                None => all.first(conn).optional(),
                Some(agent) => all.filter(link::agent.eq(agent)).first(conn).optional(),
            }
        })?;
        Ok(at
            .map(|at| Of("limit").time("link.created_at", at))
            .transpose()?)
    }
}
