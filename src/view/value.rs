//! Values that JSON has no type of its own for.

use std::borrow::Cow;

use jiff::Timestamp;
use serde::ser::{Serialize, SerializeMap, SerializeSeq, Serializer};
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{ObjectBuilder, Schema, SchemaType, Type};
use utoipa::{PartialSchema, ToSchema};

use crate::link::Tree;

/// An instant as the contract writes it: RFC 3339, UTC, milliseconds, `Z`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ToSchema)]
#[schema(value_type = String, format = DateTime, example = "2026-11-24T09:30:00.000Z")]
pub struct Instant(#[schema(inline)] pub Timestamp);

impl std::fmt::Display for Instant {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:.3}", self.0)
    }
}

impl From<Timestamp> for Instant {
    fn from(at: Timestamp) -> Self {
        Self(at)
    }
}

impl Serialize for Instant {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

/// What was checked and is handed through as it came: `options`, `gui`, `attachment` …
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Json(pub Tree);

/// Any value but null, said in full: where the value may be absent the document has `oneOf` null
/// and this, and a schema without a type would match null a second time.
impl PartialSchema for Json {
    fn schema() -> RefOr<Schema> {
        let types = [
            Type::Object,
            Type::Array,
            Type::String,
            Type::Number,
            Type::Boolean,
        ];
        ObjectBuilder::new()
            .schema_type(SchemaType::from_iter(types))
            .description(Some("What was checked and is handed through as it came."))
            .into()
    }
}

impl ToSchema for Json {
    fn name() -> Cow<'static, str> {
        Cow::Borrowed("Json")
    }
}

impl Serialize for Json {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        Borrowed(&self.0).serialize(to)
    }
}

struct Borrowed<'a>(&'a Tree);

impl Serialize for Borrowed<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Tree::Null => to.serialize_unit(),
            Tree::Bool(yes) => to.serialize_bool(*yes),
            Tree::Int(whole) => to.serialize_i64(*whole),
            // a fraction is nowhere valid in a request, so there is none in a checked sale
            Tree::Number(text) | Tree::Text(text) => to.serialize_str(text),
            Tree::List(items) => {
                let mut list = to.serialize_seq(Some(items.len()))?;
                for item in items {
                    list.serialize_element(&Borrowed(item))?;
                }
                list.end()
            }
            Tree::Map(members) => {
                let mut map = to.serialize_map(Some(members.len()))?;
                for (name, value) in members {
                    map.serialize_entry(name, &Borrowed(value))?;
                }
                map.end()
            }
        }
    }
}

/// String pairs in the order in which they were given.
#[derive(Clone, Debug, Default, PartialEq, Eq, ToSchema)]
#[schema(value_type = std::collections::HashMap<String, String>)]
pub struct Pairs(pub Vec<(String, String)>);

impl Serialize for Pairs {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_map(self.0.iter().map(|(name, value)| (name, value)))
    }
}
