//! What changes links: create, renew, refresh, disable.

use actix_web::http::StatusCode;
use actix_web::http::header::{ETAG, LOCATION};
use actix_web::web::Payload;
use actix_web::{HttpRequest, HttpResponse, web};
use jiff::Timestamp;

use super::links::expands_qr;
use super::{Answer, head, visible};
use crate::access::{Caller, Verb};
use crate::flow::{self, Created, Key};
use crate::link::{DisableRequest, Fault, NoRequest, RenewRequest, Request, Status};
use crate::view::{Detail, LinkView};
use crate::web::auth::require;
use crate::web::headers::{etag, idempotency, wanted_version};
use crate::web::problem::{Problem, ProblemView};
use crate::web::query::Query;
use crate::web::refusal::{done, storage};
use crate::web::{State, body};

/// `contract.md`, Creating: when an accepted link is worth a look.
pub(super) const LOOK_AGAIN: &str = "2";

/// Creates a link: everything is checked, then Klarna is asked, then messages go out.
#[utoipa::path(post, path = "/v1/links", operation_id = "create_link", tag = "links",
    params(("Idempotency-Key" = Option<String>, Header, description = "1 to 255 printable ASCII characters; kept 30 days."),
           ("expand" = Option<String>, Query, description = "`qr` adds `qr.png_base64`.")),
    request_body(content_type = "application/json", content = crate::web::openapi::LinkRequest),
    responses((status = 201, description = "Payable now.", body = LinkView,
               headers(("Location" = String), ("ETag" = String), ("Idempotent-Replayed" = Option<bool>))),
              (status = 202, description = "Accepted; Klarna is still being asked.", body = LinkView,
               headers(("Location" = String), ("Retry-After" = u32))),
              (status = 400, description = "`malformed_json`", body = ProblemView),
              (status = 409, description = "`reference_in_use`, `reference_paid`, `idempotency_in_progress`, `already_completed`, `busy`", body = ProblemView),
              (status = 413, description = "`payload_too_large`", body = ProblemView),
              (status = 415, description = "`unsupported_media_type`", body = ProblemView),
              (status = 422, description = "`validation_failed`, `klarna_refused`, `idempotency_mismatch`", body = ProblemView),
              (status = 429, description = "`rate_limited`, `send_rate_limited`", body = ProblemView),
              (status = 503, description = "`klarna_unavailable`, `storage_unavailable`, `overloaded`", body = ProblemView)))]
pub async fn create(
    state: web::Data<State>,
    caller: Caller,
    request: HttpRequest,
    payload: Payload,
) -> Result<HttpResponse, Problem> {
    require(&caller, Verb::Create)?;
    let mut query = Query::of(&request, &["expand"]);
    let with_qr = expands_qr(&mut query);
    query.finish()?;
    let tree = body::object(&request, payload).await?;
    let key = idempotency(&request, &caller, &tree)?;
    let defaults = &state.house.settings.defaults;
    let sale = parsed(&state, key.as_ref(), |now| {
        Request::parse(&tree, defaults, now)
    })
    .await?;
    // boxed: it may hold a whole disable
    let created = Box::pin(flow::create(&state.house, &caller, sale, key)).await;
    let created = done(&state.house, created).await?;
    answered(&state, &created, with_qr)
}

/// A new link for the same sale, or for the one that is given.
#[utoipa::path(post, path = "/v1/links/{id}/renew", operation_id = "renew_link", tag = "links",
    params(("id" = String, Path), ("Idempotency-Key" = Option<String>, Header), ("If-Match" = Option<String>, Header),
           ("expand" = Option<String>, Query, description = "`qr` adds `qr.png_base64`.")),
    request_body(content_type = "application/json", content = crate::web::openapi::RenewBody),
    responses((status = 201, description = "Payable now.", body = LinkView),
              (status = 202, description = "Accepted; Klarna is still being asked.", body = LinkView),
              (status = 404, description = "`not_found`", body = ProblemView),
              (status = 409, description = "`already_completed`, `busy`, `reference_in_use`", body = ProblemView),
              (status = 412, description = "`version_mismatch`", body = ProblemView),
              (status = 422, description = "`validation_failed`, `klarna_refused`", body = ProblemView),
              (status = 429, description = "`rate_limited`", body = ProblemView)))]
pub async fn renew(
    state: web::Data<State>,
    caller: Caller,
    request: HttpRequest,
    id: web::Path<String>,
    payload: Payload,
) -> Result<HttpResponse, Problem> {
    require(&caller, Verb::Create)?;
    let mut query = Query::of(&request, &["expand"]);
    let with_qr = expands_qr(&mut query);
    query.finish()?;
    let (old, _) = visible(&state, &caller, &id).await?;
    let tree = body::optional(&request, payload).await?;
    let key = idempotency(&request, &caller, &tree)?;
    let defaults = &state.house.settings.defaults;
    let sale = parsed(&state, key.as_ref(), |now| {
        RenewRequest::parse(&tree, &old, defaults, now)
    })
    .await?;
    let version = wanted_version(request.headers(), old.version);
    let renewed = flow::renew(&state.house, &caller, old.id, sale, version, key);
    // boxed: it may hold a whole disable and a whole create
    let created = done(&state.house, Box::pin(renewed).await).await?;
    answered(&state, &created, with_qr)
}

/// Reads Klarna now.
#[utoipa::path(post, path = "/v1/links/{id}/refresh", operation_id = "refresh_link", tag = "links",
    params(("id" = String, Path), ("Idempotency-Key" = Option<String>, Header), ("If-Match" = Option<String>, Header)),
    responses((status = 200, description = "The link after the read.", body = LinkView),
              (status = 404, description = "`not_found`", body = ProblemView),
              (status = 412, description = "`version_mismatch`", body = ProblemView)))]
pub async fn refresh(
    state: web::Data<State>,
    caller: Caller,
    request: HttpRequest,
    id: web::Path<String>,
    payload: Payload,
) -> Result<HttpResponse, Problem> {
    require(&caller, Verb::Create)?;
    Query::none(&request)?;
    let (before, _) = visible(&state, &caller, &id).await?;
    let tree = body::optional(&request, payload).await?;
    nothing_in(&tree)?;
    let key = idempotency(&request, &caller, &tree)?;
    let version = wanted_version(request.headers(), before.version);
    let read = flow::refresh(&state.house, &caller, before.id, version, key).await;
    let replayed = done(&state.house, read).await?;
    let (link, deliveries) = visible(&state, &caller, &id).await?;
    let answer = Answer {
        state: &state,
        link: &link,
        deliveries: &deliveries,
        detail: Detail::Full,
        with_qr: false,
    };
    Ok(head(flow::Answer::Done, StatusCode::OK, replayed, false)
        .insert_header((ETAG, etag(link.version)))
        .json(answer.view()?))
}

/// Closes a link: the page at Klarna dies, unsent messages stop.
#[utoipa::path(post, path = "/v1/links/{id}/disable", operation_id = "disable_link", tag = "links",
    params(("id" = String, Path), ("Idempotency-Key" = Option<String>, Header), ("If-Match" = Option<String>, Header)),
    request_body(content_type = "application/json", content = crate::web::openapi::DisableBody),
    responses((status = 200, description = "Closed, now or before.", body = LinkView),
              (status = 202, description = "Klarna did not answer: the buyer may still be able to pay. It is insisted on.", body = LinkView),
              (status = 404, description = "`not_found`", body = ProblemView),
              (status = 409, description = "`already_completed`, with the link", body = ProblemView),
              (status = 412, description = "`version_mismatch`", body = ProblemView),
              (status = 422, description = "`validation_failed`", body = ProblemView)))]
pub async fn disable(
    state: web::Data<State>,
    caller: Caller,
    request: HttpRequest,
    id: web::Path<String>,
    payload: Payload,
) -> Result<HttpResponse, Problem> {
    close(&state, &caller, &request, &id, payload).await
}

/// The same as *disable*, without a key: a repeat is harmless.
#[utoipa::path(delete, path = "/v1/links/{id}", operation_id = "delete_link", tag = "links",
    params(("id" = String, Path), ("If-Match" = Option<String>, Header)),
    responses((status = 200, description = "Closed, now or before.", body = LinkView),
              (status = 202, description = "Klarna did not answer: the buyer may still be able to pay. It is insisted on.", body = LinkView),
              (status = 404, description = "`not_found`", body = ProblemView),
              (status = 409, description = "`already_completed`, with the link", body = ProblemView),
              (status = 412, description = "`version_mismatch`", body = ProblemView)))]
pub async fn delete(
    state: web::Data<State>,
    caller: Caller,
    request: HttpRequest,
    id: web::Path<String>,
    payload: Payload,
) -> Result<HttpResponse, Problem> {
    close(&state, &caller, &request, &id, payload).await
}

async fn close(
    state: &State,
    caller: &Caller,
    request: &HttpRequest,
    id: &str,
    payload: Payload,
) -> Result<HttpResponse, Problem> {
    require(caller, Verb::Create)?;
    Query::none(request)?;
    let (before, _) = visible(state, caller, id).await?;
    let tree = body::optional(request, payload).await?;
    let key = if request.method() == actix_web::http::Method::POST {
        idempotency(request, caller, &tree)?
    } else {
        None
    };
    let wish = DisableRequest::parse(&tree).map_err(invalid)?;
    let version = wanted_version(request.headers(), before.version);
    let closed = flow::disable(&state.house, caller, before.id, wish, version, key).await;
    let closed = done(&state.house, closed).await?;
    let answer = Answer {
        state,
        link: &closed.link,
        deliveries: &closed.deliveries,
        detail: Detail::Full,
        with_qr: false,
    };
    let goes_on = closed.link.stage.status() == Status::Disabling;
    Ok(
        head(closed.answer, StatusCode::OK, closed.replayed, goes_on)
            .insert_header((ETAG, etag(closed.link.version)))
            .json(answer.view()?),
    )
}

/// The answer to a create: the first request's status, the link as it is now.
fn answered(state: &State, created: &Created, with_qr: bool) -> Result<HttpResponse, Problem> {
    let link = &created.link;
    let answer = Answer {
        state,
        link,
        deliveries: &created.deliveries,
        detail: Detail::Full,
        with_qr,
    };
    let goes_on = link.stage.status() == Status::Creating;
    Ok(head(
        created.answer,
        StatusCode::CREATED,
        created.replayed,
        goes_on,
    )
    .insert_header((ETAG, etag(link.version)))
    .insert_header((LOCATION, format!("/v1/links/{}", link.id)))
    .json(answer.view()?))
}

/// Checks a body as of now. A repeat whose instants have passed meanwhile is no new fault: it is
/// checked as of its first run, so that it can be answered as that was.
async fn parsed<T>(
    state: &State,
    key: Option<&Key>,
    parse: impl Fn(Timestamp) -> Result<T, Vec<Fault>>,
) -> Result<T, Problem> {
    match parse(state.house.clock.now()) {
        Ok(request) => Ok(request),
        Err(faults) => match first_seen(state, key).await? {
            Some(at) => parse(at).map_err(invalid),
            None => Err(invalid(faults)),
        },
    }
}

/// When this key came first with this body, where it did.
async fn first_seen(state: &State, key: Option<&Key>) -> Result<Option<Timestamp>, Problem> {
    let Some(Key {
        scope,
        key,
        fingerprint,
    }) = key.cloned()
    else {
        return Ok(None);
    };
    let kept = state
        .house
        .store
        .read(move |tx| tx.idempotency(&scope, &key))
        .await
        .map_err(|error| storage(&error))?;
    Ok(kept
        .filter(|kept| kept.fingerprint == fingerprint)
        .map(|kept| kept.at))
}

/// 422 with these faults.
pub(super) fn invalid(faults: Vec<Fault>) -> Problem {
    flow::Refusal::Faults(faults).into()
}

/// A call whose body says nothing: `{}` or no bytes.
pub(super) fn nothing_in(tree: &crate::link::Tree) -> Result<(), Problem> {
    NoRequest::parse(tree).map_err(invalid)
}
