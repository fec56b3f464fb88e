//! Klarna as the tests see it: the program's own simulator, steered over its control paths.

use reqwest::Client;
use serde_json::{Value, json};

#[derive(Clone)]
pub struct Klarna {
    pub base: String,
    pub http: Client,
}

impl Klarna {
    async fn ask(&self, path: &str) -> Value {
        let mut answer = self.get(path).await;
        // a connection that a starved client left unused for too long
        while answer.status() == 408 {
            answer = self.get(path).await;
        }
        assert_eq!(answer.status(), 200, "{path}");
        answer.json().await.expect("JSON from the simulator")
    }

    async fn get(&self, path: &str) -> reqwest::Response {
        let asked = self.http.get(format!("{}{path}", self.base)).send().await;
        asked.expect("the simulator answers")
    }

    async fn tell(&self, path: &str, body: Value) -> (u16, Value) {
        let answer = self
            .http
            .post(format!("{}{path}", self.base))
            .json(&body)
            .send()
            .await;
        let answer = answer.expect("the simulator answers");
        (
            answer.status().as_u16(),
            answer.json().await.unwrap_or_default(),
        )
    }

    async fn list(&self, path: &str) -> Vec<Value> {
        self.ask(path).await["data"]
            .as_array()
            .expect("a list of the simulator")
            .clone()
    }

    /// Every request that Klarna got, oldest first.
    pub async fn log(&self) -> Vec<Value> {
        self.list("/_sim/log").await
    }

    /// Every order that was ever made.
    pub async fn orders(&self) -> Vec<Value> {
        self.list("/_sim/orders").await
    }

    /// Every session that was ever made.
    pub async fn sessions(&self) -> Vec<Value> {
        self.list("/_sim/sessions").await
    }

    /// The newest sessions, oldest of them first.
    pub async fn last_sessions(&self, most: usize) -> Vec<Value> {
        self.list(&format!("/_sim/sessions?last={most}")).await
    }

    /// The newest orders, oldest of them first.
    pub async fn last_orders(&self, most: usize) -> Vec<Value> {
        self.list(&format!("/_sim/orders?last={most}")).await
    }

    /// One session by its id: cheaper than all of them.
    pub async fn one_session(&self, id: &Value) -> Value {
        let id = id.as_str().expect("a session's id");
        self.ask(&format!("/_sim/sessions/{id}")).await
    }

    /// One order by its id.
    pub async fn one_order(&self, id: &Value) -> Value {
        let id = id.as_str().expect("an order's id");
        self.ask(&format!("/_sim/orders/{id}")).await
    }

    /// The requests after the one of that number.
    pub async fn log_after(&self, seq: u64) -> Vec<Value> {
        self.list(&format!("/_sim/log?after={seq}")).await
    }

    /// How many requests Klarna got so far.
    pub async fn calls(&self) -> usize {
        self.log().await.len()
    }

    /// How often Klarna was told to do something. What the worker reads and acknowledges in the
    /// background, for whichever link, is not counted.
    pub async fn changes(&self) -> usize {
        let by_itself = ["read_order", "read_session", "om_get", "acknowledge"];
        let log = self.log().await;
        log.iter()
            .filter(|entry| by_itself.iter().all(|op| entry["op"] != *op))
            .count()
    }

    /// The requests of one operation that carry `needle` somewhere (an id, a reference).
    pub async fn calls_of(&self, op: &str, needle: &str) -> Vec<Value> {
        let log = self.log().await;
        log.into_iter()
            .filter(|entry| entry["op"] == op && entry.to_string().contains(needle))
            .collect()
    }

    /// The order behind a link.
    pub async fn order(&self, link: &Value) -> Value {
        let id = &link["klarna"]["order_id"];
        let orders = self.list("/_sim/orders").await;
        orders
            .into_iter()
            .find(|order| order["order_id"] == *id)
            .unwrap_or_else(|| panic!("no order of {link:#}"))
    }

    /// Every order that was made for a reference.
    pub async fn orders_for(&self, reference: &Value) -> Vec<Value> {
        let orders = self.list("/_sim/orders").await;
        orders
            .into_iter()
            .filter(|order| order["merchant_reference1"] == *reference)
            .collect()
    }

    /// Every session of the orders that were made for a reference.
    pub async fn sessions_for(&self, reference: &Value) -> Vec<Value> {
        let orders = self.orders_for(reference).await;
        let sessions = self.list("/_sim/sessions").await;
        let mine = |session: &Value| {
            orders
                .iter()
                .any(|order| order["order_id"] == session["order_id"])
        };
        sessions.into_iter().filter(mine).collect()
    }

    /// The session behind a link.
    pub async fn session(&self, link: &Value) -> Value {
        let id = &link["klarna"]["session_id"];
        let sessions = self.list("/_sim/sessions").await;
        let found = sessions
            .into_iter()
            .find(|session| session["session_id"] == *id);
        found.unwrap_or_else(|| panic!("no session of {link:#}"))
    }

    /// What the buyer does with the page of a link; the status says whether it was possible.
    pub async fn try_act(&self, link: &Value, act: &str) -> (u16, Value) {
        let id = link["klarna"]["session_id"]
            .as_str()
            .unwrap_or_else(|| panic!("no session in {link:#}"));
        self.tell(&format!("/_sim/sessions/{id}/act"), json!({ "act": act }))
            .await
    }

    /// The buyer pays, if that is possible; `asks` says whether Klarna asks the merchant before.
    pub async fn pays(&self, link: &Value, asks: bool) -> (u16, Value) {
        let id = link["klarna"]["session_id"]
            .as_str()
            .unwrap_or_else(|| panic!("no session in {link:#}"));
        let act = json!({ "act": "pay", "validation": asks });
        self.tell(&format!("/_sim/sessions/{id}/act"), act).await
    }

    /// The buyer does it, and it must be possible.
    pub async fn buyer(&self, link: &Value, act: &str) {
        let (status, body) = self.try_act(link, act).await;
        assert_eq!(status, 200, "act {act}: {body}");
    }

    /// Klarna breaks: the next `times` calls of an operation fail so (0: until mended).
    pub async fn breaks(&self, op: &str, fault: &str, times: u32) {
        let (status, body) = self
            .tell(
                "/_sim/faults",
                json!({"op": op, "fault": fault, "times": times}),
            )
            .await;
        assert_eq!(status, 200, "{body}");
    }

    /// All faults are gone.
    pub async fn mends(&self) {
        let answer = self
            .http
            .delete(format!("{}/_sim/faults", self.base))
            .send()
            .await;
        assert_eq!(answer.expect("the simulator answers").status(), 200);
    }

    pub async fn passes(&self, seconds: u64) {
        let (status, body) = self
            .tell("/_sim/clock", json!({ "advance_s": seconds }))
            .await;
        assert_eq!(status, 200, "{body}");
    }

    pub async fn doubts(&self, link: &Value, fraud: &str) {
        let id = link["klarna"]["order_id"].as_str().expect("an order id");
        let (status, body) = self
            .tell(
                &format!("/_sim/orders/{id}/fraud"),
                json!({ "status": fraud }),
            )
            .await;
        assert_eq!(status, 200, "{body}");
    }
}
