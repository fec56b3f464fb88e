//! Stories that pass the points of the path, told by a client who repeats under its keys: each can
//! be told again from its beginning, to a service that has died meanwhile, and goes on where it was.

mod judged;

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::super::lives::{LONG, Place, Stop};
use crate::outside::harness::http::Answer;
use crate::outside::harness::{email, phone, reference, sale_of};

/// What happens in a story.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scene {
    /// Created, sent by mail and SMS, paid, captured.
    Sale,
    /// One more SMS is wanted.
    Resend,
    /// Disabled by the agent.
    Closing,
    /// The sale is created again and takes the place of the first.
    Replacing,
    /// Renewed while it is open.
    Renewal,
    /// Klarna fails while the pair is made.
    Outage,
    /// Klarna refuses the sale.
    Refusal,
    /// Its end comes.
    End,
    /// Paid, not captured, and its authorisation nears its end.
    Reminder,
}

/// One telling, over any number of lives of the service.
pub struct Tale<'a> {
    place: &'a Place,
    pub scene: Scene,
    reference: String,
    email: String,
    phone: String,
    known: Mutex<Known>,
}

/// What the client has been told so far, and must stay so.
#[derive(Default)]
struct Known {
    link: Option<String>,
    url: Option<String>,
    session: Option<String>,
    successor: Option<String>,
    status: String,
    armed: bool,
    wrong: Vec<String>,
}

fn rank(status: &str) -> u8 {
    match status {
        "" => 0,
        "creating" => 1,
        "open" => 2,
        "disabling" => 3,
        "completed" => 5,
        _ => 4,
    }
}

fn text<'a>(value: &'a Value, member: &str) -> &'a str {
    value[member].as_str().unwrap_or_default()
}

impl<'a> Tale<'a> {
    pub fn of(place: &'a Place, scene: Scene) -> Self {
        Self {
            place,
            scene,
            reference: reference(),
            email: email(),
            phone: phone(),
            known: Mutex::default(),
        }
    }

    fn wrong(&self, what: impl Into<String>) {
        let mut known = self.known.lock().unwrap();
        let what = format!("{:?} {}: {}", self.scene, self.reference, what.into());
        if !known.wrong.contains(&what) {
            known.wrong.push(what);
        }
    }

    fn holds(&self, law: bool, what: impl FnOnce() -> String) {
        if !law {
            self.wrong(what());
        }
    }

    fn key(&self, step: &str) -> String {
        format!("{step}-{}", self.reference)
    }

    /// Holds a link against what was told of it before.
    fn sees(&self, link: &Value) {
        let mut known = self.known.lock().unwrap();
        if known.link.as_deref() != link["id"].as_str() {
            return;
        }
        let mut wrong = Vec::new();
        let status = text(link, "status").to_owned();
        if rank(&status) < rank(&known.status)
            || (rank(&known.status) == 4 && rank(&status) == 4 && known.status != status)
        {
            wrong.push(format!("it was {} and is {status}", known.status));
        }
        known.status = status;
        for (what, seen, now) in [
            ("url", 0, &link["url"]),
            ("session", 1, &link["klarna"]["session_id"]),
        ] {
            let before = if seen == 0 {
                &mut known.url
            } else {
                &mut known.session
            };
            match (before.as_deref(), now.as_str()) {
                (None, Some(now)) => *before = Some(now.to_owned()),
                (Some(before), Some(now)) if before != now => {
                    wrong.push(format!(
                        "its {what} was {before} and is {now}: two live pairs"
                    ));
                }
                _ => {}
            }
        }
        drop(known);
        for it in wrong {
            self.wrong(it);
        }
    }

    async fn posts(&self, step: &str, path: &str, body: &Value) -> Result<Answer, Stop> {
        let key = self.key(step);
        let admin = &self.place.admin;
        let call = || admin.post(path, body).idempotent(&key);
        self.place.asks(call).await
    }

    async fn gets(&self, path: &str) -> Result<Value, Stop> {
        let answer = self.place.asks(|| self.place.admin.get(path)).await?;
        if answer.status != 200 {
            return Err(Stop::Wrong(format!(
                "{path}: {} {}",
                answer.status,
                answer.text()
            )));
        }
        Ok(answer.json())
    }

    async fn until(
        &self,
        id: &str,
        what: &str,
        is: impl Fn(&Value) -> bool,
    ) -> Result<Value, Stop> {
        self.until_asked(id, what, false, is).await
    }

    /// The link once it is as wanted; `asking` has Klarna read again each time, as a person does who
    /// presses the button.
    async fn until_asked(
        &self,
        id: &str,
        what: &str,
        asking: bool,
        is: impl Fn(&Value) -> bool,
    ) -> Result<Value, Stop> {
        let begun = Instant::now();
        loop {
            let link = self.gets(&format!("/v1/links/{id}")).await?;
            self.sees(&link);
            if is(&link) {
                return Ok(link);
            }
            if begun.elapsed() > LONG {
                return Err(Stop::Wrong(format!("{id} is never {what}; it is {link:#}")));
            }
            if asking {
                let path = format!("/v1/links/{id}/refresh");
                self.place.asks(|| self.place.admin.press(&path)).await?;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Creates the tale's link, or finds it created, and waits until it can be paid.
    async fn created(&self, more: &Value) -> Result<Value, Stop> {
        let mut sale = sale_of(&self.reference);
        for (name, value) in more.as_object().into_iter().flatten() {
            sale[name] = value.clone();
        }
        let answer = self.posts("create", "/v1/links", &sale).await?;
        let link = answer.json();
        if !matches!(answer.status, 201 | 202) {
            return Err(Stop::Wrong(format!("create: {} {link}", answer.status)));
        }
        let id = text(&link, "id").to_owned();
        let before = self.known.lock().unwrap().link.replace(id.clone());
        self.holds(before.as_ref().is_none_or(|it| *it == id), || {
            format!("its key made {before:?} and then {id}")
        });
        self.sees(&link);
        self.until(&id, "created", |link| link["status"] != "creating")
            .await
    }

    async fn messages_leave(&self, id: &str) -> Result<(), Stop> {
        let over = |one: &Value| !matches!(text(one, "status"), "queued" | "sending");
        let all = |link: &Value| {
            link["deliveries"]
                .as_array()
                .is_some_and(|it| it.iter().all(over))
        };
        self.until(id, "sent", all).await.map(drop)
    }

    async fn paid(&self, link: &Value) -> Result<Value, Stop> {
        let id = text(link, "id");
        if link["status"] == "open" {
            // 409: it is paid already, in an earlier telling
            self.place.world.klarna.try_act(link, "pay").await;
        }
        let read = |link: &Value| {
            link["status"] == "completed" && link["payment"]["remaining_amount"].is_number()
        };
        let link = self.until_asked(id, "paid", true, read).await?;
        let begun = Instant::now();
        while self.place.world.klarna.order(&link).await["acknowledged"] != true {
            self.gets(&format!("/v1/links/{id}")).await?;
            if begun.elapsed() > LONG {
                return Err(Stop::Wrong(format!("{id} is never acknowledged")));
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Ok(link)
    }

    /// Tells the story from its beginning to its end.
    pub async fn is_told(&self) -> Result<(), Stop> {
        let place = self.place;
        let both =
            json!([{"channel": "email", "to": self.email}, {"channel": "sms", "to": self.phone}]);
        match self.scene {
            Scene::Sale => self.sold(&both).await?,
            Scene::Resend => {
                let link = self.created(&json!({})).await?;
                let id = text(&link, "id");
                let path = format!("/v1/links/{id}/deliveries");
                let wanted = json!({"channel": "sms", "to": self.phone});
                let answer = self.posts("send", &path, &wanted).await?;
                if answer.status != 201 {
                    return Err(Stop::Wrong(format!(
                        "send: {} {}",
                        answer.status,
                        answer.text()
                    )));
                }
                self.messages_leave(id).await?;
            }
            Scene::Closing => {
                let link = self.created(&json!({})).await?;
                let id = text(&link, "id");
                let path = format!("/v1/links/{id}/disable");
                let answer = self.posts("disable", &path, &json!({})).await?;
                if !matches!(answer.status, 200 | 202) {
                    return Err(Stop::Wrong(format!(
                        "disable: {} {}",
                        answer.status,
                        answer.text()
                    )));
                }
                let link = self
                    .until(id, "disabled", |link| link["status"] == "disabled")
                    .await?;
                self.order_aborted(&link).await?;
            }
            Scene::Replacing => {
                let old = self.created(&json!({})).await?;
                let mut sale = sale_of(&self.reference);
                sale["on_duplicate"] = json!("replace");
                let answer = self.posts("replace", "/v1/links", &sale).await?;
                self.succeeded(&old, answer).await?;
            }
            Scene::Renewal => {
                let old = self.created(&json!({})).await?;
                let path = format!("/v1/links/{}/renew", text(&old, "id"));
                let answer = self.posts("renew", &path, &json!({})).await?;
                self.succeeded(&old, answer).await?;
            }
            Scene::Outage => {
                self.breaks("create_session", "status:503").await;
                self.created(&json!({})).await?;
            }
            Scene::Refusal => {
                self.breaks("create_order", "status:400").await;
                let sale = sale_of(&self.reference);
                let answer = self.posts("create", "/v1/links", &sale).await?;
                let said = answer.json();
                if answer.status != 422 || said["code"] != "klarna_refused" {
                    return Err(Stop::Wrong(format!("create: {} {said}", answer.status)));
                }
                let id = text(&said, "link_id").to_owned();
                self.known.lock().unwrap().link = Some(id.clone());
                self.until(&id, "failed", |link| link["status"] == "failed")
                    .await?;
            }
            Scene::End => {
                let link = self.created(&json!({"expires_in": "PT1H"})).await?;
                let id = text(&link, "id");
                place
                    .sql(&format!(
                        "UPDATE link SET wanted_end = 1 WHERE id = '{id}'; \
                         UPDATE job SET due_at = 1, ready_at = 1 WHERE kind = 'expire' AND link = '{id}' AND owner IS NULL"
                    ))
                    .await;
                self.until(id, "expired", |link| link["status"] == "expired")
                    .await?;
            }
            Scene::Reminder => {
                let link = self.created(&json!({})).await?;
                self.paid(&link).await?;
                self.reminded(text(&link, "id")).await?;
            }
        }
        Ok(())
    }

    async fn sold(&self, send: &Value) -> Result<(), Stop> {
        let link = self.created(&json!({"send": send})).await?;
        let id = text(&link, "id");
        self.messages_leave(id).await?;
        self.paid(&link).await?;
        let path = format!("/v1/links/{id}/capture");
        let answer = self.posts("capture", &path, &json!({})).await?;
        if !matches!(answer.status, 201 | 202) {
            return Err(Stop::Wrong(format!(
                "capture: {} {}",
                answer.status,
                answer.text()
            )));
        }
        let all = |link: &Value| link["payment"]["captured_amount"] == 50_000;
        self.until_asked(id, "captured", true, all).await?;
        Ok(())
    }

    async fn breaks(&self, op: &str, fault: &str) {
        let armed = std::mem::replace(&mut self.known.lock().unwrap().armed, true);
        if !armed {
            self.place.world.klarna.breaks(op, fault, 1).await;
        }
    }

    async fn succeeded(&self, old: &Value, answer: Answer) -> Result<(), Stop> {
        let new = answer.json();
        if !matches!(answer.status, 201 | 202) {
            return Err(Stop::Wrong(format!("a successor: {} {new}", answer.status)));
        }
        let id = text(&new, "id").to_owned();
        let before = self.known.lock().unwrap().successor.replace(id.clone());
        self.holds(before.as_ref().is_none_or(|it| *it == id), || {
            format!("its key made the successors {before:?} and {id}")
        });
        self.until(&id, "open", |link| link["status"] == "open")
            .await?;
        let closed = |link: &Value| link["status"] == "disabled";
        self.until(text(old, "id"), "closed for its successor", closed)
            .await?;
        Ok(())
    }

    async fn order_aborted(&self, link: &Value) -> Result<(), Stop> {
        let begun = Instant::now();
        let id = text(link, "id");
        let left = format!("SELECT count(*) AS it FROM job WHERE kind = 'abort' AND link = '{id}'");
        while self.place.number(&left).await > 0 {
            self.gets(&format!("/v1/links/{id}")).await?;
            if begun.elapsed() > LONG {
                return Err(Stop::Wrong(format!("the order of {id} is never aborted")));
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Ok(())
    }

    /// The days pass until the first reminder is due.
    async fn reminded(&self, id: &str) -> Result<(), Stop> {
        let begun = Instant::now();
        let of = format!("FROM job WHERE kind = 'remind' AND link = '{id}'");
        while self
            .place
            .number(&format!("SELECT count(*) AS it {of}"))
            .await
            == 0
        {
            self.gets(&format!("/v1/links/{id}")).await?;
            if begun.elapsed() > LONG {
                return Err(Stop::Wrong(format!("{id} has no reminder")));
            }
        }
        self.place
            .sql(&format!(
                "UPDATE job SET due_at = 1, ready_at = 1 WHERE kind = 'remind' AND link = '{id}' AND owner IS NULL"
            ))
            .await;
        while self
            .place
            .number(&format!("SELECT count(*) AS it {of} AND due_at = 1"))
            .await
            > 0
        {
            self.gets(&format!("/v1/links/{id}")).await?;
            if begun.elapsed() > LONG {
                return Err(Stop::Wrong(format!("{id}: its reminder never comes")));
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Ok(())
    }
}
