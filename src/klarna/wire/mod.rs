//! Klarna's bodies under Klarna's names. What we write is typed; what we read is taken as far as it
//! makes sense: every member is optional, and one of the wrong type counts as absent, because a
//! payment must not be missed for an odd member elsewhere (klarna.md §8.11). The `customer` of an
//! answer is never read.

pub(super) mod hpp;
pub(super) mod kco;
pub(super) mod om;

use jiff::Timestamp;
use serde::Deserialize;
use serde::de::{DeserializeOwned, Deserializer};
use serde_json::Value;

/// A member that may be anything: absent unless it is what we hoped for.
fn lenient<'de, D: Deserializer<'de>, T: DeserializeOwned>(from: D) -> Result<Option<T>, D::Error> {
    Ok(T::deserialize(Value::deserialize(from)?).ok())
}

/// A time as Klarna writes it (RFC 3339), cut to the precision that we keep.
fn time<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Timestamp>, D::Error> {
    Ok(Value::deserialize(from)?
        .as_str()
        .and_then(|text| text.parse::<Timestamp>().ok())
        .and_then(|at| Timestamp::from_microsecond(at.as_microsecond()).ok()))
}
