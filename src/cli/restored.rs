//! `paylink restored`.

use super::out::say;
use super::{Failure, environment, log, rooms};
use crate::clock::Clock;
use crate::config::{Base, Needs};
use crate::store::Holding;

pub(super) async fn restored() -> Result<(), Failure> {
    let base = Base::from_env(&environment, Needs::Database)?;
    log::begin(&base.log);
    rooms::is_there(&base)?;
    let clock = Clock::system();
    let store = rooms::open_store(&base, None, Holding::Serving, clock.clone()).await?;
    // a dump of an older version has no place for the mark
    store
        .migrate()
        .await
        .map_err(|error| Failure::failed("the schema could not be brought up to date", &error))?;
    let now = clock.now();
    store
        .write(move |tx| tx.mark_as_copy(now))
        .await
        .map_err(|error| Failure::failed("the database could not be marked", &error))?;
    say!(
        "marked: before any job runs, paylink serve finds out what happened after this copy was made"
    )
}
