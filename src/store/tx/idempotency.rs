//! What was asked under which key (`contract.md`, Idempotency). The first row wins by its key.

use diesel::prelude::*;
use jiff::Timestamp;

use super::super::rows::{Of, micros};
use super::super::schema::idempotency;
use super::super::{StoreError, Tx};
use crate::link::LinkId;

/// A request that is remembered for 30 days.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Key or user, method and path.
    pub scope: String,
    /// The caller's own word.
    pub key: String,
    /// Of the body after parsing.
    pub fingerprint: [u8; 32],
    /// The link that the request made.
    pub link: Option<LinkId>,
    /// The kind of the first answer, a word of the verb's own; absent until it was given.
    pub answer: Option<String>,
    /// What else the request made, by its id.
    pub resource: Option<String>,
    /// When it came.
    pub at: Timestamp,
}

type Row = (
    String,
    String,
    Vec<u8>,
    Option<String>,
    Option<String>,
    Option<String>,
    i64,
);

impl Tx<'_> {
    /// Remembers a request; `Taken(Idempotency)` where its key is in use.
    pub fn insert_idempotency(&mut self, kept: &Kept) -> Result<(), StoreError> {
        self.sql(|conn| {
            diesel::insert_into(idempotency::table)
                .values((
                    idempotency::scope.eq(&kept.scope),
                    idempotency::key.eq(&kept.key),
                    idempotency::fingerprint.eq(&kept.fingerprint[..]),
                    idempotency::link.eq(kept.link.map(|it| it.to_string())),
                    idempotency::answer.eq(&kept.answer),
                    idempotency::resource.eq(&kept.resource),
                    idempotency::at.eq(micros(kept.at)),
                ))
                .execute(conn)
        })?;
        Ok(())
    }

    /// What was asked under a key.
    pub fn idempotency(&mut self, scope: &str, key: &str) -> Result<Option<Kept>, StoreError> {
        let row: Option<Row> =
            self.sql(|conn| idempotency::table.find((scope, key)).first(conn).optional())?;
        let Some((scope, key, fingerprint, link, answer, resource, at)) = row else {
            return Ok(None);
        };
        let of = Of(&key);
        let fingerprint = fingerprint.try_into().ok();
        let kept = Kept {
            fingerprint: of.some("idempotency.fingerprint", fingerprint)?,
            link: link.map(|it| of.id("idempotency.link", &it)).transpose()?,
            answer,
            at: of.time("idempotency.at", at)?,
            resource,
            scope,
            key: key.clone(),
        };
        Ok(Some(kept))
    }

    /// Remembers the kind of the first answer; one that is remembered already stands.
    pub fn settle_idempotency(
        &mut self,
        scope: &str,
        key: &str,
        answer: &str,
    ) -> Result<(), StoreError> {
        self.sql(|conn| {
            diesel::update(
                idempotency::table
                    .find((scope, key))
                    .filter(idempotency::answer.is_null()),
            )
            .set(idempotency::answer.eq(answer))
            .execute(conn)
        })?;
        Ok(())
    }

    /// Forgets a request whose first answer is "not now": its repeat is a new one. One that was
    /// answered before keeps its row.
    pub fn forget_unanswered(&mut self, scope: &str, key: &str) -> Result<(), StoreError> {
        self.sql(|conn| {
            diesel::delete(
                idempotency::table
                    .find((scope, key))
                    .filter(idempotency::answer.is_null()),
            )
            .execute(conn)
        })?;
        Ok(())
    }

    /// Forgets requests that came before `before`. Answers how many.
    pub fn purge_idempotency(&mut self, before: Timestamp) -> Result<usize, StoreError> {
        self.sql(|conn| {
            diesel::delete(idempotency::table.filter(idempotency::at.lt(micros(before))))
                .execute(conn)
        })
    }
}
