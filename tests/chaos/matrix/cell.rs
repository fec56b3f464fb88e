//! One cell: how a step is brought about under its fault.

mod ends;

use std::time::{Duration, Instant};

use serde_json::{Value, json};

pub use self::ends::Cell;
use super::super::patient;
use super::super::proxy::{Fault, Proxy, Rule};
use super::scene::Scene;
use super::{Ill, Step};
use crate::outside::harness::http::{Answer, Call};
use crate::outside::harness::world::id;
use crate::outside::harness::{email, phone, reference, sale_of};

/// So long the service waits for Klarna before it answers (contract.md, Answers).
const PATIENCE: Duration = Duration::from_secs(4);
/// Seconds that a cell may take to its end: two of the longest back-off that a step meets here (a
/// minute and a tenth), and time for a machine that is busy. Who ends sooner doesn't wait for it.
const LONGEST: u64 = 180;

/// A step with its link, before or after the fault.
pub struct Begun {
    pub step: Step,
    pub ill: Ill,
    pub reference: String,
    pub works: bool,
    link: Value,
    to: String,
    delivery: String,
    saw: String,
    late: bool,
    /// The rule that brings its fault.
    rule: Option<u64>,
    /// How many requests that rule meets; 0: all.
    meets: u32,
}

fn status(link: &Value) -> &str {
    link["status"].as_str().unwrap_or_default()
}

/// The status; of a 409, which no cell expects, also which one.
fn word(answer: &Answer) -> String {
    if answer.status == 409 {
        let code = answer.json()["code"].as_str().map(str::to_owned);
        return format!("409 {}", code.unwrap_or_default());
    }
    answer.status.to_string()
}

impl Begun {
    /// Everything that must be there before, over a network that works.
    pub async fn prepared(scene: &Scene, step: Step, ill: Ill) -> Self {
        let mut begun = Self {
            step,
            ill,
            reference: reference(),
            works: false,
            link: Value::Null,
            to: match step {
                Step::Sms => phone(),
                _ => email(),
            },
            delivery: String::new(),
            saw: String::new(),
            late: false,
            rule: None,
            meets: 0,
        };
        if step.creates() {
            return begun;
        }
        let agent = &scene.agent;
        let link = patient::open(agent, &begun.sale()).await;
        if matches!(step, Step::Capture | Step::Refund) {
            scene.world.klarna.buyer(&link, "pay").await;
            begun.link = link.clone();
            begun.payment(scene, "remaining_amount", 50_000).await;
        }
        if step == Step::Refund {
            let path = format!("/v1/links/{}/capture", id(&link));
            let capture = patient::answered(|| agent.post(&path, &json!({}))).await;
            capture.expect_any(&[201, 202]);
            begun.payment(scene, "captured_amount", 50_000).await;
        }
        begun.link = link;
        begun
    }

    fn sale(&self) -> Value {
        let mut sale = sale_of(&self.reference);
        // so that a session's request names the sale too
        sale["page"] = json!({ "title": self.reference });
        sale
    }

    async fn payment(&self, scene: &Scene, member: &str, amount: u32) -> Option<Value> {
        scene
            .sees(LONGEST, async || {
                let now = patient::link(&scene.agent, id(&self.link)).await;
                (now["payment"][member] == amount).then_some(now)
            })
            .await
    }

    fn proxy<'a>(&self, scene: &'a Scene) -> &'a Proxy {
        match self.step {
            Step::Sms => &scene.sms,
            step if step.is_mail() => &scene.mail,
            _ => &scene.klarna,
        }
    }

    /// The words by which a proxy knows this step's request.
    fn words(&self) -> Vec<String> {
        let of = |name: &str| self.link["klarna"][name].as_str().unwrap_or("?").to_owned();
        let (order, session) = (of("order_id"), of("session_id"));
        let payment = format!("/ordermanagement/v1/orders/{order}");
        match self.step {
            Step::CreateOrder => vec![
                "POST /checkout/v3/orders HTTP".to_owned(),
                self.reference.clone(),
            ],
            Step::CreateSession => {
                vec![
                    "POST /hpp/v1/sessions HTTP".to_owned(),
                    self.reference.clone(),
                ]
            }
            Step::ReadSession => vec![format!("GET /hpp/v1/sessions/{session} HTTP")],
            Step::Disable => vec![format!("DELETE /hpp/v1/sessions/{session} HTTP")],
            Step::Abort => vec![format!("POST /checkout/v3/orders/{order}/abort HTTP")],
            Step::ReadPayment => vec![format!("GET {payment} HTTP")],
            Step::Acknowledge => vec![format!("POST {payment}/acknowledge HTTP")],
            Step::Capture => vec![format!("POST {payment}/captures HTTP")],
            Step::Refund => vec![format!("POST {payment}/refunds HTTP")],
            Step::Sms => vec!["POST /send".to_owned(), self.to.clone()],
            // the greeting's recipient is nobody
            Step::SmtpEhlo => vec!["EHLO".to_owned()],
            Step::SmtpMail => vec![format!("MAIL {}", self.to)],
            Step::SmtpRcpt => vec![format!("RCPT {}", self.to)],
            Step::SmtpData => vec![format!("DATA {}", self.to)],
            Step::SmtpDot => vec![format!("DOT {}", self.to)],
        }
    }

    fn arm(&mut self, scene: &Scene, fault: Fault, times: u32) {
        let words = self.words();
        let words: Vec<_> = words.iter().map(String::as_str).collect();
        let rule = Rule::new(&words, fault).times(times);
        self.meets = times;
        self.rule = Some(self.proxy(scene).arm(rule));
    }

    /// Begins the step, whose first request meets the fault.
    pub async fn begins(&mut self, scene: &Scene) {
        // the whole-network fault of this step is the caller's affair
        if !self.ill.is_connection() {
            // a read is repeated by hint and poll: it is broken until the agent has looked
            let times = u32::from(self.step != Step::ReadSession);
            self.arm(scene, self.ill.fault(self.step), times);
        }
        self.acts(scene).await;
        if self.step == Step::ReadSession && !self.ill.is_connection() {
            self.heals(scene);
        }
    }

    /// Begins the step while the whole network is down; of a message, until it was tried.
    pub async fn begins_unruled(&mut self, scene: &Scene) {
        self.acts(scene).await;
        if !self.delivery.is_empty() {
            self.is_judged_once(scene).await;
        }
    }

    /// Begins the step and keeps it from its end, until [`Begun::heals`]: so that it is under way
    /// when the network goes.
    pub async fn waits(&mut self, scene: &Scene) {
        // at Klarna nothing that looks like an outage: an open breaker would keep the others from
        // getting under way
        let fault = if self.step.is_mail() {
            Fault::ResetBefore
        } else {
            Fault::Busy(1)
        };
        self.arm(scene, fault, 0);
        self.acts(scene).await;
        if !self.delivery.is_empty() {
            self.is_judged_once(scene).await;
        }
    }

    pub fn heals(&self, scene: &Scene) {
        if let Some(rule) = self.rule {
            self.proxy(scene).disarm(rule);
        }
    }

    /// Asks until there is an answer that is no "too much at once", and notes whether it was late.
    async fn asks(late: &mut bool, call: impl Fn() -> Call) -> Answer {
        let asked = std::cell::Cell::new(Instant::now());
        let answer = patient::answered(|| {
            asked.set(Instant::now());
            call()
        });
        let answer = answer.await;
        *late = asked.get().elapsed() >= PATIENCE;
        answer
    }

    async fn acts(&mut self, scene: &Scene) {
        self.works = true;
        let mut late = false;
        let (agent, klarna) = (&scene.agent, &scene.world.klarna);
        let path = |verb: &str| format!("/v1/links/{}/{verb}", id(&self.link));
        self.saw = match self.step {
            Step::CreateOrder | Step::CreateSession => {
                let sale = self.sale();
                let answer = Self::asks(&mut late, || agent.sends(&sale)).await;
                let body = answer.json();
                let name = body["link_id"].as_str().or(body["id"].as_str());
                self.link = json!({ "id": name });
                word(&answer)
            }
            Step::ReadSession => {
                klarna.buyer(&self.link, "pay").await;
                let answer = Self::asks(&mut late, || agent.press(&path("refresh"))).await;
                format!("{} {}", answer.status, status(&answer.json()))
            }
            Step::Disable | Step::Abort => {
                let name = id(&self.link);
                let answer = Self::asks(&mut late, || agent.disables(name)).await;
                let body = answer.json();
                self.link["reference"] = self.reference.clone().into();
                format!("{} {}", answer.status, status(&body))
            }
            Step::ReadPayment | Step::Acknowledge => {
                klarna.buyer(&self.link, "pay").await;
                let link = patient::until(agent, id(&self.link), "completed", LONGEST).await;
                status(&link).to_owned()
            }
            Step::Capture | Step::Refund => {
                let verb = if self.step == Step::Capture {
                    "capture"
                } else {
                    "refunds"
                };
                let body = json!({ "amount": 20_000 });
                let answer = {
                    // who is told "too much at once" repeats under the same key
                    let key = format!("{verb} of {}", self.reference);
                    let (path, body) = (path(verb), &body);
                    Self::asks(&mut late, || agent.post(&path, body).idempotent(&key)).await
                };
                word(&answer)
            }
            Step::Sms
            | Step::SmtpEhlo
            | Step::SmtpMail
            | Step::SmtpRcpt
            | Step::SmtpData
            | Step::SmtpDot => {
                let channel = if self.step == Step::Sms {
                    "sms"
                } else {
                    "email"
                };
                let body = json!({ "channel": channel, "to": self.to });
                let answer = patient::answered(|| agent.post(&path("deliveries"), &body)).await;
                let answer = answer.expect(201);
                id(&answer.json()).clone_into(&mut self.delivery);
                answer.status.to_string()
            }
        };
        self.late = late;
    }

    async fn delivery(&self, scene: &Scene) -> Value {
        let path = format!("/v1/links/{}/deliveries", id(&self.link));
        let page = patient::get(&scene.agent, &path).await;
        let all = page["data"].as_array().expect("a list");
        let mine = all.iter().find(|one| one["id"] == self.delivery);
        mine.expect("the delivery is in the list").clone()
    }

    /// Waits until the first attempt of a message has come to something.
    pub async fn is_judged_once(&self, scene: &Scene) {
        let judged = scene.sees(LONGEST, async || {
            let now = self.delivery(scene).await;
            let waits = now["status"] == "queued" && now["reason"].is_null();
            (!waits && now["status"] != "sending").then_some(())
        });
        let judged = judged.await;
        assert!(
            judged.is_some(),
            "{:?} × {:?} is never tried",
            self.step,
            self.ill
        );
    }
}
