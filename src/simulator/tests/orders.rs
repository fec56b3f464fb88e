//! Checkout: what is taken, what is refused and how, and how an order ends.

use jiff::SignedDuration;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::super::rules;
use super::{got, mug_order, sim};

fn faults(order: &Value) -> Vec<String> {
    rules::judge(order.as_object().unwrap()).paths()
}

/// The mug order, changed at a JSON pointer.
fn changed(pointer: &str, value: Value) -> Value {
    let mut order = mug_order();
    if let Some(place) = order.pointer_mut(pointer) {
        *place = value;
    } else {
        let (parent, name) = pointer.rsplit_once('/').unwrap();
        order.pointer_mut(parent).unwrap()[name] = value;
    }
    order
}

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

#[test]
#[allow(clippy::too_many_lines)] // a table
fn every_rule_names_the_member_at_fault() {
    let long = "x".repeat(256);
    for (pointer, value, path) in [
        ("/purchase_country", json!("GBR"), "purchase_country"),
        ("/purchase_country", json!("SE"), "purchase_currency"),
        ("/purchase_country", json!("AQ"), "purchase_currency"),
        ("/purchase_currency", json!("EUR"), "purchase_currency"),
        ("/locale", json!("english"), "locale"),
        ("/locale", Value::Null, "locale"),
        ("/order_amount", json!(4798), "order_amount"),
        ("/order_amount", json!(4799.0), "order_amount"),
        ("/order_amount", json!("4799"), "order_amount"),
        ("/order_amount", json!(u64::MAX), "order_amount"),
        ("/order_tax_amount", json!(700), "order_tax_amount"),
        ("/order_lines", json!("none"), "order_lines"),
        ("/order_lines/0", json!(7), "order_lines[0]"),
        ("/order_lines/0/name", json!(""), "order_lines[0].name"),
        ("/order_lines/0/name", json!(long), "order_lines[0].name"),
        ("/order_lines/0/type", json!("gift"), "order_lines[0].type"),
        (
            "/order_lines/0/quantity",
            json!(-1),
            "order_lines[0].quantity",
        ),
        (
            "/order_lines/0/quantity_unit",
            json!("ninechars"),
            "order_lines[0].quantity_unit",
        ),
        (
            "/order_lines/0/unit_price",
            json!(100_000_001),
            "order_lines[0].unit_price",
        ),
        (
            "/order_lines/0/tax_rate",
            json!(10_001),
            "order_lines[0].tax_rate",
        ),
        (
            "/order_lines/0/total_amount",
            json!(4801),
            "order_lines[0].total_amount",
        ),
        (
            "/order_lines/0/total_discount_amount",
            json!(1),
            "order_lines[0].total_amount",
        ),
        (
            "/order_lines/0/total_discount_amount",
            json!(-1),
            "order_lines[0].total_discount_amount",
        ),
        (
            "/order_lines/0/total_tax_amount",
            json!(802),
            "order_lines[0].total_tax_amount",
        ),
        (
            "/order_lines/1/total_tax_amount",
            json!(82),
            "order_lines[1].total_tax_amount",
        ),
        (
            "/order_lines/2/total_tax_amount",
            json!(83),
            "order_lines[2].total_tax_amount",
        ),
        (
            "/order_lines/2/type",
            json!("physical"),
            "order_lines[2].total_amount",
        ),
        (
            "/order_lines/1/type",
            json!("gift_card"),
            "order_lines[1].total_amount",
        ),
        (
            "/order_lines/1/type",
            json!("sales_tax"),
            "order_lines[1].tax_rate",
        ),
        ("/merchant_urls", Value::Null, "merchant_urls"),
        ("/merchant_urls/push", Value::Null, "merchant_urls.push"),
        (
            "/merchant_urls/push",
            json!("https://shop.example/pay/lnk_81"),
            "merchant_urls.push",
        ),
        (
            "/merchant_urls/confirmation",
            json!("https://shop.example/pay/lnk_81"),
            "merchant_urls.confirmation",
        ),
        (
            "/merchant_urls/terms",
            json!("terms"),
            "merchant_urls.terms",
        ),
        (
            "/merchant_urls/validation",
            json!("http://shop.example/v"),
            "merchant_urls.validation",
        ),
        ("/merchant_reference1", json!(long), "merchant_reference1"),
        (
            "/options/acquiring_channel",
            json!("PHONE"),
            "options.acquiring_channel",
        ),
        (
            "/options/auto_capture",
            json!("yes"),
            "options.auto_capture",
        ),
        (
            "/options/color_button",
            json!("red"),
            "options.color_button",
        ),
        (
            "/billing_address/country",
            json!("GBR"),
            "billing_address.country",
        ),
        (
            "/customer",
            json!({ "date_of_birth": "1970-02-30" }),
            "customer.date_of_birth",
        ),
        (
            "/attachment",
            json!({ "content_type": "x" }),
            "attachment.body",
        ),
    ] {
        let found = faults(&changed(pointer, value.clone()));
        assert!(
            found.contains(&path.to_owned()),
            "{pointer} = {value}: {found:?}"
        );
    }
    assert_eq!(faults(&mug_order()), Vec::<String>::new());
}

#[test]
fn limits_are_inclusive_and_count_characters() {
    for (pointer, value) in [
        ("/order_lines/0/name", json!("é".repeat(255))),
        ("/order_lines/0/quantity_unit", json!("12345678")),
        ("/order_lines/1/total_tax_amount", json!(84)),
        ("/order_tax_amount", json!(800)),
        ("/merchant_urls/validation", json!("http://127.0.0.1:9/v")),
        ("/merchant_urls/validation", json!("http://[::1]:9/v")),
        ("/merchant_urls/validation", json!("http://localhost/v")),
        ("/purchase_country", json!("gb")),
        ("/locale", json!("en")),
    ] {
        let mut order = changed(pointer, value.clone());
        let taxes = order["order_lines"].as_array().unwrap();
        let tax: i64 = taxes
            .iter()
            .map(|line| line["total_tax_amount"].as_i64().unwrap())
            .sum();
        order["order_tax_amount"] = json!(tax);
        assert_eq!(faults(&order), Vec::<String>::new(), "{pointer} = {value}");
    }
    let one = json!({ "name": "A", "quantity": 0, "unit_price": 0, "tax_rate": 0,
                      "total_amount": 0, "total_tax_amount": 0 });
    let mut order = changed("/order_lines", vec![one.clone(); 1000].into());
    order["order_amount"] = json!(0);
    order["order_tax_amount"] = json!(0);
    assert_eq!(faults(&order), Vec::<String>::new());
    order["order_lines"] = vec![one; 1001].into();
    assert_eq!(faults(&order), ["order_lines"]);
}

#[test]
fn american_tax_is_a_line_of_its_own() {
    let line = |kind: &str, amount: i64| {
        json!({ "type": kind, "name": "X", "quantity": 1, "unit_price": amount, "tax_rate": 0,
                "total_amount": amount, "total_tax_amount": 0 })
    };
    let mut order = changed(
        "/order_lines",
        json!([line("physical", 1000), line("sales_tax", 88)]),
    );
    order["purchase_country"] = json!("US");
    order["purchase_currency"] = json!("USD");
    order["order_amount"] = json!(1088);
    order["order_tax_amount"] = json!(88);
    assert_eq!(faults(&order), Vec::<String>::new());
    order["order_tax_amount"] = json!(0);
    assert_eq!(faults(&order), ["order_tax_amount"]);
    order["order_tax_amount"] = json!(88);
    order["order_lines"][0]["tax_rate"] = json!(1000);
    order["order_lines"][0]["total_tax_amount"] = json!(91);
    assert!(faults(&order).contains(&"order_lines[0].total_tax_amount".to_owned()));
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

pub(super) fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,12}".prop_map(Value::from),
        Just(Value::from(i64::MIN)),
    ];
    leaf.prop_recursive(3, 24, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::hash_map("[a-z_]{1,12}", inner, 0..6).prop_map(|members| members
                .into_iter()
                .collect::<serde_json::Map<_, _>>()
                .into()),
        ]
    })
}

/// Some place in a good order.
fn any_pointer() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "/purchase_country",
        "/purchase_currency",
        "/locale",
        "/order_amount",
        "/order_tax_amount",
        "/order_lines",
        "/order_lines/0",
        "/order_lines/0/quantity",
        "/order_lines/0/unit_price",
        "/order_lines/0/tax_rate",
        "/order_lines/0/total_amount",
        "/order_lines/0/type",
        "/order_lines/0/total_discount_amount",
        "/order_lines/0/total_tax_amount",
        "/order_lines/0/product_identifiers",
        "/order_lines/0/subscription",
        "/merchant_urls",
        "/merchant_urls/push",
        "/merchant_urls/validation",
        "/billing_address",
        "/customer",
        "/options",
        "/options/allowed_customer_types",
        "/gui",
        "/attachment",
        "/shipping_options",
        "/external_checkouts",
        "/discount_lines",
        "/shipping_countries",
        "/merchant_data",
    ])
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever is sent, the simulator answers what Klarna could answer: an order or a refusal.
    #[test]
    fn nothing_that_is_sent_breaks_it(whole in any_json(), places in prop::collection::vec((any_pointer(), any_json()), 1..4)) {
        let world = super::super::world::World::new(
            "http://127.0.0.1:1".to_owned(), String::new(), 1.0,
            crate::clock::Clock::manual(jiff::Timestamp::UNIX_EPOCH), crate::random::Random::seeded(1),
        );
        let mut order = mug_order();
        for (pointer, value) in places {
            if let Some(place) = order.pointer_mut(pointer) {
                *place = value;
            }
        }
        let made = |answer: super::super::answer::Outcome, id: &str| {
            let body: Value = serde_json::from_slice(&answer.unwrap().body).unwrap();
            body[id].as_str().unwrap().parse::<uuid::Uuid>().unwrap()
        };
        let good = mug_order().to_string();
        let id = made(super::super::order::create(&world, good.as_bytes()), "order_id");
        let good = json!({ "payment_session_url": format!("http://x/checkout/v3/orders/{id}") });
        let good = good.to_string();
        let session = made(super::super::session::create(&world, good.as_bytes()), "session_id");
        for body in [whole, order] {
            let bytes = serde_json::to_vec(&body).unwrap();
            let answers = [
                super::super::order::create(&world, &bytes),
                super::super::session::create(&world, &bytes),
                super::super::order::update(&world, Some(id), &bytes),
                super::super::distribution::create(&world, Some(session), &bytes),
            ];
            for answer in answers {
                let status = answer.unwrap_or_else(|refusal| refusal.answer(uuid::Uuid::nil())).status;
                prop_assert!(matches!(status, 200 | 201 | 400 | 404), "{}", status);
            }
        }
    }
}
