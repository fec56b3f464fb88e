//! Promises, claims, fences and leases on either database.

use super::*;

const ALL: &[JobKind] = JobKind::ALL;

pub(super) fn job(kind: JobKind, subject: &str, due_at: Timestamp) -> Job {
    let link = LinkId::new(start(), &Random::seeded(3));
    Job {
        kind,
        subject: subject.into(),
        link,
        due_at,
    }
}

impl Fixture {
    pub(super) async fn promise(&self, job: Job) {
        self.write(move |tx| tx.enqueue(&job)).await;
    }

    pub(super) async fn claims(&self, owner: &'static str) -> Vec<Claim> {
        let now = self.clock.now();
        self.write(move |tx| tx.claim(&Lease::of(owner), now, 10, ALL))
            .await
    }

    async fn done(&self, claim: &Claim) -> bool {
        let claim = claim.clone();
        self.write(move |tx| tx.done(&claim)).await
    }

    async fn due(&self) -> Option<Timestamp> {
        self.read(|tx| tx.next_due()).await
    }

    /// The process that held them has died.
    async fn bereave(&self) {
        if self.store.is_shared() {
            self.raw("UPDATE job SET lease_until = 1, ready_at = 1 WHERE owner IS NOT NULL")
                .await;
        } else {
            let boot = Lease::of("next boot");
            self.write(move |tx| tx.free_foreign(&boot)).await;
        }
    }
}

on_both! {

async fn what_is_due_is_claimed_once_the_longest_due_first(f: &Fixture) {
    f.promise(job(JobKind::Watch, "b", f.later(-1))).await;
    f.promise(job(JobKind::Open, "a", f.later(-2))).await;
    f.promise(job(JobKind::Open, "later", f.later(1))).await;
    assert_eq!(f.due().await, Some(f.later(-2)));
    let claims = f.claims("one").await;
    assert_eq!(claims.iter().map(Claim::key).collect::<Vec<_>>(), ["open:a", "watch:b"]);
    assert_eq!((claims[0].attempt, claims[0].tries, claims[0].claimed_at), (1, 0, f.clock.now()));
    assert!(f.claims("two").await.is_empty());
    assert!(f.done(&claims[0]).await);
    assert!(!f.done(&claims[0]).await);
}

async fn the_oldest_link_gets_its_page_first(f: &Fixture) {
    // the older was tried last
    f.promise(job(JobKind::Open, "lnk_1", f.later(-1))).await;
    f.promise(job(JobKind::Open, "lnk_2", f.later(-9))).await;
    f.promise(job(JobKind::Watch, "lnk_0", f.later(-9))).await;
    let now = f.clock.now();
    let claims = f.write(move |tx| tx.claim(&Lease::of("one"), now, 10, &[JobKind::Open])).await;
    assert_eq!(claims.iter().map(Claim::key).collect::<Vec<_>>(), ["open:lnk_1", "open:lnk_2"]);
    // once one got its page, the oldest wait no longer
    for subject in ["lnk_5", "lnk_3", "lnk_4"] {
        f.promise(job(JobKind::Open, subject, f.later(60))).await;
    }
    f.write(move |tx| tx.hasten_oldest_opens(now)).await;
    let claims = f.write(move |tx| tx.claim(&Lease::of("one"), now, 10, &[JobKind::Open])).await;
    assert_eq!(claims.iter().map(Claim::key).collect::<Vec<_>>(), ["open:lnk_3", "open:lnk_4"]);
}

async fn nothing_of_a_copy_is_claimed_before_it_is_recovered(f: &Fixture) {
    f.promise(job(JobKind::Watch, "a", f.later(-1))).await;
    let (now, mine, other) = (f.clock.now(), Lease::of("one"), Lease::of("two"));
    assert!(f.read(|tx| tx.recovery()).await.is_none());
    f.write(move |tx| tx.mark_as_copy(now)).await;
    assert!(f.claims("one").await.is_empty());
    assert_eq!(f.read(move |tx| tx.due_kinds(ALL, now)).await, []);
    let lease = mine.clone();
    let taken = f.write(move |tx| tx.take_recovery(&lease)).await.unwrap();
    assert_eq!((taken.marked_at, taken.step, taken.after), (now, Step::Deliveries, None));
    let lease = other.clone();
    let second = f.write(move |tx| tx.take_recovery(&lease)).await;
    // on SQLite there is one process: whoever asks is the next boot
    assert_eq!(second.is_some(), !f.store.is_shared());
    let lease = if f.store.is_shared() { mine } else { other };
    let (mut at, owner) = (taken, lease.clone());
    at.step = at.step.next().unwrap();
    at.after = Some((now, LinkId::new(now, &f.random)));
    assert!(f.write(move |tx| tx.save_recovery(&at, &owner)).await);
    assert_eq!(f.read(|tx| tx.recovery()).await, Some(at));
    // marked again meanwhile: what is known of the first copy says nothing about the second
    let again = f.later(1);
    f.write(move |tx| tx.mark_as_copy(again)).await;
    let owner = lease.clone();
    assert!(!f.write(move |tx| tx.end_recovery(&at, &owner)).await);
    let owner = lease.clone();
    let at = f.write(move |tx| tx.take_recovery(&owner)).await.unwrap();
    assert_eq!((at.step, at.after), (Step::Deliveries, None));
    assert!(f.write(move |tx| tx.end_recovery(&at, &lease)).await);
    assert_eq!(f.claims("one").await.len(), 1);
}

async fn what_a_copy_never_asked_for_may_have_been_asked_for_since(f: &Fixture) {
    let link = f.born("SO-1").await;
    let operation = |seconds, asked_at| {
        let created_at = f.later(seconds);
        let id = OperationId::new(OperationKind::Refund, created_at, &f.random);
        Operation { id, asked_at, created_at, ..f.operation(&link) }
    };
    let (marked, asked) = (f.later(5), Some(f.later(2)));
    let (waiting, asked, later) = (operation(0, None), operation(1, asked), operation(6, None));
    let all = [waiting.clone(), asked.clone(), later.clone()];
    f.write(move |tx| {
        tx.mark_as_copy(marked)?;
        for one in &all {
            tx.insert_operation(one)?;
        }
        Ok(())
    }).await;
    for one in [&waiting, &asked, &later] {
        f.promise(job(JobKind::Operate, &one.id.to_string(), f.later(-1))).await;
    }
    let lease = Lease::of("one");
    let ours = lease.clone();
    let at = f.write(move |tx| tx.take_recovery(&ours)).await.unwrap();
    assert!(f.write(move |tx| tx.end_recovery(&at, &lease)).await);
    let expected = [
        Operation { asked_at: Some(waiting.created_at), ..waiting },
        asked,
        later,
    ];
    let mut now = f.read(move |tx| tx.operations(link.id)).await;
    now.sort_by_key(|it| it.created_at);
    assert_eq!(now, expected);
    // nor does a job pass for one that no lost answer came before
    assert!(f.claims("one").await.iter().all(|it| it.attempt == 2));
}

async fn a_parked_job_is_seen_and_sent_on(f: &Fixture) {
    f.promise(job(JobKind::Watch, "a", f.later(0))).await;
    for _ in 0..5 {
        assert_eq!(f.read(|tx| tx.count_parked()).await, 0);
        let claim = f.claims("one").await.remove(0);
        let now = f.clock.now();
        f.write(move |tx| tx.again(&claim, now, true)).await;
    }
    assert!(f.claims("one").await.is_empty());
    let parked = f.read(|tx| tx.parked_jobs()).await;
    assert_eq!((parked[0].id.as_str(), parked[0].tries), ("watch:a", 5));
    let now = f.clock.now();
    assert!(!f.write(move |tx| tx.unpark("watch:b", now)).await);
    assert!(f.write(move |tx| tx.unpark("watch:a", now)).await);
    assert!(!f.write(move |tx| tx.unpark("watch:a", now)).await);
    assert_eq!(f.claims("one").await[0].tries, 0);
}

async fn a_claim_asks_for_kinds_and_a_number(f: &Fixture) {
    for subject in ["a", "b", "c"] {
        f.promise(job(JobKind::Deliver, subject, f.later(0))).await;
    }
    f.promise(job(JobKind::Expire, "a", f.later(0))).await;
    let now = f.clock.now();
    let claim = move |kinds: &'static [JobKind], limit| f.write(move |tx|
        tx.claim(&Lease::of("one"), now, limit, kinds));
    assert_eq!(claim(&[JobKind::Deliver], 2).await.len(), 2);
    assert_eq!(claim(&[JobKind::Open, JobKind::Expire], 10).await.len(), 1);
    assert!(claim(&[], 10).await.is_empty());
    assert_eq!(claim(ALL, 10).await.len(), 1);
}

async fn the_earlier_date_of_two_promises_holds(f: &Fixture) {
    f.promise(job(JobKind::Watch, "a", f.later(60))).await;
    f.promise(job(JobKind::Watch, "a", f.later(30))).await;
    f.promise(job(JobKind::Watch, "a", f.later(90))).await;
    assert_eq!(f.due().await, Some(f.later(30)));
    let (sooner, later) = (f.later(10), f.later(20));
    assert!(f.write(move |tx| tx.hasten(JobKind::Watch, "a", sooner)).await);
    assert!(f.write(move |tx| tx.hasten(JobKind::Watch, "a", later)).await);
    assert!(!f.write(move |tx| tx.hasten(JobKind::Watch, "b", sooner)).await);
    assert_eq!(f.due().await, Some(sooner));
}

async fn what_is_asked_for_while_it_runs_is_not_lost(f: &Fixture) {
    f.promise(job(JobKind::Watch, "a", f.later(0))).await;
    let claim = f.claims("one").await.remove(0);
    f.promise(job(JobKind::Watch, "a", f.later(5))).await;
    assert!(f.done(&claim).await);
    assert_eq!(f.due().await, Some(f.later(5)));
    f.clock.advance(SignedDuration::from_secs(5));
    let claim = f.claims("one").await.remove(0);
    assert_eq!(claim.attempt, 2);
    let (wish, plan) = (f.later(2), f.later(60));
    f.write(move |tx| tx.hasten(JobKind::Watch, "a", wish)).await;
    f.write(move |tx| tx.again(&claim, plan, false)).await;
    assert_eq!(f.due().await, Some(wish));
}

async fn a_hint_is_remembered_until_its_run(f: &Fixture) {
    let hint = async |due| {
        let hinted = job(JobKind::Watch, "a", due);
        f.write(move |tx| tx.hint(&hinted)).await;
    };
    let again = async |claim: &Claim| {
        let (claim, now) = (claim.clone(), f.clock.now());
        assert!(f.write(move |tx| tx.again(&claim, now, false)).await);
    };
    f.promise(job(JobKind::Watch, "a", f.later(-1))).await;
    hint(f.later(60)).await;
    let claim = f.claims("one").await.remove(0);
    assert!(claim.hinted, "though it was due before");
    again(&claim).await;
    let claim = f.claims("one").await.remove(0);
    assert!(!claim.hinted, "it had its run");
    hint(f.later(0)).await;
    again(&claim).await;
    let claim = f.claims("one").await.remove(0);
    assert!(claim.hinted, "it came while the job ran");
    f.promise(job(JobKind::Watch, "a", f.later(0))).await;
    assert!(f.done(&claim).await);
    hint(f.later(0)).await;
    let claim = f.claims("one").await.remove(0);
    assert!(claim.hinted);
    assert!(f.done(&claim).await);
    assert!(f.claims("one").await.is_empty());
}

async fn a_released_job_is_due_as_it_was(f: &Fixture) {
    f.promise(job(JobKind::Open, "a", f.later(-7))).await;
    let claim = f.claims("one").await.remove(0);
    let copy = claim.clone();
    assert!(f.write(move |tx| tx.release(&copy)).await);
    assert_eq!(f.due().await, Some(f.later(-7)));
    assert!(!f.done(&claim).await, "it is no longer ours");
}

async fn a_paused_worker_cannot_write_over_its_successor(f: &Fixture) {
    f.promise(job(JobKind::Deliver, "a", f.later(0))).await;
    let old = f.claims("one").await.remove(0);
    f.bereave().await;
    let new = f.claims("one").await.remove(0);
    assert_eq!(new.attempt, old.attempt + 1);
    let (copy, at) = (old.clone(), f.later(1));
    assert!(!f.write(move |tx| tx.again(&copy, at, false)).await);
    let copy = old.clone();
    assert!(!f.read(move |tx| tx.confirm(&copy)).await);
    assert!(!f.done(&old).await);
    let copy = new.clone();
    assert!(f.read(move |tx| tx.confirm(&copy)).await);
    assert!(f.done(&new).await);
}

async fn a_process_renews_what_it_holds(f: &Fixture) {
    for subject in ["a", "b"] {
        f.promise(job(JobKind::Open, subject, f.later(0))).await;
    }
    let now = f.clock.now();
    f.write(move |tx| tx.claim(&Lease::of("one"), now, 1, ALL)).await;
    f.write(move |tx| tx.claim(&Lease::of("two"), now, 1, ALL)).await;
    let held = f.write(|tx| tx.renew(&Lease::of("one"))).await;
    assert_eq!(held.len(), 1);
    assert_eq!(held[0].1, 1);
    assert!(f.write(|tx| tx.renew(&Lease::of("three"))).await.is_empty());
}

async fn a_job_born_leased_is_nobody_elses(f: &Fixture) {
    let born = job(JobKind::Open, "a", f.later(0));
    let copy = born.clone();
    let claim = f.write(move |tx| tx.enqueue_leased(&copy, &Lease::of("handler"))).await;
    assert!(f.claims("worker").await.is_empty());
    let copy = born.clone();
    let twice = f.store.write(move |tx| tx.enqueue_leased(&copy, &Lease::of("other"))).await;
    assert_eq!(twice, Err(StoreError::Taken(Constraint::Job)));
    let copy = claim.clone();
    assert!(f.read(move |tx| tx.confirm(&copy)).await);
    f.bereave().await;
    let rescued = f.claims("worker").await.remove(0);
    assert_eq!((rescued.job, rescued.attempt), (born, 2));
}

async fn a_job_is_cancelled_unless_somebody_is_at_it(f: &Fixture) {
    f.promise(job(JobKind::Open, "a", f.later(0))).await;
    let now = f.clock.now();
    f.promise(job(JobKind::Watch, "later", f.later(9))).await;
    assert_eq!(f.read(move |tx| tx.due_kinds(ALL, now)).await, [JobKind::Open]);
    assert!(f.read(move |tx| tx.due_kinds(&[JobKind::Watch], now)).await.is_empty());
    assert!(f.write(|tx| tx.cancel(JobKind::Watch, "later")).await);
    let claim = f.claims("one").await.remove(0);
    assert!(f.read(|tx| tx.in_flight(JobKind::Open, "a")).await);
    assert!(!f.write(|tx| tx.cancel(JobKind::Open, "a")).await);
    assert!(f.read(move |tx| tx.due_kinds(ALL, now)).await.is_empty());
    f.write(move |tx| tx.release(&claim)).await;
    assert!(!f.read(|tx| tx.in_flight(JobKind::Open, "a")).await);
    assert!(f.write(|tx| tx.cancel(JobKind::Open, "a")).await);
    assert_eq!(f.due().await, None);
    assert!(f.write(|tx| tx.cancel(JobKind::Open, "a")).await, "nobody is at what is not there");
}

async fn a_poisonous_job_is_parked_and_blocks_nobody(f: &Fixture) {
    f.promise(job(JobKind::Settle, "a", f.later(0))).await;
    for tries in 0..5 {
        let claim = f.claims("one").await.remove(0);
        assert_eq!(claim.tries, tries);
        let at = f.later(0);
        assert!(f.write(move |tx| tx.again(&claim, at, true)).await);
    }
    assert!(f.claims("one").await.is_empty());
    assert_eq!(f.due().await, None);
    f.promise(job(JobKind::Settle, "a", f.later(-1))).await;
    let at = f.later(-1);
    assert!(!f.write(move |tx| tx.hasten(JobKind::Settle, "a", at)).await);
    assert!(f.claims("one").await.is_empty());
}

async fn a_success_between_panics_starts_the_count_anew(f: &Fixture) {
    f.promise(job(JobKind::Watch, "a", f.later(0))).await;
    for poison in [true, true, false] {
        let (claim, at) = (f.claims("one").await.remove(0), f.later(0));
        f.write(move |tx| tx.again(&claim, at, poison)).await;
    }
    assert_eq!(f.claims("one").await.remove(0).tries, 0);
}

async fn an_attempt_without_result_is_evidence(f: &Fixture) {
    let link = f.born("SO-1").await;
    let delivery = f.delivery(&link, email("jo@example.com"));
    let (id, copy) = (delivery.id, delivery.clone());
    f.write(move |tx| tx.insert_delivery(&copy)).await;
    f.promise(job(JobKind::Deliver, &id.to_string(), f.later(0))).await;
    let claim = f.claims("one").await.remove(0);
    let copy = claim.clone();
    let attempt = f.write(move |tx| tx.begin_attempt(&copy, id, start())).await;
    let twice = f.store.write(move |tx| tx.begin_attempt(&claim, id, start())).await;
    assert_eq!(twice, Err(StoreError::Taken(Constraint::Attempt)));
    let open = f.read(move |tx| tx.open_attempts(id)).await;
    assert_eq!(open, [Attempt { id: attempt, begun_at: start() }]);
    assert!(f.write(move |tx| tx.finish_attempt(attempt, "sent", "250 ok", start())).await);
    assert!(!f.write(move |tx| tx.finish_attempt(attempt, "unknown", "", start())).await);
    assert!(f.read(move |tx| tx.open_attempts(id)).await.is_empty());
}

async fn workers_share_a_queue_without_doing_anything_twice(f: &Fixture) {
    for n in 0..60 {
        f.promise(job(JobKind::Watch, &n.to_string(), f.later(0))).await;
    }
    let now = f.clock.now();
    let workers: Vec<_> = (0..6).map(|n| {
        let store = f.store.clone();
        tokio::spawn(async move {
            let mut mine = Vec::new();
            loop {
                let lease = Lease::of(n.to_string());
                let claims = store.write(move |tx| tx.claim(&lease, now, 5, ALL)).await.unwrap();
                if claims.is_empty() { return mine }
                mine.extend(claims.iter().map(Claim::key));
            }
        })
    }).collect();
    let mut all = Vec::new();
    for worker in workers { all.extend(worker.await.unwrap()); }
    all.sort();
    let before = all.len();
    all.dedup();
    assert_eq!((before, all.len()), (60, 60));
}

}
