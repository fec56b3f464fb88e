//! The wall clock held against the monotonic one and the database's (failure-model R7): after a leap no
//! link's own end is believed for a while, and the operator is told of both.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::clock::{Clock, Drift};
use crate::flow::House;
use crate::store::StoreError;

/// After a leap no link's own end is believed for this long.
const DISTRUST: Duration = Duration::from_mins(5);
/// The clocks of two machines may differ by this much.
const ASIDE: SignedDuration = SignedDuration::from_secs(30);

/// Both clocks, as they were when last looked at.
pub(super) struct Clocks(Mutex<Seen>);

struct Seen {
    drift: Drift,
    /// Until when the wall clock is not to be believed, by the monotonic one.
    doubted: Duration,
    /// Whether this clock is known to differ from the database's.
    aside: bool,
}

impl Clocks {
    pub fn new(clock: &Clock) -> Self {
        Self(Mutex::new(Seen {
            drift: Drift::new(clock),
            doubted: Duration::ZERO,
            aside: false,
        }))
    }

    /// Whether the wall clock is not to be believed now. Looks at both, and tells of a leap that
    /// nobody has noticed yet.
    pub async fn are_doubted(&self, house: &House) -> bool {
        if let Some(leap) = self.leapt(&house.clock) {
            tell(house, leap).await;
        }
        self.seen().doubted > house.clock.monotonic()
    }

    fn leapt(&self, clock: &Clock) -> Option<SignedDuration> {
        let mut seen = self.seen();
        let leap = seen.drift.leapt(clock)?;
        seen.doubted = clock.monotonic() + DISTRUST;
        Some(leap)
    }

    /// Holds the wall clock against that of a shared database, and tells once that they differ.
    pub async fn compare(&self, house: &House) -> Result<(), StoreError> {
        let before = house.clock.now();
        // the method alone is not general over a transaction's lifetime
        #[allow(clippy::redundant_closure_for_method_calls)]
        let theirs = house.store.read(|tx| tx.database_now()).await?;
        let Some(theirs) = theirs else {
            return Ok(());
        };
        let aside = aside(before, theirs, house.clock.now());
        let known = std::mem::replace(&mut self.seen().aside, aside.is_some());
        if let Some((by, way)) = aside.filter(|_| !known) {
            let words = format!(
                "the clock of this machine is {} s {way} the database's, by which links end: set it right",
                by.as_secs()
            );
            alert(house, "clock_aside", words);
        }
        Ok(())
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        // whole after every statement, so a panic elsewhere cannot have torn it
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// By how much a clock that showed these times before and after another was read differs from that at
/// least, where it is by more than [`ASIDE`].
fn aside(
    before: Timestamp,
    theirs: Timestamp,
    after: Timestamp,
) -> Option<(SignedDuration, &'static str)> {
    let ahead = (before.duration_since(theirs), "ahead of");
    let behind = (theirs.duration_since(after), "behind");
    [ahead, behind].into_iter().find(|(by, _)| *by > ASIDE)
}

async fn tell(house: &House, leap: SignedDuration) {
    let words = format!(
        "the wall clock was set by {} s: no link expires by itself for 5 minutes",
        leap.as_secs()
    );
    // a machine that slept finds its leases gone
    if let Err(error) = house.store.renew_leases().await {
        tracing::error!(%error, "the leases of this process could not be renewed");
    }
    alert(house, "clock_leap", words);
}

/// By mail, too, which may take its time: nobody waits for it.
fn alert(house: &House, kind: &'static str, words: String) {
    let teller = house.clone();
    let telling = async move { teller.alert(kind, &words, None).await };
    house.tasks.spawn_on(telling, &house.runtime);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::web::tests::house::Home;

    #[test]
    fn a_slow_answer_is_no_difference() {
        let at = |seconds| Timestamp::UNIX_EPOCH + SignedDuration::from_secs(seconds);
        let by = |seconds| SignedDuration::from_secs(seconds);
        for (before, theirs, after, told) in [
            (0, 0, 0, None),
            (30, 0, 31, None),
            (31, 0, 31, Some((by(31), "ahead of"))),
            (0, 90, 90, None),
            (0, 90, 59, Some((by(31), "behind"))),
        ] {
            assert_eq!(aside(at(before), at(theirs), at(after)), told);
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_leap_of_the_wall_clock_is_told_and_nothing_expires_for_five_minutes() {
        let home = Home::new().await;
        let house = &home.house;
        let clocks = Clocks::new(&house.clock);
        house.clock.advance(SignedDuration::from_secs(1));
        assert!(!clocks.are_doubted(house).await, "a second passed");
        house.clock.leap(SignedDuration::from_hours(1));
        assert!(clocks.are_doubted(house).await, "by whoever looks first");
        house.tasks.close();
        house.tasks.wait().await;
        let now = house.clock.now();
        let first = house
            .store
            .write(move |tx| tx.alert("clock_leap", "", None, now));
        assert_eq!(first.await, Ok(false), "the operator was told before");
        for (seconds, doubted) in [(299, true), (1, false)] {
            house.clock.advance(SignedDuration::from_secs(seconds));
            let after = format!("after {seconds} s more");
            assert_eq!(clocks.are_doubted(house).await, doubted, "{after}");
        }
    }
}
