//! The simulator from outside: over real HTTP, with a clock that stands still unless it is moved.

mod acts;
mod callbacks;
mod client;
mod contract;
mod control;
mod faults;
mod keys;
mod managed;
mod merchant;
mod money;
mod orders;
mod rules;
mod sessions;

use jiff::{SignedDuration, Timestamp};
use reqwest::Method;
use serde_json::{Value, json};

use super::{Running, Settings, start};
use crate::clock::Clock;
use crate::random::Random;

/// A simulator of one test, with a client that knows its password.
struct Sim {
    running: Running,
    http: reqwest::Client,
    clock: Clock,
}

/// What came back.
struct Got {
    status: u16,
    headers: reqwest::header::HeaderMap,
    text: String,
}

impl Got {
    fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("JSON, not {:?}", self.text))
    }

    fn header(&self, name: &str) -> &str {
        self.headers[name].to_str().unwrap()
    }
}

async fn sim() -> Sim {
    sim_with_delays(1.0).await
}

async fn sim_with_delays(callback_delay_scale: f64) -> Sim {
    let clock = Clock::manual("2026-11-23T09:00:03.507Z".parse().unwrap());
    let settings = Settings {
        listen: "127.0.0.1:0".parse().unwrap(),
        username: "sim".to_owned(),
        password: "sim".to_owned(),
        callback_delay_scale,
        public_base: None,
    };
    let running = start(settings, clock.clone(), Random::seeded(7)).unwrap();
    let http = super::client().unwrap();
    Sim {
        running,
        http,
        clock,
    }
}

impl Sim {
    async fn call(&self, method: Method, path: &str, body: Option<&Value>) -> Got {
        let url = if path.starts_with("http") {
            path.to_owned()
        } else {
            format!("{}{path}", self.running.url())
        };
        let mut request = self
            .http
            .request(method, url)
            .basic_auth("sim", Some("sim"));
        if let Some(body) = body {
            request = request.json(body);
        }
        got(request).await
    }

    /// The same under an idempotency key.
    async fn keyed(&self, method: Method, path: &str, key: &str, body: &Value) -> Got {
        let url = format!("{}{path}", self.running.url());
        let request = self.http.request(method, url).json(body);
        let request = request.header("Klarna-Idempotency-Key", key);
        got(request.basic_auth("sim", Some("sim"))).await
    }

    async fn get(&self, path: &str) -> Got {
        self.call(Method::GET, path, None).await
    }

    async fn post(&self, path: &str, body: &Value) -> Got {
        self.call(Method::POST, path, Some(body)).await
    }

    async fn patch(&self, path: &str, body: &Value) -> Got {
        self.call(Method::PATCH, path, Some(body)).await
    }

    /// A paid order of 47.99, nothing captured: its path in Order Management.
    async fn paid(&self) -> String {
        let (order, session) = self.pair().await;
        assert_eq!(self.act(&session, "pay").await.status, 200);
        format!("/ordermanagement/v1/orders/{order}")
    }

    async fn delete(&self, path: &str) -> Got {
        self.call(Method::DELETE, path, None).await
    }

    async fn create_order(&self, order: &Value) -> Got {
        self.post("/checkout/v3/orders", order).await
    }

    /// A good order; its id.
    async fn order(&self) -> String {
        self.order_of(&mug_order()).await
    }

    async fn order_of(&self, order: &Value) -> String {
        let got = self.create_order(order).await;
        assert_eq!(got.status, 201, "{}", got.text);
        got.json()["order_id"].as_str().unwrap().to_owned()
    }

    /// A session of the order, with these URLs; what was answered.
    async fn session(&self, order: &str, merchant_urls: Value) -> Value {
        let url = format!("{}/checkout/v3/orders/{order}", self.running.url());
        let asked = json!({ "payment_session_url": url, "merchant_urls": merchant_urls });
        let got = self.post("/hpp/v1/sessions", &asked).await;
        assert_eq!(got.status, 201, "{}", got.text);
        got.json()
    }

    /// An order with a session, both good: their ids.
    async fn pair(&self) -> (String, String) {
        let order = self.order().await;
        let session = self.session(&order, json!({})).await;
        (order, session["session_id"].as_str().unwrap().to_owned())
    }

    async fn read_session(&self, id: &str) -> Got {
        self.get(&format!("/hpp/v1/sessions/{id}")).await
    }

    async fn act(&self, session: &str, act: &str) -> Got {
        self.post(
            &format!("/_sim/sessions/{session}/act"),
            &json!({ "act": act }),
        )
        .await
    }

    async fn advance(&self, by: SignedDuration) {
        let step = json!({ "advance_s": by.as_secs() });
        assert_eq!(self.post("/_sim/clock", &step).await.status, 200);
    }

    async fn log(&self) -> Vec<Value> {
        self.get("/_sim/log").await.json()["data"]
            .as_array()
            .unwrap()
            .clone()
    }

    fn now(&self) -> Timestamp {
        self.clock.now()
    }
}

async fn got(request: reqwest::RequestBuilder) -> Got {
    let answer = request.send().await.unwrap();
    Got {
        status: answer.status().as_u16(),
        headers: answer.headers().clone(),
        text: answer.text().await.unwrap(),
    }
}

/// Two mugs with postage and a discount, 47.99 GBP.
fn mug_order() -> Value {
    json!({
        "purchase_country": "GB", "purchase_currency": "GBP", "locale": "en-GB",
        "order_amount": 4799, "order_tax_amount": 800,
        "order_lines": [
            { "type": "physical", "reference": "MUG-07", "name": "Stoneware mug", "quantity": 2,
              "quantity_unit": "pcs", "unit_price": 2400, "tax_rate": 2000, "total_amount": 4800,
              "total_discount_amount": 0, "total_tax_amount": 800 },
            { "type": "shipping_fee", "name": "Courier", "quantity": 1, "unit_price": 499,
              "tax_rate": 2000, "total_amount": 499, "total_tax_amount": 83 },
            { "type": "discount", "name": "Autumn code", "quantity": 1, "unit_price": -500,
              "tax_rate": 2000, "total_amount": -500, "total_tax_amount": -83 },
        ],
        "merchant_urls": {
            "terms": "https://shop.example/terms",
            "checkout": "https://shop.example/pay/lnk_81",
            "confirmation": "https://shop.example/done/lnk_81?o={checkout.order.id}",
            "push": "https://hooks.example/push?o={checkout.order.id}",
        },
        "billing_address": { "country": "GB", "email": "kim@example.com" },
        "merchant_reference1": "INV-1042", "merchant_reference2": "lnk_81",
        "options": { "acquiring_channel": "TELESALES", "require_client_validation": false },
    })
}
