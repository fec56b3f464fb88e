//! One request, one effect: what a key's first request came to is kept with the effect itself,
//! in the same transaction (`contract.md`, Idempotency).

use super::Refusal;
use crate::store::{Kept, Tx};

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
    /// Klarna refused.
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
