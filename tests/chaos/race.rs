//! Disable against pay: the buyer pays while the agent disables, up to 1 s apart, most of them so
//! close that chance decides. Klarna's session says who was first; our link must say the same, and
//! so must every answer.
//!
//! A disable has a longer way to Klarna than the buyer has, so the same start would be a race that
//! one side nearly always wins. The agent gets that much of a lead: as much as makes both win as
//! often, learned from the races themselves. Every other race is run without Klarna's question
//! whether the order may still be bought (whether HPP asks is unknown, so no rule may depend on it).

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use rand::RngExt;
use rand::rngs::StdRng;
use serde_json::Value;
use tokio::sync::mpsc;
use tokio::time::sleep;

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
/// Links, sessions and orders of one look: a batch, those left over before, those that race meanwhile.
const NEWEST: usize = BATCH + BATCH / 2;
/// A race is looked at this long after its end at the earliest: most are over by then, and what is
/// over need not be asked about again.
const RIPE: Duration = Duration::from_secs(1);
/// A link and Klarna must agree within this time.
const AGREED: Duration = Duration::from_secs(40);
/// Each side wins at least so many of a hundred races. Else they race in name only.
const FAIR: u32 = 30;

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

/// The lead of the agent at which both win as often. It goes a step towards whoever lost: large ones
/// at first, small ones later (Robbins and Monro), by the measure of what a disable takes just now.
#[derive(Default)]
struct Tie {
    lead: AtomicI64,
    raced: AtomicI64,
    /// What a disable takes, a sliding mean: the step must not depend on who won.
    takes: AtomicI64,
}

impl Tie {
    /// Parts of a disable's time that a step has.
    const FIRST_STEP: i64 = 16;
    const LAST_STEP: i64 = 256;

    fn learns(&self, buyer_won: bool, took: Duration) {
        let raced = self.raced.fetch_add(1, Ordering::Relaxed);
        let before = self.takes.load(Ordering::Relaxed);
        let takes = before + (micros(took) - before) / (1 + raced).min(Self::FIRST_STEP);
        self.takes.store(takes, Ordering::Relaxed);
        let step = takes / (Self::FIRST_STEP + raced).min(Self::LAST_STEP);
        let step = if buyer_won { step } else { -step };
        self.lead.fetch_add(step, Ordering::Relaxed);
    }

    /// How far the agent is to be ahead, microseconds.
    fn lead(&self, start: &Start) -> i64 {
        let apart = micros(start.apart);
        let apart = if start.agent_first { apart } else { -apart };
        self.lead.load(Ordering::Relaxed) + apart
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

/// How one race ended, on both sides.
#[derive(Clone, Debug)]
struct Seen {
    /// The disable's answer, and the status in it.
    answered: u16,
    said: String,
    /// The link's end.
    ended: String,
    /// Klarna's session at the end: COMPLETED or DISABLED.
    session: String,
    /// Klarna holds an authorisation.
    taken: bool,
    /// Whether anybody was told that it was paid after all.
    told_late: bool,
}

impl Seen {
    /// Nothing of it changes any more, unless a law is broken.
    fn is_over(&self) -> bool {
        let paid = self.ended == "completed";
        let agrees = (self.session == "COMPLETED") == paid && self.taken == paid;
        let must_tell = paid && self.answered == 200;
        agrees && (paid || self.ended == "disabled") && (!must_tell || self.told_late)
    }
}

/// What is wrong with it: one side says what the other does not.
fn wrong(seen: &Seen) -> Vec<&'static str> {
    let mut wrong = Vec::new();
    let mut law = |holds: bool, what: &'static str| {
        if !holds {
            wrong.push(what);
        }
    };
    let paid = seen.ended == "completed";
    law(
        paid || seen.ended == "disabled",
        "the link has no end, or another one",
    );
    law(
        paid == seen.taken,
        "the link's end and Klarna's money differ",
    );
    law(
        (seen.session == "COMPLETED") == seen.taken,
        "Klarna's session and its order differ: the simulator is wrong",
    );
    law(
        seen.session == if paid { "COMPLETED" } else { "DISABLED" },
        "the session's end is not the link's",
    );
    match (seen.answered, seen.said.as_str()) {
        // said to be dead and paid all the same: somebody must be told
        (200, "disabled") => law(!paid || seen.told_late, "money on a dead link, unnoticed"),
        (202, "disabling") => {}
        (409, "already_completed") => law(paid, "called completed, and is not"),
        _ => law(false, "the disable's answer is none of the three"),
    }
    law(
        !seen.told_late || paid,
        "told to be paid after all, and is not",
    );
    wrong
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

/// Looks at races that were run, and judges those that are over.
struct Judge {
    agent: Caller,
    klarna: Klarna,
    waiting: Vec<Raced>,
    /// Links of which it was told that they were paid after all, and how far the events are read.
    told_late: HashSet<String>,
    read_to: Option<String>,
    run: Run,
    judged: u32,
    paid: u32,
}

impl Judge {
    fn new(agent: Caller, klarna: Klarna, run: Run) -> Self {
        Self {
            agent,
            klarna,
            waiting: Vec::new(),
            told_late: HashSet::new(),
            read_to: None,
            run,
            judged: 0,
            paid: 0,
        }
    }

    /// Until the last race is judged.
    async fn sits(mut self, mut races: mpsc::Receiver<Raced>) -> Run {
        let mut fresh = 0;
        loop {
            let more = races.recv_many(&mut self.waiting, BATCH).await;
            fresh += more;
            if more > 0 && fresh < BATCH {
                continue;
            }
            fresh = 0;
            for (raced, seen) in self.looks().await {
                self.judges(&raced, &seen);
            }
            if more == 0 {
                if self.waiting.is_empty() {
                    break;
                }
                sleep(RIPE).await;
            }
        }
        self.holds_fairness();
        self.run
    }

    fn judges(&mut self, raced: &Raced, seen: &Seen) {
        let run = &mut self.run;
        for what in wrong(seen) {
            run.violated(format!("{raced}: {what}: {seen:?}"));
        }
        run.count(&seen.ended, 1_u32);
        run.count(&format!("answered {}", seen.answered), 1_u32);
        run.count("told late", u32::from(seen.told_late));
        run.progress(self.judged);
        self.judged += 1;
        self.paid += u32::from(seen.ended == "completed");
    }

    fn holds_fairness(&mut self) {
        // a few rounds go by until the tie is known
        if self.judged < 300 {
            return;
        }
        let (paid, judged) = (self.paid, self.judged);
        let fair = judged * FAIR / 100;
        self.run.holds((fair..=judged - fair).contains(&paid), || {
            format!("{paid} of {judged} were won by the buyer: the race is none")
        });
    }

    /// Takes those out that are over, or should be.
    async fn looks(&mut self) -> Vec<(Raced, Seen)> {
        let (ripe, green): (Vec<_>, Vec<_>) = std::mem::take(&mut self.waiting)
            .into_iter()
            .partition(|raced| raced.over.elapsed() >= RIPE);
        self.waiting = green;
        // ours first and Klarna afterwards: an end that was read stays
        let ends = self.ends().await;
        self.hears().await;
        let (sessions, orders) = (
            self.klarna.last_sessions(NEWEST),
            self.klarna.last_orders(NEWEST),
        );
        let (sessions, orders) = tokio::join!(sessions, orders);
        let statuses = by_id(&sessions, "session_id", |session| text(&session["status"]));
        let taken = by_id(&orders, "order_id", |order| order["om"].is_object());
        let mut over = Vec::new();
        for raced in ripe {
            // one that has taken longer than those after it is asked about alone
            let ended = match ends.get(&raced.link) {
                Some(ended) => ended.clone(),
                None => text(&patient::link(&self.agent, &raced.link).await["status"]),
            };
            let session = match statuses.get(&raced.session) {
                Some(status) => status.clone(),
                None => {
                    text(&self.klarna.one_session(&raced.session.clone().into()).await["status"])
                }
            };
            let taken = match taken.get(&raced.order) {
                Some(taken) => *taken,
                None => self.klarna.one_order(&raced.order.clone().into()).await["om"].is_object(),
            };
            let seen = Seen {
                answered: raced.answered,
                said: raced.said.clone(),
                ended,
                session,
                taken,
                told_late: self.told_late.contains(&raced.link),
            };
            if seen.is_over() || raced.over.elapsed() > AGREED {
                over.push((raced, seen));
            } else {
                self.waiting.push(raced);
            }
        }
        over
    }

    /// The status of the newest links.
    async fn ends(&self) -> HashMap<String, String> {
        let mut ends = HashMap::new();
        let mut from = String::new();
        while ends.len() < NEWEST {
            let list = patient::get(&self.agent, &format!("/v1/links?limit=100{from}")).await;
            for link in list["data"].as_array().expect("data is a list") {
                ends.insert(id(link).to_owned(), text(&link["status"]));
            }
            let Some(next) = list["next_cursor"].as_str() else {
                break;
            };
            from = format!("&cursor={next}");
        }
        ends
    }

    /// Who was told that a dead link was paid, since the last look.
    async fn hears(&mut self) {
        loop {
            let from = self.read_to.as_ref().map(|to| format!("&after={to}"));
            let path = format!(
                "/v1/events?type=link.paid_after_disable&limit=100{}",
                from.unwrap_or_default()
            );
            let list = patient::get(&self.agent, &path).await;
            let events = list["data"].as_array().expect("data is a list");
            self.told_late
                .extend(events.iter().map(|event| text(&event["link"])));
            self.read_to = list["next_cursor"].as_str().map(str::to_owned);
            if events.is_empty() {
                return;
            }
        }
    }
}

fn by_id<T>(list: &[Value], name: &str, what: impl Fn(&Value) -> T) -> HashMap<String, T> {
    let pairs = list.iter().map(|one| (text(&one[name]), what(one)));
    pairs.collect()
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
        let lead = tie.lead.load(Ordering::Relaxed) / 1_000;
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

#[test]
fn each_law_can_be_broken() {
    let seen = |answered, said: &str, ended: &str, session: &str, taken, told_late| Seen {
        answered,
        said: said.to_owned(),
        ended: ended.to_owned(),
        session: session.to_owned(),
        taken,
        told_late,
    };
    assert!(wrong(&seen(200, "disabled", "disabled", "DISABLED", false, false)).is_empty());
    assert!(
        wrong(&seen(
            202,
            "disabling",
            "completed",
            "COMPLETED",
            true,
            false
        ))
        .is_empty()
    );
    assert!(wrong(&seen(200, "disabled", "completed", "COMPLETED", true, true)).is_empty());
    for broken in [
        seen(200, "disabled", "disabled", "COMPLETED", true, false),
        seen(200, "disabled", "completed", "COMPLETED", true, false),
        seen(200, "disabled", "completed", "DISABLED", false, true),
        seen(
            409,
            "already_completed",
            "disabled",
            "DISABLED",
            false,
            false,
        ),
        seen(202, "disabling", "disabling", "DISABLED", false, false),
        seen(500, "", "disabled", "DISABLED", false, false),
        seen(200, "disabled", "disabled", "DISABLED", false, true),
    ] {
        assert!(!wrong(&broken).is_empty(), "{broken:?}");
    }
}

#[test]
fn the_tie_is_found_wherever_it_is() {
    for behind in [-200_000, 0, 40_000, 900_000] {
        let (tie, mut rng) = (Tie::default(), super::rng("the tie"));
        let mut bought = 0;
        for round in 0..1_000 {
            let start = Start::drawn(round, &mut rng);
            let buyer_won = tie.lead(&start) < behind;
            bought += u32::from(buyer_won);
            // a disable that loses takes longer
            tie.learns(
                buyer_won,
                Duration::from_millis(if buyer_won { 1_500 } else { 800 }),
            );
        }
        assert!(
            (400..=600).contains(&bought),
            "{bought} of 1000 with the buyer {behind} µs behind"
        );
    }
}
