//! Writing the blind index that [`super::super::search`] makes.

use std::fmt::Write as _;

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Binary, Text};

use super::super::schema::link;
use super::super::search::{self, Term};
use super::super::statement::statement;
use super::super::{StoreError, Tx};
use crate::link::{Link, LinkId};

impl Tx<'_> {
    /// Writes terms of a link; what is there already stays.
    pub(in crate::store) fn index(
        &mut self,
        link: &Link,
        terms: &[Term],
    ) -> Result<(), StoreError> {
        let vault = &self.shared.vault;
        let rows = terms.iter().map(|term| search::row(link, term, vault));
        self.write_lookups(rows.collect())
    }

    /// Writes the terms that came since the link was touched.
    pub(in crate::store) fn index_life(&mut self, link: &Link) -> Result<(), StoreError> {
        let mut terms = search::in_life(link);
        if let Some((_, known)) = self.indexed.iter().find(|(id, _)| *id == link.id) {
            terms.retain(|term| !known.contains(term));
        }
        self.index(link, &terms)
    }

    /// The same where only the link's id is at hand.
    pub(in crate::store) fn index_by_id(
        &mut self,
        id: LinkId,
        terms: Vec<Term>,
    ) -> Result<(), StoreError> {
        let created_at: i64 = self.sql(|conn| {
            link::table
                .find(id.to_string())
                .select(link::created_at)
                .first(conn)
        })?;
        let vault = &self.shared.vault;
        let row = |term: Term| {
            (
                term.hash(vault),
                created_at,
                id.to_string(),
                term.kind.as_str(),
            )
        };
        self.write_lookups(terms.into_iter().map(row).collect())
    }

    /// One statement for all of them.
    fn write_lookups(
        &mut self,
        rows: Vec<(Vec<u8>, i64, String, &'static str)>,
    ) -> Result<(), StoreError> {
        if rows.is_empty() {
            return Ok(());
        }
        let mut insert = String::from("INSERT INTO lookup (hash, created_at, link, kind) VALUES ");
        for i in 0..rows.len() {
            let (comma, n) = (if i == 0 { "" } else { ", " }, i * 4);
            // writing to a string cannot fail
            let _ = write!(
                insert,
                "{comma}(${}, ${}, ${}, ${})",
                n + 1,
                n + 2,
                n + 3,
                n + 4
            );
        }
        insert.push_str(" ON CONFLICT DO NOTHING");
        let mut query = statement(insert);
        for (hash, created_at, link, kind) in rows {
            query = query
                .bind::<Binary, _>(hash)
                .bind::<BigInt, _>(created_at)
                .bind::<Text, _>(link)
                .bind::<Text, _>(kind);
        }
        self.sql(|conn| query.execute(conn))?;
        Ok(())
    }
}
