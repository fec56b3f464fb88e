//! Links that run out, and links that are made anew.

use serde_json::{Value, json};

use super::harness::world::id;
use super::harness::{World, WorldPlan, eventually, reference, sale, stories};

stories!(
    ending,
    WorldPlan::new(),
    [
        klarnas_end_is_the_links_end,
        an_expired_link_can_be_renewed,
        an_open_link_is_disabled_before_it_is_renewed,
        what_is_paid_or_busy_is_not_renewed,
        a_renewal_may_change_the_sale,
        if_match_guards_a_renewal,
        two_days_end_a_link_at_klarna,
    ]
);

async fn klarnas_end_is_the_links_end(w: &World) {
    let agent = w.agent();
    let link = agent.creates(&sale()).await;
    w.klarna.buyer(&link, "expire").await;
    agent
        .press(&format!("/v1/links/{}/refresh", id(&link)))
        .await
        .expect(200);
    let closed = agent.until(id(&link), "expired").await;
    assert_eq!(closed["payable"], false);
    let last = agent.timeline(id(&link)).await.pop().expect("an event");
    assert_eq!(last["type"], "link.expired");
    agent
        .get(
            closed["qr"]["png"]
                .as_str()
                .unwrap_or(&format!("/v1/links/{}/qr.png", id(&link))),
        )
        .await
        .problem(410, "gone");
}

async fn an_expired_link_can_be_renewed(w: &World) {
    let (agent, mut sale) = (w.agent(), sale());
    sale["metadata"] = json!({"deal": "42"});
    let link = agent.creates(&sale).await;
    w.klarna.buyer(&link, "expire").await;
    agent
        .press(&format!("/v1/links/{}/refresh", id(&link)))
        .await
        .expect(200);
    agent.until(id(&link), "expired").await;
    let answer = agent
        .post(
            &format!("/v1/links/{}/renew", id(&link)),
            &json!({"expires_in": "PT2H"}),
        )
        .await
        .expect(201);
    let renewed = answer.json();
    assert_ne!(renewed["id"], link["id"]);
    assert_eq!(
        answer.header("location"),
        Some(format!("/v1/links/{}", id(&renewed)).as_str())
    );
    assert_eq!(
        (&renewed["renewed_from"], &renewed["status"]),
        (&link["id"], &json!("open"))
    );
    for member in [
        "reference",
        "order_amount",
        "order_lines",
        "billing_address",
        "use_case",
        "metadata",
    ] {
        assert_eq!(renewed[member], link[member], "{member}");
    }
    let old = agent.link(id(&link)).await;
    assert_eq!(
        (&old["renewed_by"], &old["status"]),
        (&renewed["id"], &json!("expired"))
    );
    let order = w.klarna.order(&renewed).await;
    assert_eq!(order["merchant_reference2"], renewed["id"]);
    let types: Vec<_> = agent
        .timeline(id(&link))
        .await
        .iter()
        .map(|event| event["type"].clone())
        .collect();
    assert!(types.contains(&json!("link.renewed")), "{types:?}");
}

async fn an_open_link_is_disabled_before_it_is_renewed(w: &World) {
    let agent = w.agent();
    let link = agent.creates(&sale()).await;
    let path = format!("/v1/links/{}/renew", id(&link));
    let to = super::harness::email();
    let renewed = agent
        .post(&path, &json!({"send": [{"channel": "email", "to": to}]}))
        .await
        .expect(201)
        .json();
    assert_eq!(w.klarna.session(&link).await["status"], "DISABLED");
    assert_eq!(agent.link(id(&link)).await["status"], "disabled");
    eventually("the new link is mailed", async || {
        (w.mail.to(&to).len() == 1).then_some(())
    })
    .await;
    assert!(
        w.mail.to(&to)[0]
            .plain()
            .contains(renewed["url"].as_str().expect("a URL"))
    );
    // a disable that Klarna doesn't answer makes nothing
    w.klarna.breaks("disable_session", "status:503", 1).await;
    let answer = agent
        .post(&format!("/v1/links/{}/renew", id(&renewed)), &json!({}))
        .await;
    answer.problem(409, "busy");
    assert!(answer.retry_after() > 0);
    let old = agent.until(id(&renewed), "disabled").await;
    assert_eq!(old["renewed_by"], Value::Null);
}

async fn what_is_paid_or_busy_is_not_renewed(w: &World) {
    let agent = w.agent();
    let link = agent.creates(&sale()).await;
    w.klarna.buyer(&link, "pay").await;
    agent.until(id(&link), "completed").await;
    let problem = agent
        .post(&format!("/v1/links/{}/renew", id(&link)), &json!({}))
        .await
        .problem(409, "already_completed");
    assert_eq!(problem["link"]["id"], link["id"]);
    w.klarna.breaks("create_order", "status:503", 0).await;
    let waiting = agent.sends(&sale()).await.expect(202).json();
    agent
        .post(&format!("/v1/links/{}/renew", id(&waiting)), &json!({}))
        .await
        .problem(409, "busy");
    w.klarna.mends().await;
    agent.disables(id(&waiting)).await;
}

async fn if_match_guards_a_renewal(w: &World) {
    let agent = w.agent();
    let link = agent.creates(&sale()).await;
    let path = format!("/v1/links/{}/renew", id(&link));
    let renews = |version: &Value| {
        agent
            .post(&path, &json!({}))
            .header("if-match", format!("\"{version}\""))
    };
    renews(&json!(1)).await.problem(412, "version_mismatch");
    assert_eq!(agent.link(id(&link)).await["status"], "open");
    // of many at once that have seen the same version, one may act on it
    agent.disables(id(&link)).await.expect(200);
    let seen = agent.link(id(&link)).await["version"].clone();
    let calls = (0..8).map(|_| IntoFuture::into_future(renews(&seen)));
    let mut made = 0;
    for answer in futures_util::future::join_all(calls).await {
        if answer.status == 201 {
            made += 1;
        } else {
            answer.problem(412, "version_mismatch");
        }
    }
    assert_eq!(made, 1);
    // a repeat names what it saw before its first run changed it
    let (link, key) = (agent.creates(&sale()).await, super::harness::reference());
    let path = format!("/v1/links/{}/renew", id(&link));
    let mut renewed = Vec::new();
    for _ in 0..2 {
        let call = agent.post(&path, &json!({})).idempotent(&key);
        let call = call.header("if-match", format!("\"{}\"", link["version"]));
        renewed.push(call.await.expect(201).json()["id"].clone());
    }
    assert_eq!(renewed[0], renewed[1]);
}

async fn a_renewal_may_change_the_sale(w: &World) {
    let agent = w.agent();
    let link = agent.creates(&sale()).await;
    let path = format!("/v1/links/{}/renew", id(&link));
    let faults = agent
        .post(
            &path,
            &json!({"sale": {"reference": reference(), "foo": 1}}),
        )
        .await
        .faults();
    assert!(
        faults.contains(&("/sale/foo".to_owned(), "unknown_field".to_owned())),
        "{faults:?}"
    );
    assert_eq!(
        agent.link(id(&link)).await["status"],
        "open",
        "a refused renewal closes nothing"
    );
    let mut other = sale();
    other["order_lines"] =
        json!([{"name": "Mug", "quantity": 1, "unit_price": 4800, "tax_rate": 2000}]);
    other
        .as_object_mut()
        .expect("an object")
        .retain(|name, _| !name.starts_with("order_") || name == "order_lines");
    let renewed = agent
        .post(&path, &json!({ "sale": other }))
        .await
        .expect(201)
        .json();
    assert_eq!(
        (&renewed["order_amount"], &renewed["renewed_from"]),
        (&json!(4800), &link["id"])
    );
}

async fn two_days_end_a_link_at_klarna(w: &World) {
    let agent = w.agent();
    let link = agent.creates(&sale()).await;
    w.klarna.passes(48 * 3600).await;
    agent
        .press(&format!("/v1/links/{}/refresh", id(&link)))
        .await
        .expect(200);
    agent.until(id(&link), "expired").await;
}
