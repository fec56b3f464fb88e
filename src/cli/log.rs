//! Where log lines go: stderr, so that stdout is for what a command answers.

use tracing_subscriber::EnvFilter;

use crate::config::{Log, LogFormat};

/// Begins to log. A second call (tests put several services into one process) changes nothing.
pub fn begin(log: &Log) {
    let mut filter = EnvFilter::try_new(&log.filter).unwrap_or_else(|_| EnvFilter::new("info"));
    // handlebars writes what it renders, recipients in full, into its debug lines
    if let Ok(quiet) = "handlebars=warn".parse() {
        filter = filter.add_directive(quiet);
    }
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        // where stderr is gone, a complaint about it would be written there, and panic
        .log_internal_errors(false)
        .with_writer(std::io::stderr);
    let begun = match log.format {
        LogFormat::Text => lines.with_ansi(false).try_init(),
        LogFormat::Json => lines.json().flatten_event(true).try_init(),
    };
    drop(begun);
}
