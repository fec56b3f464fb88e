//! What stands before every call: two circuit breakers and a token bucket, shared by all clones of
//! the client. They decide when not to call; they must not know what a call is. Processes that share
//! an account share them, too, by way of whoever carries news between them: a breaker says that it
//! turned and is told of others, a bucket is given tokens. Without news each process goes on by
//! itself.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::sync::Notify;

use crate::clock::Clock;

/// Stops calling what keeps failing, and lets a single probe through when the wait is over.
#[derive(Clone, Debug)]
pub(super) struct Breaker {
    name: &'static str,
    threshold: u32,
    clock: Clock,
    state: Arc<Mutex<State>>,
    /// It opened or closed by what this process saw, and nobody else was told yet.
    news: Arc<AtomicBool>,
    turned: Arc<Notify>,
}

/// A breaker that turned, as processes tell one another: durations, since their clocks differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Turned {
    /// Which.
    pub name: &'static str,
    /// `None`: it closed.
    pub open: Option<Opening>,
}

/// How a breaker is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Opening {
    /// How long it stays open from now on.
    pub left: Duration,
    /// How long it was opened for: a failed probe doubles that.
    pub wait: Duration,
}

#[derive(Debug)]
enum State {
    Closed {
        failures: u32,
    },
    Open {
        since: Timestamp,
        until: Timestamp,
        wait: Duration,
        probing: bool,
    },
}

/// A breaker as metrics and the console see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Circuit {
    /// Calls go through.
    Closed,
    /// No call before `until`.
    Open {
        /// When a probe will be let through.
        until: Timestamp,
    },
    /// The wait is over: one call goes through and decides.
    HalfOpen,
}

/// Leave to make one call. Dropped without a word (the call was cancelled, or proved nothing) it
/// only gives the probe back.
#[derive(Debug)]
pub(super) struct Pass<'a> {
    breaker: &'a Breaker,
    probe: bool,
}

/// How long others wait while a probe is under way.
const PROBE: SignedDuration = SignedDuration::from_secs(1);

impl Breaker {
    /// Opens after `threshold` failures in a row; `turned` is told when it opens or closes.
    pub(super) fn new(
        name: &'static str,
        threshold: u32,
        clock: Clock,
        turned: Arc<Notify>,
    ) -> Self {
        Self {
            name,
            threshold,
            clock,
            state: Arc::new(Mutex::new(State::Closed { failures: 0 })),
            news: Arc::default(),
            turned,
        }
    }

    /// How it turned by what this process saw, told once.
    pub(super) fn news(&self) -> Option<Turned> {
        if !self.news.swap(false, Ordering::AcqRel) {
            return None;
        }
        let now = self.clock.now();
        let open = match &*self.state() {
            State::Closed { .. } => None,
            State::Open { until, wait, .. } => Some(Opening {
                left: Duration::try_from(until.duration_since(now)).unwrap_or(Duration::ZERO),
                wait: *wait,
            }),
        };
        Some(Turned {
            name: self.name,
            open,
        })
    }

    /// The news reached nobody: they will be told again.
    pub(super) fn untold(&self, name: &str) {
        if self.name == name {
            self.news.store(true, Ordering::Release);
        }
    }

    /// It turned in another process.
    pub(super) fn follow(&self, turned: &Turned) {
        // what this process saw by itself is told first, and is younger
        if self.name != turned.name || self.news.load(Ordering::Acquire) {
            return;
        }
        let now = self.clock.now();
        let mut state = self.state();
        self.tell(turned.open.is_some());
        *state = match turned.open {
            None => State::Closed { failures: 0 },
            Some(Opening { left, wait }) => State::Open {
                since: now,
                until: later(now, SignedDuration::try_from(left).unwrap_or_default()),
                wait,
                probing: false,
            },
        };
        tracing::info!(
            circuit = self.name,
            open = turned.open.is_some(),
            "klarna circuit turned elsewhere"
        );
    }

    fn turns(&self) {
        self.news.store(true, Ordering::Release);
        self.turned.notify_one();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // the state is whole after every statement, so a panic elsewhere cannot have torn it
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Leave for one call, or the time before which none is given. `urgent` calls are let through
    /// an open breaker: they decide as a probe does.
    pub(super) fn enter(&self, urgent: bool) -> Result<Pass<'_>, Timestamp> {
        let now = self.clock.now();
        let mut state = self.state();
        let probe = match &mut *state {
            State::Closed { .. } => false,
            State::Open { .. } if urgent => false,
            // a clock that was set back must not lock the door for as long as it was wrong
            State::Open { since, until, .. } if *since <= now && now < *until => {
                return Err(*until);
            }
            State::Open { probing: true, .. } => return Err(later(now, PROBE)),
            State::Open { probing, .. } => {
                *probing = true;
                true
            }
        };
        drop(state);
        Ok(Pass {
            breaker: self,
            probe,
        })
    }

    /// How it stands now.
    pub(super) fn circuit(&self) -> Circuit {
        let now = self.clock.now();
        match &*self.state() {
            State::Closed { .. } => Circuit::Closed,
            State::Open { since, until, .. } if *since <= now && now < *until => {
                Circuit::Open { until: *until }
            }
            State::Open { .. } => Circuit::HalfOpen,
        }
    }

    fn tell(&self, open: bool) {
        metrics::gauge!("paylink_klarna_circuit_open", "circuit" => self.name).set(if open {
            1.0
        } else {
            0.0
        });
    }
}

impl Pass<'_> {
    /// The other side works: closes the breaker.
    pub(super) fn works(self) {
        let mut state = self.breaker.state();
        if matches!(*state, State::Open { .. }) {
            tracing::info!(circuit = self.breaker.name, "klarna circuit closed");
            self.breaker.tell(false);
            self.breaker.turns();
        }
        *state = State::Closed { failures: 0 };
    }

    /// The other side failed. Opens when it was one too many, first for `first`, twice as long after
    /// each failed probe, never longer than `longest`.
    pub(super) fn fails(self, first: Duration, longest: Duration) {
        let now = self.breaker.clock.now();
        let mut state = self.breaker.state();
        let wait = match &mut *state {
            State::Closed { failures } => {
                *failures = failures.saturating_add(1);
                if *failures < self.breaker.threshold {
                    return;
                }
                first
            }
            // calls that began before it opened say nothing new
            State::Open { .. } if !self.probe => return,
            State::Open { wait, .. } => wait.saturating_mul(2),
        }
        .min(longest);
        let until = later(
            now,
            SignedDuration::try_from(wait).unwrap_or(SignedDuration::MAX),
        );
        tracing::warn!(circuit = self.breaker.name, %until, "klarna circuit open");
        self.breaker.tell(true);
        self.breaker.turns();
        *state = State::Open {
            since: now,
            until,
            wait,
            probing: false,
        };
    }
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        if self.probe
            && let State::Open { probing, .. } = &mut *self.breaker.state()
        {
            *probing = false;
        }
    }
}

/// At most `rate` calls per second, with one second's worth at once. It counts microseconds rather
/// than tokens: the bucket is full when a whole second is credited.
#[derive(Clone, Debug)]
pub(super) struct Bucket {
    rate: u32,
    clock: Clock,
    level: Arc<Mutex<Level>>,
}

#[derive(Debug, Default)]
struct Level {
    /// The time up to which everything is spent.
    spent: Option<Timestamp>,
    /// Tokens out of a bucket that processes share; `None` where this one is alone.
    given: Option<Given>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Given {
    tokens: u32,
    /// How long until the shared bucket gives more.
    wait: Duration,
}

impl Bucket {
    /// `rate` = 0 means no limit.
    pub(super) fn new(rate: u32, clock: Clock) -> Self {
        Self {
            rate,
            clock,
            level: Arc::default(),
        }
    }

    fn level(&self) -> MutexGuard<'_, Level> {
        self.level.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Its rate, and how many tokens it lacks to take `want`; `None` where nothing is lacking, or
    /// no limit is set.
    pub(super) fn lacks(&self, want: u32) -> Option<(u32, u32)> {
        if self.rate == 0 {
            return None;
        }
        let given = self.level().given.map_or(0, |it| it.tokens);
        (given < want).then(|| {
            // a tenth of a second's worth, so that not every call asks for its own
            (self.rate, (want - given).max(self.rate / 10))
        })
    }

    /// Tokens out of the shared bucket, or how long until there are some. `None`: it could not be
    /// asked, and this process goes by itself.
    pub(super) fn give(&self, given: Option<(u32, Duration)>) {
        let mut level = self.level();
        level.given = given.map(|(tokens, wait)| Given {
            tokens: level
                .given
                .map_or(0, |it| it.tokens)
                .saturating_add(tokens)
                .min(self.rate.max(1)),
            wait,
        });
    }

    /// Whether its tokens come out of a shared bucket.
    pub(super) fn is_given(&self) -> bool {
        self.level().given.is_some()
    }

    /// Takes one token, or says how long until there is one.
    pub(super) fn take(&self) -> Result<(), Duration> {
        if self.rate == 0 {
            return Ok(());
        }
        let now = self.clock.now();
        let mut level = self.level();
        if let Some(given) = &mut level.given {
            if given.tokens == 0 {
                return Err(given.wait.max(Duration::from_millis(1)));
            }
            given.tokens -= 1;
            return Ok(());
        }
        let cost = SignedDuration::from_micros((1_000_000 / i64::from(self.rate)).max(1));
        let full = later(now, SignedDuration::from_secs(-1));
        // a clock that was set back starts a new second instead of waiting for the old one
        let from = level
            .spent
            .filter(|it| *it <= now)
            .map_or(full, |it| it.max(full));
        let next = later(from, cost);
        if next > now {
            return Err(Duration::try_from(next.duration_since(now)).unwrap_or(Duration::ZERO));
        }
        level.spent = Some(next);
        Ok(())
    }

    /// Whole tokens left; `None` without a limit.
    pub(super) fn left(&self) -> Option<u32> {
        let now = self.clock.now();
        let level = self.level();
        (self.rate > 0).then(|| {
            if let Some(given) = level.given {
                return given.tokens;
            }
            let credit = level.spent.filter(|it| *it <= now).map_or(1_000_000, |it| {
                now.duration_since(it).as_micros().clamp(0, 1_000_000)
            });
            u32::try_from(credit * i128::from(self.rate) / 1_000_000).unwrap_or(self.rate)
        })
    }
}

fn later(from: Timestamp, by: SignedDuration) -> Timestamp {
    from.checked_add(by).unwrap_or(from)
}
