//! `kill -9` at a random moment, with twenty requests in flight.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rand::RngExt;

use super::crowd::Crowd;
use super::fleet::Fleet;
use super::table::Run;
use super::{cluster::Cluster, ledgers, rng};
use crate::outside::harness::WorldPlan;

const CLIENTS: u32 = 20;
/// The kill comes within this time after the clients have begun.
const LATEST_MS: u64 = 400;

fn started(run: &mut Run, mut starts: Vec<Duration>) {
    starts.sort();
    let ms = |it: Option<&Duration>| it.map_or(0, Duration::as_millis);
    run.measured(
        "listening again after",
        format!(
            "{} ms (median), {} ms (worst)",
            ms(starts.get(starts.len() / 2)),
            ms(starts.last())
        ),
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn on_sqlite() {
    let mut run = Run::begin("kill -9 under 20 requests", "SQLite", 50, 1_000);
    let fleet = Arc::new(Fleet::of(WorldPlan::new(), 1).await);
    let crowd = Crowd::of(Arc::clone(&fleet));
    for round in 0..run.rounds() {
        let mut rng = run.rng(round);
        let stop = Arc::new(AtomicBool::new(false));
        let clients = crowd.rush(&mut rng, CLIENTS, &stop);
        tokio::time::sleep(Duration::from_millis(rng.random_range(0..LATEST_MS))).await;
        fleet.kill(0);
        fleet.start(0);
        stop.store(true, Ordering::Relaxed);
        clients.join_all().await;
        run.count("kills", 1u8);
        run.progress(round);
    }
    started(&mut run, fleet.starts());
    ends(run, &crowd).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn on_postgres() {
    let Some(mut cluster) = Cluster::start().await else {
        return;
    };
    let mut run = Run::begin(
        "kill -9 under 20 requests",
        "PostgreSQL, 3 replicas",
        30,
        500,
    );
    let fleet = Fleet::of(WorldPlan::new().on_server(&cluster.url()), 3).await;
    let fleet = Arc::new(fleet);
    let crowd = Crowd::of(Arc::clone(&fleet));
    for round in 0..run.rounds() {
        let mut rng = run.rng(round);
        let stop = Arc::new(AtomicBool::new(false));
        let clients = crowd.rush(&mut rng, CLIENTS, &stop);
        tokio::time::sleep(Duration::from_millis(rng.random_range(0..LATEST_MS))).await;
        if round % 10 == 4 {
            cluster.kill();
            cluster.restart().await;
            run.count("kills of the database", 1u8);
        } else {
            let seat = rng.random_range(0..fleet.size());
            fleet.kill(seat);
            fleet.start(seat);
            run.count("kills", 1u8);
        }
        stop.store(true, Ordering::Relaxed);
        clients.join_all().await;
        for seat in 0..fleet.size() {
            run.holds(fleet.is_alive(seat), || {
                format!("round {round}: process {seat} ended by itself")
            });
        }
        run.progress(round);
    }
    started(&mut run, fleet.starts());
    ends(run, &crowd).await;
}

/// All is healed: what was cut is repeated, what is under way ends, and the ledgers are compared.
pub async fn ends(mut run: Run, crowd: &Crowd) {
    let (fleet, ledger) = (&crowd.fleet, &crowd.ledger);
    let mut chance = rng("the end");
    let unanswered = ledger.with(|book| book.unanswered().len());
    run.count("left for later", unanswered);
    crowd.repeats(&mut chance, Duration::from_secs(70)).await;
    ledgers::settle(&mut run, fleet, ledger).await;
    ledgers::compare(&mut run, fleet, ledger).await;
    ledgers::leave(&mut run, fleet).await;
    fleet.world.drops_database().await;
    run.end();
}
