//! Request headers with a meaning: `Idempotency-Key`, `If-Match`, `If-None-Match`, `X-Request-Id`.

use actix_web::HttpRequest;
use actix_web::http::header::{HeaderMap, IF_MATCH, IF_NONE_MATCH};

use super::problem::{FaultView, Problem};
use crate::access::Caller;
use crate::chaos::{self, Bug};
use crate::flow::Key;
use crate::link::{Code, Tree};

const IDEMPOTENCY_KEY: &str = "Idempotency-Key";

/// The key of a POST, bound to caller, method, path and body (`contract.md`, Idempotency).
pub fn idempotency(
    request: &HttpRequest,
    caller: &Caller,
    body: &Tree,
) -> Result<Option<Key>, Problem> {
    let Some(key) = idempotency_key(request.headers()).map_err(|detail| {
        Problem::faults(vec![FaultView::of_parameter(
            IDEMPOTENCY_KEY,
            Code::InvalidFormat,
            detail,
        )])
    })?
    else {
        return Ok(None);
    };
    Ok(Some(Key {
        scope: if chaos::planted(Bug::KeyUnscoped) {
            format!("{} {}", request.method(), request.path())
        } else {
            format!("{} {} {}", caller.actor, request.method(), request.path())
        },
        key,
        fingerprint: crate::json::fingerprint(body),
    }))
}

/// The header's value: `"abc"` and `abc` are one key; 1 to 255 printable ASCII characters.
pub fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, &'static str> {
    let mut values = headers.get_all(IDEMPOTENCY_KEY);
    let Some(value) = values.next() else {
        return Ok(None);
    };
    if values.next().is_some() {
        return Err("one key is wanted, not several");
    }
    let bytes = value.as_bytes().trim_ascii();
    let bare = match bytes {
        [b'"', inner @ .., b'"'] => inner,
        _ => bytes,
    };
    let printable = bare.iter().all(|b| matches!(b, 0x20..=0x7e));
    if !printable || !(1..=255).contains(&bare.len()) {
        return Err("a key has 1 to 255 printable ASCII characters");
    }
    Ok(Some(bare.iter().copied().map(char::from).collect()))
}

/// Entity tags of a conditional request.
#[derive(Debug, PartialEq, Eq)]
enum Tags {
    Any,
    These(Vec<String>),
}

fn tags(headers: &HeaderMap, name: actix_web::http::header::HeaderName) -> Option<Tags> {
    let mut these = Vec::new();
    let mut seen = false;
    for value in headers.get_all(name) {
        seen = true;
        // what is no tag matches nothing, as it should
        for tag in value.to_str().unwrap_or_default().split(',') {
            match tag.trim() {
                "*" => return Some(Tags::Any),
                tag => these.push(tag.to_owned()),
            }
        }
    }
    seen.then_some(Tags::These(these))
}

/// The tag of a version.
pub fn etag(version: i64) -> String {
    format!("\"{version}\"")
}

/// Whether the caller has this version already (weak comparison, RFC 9110 13.1.2).
pub fn has_already(headers: &HeaderMap, tag: &str) -> bool {
    match tags(headers, IF_NONE_MATCH) {
        None => false,
        Some(Tags::Any) => true,
        Some(Tags::These(these)) => these
            .iter()
            .any(|it| it.strip_prefix("W/").unwrap_or(it) == tag),
    }
}

/// The version that a write is meant for, where it says so. Of a list, `current` is taken if it is
/// there. The write itself compares again, under its lock: this only picks.
pub fn wanted_version(headers: &HeaderMap, current: i64) -> Option<i64> {
    match tags(headers, IF_MATCH) {
        None | Some(Tags::Any) => None,
        Some(Tags::These(these)) if these.contains(&etag(current)) => Some(current),
        // versions count from 1: what matches none is refused there, unless it is a replay
        Some(Tags::These(_)) => Some(0),
    }
}

/// The caller's own id of the request, where it is fit for a log: 1 to 128 of `A-Za-z0-9._:-`.
pub fn request_id(headers: &HeaderMap) -> Option<&str> {
    let text = headers.get("X-Request-Id")?.to_str().ok()?;
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b':' | b'-');
    ((1..=128).contains(&text.len()) && text.bytes().all(plain)).then_some(text)
}
