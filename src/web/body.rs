//! Request bodies: JSON objects of at most 1 MiB, read strictly (`contract.md`, Errors).

use std::time::Duration;

use actix_web::HttpRequest;
use actix_web::http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE};
use actix_web::web::{BytesMut, Payload};
use futures_util::StreamExt;

use super::problem::{Problem, ProblemCode};
use crate::link::Tree;

/// Klarna's own limit, and ours.
pub const LIMIT: usize = 1024 * 1024;

/// A body that trickles is a connection held: R12, everything bounded.
const PATIENCE: Duration = Duration::from_secs(30);

/// The body, which must be there.
pub async fn object(request: &HttpRequest, payload: Payload) -> Result<Tree, Problem> {
    if !is_json(request) {
        return Err(Problem::new(ProblemCode::UnsupportedMediaType));
    }
    parse(&read(request, payload).await?)
}

/// The body of a call that may leave it out: no bytes are an empty object.
pub async fn optional(request: &HttpRequest, payload: Payload) -> Result<Tree, Problem> {
    let bytes = read(request, payload).await?;
    if bytes.is_empty() {
        return Ok(Tree::Map(Vec::new()));
    }
    if !is_json(request) {
        return Err(Problem::new(ProblemCode::UnsupportedMediaType));
    }
    parse(&bytes)
}

fn parse(bytes: &[u8]) -> Result<Tree, Problem> {
    crate::json::parse(bytes).map_err(|fault| {
        Problem::new(ProblemCode::MalformedJson)
            .detail(format!("{fault}. {}", ProblemCode::MalformedJson.advice()))
    })
}

fn is_json(request: &HttpRequest) -> bool {
    let headers = request.headers();
    let encoded = headers
        .get(CONTENT_ENCODING)
        .is_some_and(|it| !it.as_bytes().eq_ignore_ascii_case(b"identity"));
    let json = headers
        .get(CONTENT_TYPE)
        .and_then(|it| it.to_str().ok())
        .is_some_and(|it| {
            let essence = it.split(';').next().unwrap_or_default().trim();
            essence.eq_ignore_ascii_case("application/json")
        });
    json && !encoded
}

async fn read(request: &HttpRequest, mut payload: Payload) -> Result<BytesMut, Problem> {
    let announced = request
        .headers()
        .get(CONTENT_LENGTH)
        .and_then(|it| it.to_str().ok()?.parse::<usize>().ok());
    if announced.is_some_and(|bytes| bytes > LIMIT) {
        return Err(Problem::new(ProblemCode::PayloadTooLarge));
    }
    let whole = async {
        let mut body = BytesMut::with_capacity(announced.unwrap_or(0).min(LIMIT));
        while let Some(chunk) = payload.next().await {
            let chunk = chunk.map_err(|_| broken_off())?;
            if body.len() + chunk.len() > LIMIT {
                return Err(Problem::new(ProblemCode::PayloadTooLarge));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    };
    tokio::time::timeout(PATIENCE, whole)
        .await
        .unwrap_or_else(|_| Err(broken_off()))
}

fn broken_off() -> Problem {
    Problem::new(ProblemCode::MalformedJson).detail("The body broke off. Send it again.")
}
