//! Who asks. Every call under `/v1` passes here before anything else is looked at, so that a
//! stranger learns neither which addresses exist nor what is wrong with a body (`contract.md`,
//! Roles: 401 before 404, 405, 422).

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{Payload, ServiceRequest, ServiceResponse};
use actix_web::http::header::{AUTHORIZATION, HeaderMap};
use actix_web::middleware::Next;
use actix_web::{Error, FromRequest, HttpMessage, HttpRequest, web};
use jiff::Timestamp;

use super::State;
use super::problem::{Problem, ProblemCode};
use super::refusal::storage;
use crate::access::{ApiKey, Caller, Presented, Verb};
use crate::flow::House;
use crate::link::KeyId;

/// A key is read again after this time: with the time of the read itself, a revocation is in force
/// on every replica within 5 s (security.md, API keys).
const FRESH: Duration = Duration::from_secs(4);

/// More keys than any installation has; beyond it the cache starts anew.
const MOST: usize = 10_000;

/// Keys as they were read lately. Ages are told by the monotonic clock, so that a leap of the wall
/// clock cannot keep a revoked key alive.
#[derive(Default)]
pub struct KeyCache(Mutex<HashMap<KeyId, (ApiKey, Instant)>>);

impl KeyCache {
    /// The key, where it was read within the last seconds before `now`.
    pub fn get(&self, id: KeyId, now: Instant) -> Option<ApiKey> {
        let keys = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (key, read_at) = keys.get(&id)?;
        (now.saturating_duration_since(*read_at) < FRESH).then(|| key.clone())
    }

    /// Keeps `key`, which was asked for at `read_at`: the instant before the read, not after it.
    pub fn put(&self, key: ApiKey, read_at: Instant) {
        let mut keys = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if keys.len() >= MOST {
            keys.clear();
        }
        keys.insert(key.id, (key, read_at));
    }
}

const NO_KEY: &str = "Bearer realm=\"paylink\"";
const BAD_KEY: &str = "Bearer realm=\"paylink\", error=\"invalid_token\"";

/// The key of a request, well formed and not yet proved.
fn presented(headers: &HeaderMap) -> Result<Presented, Problem> {
    let mut values = headers.get_all(AUTHORIZATION);
    let (Some(value), None) = (values.next(), values.next()) else {
        return Err(Problem::unauthorized(NO_KEY));
    };
    let text = value.to_str().unwrap_or_default();
    match text.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => {
            Presented::parse(token.trim()).ok_or_else(|| Problem::unauthorized(BAD_KEY))
        }
        _ => Err(Problem::unauthorized(NO_KEY)),
    }
}

/// A key that let its holder in, with what is needed to ask again whether it still does: a stream
/// outlives the moment at which its key was checked.
#[derive(Clone)]
pub struct Admitted {
    /// Who it is.
    pub caller: Caller,
    presented: Presented,
}

/// Lets the holder of a valid key in.
pub async fn admit(state: &State, headers: &HeaderMap) -> Result<Admitted, Problem> {
    let presented = presented(headers)?;
    let caller = admits(state, &presented).await?;
    Ok(Admitted { caller, presented })
}

impl Admitted {
    /// Whether the key would still be let in.
    pub async fn still(&self, state: &State) -> bool {
        admits(state, &self.presented).await.is_ok()
    }
}

async fn admits(state: &State, presented: &Presented) -> Result<Caller, Problem> {
    let house = &state.house;
    let key = key(&state.keys, house, presented.id).await?;
    key.filter(|key| admitted(key, presented, house, house.clock.now()))
        .map(|key| key.caller())
        .ok_or_else(|| Problem::unauthorized(BAD_KEY))
}

fn admitted(key: &ApiKey, presented: &Presented, house: &House, now: Timestamp) -> bool {
    key.admits(presented, &house.vault, now) && key.mode == house.settings.mode
}

async fn key(cache: &KeyCache, house: &House, id: KeyId) -> Result<Option<ApiKey>, Problem> {
    let now = Instant::now();
    if let Some(key) = cache.get(id, now) {
        return Ok(Some(key));
    }
    let key = house
        .store
        .read(move |tx| tx.key(id))
        .await
        .map_err(|error| storage(&error))?;
    if let Some(key) = &key {
        cache.put(key.clone(), now);
    }
    Ok(key)
}

/// The middleware of `/v1`.
pub async fn authenticate(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let Some(state) = request.app_data::<web::Data<State>>().cloned() else {
        return Ok(request.error_response(Problem::new(ProblemCode::InternalError)));
    };
    match admit(&state, request.headers()).await {
        Ok(admitted) => {
            request.extensions_mut().insert(admitted);
            Ok(next.call(request).await?.map_into_boxed_body())
        }
        Err(problem) => Ok(request.error_response(problem)),
    }
}

impl FromRequest for Admitted {
    type Error = Problem;
    type Future = std::future::Ready<Result<Self, Problem>>;
    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let admitted = request.extensions().get::<Admitted>().cloned();
        std::future::ready(admitted.ok_or_else(|| Problem::unauthorized(NO_KEY)))
    }
}

impl FromRequest for Caller {
    type Error = Problem;
    type Future = std::future::Ready<Result<Self, Problem>>;
    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let admitted = Admitted::from_request(request, payload).into_inner();
        std::future::ready(admitted.map(|it| it.caller))
    }
}

/// 403 where the caller's role lacks this verb.
pub fn require(caller: &Caller, verb: Verb) -> Result<(), Problem> {
    if caller.may(verb) {
        Ok(())
    } else {
        Err(Problem::new(ProblemCode::Forbidden))
    }
}
