//! One request, one effect: what a key's first request came to is kept with the effect itself,
//! in the same transaction (`contract.md`, Idempotency).

use jiff::Timestamp;

use super::Refusal;
use crate::chaos::{self, Point};
use crate::link::LinkId;
use crate::store::{Constraint, Kept, Tx};

/// An idempotency key with the scope that owns it and the fingerprint of its body.
#[derive(Clone, Debug)]
pub struct Key {
    /// Caller, method and path.
    pub scope: String,
    /// What the client sent.
    pub key: String,
    /// Of the parsed body, before defaults.
    pub fingerprint: [u8; 32],
}

/// How the first request of a key was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Done: what was asked for is there.
    Done,
    /// Accepted: it goes on by itself.
    Accepted,
    /// Refused for good: by Klarna, or because the buyer was first.
    Refused,
}

impl Answer {
    /// The word in the row.
    pub fn as_str(self) -> &'static str {
        match self {
            Answer::Done => "done",
            Answer::Accepted => "accepted",
            Answer::Refused => "refused",
        }
    }

    /// The meaning of a row's word.
    pub fn from_word(word: &str) -> Option<Self> {
        [Answer::Done, Answer::Accepted, Answer::Refused]
            .into_iter()
            .find(|answer| answer.as_str() == word)
    }
}

impl Key {
    /// What this key did before, or nothing.
    pub(super) fn recall(&self, tx: &mut Tx) -> Result<Option<Kept>, Refusal> {
        match tx.idempotency(&self.scope, &self.key)? {
            Some(kept) if kept.fingerprint != self.fingerprint => Err(Refusal::IdempotencyMismatch),
            kept => Ok(kept),
        }
    }
}

/// Recalls an optional key.
pub(super) fn recall(tx: &mut Tx, key: Option<&Key>) -> Result<Option<Kept>, Refusal> {
    key.map_or(Ok(None), |key| key.recall(tx))
}

/// What a key's first request made.
pub(super) struct Made {
    pub link: LinkId,
    /// What else, by its id.
    pub resource: Option<String>,
    /// How it was answered; absent while nobody knows yet.
    pub answer: Option<Answer>,
}

/// Keeps what a key's first request made. Unique: of parallel requests with one key the others
/// wait here until the first is committed.
///
/// # Errors
/// `IdempotencyInProgress` where another request came first.
pub(super) fn keep(
    tx: &mut Tx,
    key: Option<&Key>,
    made: Made,
    now: Timestamp,
) -> Result<(), Refusal> {
    let Some(key) = key else { return Ok(()) };
    tx.insert_idempotency(&Kept {
        scope: key.scope.clone(),
        key: key.key.clone(),
        fingerprint: key.fingerprint,
        link: Some(made.link),
        answer: made.answer.map(|answer| answer.as_str().into()),
        resource: made.resource,
        at: now,
    })
    .map_err(|error| {
        let refusal = Refusal::from(error);
        if refusal.is_taken(Constraint::Idempotency) {
            Refusal::IdempotencyInProgress
        } else {
            refusal
        }
    })
}

/// Keeps how a key's first request was answered; what is kept already stands.
pub(super) fn settle(tx: &mut Tx, key: Option<&Key>, answer: Answer) -> Result<(), Refusal> {
    if let Some(key) = key {
        tx.settle_idempotency(&key.scope, &key.key, answer.as_str())?;
        chaos::at(Point::IdempotencySettled);
    }
    Ok(())
}
