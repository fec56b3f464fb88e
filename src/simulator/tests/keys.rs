//! Idempotency keys, and what holds for all changes in any order.

use jiff::SignedDuration;
use proptest::prelude::*;
use reqwest::Method;
use serde_json::{Value, json};

use super::money::{refused, stands};
use super::rules::any_json;
use super::{mug_order, sim};

#[tokio::test]
async fn a_repeat_under_its_key_hears_the_same_again_for_24_hours() {
    let sim = sim().await;
    let path = sim.paid().await;
    let at = format!("{path}/captures");
    let all = json!({ "captured_amount": 2000 });
    let first = sim.keyed(Method::POST, &at, "k-1", &all).await;
    assert_eq!(first.status, 201);
    // what else it says is not looked at, not even whether it can be read
    for body in [&all, &json!({ "captured_amount": 1 }), &json!(7)] {
        let again = sim.keyed(Method::POST, &at, "k-1", body).await;
        assert_eq!((again.status, &again.text), (201, &first.text));
        for name in ["capture-id", "location", "klarna-correlation-id"] {
            assert_eq!(again.header(name), first.header(name), "{name}");
        }
    }
    assert_eq!(stands(&sim, &path).await.1, [4799, 2000, 0, 2799]);
    // the same key of another operation is another key
    let back = json!({ "refunded_amount": 1 });
    let other = sim
        .keyed(Method::POST, &format!("{path}/refunds"), "k-1", &back)
        .await;
    assert_eq!(other.status, 201);
    // another key, or none, does it again
    assert_eq!(sim.keyed(Method::POST, &at, "k-2", &all).await.status, 201);
    // a refusal is an answer as well: it stays after its reason has gone
    let denied = sim.keyed(Method::POST, &at, "k-3", &all).await;
    refused(&denied, "CAPTURE_NOT_ALLOWED");
    let more = json!({ "order_amount": 6799 });
    sim.patch(&format!("{path}/authorization"), &more).await;
    let again = sim.keyed(Method::POST, &at, "k-3", &all).await;
    assert_eq!(again.text, denied.text);
    refused(&again, "CAPTURE_NOT_ALLOWED");
    assert_eq!(sim.post(&at, &all).await.status, 201);

    sim.advance(SignedDuration::from_hours(24) - SignedDuration::from_secs(1))
        .await;
    let one = json!({ "captured_amount": 1 });
    let late = sim.keyed(Method::POST, &at, "k-1", &one).await;
    assert_eq!(late.header("capture-id"), first.header("capture-id"));
    sim.advance(SignedDuration::from_secs(1)).await;
    let new = sim.keyed(Method::POST, &at, "k-1", &one).await;
    assert_ne!(new.header("capture-id"), first.header("capture-id"));
    assert_eq!(stands(&sim, &path).await.1[1], 6001);
    let keyed = sim.log().await;
    assert!(
        keyed
            .iter()
            .any(|it| it["headers"]["klarna-idempotency-key"] == "k-3")
    );
    sim.running.stop().await;
}

#[tokio::test]
async fn of_two_at_once_under_one_key_one_is_done() {
    let sim = sim().await;
    let path = sim.paid().await;
    let at = format!("{path}/captures");
    let body = json!({ "captured_amount": 100 });
    let calls = (0..20).map(|_| sim.keyed(Method::POST, &at, "k", &body));
    let ends = futures_util::future::join_all(calls).await;
    let first = ends[0].header("capture-id");
    assert!(ends.iter().all(|end| end.header("capture-id") == first));
    assert_eq!(stands(&sim, &path).await.1, [4799, 100, 0, 4699]);
    sim.running.stop().await;
}

/// Done, but unanswered: the case for which keys are there.
#[tokio::test]
async fn a_dropped_answer_is_heard_by_the_repeat() {
    let sim = sim().await;
    let path = sim.paid().await;
    let log_of = |op: &'static str| json!({ "op": op, "fault": "drop_after" });
    for (op, method, at, body) in [
        (
            "capture",
            Method::POST,
            "captures",
            json!({ "captured_amount": 4000 }),
        ),
        (
            "refund",
            Method::POST,
            "refunds",
            json!({ "refunded_amount": 4000 }),
        ),
        (
            "extend",
            Method::POST,
            "extend-authorization-time",
            json!({}),
        ),
        (
            "merchant_references",
            Method::PATCH,
            "merchant-references",
            json!({}),
        ),
        (
            "update_authorization",
            Method::PATCH,
            "authorization",
            json!({ "order_amount": 4500 }),
        ),
        (
            "customer_details",
            Method::PATCH,
            "customer-details",
            json!({}),
        ),
        (
            "shipping_info",
            Method::POST,
            "shipping-info",
            json!({ "shipping_info": [{}] }),
        ),
        (
            "release",
            Method::POST,
            "release-remaining-authorization",
            json!({}),
        ),
    ] {
        assert_eq!(
            sim.post("/_sim/faults", &log_of(op)).await.status,
            200,
            "{op}"
        );
        let url = format!("{}{path}/{at}", sim.running.url());
        let request = sim.http.request(method.clone(), url).json(&body);
        let request = request.header("klarna-idempotency-key", "k");
        assert!(
            request.basic_auth("sim", Some("sim")).send().await.is_err(),
            "{op}"
        );
        let before = sim.get(&path).await.json();
        let again = sim.keyed(method, &format!("{path}/{at}"), "k", &body).await;
        assert!(matches!(again.status, 201 | 204), "{op}: {}", again.text);
        assert_eq!(sim.get(&path).await.json(), before, "{op} was done once");
    }
    assert_eq!(
        stands(&sim, &path).await,
        ("CAPTURED".into(), [4000, 4000, 4000, 0])
    );
    let ops: Vec<_> = sim.log().await.iter().map(|it| it["op"].clone()).collect();
    assert!(ops.contains(&json!("release")) && ops.contains(&json!("om_get")));
    sim.running.stop().await;
}

/// What a merchant does next, at random.
#[derive(Clone, Debug)]
enum Step {
    Write(usize, i64, Option<u8>),
    Wild(usize, Value),
    Fraud(usize),
    Hours(u32),
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..13_usize, -1..6000_i64, prop::option::of(0..4_u8))
            .prop_map(|(write, amount, key)| Step::Write(write, amount, key)),
        2 => (0..13_usize, any_json()).prop_map(|(write, body)| Step::Wild(write, body)),
        1 => (0..4_usize).prop_map(Step::Fraud),
        1 => (1..400_u32).prop_map(Step::Hours),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(128) })]

    /// Whatever is asked for, in whatever order: no answer that Klarna could not give, no money
    /// out of nothing, and a refusal changes nothing.
    #[test]
    fn money_neither_appears_nor_vanishes(steps in prop::collection::vec(any_step(), 1..30)) {
        use super::super::payment::{Asked, Fraud, Payment, Write, write};
        let world = super::super::world::World::new(
            "http://127.0.0.1:1".to_owned(), String::new(), 1.0,
            crate::clock::Clock::manual(jiff::Timestamp::UNIX_EPOCH), crate::random::Random::seeded(1),
        );
        let made = super::super::order::create(&world, mug_order().to_string().as_bytes());
        let made: Value = serde_json::from_slice(&made.unwrap().body).unwrap();
        let id: uuid::Uuid = made["order_id"].as_str().unwrap().parse().unwrap();
        let paid = Payment::of(made.as_object().unwrap(), "R".into(), None, world.now());
        world.state().orders.get_mut(&id).unwrap().payment = Some(paid);
        let seen = || {
            let state = world.state();
            let order = &state.orders[&id];
            order.payment.as_ref().unwrap().body(id, order.fraud, world.now())
        };
        let writes = [
            "acknowledge", "captures", "refunds", "cancel", "release-remaining-authorization",
            "extend-authorization-time", "authorization", "merchant-references",
            "customer-details", "shipping-info", "captures/ID/shipping-info",
            "captures/ID/trigger-send-out", "captures/ID/extend-due-date",
        ];
        for step in steps {
            let before = seen();
            let capture = before["captures"][0]["capture_id"].as_str().unwrap_or("x").to_owned();
            let (which, body, key) = match step {
                Step::Hours(hours) => {
                    world.advance(hours * 3600);
                    continue;
                }
                Step::Fraud(verdict) => {
                    let word = ["ACCEPTED", "PENDING", "REJECTED", "STOPPED"][verdict];
                    world.state().orders.get_mut(&id).unwrap().fraud = Fraud::of(word).unwrap();
                    continue;
                }
                Step::Write(which, amount, key) => (which, json!({
                    "captured_amount": amount, "refunded_amount": amount, "order_amount": amount,
                    "number_of_days": amount, "shipping_info": [{}], "merchant_reference1": "A",
                }), key),
                Step::Wild(which, body) => (which, body, None),
            };
            let path = writes[which].replace("ID", &capture);
            let parts: Vec<&str> = path.split('/').collect();
            let (_, change) = Write::of(&parts).unwrap();
            let (key, bytes) = (key.map(|key| key.to_string()), body.to_string());
            let asked = Asked {
                order: Some(id), key: key.as_deref(), correlation: uuid::Uuid::nil(), body: bytes.as_bytes(),
            };
            let answer = write(&world, change, &asked).unwrap_or_else(|it| it.answer(uuid::Uuid::nil()));
            prop_assert!(matches!(answer.status, 201 | 204 | 400 | 403 | 404), "{}", answer.status);
            let now = seen();
            if answer.status >= 400 {
                prop_assert_eq!(&now, &before);
            }
            let repeated = write(&world, change, &asked).unwrap_or_else(|it| it.answer(uuid::Uuid::nil()));
            if key.is_some() {
                prop_assert_eq!(answer.status, repeated.status);
                prop_assert_eq!(&answer.body, &repeated.body);
                prop_assert_eq!(&answer.headers, &repeated.headers);
                prop_assert_eq!(&seen(), &now, "a repeat does nothing");
            }
            let now = seen();
            let sum = |list: &str, member: &str| -> i64 {
                now[list].as_array().unwrap().iter().map(|it| it[member].as_i64().unwrap()).sum()
            };
            let number = |name: &str| now[name].as_i64().unwrap();
            let (captured, refunded) = (number("captured_amount"), number("refunded_amount"));
            prop_assert_eq!(captured, sum("captures", "captured_amount"));
            prop_assert_eq!(refunded, sum("refunds", "refunded_amount"));
            prop_assert_eq!(refunded, sum("captures", "refunded_amount"));
            prop_assert!(0 <= refunded && refunded <= captured && captured <= number("order_amount"));
            let rest = number("remaining_authorized_amount");
            prop_assert!(rest == 0 || rest + captured == number("order_amount"));
        }
    }
}
