//! Time as an argument. Everything that asks "what time is it" holds a [`Clock`], so that a test
//! can say "a minute passes" and mean it.

#[cfg(feature = "chaos")]
mod shift;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use jiff::{SignedDuration, Timestamp};

/// A source of wall-clock time, UTC, whole microseconds (the precision of the database).
#[derive(Clone, Debug)]
pub struct Clock(Source);

#[derive(Clone, Debug)]
enum Source {
    System,
    /// Microseconds since the epoch; moved only by [`Clock::advance`].
    Manual(Arc<AtomicI64>),
}

impl Clock {
    /// The machine's clock.
    pub fn system() -> Self {
        Self(Source::System)
    }

    /// A clock that stands still at `start` until it is advanced. Clones share the same hand.
    pub fn manual(start: Timestamp) -> Self {
        Self(Source::Manual(Arc::new(AtomicI64::new(
            start.as_microsecond(),
        ))))
    }

    /// Now, in UTC, cut to microseconds.
    pub fn now(&self) -> Timestamp {
        let micros = match &self.0 {
            // The one place where the ambient clock is read.
            #[allow(clippy::disallowed_methods)]
            Source::System => Timestamp::now().as_microsecond(),
            Source::Manual(hand) => hand.load(Ordering::SeqCst),
        };
        #[cfg(feature = "chaos")]
        let micros = shift::shifted(micros);
        Timestamp::from_microsecond(micros).unwrap_or(Timestamp::MAX)
    }

    /// Moves a manual clock forward (or back, for a negative duration). The system's clock is not
    /// ours to move: there it does nothing.
    pub fn advance(&self, by: SignedDuration) {
        if let Source::Manual(hand) = &self.0 {
            let micros = i64::try_from(by.as_micros()).unwrap_or(i64::MAX);
            hand.fetch_add(micros, Ordering::SeqCst);
        }
    }
}
