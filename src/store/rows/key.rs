//! Table `api_key`: the hash of a secret that was shown once.

use diesel::prelude::*;

use super::{Corrupt, Of, micros};
use crate::access::{ApiKey, Role};
use crate::link::Mode;
use crate::store::schema::api_key;

#[derive(Queryable, Selectable, Insertable)]
#[diesel(table_name = api_key, treat_none_as_default_value = false)]
pub(in crate::store) struct KeyRow {
    pub id: String,
    pub name: String,
    pub role: String,
    pub store: String,
    pub mode: String,
    pub hash: Vec<u8>,
    pub expires_at: Option<i64>,
    pub revoked_at: Option<i64>,
    pub created_at: i64,
}

impl From<&ApiKey> for KeyRow {
    fn from(key: &ApiKey) -> Self {
        Self {
            id: key.id.to_string(),
            name: key.name.clone(),
            role: key.role.as_str().to_owned(),
            store: key.store.clone(),
            mode: key.mode.as_str().to_owned(),
            hash: key.hash.to_vec(),
            expires_at: key.expires_at.map(micros),
            revoked_at: key.revoked_at.map(micros),
            created_at: micros(key.created_at),
        }
    }
}

impl TryFrom<KeyRow> for ApiKey {
    type Error = Corrupt;

    fn try_from(row: KeyRow) -> Result<Self, Corrupt> {
        let id = row.id.clone();
        let of = Of(&id);
        Ok(Self {
            id: of.id("api_key.id", &row.id)?,
            name: row.name,
            role: of.some("api_key.role", Role::from_word(&row.role))?,
            store: row.store,
            mode: of.some("api_key.mode", Mode::from_word(&row.mode))?,
            expires_at: of.time_maybe("api_key.expires_at", row.expires_at)?,
            revoked_at: of.time_maybe("api_key.revoked_at", row.revoked_at)?,
            created_at: of.time("api_key.created_at", row.created_at)?,
            hash: of.some("api_key.hash", row.hash.try_into().ok())?,
        })
    }
}
