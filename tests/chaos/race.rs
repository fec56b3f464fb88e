//! Disable against pay: the buyer pays while the agent disables, one after the other by 1 µs to 1 s.
//! Klarna's session says who was first; our link must say the same, and so must every answer.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use rand::RngExt;
use tokio::time::sleep;

use super::patient::{self, within};
use super::table::Run;
use crate::outside::harness::http::Caller;
use crate::outside::harness::simulator::Klarna;
use crate::outside::harness::world::id;
use crate::outside::harness::{World, WorldPlan, sale};

/// Races at once.
const ABREAST: usize = 64;

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

/// Sleeps exactly; the runtime's timer has a grain of a millisecond.
async fn waits(offset: Duration) {
    let until = Instant::now() + offset;
    if offset > Duration::from_millis(3) {
        sleep(offset.saturating_sub(Duration::from_millis(2))).await;
    }
    while Instant::now() < until {
        tokio::task::yield_now().await;
    }
}

async fn race(agent: Caller, klarna: Klarna, offset: Duration, buyer_leads: bool) -> Seen {
    let link = patient::open(&agent, &sale()).await;
    let (name, session) = (id(&link), &link["klarna"]["session_id"]);
    let (buyer, seller) = if buyer_leads {
        (Duration::ZERO, offset)
    } else {
        (offset, Duration::ZERO)
    };
    let pays = async {
        waits(buyer).await;
        klarna.try_act(&link, "pay").await
    };
    let disables = async {
        waits(seller).await;
        patient::answered(|| agent.disables(name)).await
    };
    let (_, answer) = tokio::join!(pays, disables);
    let body = answer.json();
    let said = body["code"].as_str().or(body["status"].as_str());
    let ended = within(40, async || {
        let now = patient::link(&agent, name).await;
        let last = now["status"].as_str().unwrap_or_default().to_owned();
        // an order that Klarna took must come to light, also where the link was closed before
        let truth = klarna.one_session(session).await["status"].clone();
        let agrees = (truth == "COMPLETED") == (last == "completed");
        (agrees && ["completed", "disabled"].contains(&last.as_str())).then_some(last)
    });
    let ended = match ended.await {
        Some(ended) => ended,
        None => patient::link(&agent, name).await["status"].to_string(),
    };
    let order = klarna.one_order(&link["klarna"]["order_id"]).await;
    let timeline = patient::timeline(&agent, name).await;
    Seen {
        answered: answer.status,
        said: said.unwrap_or_default().to_owned(),
        ended,
        session: klarna.one_session(session).await["status"]
            .as_str()
            .unwrap_or_default()
            .to_owned(),
        taken: order["om"].is_object(),
        told_late: timeline
            .iter()
            .any(|event| event["type"] == "link.paid_after_disable"),
    }
}

async fn races(plan: WorldPlan, database: &str) {
    let mut run = Run::begin("disable against pay", database, 1_000, 50_000);
    let world = plan.without_channels().start().await;
    let agent = Arc::new(world.admin());
    let all = futures_util::stream::iter(0..run.rounds()).map(|round| {
        let mut rng = run.rng(round);
        // log-uniform from 1 µs to 1 s
        let offset = Duration::from_secs_f64(10_f64.powf(rng.random_range(-6.0..0.0)));
        let leads = rng.random_bool(0.5);
        let (agent, klarna) = (agent.as_ref().clone(), world.klarna.clone());
        async move {
            let quiet = Caller {
                seen: Arc::default(),
                ..agent
            };
            (
                round,
                offset,
                leads,
                race(quiet, klarna, offset, leads).await,
            )
        }
    });
    let mut seen = Vec::new();
    let mut all = all.buffer_unordered(ABREAST);
    while let Some(one) = all.next().await {
        seen.push(one);
    }
    drop(all);
    for (round, offset, leads, seen) in seen {
        let who = if leads { "buyer" } else { "agent" };
        for what in wrong(&seen) {
            run.violated(format!(
                "round {round}, {who} leads by {offset:?}: {what}: {seen:?}"
            ));
        }
        run.count(&seen.ended, 1_u32);
        run.count(&format!("answered {}", seen.answered), 1_u32);
        run.count("told late", u32::from(seen.told_late));
    }
    ends(world).await;
    run.end();
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
