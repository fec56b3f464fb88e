//! The hands of a test, or of a person who tries things out: what is there, what the buyer does,
//! what goes wrong, what time it is. Only for peers on this machine.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::str::FromStr;

use actix_web::http::StatusCode;
use actix_web::web::{Bytes, Data};
use actix_web::{HttpRequest, HttpResponse};
use serde_json::{Value, json};
use uuid::Uuid;

use super::acts::{self, Act, Done, Impossible};
use super::api::OPS;
use super::faults::Armed;
use super::order::Order;
use super::payment::Fraud;
use super::world::{World, lock, millis};

/// The clock's longest step: ten years.
const FARTHEST: u32 = 10 * 366 * 24 * 3600;

/// An answer: status and JSON.
type Said = (u16, Value);

/// Answers `/_sim/…`.
pub(super) async fn answer(
    request: HttpRequest,
    body: Bytes,
    world: Data<World>,
    client: Data<reqwest::Client>,
) -> HttpResponse {
    let near = request
        .peer_addr()
        .is_some_and(|peer| is_loopback(peer.ip()));
    let (status, said) = if near {
        said(&request, &body, &world, &client).await
    } else {
        fault(403, "the control interface answers on this machine only")
    };
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    HttpResponse::build(status).json(said)
}

fn is_loopback(peer: IpAddr) -> bool {
    peer.to_canonical().is_loopback()
}

async fn said(request: &HttpRequest, body: &[u8], world: &World, client: &reqwest::Client) -> Said {
    let parts: Vec<&str> = request
        .path()
        .trim_matches('/')
        .split('/')
        .skip(1)
        .collect();
    match (request.method().as_str(), parts.as_slice()) {
        ("GET", ["orders"]) => {
            let Some(last) = last(request.query_string()) else {
                return fault(400, "last must be a number of orders");
            };
            let state = world.state();
            let orders = newest(&state.order_ids, last).filter_map(|id| state.orders.get(id));
            data(orders.map(|order| overview(order, world)).collect())
        }
        ("GET", ["orders", id]) => match Uuid::try_parse(id) {
            Ok(id) => match world.state().orders.get(&id) {
                Some(order) => (200, overview(order, world)),
                None => unknown(),
            },
            Err(_) => unknown(),
        },
        ("POST", ["orders", id, "fraud"]) => fraud(world, id, body),
        ("GET", ["sessions"]) => {
            let Some(last) = last(request.query_string()) else {
                return fault(400, "last must be a number of sessions");
            };
            let state = world.state();
            let sessions = newest(&state.session_ids, last).filter_map(|id| state.sessions.get(id));
            data(
                sessions
                    .map(|session| session.overview(&world.base))
                    .collect(),
            )
        }
        ("GET", ["sessions", id]) => session(world, id),
        ("POST", ["sessions", id, "act"]) => act(world, client, id, body).await,
        ("GET", ["faults"]) => armed(&lock(&world.faults)),
        ("POST", ["faults"]) => match Armed::of(&object(body), &OPS) {
            Ok(fault) => {
                let mut faults = lock(&world.faults);
                faults.push(fault);
                armed(&faults)
            }
            Err(expected) => fault(400, &expected),
        },
        ("DELETE", ["faults"]) => {
            let mut faults = lock(&world.faults);
            faults.clear();
            armed(&faults)
        }
        ("GET", ["clock"]) => clock(world),
        ("POST", ["clock"]) => {
            let step = object(body).get("advance_s").and_then(Value::as_u64);
            match step
                .and_then(|step| u32::try_from(step).ok())
                .filter(|step| *step <= FARTHEST)
            {
                Some(step) => {
                    world.advance(step);
                    clock(world)
                }
                None => fault(400, "advance_s must be whole seconds, from 0 to ten years"),
            }
        }
        ("GET", ["log"]) => match after(request.query_string()) {
            Some(after) => data(lock(&world.log).after(after)),
            None => fault(400, "after must be the seq of an entry"),
        },
        ("POST", ["reset"]) => {
            world.reset();
            (200, json!({}))
        }
        (
            _,
            ["orders" | "sessions" | "faults" | "clock" | "log" | "reset"]
            | ["orders" | "sessions", _]
            | ["orders", _, "fraud"]
            | ["sessions", _, "act"],
        ) => fault(405, "the control interface does not know this method here"),
        _ => fault(404, "the control interface does not know this path"),
    }
}

async fn act(world: &World, client: &reqwest::Client, id: &str, body: &[u8]) -> Said {
    let asked = object(body);
    let Some(act) = asked.get("act").and_then(Value::as_str).and_then(Act::of) else {
        let words = Act::WORDS.map(|(word, _)| word).join(", ");
        return fault(400, &format!("act must be one of {words}"));
    };
    let Ok(uuid) = Uuid::try_parse(id) else {
        return unknown();
    };
    // whether Klarna asks the merchant at all for a page of HPP is unknown: a test has it both ways
    let asks = asked.get("validation") != Some(&Value::Bool(false));
    let acted = if asks {
        acts::act(world, client, uuid, act).await
    } else {
        acts::unasked(world, uuid, act)
    };
    match acted {
        Ok(Done::Now(_)) => session(world, id),
        Ok(Done::Denied {
            status,
            location,
            text,
        }) => {
            let (code, mut said) = session(world, id);
            said["refused"] = json!({ "status": status, "location": location, "text": text });
            (code, said)
        }
        Err(Impossible::Unknown) => unknown(),
        Err(Impossible::Ended) => {
            let (_, session) = session(world, id);
            (
                409,
                json!({ "error": "the session has ended", "session": session }),
            )
        }
    }
}

fn fraud(world: &World, id: &str, body: &[u8]) -> Said {
    let asked = object(body);
    let Some(verdict) = asked
        .get("status")
        .and_then(Value::as_str)
        .and_then(Fraud::of)
    else {
        return fault(
            400,
            "status must be one of PENDING, ACCEPTED, REJECTED, STOPPED",
        );
    };
    let now = world.now();
    let mut state = world.state();
    let Some(order) = Uuid::try_parse(id)
        .ok()
        .and_then(|id| state.orders.get_mut(&id))
    else {
        return unknown();
    };
    order.fraud = verdict;
    // before the payment there is nothing to be told of yet: the verdict waits for it
    if order.payment.is_some() {
        world.calls.notification(order, now);
    }
    (200, overview(order, world))
}

/// A checkout order as it is read, with what Order Management says of it.
fn overview(order: &Order, world: &World) -> Value {
    let mut body = order.body();
    let payment = order.payment.as_ref();
    let om = payment.map(|payment| payment.body(order.id, order.fraud, world.now()));
    body.insert("om".to_owned(), om.into());
    let acknowledged = payment.is_some_and(super::payment::Payment::acknowledged);
    body.insert("acknowledged".to_owned(), acknowledged.into());
    body.into()
}

fn session(world: &World, id: &str) -> Said {
    let state = world.state();
    match Uuid::try_parse(id)
        .ok()
        .and_then(|id| state.sessions.get(&id))
    {
        Some(session) => (200, session.overview(&world.base)),
        None => unknown(),
    }
}

fn clock(world: &World) -> Said {
    let ahead = world.ahead().as_secs();
    (
        200,
        json!({ "now": millis(world.now()), "advanced_s": ahead }),
    )
}

fn armed(faults: &[Armed]) -> Said {
    data(faults.iter().map(Armed::body).collect())
}

fn data(items: Vec<Value>) -> Said {
    let items = Value::Array(items); // json! would copy a vector that it is given
    (200, json!({ "data": items }))
}

fn unknown() -> Said {
    fault(404, "there is nothing with this id")
}

fn fault(status: u16, error: &str) -> Said {
    (status, json!({ "error": error }))
}

/// A body, whatever its content type says; `null` where it is no JSON.
fn object(body: &[u8]) -> Value {
    serde_json::from_slice(body).unwrap_or_default()
}

/// `after=N` of a query, 0 where it isn't there.
fn after(query: &str) -> Option<u64> {
    number(query, "after=", 0)
}

/// `last=N` of a query, all where it isn't there: a long test asks for what is new alone.
fn last(query: &str) -> Option<usize> {
    number(query, "last=", usize::MAX)
}

fn number<T: FromStr>(query: &str, name: &str, absent: T) -> Option<T> {
    match query.split('&').find_map(|pair| pair.strip_prefix(name)) {
        None => Some(absent),
        Some(number) => number.parse().ok(),
    }
}

/// The last so many, oldest first, found without a walk over the others.
fn newest(ids: &VecDeque<Uuid>, last: usize) -> impl Iterator<Item = &Uuid> {
    ids.range(ids.len().saturating_sub(last)..)
}
