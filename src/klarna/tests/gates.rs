//! Breakers and bucket, on a clock that the test moves.

use std::sync::Arc;
use std::time::Duration;

use jiff::SignedDuration;

use super::super::gate::{Breaker, Bucket};
use super::sample::link;
use super::stub::{Part, Stub, client, clock, say};
use crate::clock::Clock;
use crate::klarna::{Circuit, KlarnaError, Limit, Opening};

fn pass(clock: &Clock, seconds: i64) {
    clock.advance(SignedDuration::from_secs(seconds));
}

#[tokio::test]
async fn wrong_credentials_hold_back_creates_for_a_minute_and_nothing_else() {
    let made = || say(201, "", "{\"order_id\":\"o\"}");
    let read = || say(200, "", "{\"status\":\"checkout_incomplete\"}");
    let stub = Stub::new(vec![
        say(401, "", ""),
        read(),
        made(),
        say(403, "", ""),
        read(),
    ])
    .await;
    let time = clock();
    let klarna = client(stub.settings(), &time);
    assert!(matches!(
        klarna.create_order(&link(), "t").await,
        Err(KlarnaError::Forbidden(_))
    ));
    let until = time.now() + SignedDuration::from_mins(1);
    // a clone shares the breaker
    assert_eq!(
        klarna.clone().create_order(&link(), "t").await,
        Err(KlarnaError::Open { until })
    );
    assert_eq!(klarna.vitals().access, Circuit::Open { until });
    klarna.read_order("o").await.unwrap();
    pass(&time, 60);
    assert_eq!(klarna.vitals().access, Circuit::HalfOpen);
    klarna.create_order(&link(), "t").await.unwrap();
    assert_eq!(klarna.vitals().access, Circuit::Closed);
    // and so does the session's create
    let end = klarna.create_session(&link(), "o", "t", 1).await;
    assert!(matches!(end, Err(KlarnaError::Forbidden(_))));
    assert!(matches!(klarna.vitals().access, Circuit::Open { .. }));
    assert_eq!(klarna.vitals().outage, Circuit::Closed);
    assert_eq!(stub.requests().len(), 4);
}

#[tokio::test]
async fn an_outage_holds_back_all_but_disables() {
    let mut parts: Vec<Part> = (0..5).map(|_| say(503, "", "")).collect();
    parts.push(say(500, "", ""));
    parts.push(say(204, "", ""));
    let stub = Stub::new(parts).await;
    let time = clock();
    let klarna = client(stub.settings(), &time);
    for _ in 0..5 {
        let end = klarna.read_session("s").await;
        assert!(matches!(end, Err(KlarnaError::Unknown { .. })), "{end:?}");
    }
    let until = time.now() + SignedDuration::from_secs(5);
    assert_eq!(
        klarna.read_session("s").await,
        Err(KlarnaError::Open { until })
    );
    assert_eq!(stub.requests().len(), 5);
    // a failed disable changes nothing, one that works closes the breaker
    assert!(klarna.disable_session("s").await.is_err());
    assert_eq!(klarna.vitals().outage, Circuit::Open { until });
    klarna.disable_session("s").await.unwrap();
    assert_eq!(klarna.vitals().outage, Circuit::Closed);
}

#[test]
fn one_probe_decides_and_a_failed_one_doubles_the_wait() {
    let (first, longest) = (
        std::time::Duration::from_secs(5),
        std::time::Duration::from_secs(8),
    );
    let time = clock();
    let breaker = Breaker::new("test", 1, time.clone(), Arc::default());
    breaker.enter(false).unwrap().fails(first, longest);
    assert!(breaker.enter(false).is_err());
    pass(&time, 5);
    let probe = breaker.enter(false).unwrap();
    assert!(breaker.enter(false).is_err(), "one probe at a time");
    // a cancelled call gives the probe back
    drop(probe);
    breaker.enter(false).unwrap().fails(first, longest);
    pass(&time, 7);
    assert!(breaker.enter(false).is_err(), "8 s, not 5, and not 10");
    pass(&time, 1);
    breaker.enter(false).unwrap().works();
    assert_eq!(breaker.circuit(), Circuit::Closed);
}

#[test]
fn a_clock_set_back_does_not_lock_the_door() {
    let time = clock();
    let breaker = Breaker::new("test", 1, time.clone(), Arc::default());
    let wait = std::time::Duration::from_secs(5);
    breaker.enter(false).unwrap().fails(wait, wait);
    let bucket = Bucket::new(1, time.clone());
    bucket.take().unwrap();
    pass(&time, -86_400);
    breaker.enter(false).unwrap().works();
    bucket.take().unwrap();
}

#[tokio::test]
async fn an_empty_bucket_sends_nothing() {
    let stub = Stub::saying(201, "{\"order_id\":\"o\"}").await;
    let time = clock();
    let mut settings = stub.settings();
    settings.creates_per_second = 2;
    let klarna = client(settings, &time);
    assert_eq!(klarna.vitals().creates_left, Some(2));
    klarna.create_order(&link(), "t").await.unwrap();
    klarna.clone().create_order(&link(), "t").await.unwrap();
    let KlarnaError::Busy {
        retry_after: Some(wait),
        refusal: None,
    } = klarna.create_order(&link(), "t").await.unwrap_err()
    else {
        panic!()
    };
    assert_eq!(wait.as_millis(), 500);
    assert_eq!(stub.requests().len(), 2);
    time.advance(SignedDuration::try_from(wait).unwrap());
    klarna.create_order(&link(), "t").await.unwrap();
    assert_eq!(klarna.vitals().creates_left, Some(0));
    pass(&time, 3600);
    assert_eq!(
        klarna.vitals().creates_left,
        Some(2),
        "an idle hour saves up one second only"
    );
}

#[test]
fn a_thousand_seconds_see_no_more_than_the_rate() {
    let time = clock();
    let bucket = Bucket::new(32, time.clone());
    let mut taken = 0;
    for _ in 0..10_000 {
        time.advance(SignedDuration::from_millis(10));
        while bucket.take().is_ok() {
            taken += 1;
        }
    }
    // 100 s at 32, and the second that was saved up at the start
    assert!((3200..=3232).contains(&taken), "{taken}");
    let free = Bucket::new(0, time);
    assert!((0..1000).all(|_| free.take().is_ok()));
    assert_eq!(free.left(), None);
}

#[test]
fn a_breaker_that_turned_turns_another() {
    let (here, there) = (clock(), clock());
    // their wall clocks differ: durations are told
    there.advance(SignedDuration::from_hours(-7));
    let a = Breaker::new("access", 1, here.clone(), Arc::default());
    let b = Breaker::new("access", 1, there.clone(), Arc::default());
    let other = Breaker::new("outage", 1, there.clone(), Arc::default());
    assert_eq!(a.news(), None);
    let wait = Duration::from_mins(1);
    a.enter(false).unwrap().fails(wait, wait);
    pass(&here, 20);
    let opened = a.news().unwrap();
    let left = Duration::from_secs(40);
    assert_eq!(opened.open, Some(Opening { left, wait }));
    assert_eq!(a.news(), None, "told once");
    a.untold("access");
    assert_eq!(a.news(), Some(opened), "and again where nobody heard it");
    b.follow(&opened);
    other.follow(&opened);
    let until = there.now() + SignedDuration::from_secs(40);
    assert_eq!(b.enter(false).unwrap_err(), until);
    assert_eq!(other.circuit(), Circuit::Closed);
    assert_eq!(b.news(), None, "it saw nothing by itself");
    pass(&there, 40);
    b.enter(false).unwrap().works();
    a.follow(&b.news().unwrap());
    assert_eq!(a.circuit(), Circuit::Closed);
    // what was seen here and not told yet is younger than any news
    a.enter(false).unwrap().fails(wait, wait);
    a.follow(&crate::klarna::Turned {
        open: None,
        ..opened
    });
    assert!(a.enter(false).is_err());
}

#[test]
fn a_shared_bucket_spends_what_it_was_given() {
    let time = clock();
    let bucket = Bucket::new(20, time.clone());
    assert_eq!(
        bucket.lacks(1),
        Some((20, 2)),
        "a tenth of a second's worth"
    );
    bucket.give(Some((0, Duration::from_millis(70))));
    assert_eq!(bucket.take(), Err(Duration::from_millis(70)));
    bucket.give(Some((2, Duration::ZERO)));
    assert_eq!((bucket.lacks(1), bucket.lacks(5)), (None, Some((20, 3))));
    bucket.take().unwrap();
    bucket.take().unwrap();
    assert!(bucket.take().is_err() && bucket.left() == Some(0));
    // nobody can be asked: the whole limit, by itself
    bucket.give(None);
    assert_eq!((0..30).filter(|_| bucket.take().is_ok()).count(), 20);
    assert_eq!(Bucket::new(0, time).lacks(9), None);
}

#[tokio::test]
async fn a_closed_client_calls_nobody() {
    let stub = Stub::saying(201, "{\"order_id\":\"o\"}").await;
    let klarna = client(stub.settings(), &clock());
    klarna.clone().close();
    let end = klarna.create_order(&link(), "t").await;
    assert!(matches!(end, Err(KlarnaError::Open { .. })));
    assert!(stub.requests().is_empty());
}

#[tokio::test]
async fn reads_of_the_watch_are_counted() {
    let stub = Stub::saying(200, "").await;
    let mut settings = stub.settings();
    settings.reads_per_second = 10;
    let klarna = client(settings, &clock());
    assert_eq!((klarna.may_read(7), klarna.may_read(7)), (7, 3));
    klarna.share_limits();
    assert_eq!(klarna.may_read(7), 0);
    klarna.give(Limit::Reads, Some((5, Duration::ZERO)));
    assert_eq!(klarna.may_read(7), 5);
    klarna.unread(4);
    assert_eq!(klarna.may_read(7), 4);
}
