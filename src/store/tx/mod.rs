//! The verbs of a transaction, a file per subject. Each is an `impl Tx`; none decides anything
//! about a link's life.

pub(super) mod alerts;
pub(super) mod attempts;
pub(super) mod deliveries;
pub(super) mod drifts;
pub(super) mod events;
pub(super) mod gates;
pub(super) mod idempotency;
pub(super) mod jobs;
pub(super) mod keys;
pub(super) mod links;
pub(super) mod lists;
pub(super) mod lookups;
pub(super) mod operations;
pub(super) mod outbox;
pub(super) mod parked;
pub(super) mod recovery;
pub(super) mod tokens;
