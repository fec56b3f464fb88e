//! Idempotency storm: fifty requests with one key at the same moment, over all replicas.

use std::collections::HashMap;
use std::sync::Arc;

use rand::RngExt;
use serde_json::Value;
use tokio::sync::Barrier;
use tokio::task::JoinSet;

use super::cluster::Cluster;
use super::fleet::Fleet;
use super::ledgers;
use super::table::Run;
use crate::outside::harness::{WorldPlan, reference, sale_of};

const PARALLEL: usize = 50;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn over_one_process() {
    let run = Run::begin("idempotency storm", "SQLite", 100, 1_000);
    storm(run, Fleet::of(WorldPlan::new(), 1).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn over_three_replicas() {
    let Some(cluster) = Cluster::start().await else {
        return;
    };
    let run = Run::begin("idempotency storm", "PostgreSQL, 3 replicas", 100, 1_000);
    let plan = WorldPlan::new().on_server(&cluster.url());
    storm(run, Fleet::of(plan, 3).await).await;
}

async fn storm(mut run: Run, fleet: Fleet) {
    let forgets_keys = std::env::var_os("PAYLINK_CHAOS_FORGET_KEYS").is_some();
    let mut links: HashMap<String, String> = HashMap::new();
    for round in 0..run.rounds() {
        let mut rng = run.rng(round);
        let reference = reference();
        let sale = sale_of(&reference);
        let gate = Arc::new(Barrier::new(PARALLEL));
        let mut set = JoinSet::new();
        for number in 0..PARALLEL {
            let caller = fleet.caller(rng.random_range(0..fleet.size()));
            let mut key = format!("storm-{reference}");
            if forgets_keys {
                key.push_str(&number.to_string());
            }
            let call = caller.sends(&sale).idempotent(&key).revealing();
            let gate = Arc::clone(&gate);
            set.spawn(async move {
                gate.wait().await;
                call.await
            });
        }
        let mut first = None;
        for answer in set.join_all().await {
            let said: Value = answer.json();
            match answer.status {
                201 | 202 => {
                    let id = said["id"].as_str().unwrap_or_default().to_owned();
                    let known = first.get_or_insert_with(|| id.clone());
                    run.holds(*known == id, || {
                        format!("{reference}: one key, two links: {known} and {id}")
                    });
                    run.count("acknowledged", 1u8);
                    if answer.header("idempotent-replayed").is_some() {
                        run.count("replayed", 1u8);
                    }
                }
                409 if said["code"] == "idempotency_in_progress" => run.count("in progress", 1u8),
                status => run.violated(format!("{reference}: {status} {said}")),
            }
        }
        // whoever is left comes back later
        let caller = fleet.caller(rng.random_range(0..fleet.size()));
        let later = caller
            .sends(&sale)
            .idempotent(&format!("storm-{reference}"));
        let later = later.revealing().await;
        let again = later.json()["id"].as_str().unwrap_or_default().to_owned();
        let is_replay = later.header("idempotent-replayed") == Some("true");
        run.holds(is_replay && first.as_ref() == Some(&again), || {
            format!("{reference}: was {first:?}, a repeat says {}", later.text())
        });
        links.insert(reference, again);
        run.progress(round);
    }
    pairs(&mut run, &fleet, &links).await;
    ledgers::leave(&mut run, &fleet).await;
    fleet.world.drops_database().await;
    run.end();
}

/// One link for each key, and one pair at Klarna for each link.
async fn pairs(run: &mut Run, fleet: &Fleet, links: &HashMap<String, String>) {
    let stored = fleet.number("SELECT count(*) AS n FROM link").await;
    run.holds(
        usize::try_from(stored).is_ok_and(|it| it == links.len()),
        || format!("{stored} links for {} keys", links.len()),
    );
    let mut orders: HashMap<String, u32> = HashMap::new();
    for order in fleet.world.klarna.orders().await {
        let link = order["merchant_reference2"].as_str().unwrap_or_default();
        *orders.entry(link.to_owned()).or_default() += 1;
    }
    for (reference, link) in links {
        let pairs = orders.remove(link).unwrap_or(0);
        run.holds(pairs == 1, || {
            format!("{reference}: {pairs} orders at Klarna for {link}")
        });
    }
    run.holds(orders.is_empty(), || {
        format!("orders at Klarna for no key: {orders:?}")
    });
    let sessions = fleet.world.klarna.sessions().await.len();
    run.holds(sessions == links.len(), || {
        format!("{sessions} sessions at Klarna for {} keys", links.len())
    });
    run.count("pairs at Klarna", sessions);
}
