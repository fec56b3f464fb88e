//! The control interface: lists, log, clock, reset.

use std::net::SocketAddr;

use actix_web::http::StatusCode;
use actix_web::test::TestRequest;
use actix_web::web::{Bytes, Data};
use serde_json::{Value, json};

use super::super::{client, control, world::World};
use super::{got, mug_order, sim};

#[tokio::test]
async fn lists_show_orders_and_sessions_whole() {
    let sim = sim().await;
    let (order, session) = sim.pair().await;
    let mut expected = sim
        .get(&format!("/checkout/v3/orders/{order}"))
        .await
        .json();
    expected["om"] = Value::Null;
    expected["acknowledged"] = json!(false);
    assert_eq!(
        sim.get("/_sim/orders").await.json(),
        json!({ "data": [expected] })
    );
    sim.act(&session, "pay").await;
    let managed = sim
        .get(&format!("/ordermanagement/v1/orders/{order}"))
        .await
        .json();
    assert_eq!(
        sim.get(&format!("/_sim/orders/{order}")).await.json()["om"],
        managed
    );
    let (_, second) = sim.pair().await;
    let sessions = sim.get("/_sim/sessions").await.json();
    let ids: Vec<_> = sessions["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| &one["session_id"])
        .collect();
    assert_eq!(ids, [&json!(session), &json!(second)]);
    for list in ["sessions", "orders"] {
        let all = sim.get(&format!("/_sim/{list}")).await.json();
        let last = sim.get(&format!("/_sim/{list}?last=1")).await.json();
        assert_eq!(last["data"], json!([all["data"][1]]), "{list}");
        let more = sim.get(&format!("/_sim/{list}?last=9")).await.json();
        assert_eq!(more, all, "{list}");
        let wrong = sim.get(&format!("/_sim/{list}?last=x")).await;
        assert_eq!(wrong.status, 400, "{list}");
    }
    let mut members: Vec<_> = sessions["data"][1]
        .as_object()
        .unwrap()
        .keys()
        .cloned()
        .collect();
    members.sort_unstable();
    assert_eq!(
        members,
        [
            "callbacks",
            "distributions",
            "expires_at",
            "merchant_urls",
            "options",
            "order_id",
            "qr_code_url",
            "redirect_url",
            "session_id",
            "status",
            "updated_at"
        ]
    );
    for path in ["/_sim/orders/x", "/_sim/sessions/x", "/_sim/nothing"] {
        assert_eq!(sim.get(path).await.status, 404);
    }
    assert_eq!(sim.delete("/_sim/orders").await.status, 405);
    sim.running.stop().await;
}

#[tokio::test]
async fn the_log_tells_each_call_but_no_secret() {
    let sim = sim().await;
    let url = format!("{}/checkout/v3/orders?a=1", sim.running.url());
    got(sim
        .http
        .post(&url)
        .basic_auth("sim", Some("sim"))
        .body("not json"))
    .await;
    let order = sim.order().await;
    let session = sim.session(&order, json!({})).await;
    sim.get(session["redirect_url"].as_str().unwrap()).await;
    let log = sim.log().await;
    assert_eq!(log.len(), 3, "control and page are not in it");
    let mut members: Vec<_> = log[0].as_object().unwrap().keys().cloned().collect();
    members.sort_unstable();
    assert_eq!(
        members,
        [
            "answer", "at", "body", "fault", "headers", "method", "op", "path", "query", "raw",
            "seq", "status"
        ]
    );
    assert_eq!(
        (&log[0]["raw"], &log[0]["body"]),
        (&json!("not json"), &Value::Null)
    );
    assert_eq!(
        (&log[0]["query"], &log[0]["status"]),
        (&json!("a=1"), &json!(400))
    );
    assert_eq!(log[0]["headers"]["authorization"], "***");
    assert_eq!(
        (&log[1]["op"], &log[1]["body"]),
        (&json!("create_order"), &mug_order())
    );
    assert_eq!(
        (&log[1]["answer"]["order_id"], &log[1]["raw"]),
        (&json!(order), &Value::Null)
    );
    assert_eq!(
        (&log[2]["op"], &log[2]["seq"]),
        (&json!("create_session"), &json!(3))
    );
    let rest = sim.get("/_sim/log?after=2").await.json();
    assert_eq!(rest["data"], json!([log[2]]));
    assert_eq!(sim.get("/_sim/log?after=x").await.status, 400);
    sim.running.stop().await;
}

#[test]
fn the_log_is_bounded_and_keeps_its_numbers() {
    let mut log = super::super::log::Log::default();
    for _ in 0..10_005 {
        log.push(super::super::log::Entry {
            at: jiff::Timestamp::UNIX_EPOCH,
            op: "read_order",
            method: "GET".to_owned(),
            path: String::new(),
            query: String::new(),
            headers: Vec::new(),
            body: Bytes::new(),
            status: Some(200),
            answer: Bytes::from_static(b"{}"),
            fault: None,
        });
    }
    let kept = log.after(0);
    assert_eq!((kept.len(), &kept[0]["seq"]), (10_000, &json!(6)));
    let last = log.after(10_004);
    assert_eq!((last.len(), &last[0]["seq"]), (1, &json!(10_005)));
    assert!(log.after(u64::MAX).is_empty());
}

#[tokio::test]
async fn the_clock_moves_the_simulator_only_and_a_reset_undoes_it() {
    let sim = sim().await;
    sim.pair().await;
    let told = sim
        .post("/_sim/clock", &json!({ "advance_s": 3600 }))
        .await
        .json();
    assert_eq!(told["now"], "2026-11-23T10:00:03.507Z");
    assert_eq!(sim.now().to_string(), "2026-11-23T09:00:03.507Z");
    for wrong in [
        json!({ "advance_s": -1 }),
        json!({ "advance_s": 1_000_000_000 }),
        json!({}),
    ] {
        assert_eq!(sim.post("/_sim/clock", &wrong).await.status, 400);
    }
    assert_eq!(sim.post("/_sim/reset", &json!({})).await.status, 200);
    assert_eq!(
        sim.get("/_sim/clock").await.json()["now"],
        "2026-11-23T09:00:03.507Z"
    );
    for list in ["orders", "sessions", "log", "faults"] {
        assert_eq!(
            sim.get(&format!("/_sim/{list}")).await.json(),
            json!({ "data": [] }),
            "{list}"
        );
    }
    sim.running.stop().await;
}

#[tokio::test]
async fn nobody_from_another_machine_controls_it() {
    let world = Data::new(World::new(
        String::new(),
        String::new(),
        1.0,
        crate::clock::Clock::system(),
        crate::random::Random::seeded(1),
    ));
    let client = Data::new(client().unwrap());
    for (peer, status) in [
        ("192.0.2.7:5000", StatusCode::FORBIDDEN),
        ("[2001:db8::1]:5000", StatusCode::FORBIDDEN),
        ("127.0.0.1:5000", StatusCode::OK),
        ("[::1]:5000", StatusCode::OK),
        ("[::ffff:127.0.0.1]:5000", StatusCode::OK),
    ] {
        let request =
            TestRequest::with_uri("/_sim/orders").peer_addr(peer.parse::<SocketAddr>().unwrap());
        let answer = control::answer(
            request.to_http_request(),
            Bytes::new(),
            world.clone(),
            client.clone(),
        )
        .await;
        assert_eq!(answer.status(), status, "{peer}");
    }
}
