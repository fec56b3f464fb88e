//! Lists, newest first, by keyset over an index: page 1 000 costs what page 1 does.

use std::collections::{BTreeSet, HashMap};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use diesel::dsl::exists;
use diesel::prelude::*;
use jiff::Timestamp;

use super::super::rows::link::{BirthRow, LifeRow, LinkRow};
use super::super::rows::micros;
use super::super::rows::stage::StageColumns;
use super::super::schema::{delivery, link, lookup};
use super::super::search::{Query, Wanted};
use super::super::{MultiBackend, StoreError, Tx};
use super::links::columns;
use crate::link::{Actor, Channel, Delivery, Link, LinkId, Status, UseCase};

/// Which links. What is `None` or empty does not narrow.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// In any of these statuses.
    pub status: Vec<Status>,
    /// Of exactly this reference.
    pub reference: Option<String>,
    /// Found by this question.
    pub q: Option<Query>,
    /// Of this store.
    pub store: Option<String>,
    /// On behalf of this agent.
    pub agent: Option<String>,
    /// With a delivery by this channel.
    pub channel: Option<Channel>,
    /// Of this use case.
    pub use_case: Option<UseCase>,
    /// Inclusive.
    pub created_after: Option<Timestamp>,
    /// Exclusive.
    pub created_before: Option<Timestamp>,
    /// Inclusive.
    pub updated_after: Option<Timestamp>,
    /// Created by this actor: a tablet sees its own only.
    pub actor: Option<Actor>,
}

/// Where a page ended: opaque to callers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor {
    created_at: i64,
    id: String,
}

impl Cursor {
    /// A cursor that was given out; `None` for anything else.
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        let (created_at, id) = bytes.split_first_chunk::<8>()?;
        let id = std::str::from_utf8(id).ok()?;
        id.parse::<LinkId>().ok()?;
        Some(Self {
            created_at: i64::from_be_bytes(*created_at),
            id: id.to_owned(),
        })
    }
}

impl std::fmt::Display for Cursor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let bytes = [&self.created_at.to_be_bytes()[..], self.id.as_bytes()].concat();
        f.write_str(&URL_SAFE_NO_PAD.encode(bytes))
    }
}

/// A page of links with their deliveries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Newest first.
    pub items: Vec<(Link, Vec<Delivery>)>,
    /// Where to go on; `None` on the last page.
    pub next: Option<Cursor>,
}

/// Links of one page at most.
const MOST: u32 = 1000;

type Boxed<'a> = link::BoxedQuery<'a, MultiBackend>;

/// Everything but the question and the page.
pub(in crate::store) fn narrowed(filter: &Filter) -> Boxed<'_> {
    let mut query = link::table.into_boxed();
    match filter.status.as_slice() {
        [] => {}
        [one] => query = query.filter(link::status.eq(one.as_str())),
        many => {
            query = query.filter(link::status.eq_any(many.iter().map(|it| it.as_str())));
        }
    }
    if let Some(reference) = &filter.reference {
        query = query.filter(link::reference.eq(reference));
    }
    if let Some(store) = &filter.store {
        query = query.filter(link::store.eq(store));
    }
    if let Some(agent) = &filter.agent {
        query = query.filter(link::agent.eq(agent));
    }
    if let Some(channel) = filter.channel {
        let sent = delivery::table
            .filter(delivery::link.eq(link::id))
            .filter(delivery::channel.eq(channel.as_str()));
        query = query.filter(exists(sent));
    }
    if let Some(use_case) = filter.use_case {
        query = query.filter(link::use_case.eq(use_case.as_str()));
    }
    if let Some(after) = filter.created_after {
        query = query.filter(link::created_at.ge(micros(after)));
    }
    if let Some(before) = filter.created_before {
        query = query.filter(link::created_at.lt(micros(before)));
    }
    if let Some(after) = filter.updated_after {
        query = query.filter(link::updated_at.ge(micros(after)));
    }
    if let Some(actor) = filter.actor {
        query = query.filter(link::created_by.eq(actor.to_string()));
    }
    query
}

/// Older than the cursor. Said so that the index's first column bounds the walk.
pub(in crate::store) fn paged<'a>(query: Boxed<'a>, cursor: Option<&'a Cursor>) -> Boxed<'a> {
    let query = query.order((link::created_at.desc(), link::id.desc()));
    match cursor {
        None => query,
        Some(cursor) => query.filter(link::created_at.le(cursor.created_at)).filter(
            link::created_at
                .lt(cursor.created_at)
                .or(link::id.lt(&cursor.id)),
        ),
    }
}

impl Tx<'_> {
    /// A page of links, newest first.
    pub fn list(
        &mut self,
        filter: &Filter,
        cursor: Option<&Cursor>,
        limit: u32,
    ) -> Result<Listed, StoreError> {
        let limit = limit.clamp(1, MOST);
        let mut links = match &filter.q {
            None => {
                let query = paged(narrowed(filter), cursor).limit(i64::from(limit) + 1);
                self.listed(query)?
            }
            Some(question) => self.found(question, filter, cursor, limit as usize + 1)?,
        };
        let more = links.len() > limit as usize;
        links.truncate(limit as usize);
        let next = links.last().filter(|_| more).map(|last| Cursor {
            created_at: micros(last.created_at),
            id: last.id.to_string(),
        });
        let mut deliveries: HashMap<LinkId, Vec<Delivery>> = HashMap::new();
        for delivery in self.deliveries_of(&links)? {
            deliveries.entry(delivery.link).or_default().push(delivery);
        }
        let items = links
            .into_iter()
            .map(|link| {
                let its = deliveries.remove(&link.id).unwrap_or_default();
                (link, its)
            })
            .collect();
        Ok(Listed { items, next })
    }

    fn listed(&mut self, query: Boxed<'_>) -> Result<Vec<Link>, StoreError> {
        let rows: Vec<LinkRow> = self.sql(|conn| query.select(columns!()).load(conn))?;
        let vault = &self.shared.vault;
        rows.into_iter()
            .map(|row| Ok((row, vault).try_into()?))
            .collect()
    }

    /// Up to `wanted` links that a question finds. The index gives candidates, newest first; the
    /// rest of the filter sieves them, batch by batch.
    fn found(
        &mut self,
        question: &Query,
        filter: &Filter,
        cursor: Option<&Cursor>,
        wanted: usize,
    ) -> Result<Vec<Link>, StoreError> {
        let terms = question.wanted(&self.shared.vault);
        if let Some(id) = terms.id {
            let query = paged(narrowed(filter).filter(link::id.eq(id.to_string())), cursor);
            return self.listed(query);
        }
        let batch = wanted.max(100);
        let mut cursor = cursor.cloned();
        let mut links = Vec::new();
        loop {
            let candidates = self.candidates(&terms, cursor.as_ref(), batch)?;
            let exhausted = candidates.all < batch;
            cursor = candidates.last;
            let query = narrowed(filter).filter(link::id.eq_any(candidates.ids));
            links.extend(self.listed(paged(query, None))?);
            if exhausted || cursor.is_none() || links.len() >= wanted {
                return Ok(links);
            }
        }
    }

    fn candidates(
        &mut self,
        wanted: &Wanted,
        cursor: Option<&Cursor>,
        batch: usize,
    ) -> Result<Candidates, StoreError> {
        let mut hits: Vec<(i64, String, bool)> = Vec::new();
        for hash in &wanted.any {
            let found = self.hits(hash, cursor, batch)?;
            hits.extend(found.into_iter().map(|(at, id)| (at, id, true)));
        }
        if let Some((lead, _)) = &wanted.name {
            let found = self.hits(lead, cursor, batch)?;
            hits.extend(found.into_iter().map(|(at, id)| (at, id, false)));
        }
        // newest first; of one link the sure hit first
        hits.sort_by(|a, b| b.cmp(a));
        hits.dedup_by(|a, b| (a.0, &a.1) == (b.0, &b.1));
        hits.truncate(batch);
        let last = hits.last().map(|(created_at, id, _)| Cursor {
            created_at: *created_at,
            id: id.clone(),
        });
        let all = hits.len();
        if let Some((_, others)) = &wanted.name {
            let unsure: Vec<_> = hits.iter().filter(|hit| !hit.2).collect();
            let ids = unsure.iter().map(|hit| &hit.1);
            let times: BTreeSet<i64> = unsure.iter().map(|hit| hit.0).collect();
            let rows: Vec<(String, Vec<u8>)> = self.sql(|conn| {
                lookup::table
                    .filter(lookup::hash.eq_any(others))
                    .filter(lookup::created_at.eq_any(times))
                    .filter(lookup::link.eq_any(ids))
                    .select((lookup::link, lookup::hash))
                    .load(conn)
            })?;
            let mut met: HashMap<String, BTreeSet<Vec<u8>>> = HashMap::new();
            for (id, hash) in rows {
                met.entry(id).or_default().insert(hash);
            }
            hits.retain(|(_, id, sure)| {
                *sure || met.get(id).is_some_and(|it| it.len() == others.len())
            });
        }
        let ids = hits.into_iter().map(|(_, id, _)| id).collect();
        Ok(Candidates { ids, all, last })
    }

    /// The newest links that have a term: a walk along the index, whose order is the list's.
    fn hits(
        &mut self,
        hash: &[u8],
        cursor: Option<&Cursor>,
        batch: usize,
    ) -> Result<Vec<(i64, String)>, StoreError> {
        let mut query = lookup::table
            .filter(lookup::hash.eq(hash))
            .order((lookup::created_at.desc(), lookup::link.desc()))
            .limit(i64::try_from(batch).unwrap_or(i64::MAX))
            .select((lookup::created_at, lookup::link))
            .into_boxed();
        if let Some(cursor) = cursor {
            query = query
                .filter(lookup::created_at.le(cursor.created_at))
                .filter(
                    lookup::created_at
                        .lt(cursor.created_at)
                        .or(lookup::link.lt(&cursor.id)),
                );
        }
        self.sql(|conn| query.load(conn))
    }
}

/// A batch of what the index holds.
struct Candidates {
    /// Hits.
    ids: Vec<String>,
    /// How many were looked at.
    all: usize,
    /// The last that was looked at.
    last: Option<Cursor>,
}
