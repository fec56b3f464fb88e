//! Klarna calls. Whoever knows the token may call, and nothing that the call says is believed: the
//! body is not even read (security.md, Callbacks are unsigned). What counts is that the read-back
//! it asks for is durable before it is answered.

use std::time::Duration;

use actix_web::http::header::LOCATION;
use actix_web::{HttpRequest, HttpResponse, web};
use url::form_urlencoded;

use super::State;
use super::problem::{Problem, ProblemCode};
use crate::flow::{self, Hint, Named, Verdict};

/// KCO waits 3 s for *validation* and gives up on the purchase; the contract says under 1 s.
const VERDICT: Duration = Duration::from_millis(900);

/// Klarna's news about a link.
#[utoipa::path(post, path = "/callbacks/{door}/{token}", tag = "klarna", security(()),
    params(("door" = String, Path, description = "`hpp`, `push`, `notification` or `validation`"),
           ("token" = String, Path, description = "Secret of one pair of one link")),
    responses((status = 200, description = "`validation`: the purchase may go on."),
              (status = 204, description = "Noted; Klarna is read soon."),
              (status = 303, description = "`validation`: the link is closed."),
              (status = 404, description = "Unknown token.", body = super::problem::ProblemView)))]
pub async fn called(
    state: web::Data<State>,
    request: HttpRequest,
    path: web::Path<(String, String)>,
) -> Result<HttpResponse, Problem> {
    let (door, token) = path.into_inner();
    let hint = match door.as_str() {
        "hpp" => Hint::Status,
        "push" => Hint::Push,
        "notification" => Hint::Notification,
        "validation" => return validation(&state, &token).await,
        _ => return Err(Problem::new(ProblemCode::NotFound)),
    };
    checked(&token)?;
    flow::hint(&state.house, &token, hint, &named(&request)).await?;
    Ok(HttpResponse::NoContent().finish())
}

async fn validation(state: &State, token: &str) -> Result<HttpResponse, Problem> {
    checked(token)?;
    let asked = flow::validate(&state.house, token);
    let verdict = tokio::time::timeout(VERDICT, asked)
        .await
        .map_err(|_| Problem::new(ProblemCode::StorageUnavailable))??;
    Ok(match verdict {
        Verdict::Approve => HttpResponse::Ok().finish(),
        Verdict::Deny => HttpResponse::SeeOther()
            .insert_header((LOCATION, format!("{}/return/checkout/{token}", state.base)))
            .finish(),
    })
}

/// The ids that stand in our addresses as `sid` and `oid`. Klarna may leave one empty.
pub(super) fn named(request: &HttpRequest) -> Named {
    let mut named = Named::default();
    for (name, value) in form_urlencoded::parse(request.query_string().as_bytes()) {
        let place = match name.as_ref() {
            "sid" => &mut named.session,
            "oid" => &mut named.order,
            _ => continue,
        };
        *place = Some(value.into_owned()).filter(|it| !it.is_empty());
    }
    named
}

/// Only what can be a token is looked up: 43 characters of base64url.
pub(super) fn checked(token: &str) -> Result<(), Problem> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
    if token.len() == 43 && token.bytes().all(plain) {
        Ok(())
    } else {
        Err(Problem::new(ProblemCode::NotFound))
    }
}
