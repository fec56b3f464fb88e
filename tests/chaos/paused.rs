//! A worker that is stopped for longer than its lease in the middle of a message: another one takes
//! over by rule R3, and the first one, when it comes to itself, writes nothing over it and sends
//! nothing.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use rand::RngExt;
use serde_json::{Value, json};

use super::fleet::Fleet;
use super::ledgers;
use super::table::Run;
use crate::outside::harness::{Ailment, Reply, WorldPlan, email, eventually, phone, sale, within};

/// So many workers are paused at once: they share the wait for the end of their leases.
const AT_ONCE: u32 = 10;
/// A lease, and what the issue grants on top of it.
const TAKEN_OVER: u64 = 60 + 5;

/// One message that was held in the middle.
struct Held {
    link: String,
    delivery: String,
    to: String,
    /// Whether its bytes had left before the worker was stopped.
    had_left: bool,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn longer_than_its_lease() {
    let Some(plan) = WorldPlan::new().on_postgres() else {
        eprintln!("skipped: PAYLINK_TEST_POSTGRES names no server");
        return;
    };
    let mut run = Run::begin("worker paused longer than its lease", "PostgreSQL", 5, 100);
    let (mut round, mut slowest) = (0, 0.0_f32);
    while round < run.rounds() {
        let together = AT_ONCE.min(run.rounds() - round);
        let took = batch(&mut run, plan.clone(), round, together).await;
        slowest = slowest.max(took);
        round += together;
        run.progress(round - 1);
    }
    run.measured("taken over within", format!("{slowest:.1} s"));
    run.end();
}

async fn batch(run: &mut Run, plan: WorldPlan, first: u32, together: u32) -> f32 {
    let count = usize::try_from(together).expect("few");
    let mut commands = vec!["serve --no-worker"];
    commands.resize(count + 2, "worker");
    let fleet = Fleet::seated(plan, &commands).await;
    let mut held = Vec::new();
    for (seat, round) in (1..=count).zip(first..) {
        let mut rng = run.rng(round);
        fleet.start(seat);
        let mine = messages(&fleet).await;
        tokio::time::sleep(Duration::from_millis(rng.random_range(0..200))).await;
        fleet.signal(seat, "-STOP");
        run.count("workers paused", 1u8);
        run.count("messages held", mine.len());
        held.extend(mine);
    }
    let stopped = Instant::now();
    fleet.start(count + 1);
    for one in &held {
        let left = TAKEN_OVER.saturating_sub(stopped.elapsed().as_secs());
        let unknown = within(left, async || {
            (status(&fleet, one).await == "unknown").then_some(())
        });
        if unknown.await.is_none() {
            let now = status(&fleet, one).await;
            run.violated(format!(
                "{}: {now} {TAKEN_OVER} s after the pause",
                one.delivery
            ));
        }
    }
    let took = stopped.elapsed().as_secs_f32();
    let before = versions(&fleet).await;
    // both sides come to themselves
    fleet.world.sms.lets_go();
    fleet.world.mail.lets_go();
    for seat in 1..=count {
        fleet.signal(seat, "-CONT");
    }
    within(30, async || (fleet.world.mail.open() == 0).then_some(()))
        .await
        .expect("the conversations with the mail server end");
    for seat in 1..=count {
        fleet.stops(seat);
    }
    for one in &held {
        let now = status(&fleet, one).await;
        run.holds(now == "unknown", || {
            format!(
                "{}: the paused worker wrote {now} over unknown",
                one.delivery
            )
        });
        let sms = fleet.world.sms.to(&one.to).len();
        let mails = fleet.world.mail.to(&one.to).len();
        let arrived = sms + mails;
        run.holds(arrived == usize::from(one.had_left), || {
            format!(
                "{}: arrived {arrived} times; it had left: {}",
                one.delivery, one.had_left
            )
        });
        run.count("arrived", arrived);
    }
    let after = versions(&fleet).await;
    for (link, version) in &before {
        run.holds(after.get(link) == Some(version), || {
            format!(
                "{link}: changed from {version} to {:?} by a paused worker",
                after.get(link)
            )
        });
    }
    ledgers::leave(run, &fleet).await;
    fleet.world.drops_database().await;
    took
}

/// Three messages that stand still in the middle: an SMS and a mail that have left, and a mail that
/// has not.
async fn messages(fleet: &Fleet) -> Vec<Held> {
    let (sms, mail) = (&fleet.world.sms, &fleet.world.mail);
    let (phone, sent, unsent) = (phone(), email(), email());
    sms.replies(&phone, &[Reply::Held]);
    mail.ails(&sent, &[Ailment::HeldAfterBody]);
    mail.ails(&unsent, &[Ailment::HeldBeforeBody]);
    let standing = mail.held();
    let mut held = Vec::new();
    for (channel, to, had_left) in [
        ("sms", &phone, true),
        ("email", &sent, true),
        ("email", &unsent, false),
    ] {
        let mut sale = sale();
        sale["send"] = json!([{ "channel": channel, "to": to }]);
        let link = fleet.caller(0).creates(&sale).await;
        held.push(Held {
            link: text(&link["id"]),
            delivery: text(&link["deliveries"][0]["id"]),
            to: to.clone(),
            had_left,
        });
    }
    eventually("all three stand still", async || {
        let both = mail.held() == standing + 2 && !sms.to(&phone).is_empty();
        both.then_some(())
    })
    .await;
    held
}

fn text(value: &Value) -> String {
    value.as_str().expect("a text").to_owned()
}

async fn status(fleet: &Fleet, held: &Held) -> String {
    let link = fleet.caller(0).link(&held.link).await;
    let deliveries = link["deliveries"].as_array().expect("a list");
    let mine = deliveries
        .iter()
        .find(|it| it["id"] == held.delivery.as_str());
    text(&mine.expect("the delivery is there")["status"])
}

/// Every link with its version and its last event.
async fn versions(fleet: &Fleet) -> HashMap<String, u64> {
    let page = fleet.caller(0).get("/v1/links?limit=100").await;
    let page = page.expect(200).json();
    let links = page["data"].as_array().expect("a list");
    links
        .iter()
        .map(|link| (text(&link["id"]), link["version"].as_u64().unwrap_or(0)))
        .collect()
}
