//! Reading one link.

use actix_web::http::StatusCode;
use actix_web::http::header::ETAG;
use actix_web::{HttpRequest, HttpResponse, web};

use super::{Answer, visible};
use crate::access::{Caller, Verb};
use crate::view::{Detail, LinkView};
use crate::web::State;
use crate::web::auth::require;
use crate::web::headers::{etag, has_already};
use crate::web::problem::Problem;
use crate::web::query::Query;
use crate::web::refusal::storage;

/// A link.
#[utoipa::path(get, path = "/v1/links/{id}", operation_id = "read_link", tag = "links",
    params(("id" = String, Path, example = "lnk_019ab3f0c6d77b0e8f4a2f6d5c1b9a6f"),
           ("reveal" = Option<bool>, Query, description = "Personal data in full; leaves an audit row."),
           ("expand" = Option<String>, Query, description = "`qr` adds `qr.png_base64`."),
           ("If-None-Match" = Option<String>, Header, description = "A version that the caller has.")),
    responses((status = 200, description = "The link.", body = LinkView,
               headers(("ETag" = String, description = "Its version."))),
              (status = 304, description = "The caller has this version."),
              (status = 404, description = "`not_found`", body = crate::web::problem::ProblemView)))]
pub async fn read(
    state: web::Data<State>,
    caller: Caller,
    request: HttpRequest,
    id: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    require(&caller, Verb::Read)?;
    let mut query = Query::of(&request, &["reveal", "expand"]);
    let (reveal, with_qr) = (query.flag("reveal"), expands_qr(&mut query));
    query.finish()?;
    let (link, deliveries) = visible(&state, &caller, &id).await?;
    if reveal {
        require(&caller, Verb::Reveal)?;
        let (actor, subject) = (caller.actor, link.id.to_string());
        let now = state.house.clock.now();
        // before the data leaves, and not at all where it cannot be written down
        state
            .house
            .store
            .write(move |tx| tx.audit(actor, "personal_data.revealed", &subject, "link", now))
            .await
            .map_err(|error| storage(&error))?;
    } else if has_already(request.headers(), &etag(link.version)) {
        return Ok(HttpResponse::NotModified()
            .insert_header((ETAG, etag(link.version)))
            .finish());
    }
    Answer {
        state: &state,
        link: &link,
        deliveries: &deliveries,
        detail: if reveal {
            Detail::Revealed
        } else {
            Detail::Full
        },
        with_qr,
    }
    .with(StatusCode::OK)
}

/// `?expand=qr`, the only thing there is to expand.
pub(super) fn expands_qr(query: &mut Query) -> bool {
    query
        .value("expand", |text| match text {
            "qr" => Ok(true),
            _ => Err((crate::link::Code::InvalidValue, "only qr can be expanded")),
        })
        .unwrap_or(false)
}
