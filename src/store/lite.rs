//! SQLite: the file, its lock, its pragmas, its one writer and its readers.

use std::fs::{File, TryLockError};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel::sql_types::Text;

use super::pool::{Pool, blocking};
use super::writer::{Op, Waiting, work};
use super::{Conn, Holding, OpenError, Shared, StoreError, Tx};
use crate::chaos::{self, Bug};

/// Writes that may wait for the writer; more are told that the store is overloaded.
const QUEUE: usize = 4096;
/// Older ones can corrupt a WAL that is reset while it is read (failure-model R5).
const OLDEST: (u32, u32, u32) = (3, 51, 3);

pub(super) struct Lite {
    pub file: PathBuf,
    queue: SyncSender<Box<dyn Op>>,
    pub readers: Arc<Pool>,
    /// Held for as long as the process serves; the kernel drops it when the process dies.
    _lock: Option<File>,
}

#[derive(QueryableByName)]
struct Said {
    #[diesel(sql_type = Text)]
    it: String,
}

impl Lite {
    pub async fn open(
        file: PathBuf,
        readers: usize,
        holding: Holding,
        shared: Arc<Shared>,
    ) -> Result<Self, OpenError> {
        let opening = move || -> Result<Result<Self, OpenError>, StoreError> {
            Ok(Self::open_blocking(file, readers, holding, shared))
        };
        blocking(opening)
            .await
            .unwrap_or_else(|error| Err(OpenError::Unusable(error.to_string())))
    }

    fn open_blocking(
        file: PathBuf,
        readers: usize,
        holding: Holding,
        shared: Arc<Shared>,
    ) -> Result<Self, OpenError> {
        let lock = match holding {
            Holding::Serving => Some(lock(&file)?),
            Holding::Beside => None,
        };
        let conn = connect(&file)?;
        let (queue, waiting) = sync_channel::<Box<dyn Op>>(QUEUE);
        std::thread::Builder::new()
            .name("sqlite-writer".into())
            .spawn(move || work(Conn::Lite(conn), &waiting, &shared))
            .map_err(|error| OpenError::Unusable(error.to_string()))?;
        let readers = {
            let file = file.clone();
            Pool::new(readers, move |_| {
                reader(&file).map_err(|error| StoreError::Fatal(error.to_string()))
            })
        };
        Ok(Self {
            file,
            queue,
            readers,
            _lock: lock,
        })
    }

    pub async fn write<T, E>(
        &self,
        closure: impl Fn(&mut Tx) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        let (op, answer) = Waiting::new(closure);
        // never `send`: that would block a thread of the runtime
        self.queue
            .try_send(Box::new(op))
            .map_err(|error| match error {
                TrySendError::Full(_) => StoreError::Overloaded,
                TrySendError::Disconnected(_) => StoreError::Closed,
            })?;
        answer
            .await
            .unwrap_or_else(|_| Err(StoreError::Closed.into()))
    }
}

/// Keeps a second serving process out, by whatever path it comes: the lock lies beside the file that a
/// symbolic link leads to, as SQLite's own companions do. The lock file itself means nothing and is
/// never deleted.
pub(super) fn lock(file: &Path) -> Result<File, OpenError> {
    let held = file.display().to_string();
    // what does not exist yet has no one true name; through a link that leads nowhere it is made there
    let mut made = File::options();
    made.mode(0o600).create(true).truncate(false).write(true);
    made.open(file).map_err(|error| unusable(file, &error))?;
    let file = file
        .canonicalize()
        .map_err(|error| unusable(file, &error))?;
    let names = file
        .metadata()
        .map_err(|error| unusable(&file, &error))?
        .nlink();
    if names > 1 {
        // one WAL for each name: SQLite calls it a way to corrupt a database
        let words = format!("it has {names} names (hard links), and may have one");
        return Err(unusable(&file, &words));
    }
    let mut name = file.into_os_string();
    name.push(".lock");
    let lock = File::options()
        // as the database and its key: whoever else holds the lock keeps us from serving
        .mode(0o600)
        .create(true)
        .truncate(false)
        .write(true)
        .open(&name)
        .map_err(|error| unusable(Path::new(&name), &error))?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(OpenError::Held(held)),
        Err(TryLockError::Error(error)) => Err(unusable(Path::new(&name), &error)),
    }
}

fn unusable(file: &Path, error: &dyn std::fmt::Display) -> OpenError {
    OpenError::Unusable(format!("{}: {error}", file.display()))
}

/// A connection that may write.
pub(super) fn connect(file: &Path) -> Result<SqliteConnection, OpenError> {
    let failed = |error: &dyn std::fmt::Display| unusable(file, error);
    private(file).map_err(|error| failed(&error))?;
    let name = file
        .to_str()
        .ok_or_else(|| failed(&"its name is not UTF-8"))?;
    let mut conn = SqliteConnection::establish(name).map_err(|error| failed(&error))?;
    let durable = if chaos::planted(Bug::SynchronousNormal) {
        "NORMAL"
    } else {
        "FULL"
    };
    // the time-out comes first: setting the journal's mode takes a lock, too (failure-model R10)
    conn.batch_execute(&format!(
        "PRAGMA busy_timeout = 5000; PRAGMA journal_mode = WAL; PRAGMA synchronous = {durable}; \
         PRAGMA foreign_keys = ON;",
    ))
    .map_err(|error| failed(&error))?;
    let mut ask = |question: &str| {
        diesel::sql_query(question)
            .get_result::<Said>(&mut conn)
            .map(|said| said.it)
            .map_err(|error| failed(&error))
    };
    let version = ask("SELECT sqlite_version() AS it")?;
    if parts(&version).is_none_or(|it| it < OLDEST) {
        let words = format!("SQLite {version} is too old, 3.51.3 is the oldest that is safe");
        return Err(OpenError::Unusable(words));
    }
    if ask("SELECT journal_mode AS it FROM pragma_journal_mode")? != "wal" {
        return Err(failed(
            &"it has no write-ahead log; is it on a network disk?",
        ));
    }
    Ok(conn)
}

fn reader(file: &Path) -> Result<Conn, OpenError> {
    let mut conn = connect(file)?;
    conn.batch_execute("PRAGMA query_only = ON")
        .map_err(|error| unusable(file, &error))?;
    Ok(Conn::Lite(conn))
}

/// Makes a new file readable to its owner alone. SQLite gives its companions the same mode.
fn private(file: &Path) -> std::io::Result<()> {
    let mut options = File::options();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    match options.open(file) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

fn parts(version: &str) -> Option<(u32, u32, u32)> {
    let mut numbers = version.split('.').map(|it| it.parse().ok());
    Some((numbers.next()??, numbers.next()??, numbers.next()??))
}
