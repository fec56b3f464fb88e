//! The wall clock held against the monotonic one (failure-model R7): after a leap no link's own end is
//! believed for a while, and the operator is told.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::SignedDuration;

use crate::clock::{Clock, Drift};
use crate::flow::House;

/// After a leap no link's own end is believed for this long.
const DISTRUST: Duration = Duration::from_mins(5);

/// Both clocks, as they were when last looked at.
pub(super) struct Clocks(Mutex<Seen>);

struct Seen {
    drift: Drift,
    /// Until when the wall clock is not to be believed, by the monotonic one.
    doubted: Duration,
}

impl Clocks {
    pub fn new(clock: &Clock) -> Self {
        Self(Mutex::new(Seen {
            drift: Drift::new(clock),
            doubted: Duration::ZERO,
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

    fn seen(&self) -> MutexGuard<'_, Seen> {
        // whole after every statement, so a panic elsewhere cannot have torn it
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
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
    // by mail, too, which may take its time: nobody waits for it
    let teller = house.clone();
    let telling = async move { teller.alert("clock_leap", &words, None).await };
    house.tasks.spawn_on(telling, &house.runtime);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::web::tests::house::Home;

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
