//! `paylink migrate`.

use super::out::say;
use super::{Failure, environment, log, rooms};
use crate::clock::Clock;
use crate::config::{Base, Needs};
use crate::store::Holding;

pub(super) async fn migrate() -> Result<(), Failure> {
    let base = Base::from_env(&environment, Needs::Database)?;
    log::begin(&base.log);
    let store = rooms::open_store(&base, None, Holding::Serving, Clock::system()).await?;
    let migrated = store
        .migrate()
        .await
        .map_err(|error| Failure::failed("the schema could not be brought up to date", &error))?;
    say!("{migrated}")?;
    Ok(())
}
