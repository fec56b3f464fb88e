//! Answers kept under `Klarna-Idempotency-Key`, so that a repeat changes nothing and hears the
//! same again. Only the key counts, together with the order and the kind of operation that it was
//! used for: what else the repeat says is not looked at.

use std::collections::HashMap;

use jiff::{SignedDuration, Timestamp};

use super::super::answer::Answer;
use super::super::order::later;

/// How long Klarna honours a key.
const HONOURED: SignedDuration = SignedDuration::from_hours(24);

/// The answers of one order. What an operation refused is kept as well: the repeat is the same
/// call, and so is its end.
#[derive(Default)]
pub(super) struct Kept(HashMap<(&'static str, String), (Timestamp, Answer)>);

impl Kept {
    /// The first answer that this key had, while it is honoured.
    pub(super) fn first(&self, op: &'static str, key: &str, now: Timestamp) -> Option<Answer> {
        let (until, answer) = self.0.get(&(op, key.to_owned()))?;
        (now < *until).then(|| answer.clone())
    }

    pub(super) fn keep(&mut self, op: &'static str, key: &str, answer: Answer, now: Timestamp) {
        self.0.retain(|_, (until, _)| now < *until);
        self.0
            .insert((op, key.to_owned()), (later(now, HONOURED), answer));
    }
}
