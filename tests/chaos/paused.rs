//! A worker that is stopped for longer than its lease in the middle of a message: another one takes
//! over by rule R3, and the first one, when it comes to itself, writes nothing over it and sends
//! nothing.

use std::collections::HashMap;
use std::time::Duration;

use rand::RngExt;
use serde_json::{Value, json};
use tokio::task::block_in_place;
use tokio::time::{Instant, sleep, timeout_at};

use super::fleet::{Fleet, tail};
use super::ledgers;
use super::lives::{LONG, Place};
use super::table::Run;
use crate::outside::harness::{Ailment, Reply, WorldPlan, email, eventually, phone, sale, within};

/// So many workers are paused at once: they share the wait for the end of their leases. As many as
/// can be brought into the middle of a message, one after the other, before the first lease ends.
const AT_ONCE: u32 = 5;
/// A worker stops its work 3 s before its lease ends, so it may miss two of its beats, 4 s apart,
/// on a busy machine.
const LEASE: Duration = Duration::from_secs(12);
/// What the issue grants on top of a lease, until the work goes on.
const RESUMED: Duration = Duration::from_secs(5);

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
    let plan = plan.with("PAYLINK_CHAOS_LEASE_MS", &LEASE.as_millis().to_string());
    let mut run = Run::begin("worker paused longer than its lease", "PostgreSQL", 5, 100);
    let (mut round, mut slowest) = (0, Duration::ZERO);
    while round < run.rounds() {
        let together = AT_ONCE.min(run.rounds() - round);
        let took = batch(&mut run, plan.clone(), round, together).await;
        slowest = slowest.max(took);
        round += together;
        run.progress(round - 1);
    }
    run.measured("lease", format!("{} s", LEASE.as_secs()));
    run.measured(
        "taken over at the latest after",
        format!("{:.1} s", slowest.as_secs_f32()),
    );
    run.end();
}

/// Answers after which time the last message was taken over from its paused worker.
async fn batch(run: &mut Run, plan: WorldPlan, first: u32, together: u32) -> Duration {
    let count = usize::try_from(together).expect("few");
    let mut commands = vec!["serve --no-worker"];
    commands.resize(count + 2, "worker");
    let fleet = Fleet::seated(plan, &commands).await;
    let mut held = Vec::new();
    for (seat, round) in (1..=count).zip(first..) {
        let mut rng = run.rng(round);
        fleet.start(seat);
        let mine = messages(&fleet).await;
        sleep(Duration::from_millis(rng.random_range(0..200))).await;
        fleet.signal(seat, "-STOP");
        run.count("workers paused", 1u8);
        run.count("messages held", mine.len());
        let stopped = Instant::now();
        held.extend(mine.into_iter().map(|one| (stopped, one)));
    }
    fleet.start(count + 1);
    let successor = Instant::now();
    let last = held.last().expect("one worker at least").0;
    let mut slowest = Duration::ZERO;
    for (stopped, one) in &held {
        // where bringing all to a stand took longer than a lease, a worker that was paused later may
        // have claimed the job in between
        let leased = if last < *stopped + LEASE {
            *stopped
        } else {
            last
        };
        let deadline = successor.max(leased + LEASE) + RESUMED;
        let unknown = timeout_at(deadline, async {
            while status(&fleet, one).await != "unknown" {
                sleep(Duration::from_millis(100)).await;
            }
        });
        if unknown.await.is_err() {
            let (now, after) = (status(&fleet, one).await, stopped.elapsed());
            run.violated(format!("{}: {now} {after:?} after the pause", one.delivery));
        }
        slowest = slowest.max(stopped.elapsed());
    }
    let before = told(&fleet).await;
    run.holds(before.len() == held.len(), || {
        format!("{} links for {} messages", before.len(), held.len())
    });
    // both sides come to themselves
    fleet.world.sms.lets_go();
    fleet.world.mail.lets_go();
    for seat in 1..=count {
        fleet.signal(seat, "-CONT");
    }
    // each ends when it has done, or dropped, what it was about
    for seat in 1..=count {
        fleet.stops(seat);
    }
    within(30, async || (fleet.world.mail.open() == 0).then_some(()))
        .await
        .expect("the conversations with the mail server end with the workers");
    for (_, one) in &held {
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
    let after = told(&fleet).await;
    for (link, told) in &before {
        run.holds(after.get(link) == Some(told), || {
            format!(
                "{link}: a paused worker made of {told} {:?}",
                after.get(link)
            )
        });
    }
    ledgers::leave(run, &fleet).await;
    fleet.world.drops_database().await;
    slowest
}

/// Where a process holds a lock that everybody else needs: the link's row, and the relay's.
const HOLDING: [&str; 2] = ["deliver.decided", "relay.stamped"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_the_middle_of_a_transaction() {
    let Some(plan) = WorldPlan::new().on_postgres() else {
        eprintln!("skipped: PAYLINK_TEST_POSTGRES names no server");
        return;
    };
    let plan = plan.with("PAYLINK_CHAOS_LEASE_MS", &LEASE.as_millis().to_string());
    let mut run = Run::begin("worker paused in a transaction", "PostgreSQL", 1, 10);
    for round in 0..run.rounds() {
        for point in HOLDING {
            stands_in_a_transaction(&mut run, plan.clone(), point).await;
        }
        run.progress(round);
    }
    run.end();
}

async fn stands_in_a_transaction(run: &mut Run, plan: WorldPlan, point: &str) {
    let place = Place::of(plan).await;
    let to = phone();
    let mut sale = sale();
    sale["send"] = json!([{ "channel": "sms", "to": to }]);
    place.starts(&[("PAYLINK_PAUSE_AT", point)]);
    // nobody answers while the process stands
    drop(tokio::spawn(place.admin.sends(&sale).attempt()));
    eventually("it stands", async || place.is_stopped().then_some(())).await;
    let stopped = Instant::now();
    let other = place.started(&["worker"], &[]);
    let left = "SELECT (SELECT count(*) FROM event WHERE position IS NULL) \
                + (SELECT 1 - count(*) FROM delivery WHERE status = 'sent') AS it";
    let resumed = timeout_at(stopped + LEASE + RESUMED, async {
        while place.number(left).await > 0 {
            sleep(Duration::from_millis(100)).await;
        }
    });
    let resumed = resumed.await;
    let took = stopped.elapsed();
    run.holds(resumed.is_ok(), || {
        format!("{point}: nothing goes on {took:?} after the pause")
    });
    run.measured(&format!("after {point} resumed in"), format!("{took:.1?}"));
    place.signal("-CONT");
    for ended in [
        place.stops(),
        Some(block_in_place(|| other.terminate(LONG))),
    ] {
        let ended = ended.expect("the process runs");
        run.holds(
            ended.code == Some(0) && !ended.stderr.contains("panicked"),
            || format!("{point}: {:?} {}", ended.code, tail(&ended.stderr)),
        );
    }
    let arrived = place.world.sms.to(&to).len();
    run.holds(arrived == 1, || format!("{point}: arrived {arrived} times"));
    let outcomes = "SELECT count(*) AS it FROM event WHERE kind LIKE 'delivery.%' \
                    AND kind <> 'delivery.queued'";
    let outcomes = place.number(outcomes).await;
    run.holds(outcomes == 1, || format!("{point}: {outcomes} outcomes"));
    run.count("transactions cut", 1u8);
    place.ends().await;
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

/// What the service tells of every link: its state, its deliveries, its events. (Its version also
/// counts a first look at Klarna that found nothing new, and the successor may look at any time.)
async fn told(fleet: &Fleet) -> HashMap<String, Value> {
    let mut told = HashMap::new();
    let page = fleet.caller(0).get("/v1/links?limit=100").await;
    for link in page.expect(200).json()["data"].as_array().expect("a list") {
        let id = text(&link["id"]);
        let events = fleet.caller(0).get(&format!("/v1/links/{id}/events")).await;
        let events = events.expect(200).json();
        told.insert(
            id,
            json!([link["status"], link["deliveries"], events["data"]]),
        );
    }
    told
}
