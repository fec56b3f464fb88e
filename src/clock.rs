//! Time as an argument. Everything that asks "what time is it" holds a [`Clock`], so that a test
//! can say "a minute passes" and mean it.

#[cfg(feature = "chaos")]
mod shift;

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};

/// A source of wall-clock time, UTC, whole microseconds (the precision of the database), and of
/// monotonic time beside it.
#[derive(Clone, Debug)]
pub struct Clock(Source);

#[derive(Clone, Debug)]
enum Source {
    System,
    /// Moved only by [`Clock::advance`] and [`Clock::leap`].
    Manual(Arc<Hands>),
}

/// Microseconds, since the epoch and since the clock was made.
#[derive(Debug)]
struct Hands {
    wall: AtomicI64,
    monotonic: AtomicI64,
}

static BEGIN: LazyLock<Instant> = LazyLock::new(Instant::now);

impl Clock {
    /// The machine's clock.
    pub fn system() -> Self {
        Self(Source::System)
    }

    /// A clock that stands still at `start` until it is advanced. Clones share the same hands.
    pub fn manual(start: Timestamp) -> Self {
        Self(Source::Manual(Arc::new(Hands {
            wall: AtomicI64::new(start.as_microsecond()),
            monotonic: AtomicI64::new(0),
        })))
    }

    /// Now, in UTC, cut to microseconds.
    pub fn now(&self) -> Timestamp {
        let micros = match &self.0 {
            // The one place where the ambient clock is read.
            #[allow(clippy::disallowed_methods)]
            Source::System => Timestamp::now().as_microsecond(),
            Source::Manual(hands) => hands.wall.load(Ordering::SeqCst),
        };
        #[cfg(feature = "chaos")]
        let micros = shift::shifted(micros);
        Timestamp::from_microsecond(micros).unwrap_or(Timestamp::MAX)
    }

    /// Time since some moment in this process's past, by a clock that nobody sets.
    pub fn monotonic(&self) -> Duration {
        match &self.0 {
            Source::System => BEGIN.elapsed(),
            Source::Manual(hands) => {
                let micros = hands.monotonic.load(Ordering::SeqCst);
                Duration::from_micros(u64::try_from(micros).unwrap_or(0))
            }
        }
    }

    /// Whether this is the machine's clock: a database's clock may then be asked in its place.
    pub fn is_system(&self) -> bool {
        matches!(self.0, Source::System)
    }

    /// Time passes on a manual clock; a negative duration sets its wall clock back. The system's
    /// clock is not ours to move: there it does nothing.
    pub fn advance(&self, by: SignedDuration) {
        if let Source::Manual(hands) = &self.0 {
            let micros = micros(by);
            hands.wall.fetch_add(micros, Ordering::SeqCst);
            hands.monotonic.fetch_add(micros.max(0), Ordering::SeqCst);
        }
    }

    /// Somebody sets the wall clock of a manual clock: no time passes.
    pub fn leap(&self, by: SignedDuration) {
        if let Source::Manual(hands) = &self.0 {
            hands.wall.fetch_add(micros(by), Ordering::SeqCst);
        }
    }
}

fn micros(by: SignedDuration) -> i64 {
    i64::try_from(by.as_micros()).unwrap_or(i64::MAX)
}

/// A wall clock that parts from the monotonic one by more than this has been set.
const LEAP: SignedDuration = SignedDuration::from_secs(30);
/// A slow clock is steered by up to 0.05 %; what that adds up to in this time is no leap.
const REBASE: Duration = Duration::from_hours(1);

/// Notices a leap of the wall clock (failure-model R7): asked each second, it compares the wall
/// clock with the monotonic one.
#[derive(Debug)]
pub struct Drift {
    wall: Timestamp,
    monotonic: Duration,
}

impl Drift {
    /// Both clocks agree now.
    pub fn new(clock: &Clock) -> Self {
        Self {
            wall: clock.now(),
            monotonic: clock.monotonic(),
        }
    }

    /// By how much the wall clock was set since the last look, where it was by more than 30 s:
    /// each leap is told once.
    pub fn leapt(&mut self, clock: &Clock) -> Option<SignedDuration> {
        let now = Self::new(clock);
        let passed = now.monotonic.saturating_sub(self.monotonic);
        let parted = now.wall.duration_since(self.wall)
            - SignedDuration::try_from(passed).unwrap_or(SignedDuration::MAX);
        let leapt = parted.abs() > LEAP;
        if leapt || passed >= REBASE {
            *self = now;
        }
        leapt.then_some(parted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clock() -> Clock {
        Clock::manual("2026-11-24T12:00:00Z".parse().unwrap())
    }

    #[test]
    fn time_that_passes_is_no_leap() {
        let clock = clock();
        let mut drift = Drift::new(&clock);
        for seconds in [1, 1, 100_000, 1] {
            clock.advance(SignedDuration::from_secs(seconds));
            assert_eq!(drift.leapt(&clock), None);
        }
        clock.leap(SignedDuration::from_secs(30));
        assert_eq!(drift.leapt(&clock), None, "30 s are borne");
    }

    #[test]
    fn a_leap_is_told_once_in_either_direction() {
        let clock = clock();
        let mut drift = Drift::new(&clock);
        for hours in [1, -1] {
            let by = SignedDuration::from_hours(hours);
            clock.advance(SignedDuration::from_secs(1));
            clock.leap(by);
            assert_eq!(drift.leapt(&clock), Some(by));
            clock.advance(SignedDuration::from_secs(1));
            assert_eq!(drift.leapt(&clock), None);
        }
    }

    #[test]
    fn small_steps_add_up_until_they_are_one_leap() {
        let clock = clock();
        let mut drift = Drift::new(&clock);
        let told: Vec<_> = (0..4)
            .filter_map(|_| {
                clock.leap(SignedDuration::from_secs(10));
                drift.leapt(&clock)
            })
            .collect();
        assert_eq!(told, [SignedDuration::from_secs(40)]);
    }

    #[test]
    fn steering_is_forgotten_by_the_hour() {
        let clock = clock();
        let mut drift = Drift::new(&clock);
        for _ in 0..100 {
            clock.advance(SignedDuration::from_hours(1));
            clock.leap(SignedDuration::from_secs(2));
            assert_eq!(drift.leapt(&clock), None);
        }
    }

    #[test]
    fn a_clock_set_back_does_not_turn_the_monotonic_one() {
        let clock = clock();
        clock.advance(SignedDuration::from_secs(5));
        clock.advance(SignedDuration::from_secs(-3));
        assert_eq!(clock.monotonic(), Duration::from_secs(5));
        assert!(!clock.is_system());
        let system = Clock::system();
        let before = system.monotonic();
        system.advance(SignedDuration::from_hours(1));
        assert!(system.is_system() && system.monotonic() >= before);
    }
}
