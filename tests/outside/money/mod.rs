//! What the seller does with the money of a paid link, and what Klarna's books say of it.

mod books;
mod moves;
mod trouble;

use serde_json::{Value, json};

use super::harness::http::Answer;
use super::harness::world::id;
use super::harness::{Caller, World, eventually, sale};

/// A link of 500.00 that the buyer has paid, with its amounts known.
async fn paid(w: &World, who: &Caller) -> Value {
    let link = who.creates(&sale()).await;
    w.klarna.buyer(&link, "pay").await;
    settled(who, &link, |payment| payment["remaining_amount"] == 50_000).await
}

/// The link once its payment is as wanted.
async fn settled(who: &Caller, link: &Value, wanted: impl Fn(&Value) -> bool) -> Value {
    eventually("the payment is known", async || {
        let now = who.link(id(link)).await;
        wanted(&now["payment"]).then_some(now)
    })
    .await
}

async fn does(who: &Caller, link: &Value, call: &str, body: &Value) -> Answer {
    who.post(&format!("/v1/links/{}/{call}", id(link)), body)
        .await
}

async fn listed(who: &Caller, link: &Value, what: &str) -> Vec<Value> {
    let list = who.get(&format!("/v1/links/{}/{what}", id(link))).await;
    let list = list.expect(200).json();
    assert_eq!(list["object"], "list");
    list["data"].as_array().expect("data is a list").clone()
}

async fn types(who: &Caller, link: &Value) -> Vec<String> {
    let events = who.timeline(id(link)).await;
    let word = |event: &Value| event["type"].as_str().expect("a type").to_owned();
    events.iter().map(word).collect()
}

fn id_of_order(link: &Value) -> &str {
    link["klarna"]["order_id"].as_str().expect("an order")
}

/// Somebody captures in Klarna's portal.
async fn captures_elsewhere(w: &World, link: &Value, amount: i64) {
    let body = json!({"captured_amount": amount});
    let status = elsewhere(w, link, "captures", &body).await;
    assert_eq!(status, 201);
}

/// Somebody does something in Klarna's portal. Klarna's status.
async fn elsewhere(w: &World, link: &Value, call: &str, body: &Value) -> u16 {
    let order = id_of_order(link);
    let path = format!("{}/ordermanagement/v1/orders/{order}/{call}", w.klarna.base);
    let mut called = w.klarna.http.post(path).basic_auth("sim", Some("sim"));
    if !body.is_null() {
        called = called.json(body);
    }
    let answer = called.send().await;
    answer.expect("the simulator answers").status().as_u16()
}
