//! Revoking a link, from every state, against a Klarna that doesn't answer and a buyer who is
//! quicker.

use serde_json::{Value, json};

use super::harness::http::Call;
use super::harness::world::id;
use super::harness::{World, WorldPlan, eventually, sale, stories};

stories!(
    disabling,
    WorldPlan::new(),
    [
        an_open_link_is_disabled_at_once,
        a_repeat_changes_nothing,
        delete_is_the_same,
        a_reason_is_kept_and_judged,
        klarna_is_insisted_on,
        an_unanswered_disable_counts_as_done,
        a_paid_link_stays_paid,
        a_payment_that_nobody_saw_yet_is_found,
        the_buyer_and_the_agent_race,
        a_link_that_waits_for_klarna_is_stopped,
        a_link_in_flight_is_caught,
        a_session_that_ended_is_expired,
        closed_links_stay_as_they_are,
        if_match_guards_a_write,
    ]
);

async fn an_open_link_is_disabled_at_once(w: &World) {
    let agent = w.agent();
    let link = agent.creates(&sale()).await;
    let closed = agent.disables(id(&link)).await.expect(200).json();
    assert_eq!(
        (&closed["id"], &closed["status"], &closed["payable"]),
        (&link["id"], &json!("disabled"), &json!(false))
    );
    assert!(closed["version"].as_u64() > link["version"].as_u64());
    assert_eq!(w.klarna.session(&link).await["status"], "DISABLED");
    let order = link["klarna"]["order_id"]
        .as_str()
        .expect("an order")
        .to_owned();
    eventually("the order is aborted behind", async || {
        (!w.klarna.calls_of("abort_order", &order).await.is_empty()).then_some(())
    })
    .await;
    let types: Vec<_> = agent
        .timeline(id(&link))
        .await
        .iter()
        .map(|one| one["type"].clone())
        .collect();
    assert!(types.contains(&json!("link.disabled")), "{types:?}");
    let (status, _) = w.klarna.try_act(&link, "pay").await;
    assert_eq!(status, 409, "the page is dead");
}

async fn a_repeat_changes_nothing(w: &World) {
    let agent = w.agent();
    let link = agent.creates(&sale()).await;
    let first = agent.disables(id(&link)).await.expect(200).json();
    let deletes = w.klarna.calls_of("disable_session", "").await.len();
    let again = agent.disables(id(&link)).await.expect(200).json();
    assert_eq!(
        (&again["version"], &again["status"]),
        (&first["version"], &json!("disabled"))
    );
    assert_eq!(
        w.klarna.calls_of("disable_session", "").await.len(),
        deletes
    );
}

async fn delete_is_the_same(w: &World) {
    let agent = w.agent();
    let link = agent.creates(&sale()).await;
    let closed = agent
        .request(reqwest::Method::DELETE, &format!("/v1/links/{}", id(&link)))
        .await
        .expect(200)
        .json();
    assert_eq!(closed["status"], "disabled");
}

async fn a_reason_is_kept_and_judged(w: &World) {
    let agent = w.agent();
    let link = agent.creates(&sale()).await;
    let path = format!("/v1/links/{}/disable", id(&link));
    for (body, place, code) in [
        (json!({"reason": "boredom"}), "/reason", "invalid_value"),
        (json!({"note": "n".repeat(256)}), "/note", "too_long"),
        (json!({"why": 1}), "/why", "unknown_field"),
    ] {
        assert_eq!(
            agent.post(&path, &body).await.faults(),
            [(place.to_owned(), code.to_owned())]
        );
    }
    assert_eq!(agent.link(id(&link)).await["status"], "open");
    let body = json!({"reason": "paid_elsewhere", "note": "cash"});
    let closed = agent.post(&path, &body).await.expect(200).json();
    assert_eq!(closed["closing_reason"], "paid_elsewhere");
    // no body is a body without reason
    let link = agent.creates(&sale()).await;
    agent
        .press(&format!("/v1/links/{}/disable", id(&link)))
        .await
        .expect(200);
}

async fn klarna_is_insisted_on(w: &World) {
    // a success that is not Klarna's (a proxy's page) proves no more than an error
    for fault in ["status:503", "status:200"] {
        insisted_on_after(w, fault).await;
    }
}

async fn insisted_on_after(w: &World, fault: &str) {
    let agent = w.agent();
    let link = agent.creates(&sale()).await;
    w.klarna.breaks("disable_session", fault, 2).await;
    let answer = agent.disables(id(&link)).await.expect(202);
    let waiting = answer.json();
    assert_eq!(
        (&waiting["status"], &waiting["payable"]),
        (&json!("disabling"), &json!(false))
    );
    assert!(
        agent
            .timeline(id(&link))
            .await
            .iter()
            .any(|event| event["type"] == "link.disabling")
    );
    agent.until(id(&link), "disabled").await;
    let session = link["klarna"]["session_id"].as_str().expect("a session");
    assert_eq!(w.klarna.calls_of("disable_session", session).await.len(), 3);
    assert_eq!(w.klarna.session(&link).await["status"], "DISABLED");
}

async fn an_unanswered_disable_counts_as_done(w: &World) {
    let agent = w.agent();
    let link = agent.creates(&sale()).await;
    w.klarna.breaks("disable_session", "drop_after", 1).await;
    let answer = agent.disables(id(&link)).await;
    assert!([200, 202].contains(&answer.status), "{}", answer.text());
    agent.until(id(&link), "disabled").await;
}

async fn a_paid_link_stays_paid(w: &World) {
    let agent = w.agent();
    let link = agent.creates(&sale()).await;
    w.klarna.buyer(&link, "pay").await;
    agent.until(id(&link), "completed").await;
    let problem = agent
        .disables(id(&link))
        .await
        .problem(409, "already_completed");
    assert_eq!(
        (&problem["link"]["id"], &problem["link"]["status"]),
        (&link["id"], &json!("completed"))
    );
    assert!(problem["link"]["payment"].is_object(), "{problem:#}");
}

async fn a_payment_that_nobody_saw_yet_is_found(w: &World) {
    let agent = w.agent();
    let link = agent.creates(&sale()).await;
    let session = link["klarna"]["session_id"].as_str().expect("a session");
    w.klarna.breaks("read_session", "status:503", 1).await;
    w.klarna.buyer(&link, "pay").await;
    eventually("the read that the callback causes fails", async || {
        let reads = w.klarna.calls_of("read_session", session).await;
        reads.iter().any(|read| read["status"] == 503).then_some(())
    })
    .await;
    let problem = agent
        .disables(id(&link))
        .await
        .problem(409, "already_completed");
    assert_eq!(problem["link"]["status"], "completed");
}

async fn the_buyer_and_the_agent_race(w: &World) {
    let agent = w.agent();
    for _ in 0..5 {
        let link = agent.creates(&sale()).await;
        let (_, answer) = tokio::join!(
            w.klarna.try_act(&link, "pay"),
            IntoFuture::into_future(agent.disables(id(&link)))
        );
        // who was first is Klarna's to say: the page also asks us whether the purchase may go on
        if w.klarna.session(&link).await["status"] == "COMPLETED" {
            let problem = answer.problem(409, "already_completed");
            assert_eq!(problem["link"]["status"], "completed");
            agent.until(id(&link), "completed").await;
        } else {
            assert_eq!(answer.expect(200).json()["status"], "disabled");
            assert_eq!(w.klarna.session(&link).await["status"], "DISABLED");
        }
    }
}

async fn a_link_that_waits_for_klarna_is_stopped(w: &World) {
    let (agent, sale) = (w.agent(), sale());
    w.klarna.breaks("create_order", "status:503", 0).await;
    let link = agent.sends(&sale).await.expect(202).json();
    let answer = agent.disables(id(&link)).await;
    assert!([200, 202].contains(&answer.status), "{}", answer.text());
    agent.until(id(&link), "disabled").await;
    w.klarna.mends().await;
    // the next links pass, this one doesn't come back
    agent.creates(&super::harness::sale()).await;
    assert_eq!(agent.link(id(&link)).await["status"], "disabled");
    assert!(w.klarna.sessions_for(&sale["reference"]).await.is_empty());
}

async fn a_link_in_flight_is_caught(w: &World) {
    let (agent, sale) = (w.agent(), sale());
    w.klarna.breaks("create_session", "slow:5500", 1).await;
    let link = agent.sends(&sale).await.expect(202).json();
    let answer = agent.disables(id(&link)).await.expect(202);
    assert_eq!(answer.json()["status"], "disabling");
    agent.until(id(&link), "disabled").await;
    eventually("its page is dead", async || {
        let sessions = w.klarna.sessions_for(&sale["reference"]).await;
        sessions
            .iter()
            .all(|one| one["status"] == "DISABLED")
            .then_some(())
    })
    .await;
    let types: Vec<_> = agent
        .timeline(id(&link))
        .await
        .iter()
        .map(|one| one["type"].clone())
        .collect();
    assert!(!types.contains(&json!("link.payable")), "{types:?}");
}

async fn a_session_that_ended_is_expired(w: &World) {
    let agent = w.agent();
    let link = agent.creates(&sale()).await;
    w.klarna.buyer(&link, "expire").await;
    let closed = agent.disables(id(&link)).await.expect(200).json();
    assert_eq!(closed["status"], "expired");
}

async fn closed_links_stay_as_they_are(w: &World) {
    let agent = w.agent();
    w.klarna.breaks("create_order", "status:400", 1).await;
    let problem = agent.sends(&sale()).await.problem(422, "klarna_refused");
    let failed = agent
        .link(problem["link_id"].as_str().expect("link_id"))
        .await;
    let cancelled = agent.creates(&sale()).await;
    w.klarna.buyer(&cancelled, "open").await;
    w.klarna.buyer(&cancelled, "cancel").await;
    let cancelled = agent.until(id(&cancelled), "cancelled").await;
    for link in [&failed, &cancelled] {
        let calls = w.klarna.changes().await;
        let again = agent.disables(id(link)).await.expect(200).json();
        assert_eq!(
            (&again["status"], &again["version"]),
            (&link["status"], &link["version"])
        );
        assert_eq!(w.klarna.changes().await, calls, "Klarna is not called");
    }
}

async fn if_match_guards_a_write(w: &World) {
    let agent = w.agent();
    let link = agent.creates(&sale()).await;
    let stale = |call: Call, version: &Value| call.header("if-match", format!("\"{version}\""));
    let next = json!(link["version"].as_u64().expect("a version") + 7);
    stale(agent.disables(id(&link)), &next)
        .await
        .problem(412, "version_mismatch");
    let now = agent.link(id(&link)).await;
    assert_eq!(now["status"], "open");
    stale(agent.disables(id(&link)), &now["version"])
        .await
        .expect(200);
}
