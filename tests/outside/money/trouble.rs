//! Money when Klarna says no, says nothing, says it late, or still checks.

use std::future::IntoFuture;

use serde_json::json;

use super::super::harness::world::id;
use super::super::harness::{World, WorldPlan, eventually, sale, stories};
use super::{captures_elsewhere, does, id_of_order, listed, paid, settled, types};

stories!(
    money_in_trouble,
    WorldPlan::new(),
    [
        klarnas_no_is_told_and_kept,
        a_lost_answer_is_no_second_capture,
        an_outage_delays_and_loses_nothing,
        nothing_is_captured_while_klarna_checks,
        a_refusal_brings_the_ledger_up_to_date,
        an_old_read_undoes_nothing,
        a_burst_under_one_key_is_one_refund,
        a_burst_that_takes_everything_is_never_told_that_nothing_is_left,
        what_fails_later_is_told,
    ]
);

async fn klarnas_no_is_told_and_kept(w: &World) {
    let who = w.integrator();
    let link = paid(w, &who).await;
    does(&who, &link, "capture", &json!({"amount": 1}))
        .await
        .expect(201);
    let path = format!("/v1/links/{}/cancel", id(&link));
    let refused = who.press(&path).idempotent("no").await;
    let problem = refused.problem(409, "klarna_not_allowed");
    assert_eq!(problem["klarna"]["code"], "CANCEL_NOT_ALLOWED");
    let again = who.press(&path).idempotent("no").await;
    again.problem(409, "klarna_not_allowed");
    assert_eq!(again.header("idempotent-replayed"), Some("true"));
    assert_eq!(
        w.klarna.calls_of("cancel", id_of_order(&link)).await.len(),
        1
    );
}

async fn a_lost_answer_is_no_second_capture(w: &World) {
    let who = w.integrator();
    let link = paid(w, &who).await;
    w.klarna.breaks("capture", "drop_after", 2).await;
    let path = format!("/v1/links/{}/capture", id(&link));
    let body = json!({"amount": 20_000});
    let key = format!("lost-{}", id(&link));
    let accepted = who.post(&path, &body).idempotent(&key).await.expect(202);
    assert!(accepted.retry_after() >= 1);
    let pending = accepted.json();
    assert_eq!(pending["status"], "pending");
    // what is pending is promised: nobody gets it a second time
    let over = does(&who, &link, "capture", &json!({"amount": 30_001})).await;
    assert_eq!(over.faults(), [("/amount".into(), "out_of_range".into())]);
    does(&who, &link, "cancel", &json!({}))
        .await
        .problem(409, "busy");
    let capture = eventually("the capture is known", async || {
        let all = listed(&who, &link, "captures").await;
        (all[0]["status"] == "done").then(|| all[0].clone())
    })
    .await;
    assert_eq!(capture["id"], pending["id"]);
    let om = &w.klarna.order(&link).await["om"];
    assert_eq!(om["captures"].as_array().expect("captures").len(), 1);
    let now = who.link(id(&link)).await;
    assert_eq!(now["payment"]["captured_amount"], 20_000);
    let again = who.post(&path, &body).idempotent(&key).await.expect(202);
    assert_eq!(again.json()["status"], "done");
    assert_eq!(again.header("idempotent-replayed"), Some("true"));
    let keys: Vec<_> = w
        .klarna
        .calls_of("capture", id_of_order(&link))
        .await
        .iter()
        .map(|call| call["headers"]["klarna-idempotency-key"].clone())
        .collect();
    assert_eq!(keys.len(), 3);
    assert!(keys.iter().all(|key| *key == keys[0]), "{keys:?}");
}

async fn an_outage_delays_and_loses_nothing(w: &World) {
    let who = w.integrator();
    let link = paid(w, &who).await;
    w.klarna.breaks("capture", "status:503", 1).await;
    let accepted = does(&who, &link, "capture", &json!({})).await.expect(202);
    assert_eq!(accepted.json()["status"], "pending");
    settled(&who, &link, |payment| payment["captured_amount"] == 50_000).await;
    // a gateway on the way lost its patience
    let other = paid(w, &who).await;
    w.klarna.breaks("capture", "status:408", 1).await;
    does(&who, &other, "capture", &json!({})).await.expect(202);
    settled(&who, &other, |payment| payment["captured_amount"] == 50_000).await;
    w.klarna.breaks("refund", "status:429", 1).await;
    let accepted = does(&who, &link, "refunds", &json!({})).await.expect(202);
    assert_eq!(accepted.json()["status"], "pending");
    settled(&who, &link, |payment| payment["refunded_amount"] == 50_000).await;
    assert_eq!(w.klarna.order(&link).await["om"]["refunded_amount"], 50_000);
}

async fn nothing_is_captured_while_klarna_checks(w: &World) {
    let who = w.integrator();
    let link = who.creates(&sale()).await;
    w.klarna.doubts(&link, "PENDING").await;
    w.klarna.buyer(&link, "pay").await;
    settled(&who, &link, |payment| payment["fraud_status"] == "PENDING").await;
    let calls = w.klarna.calls_of("capture", "").await.len();
    does(&who, &link, "capture", &json!({}))
        .await
        .problem(409, "busy");
    assert_eq!(w.klarna.calls_of("capture", "").await.len(), calls);
    w.klarna.doubts(&link, "ACCEPTED").await;
    settled(&who, &link, |payment| payment["fraud_status"] == "ACCEPTED").await;
    does(&who, &link, "capture", &json!({})).await.expect(201);
}

/// The capture is refused because somebody took a part elsewhere; what is left is known then.
async fn a_refusal_brings_the_ledger_up_to_date(w: &World) {
    let who = w.integrator();
    let link = paid(w, &who).await;
    does(&who, &link, "capture", &json!({"amount": 100}))
        .await
        .expect(201);
    captures_elsewhere(w, &link, 900).await;
    let refused = does(&who, &link, "capture", &json!({})).await;
    refused.problem(409, "klarna_not_allowed");
    let now = who.link(id(&link)).await;
    assert_eq!(now["payment"]["captured_amount"], 1_000);
    let rest = does(&who, &link, "capture", &json!({})).await;
    assert_eq!(rest.expect(201).json()["amount"], 49_000);
}

/// A read of Klarna's is on its way back while the order is cancelled.
async fn an_old_read_undoes_nothing(w: &World) {
    let who = w.integrator();
    let link = paid(w, &who).await;
    let reads = async || w.klarna.calls_of("om_get", id_of_order(&link)).await.len();
    let before = reads().await;
    w.klarna.breaks("om_get", "slow:1500", 1).await;
    let refreshed = who
        .press(&format!("/v1/links/{}/refresh", id(&link)))
        .into_future();
    let cancelled = async {
        eventually("Klarna is read", async || {
            (reads().await > before).then_some(())
        })
        .await;
        does(&who, &link, "cancel", &json!({})).await.expect(200)
    };
    let (refreshed, cancelled) = futures_util::future::join(refreshed, cancelled).await;
    refreshed.expect(200);
    assert_eq!(cancelled.json()["payment"]["status"], "cancelled");
    // the slow one, the one after the cancel, and the slow one's repeat
    eventually("what was read late is read again", async || {
        (reads().await >= before + 3).then_some(())
    })
    .await;
    let now = settled(&who, &link, |payment| payment["status"] == "cancelled").await;
    assert_eq!(now["payment"]["remaining_amount"], 0);
    let told = types(&who, &link).await;
    let told: Vec<_> = told
        .iter()
        .filter(|it| *it == "payment.cancelled")
        .collect();
    assert_eq!(told.len(), 1, "{told:?}");
}

/// Twenty at once under one key: one refund, and nobody hears another status than the first.
async fn a_burst_under_one_key_is_one_refund(w: &World) {
    let who = w.integrator();
    let link = paid(w, &who).await;
    does(&who, &link, "capture", &json!({})).await.expect(201);
    let path = format!("/v1/links/{}/refunds", id(&link));
    let body = json!({"amount": 7});
    let calls = (0..20).map(|_| who.post(&path, &body).idempotent("burst").into_future());
    let answers = futures_util::future::join_all(calls).await;
    // 202 where the machine is so busy that Klarna's answer came too late for the first of them
    let first = answers.iter().find(|it| it.status != 409);
    let first = first.expect("one is answered").status;
    assert!(matches!(first, 201 | 202), "{first}");
    for answer in answers {
        if answer.status == 409 {
            answer.problem(409, "idempotency_in_progress");
        } else {
            assert_eq!(answer.expect(first).json()["amount"], 7);
        }
    }
    settled(&who, &link, |payment| payment["refunded_amount"] == 7).await;
    assert_eq!(w.klarna.order(&link).await["om"]["refunded_amount"], 7);
}

/// The others of a burst must not weigh what is left when the first has taken it.
async fn a_burst_that_takes_everything_is_never_told_that_nothing_is_left(w: &World) {
    let who = w.integrator();
    let link = paid(w, &who).await;
    for call in ["capture", "refunds"] {
        let (path, body) = (format!("/v1/links/{}/{call}", id(&link)), json!({}));
        let calls = (0..12).map(|_| who.post(&path, &body).idempotent(call).into_future());
        let answers = futures_util::future::join_all(calls).await;
        for answer in answers {
            if answer.status == 409 {
                answer.problem(409, "idempotency_in_progress");
            } else {
                answer.expect_any(&[201, 202]);
            }
        }
        let sum = ["captured_amount", "refunded_amount"][usize::from(call == "refunds")];
        settled(&who, &link, |payment| payment[sum] == 50_000).await;
    }
    let om = w.klarna.order(&link).await["om"].clone();
    let booked = |what: &str| om[what].as_array().map(Vec::len);
    assert_eq!(
        (booked("captures"), booked("refunds")),
        (Some(1), Some(1)),
        "{om:#}"
    );
}

/// Nobody waits for the answer any more when Klarna says no: the link's events and its operations
/// tell it, and so does a repeat of the request.
async fn what_fails_later_is_told(w: &World) {
    let who = w.integrator();
    let link = paid(w, &who).await;
    w.klarna.breaks("cancel", "status:503", 1).await;
    let path = format!("/v1/links/{}/cancel", id(&link));
    let accepted = who.press(&path).idempotent("later").await.expect(202);
    assert!(accepted.retry_after() >= 1);
    assert_eq!(
        listed(&who, &link, "operations").await[0]["status"],
        "pending"
    );
    // the first try came to nothing, and now there is something captured
    captures_elsewhere(w, &link, 900).await;
    let failed = eventually("the cancel has failed", async || {
        let all = listed(&who, &link, "operations").await;
        let cancel = all.iter().find(|it| it["object"] == "cancel").cloned()?;
        (cancel["status"] == "failed").then_some(cancel)
    })
    .await;
    assert_eq!(failed["amount"], json!(null));
    assert_eq!(failed["failure"]["code"], "klarna_refused");
    assert_eq!(failed["failure"]["klarna"]["code"], "CANCEL_NOT_ALLOWED");
    let told = types(&who, &link).await;
    assert!(
        told.contains(&"payment.operation_failed".into()),
        "{told:?}"
    );
    let again = who.press(&path).idempotent("later").await.expect(202);
    assert_eq!(again.header("idempotent-replayed"), Some("true"));
    assert_eq!(again.header("retry-after"), None, "nothing goes on");
}
