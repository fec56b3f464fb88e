//! Disable against pay: the buyer pays while the agent disables, up to 1 s apart, most of them so
//! close that chance decides. Klarna's session says who was first; our link must say the same, and
//! so must every answer.
//!
//! A disable has a longer way to Klarna than the buyer has, so the same start would be a race that
//! one side nearly always wins. The agent gets that much of a lead: as much as makes both win as
//! often, learned from the races themselves. Every other race is run without Klarna's question
//! whether the order may still be bought (whether HPP asks is unknown, so no rule may depend on it).

mod judge;
mod tie;

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use rand::RngExt;
use rand::rngs::StdRng;
use serde_json::Value;
use tokio::sync::mpsc;
use tokio::time::sleep;

use self::judge::Judge;
use self::tie::Tie;
use super::patient;
use super::table::Run;
use crate::outside::harness::http::Caller;
use crate::outside::harness::simulator::Klarna;
use crate::outside::harness::world::id;
use crate::outside::harness::{World, WorldPlan, sale};

/// Races at once.
const ABREAST: usize = 16;
/// So many races are judged by a few lists in place of many reads.
const BATCH: usize = 500;

/// What chance says of one race.
#[derive(Clone, Copy)]
struct Start {
    round: u32,
    /// How far from the tie, log-uniform from 1 µs to 1 s.
    apart: Duration,
    agent_first: bool,
    /// Klarna asks the merchant before the purchase.
    asks: bool,
}

impl Start {
    fn of(run: &Run, round: u32) -> Self {
        Self::drawn(round, &mut run.rng(round))
    }

    fn drawn(round: u32, rng: &mut StdRng) -> Self {
        Self {
            round,
            apart: Duration::from_secs_f64(10_f64.powf(rng.random_range(-6.0..0.0))),
            agent_first: rng.random_bool(0.5),
            asks: rng.random_bool(0.5),
        }
    }
}

fn micros(span: Duration) -> i64 {
    i64::try_from(span.as_micros()).expect("a race is short")
}

/// A race that both have run.
struct Raced {
    start: Start,
    /// How far the agent was ahead, microseconds.
    lead: i64,
    link: String,
    session: String,
    order: String,
    /// The disable's answer, and the status or code in it.
    answered: u16,
    said: String,
    over: Instant,
}

/// Sleeps to the grain of the runtime's timer, a millisecond, and shorter waits exactly.
async fn waits(wait: Duration) {
    let until = Instant::now() + wait;
    if wait > Duration::from_millis(2) {
        return sleep(wait).await;
    }
    while Instant::now() < until {
        tokio::task::yield_now().await;
    }
}

async fn race(agent: Caller, klarna: Klarna, start: Start, ties: Arc<[Tie; 2]>) -> Raced {
    let agent = quiet(agent);
    let link = patient::open(&agent, &sale()).await;
    let which = usize::from(start.asks);
    let lead = ties[which].lead(&start);
    let ahead = Duration::from_micros(lead.unsigned_abs());
    let page = link.clone();
    let pays = async move {
        if lead > 0 {
            waits(ahead).await;
        }
        let (status, session) = klarna.pays(&page, start.asks).await;
        status == 200 && session["status"] == "COMPLETED"
    };
    let name = id(&link).to_owned();
    let disables = async move {
        if lead < 0 {
            waits(ahead).await;
        }
        patient::answered(|| agent.disables(&name)).await
    };
    let (paid, answer) = tokio::join!(pays, disables);
    ties[which].learns(paid, answer.took);
    let body = answer.json();
    let said = body["code"].as_str().or(body["status"].as_str());
    Raced {
        start,
        lead,
        link: id(&link).to_owned(),
        session: text(&link["klarna"]["session_id"]),
        order: text(&link["klarna"]["order_id"]),
        answered: answer.status,
        said: said.unwrap_or_default().to_owned(),
        over: Instant::now(),
    }
}

impl fmt::Display for Raced {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Start {
            round,
            apart,
            agent_first,
            asks,
        } = self.start;
        let first = if agent_first { "agent" } else { "buyer" };
        let asked = if asks { "" } else { " not" };
        write!(
            f,
            "round {round}, {} ({first} first by {apart:?}, the agent called {} µs before the buyer, Klarna did{asked} ask)",
            self.link, self.lead
        )
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

async fn races(plan: WorldPlan, database: &str) {
    let run = Run::begin("disable against pay", database, 1_000, 50_000);
    let world = plan.without_channels().start().await;
    let agent = quiet(world.admin());
    let klarna = world.klarna.clone();
    let starts: Vec<_> = (0..run.rounds())
        .map(|round| Start::of(&run, round))
        .collect();
    let ties = Arc::new(<[Tie; 2]>::default());
    let (tells, told) = mpsc::channel(BATCH);
    let judge = Judge::new(agent.clone(), klarna.clone(), run);
    let all = futures_util::stream::iter(starts)
        .map(|start| race(agent.clone(), klarna.clone(), start, Arc::clone(&ties)))
        .buffer_unordered(ABREAST);
    let racing = async move {
        let mut all = std::pin::pin!(all);
        while let Some(raced) = all.next().await {
            tells.send(raced).await.expect("the judge sits to the end");
        }
    };
    // the judge looks while others race
    let (mut run, ()) = tokio::join!(judge.sits(told), racing);
    for (tie, which) in ties.iter().zip(["without the question", "with it"]) {
        let lead = tie.learned() / 1_000;
        run.measured(&format!("lead of the agent {which}"), format!("{lead} ms"));
    }
    ends(world).await;
    run.end();
}

/// Remembers nothing of what it saw: there is much of it.
fn quiet(caller: Caller) -> Caller {
    Caller {
        seen: Arc::default(),
        ..caller
    }
}

async fn ends(world: World) {
    let stderr = world.stderr();
    assert!(!stderr.contains("panicked"), "{stderr}");
    world.drops_database().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_sqlite() {
    races(WorldPlan::new().on_sqlite(), "SQLite").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_postgres() {
    match WorldPlan::new().on_postgres() {
        Some(plan) => races(plan, "PostgreSQL").await,
        None => eprintln!("skipped: PAYLINK_TEST_POSTGRES names no server"),
    }
}
