//! A copy of the SQLite file, made while it is served. It holds everything but the key, and a mark
//! that says that it is a copy: whoever serves it finds out first what happened after it was made
//! (`flow::recover`).

use std::fmt;
use std::fs::{File, Permissions, TryLockError};
use std::io;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Text};
use jiff::Timestamp;

use super::rows::micros;
use super::{Backend, Store, StoreError, lite};

/// A copy that is there to stay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backup {
    /// Its size.
    pub bytes: u64,
    /// What was committed before it was begun is in it.
    pub begun_at: Timestamp,
}

/// Why there is no copy. One line, says what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BackupError {
    /// Only SQLite's file is copied by this program.
    NotSqlite,
    /// Nothing is written over.
    Exists(PathBuf),
    /// Another process writes the same copy.
    Busy(PathBuf),
    /// The schema is another version's: the mark has no place in it.
    OtherSchema,
    /// It was tried and failed; nothing is left of it.
    Failed(String),
}

impl fmt::Display for BackupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BackupError::NotSqlite => f.write_str(
                "this database is PostgreSQL's own to copy: use pg_dump, or pg_basebackup with the WAL for a point in time; \
                 after a restore, and before anything serves it, run: paylink restored",
            ),
            BackupError::Exists(file) => write!(
                f,
                "{} is there already, and nothing is written over: give another name",
                file.display()
            ),
            BackupError::Busy(file) => {
                write!(f, "another backup is writing {} just now", file.display())
            }
            BackupError::OtherSchema => f.write_str(
                "the schema is not this version's: back up with the version that serves it, or run paylink migrate first",
            ),
            BackupError::Failed(words) => write!(f, "no backup was made: {words}"),
        }
    }
}
impl std::error::Error for BackupError {}

impl From<StoreError> for BackupError {
    fn from(error: StoreError) -> Self {
        BackupError::Failed(error.to_string())
    }
}

fn failed(what: &str, error: &dyn fmt::Display) -> BackupError {
    BackupError::Failed(format!("{what}: {error}"))
}

#[derive(QueryableByName)]
struct Said {
    #[diesel(sql_type = Text)]
    it: String,
}

impl Store {
    /// Copies the database into `to`, which must not be there yet: readable to its owner alone,
    /// checked, marked as a copy, and durable with its name when this answers. Writers are not
    /// held up; what they commit meanwhile is not in it. `progress` hears how many bytes of about
    /// how many are written, from another thread.
    pub async fn backup(
        &self,
        to: &Path,
        progress: impl Fn(u64, u64) + Send + 'static,
    ) -> Result<Backup, BackupError> {
        let Backend::Lite(lite) = &self.0.backend else {
            return Err(BackupError::NotSqlite);
        };
        if to.symlink_metadata().is_ok() {
            return Err(BackupError::Exists(to.to_owned()));
        }
        if !self.is_migrated().await? {
            return Err(BackupError::OtherSchema);
        }
        let (from, to, clock) = (
            lite.file.clone(),
            to.to_owned(),
            self.0.shared.clock.clone(),
        );
        let partial = Partial::begin(&to)?;
        let watched = partial.name.clone();
        let mut copying = tokio::task::spawn_blocking(move || {
            let begun_at = clock.now();
            copy(&from, &partial.name)?;
            mark(&partial.name, clock.now())?;
            let bytes = partial.keep(&to)?;
            Ok(Backup { bytes, begun_at })
        });
        let whole = lite.file.metadata().map_or(0, |it| it.len());
        loop {
            let wait = std::time::Duration::from_secs(2);
            match tokio::time::timeout(wait, &mut copying).await {
                Ok(Ok(made)) => return made,
                Ok(Err(_)) => return Err(StoreError::Panicked.into()),
                Err(_) => progress(watched.metadata().map_or(0, |it| it.len()), whole),
            }
        }
    }
}

/// `VACUUM INTO` reads one snapshot and writes it without holes; the source is only read.
fn copy(from: &Path, partial: &Path) -> Result<(), BackupError> {
    let mut source = lite::connect(from).map_err(|error| failed("the database", &error))?;
    diesel::sql_query("VACUUM INTO $1")
        .bind::<Text, _>(name(partial)?)
        .execute(&mut source)
        .map_err(|error| failed("the copy could not be written", &error))?;
    Ok(())
}

fn name(file: &Path) -> Result<&str, BackupError> {
    file.to_str()
        .ok_or_else(|| failed("the name of the copy", &"it is not UTF-8"))
}

/// Marks the copy and reads it through once. It has no write-ahead log: it is one file.
fn mark(partial: &Path, now: Timestamp) -> Result<(), BackupError> {
    let wrong = |error: &dyn fmt::Display| failed("the copy could not be marked", error);
    let mut copy = SqliteConnection::establish(name(partial)?).map_err(|error| wrong(&error))?;
    copy.batch_execute("PRAGMA journal_mode = DELETE; PRAGMA synchronous = FULL;")
        .map_err(|error| wrong(&error))?;
    diesel::sql_query(
        "INSERT OR REPLACE INTO recovery (id, marked_at, step) VALUES (1, $1, 'deliveries')",
    )
    .bind::<BigInt, _>(micros(now))
    .execute(&mut copy)
    .map_err(|error| wrong(&error))?;
    let said: Vec<Said> =
        diesel::sql_query("SELECT integrity_check AS it FROM pragma_integrity_check")
            .load(&mut copy)
            .map_err(|error| failed("the copy could not be checked", &error))?;
    match said.as_slice() {
        [one] if one.it == "ok" => {}
        [] => return Err(failed("the copy", &"it could not be checked")),
        [first, ..] => return Err(failed("the copy is not whole", &first.it)),
    }
    Ok(())
}

/// The file while it is not whole. Dropped, it is gone. What a killed process left is written over;
/// the lock on it tells that from one that is being written.
struct Partial {
    name: PathBuf,
    file: File,
    kept: bool,
}

impl Partial {
    fn begin(to: &Path) -> Result<Self, BackupError> {
        let mut name = to.as_os_str().to_owned();
        name.push(".partial");
        let name = PathBuf::from(name);
        let wrong = |error: io::Error| failed(&name.display().to_string(), &error);
        let file = File::options()
            .mode(0o600)
            .create(true)
            .truncate(false)
            .write(true)
            .open(&name)
            .map_err(wrong)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(BackupError::Busy(to.to_owned())),
            Err(TryLockError::Error(error)) => return Err(wrong(error)),
        }
        // what was left there may have been another's, readable to others
        file.set_permissions(Permissions::from_mode(0o600))
            .map_err(wrong)?;
        // an older journal beside it would be rolled back into it
        drop(std::fs::remove_file(journal(&name)));
        // SQLite copies into a file that is empty
        file.set_len(0).map_err(wrong)?;
        let kept = false;
        Ok(Self { name, file, kept })
    }

    /// Gives it its name, durably. Nothing of that name is written over, also one that came
    /// meanwhile.
    fn keep(mut self, to: &Path) -> Result<u64, BackupError> {
        let wrong = |error: io::Error| match error.kind() {
            io::ErrorKind::AlreadyExists => BackupError::Exists(to.to_owned()),
            _ => failed(&to.display().to_string(), &error),
        };
        self.file.sync_all().map_err(wrong)?;
        let bytes = self.file.metadata().map_err(wrong)?.len();
        match std::fs::hard_link(&self.name, to) {
            Ok(()) => drop(std::fs::remove_file(&self.name)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Err(wrong(error)),
            // a file system without hard links
            Err(_) if !to.exists() => std::fs::rename(&self.name, to).map_err(wrong)?,
            Err(error) => return Err(wrong(error)),
        }
        self.kept = true;
        let folder = to.parent().filter(|it| !it.as_os_str().is_empty());
        File::open(folder.unwrap_or(Path::new(".")))
            .and_then(|folder| folder.sync_all())
            .map_err(wrong)?;
        Ok(bytes)
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        if !self.kept {
            drop(std::fs::remove_file(journal(&self.name)));
            drop(std::fs::remove_file(&self.name));
        }
    }
}

fn journal(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push("-journal");
    PathBuf::from(name)
}
