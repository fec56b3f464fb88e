//! Messages of one link.

use actix_web::http::StatusCode;
use actix_web::web::Payload;
use actix_web::{HttpRequest, HttpResponse, web};

use super::writes::invalid;
use super::{head, visible};
use crate::access::{Caller, Verb};
use crate::flow;
use crate::link::SendRequest;
use crate::view::{DeliveryView, Detail, List};
use crate::web::auth::require;
use crate::web::headers::{idempotency, wanted_version};
use crate::web::problem::{Problem, ProblemView};
use crate::web::query::Query;
use crate::web::refusal::done;
use crate::web::{State, body};

/// All messages of a link, oldest first.
#[utoipa::path(get, path = "/v1/links/{id}/deliveries", operation_id = "list_deliveries", tag = "deliveries",
    params(("id" = String, Path)),
    responses((status = 200, description = "The deliveries.", body = List<DeliveryView>),
              (status = 404, description = "`not_found`", body = ProblemView)))]
pub async fn list(
    state: web::Data<State>,
    caller: Caller,
    request: HttpRequest,
    id: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    require(&caller, Verb::Read)?;
    Query::none(&request)?;
    let (_, deliveries) = visible(&state, &caller, &id).await?;
    let views = deliveries
        .iter()
        .map(|it| DeliveryView::new(it, Detail::Full))
        .collect();
    Ok(HttpResponse::Ok().json(List::of(views)))
}

/// One more message. While the link is being created it waits; then it goes out by itself.
#[utoipa::path(post, path = "/v1/links/{id}/deliveries", operation_id = "send_delivery", tag = "deliveries",
    params(("id" = String, Path), ("Idempotency-Key" = Option<String>, Header), ("If-Match" = Option<String>, Header)),
    request_body(content_type = "application/json", content = crate::web::openapi::SendBody),
    responses((status = 201, description = "Queued.", body = DeliveryView),
              (status = 404, description = "`not_found`", body = ProblemView),
              (status = 409, description = "`not_payable`, `idempotency_in_progress`", body = ProblemView),
              (status = 412, description = "`version_mismatch`", body = ProblemView),
              (status = 422, description = "`validation_failed`, `idempotency_mismatch`", body = ProblemView),
              (status = 429, description = "`send_rate_limited`", body = ProblemView)))]
pub async fn send(
    state: web::Data<State>,
    caller: Caller,
    request: HttpRequest,
    id: web::Path<String>,
    payload: Payload,
) -> Result<HttpResponse, Problem> {
    require(&caller, Verb::Create)?;
    Query::none(&request)?;
    let (link, _) = visible(&state, &caller, &id).await?;
    let tree = body::object(&request, payload).await?;
    let key = idempotency(&request, &caller, &tree)?;
    let defaults = &state.house.settings.defaults;
    let SendRequest { send, agent } =
        SendRequest::parse(&tree, &link.sale, defaults).map_err(invalid)?;
    let version = wanted_version(request.headers(), link.version);
    let queued = flow::send(&state.house, &caller, link.id, send, agent, version, key).await;
    let queued = done(&state.house, queued).await?;
    let mut response = head(
        flow::Answer::Done,
        StatusCode::CREATED,
        queued.replayed,
        false,
    );
    Ok(response.json(DeliveryView::new(&queued.delivery, Detail::Full)))
}
