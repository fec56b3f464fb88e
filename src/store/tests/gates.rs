//! A bucket and breakers that processes share.

use std::time::Duration;

use super::*;

impl Fixture {
    async fn takes(&self, want: u32) -> Granted {
        self.write(move |tx| tx.take_tokens("creates", 10, want))
            .await
    }
}

on_both! {

async fn a_bucket_gives_a_second_at_once_and_then_its_rate(f: &Fixture) {
    assert_eq!(f.takes(7).await.tokens, 7);
    let rest = f.takes(7).await;
    assert!(rest.tokens >= 3, "{rest:?}");
    if !f.store.is_shared() {
        // the fixture's clock stands still
        assert_eq!(rest, Granted { tokens: 3, wait: Duration::from_millis(100) });
        f.clock.advance(SignedDuration::from_millis(250));
        assert_eq!(f.takes(7).await, Granted { tokens: 2, wait: Duration::from_millis(50) });
        f.clock.advance(SignedDuration::from_hours(1));
        assert_eq!(f.takes(100).await.tokens, 10, "an hour saves up one second");
        f.clock.advance(SignedDuration::from_hours(-2));
        assert_eq!(f.takes(1).await.tokens, 0, "a clock set back gives nothing twice");
        f.clock.advance(SignedDuration::from_millis(100));
        assert_eq!(f.takes(1).await.tokens, 1, "and keeps nobody waiting for as long");
    }
}

async fn takers_at_once_share_one_bucket(f: &Fixture) {
    let begun = std::time::Instant::now();
    let takers: Vec<_> = (0..20)
        .map(|_| {
            let store = f.store.clone();
            tokio::spawn(async move {
                store.write(|tx| tx.take_tokens("creates", 10, 3)).await.unwrap().tokens
            })
        })
        .collect();
    let mut taken = 0;
    for taker in takers {
        taken += taker.await.unwrap();
    }
    let most = 10.0 + 10.0 * begun.elapsed().as_secs_f64();
    assert!(taken >= 10 && f64::from(taken) <= most, "{taken} of {most}");
}

async fn a_breakers_turns_are_counted_and_told(f: &Fixture) {
    const NAMES: [&str; 2] = ["outage", "access"];
    assert!(f.read(|tx| tx.turns(&NAMES)).await.is_empty());
    let wait = Duration::from_mins(10);
    assert_eq!(f.write(move |tx| tx.turn("access", Some((wait, wait)))).await, 1);
    let turn = f.read(|tx| tx.turns(&NAMES)).await.remove(0);
    assert_eq!((turn.name, turn.number), ("access", 1));
    let (left, waits) = turn.open.unwrap();
    assert!(left <= wait && left > wait / 2 && waits == wait, "{left:?} {waits:?}");
    assert_eq!(f.write(|tx| tx.turn("access", None)).await, 2);
    let turn = f.read(|tx| tx.turns(&NAMES)).await.remove(0);
    assert_eq!((turn.number, turn.open), (2, None));
    // one whose time is over is not open any more
    f.write(|tx| tx.turn("outage", Some((Duration::ZERO, Duration::from_secs(5))))).await;
    f.clock.advance(SignedDuration::from_secs(1));
    let outage = f.read(|tx| tx.turns(&["outage"])).await.remove(0);
    assert!(outage.open.is_none_or(|(left, _)| left.is_zero()), "{outage:?}");
}

}
