//! The door for the three APIs: which operation is it, may the caller, does a fault meet it; then
//! the answer and its entry in the log.

use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::web::{Bytes, Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use futures_util::stream;
use jiff::Timestamp;
use uuid::Uuid;

use super::answer::{Answer, Outcome, Refusal};
use super::faults::{self, Fault};
use super::log::Entry;
use super::payment::Write;
use super::world::{World, lock};
use super::{distribution, order, payment, session};

/// Klarna's limit for a body.
const MOST_BODY: usize = 1 << 20;
/// How long a hanging call is left hanging.
const HANG: Duration = Duration::from_mins(1);

/// The operations by the names that faults and log have for them.
pub(super) const OPS: [&str; 26] = [
    "create_order",
    "read_order",
    "update_order",
    "abort_order",
    "create_session",
    "read_session",
    "disable_session",
    "distribute",
    "om_get",
    "om_captures",
    "om_capture",
    "om_refund",
    "om_due_date_options",
    "acknowledge",
    "capture",
    "refund",
    "cancel",
    "release",
    "extend",
    "update_authorization",
    "merchant_references",
    "customer_details",
    "shipping_info",
    "capture_shipping_info",
    "trigger_send_out",
    "extend_due_date",
];

/// What is asked for. Ids that are no UUIDs are `None`, and never found.
#[derive(Debug)]
enum Asked {
    CreateOrder,
    ReadOrder(Option<Uuid>),
    UpdateOrder(Option<Uuid>),
    AbortOrder(Option<Uuid>),
    CreateSession,
    ReadSession(Option<Uuid>),
    DisableSession(Option<Uuid>),
    Distribute(Option<Uuid>),
    ReadPayment(Option<Uuid>),
    Captures(Option<Uuid>),
    Capture(Option<Uuid>, Option<Uuid>),
    DueDates(Option<Uuid>, Option<Uuid>),
    Refund(Option<Uuid>, Option<Uuid>),
    Write(Option<Uuid>, Write),
    /// The path is known, the method isn't.
    Method,
    Unknown,
}

impl Asked {
    fn of(method: &str, path: &str) -> Self {
        let id = |text: &str| Uuid::try_parse(text).ok();
        let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
        match (method, parts.as_slice()) {
            ("POST", ["checkout", "v3", "orders"]) => Self::CreateOrder,
            ("GET", ["checkout", "v3", "orders", order]) => Self::ReadOrder(id(order)),
            ("POST", ["checkout", "v3", "orders", order]) => Self::UpdateOrder(id(order)),
            ("POST", ["checkout", "v3", "orders", order, "abort"]) => Self::AbortOrder(id(order)),
            ("POST", ["hpp", "v1", "sessions"]) => Self::CreateSession,
            ("GET", ["hpp", "v1", "sessions", session]) => Self::ReadSession(id(session)),
            ("DELETE", ["hpp", "v1", "sessions", session]) => Self::DisableSession(id(session)),
            ("POST", ["hpp", "v1", "sessions", session, "distribution"]) => {
                Self::Distribute(id(session))
            }
            (method, ["ordermanagement", "v1", "orders", order, rest @ ..]) => {
                Self::of_payment(method, id(order), rest)
            }
            (
                _,
                ["checkout", "v3", "orders"]
                | ["checkout", "v3", "orders", _]
                | ["checkout", "v3", "orders", _, "abort"]
                | ["hpp", "v1", "sessions"]
                | ["hpp", "v1", "sessions", _]
                | ["hpp", "v1", "sessions", _, "distribution"],
            ) => Self::Method,
            _ => Self::Unknown,
        }
    }

    fn of_payment(method: &str, order: Option<Uuid>, rest: &[&str]) -> Self {
        let id = |text: &str| Uuid::try_parse(text).ok();
        match (method, rest) {
            ("GET", []) => Self::ReadPayment(order),
            ("GET", ["captures"]) => Self::Captures(order),
            ("GET", ["captures", capture]) => Self::Capture(order, id(capture)),
            ("GET", ["captures", capture, "extend-due-date-options"]) => {
                Self::DueDates(order, id(capture))
            }
            ("GET", ["refunds", refund]) => Self::Refund(order, id(refund)),
            (_, [] | ["captures" | "refunds", _] | ["captures", _, "extend-due-date-options"]) => {
                Self::Method
            }
            _ => match Write::of(rest) {
                Some((its, write)) if its == method => Self::Write(order, write),
                Some(_) => Self::Method,
                None => Self::Unknown,
            },
        }
    }

    fn op(&self) -> &'static str {
        match self {
            Self::CreateOrder => "create_order",
            Self::ReadOrder(_) => "read_order",
            Self::UpdateOrder(_) => "update_order",
            Self::AbortOrder(_) => "abort_order",
            Self::CreateSession => "create_session",
            Self::ReadSession(_) => "read_session",
            Self::DisableSession(_) => "disable_session",
            Self::Distribute(_) => "distribute",
            Self::ReadPayment(_) => "om_get",
            Self::Captures(_) => "om_captures",
            Self::Capture(..) => "om_capture",
            Self::DueDates(..) => "om_due_date_options",
            Self::Refund(..) => "om_refund",
            Self::Write(_, write) => write.op(),
            Self::Method | Self::Unknown => "unknown",
        }
    }

    fn done(&self, world: &World, body: &[u8], key: Option<&str>, correlation: Uuid) -> Outcome {
        match *self {
            Self::CreateOrder => order::create(world, body),
            Self::ReadOrder(id) => order::read(world, id),
            Self::UpdateOrder(id) => order::update(world, id, body),
            Self::AbortOrder(id) => order::abort(world, id),
            Self::CreateSession => session::create(world, body),
            Self::ReadSession(id) => session::read(world, id),
            Self::DisableSession(id) => session::disable(world, id),
            Self::Distribute(id) => distribution::create(world, id, body),
            Self::ReadPayment(id) => payment::read(world, id),
            Self::Captures(id) => payment::captures(world, id),
            Self::Capture(id, capture) => payment::capture(world, id, capture),
            Self::DueDates(id, capture) => payment::due_dates(world, id, capture),
            Self::Refund(id, refund) => payment::refund(world, id, refund),
            Self::Write(order, write) => {
                let asked = payment::Asked {
                    order,
                    key,
                    correlation,
                    body,
                };
                payment::write(world, write, &asked)
            }
            Self::Unknown => Err(Refusal::not_found()),
            Self::Method => Err(Refusal::new(
                405,
                "METHOD_NOT_ALLOWED",
                "Method not allowed",
            )),
        }
    }
}

/// Answers one call of an API.
pub(super) async fn answer(
    request: HttpRequest,
    payload: Payload,
    world: Data<World>,
) -> HttpResponse {
    let at = world.now();
    let correlation = world.random.uuid();
    let asked = Asked::of(request.method().as_str(), request.path());
    let body = payload.to_bytes_limited(MOST_BODY).await;
    let fault = faults::next(&mut lock(&world.faults), asked.op());
    let (outcome, body) = match (fault, body) {
        (Some(Fault::Hang | Fault::DropBefore), body) => (None, kept(body)),
        (Some(Fault::Status(status)), body) => (Some(Err(Refusal::of_status(status))), kept(body)),
        (_, Err(_)) => (Some(Err(Refusal::of_status(413))), Bytes::new()),
        // the connection broke, and nobody will read this
        (_, Ok(Err(_))) => (Some(Err(Refusal::malformed())), Bytes::new()),
        (_, Ok(Ok(body))) => {
            let outcome = if is_admitted(&request, &world) {
                asked.done(&world, &body, idempotency_key(&request), correlation)
            } else {
                Err(Refusal::of_status(401))
            };
            (Some(outcome), body)
        }
    };
    let mut answer =
        outcome.map(|outcome| outcome.unwrap_or_else(|refusal| refusal.answer(correlation)));
    if fault == Some(Fault::Garbage) {
        answer = Some(Answer::raw(
            200,
            Bytes::from_static(b"<html>not what you expected"),
        ));
    }
    let entry = entry(&request, at, asked.op(), body, answer.as_ref(), fault);
    lock(&world.log).push(entry);
    match fault {
        Some(Fault::Hang) => wait(&world, HANG).await,
        Some(Fault::Slow(time)) => wait(&world, time).await,
        _ => {}
    }
    match answer {
        Some(answer) if fault != Some(Fault::DropAfter) => response(answer, correlation),
        _ => dropped(),
    }
}

fn kept<E, F>(body: Result<Result<Bytes, E>, F>) -> Bytes {
    body.ok().and_then(Result::ok).unwrap_or_default()
}

fn is_admitted(request: &HttpRequest, world: &World) -> bool {
    let given = request
        .headers()
        .get("authorization")
        .and_then(|value| value.to_str().ok());
    given
        .and_then(|given| given.split_once(' '))
        .is_some_and(|(scheme, credentials)| {
            scheme.eq_ignore_ascii_case("basic") && credentials.trim() == world.credentials
        })
}

/// Order Management's; an empty one is none.
fn idempotency_key(request: &HttpRequest) -> Option<&str> {
    let key = request.headers().get("klarna-idempotency-key")?;
    key.to_str().ok().filter(|key| !key.is_empty())
}

async fn wait(world: &World, time: Duration) {
    tokio::select! {
        () = world.stopping.cancelled() => {}
        () = tokio::time::sleep(time) => {}
    }
}

fn entry(
    request: &HttpRequest,
    at: Timestamp,
    op: &'static str,
    body: Bytes,
    answer: Option<&Answer>,
    fault: Option<Fault>,
) -> Entry {
    let headers = request.headers().iter().map(|(name, value)| {
        let value = match name.as_str() {
            "authorization" => "***".to_owned(),
            _ => String::from_utf8_lossy(value.as_bytes()).into_owned(),
        };
        (name.as_str().to_owned(), value)
    });
    Entry {
        at,
        op,
        method: request.method().to_string(),
        path: request.path().to_owned(),
        query: request.query_string().to_owned(),
        headers: headers.collect(),
        body,
        status: answer.map(|answer| answer.status),
        answer: answer.map(|answer| answer.body.clone()).unwrap_or_default(),
        fault: fault.map(|fault| fault.to_string()),
    }
}

fn response(answer: Answer, correlation: Uuid) -> HttpResponse {
    // Every status here is ours or was checked when its fault was armed.
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = HttpResponse::build(status);
    response.insert_header(("klarna-correlation-id", correlation.to_string()));
    for header in answer.headers {
        response.insert_header(header);
    }
    if answer.body.is_empty() {
        return response.finish();
    }
    response.content_type("application/json").body(answer.body)
}

/// Ends the connection without a byte: the body fails before the head was written out. (A test
/// looks at the socket.)
fn dropped() -> HttpResponse {
    let nothing =
        stream::once(async { Err::<Bytes, _>(std::io::Error::other("dropped on demand")) });
    HttpResponse::Ok().streaming(nothing)
}
