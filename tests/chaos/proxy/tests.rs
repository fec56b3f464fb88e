//! Each fault as a client sees it.

use std::time::{Duration, Instant};

use reqwest::Client;
use serde_json::json;

use super::{Fault, Proxy, Rule};
use crate::outside::harness::gateway::Gateway;
use crate::outside::harness::http::client;

async fn pair() -> (Proxy, Gateway, Client) {
    let (proxy, gateway) = (Proxy::http(), Gateway::start().await);
    proxy.leads_to(gateway.port);
    (proxy, gateway, client())
}

async fn post(proxy: &Proxy, client: &Client, to: &str) -> Result<(u16, String), reqwest::Error> {
    let url = format!("http://127.0.0.1:{}/send", proxy.port);
    let answer = client.post(url).json(&json!({ "to": to })).send().await?;
    Ok((answer.status().as_u16(), answer.text().await?))
}

#[tokio::test]
async fn what_no_rule_picks_passes() {
    let (proxy, gateway, client) = pair().await;
    proxy.arm(Rule::new(&["POST", "another"], Fault::ResetBefore));
    let (status, body) = post(&proxy, &client, "one").await.unwrap();
    assert_eq!((status, body.contains("gw-1")), (200, true), "{body}");
    assert_eq!(gateway.to("one").len(), 1);
}

#[tokio::test]
async fn each_fault_is_what_it_says() {
    let (proxy, gateway, client) = pair().await;
    for (fault, passed_on, status) in [
        (Fault::ResetBefore, 0, None),
        (Fault::Hang(Duration::from_millis(50)), 0, None),
        (Fault::HalfClose, 0, None),
        (Fault::ResetAfter, 1, None),
        (Fault::Cut(20), 1, None),
        (Fault::Half, 1, None),
        (Fault::Garbage, 1, Some(200)),
        (Fault::Duplicate, 2, Some(200)),
        (Fault::Status(503), 0, Some(503)),
        (Fault::Busy(3), 0, Some(429)),
        (Fault::Delay(Duration::from_millis(50)), 1, Some(200)),
        (Fault::Drip(Duration::from_millis(150)), 1, Some(200)),
    ] {
        let to = format!("{fault:?}");
        proxy.arm(Rule::new(&[&json!(to).to_string()], fault.clone()));
        let begun = Instant::now();
        let seen = post(&proxy, &client, &to).await;
        assert_eq!(
            seen.as_ref().ok().map(|one| one.0),
            status,
            "{to}: {seen:?}"
        );
        assert_eq!(gateway.to(&to).len(), passed_on, "{to}");
        if matches!(fault, Fault::Delay(_) | Fault::Drip(_)) {
            assert!(begun.elapsed() >= Duration::from_millis(50), "{to}");
        }
        // a rule is spent by what it met
        assert_eq!(post(&proxy, &client, &to).await.unwrap().0, 200, "{to}");
    }
}

#[tokio::test]
async fn rules_count() {
    let (proxy, _gateway, client) = pair().await;
    proxy.arm(Rule::new(&["one"], Fault::Status(500)).after(1).times(2));
    let mut seen = Vec::new();
    for _ in 0..4 {
        seen.push(post(&proxy, &client, "one").await.unwrap().0);
    }
    assert_eq!(seen, [200, 500, 500, 200]);
    let until = proxy.arm(Rule::new(&["two"], Fault::Status(500)).times(0));
    for _ in 0..3 {
        assert_eq!(post(&proxy, &client, "two").await.unwrap().0, 500);
    }
    proxy.disarm(until);
    assert_eq!(post(&proxy, &client, "two").await.unwrap().0, 200);
    let passed = proxy.passed_with(&["POST /send"]);
    assert_eq!(passed.len(), 8);
    let met = passed.iter().filter(|one| one.fault.is_some()).count();
    assert_eq!(met, 5);
}

#[tokio::test]
async fn a_closed_port_refuses_and_opens_again() {
    let (proxy, gateway, client) = pair().await;
    proxy.refuses().await;
    assert!(post(&proxy, &client, "one").await.unwrap_err().is_connect());
    proxy.accepts();
    assert_eq!(post(&proxy, &client, "one").await.unwrap().0, 200);
    assert_eq!(gateway.to("one").len(), 1);
}
