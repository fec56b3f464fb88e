//! The money of a paid link: capture, refund, cancel, release, extend.

use actix_web::http::StatusCode;
use actix_web::http::header::ETAG;
use actix_web::web::Payload;
use actix_web::{HttpRequest, HttpResponse, web};

use super::writes::{invalid, nothing_in};
use super::{Answer, head, visible};
use crate::access::{Caller, Verb};
use crate::flow;
use crate::link::{MovementRequest, OperationKind};
use crate::store::StoreError;
use crate::view::{Detail, LinkView, List, OperationView};
use crate::web::auth::require;
use crate::web::headers::{etag, idempotency, wanted_version};
use crate::web::problem::{Problem, ProblemView};
use crate::web::query::Query;
use crate::web::refusal::{done, storage};
use crate::web::{State, body};

/// All captures of a link, oldest first; those that were booked elsewhere too.
#[utoipa::path(get, path = "/v1/links/{id}/captures", operation_id = "list_captures", tag = "money",
    params(("id" = String, Path)),
    responses((status = 200, description = "The captures.", body = List<OperationView>),
              (status = 404, description = "`not_found`", body = ProblemView)))]
pub async fn captures(
    state: web::Data<State>,
    caller: Caller,
    request: HttpRequest,
    id: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    listed(&state, &caller, &request, &id, &[OperationKind::Capture]).await
}

/// All refunds of a link, oldest first; those that were booked elsewhere too.
#[utoipa::path(get, path = "/v1/links/{id}/refunds", operation_id = "list_refunds", tag = "money",
    params(("id" = String, Path)),
    responses((status = 200, description = "The refunds.", body = List<OperationView>),
              (status = 404, description = "`not_found`", body = ProblemView)))]
pub async fn refunds(
    state: web::Data<State>,
    caller: Caller,
    request: HttpRequest,
    id: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    listed(&state, &caller, &request, &id, &[OperationKind::Refund]).await
}

/// All that was done, is being done or could not be done with the money of a link, oldest first.
#[utoipa::path(get, path = "/v1/links/{id}/operations", operation_id = "list_operations", tag = "money",
    params(("id" = String, Path)),
    responses((status = 200, description = "The operations.", body = List<OperationView>),
              (status = 404, description = "`not_found`", body = ProblemView)))]
pub async fn operations(
    state: web::Data<State>,
    caller: Caller,
    request: HttpRequest,
    id: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    listed(&state, &caller, &request, &id, OperationKind::ALL).await
}

async fn listed(
    state: &State,
    caller: &Caller,
    request: &HttpRequest,
    id: &str,
    kinds: &[OperationKind],
) -> Result<HttpResponse, Problem> {
    require(caller, Verb::Read)?;
    Query::none(request)?;
    let (link, _) = visible(state, caller, id).await?;
    let id = link.id;
    let operations = state.house.store.read(move |tx| tx.operations(id)).await;
    let operations = operations.map_err(|error: StoreError| storage(&error))?;
    let wanted = operations.iter().filter(|it| kinds.contains(&it.kind()));
    Ok(HttpResponse::Ok().json(List::of(wanted.map(OperationView::new).collect())))
}

/// One documentation for the five calls: what each takes and answers, and what all may answer.
macro_rules! calls {
    ($($(#[$doc:meta])* $name:ident $path:literal = $kind:ident $(takes $body:ident)?, $status:literal $view:ident $done:literal;)+) => {$(
        $(#[$doc])*
        #[utoipa::path(post, path = $path, tag = "money",
            params(("id" = String, Path), ("Idempotency-Key" = Option<String>, Header), ("If-Match" = Option<String>, Header)),
            $(request_body(content_type = "application/json", content = crate::web::openapi::$body),)?
            responses((status = $status, description = $done, body = $view),
                      (status = 202, description = "Klarna's answer is not known yet. It is insisted on, and never done twice; `…/operations` tells its end.", body = $view, headers(("Retry-After" = u32))),
                      (status = 404, description = "`not_found`", body = ProblemView),
                      (status = 409, description = "`not_completed`, `klarna_not_allowed`, `busy`, `idempotency_in_progress`", body = ProblemView),
                      (status = 412, description = "`version_mismatch`", body = ProblemView),
                      (status = 422, description = "`validation_failed`, `klarna_refused`, `idempotency_mismatch`", body = ProblemView)))]
        pub async fn $name(
            state: web::Data<State>,
            caller: Caller,
            request: HttpRequest,
            id: web::Path<String>,
            payload: Payload,
        ) -> Result<HttpResponse, Problem> {
            operate(&state, &caller, &request, &id, payload, OperationKind::$kind).await
        }
    )+};
}
calls! {
    /// Captures all that is left of the authorisation, or a part of it.
    capture "/v1/links/{id}/capture" = Capture takes CaptureBody, 201 OperationView "Captured.";
    /// Gives back all that was captured, or a part of it.
    refund "/v1/links/{id}/refunds" = Refund takes RefundBody, 201 OperationView "Refunded.";
    /// Gives up the whole authorisation, before anything is captured.
    cancel "/v1/links/{id}/cancel" = Cancel, 200 LinkView "Cancelled.";
    /// Gives up what is left of the authorisation, after a capture.
    release "/v1/links/{id}/release" = Release, 200 LinkView "Released.";
    /// Asks Klarna for more time to capture.
    extend "/v1/links/{id}/extend" = Extend, 200 LinkView "Extended; `payment.expires_at` is the new end once Klarna told it.";
}

async fn operate(
    state: &State,
    caller: &Caller,
    request: &HttpRequest,
    id: &str,
    payload: Payload,
    kind: OperationKind,
) -> Result<HttpResponse, Problem> {
    require(caller, Verb::Money)?;
    Query::none(request)?;
    let (link, deliveries) = visible(state, caller, id).await?;
    let tree = match kind {
        // a body that was lost on the way must not move everything
        OperationKind::Capture | OperationKind::Refund => body::object(request, payload).await?,
        OperationKind::Cancel | OperationKind::Release | OperationKind::Extend => {
            body::optional(request, payload).await?
        }
    };
    let key = idempotency(request, caller, &tree)?;
    let movement = match kind {
        OperationKind::Capture => Some(MovementRequest::capture(&tree, &link).map_err(invalid)?),
        OperationKind::Refund => Some(MovementRequest::refund(&tree, &link).map_err(invalid)?),
        OperationKind::Cancel | OperationKind::Release | OperationKind::Extend => {
            nothing_in(&tree)?;
            None
        }
    };
    let version = wanted_version(request.headers(), link.version);
    let operated = flow::operate(&state.house, caller, link.id, kind, movement, version, key).await;
    let operated = done(&state.house, operated).await?;
    let goes_on = operated.operation.is_pending();
    let response = |finished| head(operated.answer, finished, operated.replayed, goes_on);
    match kind {
        OperationKind::Capture | OperationKind::Refund => {
            Ok(response(StatusCode::CREATED).json(OperationView::new(&operated.operation)))
        }
        OperationKind::Cancel | OperationKind::Release | OperationKind::Extend => {
            let answer = Answer {
                state,
                link: &operated.link,
                deliveries: &deliveries,
                detail: Detail::Full,
                with_qr: false,
            };
            Ok(response(StatusCode::OK)
                .insert_header((ETAG, etag(operated.link.version)))
                .json(answer.view()?))
        }
    }
}
