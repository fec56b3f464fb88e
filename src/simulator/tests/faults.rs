//! Faults as a client meets them, looked at from the socket where the client would hide them.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{Sim, mug_order, sim};

async fn arm(sim: &Sim, fault: Value) -> Value {
    let got = sim.post("/_sim/faults", &fault).await;
    assert_eq!(got.status, 200, "{}", got.text);
    got.json()
}

/// Everything that comes back to one request before the connection ends; empty also where it was
/// reset.
async fn raw(sim: &Sim, method: &str, path: &str, body: &Value) -> String {
    let mut stream = TcpStream::connect(sim.running.addr()).await.unwrap();
    let body = body.to_string();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nhost: sim\r\nauthorization: Basic c2ltOnNpbQ==\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let read = tokio::time::timeout(Duration::from_secs(10), stream.read_to_end(&mut answer));
    let _ = read.await.expect("the connection ends");
    String::from_utf8(answer).unwrap()
}

async fn orders(sim: &Sim) -> usize {
    sim.get("/_sim/orders").await.json()["data"]
        .as_array()
        .unwrap()
        .len()
}

#[tokio::test]
async fn a_drop_leaves_no_byte_whether_the_work_was_done_or_not() {
    let sim = sim().await;
    for (fault, made) in [("drop_before", 0), ("drop_after", 1)] {
        arm(&sim, json!({ "op": "create_order", "fault": fault })).await;
        assert_eq!(
            raw(&sim, "POST", "/checkout/v3/orders", &mug_order()).await,
            ""
        );
        assert_eq!(orders(&sim).await, made, "{fault}");
    }
    let log = sim.log().await;
    let seen: Vec<_> = log
        .iter()
        .map(|entry| (&entry["fault"], &entry["status"]))
        .collect();
    assert_eq!(
        seen,
        [
            (&json!("drop_before"), &Value::Null),
            (&json!("drop_after"), &json!(201))
        ]
    );
    // an answer without a body is dropped as well
    let (_, session) = sim.pair().await;
    arm(
        &sim,
        json!({ "op": "disable_session", "fault": "drop_after" }),
    )
    .await;
    let path = format!("/hpp/v1/sessions/{session}");
    assert_eq!(raw(&sim, "DELETE", &path, &json!({})).await, "");
    assert_eq!(
        sim.read_session(&session).await.json()["status"],
        "DISABLED"
    );
    sim.running.stop().await;
}

#[tokio::test]
async fn a_status_is_answered_with_klarnas_error_and_nothing_is_done() {
    let sim = sim().await;
    for (status, code) in [
        (503, "TEMPORARILY_UNAVAILABLE"),
        (500, "INTERNAL_SERVER_ERROR"),
        (429, "TOO_MANY_REQUESTS"),
        (401, "UNAUTHORIZED"),
    ] {
        arm(
            &sim,
            json!({ "op": "create_order", "fault": format!("status:{status}") }),
        )
        .await;
        let got = sim.create_order(&mug_order()).await;
        let body = got.json();
        assert_eq!((got.status, &body["error_code"]), (status, &json!(code)));
        assert_eq!(body["correlation_id"], got.header("klarna-correlation-id"));
        assert_eq!(got.headers.contains_key("retry-after"), status == 429);
    }
    assert_eq!(orders(&sim).await, 0);
    assert_eq!(
        sim.create_order(&mug_order()).await.status,
        201,
        "each met one call only"
    );
    sim.running.stop().await;
}

#[tokio::test]
async fn garbage_is_a_200_that_is_no_json_after_the_work() {
    let sim = sim().await;
    arm(&sim, json!({ "op": "create_order", "fault": "garbage" })).await;
    let got = sim.create_order(&mug_order()).await;
    assert_eq!(got.status, 200);
    assert!(serde_json::from_str::<Value>(&got.text).is_err());
    assert_eq!(orders(&sim).await, 1);
    assert_eq!(sim.log().await[0]["answer"], got.text);
    sim.running.stop().await;
}

#[tokio::test]
async fn a_hanging_call_ends_when_the_simulator_stops() {
    let sim = sim().await;
    arm(&sim, json!({ "op": "*", "fault": "hang", "times": 0 })).await;
    let mut stream = TcpStream::connect(sim.running.addr()).await.unwrap();
    stream
        .write_all(b"GET /hpp/v1/sessions/x HTTP/1.1\r\nhost: sim\r\n\r\n")
        .await
        .unwrap();
    // it is known to hang once it is in the log
    while sim.log().await.is_empty() {
        tokio::task::yield_now().await;
    }
    sim.running.stop().await;
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    assert_eq!(answer, b"");
}

#[tokio::test]
async fn a_slow_call_is_done_before_it_is_answered() {
    let sim = sim().await;
    arm(&sim, json!({ "op": "create_order", "fault": "slow:20" })).await;
    let before = std::time::Instant::now();
    assert_eq!(sim.create_order(&mug_order()).await.status, 201);
    assert!(before.elapsed() >= Duration::from_millis(20));
    sim.running.stop().await;
}

#[tokio::test]
async fn faults_meet_their_operation_in_the_order_in_which_they_were_armed() {
    let sim = sim().await;
    arm(
        &sim,
        json!({ "op": "read_order", "fault": "status:500", "times": 2 }),
    )
    .await;
    let armed = arm(
        &sim,
        json!({ "op": "*", "fault": "status:503", "times": 0 }),
    )
    .await;
    let expected = json!({ "data": [
        { "op": "read_order", "fault": "status:500", "times": 2 },
        { "op": "*", "fault": "status:503", "times": 0 },
    ] });
    assert_eq!(armed, expected);
    assert_eq!(sim.create_order(&mug_order()).await.status, 503);
    let path = "/checkout/v3/orders/5b0c6f1e-6f0e-6d27-9d8a-1f6a2b7c9e11";
    for status in [500, 500, 503, 503] {
        assert_eq!(sim.get(path).await.status, status);
    }
    assert_eq!(
        sim.delete("/_sim/faults").await.json(),
        json!({ "data": [] })
    );
    assert_eq!(sim.get(path).await.status, 404);
    for wrong in [
        json!({ "op": "create", "fault": "hang" }),
        json!({ "op": "*", "fault": "status:99" }),
        json!({ "op": "*", "fault": "slow:soon" }),
        json!({ "op": "*", "fault": "hang", "times": -1 }),
        json!([]),
    ] {
        assert_eq!(
            sim.post("/_sim/faults", &wrong).await.status,
            400,
            "{wrong}"
        );
    }
    assert_eq!(sim.get("/_sim/faults").await.json(), json!({ "data": [] }));
    sim.running.stop().await;
}
