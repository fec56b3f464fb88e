//! Klarna's calls: each once per change, repeated on schedule, and the pushes until somebody
//! acknowledges.

use jiff::SignedDuration;
use serde_json::{Value, json};

use super::merchant::{Merchant, Reply};
use super::{Sim, mug_order, sim, sim_with_delays};

async fn hosted(sim: &Sim, merchant: &Merchant) -> (String, String) {
    let mut order = mug_order();
    let urls = &mut order["merchant_urls"];
    urls["push"] = json!(format!("{}/push?o={{checkout.order.id}}", merchant.url));
    urls["notification"] = json!(format!("{}/notification", merchant.url));
    let order = sim.order_of(&order).await;
    let urls = json!({
        "status_update": format!("{}/hpp?s={{{{session_id}}}}&o={{{{order_id}}}}", merchant.url)
    });
    let session = sim.session(&order, urls).await;
    (order, session["session_id"].as_str().unwrap().to_owned())
}

#[tokio::test]
async fn each_change_is_told_once_with_the_session_as_it_was_then() {
    let sim = sim().await;
    let mut merchant = Merchant::open().await;
    let (order, session) = hosted(&sim, &merchant).await;
    sim.act(&session, "open").await;
    let first = merchant.next().await;
    assert_eq!(first.target, format!("/hpp?s={session}&o={order}"));
    assert!(first.head.starts_with("POST ") && first.head.contains("application/json"));
    assert_eq!(
        first.body["session"],
        json!({ "session_id": session, "status": "IN_PROGRESS",
                "updated_at": "2026-11-23T09:00:03.507Z", "expires_at": "2026-11-25T08:00:03.507Z" })
    );
    sim.act(&session, "open").await; // it is open already: nothing to tell
    sim.act(&session, "decline").await;
    let second = merchant.next().await;
    assert_eq!(second.body["session"]["status"], "FAILED");
    assert_ne!(first.body["event_id"], second.body["event_id"]);
    sim.act(&session, "timeout").await;
    assert_eq!(merchant.next().await.body["session"]["status"], "TIMEOUT");
    assert_eq!(sim.read_session(&session).await.json()["status"], "FAILED");
    // the notes keep the order in which the calls began; the answers come to them in time
    let noted = loop {
        let shown = sim.get(&format!("/_sim/sessions/{session}")).await.json();
        let noted = shown["callbacks"].as_array().unwrap().clone();
        if noted.iter().all(|call| call["answer"] == 200) {
            break noted;
        }
        tokio::task::yield_now().await;
    };
    let told: Vec<_> = noted.iter().map(|call| &call["status"]).collect();
    assert_eq!(told, ["IN_PROGRESS", "FAILED", "TIMEOUT"]);
    assert_eq!(noted[0]["event_id"], first.body["event_id"]);
    sim.running.stop().await;
}

#[tokio::test]
async fn a_disable_by_the_merchant_is_not_told_to_the_merchant() {
    let sim = sim().await;
    let mut merchant = Merchant::open().await;
    let (_, session) = hosted(&sim, &merchant).await;
    sim.delete(&format!("/hpp/v1/sessions/{session}")).await;
    let (_, other) = hosted(&sim, &merchant).await;
    sim.act(&other, "open").await;
    assert_eq!(merchant.next().await.body["session"]["session_id"], other);
    sim.running.stop().await;
}

/// How long until the next call, once it is planned: the answer to the last one comes first.
async fn wait_planned(sim: &Sim) -> SignedDuration {
    loop {
        if let Some(next) = sim.running.world.calls.next() {
            return next.duration_since(sim.running.world.now());
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn an_update_that_fails_is_repeated_after_3_10_and_30_seconds() {
    let sim = sim().await;
    let mut merchant = Merchant::open().await;
    let (_, session) = hosted(&sim, &merchant).await;
    for reply in [
        Reply::Status(500),
        Reply::HangUp,
        Reply::Status(303),
        Reply::Status(500),
    ] {
        merchant.reply(reply);
    }
    sim.act(&session, "open").await;
    let first = merchant.next().await;
    for seconds in [3, 10, 30] {
        let wait = wait_planned(&sim).await;
        assert_eq!(wait, SignedDuration::from_secs(seconds));
        sim.advance(wait).await;
        let again = merchant.next().await;
        assert_eq!(again.body, first.body, "the same event, word for word");
    }
    sim.act(&session, "pay").await; // the fifth call is of the next event
    assert_eq!(merchant.next().await.body["session"]["status"], "COMPLETED");
    let callbacks = sim.get(&format!("/_sim/sessions/{session}")).await.json()["callbacks"].clone();
    let answers: Vec<_> = callbacks
        .as_array()
        .unwrap()
        .iter()
        .map(|call| &call["answer"])
        .take(3)
        .collect();
    assert_eq!(answers, [&json!(500), &Value::Null, &json!(303)]);
    sim.running.stop().await;
}

#[tokio::test]
async fn silence_is_given_up_after_three_seconds() {
    let sim = sim_with_delays(0.0).await;
    let mut merchant = Merchant::open().await;
    let (_, session) = hosted(&sim, &merchant).await;
    merchant.reply(Reply::Silence);
    sim.act(&session, "open").await;
    let first = merchant.next().await;
    merchant.given_up().await;
    assert_eq!(
        merchant.next().await.body["event_id"],
        first.body["event_id"]
    );
    sim.running.stop().await;
}

#[tokio::test]
async fn pushes_come_on_klarnas_schedule_until_acknowledged() {
    let sim = sim().await;
    let mut merchant = Merchant::open().await;
    let (order, session) = hosted(&sim, &merchant).await;
    sim.act(&session, "pay").await;
    for _ in 0..2 {
        assert!(merchant.next().await.target.starts_with("/hpp"));
    }
    // after the payment: 2, 5, 15, 30, 60 minutes, 5 and 9 hours
    for minutes in [2, 3, 10, 15, 30, 240, 240] {
        let wait = wait_planned(&sim).await;
        assert_eq!(wait, SignedDuration::from_mins(minutes));
        sim.advance(wait).await;
        let push = merchant.next().await;
        assert_eq!(
            (push.target, push.body),
            (format!("/push?o={order}"), Value::Null)
        );
        assert!(push.head.starts_with("POST "));
    }
    let acknowledge = format!("/ordermanagement/v1/orders/{order}/acknowledge");
    for _ in 0..2 {
        assert_eq!(sim.post(&acknowledge, &json!({})).await.status, 204);
    }
    let order = format!("/_sim/orders/{order}");
    assert_eq!(sim.get(&order).await.json()["acknowledged"], true);
    sim.advance(SignedDuration::from_hours(50)).await;
    for _ in 0..2 {
        sim.post(&format!("{order}/fraud"), &json!({ "status": "REJECTED" }))
            .await;
        assert_eq!(
            merchant.next().await.target,
            "/notification",
            "no push any more"
        );
    }
    sim.running.stop().await;
}

#[tokio::test]
async fn a_capture_counts_as_acknowledgement() {
    let sim = sim().await;
    let mut merchant = Merchant::open().await;
    let (order, session) = hosted(&sim, &merchant).await;
    sim.act(&session, "pay").await;
    for _ in 0..2 {
        assert!(merchant.next().await.target.starts_with("/hpp"));
    }
    let path = format!("/ordermanagement/v1/orders/{order}/captures");
    let made = sim.post(&path, &json!({ "captured_amount": 1 })).await;
    assert_eq!(made.status, 201);
    sim.advance(SignedDuration::from_hours(50)).await;
    let fraud = format!("/_sim/orders/{order}/fraud");
    sim.post(&fraud, &json!({ "status": "REJECTED" })).await;
    assert_eq!(merchant.next().await.target, "/notification", "no push");
    sim.running.stop().await;
}

#[test]
fn pushes_end_within_48_hours() {
    let all: Vec<_> = (0..)
        .map_while(super::super::callbacks::push_after)
        .collect();
    let minutes: Vec<_> = all.iter().map(|wait| wait.as_secs() / 60).collect();
    assert_eq!(minutes[..7], [2, 5, 15, 30, 60, 300, 540]);
    assert_eq!(*minutes.last().unwrap(), 45 * 60);
}

#[tokio::test]
async fn a_captured_order_is_not_pushed() {
    let sim = sim_with_delays(0.0).await;
    let mut merchant = Merchant::open().await;
    let mut order = mug_order();
    order["options"]["auto_capture"] = json!(true);
    order["merchant_urls"]["push"] = json!(format!("{}/push", merchant.url));
    order["merchant_urls"]["notification"] = json!(format!("{}/notification", merchant.url));
    let order = sim.order_of(&order).await;
    let session = sim.session(&order, json!({})).await;
    sim.act(session["session_id"].as_str().unwrap(), "pay")
        .await;
    for _ in 0..2 {
        sim.post(
            &format!("/_sim/orders/{order}/fraud"),
            &json!({ "status": "ACCEPTED" }),
        )
        .await;
        assert_eq!(merchant.next().await.target, "/notification");
    }
    sim.running.stop().await;
}

#[tokio::test]
async fn the_fraud_desk_notifies_what_it_decides() {
    let sim = sim().await;
    let mut merchant = Merchant::open().await;
    let (order, session) = hosted(&sim, &merchant).await;
    let fraud = format!("/_sim/orders/{order}/fraud");
    assert_eq!(
        sim.post(&fraud, &json!({ "status": "PENDING" }))
            .await
            .json()["om"],
        Value::Null
    );
    sim.act(&session, "pay").await;
    for _ in 0..2 {
        merchant.next().await;
    }
    let payment = format!("/ordermanagement/v1/orders/{order}");
    assert_eq!(sim.get(&payment).await.json()["fraud_status"], "PENDING");
    for word in ["ACCEPTED", "REJECTED", "STOPPED"] {
        let got = sim.post(&fraud, &json!({ "status": word })).await;
        assert_eq!(got.json()["om"]["fraud_status"], word);
        let heard = merchant.next().await;
        assert_eq!(heard.target, "/notification");
        let event = format!("FRAUD_RISK_{word}");
        assert_eq!(
            heard.body,
            json!({ "order_id": order, "event_type": event })
        );
    }
    assert_eq!(
        sim.post(&fraud, &json!({ "status": "MAYBE" })).await.status,
        400
    );
    sim.running.stop().await;
}

#[tokio::test]
async fn a_validation_can_refuse_the_purchase() {
    let sim = sim().await;
    let mut merchant = Merchant::open().await;
    let mut order = mug_order();
    order["merchant_urls"]["validation"] =
        json!(format!("{}/v?o={{checkout.order.id}}", merchant.url));
    let order = sim.order_of(&order).await;
    let session = sim.session(&order, json!({})).await;
    let id = session["session_id"].as_str().unwrap();

    merchant.reply(Reply::Redirect("https://shop.example/closed".to_owned()));
    let got = sim.act(id, "pay").await;
    let heard = merchant.next().await;
    assert_eq!(heard.target, format!("/v?o={order}"));
    assert_eq!(
        heard.body,
        sim.get(&format!("/checkout/v3/orders/{order}"))
            .await
            .json()
    );
    assert_eq!(
        (got.status, &got.json()["status"]),
        (200, &json!("IN_PROGRESS"))
    );
    let refused = json!({ "status": 303, "location": "https://shop.example/closed", "text": null });
    assert_eq!(got.json()["refused"], refused);

    merchant.reply(Reply::Refuse(
        "{\"error_type\":\"approval_failed\",\"error_text\":\"Sold <out>\"}".to_owned(),
    ));
    let page = session["redirect_url"].as_str().unwrap();
    let got = sim
        .call(reqwest::Method::POST, &format!("{page}/pay"), None)
        .await;
    assert!(got.text.contains("The purchase was refused") && got.text.contains("Sold &lt;out&gt;"));

    for reply in [Reply::Status(500), Reply::Status(200)] {
        merchant.reply(reply);
    }
    // what is neither a yes nor a no is a yes, unless the order asked for a yes
    assert_eq!(sim.act(id, "pay").await.json()["status"], "COMPLETED");
    sim.running.stop().await;
}

#[tokio::test]
async fn a_test_may_have_klarna_ask_nobody() {
    let sim = sim().await;
    let merchant = Merchant::open().await;
    let mut order = mug_order();
    order["merchant_urls"]["validation"] = json!(format!("{}/v", merchant.url));
    let order = sim.order_of(&order).await;
    let session = sim.session(&order, json!({})).await;
    let id = session["session_id"].as_str().unwrap();
    merchant.reply(Reply::Redirect("https://shop.example/closed".to_owned()));
    let path = format!("/_sim/sessions/{id}/act");
    let pay = json!({ "act": "pay", "validation": false });
    let got = sim.post(&path, &pay).await;
    assert_eq!(
        (got.status, &got.json()["status"]),
        (200, &json!("COMPLETED"))
    );
    sim.running.stop().await;
}

#[tokio::test]
async fn an_order_may_ask_for_an_approval() {
    let sim = sim().await;
    let merchant = Merchant::open().await;
    let mut order = mug_order();
    order["merchant_urls"]["validation"] = json!(format!("{}/v", merchant.url));
    order["options"]["require_validate_callback_success"] = json!(true);
    let order = sim.order_of(&order).await;
    let session = sim.session(&order, json!({})).await;
    let id = session["session_id"].as_str().unwrap();
    merchant.reply(Reply::HangUp);
    assert_eq!(sim.act(id, "pay").await.json()["status"], "IN_PROGRESS");
    assert_eq!(sim.act(id, "pay").await.json()["status"], "COMPLETED");
    sim.running.stop().await;
}

#[tokio::test]
async fn who_is_disabled_while_the_merchant_is_asked_cannot_pay() {
    let sim = sim().await;
    let mut merchant = Merchant::open().await;
    let mut order = mug_order();
    order["merchant_urls"]["validation"] = json!(format!("{}/v", merchant.url));
    let order = sim.order_of(&order).await;
    let session = sim.session(&order, json!({})).await;
    let id = session["session_id"].as_str().unwrap().to_owned();
    merchant.reply(Reply::Silence);
    let disabled = async {
        merchant.next().await;
        sim.delete(&format!("/hpp/v1/sessions/{id}")).await.status
    };
    let (paid, disabled) = tokio::join!(sim.act(&id, "pay"), disabled);
    assert_eq!((paid.status, disabled), (409, 204));
    assert_eq!(sim.read_session(&id).await.json()["status"], "DISABLED");
    sim.running.stop().await;
}
