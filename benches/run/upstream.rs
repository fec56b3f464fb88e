//! The two calls of Klarna's that a create is made of, alone: what no service can undercut. They
//! are the very bytes that the service sends, read out of the simulator's log.

use serde::Deserialize;
use serde_json::Value;

use super::Fallible;
use super::creates::Shop;
use super::process::Process;

/// A client of the simulator: the same HTTP client as the service's.
#[derive(Clone)]
pub struct Upstream {
    http: reqwest::Client,
    base: String,
    order: String,
    /// The session's body before and behind the order's id.
    session: (String, String),
}

#[derive(Deserialize)]
struct Order {
    order_id: String,
}

impl Upstream {
    /// Creates one link and looks what was sent for it.
    pub async fn learn(http: reqwest::Client, simulator: &Process, shop: &Shop) -> Fallible<Self> {
        let log = format!("{}/_sim/log", simulator.url);
        http.post(format!("{}/_sim/reset", simulator.url))
            .send()
            .await?;
        shop.create().await?;
        let log: Value = http.get(log).send().await?.json().await?;
        let sent = |op: &str| {
            let entries = log["data"].as_array().into_iter().flatten();
            let entry = entries.into_iter().find(|entry| entry["op"] == op);
            entry.cloned().ok_or(format!("the simulator saw no {op}"))
        };
        let (order, session) = (sent("create_order")?, sent("create_session")?);
        let id = order["answer"]["order_id"]
            .as_str()
            .ok_or("an order without an id")?;
        let body = session["body"].to_string();
        let (before, behind) = body.split_once(id).ok_or("a session without its order")?;
        Ok(Self {
            http,
            base: simulator.url.clone(),
            session: (before.to_owned(), behind.to_owned()),
            order: order["body"].to_string(),
        })
    }

    /// An order and its session.
    pub async fn pair(&self) -> Fallible<()> {
        let answer = self.post("/checkout/v3/orders", self.order.clone()).await?;
        let order: Order = serde_json::from_slice(&answer)?;
        let (before, behind) = &self.session;
        let body = format!("{before}{}{behind}", order.order_id);
        let answer = self.post("/hpp/v1/sessions", body).await?;
        serde_json::from_slice::<Value>(&answer)?;
        Ok(())
    }

    async fn post(&self, path: &str, body: String) -> Fallible<Vec<u8>> {
        let request = self
            .http
            .post(format!("{}{path}", self.base))
            .basic_auth("sim", Some("sim"))
            .header("content-type", "application/json")
            .body(body);
        let answer = request.send().await?.error_for_status()?;
        Ok(answer.bytes().await?.to_vec())
    }
}
