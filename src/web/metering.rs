//! The recorder of metrics: one for the process, whichever service of it started first (a test puts
//! several into one).

use std::sync::OnceLock;

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

/// Upper bounds in seconds: from a read of a row to the patience with Klarna.
const BOUNDS: &[f64] = &[
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
];

static HANDLE: OnceLock<Option<PrometheusHandle>> = OnceLock::new();

/// What `/metrics` prints; `None` where another recorder was there first.
pub fn handle() -> Option<PrometheusHandle> {
    HANDLE
        .get_or_init(|| {
            let recorder = PrometheusBuilder::new()
                .set_buckets_for_metric(Matcher::Suffix("_seconds".into()), BOUNDS)
                .and_then(PrometheusBuilder::install_recorder);
            match recorder {
                Ok(handle) => Some(handle),
                Err(error) => {
                    tracing::warn!(%error, "there are no metrics");
                    None
                }
            }
        })
        .clone()
}
