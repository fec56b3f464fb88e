//! The callback storm: what Klarna and browsers say is duplicated, shuffled, lost and forged, and
//! decides nothing: every paid link is completed, and no other one is.
//!
//! The real simulator pays and calls; its calls end at a postman (a proxy that refuses them all),
//! who keeps the addresses. The test is the postman's bag: it delivers what it likes.

use std::collections::HashMap;
use std::sync::Arc;

use futures_util::StreamExt;
use rand::RngExt;
use rand::seq::SliceRandom;
use serde_json::{Value, json};

use super::patient::{self, within};
use super::proxy::{Fault, Proxy, Rule};
use super::table::Run;
use crate::outside::harness::http::Caller;
use crate::outside::harness::world::id;
use crate::outside::harness::{WorldPlan, sale};

/// Links of one batch; a long run has many batches.
const LINKS: usize = 500;
const ABREAST: usize = 32;

struct Letter {
    method: &'static str,
    path: String,
    body: Value,
    forged: Option<&'static str>,
    /// The answer must be one of these.
    right: &'static [u16],
}

/// The token in `/callbacks/hpp/TOKEN?…`.
fn token(path: &str) -> &str {
    let last = path.split('?').next().unwrap_or_default();
    last.rsplit('/').next().unwrap_or_default()
}

#[allow(clippy::too_many_lines)] // one story, told from its beginning to its end
async fn storm(plan: WorldPlan, database: &str) {
    let mut run = Run::begin("callback storm", database, 1, 20);
    let postman = Proxy::http();
    let plan = plan.without_channels().with(
        "PAYLINK_PUBLIC_URL",
        &format!("http://127.0.0.1:{}", postman.port),
    );
    let world = plan.start().await;
    // nothing of Klarna's arrives by itself; a purchase is not asked about either
    for door in ["hpp", "push", "notification"] {
        let door = format!("POST /callbacks/{door}/");
        postman.arm(Rule::new(&[door.as_str()], Fault::Status(503)).times(0));
    }
    let port = world.base.rsplit(':').next().expect("a port");
    postman.leads_to(port.parse().expect("a port"));
    let agent = Caller {
        seen: Arc::default(),
        ..world.admin()
    };
    for round in 0..run.rounds() {
        let mut rng = run.rng(round);
        let before = postman.passed().len();
        let from = world
            .klarna
            .log()
            .await
            .last()
            .and_then(|one| one["seq"].as_u64());
        let sales: Vec<_> = (0..LINKS).map(|_| sale()).collect();
        let links: Vec<Value> = futures_util::stream::iter(sales)
            .map(|sale| {
                let agent = agent.clone();
                async move { patient::open(&agent, &sale).await }
            })
            .buffer_unordered(ABREAST)
            .collect()
            .await;
        // what the buyers do: most pay, some look, go back or are declined, some never come
        let acts: Vec<_> = links
            .iter()
            .map(|link| {
                let act = match rng.random_range(0..10) {
                    0..6 => Some("pay"),
                    6 => Some("open"),
                    7 => Some("back"),
                    8 => Some("decline"),
                    _ => None,
                };
                (link, act)
            })
            .collect();
        futures_util::stream::iter(&acts)
            .for_each_concurrent(ABREAST, |&(link, act)| {
                let klarna = &world.klarna;
                async move {
                    let Some(act) = act else { return };
                    if act != "pay" && act != "open" {
                        klarna.buyer(link, "open").await;
                    }
                    klarna.buyer(link, act).await;
                }
            })
            .await;
        let paid: Vec<&Value> = acts
            .iter()
            .filter(|(_, act)| *act == Some("pay"))
            .map(|(link, _)| *link)
            .collect();
        // pushes follow 2 min × 0.001 after the payment
        within(20, async || {
            let pushes = postman.passed_with(&["POST /callbacks/push/"]);
            (pushes.len() >= paid.len()).then_some(())
        })
        .await;
        let letters = bag(&mut rng, &postman, before, &links);
        run.count("links", LINKS);
        run.count("paid", paid.len());
        run.count("delivered", letters.len());
        let answers: Vec<_> = futures_util::stream::iter(letters)
            .map(|letter| {
                let stranger = world.stranger();
                async move {
                    let answer = patient::answered(|| {
                        let method = letter.method.parse().expect("a method");
                        let call = stranger.request(method, &letter.path).revealing();
                        if letter.method == "POST" {
                            call.json(&letter.body)
                        } else {
                            call
                        }
                    });
                    (answer.await.status, letter)
                }
            })
            .buffer_unordered(ABREAST)
            .collect()
            .await;
        for (status, letter) in answers {
            run.holds(letter.right.contains(&status), || {
                format!(
                    "{} {} ({:?}) answered {status}",
                    letter.method, letter.path, letter.forged
                )
            });
            if letter.forged.is_some() {
                run.count("forged", 1_u32);
            }
        }
        // what was lost is healed by asking: 15 s after the link became payable, and every 15 s
        for link in paid {
            let done = within(60, async || {
                let now = patient::link(&agent, id(link)).await;
                (now["status"] == "completed").then_some(())
            })
            .await;
            run.holds(done.is_some(), || {
                format!("{} is paid and not completed", id(link))
            });
        }
        for (link, act) in &acts {
            let now = patient::link(&agent, id(link)).await;
            let is_paid = *act == Some("pay");
            run.holds(is_paid || now["status"] != "completed", || {
                format!("{} was forged: {act:?}, and it is completed", id(link))
            });
            let timeline = patient::timeline(&agent, id(link)).await;
            let times = timeline
                .iter()
                .filter(|event| event["type"] == "link.completed")
                .count();
            run.holds(times == usize::from(is_paid), || {
                format!("{} told link.completed {times} times", id(link))
            });
        }
        reads(&mut run, &world.klarna.log_after(from.unwrap_or(0)).await);
        run.progress(round);
    }
    let stderr = world.stderr();
    run.holds(!stderr.contains("panicked"), || "a panic".to_owned());
    world.drops_database().await;
    run.end();
}

/// What arrives: each call of Klarna's with 70 %, once to four times; returns of browsers; 5 %
/// forgeries; all in an order of its own.
fn bag(
    rng: &mut rand::rngs::StdRng,
    postman: &Proxy,
    before: usize,
    links: &[Value],
) -> Vec<Letter> {
    let mut letters = Vec::new();
    let calls = postman.passed();
    let mut tokens = Vec::new();
    for call in &calls[before..] {
        let Some(path) = call.what.strip_prefix("POST ") else {
            continue;
        };
        if path.starts_with("/callbacks/validation/") {
            continue;
        }
        tokens.push(token(path).to_owned());
        if rng.random_bool(0.3) {
            continue;
        }
        for _ in 0..rng.random_range(1..=4) {
            letters.push(Letter {
                method: "POST",
                path: path.to_owned(),
                body: json!({}),
                forged: None,
                right: &[204],
            });
        }
    }
    // browsers come back by any door, whatever happened
    tokens.sort();
    tokens.dedup();
    for token in &tokens {
        if rng.random_bool(0.1) {
            let door = ["success", "back", "failure", "error"][rng.random_range(0..4)];
            letters.push(Letter {
                method: "GET",
                path: format!("/return/{door}/{token}"),
                body: Value::Null,
                forged: None,
                right: &[200],
            });
        }
    }
    for _ in 0..letters.len() / 19 {
        let token = &tokens[rng.random_range(0..tokens.len())];
        let other = &links[rng.random_range(0..links.len())]["klarna"];
        let lie = json!({
            "event_id": "00000000-0000-4000-8000-000000000000",
            "session": {"session_id": other["session_id"], "status": "COMPLETED", "order_id": other["order_id"]},
        });
        letters.push(match rng.random_range(0..3) {
            0 => {
                let unknown: String = (0..43)
                    .map(|_| char::from(b'a' + rng.random_range(0..26_u8)))
                    .collect();
                Letter {
                    method: "POST",
                    path: format!("/callbacks/hpp/{unknown}"),
                    body: lie,
                    forged: Some("unknown token"),
                    right: &[404],
                }
            }
            1 => Letter {
                method: "POST",
                path: format!("/callbacks/hpp/{token}"),
                body: lie,
                forged: Some("lying body"),
                right: &[204],
            },
            _ => Letter {
                method: "POST",
                path: format!(
                    "/callbacks/push/{token}?sid={}&oid={}",
                    other["session_id"].as_str().unwrap_or_default(),
                    other["order_id"].as_str().unwrap_or_default()
                ),
                body: Value::Null,
                forged: Some("foreign ids"),
                right: &[204],
            },
        });
    }
    letters.shuffle(rng);
    letters
}

/// One read per 2 s and link: hints that come together cause one read.
fn reads(run: &mut Run, log: &[Value]) {
    let mut times: HashMap<&str, Vec<jiff::Timestamp>> = HashMap::new();
    for entry in log.iter().filter(|entry| entry["op"] == "read_session") {
        let path = entry["path"].as_str().unwrap_or_default();
        let at = entry["at"]
            .as_str()
            .and_then(|at| at.parse::<jiff::Timestamp>().ok());
        times.entry(path).or_default().extend(at);
    }
    let (mut all, mut most) = (0_usize, 0);
    for (path, mut at) in times {
        at.sort();
        all += at.len();
        // a window of 1.9 s: the simulator's clock is not the service's
        for (first, start) in at.iter().enumerate() {
            let together = at[first..]
                .iter()
                .take_while(|other| other.duration_since(*start).as_millis() < 1_900)
                .count();
            most = most.max(together);
            // a browser that comes back is shown what is read then; one may have been under way
            run.holds(together <= 3, || {
                format!("{together} reads within 2 s: {path}")
            });
        }
    }
    run.count("reads", all);
    run.measured("most reads of one link in 2 s", most.to_string());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_sqlite() {
    storm(WorldPlan::new().on_sqlite(), "SQLite").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_postgres() {
    match WorldPlan::new().on_postgres() {
        Some(plan) => storm(plan, "PostgreSQL").await,
        None => eprintln!("skipped: PAYLINK_TEST_POSTGRES names no server"),
    }
}
