//! `paylink backup`.

use std::path::Path;

use serde_json::json;

use super::out::{note, say};
use super::{Failure, environment, log, rooms};
use crate::clock::Clock;
use crate::config::{Base, Needs};
use crate::store::{BackupError, Holding};
use crate::view::Instant;

pub(super) async fn backup(file: &Path, as_json: bool) -> Result<(), Failure> {
    let base = Base::from_env(&environment, Needs::Database)?;
    log::begin(&base.log);
    if base.database.sqlite_file.is_none() {
        return Err(Failure::Usage(vec![BackupError::NotSqlite.to_string()]));
    }
    rooms::is_there(&base)?;
    let store = rooms::open_store(&base, None, Holding::Beside, Clock::system()).await?;
    let made = store
        .backup(file, |written, whole| {
            note!(
                "paylink: {} of about {} MiB copied",
                written >> 20,
                whole >> 20
            );
        })
        .await
        .map_err(|error| match error {
            BackupError::NotSqlite | BackupError::Exists(_) => {
                Failure::Usage(vec![error.to_string()])
            }
            BackupError::Busy(_) | BackupError::OtherSchema | BackupError::Failed(_) => {
                Failure::Failed(error.to_string())
            }
        })?;
    let key = match (&base.secret, base.database.key_file()) {
        (None, Some(key)) => key.display().to_string(),
        _ => "PAYLINK_SECRET".to_owned(),
    };
    if as_json {
        say!(
            "{}",
            json!({"file": file.display().to_string(), "bytes": made.bytes, "begun_at": Instant(made.begun_at), "key": key, "key_included": false})
        )?;
    } else {
        say!(
            "{}: {} bytes, everything that was committed before {:.3}",
            file.display(),
            made.bytes,
            made.begun_at
        )?;
    }
    note!(
        "paylink: the key ({key}) is not in the copy, and without it the copy cannot be used: keep the key too, apart from the copy"
    );
    Ok(())
}
