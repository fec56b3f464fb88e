//! What holds on either database: links, events, the door.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::link::{
    Buyer, Closing, Consumer, Failure, FailureCode, Payment, PaymentStatus, Refusal,
};

fn stages(at: Timestamp) -> Vec<Stage> {
    let by = Actor::Klarna;
    let why = Closing::Mistake;
    let buyer = Buyer {
        billing: Some(address()),
        shipping: None,
        payment_method: Some("INVOICE".into()),
    };
    vec![
        Stage::Creating { pairs_tried: 2 },
        Stage::Open {
            pair: pair(),
            until: at,
            consumer: Consumer::IdCheck,
        },
        Stage::Disabling {
            pair: None,
            why,
            by,
            since: at,
        },
        Stage::Disabling {
            pair: Some(pair()),
            why,
            by,
            since: at,
        },
        Stage::Disabled {
            pair: Some(pair()),
            at,
            by,
            why,
        },
        Stage::Expired { pair: None, at },
        Stage::Cancelled { pair: pair(), at },
        Stage::Failed {
            at,
            why: Failure {
                code: FailureCode::KlarnaRefused,
                detail: "refused".into(),
                klarna: Some(Refusal {
                    status: 400,
                    code: Some("BAD_VALUE".into()),
                    messages: vec!["no".into()],
                    correlation_id: None,
                }),
            },
        },
        Stage::Completed {
            pair: pair(),
            at,
            payment: Box::new(Payment {
                status: PaymentStatus::PartCaptured,
                fraud_status: Some("ACCEPTED".into()),
                captured_amount: Some(1),
                refunded_amount: Some(0),
                remaining_amount: Some(49_999),
                expires_at: Some(at),
                buyer: Some(buyer),
            }),
        },
    ]
}

on_both! {

async fn a_link_comes_back_as_it_went_in(f: &Fixture) {
    let link = f.born("SO-1").await;
    let id = link.id;
    assert_eq!(f.read(move |tx| tx.link(id)).await, Some(link));
    let other = LinkId::new(start(), &f.random);
    assert_eq!(f.read(move |tx| tx.link(other)).await, None);
    assert_eq!(f.write(move |tx| tx.touch(other)).await, None);
}

async fn every_stage_comes_back(f: &Fixture) {
    let id = f.born("SO-1").await.id;
    for stage in stages(f.later(60)) {
        let saved = f.change(id, move |link| {
            link.stage = stage.clone();
            link.klarna.reference = Some("K1".into());
            link.closing_note = Some("note".into());
            link.viewed = !link.viewed;
        }).await;
        assert_eq!(f.read(move |tx| tx.link(id)).await, Some(saved));
    }
}

async fn a_touch_counts_the_version_up(f: &Fixture) {
    let id = f.born("SO-1").await.id;
    for version in 2..5 {
        assert_eq!(f.write(move |tx| tx.touch(id)).await.unwrap().version, version);
    }
}

async fn what_was_touched_by_another_is_not_written_over(f: &Fixture) {
    let old = f.born("SO-1").await;
    f.change(old.id, |link| link.viewed = true).await;
    let id = old.id;
    let answer: Res<()> = f.store.write(move |tx| tx.save(&old)).await;
    assert_eq!(answer, Err(StoreError::Again));
    assert!(f.read(move |tx| tx.link(id)).await.unwrap().viewed);
}

async fn one_exclusive_link_of_a_reference_is_live(f: &Fixture) {
    let first = f.born("SO-1").await;
    let second = f.new_link("SO-1");
    let (hash, copy) = (f.random.bytes(), second.clone());
    let answer: Res<()> = f.store.write(move |tx| tx.insert_link(&copy, &hash, true)).await;
    assert_eq!(answer, Err(StoreError::Taken(Constraint::LiveReference)));

    let mut elsewhere = f.new_link("SO-1");
    elsewhere.store = "north".into();
    f.store_link(elsewhere).await;
    let live = f.read(|tx| tx.live_links("default", "SO-1")).await;
    assert_eq!(live, [first.id]);

    let at = f.later(1);
    f.change(first.id, move |link| link.stage = Stage::Expired { pair: None, at }).await;
    assert_eq!(f.read(|tx| tx.live_links("default", "SO-1")).await, []);
    f.store_link(second).await;
}

async fn a_link_that_need_not_be_alone_is_not(f: &Fixture) {
    f.born("SO-1").await;
    let (second, hash) = (f.new_link("SO-1"), f.random.bytes());
    f.write(move |tx| tx.insert_link(&second, &hash, false)).await;
}

async fn a_paid_reference_is_remembered_since_a_moment(f: &Fixture) {
    let id = f.born("SO-1").await.id;
    let at = f.later(10);
    f.change(id, move |link| link.stage = Stage::Completed {
        pair: pair(), at, payment: Box::new(Payment::authorized()),
    }).await;
    let (before, after) = (f.later(10), f.later(11));
    assert_eq!(f.read(move |tx| tx.paid_link("default", "SO-1", before)).await, Some(id));
    assert_eq!(f.read(move |tx| tx.paid_link("default", "SO-1", after)).await, None);
}

async fn a_token_dies_48_hours_after_its_links_end(f: &Fixture) {
    let (link, hash) = (f.born("SO-1").await, [5; 32]);
    let id = link.id;
    f.write(move |tx| tx.insert_token(&hash, id, 2)).await;
    assert_eq!(f.read(move |tx| tx.token(&hash)).await, Some((id, 2)));
    assert_eq!(f.read(move |tx| tx.token(&[6; 32])).await, None);
    let at = f.clock.now();
    f.change(id, move |link| link.stage = Stage::Expired { pair: None, at }).await;
    f.clock.advance(SignedDuration::from_mins(48 * 60 - 1));
    assert_eq!(f.read(move |tx| tx.token(&hash)).await, Some((id, 2)));
    f.clock.advance(SignedDuration::from_mins(1));
    assert_eq!(f.read(move |tx| tx.token(&hash)).await, None);
}

async fn events_count_without_gaps_in_link_and_stream(f: &Fixture) {
    let (one, two) = (f.born("SO-1").await.id, f.born("SO-2").await.id);
    let events = [f.event(), f.event()];
    f.write(move |tx| {
        let mut link = tx.touch(one)?.unwrap();
        tx.append(&mut link, EventKind::LinkViewed, events[0], None, start())?;
        // no save: the sequence is written all the same
        tx.append(&mut link, EventKind::LinkConsumerChanged, events[1], None, start())
    }).await;
    assert_eq!(f.store.relay_once().await.unwrap(), 4);
    assert_eq!(f.read(move |tx| tx.link(one)).await.unwrap().sequence, 3);
    let all = f.read(|tx| tx.events_after(0, &EventFilter::default(), 10)).await;
    assert_eq!(all.iter().filter_map(|it| it.position).collect::<Vec<_>>(), [1, 2, 3, 4]);
    assert_eq!(f.read(|tx| tx.head()).await, 4);
    assert_eq!(f.read(|tx| tx.oldest()).await, Some(1));
    let rest = f.read(|tx| tx.events_after(3, &EventFilter::default(), 10)).await;
    assert_eq!(rest, all[3..]);
    let its = f.read(move |tx| tx.events_of(one)).await;
    assert_eq!(its.iter().map(|it| it.kind).collect::<Vec<_>>(),
        [EventKind::LinkCreated, EventKind::LinkViewed, EventKind::LinkConsumerChanged]);
    assert!(its[2].json.contains("\"sequence\":3"), "{}", its[2].json);
    let filter = EventFilter { link: Some(two), ..EventFilter::default() };
    assert_eq!(f.read(move |tx| tx.events_after(0, &filter, 10)).await.len(), 1);
    let filter = EventFilter {
        kinds: vec![EventKind::LinkViewed], store: Some("default".into()),
        actor: Some(f.new_link("x").created_by), ..EventFilter::default()
    };
    assert_eq!(f.read(move |tx| tx.events_after(0, &filter, 10)).await.len(), 1);
    let filter = EventFilter { store: Some("north".into()), ..EventFilter::default() };
    assert!(f.read(move |tx| tx.events_after(0, &filter, 10)).await.is_empty());
    let again = events[0];
    let answer: Res<()> = f.store.write(move |tx| {
        let mut link = tx.touch(two)?.unwrap();
        tx.append(&mut link, EventKind::LinkViewed, again, None, start())
    }).await;
    assert_eq!(answer, Err(StoreError::Taken(Constraint::Event)));
}

async fn writers_of_one_link_wait_for_each_other(f: &Fixture) {
    let id = f.born("SO-1").await.id;
    let writers = (0..32).map(|_| {
        let (store, event) = (f.store.clone(), f.event());
        tokio::spawn(async move {
            store.write(move |tx| -> Res<()> {
                let mut link = tx.touch(id)?.unwrap();
                link.sale.order_amount += 0;
                tx.append(&mut link, EventKind::LinkViewed, event, None, start())?;
                tx.save(&link)
            }).await
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.unwrap().unwrap();
    }
    assert_eq!(f.store.relay_once().await.unwrap(), 33);
    let link = f.read(move |tx| tx.link(id)).await.unwrap();
    assert_eq!((link.version, link.sequence), (33, 33));
    let positions: Vec<_> = f.read(move |tx| tx.events_of(id)).await.iter().map(|it| it.position.unwrap()).collect();
    assert_eq!(positions, (1..=33).collect::<Vec<_>>());
}

async fn a_swallowed_error_undoes_the_closure(f: &Fixture) {
    let link = f.born("SO-1").await;
    let fresh = f.new_link("SO-2");
    let (id, hash) = (fresh.id, [1; 32]);
    let answer: Res<()> = f.store.write(move |tx| {
        tx.insert_link(&fresh, &hash, true)?;
        let _ = tx.insert_link(&link, &hash, false);
        assert_eq!(tx.link(fresh.id), Err(StoreError::Spent));
        Ok(())
    }).await;
    assert_eq!(answer, Err(StoreError::Taken(Constraint::Link)));
    assert_eq!(f.read(move |tx| tx.link(id)).await, None);
}

async fn a_panic_is_an_ordinary_rollback(f: &Fixture) {
    let fresh = f.new_link("SO-1");
    let (id, hash) = (fresh.id, [1; 32]);
    let answer: Res<()> = f.store.write(move |tx| {
        tx.insert_link(&fresh, &hash, true)?;
        panic!("on purpose")
    }).await;
    assert_eq!(answer, Err(StoreError::Panicked));
    assert_eq!(f.read(move |tx| tx.link(id)).await, None);
    let answer: Res<()> = f.store.read(|_| panic!("on purpose")).await;
    assert_eq!(answer, Err(StoreError::Panicked));
    f.born("SO-2").await;
}

async fn a_read_cannot_write(f: &Fixture) {
    let id = f.born("SO-1").await.id;
    let answer = f.store.read(move |tx| tx.touch(id)).await;
    assert!(matches!(answer, Err(StoreError::Fatal(_) | StoreError::Lost)), "{answer:?}");
    assert_eq!(f.read(move |tx| tx.link(id)).await.unwrap().version, 1);
}

async fn an_impossible_row_is_an_error(f: &Fixture) {
    let id = f.born("SO-1").await.id;
    f.raw("UPDATE link SET personal = NULL, created_by = 'nobody'").await;
    let answer = f.store.read(move |tx| tx.link(id)).await;
    assert!(matches!(answer, Err(StoreError::Corrupt(_))), "{answer:?}");
    let refused: Res<()> = f.store.write(|tx| tx.sql(|conn|
        conn.batch_execute("UPDATE link SET status = 'open'"))).await;
    assert!(matches!(refused, Err(StoreError::Fatal(_))), "{refused:?}");
}

async fn a_sealed_column_moved_to_another_row_does_not_open(f: &Fixture) {
    let (one, two) = (f.born("SO-1").await.id, f.born("SO-2").await.id);
    f.raw(&format!("UPDATE link SET personal = (SELECT x.personal FROM link AS x WHERE x.id = '{one}') WHERE id = '{two}'")).await;
    assert!(matches!(f.store.read(move |tx| tx.link(two)).await, Err(StoreError::Corrupt(_))));
    assert!(f.read(move |tx| tx.link(one)).await.is_some());
}

async fn what_a_commit_brings_is_told(f: &Fixture) {
    let link = f.born("SO-1").await;
    let woken = f.store.woken(JobKind::Watch);
    let job = |due_at| Job { kind: JobKind::Watch, subject: link.id.to_string(), link: link.id, due_at };
    let (soon, now) = (job(f.later(60)), job(f.later(0)));
    let failing = now.clone();
    f.write(move |tx| tx.enqueue(&soon)).await;
    let failed: Res<()> = f.store.write(move |tx| { tx.enqueue(&failing)?; Err(StoreError::Closed) }).await;
    assert!(failed.is_err());
    let unwoken = futures_util::FutureExt::now_or_never(woken.notified());
    assert_eq!(unwoken, None, "nothing due was committed");
    f.write(move |tx| tx.enqueue(&now)).await;
    assert_eq!(futures_util::FutureExt::now_or_never(woken.notified()), Some(()));
    let head = f.store.relay_once().await.unwrap();
    assert_eq!(*f.store.head_watch().borrow(), head);
}

async fn a_second_migration_has_nothing_to_do(f: &Fixture) {
    let migrated = f.store.migrate().await.unwrap();
    assert_eq!(migrated.from.as_deref(), Some(migrated.to.as_str()));
    assert!(f.store.is_migrated().await.unwrap());
}

async fn a_closure_that_answers_an_error_leaves_nothing(f: &Fixture) {
    static RUNS: AtomicUsize = AtomicUsize::new(0);
    let fresh = f.new_link("SO-1");
    let id = fresh.id;
    let answer: Res<()> = f.store.write(move |tx| {
        RUNS.fetch_add(1, Ordering::SeqCst);
        tx.insert_link(&fresh, &[1; 32], true)?;
        Err(StoreError::Closed)
    }).await;
    assert_eq!(answer, Err(StoreError::Closed));
    assert_eq!(f.read(move |tx| tx.link(id)).await, None);
}

}
