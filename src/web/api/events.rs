//! Events as lists: of one link, and of everything that the caller may see.

use actix_web::{HttpRequest, HttpResponse, web};
use serde_json::value::RawValue;

use super::visible;
use crate::access::{Caller, Reach, Verb};
use crate::link::{Code, EventKind};
use crate::store::{EventFilter, StoreError, StoredEvent};
use crate::view::{EventPage, EventView, List};
use crate::web::State;
use crate::web::auth::require;
use crate::web::problem::{Problem, ProblemCode, ProblemView};
use crate::web::query::Query;
use crate::web::refusal::storage;

/// What happened to a link, oldest first.
#[utoipa::path(get, path = "/v1/links/{id}/events", operation_id = "list_link_events", tag = "events",
    params(("id" = String, Path)),
    responses((status = 200, description = "The timeline.", body = List<EventView>),
              (status = 404, description = "`not_found`", body = ProblemView)))]
pub async fn timeline(
    state: web::Data<State>,
    caller: Caller,
    request: HttpRequest,
    id: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    require(&caller, Verb::Read)?;
    Query::none(&request)?;
    let (link, _) = visible(&state, &caller, &id).await?;
    let id = link.id;
    let events = state
        .house
        .store
        .read(move |tx| tx.events_of(id))
        .await
        .map_err(|error| storage(&error))?;
    Ok(HttpResponse::Ok().json(List::of(frozen(events)?)))
}

/// Everything that happened, oldest first: read on from `next_cursor`, now or later.
#[utoipa::path(get, path = "/v1/events", operation_id = "list_events", tag = "events",
    params(("after" = Option<String>, Query, description = "A `next_cursor`, or the `id` of a stream's event."),
           ("type" = Option<String>, Query, description = "Types, separated by commas."),
           ("link" = Option<String>, Query, description = "Of this link."),
           ("limit" = Option<u32>, Query, description = "1 to 100; 20.")),
    responses((status = 200, description = "A page.", body = EventPage<EventView>),
              (status = 410, description = "`gone`: the cursor is outside of what is kept", body = ProblemView),
              (status = 422, description = "`validation_failed`", body = ProblemView)))]
pub async fn list(
    state: web::Data<State>,
    caller: Caller,
    request: HttpRequest,
) -> Result<HttpResponse, Problem> {
    require(&caller, Verb::Read)?;
    let mut query = Query::of(&request, &["after", "type", "link", "limit"]);
    let after = query.value("after", position);
    let filter = EventFilter {
        kinds: query.words("type", EventKind::from_word),
        link: query.value("link", |text| {
            text.parse()
                .map_err(|_| (Code::InvalidValue, "a link's id is wanted"))
        }),
        ..own(&caller)
    };
    let limit = query.number("limit", 1..=100, 20);
    query.finish()?;
    let (head, events) = state
        .house
        .store
        .read(move |tx| {
            let head = tx.head()?;
            if let Some(after) = after
                && !is_kept(after, head, tx.oldest()?)
            {
                return Ok(None);
            }
            // one more than asked for tells whether there are more
            let events = tx.events_after(after.unwrap_or(0), &filter, limit + 1)?;
            Ok::<_, StoreError>(Some((head, events)))
        })
        .await
        .map_err(|error| storage(&error))?
        .ok_or(Problem::new(ProblemCode::Gone))?;
    Ok(HttpResponse::Ok().json(page(head, events, limit as usize)?))
}

fn page(
    head: i64,
    mut events: Vec<StoredEvent>,
    limit: usize,
) -> Result<EventPage<Box<RawValue>>, Problem> {
    let has_more = events.len() > limit;
    events.truncate(limit);
    // Where all was seen, go on behind the head: what the filter left out needs no second look. An
    // event that was appended between the two reads may lie beyond the head.
    let last = events.last().and_then(|it| it.position).unwrap_or(0);
    let next = if has_more { last } else { head.max(last) };
    Ok(EventPage {
        object: "list",
        data: frozen(events)?,
        has_more,
        next_cursor: next.to_string(),
    })
}

/// Which events the caller may see at all.
pub(in crate::web) fn own(caller: &Caller) -> EventFilter {
    EventFilter {
        store: caller.store.clone(),
        actor: (caller.reach(Verb::Read) == Reach::Own).then_some(caller.actor),
        ..EventFilter::default()
    }
}

/// A position in the stream as the caller holds it.
pub(in crate::web) fn position(text: &str) -> Result<i64, (Code, &'static str)> {
    text.parse()
        .ok()
        .filter(|it| *it >= 0 && text.bytes().all(|b| b.is_ascii_digit()))
        .ok_or((Code::InvalidValue, "no cursor of ours"))
}

/// Whether everything after `after` is still there, and `after` is not in the future.
pub(in crate::web) fn is_kept(after: i64, head: i64, oldest: Option<i64>) -> bool {
    after <= head && oldest.is_none_or(|oldest| after >= oldest - 1)
}

/// The frozen bytes, not parsed again.
fn frozen(events: Vec<StoredEvent>) -> Result<Vec<Box<RawValue>>, Problem> {
    let raw = |event: StoredEvent| RawValue::from_string(event.json);
    events
        .into_iter()
        .map(raw)
        .collect::<Result<_, _>>()
        .map_err(|error| {
            tracing::error!(%error, "a stored event is not JSON");
            Problem::new(ProblemCode::InternalError)
        })
}
