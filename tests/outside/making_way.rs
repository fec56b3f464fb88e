//! A link that a buyer holds is not taken from him for one that is then refused; and what renews a
//! link stays in its store.

use std::future::IntoFuture;

use serde_json::{Value, json};

use super::harness::world::id;
use super::harness::{Caller, World, WorldPlan, phone, sale, sale_of, stories};

stories!(
    making_way_for_what_is_refused,
    WorldPlan::new()
        .with("LIMIT_RECIPIENT_SMS_PER_MINUTE", "1")
        .with("LIMIT_AGENT_LINKS_PER_HOUR", "6"),
    [
        a_message_too_many_closes_nothing,
        another_links_reference_closes_nothing,
        a_twin_of_the_reference_closes_nothing,
        replace_closes_all_that_are_live,
        a_link_too_many_closes_nothing,
    ]
);

stories!(
    making_way_across_stores,
    WorldPlan::new(),
    [
        an_admins_renewal_stays_in_the_links_store,
        twins_at_once_are_told_of_the_winner,
    ]
);

async fn renews(who: &Caller, link: &Value, body: &Value) -> super::harness::http::Answer {
    let path = format!("/v1/links/{}/renew", id(link));
    who.post(&path, body).await
}

async fn is_still_payable(w: &World, who: &Caller, link: &Value) {
    let now = who.link(id(link)).await;
    assert_eq!(
        (&now["status"], &now["payable"], &now["renewed_by"]),
        (&json!("open"), &json!(true), &Value::Null)
    );
    assert_eq!(w.klarna.session(link).await["status"], "WAITING");
}

async fn a_message_too_many_closes_nothing(w: &World) {
    let who = w.integrator();
    let text = json!([{"channel": "sms", "to": phone()}]);
    let mut sale = sale();
    sale["send"] = text.clone();
    let link = who.creates(&sale).await;
    let refused = renews(&who, &link, &json!({ "send": text })).await;
    refused.problem(429, "send_rate_limited");
    is_still_payable(w, &who, &link).await;
    sale["on_duplicate"] = json!("replace");
    who.sends(&sale).await.problem(429, "send_rate_limited");
    is_still_payable(w, &who, &link).await;
}

async fn another_links_reference_closes_nothing(w: &World) {
    let who = w.integrator();
    let (link, other) = (who.creates(&sale()).await, who.creates(&sale()).await);
    let wanted = json!({"sale": sale_of(other["reference"].as_str().expect("a reference"))});
    let refused = renews(&who, &link, &wanted).await;
    let problem = refused.problem(409, "reference_in_use");
    assert_eq!(problem["link_id"], other["id"]);
    is_still_payable(w, &who, &link).await;
}

async fn a_twin_of_the_reference_closes_nothing(w: &World) {
    let who = w.integrator();
    let mut sale = sale();
    let link = who.creates(&sale).await;
    sale["on_duplicate"] = json!("allow");
    let twin = who.creates(&sale).await;
    let refused = renews(&who, &link, &json!({})).await;
    let problem = refused.problem(409, "reference_in_use");
    assert_eq!(problem["link_id"], twin["id"]);
    is_still_payable(w, &who, &link).await;
}

async fn replace_closes_all_that_are_live(w: &World) {
    let who = w.integrator();
    let mut sale = sale();
    let first = who.creates(&sale).await;
    sale["on_duplicate"] = json!("allow");
    let twin = who.creates(&sale).await;
    sale["on_duplicate"] = json!("replace");
    let last = who.creates(&sale).await;
    for old in [first, twin] {
        let now = who.link(id(&old)).await;
        assert_eq!(
            (&now["status"], &now["closing_reason"]),
            (&json!("disabled"), &json!("replaced"))
        );
    }
    is_still_payable(w, &who, &last).await;
}

async fn a_link_too_many_closes_nothing(w: &World) {
    let agent = w.agent();
    let link = agent.creates(&sale()).await;
    for _ in 1..6 {
        agent.creates(&sale()).await;
    }
    let refused = renews(&agent, &link, &json!({})).await;
    refused.problem(429, "rate_limited");
    is_still_payable(w, &agent, &link).await;
    let mut again = sale_of(link["reference"].as_str().expect("a reference"));
    again["on_duplicate"] = json!("replace");
    agent.sends(&again).await.problem(429, "rate_limited");
    is_still_payable(w, &agent, &link).await;
}

async fn an_admins_renewal_stays_in_the_links_store(w: &World) {
    let (north, admin) = (w.caller("agent", "north"), w.admin());
    let link = north.creates(&sale()).await;
    let renewed = renews(&admin, &link, &json!({})).await.expect(201).json();
    assert_eq!(renewed["store"], "north");
    assert_eq!(north.link(id(&renewed)).await["renewed_from"], link["id"]);
    let path = format!("/v1/links/{}", id(&renewed));
    w.agent().get(&path).await.problem(404, "not_found");
    let again = sale_of(link["reference"].as_str().expect("a reference"));
    let refused = north.sends(&again).await;
    refused.problem(409, "reference_in_use");
}

/// The look-up before cannot see the other: the database lets only one in, and it is named.
async fn twins_at_once_are_told_of_the_winner(w: &World) {
    let who = w.integrator();
    let sale = sale();
    let calls = (0..12).map(|_| who.sends(&sale).into_future());
    let answers = futures_util::future::join_all(calls).await;
    let (won, lost): (Vec<_>, Vec<_>) = answers
        .iter()
        .partition(|answer| matches!(answer.status, 201 | 202));
    assert_eq!(won.len(), 1, "one is made");
    for answer in lost {
        let problem = answer.problem(409, "reference_in_use");
        assert_eq!(problem["link_id"], won[0].json()["id"]);
    }
}
