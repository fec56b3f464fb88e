//! Work under a lease: who loses it stops.

use std::future::pending;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Notify;

use super::*;

const SECOND: SignedDuration = SignedDuration::from_secs(1);

impl Fixture {
    /// A job of this process's own, claimed.
    async fn holds(&self, kind: JobKind, subject: &'static str) -> Claim {
        let (now, lease) = (self.clock.now(), self.store.lease());
        let link = LinkId::new(start(), &Random::seeded(3));
        let job = Job {
            kind,
            subject: subject.into(),
            link,
            due_at: now,
        };
        self.write(move |tx| {
            tx.enqueue(&job)?;
            Ok(tx.claim(&lease, now, 1, &[kind])?.remove(0))
        })
        .await
    }
}

on_both! {

async fn work_whose_lease_another_took_is_stopped(f: &Fixture) {
    let (mine, kept) = (f.holds(JobKind::Deliver, "mine").await, f.holds(JobKind::Deliver, "kept").await);
    let lost = f.store.under(&mine, pending::<()>());
    let goes_on = f.store.under(&kept, async {
        f.raw("UPDATE job SET attempt = attempt + 1, owner = 'another' WHERE id = 'deliver:mine'").await;
        assert_eq!(f.store.renew_leases().await, Ok(1));
        "done"
    });
    assert_eq!(tokio::join!(lost, goes_on), (None, Some("done")));
}

async fn work_that_ended_its_own_claim_goes_on(f: &Fixture) {
    let claim = f.holds(JobKind::Open, "a").await;
    let work = f.store.under(&claim, async {
        let ended = claim.clone();
        assert!(f.write(move |tx| tx.done(&ended)).await);
        assert_eq!(f.store.renew_leases().await, Ok(0));
        "tidied up"
    });
    assert_eq!(work.await, Some("tidied up"));
}

async fn what_ended_without_being_written_down_is_free_at_the_second_heartbeat(f: &Fixture) {
    let claim = f.holds(JobKind::Deliver, "a").await;
    f.store.under(&claim, async {}).await;
    for still_ours in [true, false] {
        assert_eq!(f.store.renew_leases().await, Ok(0));
        let claim = claim.clone();
        assert_eq!(f.write(move |tx| tx.confirm(&claim)).await, still_ours);
    }
}

async fn a_lease_that_may_have_run_out_ends_its_work(f: &Fixture) {
    let claim = f.holds(JobKind::Deliver, "a").await;
    let work = f.store.under(&claim, pending::<()>());
    tokio::pin!(work);
    let time = async {
        f.clock.advance(SECOND * 50);
        assert_eq!(f.store.let_lapse(), 0);
        assert_eq!(f.store.renew_leases().await, Ok(0));
        f.clock.advance(SECOND * 50);
        assert_eq!(f.store.let_lapse(), 0, "it was renewed");
        // nobody could ask the database since; what the wall clock reads says nothing about that
        f.clock.leap(SECOND * -3600);
        f.clock.advance(SECOND * 8);
        // on SQLite a lease has no end
        assert_eq!(f.store.let_lapse(), usize::from(f.store.is_shared()));
    };
    tokio::select! {
        biased;
        _ = &mut work => panic!("stopped too early"),
        () = time => {}
    }
    if f.store.is_shared() {
        assert_eq!(work.await, None);
    }
}

async fn work_that_slept_over_the_end_of_its_lease_takes_no_further_step(f: &Fixture) {
    let claim = f.holds(JobKind::Deliver, "a").await;
    let (answer, stepped) = (Notify::new(), AtomicBool::new(false));
    let work = f.store.under(&claim, async {
        answer.notified().await;
        stepped.store(true, Ordering::Relaxed);
    });
    let time = async {
        // the process stands for a minute, and what the work waits for comes meanwhile
        f.clock.advance(SECOND * 60);
        answer.notify_one();
    };
    let (done, ()) = tokio::join!(work, time);
    // on SQLite a lease has no end
    assert_eq!(done.is_none(), f.store.is_shared());
    assert_eq!(stepped.load(Ordering::Relaxed), !f.store.is_shared());
}

async fn at_the_end_only_jobs_open_are_given_back(f: &Fixture) {
    let (open, deliver) = (f.holds(JobKind::Open, "a").await, f.holds(JobKind::Deliver, "a").await);
    let works = async {
        tokio::join!(
            f.store.under(&open, pending::<()>()),
            f.store.under(&deliver, pending::<()>())
        )
    };
    let end = async {
        // both are taken up by now
        f.store.give_up().await;
    };
    let (works, ()) = tokio::join!(works, end);
    assert_eq!(works, (None, None));
    assert!(!f.read(|tx| tx.in_flight(JobKind::Open, "a")).await);
    assert!(f.read(|tx| tx.in_flight(JobKind::Deliver, "a")).await);
}

async fn a_claim_is_young_by_both_clocks(f: &Fixture) {
    let two = SECOND * 2;
    let claim = f.holds(JobKind::Deliver, "a").await;
    assert!(claim.is_younger(two, &f.clock));
    f.clock.leap(SECOND * -60);
    assert!(!claim.is_younger(two, &f.clock), "set back");
    f.clock.leap(SECOND * 60);
    f.clock.advance(SECOND);
    assert!(claim.is_younger(two, &f.clock));
    f.clock.advance(two);
    assert!(!claim.is_younger(two, &f.clock));
    f.clock.leap(SECOND * -3);
    assert!(!claim.is_younger(two, &f.clock), "a wall clock that was set hides no age");
}

}
