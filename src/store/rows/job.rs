//! Table `job`: work that was promised in the transaction that needs it.

use diesel::prelude::*;
use jiff::Timestamp;

use super::{Corrupt, Of};
use crate::link::LinkId;
use crate::store::schema::job;

macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident = $word:literal),+ $(,)?) => {
        /// What is to be done. Ids only: a job reads the truth when it runs.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum JobKind { $($(#[$doc])* $kind),+ }
        impl JobKind {
            /// All of them.
            pub const ALL: &'static [JobKind] = &[$(JobKind::$kind),+];
            /// The word in rows.
            pub fn as_str(self) -> &'static str { match self { $(JobKind::$kind => $word),+ } }
            /// The meaning of a word.
            pub fn from_word(word: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|it| it.as_str() == word)
            }
        }
    };
}
kinds! {
    /// Make the pair at Klarna; subject: the link.
    Open = "open",
    /// Send one message; subject: the delivery.
    Deliver = "deliver",
    /// Insist on a disable; subject: the link.
    Disable = "disable",
    /// Abort the KCO order; subject: the link, or a stray order.
    Abort = "abort",
    /// Read the session; subject: the link.
    Watch = "watch",
    /// Read Order Management and acknowledge; subject: the link.
    Settle = "settle",
    /// The link's own end; subject: the link.
    Expire = "expire",
    /// Insist on an operation on money; subject: the operation.
    Operate = "operate",
    /// An authorisation comes to its end; subject: the link.
    Remind = "remind",
}

/// A promise. Its key is kind and subject: the same thing is not promised twice at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    /// What is to be done.
    pub kind: JobKind,
    /// To what: an id in text.
    pub subject: String,
    /// The link that it serves.
    pub link: LinkId,
    /// Not before.
    pub due_at: Timestamp,
}

impl Job {
    pub(in crate::store) fn key(kind: JobKind, subject: &str) -> String {
        format!("{}:{subject}", kind.as_str())
    }
}

#[derive(QueryableByName)]
#[diesel(table_name = job)]
pub(in crate::store) struct JobRow {
    pub id: String,
    pub kind: String,
    pub subject: String,
    pub link: String,
    pub due_at: i64,
    pub attempt: i64,
    pub tries: i64,
    pub hinted: bool,
}

impl TryFrom<&JobRow> for Job {
    type Error = Corrupt;

    fn try_from(row: &JobRow) -> Result<Self, Corrupt> {
        let of = Of(&row.id);
        Ok(Self {
            kind: of.some("job.kind", JobKind::from_word(&row.kind))?,
            subject: row.subject.clone(),
            link: of.id("job.link", &row.link)?,
            due_at: of.time("job.due_at", row.due_at)?,
        })
    }
}
