//! For the operator's machines: is it alive, is it ready, what does it count.

use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, web};
use serde::Serialize;
use utoipa::ToSchema;

use super::State;

/// A probe that hangs is a failed one.
const PATIENCE: Duration = Duration::from_secs(2);

/// The process answers.
#[utoipa::path(get, path = "/healthz", tag = "operations", security(()),
    responses((status = 200, description = "Alive.", body = String, content_type = "text/plain")))]
pub async fn alive() -> HttpResponse {
    HttpResponse::Ok()
        .content_type("text/plain; charset=utf-8")
        .body("ok\n")
}

/// What `/readyz` found.
#[derive(Serialize, ToSchema)]
pub struct Readiness {
    /// Whether requests should come here.
    ready: bool,
    /// `ok`, `failed`.
    database: &'static str,
    /// `ok`, `failed`, or `absent` where this process has no worker.
    worker: &'static str,
    /// Whether the process is on its way down.
    stopping: bool,
}

/// Whether requests should come here: the database answers under the schema of this program, and the
/// worker is at work.
#[utoipa::path(get, path = "/readyz", tag = "operations", security(()),
    responses((status = 200, description = "Ready.", body = Readiness),
              (status = 503, description = "Not ready.", body = Readiness)))]
pub async fn ready(state: web::Data<State>) -> HttpResponse {
    let read = state.house.store.read(|tx| tx.head());
    let database = match tokio::time::timeout(PATIENCE, read).await {
        Ok(Ok(_)) => "ok",
        Ok(Err(_)) | Err(_) => "failed",
    };
    let worker = match &state.settings.worker {
        None => "absent",
        Some(alive) if alive() => "ok",
        Some(_) => "failed",
    };
    let stopping = state.stopping.is_cancelled();
    let ready = !stopping && database == "ok" && worker != "failed";
    let status = if ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    HttpResponse::build(status).json(Readiness {
        ready,
        database,
        worker,
        stopping,
    })
}

/// Prometheus' text format.
#[utoipa::path(get, path = "/metrics", tag = "operations", security(()),
    responses((status = 200, description = "Metrics.", body = String, content_type = "text/plain")))]
pub async fn metrics(state: web::Data<State>) -> HttpResponse {
    let text = state.settings.metrics.as_ref().map(|it| {
        // nobody else does, as the exporter's own listener is not used
        it.run_upkeep();
        it.render()
    });
    HttpResponse::Ok()
        .content_type("text/plain; version=0.0.4; charset=utf-8")
        .body(text.unwrap_or_default())
}
