//! The story that `demo --once` plays and checks: what a stranger with an HTTP client, an inbox
//! and a phone would see of two links, one paid and one closed.

use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::catcher::Inbox;
use crate::channel::qr;

/// How long a step may take before it counts as failed.
const PATIENCE: Duration = Duration::from_secs(10);
/// Between two looks at something that must change.
const LOOK: Duration = Duration::from_millis(50);
const BUYER_MAIL: &str = "jo@example.com";
const BUYER_PHONE: &str = "+447700900123";

/// Where the parts of the demo listen, and the key to the API.
#[derive(Clone, Debug)]
pub struct Places {
    /// Base of paylink, `http://127.0.0.1:8080`.
    pub api: String,
    /// Base of Klarna's simulator.
    pub klarna: String,
    /// The API key of a ready agent.
    pub key: String,
}

/// Plays the story and prints a line for each step.
pub struct Story<'a, W> {
    places: &'a Places,
    inbox: Arc<Inbox>,
    http: reqwest::Client,
    json: bool,
    out: W,
    steps: usize,
    good: usize,
}

/// A step's result: what was seen, or what was expected and what was seen instead.
type Seen = Result<String, String>;

impl<'a, W: Write> Story<'a, W> {
    /// A story about to begin. `json` prints one object per step.
    pub fn new(
        places: &'a Places,
        inbox: Arc<Inbox>,
        http: reqwest::Client,
        json: bool,
        out: W,
    ) -> Self {
        Self {
            places,
            inbox,
            http,
            json,
            out,
            steps: 0,
            good: 0,
        }
    }

    /// Plays everything up to the shutdown, which `stop` performs. Answers whether every step was
    /// as it must be.
    ///
    /// # Errors
    /// Where the transcript cannot be written.
    pub async fn play(mut self, stop: impl Future<Output = ()>) -> std::io::Result<bool> {
        let link = self.create("SO-10442", true).await;
        self.step("create", link.as_ref().map(said).map_err(Clone::clone))?;
        let link = link.unwrap_or_default();
        let seen = self.mail(&link).await;
        self.step("mail", seen)?;
        let seen = self.sms(&link).await;
        self.step("sms", seen)?;
        let seen = self.qr(&link).await;
        self.step("qr", seen)?;
        let seen = self.open(&link).await;
        self.step("open", seen)?;
        let seen = self.act(&link, "pay", "COMPLETED").await;
        self.step("pay", seen)?;
        let seen = self.completed(&link).await;
        self.step("completed", seen)?;
        let seen = self.capture(&link).await;
        self.step("capture", seen)?;
        let seen = self.refund(&link).await;
        self.step("refund", seen)?;
        let second = self.create("SO-10443", false).await;
        self.step("create2", second.as_ref().map(said).map_err(Clone::clone))?;
        let second = second.unwrap_or_default();
        let seen = self.disable(&second).await;
        self.step("disable2", seen)?;
        let seen = self.dead_link(&second).await;
        self.step("dead-link", seen)?;
        stop.await;
        let seen = self.gone().await;
        self.step("shutdown", seen)?;
        if !self.json {
            writeln!(self.out, "demo: {} of {} ok", self.good, self.steps)?;
        }
        self.out.flush()?;
        Ok(self.good == self.steps)
    }

    fn step(&mut self, step: &str, seen: Seen) -> std::io::Result<()> {
        self.steps += 1;
        let ok = seen.is_ok();
        self.good += usize::from(ok);
        if self.json {
            let saw = seen.unwrap_or_else(|saw| saw);
            writeln!(self.out, "{}", json!({"step": step, "ok": ok, "saw": saw}))
        } else {
            match seen {
                Ok(saw) => writeln!(self.out, "ok {step} {saw}"),
                Err(saw) => writeln!(self.out, "FAIL {step} {saw}"),
            }
        }
    }

    async fn create(&self, reference: &str, send: bool) -> Result<Value, String> {
        let mut sale = sale(reference);
        if send {
            sale["send"] = json!([{"channel": "email"}, {"channel": "sms"}]);
        }
        let answer = self
            .http
            .post(format!("{}/v1/links", self.places.api))
            .bearer_auth(&self.places.key)
            .header("Idempotency-Key", format!("demo-{reference}"))
            .json(&sale)
            .send()
            .await
            .map_err(missed("a link"))?;
        let status = answer.status().as_u16();
        let link: Value = answer.json().await.map_err(missed("a link"))?;
        if status == 201 && link["status"] == "open" && link["url"].is_string() {
            return Ok(link);
        }
        Err(format!(
            "expected 201 and an open link, saw {status} {link}"
        ))
    }

    async fn mail(&self, link: &Value) -> Seen {
        let url = text(&link["url"]);
        let mail = self
            .inbox
            .find(PATIENCE, |inbox| {
                inbox
                    .mails()
                    .into_iter()
                    .find(|mail| mail.to == [BUYER_MAIL])
            })
            .await
            .ok_or("expected a mail to the buyer, saw none")?;
        let whole = mail.text.contains(url) && mail.html.contains(url) && mail.picture.is_some();
        if url.is_empty() || !whole {
            return Err(format!(
                "expected the link in text and HTML and an inline QR, saw {:?}",
                mail.subject
            ));
        }
        let scanned = mail.picture.as_deref().and_then(qr::read);
        if scanned.as_deref() != Some(url) {
            return Err(format!(
                "expected the mail's QR to say {url}, saw {scanned:?}"
            ));
        }
        Ok(format!(
            "\"{}\" to {BUYER_MAIL}, with the link and its QR",
            mail.subject
        ))
    }

    async fn sms(&self, link: &Value) -> Seen {
        let url = text(&link["url"]);
        let sms = self
            .inbox
            .find(PATIENCE, |inbox| {
                inbox
                    .messages()
                    .into_iter()
                    .find(|sms| sms.to == BUYER_PHONE)
            })
            .await
            .ok_or("expected an SMS to the buyer, saw none")?;
        if url.is_empty() || !sms.text.contains(url) {
            return Err(format!("expected the link in the SMS, saw {:?}", sms.text));
        }
        Ok(format!("\"{}\"", sms.text))
    }

    async fn qr(&self, link: &Value) -> Seen {
        let png = self
            .http
            .get(format!(
                "{}{}?size=600",
                self.places.api,
                text(&link["qr"]["png"])
            ))
            .bearer_auth(&self.places.key)
            .send()
            .await
            .map_err(missed("a QR code"))?
            .bytes()
            .await
            .map_err(missed("a QR code"))?;
        match qr::read(&png) {
            Some(found) if found == text(&link["url"]) => {
                Ok(format!("600 px, {} bytes, scans as {found}", png.len()))
            }
            found => Err(format!("expected a QR of {}, saw {found:?}", link["url"])),
        }
    }

    async fn open(&self, link: &Value) -> Seen {
        let page = self
            .http
            .get(text(&link["url"]))
            .send()
            .await
            .map_err(missed("Klarna's page"))?;
        if !page.status().is_success() {
            return Err(format!("expected Klarna's page, saw {}", page.status()));
        }
        let seen = self
            .until(link, |link| link["consumer"] == "in_progress")
            .await?;
        Ok(format!(
            "page opened, the link says consumer {}",
            seen["consumer"]
        ))
    }

    async fn act(&self, link: &Value, act: &str, wanted: &str) -> Seen {
        let session = text(&link["klarna"]["session_id"]);
        let answer: Value = self
            .http
            .post(format!(
                "{}/_sim/sessions/{session}/act",
                self.places.klarna
            ))
            .json(&json!({"act": act}))
            .send()
            .await
            .map_err(missed("Klarna's session"))?
            .json()
            .await
            .map_err(missed("Klarna's session"))?;
        if answer["status"] == wanted {
            Ok(format!("Klarna's session is {wanted}"))
        } else {
            Err(format!("expected Klarna's session {wanted}, saw {answer}"))
        }
    }

    async fn completed(&self, link: &Value) -> Seen {
        let seen = self
            .until(link, |link| {
                link["status"] == "completed" && link["payment"]["remaining_amount"].is_number()
            })
            .await?;
        Ok(format!(
            "{} {}, fraud status {}, Klarna's order number {}",
            text(&seen["status"]),
            text(&seen["payment"]["status"]),
            text(&seen["payment"]["fraud_status"]),
            text(&seen["klarna"]["klarna_reference"]),
        ))
    }

    /// Captures everything, and looks at Klarna's own books.
    async fn capture(&self, link: &Value) -> Seen {
        let wish = json!({"reference": "INV-10442"});
        let capture = self.book(link, "capture", &wish).await?;
        let order = self.order(link).await?;
        let captured = &order["om"]["captured_amount"];
        if capture["amount"] != 50_000 || *captured != 50_000 {
            return Err(format!(
                "expected 50000 captured on both sides, saw {} and {captured}",
                capture["amount"]
            ));
        }
        Ok(format!(
            "{} done, Klarna's order is {} with {captured} captured",
            text(&capture["id"]),
            text(&order["om"]["status"]),
        ))
    }

    /// Gives one of five shirts back.
    async fn refund(&self, link: &Value) -> Seen {
        let wish = json!({"amount": 10_000, "reference": "RET-10442"});
        let refund = self.book(link, "refunds", &wish).await?;
        let order = self.order(link).await?;
        let refunded = &order["om"]["refunded_amount"];
        let seen = self
            .until(link, |link| link["payment"]["refunded_amount"] == 10_000)
            .await?;
        if refund["amount"] != 10_000 || *refunded != 10_000 {
            return Err(format!(
                "expected 10000 refunded on both sides, saw {} and {refunded}",
                refund["amount"]
            ));
        }
        Ok(format!(
            "{} done, the link says {} of {} refunded, so does Klarna",
            text(&refund["id"]),
            seen["payment"]["refunded_amount"],
            seen["payment"]["captured_amount"],
        ))
    }

    async fn book(&self, link: &Value, call: &str, wish: &Value) -> Result<Value, String> {
        let address = format!("{}/v1/links/{}/{call}", self.places.api, text(&link["id"]));
        let answer = self
            .http
            .post(address)
            .bearer_auth(&self.places.key)
            .header("Idempotency-Key", format!("demo-{call}"))
            .json(wish)
            .send()
            .await
            .map_err(missed(call))?;
        let status = answer.status().as_u16();
        let booked: Value = answer.json().await.map_err(missed(call))?;
        if status == 201 && booked["status"] == "done" {
            return Ok(booked);
        }
        Err(format!("expected 201 and done, saw {status} {booked}"))
    }

    /// The order of a link in Klarna's books.
    async fn order(&self, link: &Value) -> Result<Value, String> {
        let orders = self.listed("orders").await?;
        let found = orders
            .into_iter()
            .find(|order| order["order_id"] == link["klarna"]["order_id"]);
        found.ok_or_else(|| "expected the order at Klarna, saw none".to_owned())
    }

    async fn listed(&self, what: &str) -> Result<Vec<Value>, String> {
        let listed: Value = self
            .http
            .get(format!("{}/_sim/{what}", self.places.klarna))
            .send()
            .await
            .map_err(missed("Klarna's books"))?
            .json()
            .await
            .map_err(missed("Klarna's books"))?;
        Ok(listed["data"].as_array().cloned().unwrap_or_default())
    }

    async fn disable(&self, link: &Value) -> Seen {
        let answer = self
            .http
            .post(format!(
                "{}/v1/links/{}/disable",
                self.places.api,
                text(&link["id"])
            ))
            .bearer_auth(&self.places.key)
            .json(&json!({"reason": "customer_request"}))
            .send()
            .await
            .map_err(missed("a closed link"))?;
        let status = answer.status().as_u16();
        let link: Value = answer.json().await.map_err(missed("a closed link"))?;
        if status != 200 || link["status"] != "disabled" {
            return Err(format!("expected 200 and disabled, saw {status} {link}"));
        }
        let session = self.session(text(&link["klarna"]["session_id"])).await?;
        if session != "DISABLED" {
            return Err(format!("expected Klarna's session DISABLED, saw {session}"));
        }
        Ok(format!(
            "{} is disabled, Klarna's session is {session}",
            text(&link["id"])
        ))
    }

    async fn session(&self, id: &str) -> Result<String, String> {
        let all = self.listed("sessions").await?;
        let found = all.iter().find(|session| session["session_id"] == id);
        Ok(found
            .map_or("unknown", |session| text(&session["status"]))
            .to_owned())
    }

    async fn dead_link(&self, link: &Value) -> Seen {
        let page = self
            .http
            .get(text(&link["url"]))
            .send()
            .await
            .map_err(missed("an answer at the closed link"))?
            .status();
        let qr = self
            .http
            .get(format!("{}{}", self.places.api, text(&link["qr"]["png"])))
            .bearer_auth(&self.places.key)
            .send()
            .await
            .map_err(missed("an answer for its QR"))?
            .status();
        if page.is_success() || qr != 410 {
            return Err(format!("expected no page and QR 410, saw {page} and {qr}"));
        }
        Ok(format!("the page answers {page}, its QR {qr}"))
    }

    async fn gone(&self) -> Seen {
        match self
            .http
            .get(format!("{}/healthz", self.places.api))
            .send()
            .await
        {
            Err(error) if error.is_connect() => Ok("stopped, nothing under way was cut off".into()),
            Err(error) => Err(format!("expected a closed port, saw {error}")),
            Ok(answer) => Err(format!("expected a closed port, saw {}", answer.status())),
        }
    }

    /// Reads the link until it is as wanted.
    async fn until(&self, link: &Value, wanted: impl Fn(&Value) -> bool) -> Result<Value, String> {
        let address = format!("{}/v1/links/{}", self.places.api, text(&link["id"]));
        let begun = Instant::now();
        loop {
            let seen: Value = self
                .http
                .get(&address)
                .bearer_auth(&self.places.key)
                .send()
                .await
                .map_err(missed("the link"))?
                .json()
                .await
                .map_err(missed("the link"))?;
            if wanted(&seen) {
                return Ok(seen);
            }
            if begun.elapsed() > PATIENCE {
                return Err(format!(
                    "expected news within {} s, saw status {} consumer {} payment {}",
                    PATIENCE.as_secs(),
                    seen["status"],
                    seen["consumer"],
                    seen["payment"]
                ));
            }
            sleep(LOOK).await;
        }
    }
}

/// The sale of the demo, after the guide's own sample.
pub fn sale(reference: &str) -> Value {
    json!({
        "reference": reference,
        "use_case": "telesales",
        "purchase_country": "GB", "purchase_currency": "GBP", "locale": "en-GB",
        "order_lines": [{
            "type": "physical", "reference": "19-402-USA", "name": "Red T-Shirt",
            "quantity": 5, "quantity_unit": "pcs", "unit_price": 10_000, "tax_rate": 1_000,
            "total_amount": 50_000, "total_tax_amount": 4_545
        }],
        "order_amount": 50_000, "order_tax_amount": 4_545,
        "billing_address": {
            "given_name": "Jo", "family_name": "Bloggs",
            "email": BUYER_MAIL, "phone": BUYER_PHONE, "country": "GB"
        },
        "page": {"title": format!("Order {reference}")}
    })
}

fn said(link: &Value) -> String {
    format!(
        "{} {} {} {}, {}",
        text(&link["id"]),
        text(&link["status"]),
        link["order_amount"],
        text(&link["purchase_currency"]),
        text(&link["url"])
    )
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or("")
}

fn missed(what: &str) -> impl Fn(reqwest::Error) -> String {
    move |error| format!("expected {what}, saw {error}")
}
