//! Why the store could not do it, sorted by what the caller can do.

use std::fmt;

use diesel::result::{DatabaseErrorKind as Kind, Error as Diesel};

use super::rows::Corrupt;

/// Why the store could not do it. [`StoreError::Taken`] is for the caller to judge,
/// [`StoreError::Unknown`] says neither yes nor no, all else is "not stored, try again".
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreError {
    /// A row with this key is there already.
    Taken(Constraint),
    /// More callers wait than the store will keep waiting.
    Overloaded,
    /// Another transaction was in the way each time.
    Again,
    /// Another process holds the SQLite file's write lock, or a lock on PostgreSQL.
    Busy,
    /// The connection was lost, and with it the transaction.
    Lost,
    /// The connection was lost during COMMIT, and the database cannot be asked what became of it
    /// (failure-model R6): it may be stored.
    Unknown,
    /// The disk is full.
    Full,
    /// A row that cannot be.
    Corrupt(Corrupt),
    /// Anything else that the database says.
    Fatal(String),
    /// The closure panicked; nothing of it is stored.
    Panicked,
    /// The store is closing.
    Closed,
    /// An earlier statement of the same transaction failed: nothing more of it reaches the database.
    Spent,
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StoreError::Taken(constraint) => write!(f, "already there: {constraint:?}"),
            StoreError::Overloaded => f.write_str("too many callers wait for the database"),
            StoreError::Again => f.write_str("other transactions were in the way"),
            StoreError::Busy => {
                f.write_str("another process holds what is to be written in the database")
            }
            StoreError::Lost => f.write_str("the connection to the database was lost"),
            StoreError::Unknown => {
                f.write_str("nobody knows whether it is stored: the database went away meanwhile")
            }
            StoreError::Full => f.write_str("the database's disk is full"),
            StoreError::Corrupt(_) => f.write_str("the database holds what it cannot hold"),
            StoreError::Fatal(words) => write!(f, "the database refused: {words}"),
            StoreError::Panicked => f.write_str("the transaction's code panicked"),
            StoreError::Closed => f.write_str("the store is closing"),
            StoreError::Spent => f.write_str("an earlier statement of the transaction failed"),
        }
    }
}

impl std::error::Error for StoreError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            StoreError::Corrupt(corrupt) => Some(corrupt),
            _ => None,
        }
    }
}

impl From<Corrupt> for StoreError {
    fn from(corrupt: Corrupt) -> Self {
        StoreError::Corrupt(corrupt)
    }
}

/// Why the database could not be opened. One line, says what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OpenError {
    /// Another process serves this SQLite file.
    Held(String),
    /// `DATABASE_URL` says what we cannot do.
    Unsupported(String),
    /// The database does not answer, or not as it must.
    Unusable(String),
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            OpenError::Held(file) => write!(
                f,
                "another process serves {file}: stop it first (on SQLite one process serves a file)"
            ),
            OpenError::Unsupported(words) => write!(f, "DATABASE_URL: {words}"),
            OpenError::Unusable(words) => write!(f, "the database cannot be used: {words}"),
        }
    }
}
impl std::error::Error for OpenError {}

macro_rules! constraints {
    ($($(#[$doc:meta])* $name:ident = $table:literal [$($column:literal),+] $kind:ident),+ $(,)?) => {
        /// What must be there once only.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Constraint {
            $($(#[$doc])* $name,)+
            /// A constraint that this program does not know.
            Other,
        }
        /// Constraint, table, columns, whether it is the primary key.
        pub(super) const UNIQUE: &[(Constraint, &str, &[&str], bool)] =
            &[$((Constraint::$name, $table, &[$($column),+], constraints!(@ $kind))),+];
    };
    (@ key) => { true };
    (@ also) => { false };
}
constraints! {
    /// A link of this id.
    Link = "link" ["id"] key,
    /// Another live link of this store and reference.
    LiveReference = "link" ["live_reference"] also,
    /// A token of this hash.
    Token = "token" ["hash"] key,
    /// A delivery of this id.
    Delivery = "delivery" ["id"] key,
    /// This attempt of a delivery.
    Attempt = "attempt" ["delivery", "claim"] key,
    /// An event's number in the order of insertion.
    EventNumber = "event" ["n"] key,
    /// An event of this id.
    Event = "event" ["id"] also,
    /// A place in the stream.
    Position = "event" ["position"] also,
    /// A link's event of this number: the link was not touched first.
    Sequence = "event" ["link", "sequence"] also,
    /// The row of the stream's head.
    Head = "event_head" ["id"] key,
    /// A job of this kind and subject.
    Job = "job" ["id"] key,
    /// A request under this key.
    Idempotency = "idempotency" ["scope", "key"] key,
    /// An API key of this id.
    Key = "api_key" ["id"] key,
    /// An alert of this kind in this hour.
    Alert = "alert" ["kind", "hour"] key,
    /// An entry of the audit log.
    Audit = "audit" ["n"] key,
    /// The row of the audit log's head.
    AuditHead = "audit_head" ["id"] key,
    /// An operation of this id.
    Operation = "operation" ["id"] key,
    /// The row that says that this ledger is a copy.
    Recovery = "recovery" ["id"] key,
    /// The count of one kind of difference from Klarna.
    Drift = "drift" ["what"] key,
    /// A search term of a link.
    Lookup = "lookup" ["hash", "created_at", "link"] key,
    /// What stands before Klarna, by its name.
    Gate = "gate" ["name"] key,
}

/// PostgreSQL names the constraint, SQLite only its columns.
fn constraint(name: Option<&str>, message: &str) -> Constraint {
    let columns = message.strip_prefix("UNIQUE constraint failed: ");
    UNIQUE
        .iter()
        .find(|(_, table, of, primary)| {
            let postgres = if *primary {
                format!("{table}_pkey")
            } else {
                format!("{table}_{}_key", of.join("_"))
            };
            let sqlite = || {
                let full: Vec<_> = of
                    .iter()
                    .map(|column| format!("{table}.{column}"))
                    .collect();
                full.join(", ")
            };
            name == Some(postgres.as_str()) || columns.is_some_and(|it| it == sqlite())
        })
        .map_or(Constraint::Other, |(constraint, ..)| *constraint)
}

/// What an error of Diesel means. Both drivers tell some kinds by message text only; PostgreSQL is
/// asked to speak English (`lc_messages`).
pub(super) fn judge(error: &Diesel) -> StoreError {
    let Diesel::DatabaseError(kind, info) = error else {
        return match error {
            Diesel::BrokenTransactionManager => StoreError::Lost,
            other => StoreError::Fatal(other.to_string()),
        };
    };
    let message = info.message();
    let says = |words: &[&str]| words.iter().any(|it| message.contains(it));
    match kind {
        Kind::UniqueViolation => StoreError::Taken(constraint(info.constraint_name(), message)),
        Kind::SerializationFailure => StoreError::Again,
        // a primary that was demoted: the next connection finds the new one
        Kind::ClosedConnection | Kind::ReadOnlyTransaction | Kind::UnableToSendCommand => {
            StoreError::Lost
        }
        _ if says(&["deadlock detected"]) => StoreError::Again,
        _ if says(&[
            "connection closed",
            "terminating connection",
            "error communicating with the server",
            "the database system is",
        ]) =>
        {
            StoreError::Lost
        }
        _ if says(&["disk is full", "No space left on device"]) => StoreError::Full,
        _ if says(&[
            "database is locked",
            "database table is locked",
            "canceling statement due to lock timeout",
        ]) =>
        {
            StoreError::Busy
        }
        _ => StoreError::Fatal(message.to_owned()),
    }
}
