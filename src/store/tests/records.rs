//! What is kept beside links: requests, deliveries, keys, alerts, the audit log.

use super::*;
use crate::link::{Failure, FailureCode, Outcome, Payment, Reason, ReasonCode, Refusal};

on_both! {

async fn a_request_is_remembered_under_its_key(f: &Fixture) {
    let kept = Kept {
        scope: "key_1 POST /v1/links".into(), key: "abc".into(), fingerprint: [3; 32],
        link: Some(LinkId::new(start(), &f.random)), answer: None, resource: None, at: start(),
    };
    let copy = kept.clone();
    f.write(move |tx| tx.insert_idempotency(&copy)).await;
    let copy = kept.clone();
    let answer: Res<()> = f.store.write(move |tx| tx.insert_idempotency(&copy)).await;
    assert_eq!(answer, Err(StoreError::Taken(Constraint::Idempotency)));
    let scope = kept.scope.clone();
    assert_eq!(f.read(move |tx| tx.idempotency(&scope, "abc")).await, Some(kept.clone()));
    let scope = kept.scope.clone();
    f.write(move |tx| tx.settle_idempotency(&scope, "abc", "klarna_refused")).await;
    let scope = kept.scope.clone();
    let settled = f.read(move |tx| tx.idempotency(&scope, "abc")).await.unwrap();
    assert_eq!(settled.answer.as_deref(), Some("klarna_refused"));
    for _ in 0..2 {
        // what is answered stands, and stays
        let scope = kept.scope.clone();
        f.write(move |tx| {
            tx.settle_idempotency(&scope, "abc", "created")?;
            tx.forget_unanswered(&scope, "abc")
        }).await;
    }
    let scope = kept.scope.clone();
    assert_eq!(f.read(move |tx| tx.idempotency(&scope, "abc")).await, Some(settled));
    assert_eq!(f.write(|tx| tx.purge_idempotency(start())).await, 0);
    let unanswered = Kept { key: "def".into(), ..kept.clone() };
    f.write(move |tx| {
        tx.insert_idempotency(&unanswered)?;
        tx.forget_unanswered(&unanswered.scope, "def")
    }).await;
    assert_eq!(f.read(move |tx| tx.idempotency(&kept.scope, "def")).await, None);
    let later = f.later(1);
    assert_eq!(f.write(move |tx| tx.purge_idempotency(later)).await, 1);
}

async fn operations_come_back_and_days_of_completed_links_are_paged(f: &Fixture) {
    let link = f.born("SO-1").await;
    let mut wanted = f.operation(&link);
    let copy = wanted.clone();
    f.write(move |tx| tx.insert_operation(&copy)).await;
    let (copy, id) = (wanted.clone(), wanted.id);
    let again: Res<()> = f.store.write(move |tx| tx.insert_operation(&copy)).await;
    assert_eq!(again, Err(StoreError::Taken(Constraint::Operation)));
    assert_eq!(f.read(move |tx| tx.operation(id)).await, Some(wanted.clone()));
    let why = Failure {
        code: FailureCode::KlarnaRefused, detail: "refused".into(),
        klarna: Some(Refusal { status: 403, code: Some("CAPTURE_NOT_ALLOWED".into()), messages: vec![], correlation_id: None }),
    };
    for outcome in [
        Outcome::Failed { at: f.later(1), why },
        Outcome::Done { klarna: Some("cap".into()), at: f.later(2) },
    ] {
        wanted.outcome = outcome;
        wanted.asked_at = None;
        let copy = wanted.clone();
        f.write(move |tx| tx.save_operation(&copy)).await;
        let of = link.id;
        assert_eq!(f.read(move |tx| tx.operations(of)).await, [wanted.clone()]);
    }

    let mut ids = Vec::new();
    for (number, seconds) in [(2, 10), (3, 20), (4, 20), (5, 30)] {
        let link = f.born(&format!("SO-{number}")).await;
        let at = f.later(seconds);
        let pair = pair();
        let payment = Box::new(Payment::authorized());
        f.change(link.id, move |link| link.stage = Stage::Completed { pair: pair.clone(), at, payment: payment.clone() }).await;
        ids.push((at, link.id));
    }
    ids.sort();
    let (since, until) = (f.later(10), f.later(30));
    let first = f.read(move |tx| tx.completed_links(since, until, None, 2)).await;
    assert_eq!(first, ids[..2]);
    let last = first.last().copied();
    let rest = f.read(move |tx| tx.completed_links(since, until, last, 2)).await;
    assert_eq!(rest, ids[2..3]);
}

async fn deliveries_come_back_and_unsent_ones_are_skipped(f: &Fixture) {
    let link = f.born("SO-1").await;
    let mut sent = f.delivery(&link, email("jo@example.com"));
    let queued = f.delivery(&link, sms("+447700900123"));
    let (one, two) = (sent.clone(), queued.clone());
    f.write(move |tx| { tx.insert_delivery(&one)?; tx.insert_delivery(&two) }).await;
    sent.status = DeliveryStatus::Failed;
    sent.attempts = 3;
    sent.reason = Some(Reason { code: ReasonCode::Rejected, detail: "550 no such user".into() });
    sent.segments = Some(2);
    let copy = sent.clone();
    f.write(move |tx| tx.save_delivery(&copy)).await;
    let id = sent.id;
    assert_eq!(f.read(move |tx| tx.delivery(id)).await, Some(sent.clone()));
    let link = link.id;
    let skipped = f.write(move |tx| tx.skip_queued(link)).await;
    assert_eq!(skipped.len(), 1);
    assert_eq!((skipped[0].id, skipped[0].status), (queued.id, DeliveryStatus::Skipped));
    assert_eq!(skipped[0].reason.as_ref().unwrap().code, ReasonCode::LinkClosed);
    assert_eq!(f.read(move |tx| tx.deliveries(link)).await, [sent, skipped[0].clone()]);
}

async fn an_event_freezes_the_deliveries_of_its_moment(f: &Fixture) {
    let link = f.born("SO-1").await;
    let (delivery, event) = (f.delivery(&link, email("jo@example.com")), f.event());
    let id = link.id;
    let count = f.write(move |tx| {
        let mut link = tx.touch(link.id)?.unwrap();
        let before = tx.deliveries(link.id)?.len();
        tx.insert_delivery(&delivery)?;
        tx.append(&mut link, EventKind::DeliveryQueued, event, Some(&delivery), start())?;
        Ok((before, tx.deliveries(link.id)?.len()))
    }).await;
    assert_eq!(count, (0, 1));
    let events = f.read(move |tx| tx.events_of(id)).await;
    assert!(events[1].json.contains("dlv_"), "{}", events[1].json);
}

async fn recipients_and_creators_are_counted_since_a_moment(f: &Fixture) {
    let link = f.born("SO-1").await;
    let (one, two) = (f.delivery(&link, sms("+447700900123")), f.delivery(&link, sms("+447700900124")));
    f.write(move |tx| { tx.insert_delivery(&one)?; tx.insert_delivery(&two) }).await;
    let count = |number: &'static str, since| f.read(move |tx| tx.count_deliveries_to(&sms(number), since));
    assert_eq!(count("+447700900123", start()).await, 1);
    assert_eq!(count("+447700900199", start()).await, 0);
    assert_eq!(count("+447700900123", f.later(1)).await, 0);
    let actor = link.created_by;
    let nth = |actor, agent: Option<&'static str>, nth| f.read(move |tx| tx.nth_link_since(actor, agent, start(), nth));
    assert_eq!(nth(actor, None, 1).await, Some(link.created_at));
    assert_eq!(nth(actor, None, 2).await, None);
    assert_eq!(nth(actor, Some("jo"), 1).await, Some(link.created_at));
    assert_eq!(nth(actor, Some("al"), 1).await, None);
    assert_eq!(nth(Actor::Klarna, None, 1).await, None);
    f.born("SO-2").await;
    assert_eq!(nth(actor, None, 2).await, Some(link.created_at));
}

async fn keys_are_kept_and_revoked(f: &Fixture) {
    let key = f.key();
    let (id, copy) = (key.id, key.clone());
    f.write(move |tx| tx.insert_key(&copy)).await;
    assert_eq!(f.read(move |tx| tx.key(id)).await, Some(key.clone()));
    assert_eq!(f.read(|tx| tx.keys()).await, [key]);
    let (at, again) = (f.later(1), f.later(2));
    assert!(f.write(move |tx| tx.revoke_key(id, at)).await);
    assert!(f.write(move |tx| tx.revoke_key(id, again)).await);
    assert_eq!(f.read(move |tx| tx.key(id)).await.unwrap().revoked_at, Some(at));
    let unknown = KeyId::new(start(), &f.random);
    assert!(!f.write(move |tx| tx.revoke_key(unknown, start())).await);
}

async fn an_alert_is_told_once_an_hour(f: &Fixture) {
    let raise = |kind: &'static str, at| f.write(move |tx| tx.alert(kind, "words", None, at));
    assert!(raise("link.mismatch", f.later(0)).await);
    assert!(!raise("link.mismatch", f.later(3599)).await);
    assert!(raise("poison", f.later(3599)).await);
    assert!(raise("link.mismatch", f.later(3600)).await);
}

async fn the_audit_log_shows_where_it_was_changed(f: &Fixture) {
    for verb in ["link.disabled", "key.created", "key.revoked"] {
        f.write(move |tx| tx.audit(Actor::Paylink, verb, "lnk_1", "why", start())).await;
    }
    let rows = f.read(|tx| tx.audited(1, 10)).await;
    assert_eq!(rows.iter().map(|it| (it.number, it.verb.as_str())).collect::<Vec<_>>(),
        [(2, "key.created"), (3, "key.revoked")]);
    assert_eq!(f.read(|tx| tx.audit_break()).await, None);
    let change = "UPDATE audit SET detail = 'because' WHERE n = 2";
    let refused: Res<()> = f.store.write(move |tx| tx.sql(|conn| conn.batch_execute(change))).await;
    assert!(refused.is_err());
    let disarm = if f.store.is_shared() { "ALTER TABLE audit DISABLE TRIGGER ALL" }
        else { "DROP TRIGGER audit_is_not_changed; DROP TRIGGER audit_is_not_cut" };
    f.raw(disarm).await;
    f.raw("DELETE FROM audit WHERE n = 3").await;
    assert_eq!(f.read(|tx| tx.audit_break()).await, Some(3));
    f.raw(change).await;
    assert_eq!(f.read(|tx| tx.audit_break()).await, Some(2));
}

}
