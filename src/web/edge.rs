//! The edge that every request passes on its way in and out: it gives the request its id, keeps
//! too many out, writes problems, sets the headers that every answer has, and counts.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use actix_web::middleware::Next;
use actix_web::{Error, HttpResponse, web};
use tracing::Instrument;

use super::problem::{Problem, ProblemCode};
use super::{State, headers};

/// R12: names and values of all headers together.
const HEADERS: usize = 32 * 1024;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// What pages and answers may do in a browser unless the handler says otherwise: nothing.
const POLICY: &str =
    "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'";

/// How many requests are being answered.
#[derive(Default)]
pub struct InFlight(AtomicUsize);

struct Passage<'a>(&'a InFlight);

impl InFlight {
    fn enter(&self, most: usize) -> Option<Passage<'_>> {
        let before = self.0.fetch_add(1, Ordering::AcqRel);
        let passage = Passage(self);
        (before < most).then_some(passage)
    }

    /// How many there are now.
    pub fn count(&self) -> usize {
        self.0.load(Ordering::Acquire)
    }
}

impl Drop for Passage<'_> {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// The middleware around everything.
pub async fn edge(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let Some(state) = request.app_data::<web::Data<State>>().cloned() else {
        return Ok(request.into_response(HttpResponse::InternalServerError().finish()));
    };
    let begun = Instant::now();
    let id = headers::request_id(request.headers()).map_or_else(
        || state.house.random.uuid().simple().to_string(),
        str::to_owned,
    );
    let span = tracing::info_span!("request", request_id = %id, method = %request.method());
    let passage = state.in_flight.enter(super::IN_FLIGHT);
    let full = passage.is_none() && !is_probe(request.path());
    let response = async {
        if full {
            let problem = Problem::new(ProblemCode::Overloaded).retry_after(Duration::from_secs(1));
            Ok(request.error_response(problem))
        } else if size(request.headers()) > HEADERS {
            Ok(request.error_response(Problem::new(ProblemCode::HeadersTooLarge)))
        } else {
            let response = next.call(request).await?;
            Ok::<_, Error>(response.map_into_boxed_body())
        }
    }
    .instrument(span.clone())
    .await?;
    let _entered = span.enter();
    let response = finished(response, &state, &id);
    count(&response, begun);
    Ok(response)
}

/// Probes and metrics are answered even when nothing else is: that is what they are for.
fn is_probe(path: &str) -> bool {
    matches!(path, "/healthz" | "/readyz" | "/metrics")
}

fn size(headers: &HeaderMap) -> usize {
    headers
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len() + 4)
        .sum()
}

/// Writes the problem, where there is one, and the headers of every answer.
fn finished(
    response: ServiceResponse<BoxBody>,
    state: &State,
    id: &str,
) -> ServiceResponse<BoxBody> {
    let status = response.status();
    let problem = match response.response().error() {
        Some(error) => {
            let own = error.as_error::<Problem>();
            Some(own.map_or_else(
                || Problem::from(status).render(&state.base, id),
                |problem| problem.render(&state.base, id),
            ))
        }
        None => None,
    };
    let mut response = match problem {
        Some(problem) => response.into_response(problem),
        None => response,
    };
    let stopping = state.stopping.is_cancelled();
    let path_is_public = response.request().path().starts_with("/assets/");
    let headers = response.headers_mut();
    let mut default = |name: HeaderName, value: &'static str| {
        if !headers.contains_key(&name) {
            headers.insert(name, HeaderValue::from_static(value));
        }
    };
    default(header::CONTENT_SECURITY_POLICY, POLICY);
    default(header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    default(header::REFERRER_POLICY, "no-referrer");
    default(header::X_FRAME_OPTIONS, "DENY");
    default(
        HeaderName::from_static("cross-origin-resource-policy"),
        if path_is_public {
            "cross-origin"
        } else {
            "same-origin"
        },
    );
    default(header::CACHE_CONTROL, "no-store");
    if state.base.starts_with("https://") {
        default(
            header::STRICT_TRANSPORT_SECURITY,
            "max-age=63072000; includeSubDomains",
        );
    }
    if stopping {
        default(header::CONNECTION, "close");
    }
    // it came from us, or was checked to be plain letters and digits
    if let Ok(value) = HeaderValue::from_str(id) {
        headers.insert(REQUEST_ID, value);
    }
    response
}

/// Metrics and one line of log. The route is the pattern, never the path: paths hold ids and
/// tokens, and would be a time series each.
fn count(response: &ServiceResponse<BoxBody>, begun: Instant) {
    let status = response.status().as_u16();
    let route = response
        .request()
        .match_pattern()
        .unwrap_or_else(|| "unmatched".into());
    let took = begun.elapsed();
    tracing::debug!(route, status, took_us = took.as_micros(), "answered");
    metrics::counter!("paylink_http_requests_total", "route" => route.clone(), "status" => status.to_string())
        .increment(1);
    metrics::histogram!("paylink_http_request_seconds", "route" => route)
        .record(took.as_secs_f64());
}
