//! Rows are plain; the nouns are not. A file per table; `TryFrom` is the only door between the
//! two and answers [`Corrupt`] for what no noun can be. Personal columns are sealed on the way in
//! and opened on the way out, here and nowhere else.

pub(super) mod delivery;
pub(super) mod event;
pub(super) mod job;
pub(super) mod key;
pub(super) mod link;
pub(super) mod operation;
pub(super) mod sale;
pub(super) mod stage;

use std::fmt;

use jiff::Timestamp;

use crate::json;
use crate::link::Tree;
use crate::random::Random;
use crate::secret::Vault;

/// A row that cannot be: another program wrote it, or the secret is not the one it was sealed with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Corrupt {
    /// Table and column.
    pub place: &'static str,
    /// The row's key.
    pub row: String,
}

impl fmt::Display for Corrupt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "row {} has an impossible {}", self.row, self.place)
    }
}
impl std::error::Error for Corrupt {}

/// Names the row in the error where a column has no meaning.
#[derive(Clone, Copy)]
pub(super) struct Of<'a>(pub &'a str);

impl Of<'_> {
    pub fn bad(self, place: &'static str) -> Corrupt {
        Corrupt {
            place,
            row: self.0.to_owned(),
        }
    }

    pub fn some<T>(self, place: &'static str, value: Option<T>) -> Result<T, Corrupt> {
        value.ok_or_else(|| self.bad(place))
    }

    pub fn id<T: std::str::FromStr>(self, place: &'static str, text: &str) -> Result<T, Corrupt> {
        text.parse().map_err(|_| self.bad(place))
    }

    pub fn time(self, place: &'static str, micros: i64) -> Result<Timestamp, Corrupt> {
        Timestamp::from_microsecond(micros).map_err(|_| self.bad(place))
    }

    pub fn time_maybe(
        self,
        place: &'static str,
        micros: Option<i64>,
    ) -> Result<Option<Timestamp>, Corrupt> {
        micros.map(|it| self.time(place, it)).transpose()
    }

    pub fn small<T: TryFrom<i64>>(self, place: &'static str, number: i64) -> Result<T, Corrupt> {
        T::try_from(number).map_err(|_| self.bad(place))
    }

    pub fn json<T: serde::de::DeserializeOwned>(
        self,
        place: &'static str,
        text: &str,
    ) -> Result<T, Corrupt> {
        serde_json::from_str(text).map_err(|_| self.bad(place))
    }

    /// Opens a sealed column. `place` is bound into the seal, so that a value moved to another
    /// row or column does not open.
    pub fn open(
        self,
        vault: &Vault,
        place: &'static str,
        sealed: &[u8],
    ) -> Result<String, Corrupt> {
        vault
            .open(sealed, &context(place, self.0))
            .ok()
            .and_then(|plain| String::from_utf8(plain).ok())
            .ok_or_else(|| self.bad(place))
    }
}

/// Seals a personal column.
pub(super) fn seal(
    vault: &Vault,
    random: &Random,
    place: &'static str,
    row: &str,
    plain: &str,
) -> Vec<u8> {
    vault.seal(plain.as_bytes(), &context(place, row), random)
}

fn context(place: &str, row: &str) -> String {
    format!("{place} {row}")
}

pub(super) fn micros(at: Timestamp) -> i64 {
    at.as_microsecond()
}

/// Trees as a column.
pub(super) fn trees(trees: &[Tree]) -> String {
    written(&trees.iter().map(json::value).collect::<Vec<_>>())
}

/// The trees of such a column.
pub(super) fn trees_of(of: Of<'_>, place: &'static str, text: &str) -> Result<Vec<Tree>, Corrupt> {
    let values: Vec<serde_json::Value> = of.json(place, text)?;
    Ok(values.iter().map(json::tree).collect())
}

/// JSON of our own row structs: nothing in them can fail to be written.
pub(super) fn written<T: serde::Serialize>(value: &T) -> String {
    serde_json::to_string(value).expect("strings, numbers and string-keyed maps only")
}
