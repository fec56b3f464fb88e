//! What processes with one account at Klarna share: the buckets' tokens and the breakers' turns.
//! This side says what it lacks and what it saw; whoever stands between the processes carries it.
//! It must not know where they meet.

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::Klarna;
use super::gate::{Bucket, Turned};

/// A limit of Klarna's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// Creates of orders, each with its session.
    Creates,
    /// Reads by the watch over open links.
    Reads,
}

impl Limit {
    /// Its name among processes.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Creates => "creates",
            Self::Reads => "reads",
        }
    }
}

impl Klarna {
    fn bucket(&self, limit: Limit) -> &Bucket {
        match limit {
            Limit::Creates => &self.creates,
            Limit::Reads => &self.reads,
        }
    }

    /// From now on tokens are given: nothing is spent that was not taken out of the shared bucket.
    pub fn share_limits(&self) {
        for limit in [Limit::Creates, Limit::Reads] {
            self.give(limit, Some((0, Duration::ZERO)));
        }
    }

    /// The rate per second and how many tokens are lacking before `want` calls can be made; `None`
    /// where none is.
    pub fn lacks(&self, limit: Limit, want: u32) -> Option<(u32, u32)> {
        self.bucket(limit).lacks(want)
    }

    /// Tokens out of the shared bucket, and how long until it gives more. `None`: it could not be
    /// asked; until it can, this process keeps the whole limit by itself.
    pub fn give(&self, limit: Limit, given: Option<(u32, Duration)>) {
        self.bucket(limit).give(given);
    }

    /// Leave for as many reads as there are tokens for, at most `want`.
    pub fn may_read(&self, want: u32) -> u32 {
        let taken = (0..want).take_while(|_| self.reads.take().is_ok()).count();
        u32::try_from(taken).unwrap_or(want)
    }

    /// Reads that were not made after all.
    pub fn unread(&self, count: u32) {
        if self.reads.is_given() {
            self.reads.give(Some((count, Duration::ZERO)));
        }
    }

    /// Waits until a breaker of this process turned.
    pub async fn turned(&self) {
        self.transport.turned.notified().await;
    }

    /// What other processes are to be told of, once.
    pub fn news(&self) -> Vec<Turned> {
        let breakers = [&self.transport.outage, &self.transport.access];
        breakers.iter().filter_map(|it| it.news()).collect()
    }

    /// Nobody could be told: it will be news again.
    pub fn untold(&self, turned: &Turned) {
        self.transport.outage.untold(turned.name);
        self.transport.access.untold(turned.name);
    }

    /// A breaker turned in another process.
    pub fn follow(&self, turned: &Turned) {
        self.transport.outage.follow(turned);
        self.transport.access.follow(turned);
    }

    /// The names of the breakers.
    pub const BREAKERS: [&'static str; 2] = ["outage", "access"];

    /// No call begins from now on: it would be answered when nobody is there any more.
    pub fn close(&self) {
        self.transport.closed.store(true, Ordering::Release);
    }
}
