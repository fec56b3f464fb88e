//! Lists and their pages.

use serde::Serialize;
use utoipa::ToSchema;

use super::{LinkView, words};

/// A whole list, not paged.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct List<T> {
    /// Always `list`.
    #[schema(schema_with = words::list_object)]
    pub object: &'static str,
    /// The items.
    pub data: Vec<T>,
}

impl<T> List<T> {
    /// All of `data`.
    pub fn of(data: Vec<T>) -> Self {
        Self {
            object: "list",
            data,
        }
    }
}

/// One page of links, newest first.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct LinkPage {
    /// Always `list`.
    #[schema(schema_with = words::list_object)]
    pub object: &'static str,
    /// The links, without `order_lines`.
    pub data: Vec<LinkView>,
    /// Whether older ones follow.
    pub has_more: bool,
    /// Where they begin; opaque.
    pub next_cursor: Option<String>,
}

/// One page of events, oldest first. `T` is [`super::EventView`] to the document, and its frozen text
/// to the handler, which never parses it.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct EventPage<T> {
    /// Always `list`.
    #[schema(schema_with = words::list_object)]
    pub object: &'static str,
    /// The events.
    pub data: Vec<T>,
    /// Whether newer ones are there already.
    pub has_more: bool,
    /// Where to go on, now or later: always there; opaque.
    pub next_cursor: String,
}
