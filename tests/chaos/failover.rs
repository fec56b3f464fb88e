//! The primary of PostgreSQL dies under load, and its synchronous standby takes over. What was
//! acknowledged is on both, so nothing of it may be lost.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rand::RngExt;

use super::cluster::Cluster;
use super::crowd::Crowd;
use super::fleet::Fleet;
use super::kills::ends;
use super::table::Run;
use crate::outside::harness::{WorldPlan, within};

const CLIENTS: u32 = 20;

/// A standby that every commit of the primary waits for.
async fn synchronous(primary: &Cluster, port: u16) -> Cluster {
    let standby = primary.standby("standby", port).await;
    if std::env::var_os("PAYLINK_CHAOS_ASYNCHRONOUS").is_none() {
        primary
            .runs(&[
                "ALTER SYSTEM SET synchronous_standby_names = 'standby'",
                "SELECT pg_reload_conf()",
            ])
            .await;
        let state = "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'";
        within(30, async || {
            (primary.asks(state).await == "1").then_some(())
        })
        .await
        .expect("the standby becomes synchronous");
    }
    standby
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn to_a_synchronous_standby() {
    let settings = ["wal_level=replica", "max_wal_senders=10", "hot_standby=on"];
    let Some(mut primary) = Cluster::with(&settings).await else {
        return;
    };
    let mut run = Run::begin("failover under load", "PostgreSQL, 3 replicas", 3, 50);
    let port = crate::outside::harness::world::free_port();
    let mut standby = synchronous(&primary, port).await;
    let url = format!(
        "postgres://paylink@127.0.0.1:{},127.0.0.1:{port}/postgres?sslmode=disable&target_session_attrs=read-write",
        primary.port()
    );
    let fleet = Arc::new(Fleet::of(WorldPlan::new().on_server(&url), 3).await);
    let crowd = Crowd::of(Arc::clone(&fleet));
    let mut longest = Duration::ZERO;
    for round in 0..run.rounds() {
        let mut rng = run.rng(round);
        let stop = Arc::new(AtomicBool::new(false));
        let clients = crowd.rush(&mut rng, CLIENTS, &stop);
        tokio::time::sleep(Duration::from_millis(rng.random_range(500..1_500))).await;
        let before = crowd.ledger.with(|book| book.done);
        primary.kill();
        let killed = Instant::now();
        standby.promote();
        // served again: somebody is answered by the new primary
        let served = within(20, async || {
            let id = crowd.ledger.with(|book| book.links.last().cloned())?;
            let answer = fleet.caller(0).disables(&id).revealing().attempt().await;
            answer.is_ok_and(|it| it.status < 500).then_some(())
        });
        if served.await.is_none() {
            run.violated(format!("round {round}: not served 20 s after the failover"));
        }
        longest = longest.max(killed.elapsed());
        stop.store(true, Ordering::Relaxed);
        clients.join_all().await;
        run.count("acknowledged before a failover", before);
        run.count("failovers", 1u8);
        for seat in 0..fleet.size() {
            run.holds(fleet.is_alive(seat), || {
                format!("round {round}: process {seat} ended by itself")
            });
        }
        // the dead one's place is taken by a new standby of the new primary
        let port = primary.port();
        drop(std::mem::replace(&mut primary, standby));
        standby = synchronous(&primary, port).await;
        run.progress(round);
    }
    run.measured(
        "served again after at most",
        format!("{:.1} s", longest.as_secs_f32()),
    );
    ends(run, &crowd).await;
    drop(standby);
}
