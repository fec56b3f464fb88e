//! The buyer's side: what the page reports, what a payment proves, what Klarna's calls may do.

use serde_json::{Value, json};

use super::harness::world::id;
use super::harness::{World, WorldPlan, eventually, sale, stories};

stories!(
    paying,
    WorldPlan::new(),
    [
        what_the_buyer_does_is_seen,
        a_payment_completes_the_link,
        goods_that_are_handed_over_are_captured,
        the_order_is_acknowledged_in_spite_of_trouble,
        a_payment_that_is_checked_is_not_handed_over,
        the_buyer_may_cancel_for_good,
        an_unknown_token_is_not_found,
        a_forged_callback_changes_nothing,
        validation_is_answered_from_the_database,
        return_pages_show_the_read_back,
        refresh_reads_klarna_now,
    ]
);

async fn what_the_buyer_does_is_seen(w: &World) {
    let agent = w.agent();
    let mut sale = sale();
    sale["use_case"] = json!("ecommerce");
    let link = agent.creates(&sale).await;
    for (act, consumer, status) in [
        ("open", "in_progress", "IN_PROGRESS"),
        ("back", "back", "BACK"),
        ("open", "in_progress", "IN_PROGRESS"),
        ("decline", "declined", "FAILED"),
        ("open", "in_progress", "IN_PROGRESS"),
        ("error", "error", "ERROR"),
    ] {
        w.klarna.buyer(&link, act).await;
        let now = eventually(act, async || {
            let now = agent.link(id(&link)).await;
            (now["consumer"] == consumer).then_some(now)
        })
        .await;
        assert_eq!(
            (&now["status"], &now["payable"]),
            (&json!("open"), &json!(true))
        );
        assert_eq!(now["klarna"]["status"], status);
    }
    let types: Vec<_> = agent
        .timeline(id(&link))
        .await
        .iter()
        .map(|one| one["type"].clone())
        .collect();
    assert_eq!(
        types.iter().filter(|one| **one == "link.viewed").count(),
        1,
        "{types:?}"
    );
    assert!(types.contains(&json!("link.consumer_changed")), "{types:?}");
}

async fn a_payment_completes_the_link(w: &World) {
    let agent = w.agent();
    let link = agent.creates(&sale()).await;
    w.klarna.buyer(&link, "pay").await;
    let done = agent.until(id(&link), "completed").await;
    assert_eq!(done["payable"], false);
    assert_eq!(
        done["payment"]["status"], "authorized",
        "payment is never null in a completed link"
    );
    let done = eventually("Order Management fills the payment", async || {
        let link = agent.link(id(&link)).await;
        assert_eq!(link["status"], "completed");
        (!link["payment"]["captured_amount"].is_null()).then_some(link)
    })
    .await;
    let said = json!({"status": "authorized", "fraud_status": "ACCEPTED", "captured_amount": 0, "refunded_amount": 0,
        "remaining_amount": 50000});
    for (member, value) in said.as_object().expect("an object") {
        assert_eq!(done["payment"][member], *value, "{member}");
    }
    assert!(done["payment"]["expires_at"].is_string());
    let buyer = &done["payment"]["buyer"];
    for member in ["billing_address", "shipping_address", "payment_method"] {
        assert!(buyer.get(member).is_some(), "{member} is not in {buyer:#}");
    }
    let order = eventually("the order is acknowledged", async || {
        let order = w.klarna.order(&link).await;
        (order["acknowledged"] == true).then_some(order)
    })
    .await;
    assert_eq!(
        done["klarna"]["klarna_reference"],
        order["om"]["klarna_reference"]
    );
    let types: Vec<_> = agent
        .timeline(id(&link))
        .await
        .iter()
        .map(|one| one["type"].clone())
        .collect();
    assert_eq!(
        types.iter().filter(|one| **one == "link.completed").count(),
        1,
        "{types:?}"
    );
    eventually("payment.authorized", async || {
        agent
            .timeline(id(&link))
            .await
            .iter()
            .any(|one| one["type"] == "payment.authorized")
            .then_some(())
    })
    .await;
}

async fn goods_that_are_handed_over_are_captured(w: &World) {
    let (agent, mut sale) = (w.agent(), sale());
    sale["use_case"] = json!("in_store");
    let link = agent.creates(&sale).await;
    w.klarna.buyer(&link, "pay").await;
    let done = eventually("captured", async || {
        let link = agent.link(id(&link)).await;
        (link["payment"]["status"] == "captured").then_some(link)
    })
    .await;
    assert_eq!(
        (
            &done["payment"]["captured_amount"],
            &done["payment"]["remaining_amount"]
        ),
        (&json!(50000), &json!(0))
    );
}

async fn the_order_is_acknowledged_in_spite_of_trouble(w: &World) {
    let agent = w.agent();
    let link = agent.creates(&sale()).await;
    w.klarna.breaks("om_get", "status:404", 1).await;
    w.klarna.breaks("acknowledge", "status:503", 1).await;
    w.klarna.buyer(&link, "pay").await;
    agent.until(id(&link), "completed").await;
    eventually("acknowledged", async || {
        (w.klarna.order(&link).await["acknowledged"] == true).then_some(())
    })
    .await;
}

async fn a_payment_that_is_checked_is_not_handed_over(w: &World) {
    let agent = w.agent();
    let link = agent.creates(&sale()).await;
    w.klarna.buyer(&link, "pay").await;
    agent.until(id(&link), "completed").await;
    for fraud in ["PENDING", "ACCEPTED"] {
        w.klarna.doubts(&link, fraud).await;
        if fraud == "PENDING" {
            // Klarna announces only how a check ended
            agent
                .press(&format!("/v1/links/{}/refresh", id(&link)))
                .await
                .expect(200);
        }
        eventually(fraud, async || {
            (agent.link(id(&link)).await["payment"]["fraud_status"] == fraud).then_some(())
        })
        .await;
    }
    let types: Vec<_> = agent
        .timeline(id(&link))
        .await
        .iter()
        .map(|one| one["type"].clone())
        .collect();
    assert!(types.contains(&json!("payment.fraud_updated")), "{types:?}");
}

async fn the_buyer_may_cancel_for_good(w: &World) {
    let agent = w.agent();
    let link = agent.creates(&sale()).await;
    w.klarna.buyer(&link, "open").await;
    w.klarna.buyer(&link, "cancel").await;
    let closed = agent.until(id(&link), "cancelled").await;
    assert_eq!(closed["payable"], false);
    let last = agent.timeline(id(&link)).await.pop().expect("an event");
    assert_eq!(last["type"], "link.cancelled");
}

/// The secret in a link's URLs.
async fn token(w: &World, link: &Value) -> String {
    let checkout = w.klarna.order(link).await["merchant_urls"]["checkout"]
        .as_str()
        .expect("a URL")
        .to_owned();
    checkout.rsplit('/').next().expect("a token").to_owned()
}

async fn an_unknown_token_is_not_found(w: &World) {
    let stranger = w.stranger();
    for kind in ["hpp", "push", "notification", "validation"] {
        for token in ["x", &"A".repeat(43)] {
            let answer = stranger
                .post(&format!("/callbacks/{kind}/{token}"), &json!({}))
                .await;
            assert_eq!(answer.status, 404, "{kind} {token}");
        }
    }
    for outcome in [
        "success",
        "back",
        "cancel",
        "failure",
        "error",
        "checkout",
        "confirmation",
    ] {
        let answer = stranger
            .get(&format!("/return/{outcome}/{}", "A".repeat(43)))
            .await
            .expect(404);
        assert!(
            answer
                .header("content-type")
                .is_some_and(|kind| kind.starts_with("text/html")),
            "{outcome}"
        );
    }
}

async fn a_forged_callback_changes_nothing(w: &World) {
    let agent = w.agent();
    let link = agent.creates(&sale()).await;
    let (token, session) = (token(w, &link).await, link["klarna"]["session_id"].clone());
    let order = &link["klarna"]["order_id"];
    let lie = json!({"event_id": "1", "session": {"session_id": session, "status": "COMPLETED", "order_id": order,
        "updated_at": "2100-01-01T00:00:00.000Z"}});
    let reads = w
        .klarna
        .calls_of("read_session", session.as_str().expect("a session"))
        .await
        .len();
    let stranger = w.stranger();
    stranger
        .post(&format!("/callbacks/hpp/{token}?sid=another"), &lie)
        .await
        .expect(204);
    stranger
        .press(&format!("/callbacks/hpp/{token}"))
        .raw("no json")
        .await
        .expect(204);
    stranger
        .press(&format!("/callbacks/push/{token}?oid=another"))
        .await
        .expect(204);
    stranger
        .post(
            &format!("/callbacks/notification/{token}"),
            &json!({"event_type": "FRAUD_RISK_ACCEPTED"}),
        )
        .await
        .expect(204);
    // they are told to the operator, once each, and not what they were
    let log = w.stderr();
    let told = |foreign: &str| {
        let all = log.lines().filter(|line| line.contains("not this link's"));
        all.filter(|line| line.contains(id(&link)) && line.contains(foreign))
            .count()
    };
    assert_eq!((told("session"), told("order")), (1, 1), "{log}");
    eventually("a hint causes a read", async || {
        (w.klarna
            .calls_of("read_session", session.as_str().expect("a session"))
            .await
            .len()
            > reads)
            .then_some(())
    })
    .await;
    agent
        .press(&format!("/v1/links/{}/refresh", id(&link)))
        .await
        .expect(200);
    let now = agent.link(id(&link)).await;
    assert_eq!(
        (&now["status"], &now["consumer"], &now["payment"]),
        (&json!("open"), &json!("not_opened"), &Value::Null)
    );
}

async fn validation_is_answered_from_the_database(w: &World) {
    let agent = w.agent();
    let link = agent.creates(&sale()).await;
    let token = token(w, &link).await;
    let calls = w.klarna.changes().await;
    let path = format!("/callbacks/validation/{token}");
    let answer = w
        .stranger()
        .post(&path, &json!({"order_id": "x"}))
        .await
        .expect(200);
    assert!(answer.took.as_secs() < 1);
    assert_eq!(w.klarna.changes().await, calls, "Klarna is not asked");
    w.klarna.breaks("disable_session", "status:503", 1).await;
    agent.disables(id(&link)).await.expect(202);
    let answer = w.stranger().post(&path, &json!({})).await.expect(303);
    let closed = answer.header("location").expect("a page").to_owned();
    agent.until(id(&link), "disabled").await;
    w.stranger().post(&path, &json!({})).await.expect(303);
    let page = w
        .stranger()
        .get(closed.strip_prefix(w.base.as_str()).unwrap_or(&closed))
        .await;
    assert!(
        page.header("content-type")
            .is_some_and(|kind| kind.starts_with("text/html")),
        "{closed}"
    );
    // Klarna's page asks too: a disabling link takes no money
    let link = agent.creates(&sale()).await;
    w.klarna.breaks("disable_session", "status:503", 1).await;
    agent.disables(id(&link)).await.expect(202);
    w.klarna.try_act(&link, "pay").await;
    assert_ne!(w.klarna.session(&link).await["status"], "COMPLETED");
    agent.until(id(&link), "disabled").await;
}

fn heading(page: &str) -> String {
    let start = page
        .find("<h1")
        .and_then(|at| page[at..].find('>').map(|end| at + end + 1));
    let start = start.unwrap_or_else(|| panic!("no heading in {page}"));
    page[start..]
        .split("</h1>")
        .next()
        .unwrap_or_default()
        .trim()
        .to_owned()
}

async fn return_pages_show_the_read_back(w: &World) {
    let (agent, stranger) = (w.agent(), w.stranger());
    let link = agent.creates(&sale()).await;
    let token = token(w, &link).await;
    let page = async |outcome: &str| {
        let answer = stranger
            .get(&format!(
                "/return/{outcome}/{token}?sid=another&oid=another"
            ))
            .await
            .expect(200);
        assert!(
            answer
                .header("content-type")
                .is_some_and(|kind| kind.starts_with("text/html")),
            "{outcome}"
        );
        heading(&answer.text())
    };
    let (early, failure) = (page("success").await, page("failure").await);
    assert_eq!(
        agent.link(id(&link)).await["status"],
        "open",
        "a redirect proves nothing"
    );
    w.klarna.buyer(&link, "pay").await;
    let success = page("success").await;
    assert_ne!(early, success, "not paid is not shown as paid");
    assert_ne!(failure, success);
    assert_eq!(
        page("failure").await,
        success,
        "paid, whatever the redirect says"
    );
    assert_eq!(
        agent.link(id(&link)).await["status"],
        "completed",
        "the page reads back before it answers"
    );
}

async fn refresh_reads_klarna_now(w: &World) {
    let agent = w.agent();
    let link = agent.creates(&sale()).await;
    // callbacks that come to nothing
    w.klarna.breaks("read_session", "status:500", 1).await;
    w.klarna.buyer(&link, "open").await;
    eventually("the callback's read fails", async || {
        let session = link["klarna"]["session_id"].as_str().expect("a session");
        (!w.klarna.calls_of("read_session", session).await.is_empty()).then_some(())
    })
    .await;
    let now = agent
        .press(&format!("/v1/links/{}/refresh", id(&link)))
        .await
        .expect(200)
        .json();
    assert_eq!(
        (&now["id"], &now["consumer"]),
        (&link["id"], &json!("in_progress"))
    );
}
