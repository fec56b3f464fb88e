//! API keys.

use diesel::prelude::*;
use jiff::Timestamp;

use super::super::rows::key::KeyRow;
use super::super::rows::micros;
use super::super::schema::api_key;
use super::super::witness::Witness;
use super::super::{MultiBackend, StoreError, Tx};
use crate::access::ApiKey;
use crate::link::KeyId;

impl Tx<'_> {
    /// Stores a new key.
    pub fn insert_key(&mut self, key: &ApiKey) -> Result<(), StoreError> {
        let row = KeyRow::from(key);
        self.sql(|conn| {
            diesel::insert_into(api_key::table)
                .values(&row)
                .execute(conn)
        })?;
        self.noted.witness = Some(Witness::Key(key.id));
        Ok(())
    }

    /// Reads a key, revoked and expired ones too.
    pub fn key(&mut self, id: KeyId) -> Result<Option<ApiKey>, StoreError> {
        let row: Option<KeyRow> = self.sql(|conn| {
            api_key::table
                .find(id.to_string())
                .select(<KeyRow as Selectable<MultiBackend>>::construct_selection())
                .first(conn)
                .optional()
        })?;
        Ok(row.map(TryInto::try_into).transpose()?)
    }

    /// All keys, oldest first.
    pub fn keys(&mut self) -> Result<Vec<ApiKey>, StoreError> {
        let rows: Vec<KeyRow> = self.sql(|conn| {
            api_key::table
                .order((api_key::created_at, api_key::id))
                .select(<KeyRow as Selectable<MultiBackend>>::construct_selection())
                .load(conn)
        })?;
        rows.into_iter().map(|row| Ok(row.try_into()?)).collect()
    }

    /// Revokes a key. `false`: there is none; one that is revoked already stays as it was.
    pub fn revoke_key(&mut self, id: KeyId, now: Timestamp) -> Result<bool, StoreError> {
        if self.key(id)?.is_none() {
            return Ok(false);
        }
        self.sql(|conn| {
            diesel::update(
                api_key::table
                    .find(id.to_string())
                    .filter(api_key::revoked_at.is_null()),
            )
            .set(api_key::revoked_at.eq(micros(now)))
            .execute(conn)
        })?;
        Ok(true)
    }
}
