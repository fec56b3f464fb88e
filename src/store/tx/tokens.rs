//! Tokens of merchant URLs, by their hash. A token is dead 48 hours after its link's end, which
//! follows from the link: nothing is written when it dies.

use diesel::prelude::*;
use diesel::sql_types::BigInt;
use jiff::SignedDuration;

use super::super::rows::{Of, micros};
use super::super::schema::{api_key, link, token};
use super::super::{StoreError, Tx};
use crate::link::{LinkId, Status};
use crate::secret::token_hash;

const DEAD_AFTER: SignedDuration = SignedDuration::from_hours(48);

#[derive(QueryableByName)]
struct Count {
    #[diesel(sql_type = BigInt)]
    it: i64,
}

impl Tx<'_> {
    /// Stores the hash of a pair's token.
    pub fn insert_token(
        &mut self,
        hash: &[u8; 32],
        link: LinkId,
        pair: u8,
    ) -> Result<(), StoreError> {
        self.sql(|conn| {
            diesel::insert_into(token::table)
                .values((
                    token::hash.eq(&hash[..]),
                    token::link.eq(link.to_string()),
                    token::pair.eq(i64::from(pair)),
                ))
                .execute(conn)
        })?;
        Ok(())
    }

    /// Whether anything is stored in this SQLite file that only the secret it was written under makes
    /// use of: a link's token, an API key. `false` where there are no tables yet.
    pub fn needs_its_secret(&mut self) -> Result<bool, StoreError> {
        self.sql(|conn| {
            let tables =
                "SELECT count(*) AS it FROM sqlite_master WHERE name IN ('token', 'api_key')";
            let tables: Count = diesel::sql_query(tables).get_result(conn)?;
            if tables.it < 2 {
                return Ok(false);
            }
            let tokens: i64 = token::table.limit(1).count().get_result(conn)?;
            let keys: i64 = api_key::table.limit(1).count().get_result(conn)?;
            Ok(tokens + keys > 0)
        })
    }

    /// Whether what is stored was written under this process's secret: a token is derived from it,
    /// so one that was kept can be derived again. `true` where no link has been made yet.
    pub fn is_of_this_secret(&mut self) -> Result<bool, StoreError> {
        type Row = (Vec<u8>, String, i64);
        let row: Option<Row> = self.sql(|conn| token::table.first(conn).optional())?;
        let Some((hash, link, pair)) = row else {
            return Ok(true);
        };
        let of = Of(&link);
        let (id, pair) = (of.id("token.link", &link)?, of.small("token.pair", pair)?);
        Ok(token_hash(&self.shared.vault.token(id, pair))[..] == hash[..])
    }

    /// The link and pair that a token names; `None` where it is unknown, or dead.
    pub fn token(&mut self, hash: &[u8; 32]) -> Result<Option<(LinkId, u8)>, StoreError> {
        type Row = (String, i64, String, Option<i64>);
        let row: Option<Row> = self.sql(|conn| {
            token::table
                .inner_join(link::table)
                .filter(token::hash.eq(&hash[..]))
                .select((token::link, token::pair, link::status, link::stage_at))
                .first(conn)
                .optional()
        })?;
        let Some((id, pair, status, ended_at)) = row else {
            return Ok(None);
        };
        let of = Of(&id);
        let status = of.some("link.status", Status::from_word(&status))?;
        if let (true, Some(at)) = (status.is_final(), ended_at)
            && micros(self.shared.clock.now() - DEAD_AFTER) >= at
        {
            return Ok(None);
        }
        Ok(Some((
            of.id("token.link", &id)?,
            of.small("token.pair", pair)?,
        )))
    }
}
