//! The link as a picture, byte for byte its `url`.

use std::time::Duration;

use actix_web::http::header::CACHE_CONTROL;
use actix_web::{HttpRequest, HttpResponse, web};

use super::visible;
use crate::access::{Caller, Verb};
use crate::channel::qr::{self, Ecc, Look, QrError};
use crate::link::{Code, Status};
use crate::web::State;
use crate::web::auth::require;
use crate::web::problem::{FaultView, Problem, ProblemCode, ProblemView};
use crate::web::query::Query;

/// A PNG of exactly `size` pixels, quiet zone included.
#[utoipa::path(get, path = "/v1/links/{id}/qr.png", operation_id = "link_qr_png", tag = "links",
    params(("id" = String, Path),
           ("size" = Option<u32>, Query, description = "128 to 2048 pixels; 512."),
           ("ecc" = Option<String>, Query, description = "`L`, `M`, `Q` or `H`; `M`."),
           ("margin" = Option<u32>, Query, description = "Quiet zone, 0 to 16 modules; 4.")),
    responses((status = 200, description = "The picture.", body = Vec<u8>, content_type = "image/png"),
              (status = 404, description = "`not_found`", body = ProblemView),
              (status = 409, description = "`not_payable`: being created", body = ProblemView),
              (status = 410, description = "`gone`: no longer payable", body = ProblemView),
              (status = 422, description = "`validation_failed`", body = ProblemView)))]
pub async fn png(
    state: web::Data<State>,
    caller: Caller,
    request: HttpRequest,
    id: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    let (url, look) = drawable(&state, &caller, &request, &id).await?;
    let picture = qr::png(&url, &look).map_err(|error| undrawn(&error))?;
    Ok(HttpResponse::Ok()
        .content_type("image/png")
        .insert_header((CACHE_CONTROL, "private, no-store"))
        .body(picture))
}

/// The same as SVG.
#[utoipa::path(get, path = "/v1/links/{id}/qr.svg", operation_id = "link_qr_svg", tag = "links",
    params(("id" = String, Path), ("size" = Option<u32>, Query), ("ecc" = Option<String>, Query),
           ("margin" = Option<u32>, Query)),
    responses((status = 200, description = "The picture.", body = String, content_type = "image/svg+xml"),
              (status = 404, description = "`not_found`", body = ProblemView),
              (status = 409, description = "`not_payable`: being created", body = ProblemView),
              (status = 410, description = "`gone`: no longer payable", body = ProblemView),
              (status = 422, description = "`validation_failed`", body = ProblemView)))]
pub async fn svg(
    state: web::Data<State>,
    caller: Caller,
    request: HttpRequest,
    id: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    let (url, look) = drawable(&state, &caller, &request, &id).await?;
    let picture = qr::svg(&url, &look).map_err(|error| undrawn(&error))?;
    Ok(HttpResponse::Ok()
        .content_type("image/svg+xml")
        .insert_header((CACHE_CONTROL, "private, no-store"))
        .body(picture))
}

/// The URL to draw and the look that was asked for.
async fn drawable(
    state: &State,
    caller: &Caller,
    request: &HttpRequest,
    id: &str,
) -> Result<(String, Look), Problem> {
    require(caller, Verb::Read)?;
    let mut query = Query::of(request, &["size", "ecc", "margin"]);
    let usual = Look::default();
    let look = Look {
        size: query.number("size", 128..=2048, usual.size),
        ecc: query.value("ecc", level).unwrap_or(usual.ecc),
        margin: query.number("margin", 0..=16, usual.margin),
    };
    let faults = query.finish();
    let (link, _) = visible(state, caller, id).await?;
    faults?;
    if link.stage.status() == Status::Creating {
        let wait = Duration::from_secs(2);
        return Err(Problem::new(ProblemCode::NotPayable).retry_after(wait));
    }
    match link.stage.pair() {
        Some(pair) if link.payable(state.house.clock.now()) => Ok((pair.url.clone(), look)),
        _ => Err(Problem::new(ProblemCode::Gone)),
    }
}

fn level(text: &str) -> Result<Ecc, (Code, &'static str)> {
    text.parse()
        .map_err(|()| (Code::InvalidValue, "one of L, M, Q, H is wanted"))
}

/// What cannot be drawn as it was asked for is the question's fault, all else is ours.
pub(super) fn undrawn(error: &QrError) -> Problem {
    let (parameter, code) = match error {
        QrError::SizeTooSmall { .. } => ("size", Code::OutOfRange),
        QrError::OutOfRange => ("margin", Code::OutOfRange),
        QrError::TextTooLong => ("ecc", Code::InvalidValue),
        QrError::Encode(_) => {
            tracing::error!(%error, "a QR code could not be drawn");
            return Problem::new(ProblemCode::InternalError);
        }
    };
    let detail = error.to_string();
    Problem::faults(vec![FaultView::of_parameter(parameter, code, &detail)])
}
