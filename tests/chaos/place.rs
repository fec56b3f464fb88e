//! The place where the service lives: its disk is full, somebody holds its database, its clock is
//! wrong. It says "not stored, try again", does nothing by halves, and heals by itself.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use diesel::connection::SimpleConnection;
use serde_json::{Value, json};
use tokio::time::sleep;

use super::fleet::{integrity, lite};
use super::patient::within;
use super::table::Run;
use crate::outside::harness::http::{Answer, Caller};
use crate::outside::harness::world::id;
use crate::outside::harness::{Reply, World, WorldPlan, phone, reference, sale_of};

/// How long somebody holds the database.
const HELD: Duration = Duration::from_secs(30);

async fn sends(agent: &Caller, reference: &str) -> Result<Answer, reqwest::Error> {
    let call = agent.sends(&sale_of(reference)).idempotent(reference);
    call.attempt().await
}

/// A refusal that promises nothing: 503, when to come again, and Klarna was not asked.
async fn is_refused(run: &mut Run, world: &World, reference: &str, answer: &Answer) {
    run.count("refused", 1_u32);
    run.holds(
        answer.status == 503 && answer.header("retry-after").is_some(),
        || format!("{reference}: {} {}", answer.status, answer.text()),
    );
    if answer.status == 503 {
        let code = answer.json()["code"].clone();
        let known = ["storage_unavailable", "overloaded"].contains(&code.as_str().unwrap_or(""));
        run.holds(known, || format!("{reference}: 503 {code}"));
    }
    let asked = world.klarna.orders_for(&json!(reference)).await.len();
    run.holds(asked == 0, || {
        format!("{reference} was refused, and Klarna was asked {asked} times")
    });
}

/// An SMS that the gateway has and has not answered yet.
async fn message_under_way(world: &World, agent: &Caller) -> (Value, String, String) {
    let made = agent.sends(&sale_of(&reference())).await.expect(201);
    let (link, to) = (made.json(), phone());
    world.sms.replies(&to, &[Reply::Held]);
    let path = format!("/v1/links/{}/deliveries", id(&link));
    let body = json!({"channel": "sms", "to": to});
    let delivery = agent.post(&path, &body).await.expect(201).json();
    let arrived = within(20, async || (world.sms.to(&to).len() == 1).then_some(()));
    arrived.await.expect("the gateway has the message");
    (link, id(&delivery).to_owned(), to)
}

/// The message of [`message_under_way`] came to an end that is true.
async fn message_ends(run: &mut Run, world: &World, agent: &Caller, of: &(Value, String, String)) {
    let (link, delivery, to) = of;
    let mut last = String::new();
    within(60, async || {
        let path = format!("/v1/links/{}/deliveries", id(link));
        let page = agent.get(&path).await.expect(200).json();
        let all = page["data"].as_array().expect("a list").clone();
        let mine = all
            .iter()
            .find(|one| one["id"] == *delivery)
            .expect("it is listed");
        mine["status"]
            .as_str()
            .unwrap_or_default()
            .clone_into(&mut last);
        ["sent", "unknown"].contains(&last.as_str()).then_some(())
    })
    .await;
    run.holds(["sent", "unknown"].contains(&last.as_str()), || {
        format!("a message that was leaving meanwhile is {last} a minute later")
    });
    let times = world.sms.to(to).len();
    run.holds(times == 1, || format!("an SMS left {times} times"));
    run.measured("a message under way became", last);
}

/// What was acknowledged is there, what was refused can be repeated under its key, once.
async fn heals(run: &mut Run, world: &World, agent: &Caller, refused: &[String]) {
    let begun = Instant::now();
    for reference in refused {
        let made = within(30, async || {
            let answer = sends(agent, reference).await.ok()?;
            [201, 202].contains(&answer.status).then_some(answer)
        });
        let Some(made) = made.await else {
            run.violated(format!("{reference} is refused long after"));
            continue;
        };
        let link = agent.until_within(id(&made.json()), "open", 60).await;
        let orders = world.klarna.orders_for(&json!(reference)).await.len();
        run.holds(orders == 1, || format!("{orders} orders of {}", id(&link)));
    }
    run.measured(
        "healed in",
        format!("{:.1} s", begun.elapsed().as_secs_f32()),
    );
    // the background works too
    let (link, to) = (
        agent.sends(&sale_of(&reference())).await.expect(201).json(),
        phone(),
    );
    let path = format!("/v1/links/{}/deliveries", id(&link));
    let body = json!({"channel": "sms", "to": to});
    let delivery = agent.post(&path, &body).await.expect(201).json();
    agent
        .until_delivery(id(&link), id(&delivery), "sent", 30)
        .await;
    world.klarna.buyer(&link, "pay").await;
    agent.until_within(id(&link), "completed", 30).await;
}

async fn ends(run: &mut Run, world: &World) {
    let stderr = world.stderr();
    run.holds(!stderr.contains("panicked"), || {
        let at = stderr.find("panicked").unwrap_or_default();
        format!("a panic: {}", &stderr[at..(at + 300).min(stderr.len())])
    });
    world.drops_database().await;
}

async fn while_held(run: &mut Run, world: &World, agent: &Caller) -> Vec<String> {
    let begun = Instant::now();
    let mut refused = vec![];
    let (mut slowest, mut reads) = (Duration::ZERO, 0_u32);
    while begun.elapsed() < HELD.saturating_sub(Duration::from_secs(8)) {
        let names: Vec<_> = (0..4).map(|_| reference()).collect();
        let answers = names.iter().map(|name| sends(agent, name));
        for (name, answer) in names
            .iter()
            .zip(futures_util::future::join_all(answers).await)
        {
            match answer {
                Ok(answer) => {
                    slowest = slowest.max(answer.took);
                    is_refused(run, world, name, &answer).await;
                }
                Err(fault) => run.violated(format!("{name}: no answer: {fault:?}")),
            }
            refused.push(name.clone());
        }
        let alive = world.stranger().get("/healthz").await;
        run.holds(alive.status == 200, || format!("healthz {}", alive.status));
        reads += 1;
        sleep(Duration::from_secs(1)).await;
    }
    run.count("rounds of four meanwhile", reads);
    run.measured("slowest refusal", format!("{:.1} s", slowest.as_secs_f32()));
    run.holds(slowest < Duration::from_secs(15), || {
        format!("a refusal took {slowest:?}")
    });
    sleep(HELD.saturating_sub(begun.elapsed())).await;
    refused
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn somebody_holds_sqlite() {
    let mut run = Run::begin("database locked 30 s", "SQLite", 1, 1);
    let world = WorldPlan::new().on_sqlite().start().await;
    let agent = world.admin();
    let leaving = message_under_way(&world, &agent).await;
    let mut holder = lite(&world.path("paylink.db"));
    holder.batch_execute("BEGIN IMMEDIATE").expect("the lock");
    world.sms.lets_go();
    let refused = while_held(&mut run, &world, &agent).await;
    // who only reads is not in the way of who writes
    let seen = agent.get(&format!("/v1/links/{}", id(&leaving.0))).await;
    run.holds(seen.status == 200, || {
        format!("a read answered {}", seen.status)
    });
    holder
        .batch_execute("ROLLBACK")
        .expect("the lock is let go");
    drop(holder);
    heals(&mut run, &world, &agent, &refused).await;
    message_ends(&mut run, &world, &agent, &leaving).await;
    ends(&mut run, &world).await;
    run.end();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn somebody_holds_postgres() {
    let Some(plan) = WorldPlan::new().on_postgres() else {
        eprintln!("skipped: PAYLINK_TEST_POSTGRES names no server");
        return;
    };
    let mut run = Run::begin("database locked 30 s", "PostgreSQL", 1, 1);
    let world = plan.start().await;
    let agent = world.admin();
    let leaving = message_under_way(&world, &agent).await;
    let url = world.env.iter().find(|(name, _)| name == "DATABASE_URL");
    let (session, connection) =
        tokio_postgres::connect(&url.expect("a database").1, tokio_postgres::NoTls)
            .await
            .expect("PostgreSQL");
    let carried = tokio::spawn(connection);
    let lock = "BEGIN; LOCK TABLE link, job, delivery IN EXCLUSIVE MODE";
    session.batch_execute(lock).await.expect("the lock");
    world.sms.lets_go();
    let refused = while_held(&mut run, &world, &agent).await;
    session
        .batch_execute("ROLLBACK")
        .await
        .expect("the lock is let go");
    drop(session);
    let _ = carried.await;
    heals(&mut run, &world, &agent, &refused).await;
    message_ends(&mut run, &world, &agent, &leaving).await;
    ends(&mut run, &world).await;
    run.end();
}

/// A file system of a few megabytes, gone with its handle.
struct SmallDisk(PathBuf);

impl SmallDisk {
    /// `None`: this account may not mount.
    fn mounted() -> Option<Self> {
        let dir = std::env::temp_dir().join(format!("paylink_disk_{}", std::process::id()));
        std::fs::create_dir_all(&dir).expect("a directory for the disk");
        let mut mount = Command::new("mount");
        mount
            .args(["-t", "tmpfs", "-o", "size=6m", "tmpfs"])
            .arg(&dir);
        let is_mounted = mount.output().is_ok_and(|it| it.status.success());
        is_mounted.then_some(Self(dir))
    }

    fn fill(&self) {
        let mut ballast = std::fs::File::create(self.0.join("ballast")).expect("a file");
        // down to the last byte
        for size in [65_536, 4_096, 1] {
            while ballast.write_all(&vec![0; size]).is_ok() {}
        }
    }

    fn empty(&self) {
        std::fs::remove_file(self.0.join("ballast")).expect("the ballast is there");
    }

    fn file(&self) -> PathBuf {
        self.0.join("paylink.db")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
        let _ = std::fs::remove_dir(&self.0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_disk_is_full() {
    let Some(disk) = SmallDisk::mounted() else {
        eprintln!("skipped: a small disk can only be mounted by root");
        return;
    };
    let mut run = Run::begin("disk full", "SQLite", 1, 1);
    let url = format!("sqlite://{}", disk.file().display());
    let world = WorldPlan::new().with("DATABASE_URL", &url).start().await;
    let agent = world.admin();
    let leaving = message_under_way(&world, &agent).await;
    disk.fill();
    world.sms.lets_go();
    let (mut taken, mut refused) = (vec![], vec![]);
    // the log has room of its own for a while
    for _ in 0..400 {
        let name = reference();
        match sends(&agent, &name).await {
            Ok(answer) if [201, 202].contains(&answer.status) => {
                taken.push(id(&answer.json()).to_owned());
            }
            Ok(answer) => {
                is_refused(&mut run, &world, &name, &answer).await;
                refused.push(name);
            }
            Err(fault) => run.violated(format!("{name}: no answer: {fault:?}")),
        }
        if refused.len() == 10 {
            break;
        }
    }
    run.count("acknowledged on a full disk", taken.len());
    run.holds(refused.len() == 10, || "the disk never was full".to_owned());
    disk.empty();
    heals(&mut run, &world, &agent, &refused).await;
    for link in &taken {
        // lost links answer 404, which fails here
        agent.until_within(link, "open", 60).await;
    }
    message_ends(&mut run, &world, &agent, &leaving).await;
    ends(&mut run, &world).await;
    world.stops();
    let sound = integrity(&disk.file());
    run.holds(sound == "ok", || format!("integrity_check: {sound}"));
    run.end();
}

/// The hand on the service's clock: seconds that it is wrong by.
fn shifts(file: &Path, seconds: i64) {
    // whole or not at all: it is read at any moment
    let fresh = file.with_extension("new");
    std::fs::write(&fresh, seconds.to_string()).expect("the shift is written");
    std::fs::rename(&fresh, file).expect("the shift is in place");
}

async fn the_clock_leaps(plan: WorldPlan, database: &str) {
    let mut run = Run::begin("clock ±1 h", database, 1, 1);
    let hand =
        std::env::temp_dir().join(format!("paylink_clock_{}_{database}", std::process::id()));
    shifts(&hand, 0);
    let shown = hand.display().to_string();
    let world = plan.with("PAYLINK_CHAOS_CLOCK", &shown).start().await;
    let agent = world.admin();
    for shift in [3_600, -3_600] {
        // links with half an hour left, and a message whose job is leased
        let mut sale = sale_of(&reference());
        sale["expires_in"] = json!("PT30M");
        let ending = agent.sends(&sale).await.expect(201).json();
        let leaving = message_under_way(&world, &agent).await;
        shifts(&hand, shift);
        sleep(Duration::from_secs(3)).await;
        world.sms.lets_go();
        message_ends(&mut run, &world, &agent, &leaving).await;
        // everything new works by the wrong clock
        heals(&mut run, &world, &agent, &[]).await;
        let other = agent.sends(&sale_of(&reference())).await.expect(201).json();
        let closed = agent.disables(id(&other)).await;
        run.holds(closed.status == 200, || {
            format!("a disable answered {}", closed.status)
        });
        sleep(Duration::from_secs(5)).await;
        let now = agent.link(id(&ending)).await;
        run.holds(now["status"] == "open", || {
            format!(
                "a leap by {shift} s made a link {} that had half an hour left",
                now["status"]
            )
        });
        shifts(&hand, 0);
        sleep(Duration::from_secs(1)).await;
        heals(&mut run, &world, &agent, &[]).await;
        run.count("leaps", 1_u32);
    }
    ends(&mut run, &world).await;
    let _ = std::fs::remove_file(&hand);
    run.end();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_clock_leaps_on_sqlite() {
    the_clock_leaps(WorldPlan::new().on_sqlite(), "SQLite").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_clock_leaps_on_postgres() {
    match WorldPlan::new().on_postgres() {
        Some(plan) => the_clock_leaps(plan, "PostgreSQL").await,
        None => eprintln!("skipped: PAYLINK_TEST_POSTGRES names no server"),
    }
}
