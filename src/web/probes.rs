//! For the operator's machines: is it alive, is it ready, what does it count.

use std::sync::atomic::Ordering;
use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, web};
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use utoipa::ToSchema;

use super::State;
use crate::store::StoreError;

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
    /// `ok`, `not_migrated`, `failed`.
    database: &'static str,
    /// `ok`, `late` (work is due and nobody does it), `recovering` (the database is a copy and is brought
    /// up to now, at most 15 minutes beyond Klarna's last answer), `failed`, or `absent` where this
    /// process has no worker.
    worker: &'static str,
    /// Whether the process is on its way down.
    stopping: bool,
}

/// Whether requests should come here: the database answers under the schema of this program, and
/// due work gets done.
#[utoipa::path(get, path = "/readyz", tag = "operations", security(()),
    responses((status = 200, description = "Ready.", body = Readiness),
              (status = 503, description = "Not ready.", body = Readiness)))]
pub async fn ready(state: web::Data<State>) -> HttpResponse {
    let store = &state.house.store;
    let database = match tokio::time::timeout(PATIENCE, answers(&state)).await {
        Ok(Ok(true)) => "ok",
        Ok(Ok(false)) => "not_migrated",
        Ok(Err(_)) | Err(_) => "failed",
    };
    let worker = if state.settings.worker {
        let seen = store.read(|tx| Ok::<_, StoreError>((tx.next_due()?, tx.recovery()?)));
        match tokio::time::timeout(PATIENCE, seen).await {
            Ok(Ok((_, Some(_)))) => "recovering",
            Ok(Ok((due, None))) if is_kept_up(due, state.house.clock.now()) => "ok",
            Ok(Ok(_)) => "late",
            Ok(Err(_)) | Err(_) => "failed",
        }
    } else {
        "absent"
    };
    let stopping = state.stopping.is_cancelled();
    let ready = !stopping && database == "ok" && matches!(worker, "ok" | "absent");
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

/// Whether the database answers under the schema of this program. Anybody may ask, so it costs no
/// connection of its own once that was seen.
async fn answers(state: &State) -> Result<bool, StoreError> {
    let store = &state.house.store;
    if state.migrated.load(Ordering::Relaxed) {
        // the method alone is not general over a transaction's lifetime
        #[allow(clippy::redundant_closure_for_method_calls)]
        store.read(|tx| tx.recovery()).await?;
        return Ok(true);
    }
    let migrated = store.is_migrated().await?;
    state.migrated.store(migrated, Ordering::Relaxed);
    Ok(migrated)
}

/// A worker that lives does not leave a due job lying for this long, whatever its load.
const LATE: SignedDuration = SignedDuration::from_mins(10);

/// Whether the work that is due first has not been due for long.
fn is_kept_up(due: Option<Timestamp>, now: Timestamp) -> bool {
    due.is_none_or(|due| now.duration_since(due) < LATE)
}

/// What the database counts: commands write it that have no metrics of their own, and replicas share
/// it. Where the database does not answer, the last figures stand.
async fn count(state: &State) {
    let read = state
        .house
        .store
        .read(|tx| Ok::<_, StoreError>((tx.count_parked()?, tx.drifts()?)));
    let Ok(Ok((parked, drifts))) = tokio::time::timeout(PATIENCE, read).await else {
        return;
    };
    // far below where an f64 loses a one
    #[allow(clippy::cast_precision_loss)]
    metrics::gauge!("paylink_jobs_parked").set(parked as f64);
    for (what, number) in drifts {
        metrics::counter!("paylink_reconcile_drift_total", "what" => what)
            .absolute(number.unsigned_abs());
    }
}

/// Prometheus' text format.
#[utoipa::path(get, path = "/metrics", tag = "operations", security(()),
    responses((status = 200, description = "Metrics.", body = String, content_type = "text/plain")))]
pub async fn metrics(state: web::Data<State>) -> HttpResponse {
    count(&state).await;
    let text = state.metrics.as_ref().map(|it| {
        // nobody else does it, as the exporter's own listener is not used
        it.run_upkeep();
        it.render()
    });
    HttpResponse::Ok()
        .content_type("text/plain; version=0.0.4; charset=utf-8")
        .body(text.unwrap_or_default())
}
