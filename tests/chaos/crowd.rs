//! Clients who know nothing of what is broken: they ask, and what was cut or put off they ask again
//! under the same key. What they were answered stands in the [`Ledger`].

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::fleet::Fleet;
use super::ledgers::{Ledger, Wanted};
use crate::outside::harness::http::{Answer, Call, Caller};
use crate::outside::harness::{email, phone, reference, sale_of};

/// A client gives up after this time and asks again when everything is healed.
const PATIENCE: Duration = Duration::from_secs(20);
/// So often a client hears that its first request is still at work before it leaves it for later:
/// that request may be leased to the dead.
const AT_WORK: u32 = 8;

pub struct Crowd {
    pub fleet: Arc<Fleet>,
    pub ledger: Arc<Ledger>,
    /// A client that draws a new key for each repeat: what the check must notice.
    pub forgets_keys: bool,
}

impl Crowd {
    pub fn of(fleet: Arc<Fleet>) -> Arc<Self> {
        Arc::new(Self {
            fleet,
            ledger: Arc::default(),
            forgets_keys: std::env::var_os("PAYLINK_CHAOS_FORGET_KEYS").is_some(),
        })
    }

    /// So many clients at work until `stop`; each ends what it has begun.
    pub fn rush(
        self: &Arc<Self>,
        rng: &mut StdRng,
        clients: u32,
        stop: &Arc<AtomicBool>,
    ) -> JoinSet<()> {
        let mut set = JoinSet::new();
        for _ in 0..clients {
            let mut chance = StdRng::seed_from_u64(rng.random());
            let (crowd, stop) = (Arc::clone(self), Arc::clone(stop));
            set.spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    crowd.act(&mut chance).await;
                }
            });
        }
        set
    }

    async fn act(&self, rng: &mut StdRng) {
        match rng.random_range(0..10u8) {
            0..4 => self.create(rng).await,
            4..6 => self.disable(rng).await,
            6..8 => self.pay(rng).await,
            _ => {
                self.read(rng).await;
            }
        }
    }

    /// Everything that was never answered is asked once more.
    pub async fn repeats(&self, rng: &mut StdRng, limit: Duration) {
        let deadline = Instant::now() + limit;
        loop {
            let open = self.ledger.with(|book| book.unanswered());
            if open.is_empty() || Instant::now() > deadline {
                return;
            }
            for (reference, wanted) in open {
                self.ask_for(rng, &reference, &wanted).await;
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    pub async fn create(&self, rng: &mut StdRng) {
        let reference = reference();
        let mut body = sale_of(&reference);
        let mut send = Vec::new();
        if rng.random_bool(0.6) {
            send.push(json!({ "channel": "email", "to": email() }));
        }
        if rng.random_bool(0.6) {
            send.push(json!({ "channel": "sms", "to": phone() }));
        }
        body["send"] = Value::Array(send);
        let wanted = Wanted {
            key: format!("chaos-{reference}"),
            body,
            link: None,
        };
        self.ledger
            .with(|book| book.wanted.insert(reference.clone(), wanted.clone()));
        self.ask_for(rng, &reference, &wanted).await;
    }

    async fn ask_for(&self, rng: &mut StdRng, reference: &str, wanted: &Wanted) {
        let mut tries = 0;
        let answer = self.insist(rng, |caller| {
            tries += 1;
            let key = if self.forgets_keys {
                format!("{}-{tries}", wanted.key)
            } else {
                wanted.key.clone()
            };
            caller.sends(&wanted.body).idempotent(&key)
        });
        let Some(answer) = answer.await else { return };
        self.ledger.with(|book| match answer.status {
            201 | 202 => book.promised(reference, &answer.json()),
            status => {
                let what = format!("{reference}: create answered {status} {}", answer.text());
                book.wrong.push(what);
            }
        });
    }

    fn any_link(&self, rng: &mut StdRng) -> Option<String> {
        self.ledger.with(|book| {
            let count = book.links.len();
            // mostly young ones: what is old is at rest
            let from = count.saturating_sub(60);
            (count > 0).then(|| book.links[rng.random_range(from..count)].clone())
        })
    }

    async fn read(&self, rng: &mut StdRng) -> Option<(String, Value)> {
        let id = self.any_link(rng)?;
        let path = format!("/v1/links/{id}");
        let answer = self.insist(rng, |caller| caller.get(&path)).await?;
        if answer.status != 200 {
            let what = format!("{id} is acknowledged, and read as {}", answer.status);
            self.ledger.with(|book| book.wrong.push(what));
            return None;
        }
        let link = answer.json();
        self.ledger.with(|book| book.shown(&id, &link));
        Some((id, link))
    }

    async fn disable(&self, rng: &mut StdRng) {
        let Some(id) = self.any_link(rng) else { return };
        let key = format!("off-{id}-{}", rng.random::<u64>());
        let (path, why) = (
            format!("/v1/links/{id}/disable"),
            json!({ "reason": "customer_request" }),
        );
        let answer = self.insist(rng, |caller| caller.post(&path, &why).idempotent(&key));
        let Some(answer) = answer.await else { return };
        self.ledger.with(|book| match answer.status {
            200 | 202 => {
                book.disabled.insert(id);
            }
            409 if answer.json()["code"] == "already_completed" => {}
            status => {
                let what = format!("{id}: disable answered {status} {}", answer.text());
                book.wrong.push(what);
            }
        });
    }

    async fn pay(&self, rng: &mut StdRng) {
        let Some((id, link)) = self.read(rng).await else {
            return;
        };
        if link["status"] == "open" {
            let (_, session) = self.fleet.world.klarna.try_act(&link, "pay").await;
            // else the page was gone, or the validation refused the purchase of a closing link
            if session["status"] == "COMPLETED" {
                self.ledger.with(|book| book.paid.insert(id));
            }
        }
    }

    /// Asks anybody until there is an answer that means something.
    async fn insist(
        &self,
        rng: &mut StdRng,
        mut ask: impl FnMut(&Caller) -> Call,
    ) -> Option<Answer> {
        let deadline = Instant::now() + PATIENCE;
        let mut at_work = 0;
        while Instant::now() < deadline {
            let caller = self.fleet.caller(rng.random_range(0..self.fleet.size()));
            match ask(&caller).revealing().attempt().await {
                Ok(answer) => {
                    let code = match answer.status {
                        409 | 503 => answer.json()["code"].as_str().map(str::to_owned),
                        _ => None,
                    };
                    match code.as_deref() {
                        Some("idempotency_in_progress") if at_work == AT_WORK => return None,
                        Some("idempotency_in_progress") => at_work += 1,
                        // somebody else was faster, or the database is away: not done, ask again
                        Some("storage_unavailable" | "overloaded" | "busy") => {}
                        _ => {
                            self.ledger.with(|book| book.done += 1);
                            return Some(answer);
                        }
                    }
                    self.ledger.with(|book| book.put_off += 1);
                }
                Err(_) => self.ledger.with(|book| book.cut += 1),
            }
            tokio::time::sleep(Duration::from_millis(40)).await;
        }
        None
    }
}
