//! Checkout: what is taken, how a refusal is told, and how an order ends.

use jiff::SignedDuration;
use serde_json::{Value, json};

use super::rules::changed;
use super::{got, mug_order, sim};

#[tokio::test]
async fn a_good_order_is_echoed_with_what_klarna_adds() {
    let sim = sim().await;
    let mut order = mug_order();
    order["purchase_country"] = json!("gb");
    order["unheard_of"] = json!({ "by": "us" });
    order["status"] = json!("checkout_complete");
    order["merchant_data"] = Value::Null;
    let got = sim.create_order(&order).await;
    assert_eq!(got.status, 201, "{}", got.text);
    let body = got.json();
    let id = body["order_id"].as_str().unwrap();
    assert_eq!(
        got.header("location"),
        format!("{}/checkout/v3/orders/{id}", sim.running.url())
    );
    assert_eq!(got.header("content-type"), "application/json");
    assert!(got.headers.contains_key("klarna-correlation-id"));
    assert_eq!(body["status"], "checkout_incomplete");
    assert_eq!(body["purchase_country"], "gb");
    assert_eq!(body["purchase_currency"], "GBP");
    assert_eq!(
        body["billing_address"],
        json!({ "country": "gb", "email": "kim@example.com" })
    );
    assert_eq!(body["order_lines"], order["order_lines"]);
    assert_eq!(body["merchant_reference2"], "lnk_81");
    assert_eq!(body["started_at"], "2026-11-23T09:00:03Z");
    assert_eq!(body["options"]["require_validate_callback_success"], false);
    assert!(
        body["html_snippet"]
            .as_str()
            .unwrap()
            .contains("klarna-checkout-container")
    );
    assert!(body.get("unheard_of").is_none() && body.get("merchant_data").is_none());
    let read = sim.get(got.header("location")).await;
    assert_eq!((read.status, read.json()), (200, body));
    sim.running.stop().await;
}

#[tokio::test]
async fn a_refusal_lists_all_faults_in_klarnas_words() {
    let sim = sim().await;
    let mut order = changed("/order_lines/0/total_tax_amount", json!(0));
    order["purchase_currency"] = json!("SEK");
    let got = sim.create_order(&order).await;
    assert_eq!(got.status, 400);
    let body = got.json();
    assert_eq!(body["error_code"], "BAD_VALUE");
    assert_eq!(
        body["error_messages"],
        json!([
            "Bad value: purchase_currency",
            "Bad value: order_lines[0].total_tax_amount",
            "Bad value: order_tax_amount",
        ])
    );
    assert_eq!(body["correlation_id"], got.header("klarna-correlation-id"));
    for text in ["", "[]", "{", "{\"a\":1e999}", "\u{1}", &"[".repeat(5000)] {
        let url = format!("{}/checkout/v3/orders", sim.running.url());
        let answer = got_raw(&sim, &url, text.to_owned()).await;
        assert_eq!(answer, 400, "{text:.20}");
    }
    sim.running.stop().await;
}

async fn got_raw(sim: &super::Sim, url: &str, body: String) -> u16 {
    got(sim.http.post(url).basic_auth("sim", Some("sim")).body(body))
        .await
        .status
}

#[tokio::test]
async fn a_body_over_one_mebibyte_is_413_and_a_wrong_password_401() {
    let sim = sim().await;
    let url = format!("{}/checkout/v3/orders", sim.running.url());
    let big = format!("{{\"merchant_data\":\"{}\"}}", "x".repeat(1 << 20));
    assert_eq!(got_raw(&sim, &url, big).await, 413);
    let fits = format!("{{\"merchant_data\":\"{}\"}}", "x".repeat((1 << 20) - 20));
    assert_eq!(got_raw(&sim, &url, fits).await, 400);
    for request in [
        sim.http.get(&url).basic_auth("sim", Some("wrong")),
        sim.http.get(&url).bearer_auth("c2ltOnNpbQ=="),
        sim.http.get(&url),
    ] {
        let got = got(request).await;
        assert_eq!(got.status, 401);
        assert!(got.headers.contains_key("klarna-correlation-id"));
        assert_eq!(got.json()["error_code"], "UNAUTHORIZED");
    }
    assert_eq!(sim.delete("/checkout/v3/orders").await.status, 405);
    assert_eq!(sim.get("/checkout/v2/orders").await.status, 404);
    sim.running.stop().await;
}

#[tokio::test]
async fn an_update_changes_what_it_names_while_the_order_is_incomplete() {
    let sim = sim().await;
    let id = sim.order().await;
    let path = format!("/checkout/v3/orders/{id}");
    let got = sim
        .post(
            &path,
            &json!({ "merchant_reference1": "INV-2", "locale": null }),
        )
        .await;
    assert_eq!(got.status, 200, "{}", got.text);
    let body = got.json();
    assert_eq!(body["merchant_reference1"], "INV-2");
    assert_eq!(
        (&body["order_amount"], &body["locale"]),
        (&json!(4799), &json!("en-GB"))
    );
    assert_eq!(sim.get(&path).await.json(), body);
    let got = sim.post(&path, &json!({ "order_amount": 1 })).await;
    assert_eq!(
        (got.status, &got.json()["error_messages"][0]),
        (400, &json!("Bad value: order_amount"))
    );
    assert_eq!(
        sim.get(&path).await.json(),
        body,
        "a refused update changes nothing"
    );

    let session = sim.session(&id, json!({})).await;
    sim.act(session["session_id"].as_str().unwrap(), "pay")
        .await;
    for path in [path.clone(), format!("{path}/abort")] {
        let got = sim
            .post(&path, &json!({ "merchant_reference1": "INV-3" }))
            .await;
        assert_eq!(
            (got.status, &got.json()["error_code"]),
            (403, &json!("READ_ONLY_ORDER"))
        );
    }
    assert_eq!(sim.get(&path).await.json()["status"], "checkout_complete");
    sim.running.stop().await;
}

#[tokio::test]
async fn an_aborted_order_answers_but_is_read_only() {
    let sim = sim().await;
    let id = sim.order().await;
    let path = format!("/checkout/v3/orders/{id}");
    let session = sim.session(&id, json!({})).await;
    let got = sim.post(&format!("{path}/abort"), &json!({})).await;
    assert_eq!(
        (got.status, &got.json()["status"]),
        (200, &json!("aborted"))
    );
    assert_eq!(sim.get(&path).await.json()["status"], "aborted");
    assert_eq!(
        sim.post(&format!("{path}/abort"), &json!({})).await.status,
        403
    );
    assert_eq!(
        sim.act(session["session_id"].as_str().unwrap(), "pay")
            .await
            .status,
        409
    );
    let unknown = "/checkout/v3/orders/5b0c6f1e-6f0e-6d27-9d8a-1f6a2b7c9e11";
    for path in [
        unknown.to_owned(),
        format!("{unknown}/abort"),
        "/checkout/v3/orders/x".to_owned(),
    ] {
        let got = sim
            .call(
                if path.ends_with("abort") {
                    "POST"
                } else {
                    "GET"
                }
                .parse()
                .unwrap(),
                &path,
                None,
            )
            .await;
        assert_eq!((got.status, got.text.as_str()), (404, ""));
    }
    sim.running.stop().await;
}

#[tokio::test]
async fn an_order_lives_48_hours_from_its_last_change() {
    let sim = sim().await;
    let id = sim.order().await;
    let path = format!("/checkout/v3/orders/{id}");
    sim.advance(SignedDuration::from_hours(47)).await;
    assert_eq!(
        sim.post(&path, &json!({ "merchant_reference1": "X" }))
            .await
            .status,
        200
    );
    sim.advance(SignedDuration::from_hours(47)).await;
    assert_eq!(sim.get(&path).await.status, 200);
    sim.clock.advance(SignedDuration::from_hours(1)); // the clock that it was given counts too
    for got in [sim.get(&path).await, sim.post(&path, &json!({})).await] {
        assert_eq!((got.status, got.text.as_str()), (404, ""));
        assert!(got.headers.contains_key("klarna-correlation-id"));
    }
    sim.running.stop().await;
}
