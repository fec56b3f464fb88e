//! Table `event`: frozen, so it is written and read and never turned back into a link.

use diesel::prelude::*;

use super::{Corrupt, Of};
use crate::link::{Actor, EventId, EventKind, LinkId};
use crate::store::schema::event;

/// An event as it stands in the stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredEvent {
    /// Place in the stream of everything: gapless, the cursor and the `Last-Event-ID`. `None` only
    /// on PostgreSQL until the relay has stamped it.
    pub position: Option<i64>,
    /// Its name, for de-duplication.
    pub id: EventId,
    /// What happened.
    pub kind: EventKind,
    /// The link that it is about.
    pub link: Option<LinkId>,
    /// That link's store: who may see it.
    pub store: Option<String>,
    /// Who created that link: a tablet sees its own only.
    pub created_by: Option<Actor>,
    /// The event's JSON, the same bytes in list, stream and webhook.
    pub json: String,
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = event)]
pub(in crate::store) struct EventRow {
    pub position: Option<i64>,
    pub id: String,
    pub kind: String,
    pub link: Option<String>,
    pub store: Option<String>,
    pub created_by: Option<String>,
    pub json: String,
}

impl TryFrom<EventRow> for StoredEvent {
    type Error = Corrupt;

    fn try_from(row: EventRow) -> Result<Self, Corrupt> {
        let of = Of(&row.id);
        let link = row.link.map(|it| of.id("event.link", &it)).transpose()?;
        let created_by = row.created_by.map(|it| of.id("event.created_by", &it));
        Ok(Self {
            position: row.position,
            id: of.id("event.id", &row.id)?,
            kind: of.some("event.kind", EventKind::from_word(&row.kind))?,
            link,
            store: row.store,
            created_by: created_by.transpose()?,
            json: row.json,
        })
    }
}
