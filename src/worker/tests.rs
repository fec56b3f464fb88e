//! What the look at the clocks decides; the rest of the worker shows from outside.

use jiff::SignedDuration;

use super::*;
use crate::web::tests::house::Home;

#[tokio::test(flavor = "multi_thread")]
async fn a_leap_of_the_wall_clock_is_told_and_nothing_expires_for_five_minutes() {
    let home = Home::new().await;
    let house = &home.house;
    let (doubting, doubt) = watch::channel(Duration::ZERO);
    let mut drift = Drift::new(&house.clock);
    house.clock.advance(SignedDuration::from_secs(1));
    look_at_clocks(house, &mut drift, &doubting).await;
    assert!(!is_doubted(&doubt, house), "a second passed");
    house.clock.leap(SignedDuration::from_hours(1));
    look_at_clocks(house, &mut drift, &doubting).await;
    assert!(is_doubted(&doubt, house));
    let now = house.clock.now();
    let first = house
        .store
        .write(move |tx| tx.alert("clock_leap", "", None, now));
    assert_eq!(first.await, Ok(false), "the operator was told before");
    for (seconds, doubted) in [(299, true), (1, false)] {
        house.clock.advance(SignedDuration::from_secs(seconds));
        look_at_clocks(house, &mut drift, &doubting).await;
        assert_eq!(is_doubted(&doubt, house), doubted, "after {seconds} s more");
    }
}
