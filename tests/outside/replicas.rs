//! Several processes on one PostgreSQL: two that only serve and, later, one that works.

use serde_json::json;

use super::harness::world::id;
use super::harness::{Story, World, WorldPlan, email, eventually, sale, told};
use super::watching::Stream;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replicas_on_postgres() {
    let Some(plan) = WorldPlan::new().without_worker().on_postgres() else {
        eprintln!("skipped: PAYLINK_TEST_POSTGRES names no server");
        return;
    };
    let story: Story = |world| Box::pin(two_serve_and_one_works(world));
    let clock: Story = |world| Box::pin(a_clock_that_is_wrong_is_told(world));
    let stories = vec![
        ("two_serve_and_one_works", story),
        ("a_clock_that_is_wrong_is_told", clock),
    ];
    told(plan, stories).await;
}

/// The same behind a pooler: in transaction mode no notification comes through, and sessions are shared.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replicas_behind_a_pooler() {
    let Ok(pooler) = std::env::var("PAYLINK_TEST_POOLER") else {
        eprintln!("skipped: PAYLINK_TEST_POOLER names no server");
        return;
    };
    let plan = WorldPlan::new().without_worker().on_server(&pooler);
    let story: Story = |world| Box::pin(two_serve_and_one_works(world));
    told(plan, vec![("two_serve_and_one_works", story)]).await;
}

async fn two_serve_and_one_works(w: &World) {
    let (b, at_b) = w.beside(&["serve", "--no-worker"]);
    let agent_at_a = w.agent();
    let agent_at_b = World::at(&at_b, w.agent());

    // what A commits B tells, on its stream and when it is asked
    let mut stream = Stream::of(&World::at(&at_b, w.integrator()), None).await;
    let to = email();
    let mut sold = sale();
    sold["send"] = json!([{"channel": "email", "to": to}]);
    let link = agent_at_a.creates(&sold).await;
    assert_eq!(link["status"], "open");
    loop {
        let (_, event, data) = stream.next().await;
        if event == "link.payable" && data.contains(id(&link)) {
            break;
        }
    }
    assert_eq!(agent_at_b.link(id(&link)).await["status"], "open");
    drop(stream);

    // a process that only serves sends nothing; one that works takes up what A promised
    let delivery = &link["deliveries"][0];
    assert_eq!(delivery["status"], "queued");
    let again = agent_at_b.link(id(&link)).await;
    assert_eq!(again["deliveries"][0]["status"], "queued", "{again:#}");
    assert!(w.mail.to(&to).is_empty());
    let (worker, _) = w.beside(&["worker"]);
    let sent = agent_at_b.until_delivery(id(&link), id(delivery), "sent", 20);
    sent.await;
    assert_eq!(w.mail.to(&to).len(), 1);

    // a circuit that A opened is open at B
    w.klarna.breaks("create_order", "status:401", 1).await;
    let refused = agent_at_a.sends(&sale()).await;
    refused.problem(503, "klarna_unavailable");
    let open = "paylink_klarna_circuit_open{circuit=\"access\"} 1";
    let stranger = World::at(&at_b, w.stranger());
    eventually("B hears of the open circuit", async || {
        let metrics = stranger.get("/metrics").await.expect(200).text();
        metrics.contains(open).then_some(())
    })
    .await;
    let calls = w.klarna.calls_of("create_order", "").await.len();
    let waiting = agent_at_b.sends(&sale()).await.expect(202).json();
    assert_eq!(waiting["status"], "creating");
    assert_eq!(w.klarna.calls_of("create_order", "").await.len(), calls);

    let limit = std::time::Duration::from_secs(25);
    for process in [worker, b] {
        let ended = process.terminate(limit);
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        assert!(!ended.stderr.contains("panicked"), "{}", ended.stderr);
    }
}

/// Leases and links' ends go by the database's clock: whose own differs is told so at once.
async fn a_clock_that_is_wrong_is_told(w: &World) {
    let hand = w.path("hand");
    for (shift, way) in [(3_600, "ahead of"), (-3_600, "behind")] {
        std::fs::write(&hand, shift.to_string()).expect("the clock is set");
        let settings = [("PAYLINK_CHAOS_CLOCK", hand.display().to_string())];
        let (process, _) = w.beside_with(&["serve", "--no-worker"], &settings);
        eventually("it says so", async || {
            let said = process.stderr();
            let alert = said.lines().find(|it| it.contains("clock_aside"))?;
            alert.contains(way).then_some(())
        })
        .await;
        let ended = process.terminate(std::time::Duration::from_secs(25));
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    }
}
