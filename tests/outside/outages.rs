//! Klarna slow, broken, or unwilling while a link is made.

use std::time::Duration;

use serde_json::{Value, json};

use super::harness::world::id;
use super::harness::{World, WorldPlan, eventually, sale, stories};

stories!(
    outages,
    WorldPlan::new(),
    [
        a_refusal_keeps_the_link_as_failed,
        a_slow_klarna_is_waited_for_behind_a_202,
        an_error_of_klarna_is_healed_by_a_new_pair,
        an_unanswered_session_is_thrown_away,
        three_unusable_pairs_are_enough,
        what_certainly_was_not_done_does_not_count,
        a_page_refusal_after_a_202_fails_the_link,
        messages_wait_for_the_page,
    ]
);

stories!(
    outages_and_their_backlog,
    WorldPlan::new().with("KLARNA_CREATES_PER_SECOND", "4"),
    [a_backlog_drains_under_the_limit]
);

stories!(
    outages_credentials,
    WorldPlan::new(),
    [wrong_credentials_open_the_breaker]
);

async fn a_refusal_keeps_the_link_as_failed(w: &World) {
    let agent = w.agent();
    for op in ["create_order", "create_session"] {
        w.klarna.breaks(op, "status:400", 1).await;
        let answer = agent.sends(&sale()).await;
        let problem = answer.problem(422, "klarna_refused");
        assert_eq!(problem["klarna"]["status"], 400, "{problem:#}");
        for member in ["code", "messages", "correlation_id"] {
            assert!(
                !problem["klarna"][member].is_null(),
                "{op}: {member} is missing in {problem:#}"
            );
        }
        assert!(
            problem.get("link").is_none_or(Value::is_null),
            "link is a whole object, never an id: {problem:#}"
        );
        let link = agent
            .link(problem["link_id"].as_str().expect("link_id"))
            .await;
        assert_eq!(
            (&link["status"], &link["payable"], &link["url"]),
            (&json!("failed"), &json!(false), &Value::Null)
        );
        assert_eq!(link["failure"]["code"], "klarna_refused");
        assert!(link["failure"]["detail"].is_string());
        assert_eq!(link["failure"]["klarna"]["status"], 400);
        let last = agent.timeline(id(&link)).await.pop().expect("an event");
        assert_eq!(last["type"], "link.failed");
    }
}

async fn a_slow_klarna_is_waited_for_behind_a_202(w: &World) {
    let sale = sale();
    w.klarna.breaks("create_session", "slow:6000", 1).await;
    let answer = w.agent().sends(&sale).await.expect(202);
    assert!(
        (Duration::from_secs(3)..Duration::from_millis(5500)).contains(&answer.took),
        "{:?}",
        answer.took
    );
    assert_eq!(answer.retry_after(), 2);
    let link = answer.json();
    assert_eq!(
        answer.header("location"),
        Some(format!("/v1/links/{}", id(&link)).as_str())
    );
    assert_eq!(
        (&link["status"], &link["url"], &link["payable"]),
        (&json!("creating"), &Value::Null, &json!(false))
    );
    let open = w.agent().until(id(&link), "open").await;
    assert!(open["url"].is_string());
    assert_eq!(
        w.klarna.sessions_for(&sale["reference"]).await.len(),
        1,
        "slow is not lost: no second pair"
    );
}

async fn an_error_of_klarna_is_healed_by_a_new_pair(w: &World) {
    for (op, fault) in [
        ("create_order", "status:503"),
        ("create_order", "drop_after"),
        ("create_order", "garbage"),
        ("create_session", "status:500"),
        ("create_session", "status:429"),
        ("create_session", "drop_before"),
        ("create_session", "garbage"),
    ] {
        let sale = sale();
        w.klarna.breaks(op, fault, 1).await;
        let answer = w.agent().sends(&sale).await;
        assert_eq!(answer.status, 202, "{op} {fault}: {}", answer.text());
        assert_eq!(answer.retry_after(), 2);
        let link = w.agent().until(id(&answer.json()), "open").await;
        assert_eq!(
            link["url"],
            w.klarna.session(&link).await["redirect_url"],
            "{op} {fault}"
        );
        let events = w.agent().timeline(id(&link)).await;
        let types: Vec<_> = events
            .iter()
            .map(|event| event["type"].as_str().unwrap_or_default())
            .collect();
        assert_eq!(types, ["link.created", "link.payable"], "{op} {fault}");
    }
}

async fn an_unanswered_session_is_thrown_away(w: &World) {
    let sale = sale();
    w.klarna.breaks("create_session", "drop_after", 1).await;
    let link = w.agent().sends(&sale).await.expect(202).json();
    let link = w.agent().until(id(&link), "open").await;
    let sessions = w.klarna.sessions_for(&sale["reference"]).await;
    assert_eq!(sessions.len(), 2, "the stray and the one that is shown");
    assert_ne!(
        sessions[0]["order_id"], sessions[1]["order_id"],
        "a new pair, not a second session of one order"
    );
    let stray = sessions
        .iter()
        .find(|one| one["session_id"] != link["klarna"]["session_id"])
        .expect("the stray");
    let seen = link.to_string();
    assert!(
        !seen.contains(stray["redirect_url"].as_str().expect("a URL")),
        "nobody is shown the stray"
    );
    for order in w.klarna.orders_for(&sale["reference"]).await {
        assert_eq!(order["merchant_reference2"], link["id"]);
    }
}

async fn three_unusable_pairs_are_enough(w: &World) {
    let sale = sale();
    w.klarna.breaks("create_session", "status:500", 3).await;
    let link = w.agent().sends(&sale).await.expect(202).json();
    let link = w.agent().until(id(&link), "failed").await;
    assert_eq!(link["failure"]["code"], "gave_up", "{link:#}");
    let tries: usize = {
        let mut tries = 0;
        for order in w.klarna.orders_for(&sale["reference"]).await {
            let order = order["order_id"].as_str().expect("an order id").to_owned();
            tries += w.klarna.calls_of("create_session", &order).await.len();
        }
        tries
    };
    assert_eq!(tries, 3);
    let last = w.agent().timeline(id(&link)).await.pop().expect("an event");
    assert_eq!(last["type"], "link.failed");
}

async fn what_certainly_was_not_done_does_not_count(w: &World) {
    let sale = sale();
    w.klarna.breaks("create_session", "status:429", 4).await;
    let link = w.agent().sends(&sale).await.expect(202).json();
    let open = eventually("429 is no tried pair", async || {
        let link = w.agent().link(id(&link)).await;
        assert_ne!(link["status"], "failed", "{link:#}");
        if link["status"] != "open" {
            // four refusals take 1 + 2 + 5 + 15 s; the last wait is not needed to know
            let tried = w.klarna.log().await;
            let refused = tried
                .iter()
                .rev()
                .filter(|one| one["op"] == "create_session" && one["status"] == 429)
                .count();
            if refused >= 4 {
                w.klarna.mends().await;
            }
        }
        let left = w.klarna.orders_for(&sale["reference"]).await.len();
        (link["status"] == "open" || left >= 4).then_some(link)
    })
    .await;
    assert_ne!(open["status"], "failed");
    w.agent().disables(id(&link)).await;
}

async fn a_page_refusal_after_a_202_fails_the_link(w: &World) {
    w.klarna.breaks("create_order", "status:503", 1).await;
    w.klarna.breaks("create_session", "status:400", 1).await;
    let link = w.agent().sends(&sale()).await.expect(202).json();
    let link = w.agent().until(id(&link), "failed").await;
    assert_eq!(link["failure"]["code"], "klarna_refused");
    let last = w.agent().timeline(id(&link)).await.pop().expect("an event");
    assert_eq!(last["type"], "link.failed");
}

async fn messages_wait_for_the_page(w: &World) {
    let (mut sale, to) = (sale(), super::harness::email());
    sale["send"] = json!([{"channel": "email", "to": to}]);
    w.klarna.breaks("create_session", "status:503", 1).await;
    let link = w.agent().sends(&sale).await.expect(202).json();
    assert_eq!(link["deliveries"][0]["status"], "queued");
    assert!(w.mail.to(&to).is_empty());
    let phone = super::harness::phone();
    let text = w
        .agent()
        .post(
            &format!("/v1/links/{}/deliveries", id(&link)),
            &json!({"channel": "sms", "to": phone}),
        )
        .await;
    text.expect(201);
    let link = w.agent().until(id(&link), "open").await;
    eventually("both leave once the page is there", async || {
        (w.mail.to(&to).len() == 1 && w.sms.to(&phone).len() == 1).then_some(())
    })
    .await;
    assert!(
        w.mail.to(&to)[0]
            .plain()
            .contains(link["url"].as_str().expect("a URL"))
    );
}

async fn wrong_credentials_open_the_breaker(w: &World) {
    w.klarna.breaks("create_order", "status:401", 1).await;
    let answer = w.agent().sends(&sale()).await;
    let problem = answer.problem(503, "klarna_unavailable");
    assert_eq!(answer.retry_after(), 60);
    let link = w
        .agent()
        .link(problem["link_id"].as_str().expect("link_id"))
        .await;
    assert_eq!(
        (&link["status"], &link["failure"]["code"]),
        (&json!("failed"), &json!("klarna_unavailable"))
    );
    let calls = w.klarna.calls_of("create_order", "").await.len();
    let waiting = w.agent().sends(&sale()).await.expect(202).json();
    assert_eq!(waiting["status"], "creating");
    assert_eq!(
        w.klarna.calls_of("create_order", "").await.len(),
        calls,
        "an open breaker lets nothing through"
    );
}

/// When an operation succeeded at Klarna, in milliseconds, with what it was about.
async fn successes(w: &World, op: &str) -> Vec<(i64, Value)> {
    let log = w.klarna.log().await;
    log.into_iter()
        .filter(|it| it["op"] == op && it["status"].as_u64().is_some_and(|it| it < 300))
        .map(|it| {
            let at: jiff::Timestamp = it["at"].as_str().expect("a time").parse().expect("a time");
            (at.as_millisecond(), it)
        })
        .collect()
}

/// Klarna is away while links are made, closed and paid; then it is back, and lets four links a
/// second be made.
async fn a_backlog_drains_under_the_limit(w: &World) {
    let who = w.agent();
    let mut before = Vec::new();
    for _ in 0..6 {
        before.push(who.sends(&sale()).await.json());
    }
    for link in &mut before {
        *link = who.until(id(link), "open").await;
    }
    w.klarna.breaks("*", "status:503", 0).await;
    let mut waiting = Vec::new();
    for _ in 0..32 {
        waiting.push(who.sends(&sale()).await.expect(202).json());
    }
    let (closed, paid) = before.split_at(3);
    for link in closed {
        let answer = who.disables(id(link)).await.expect(202).json();
        assert_eq!(answer["status"], "disabling");
    }
    for link in paid {
        w.klarna.buyer(link, "pay").await;
    }
    let back = successes(w, "create_order").await.len();
    w.klarna.mends().await;
    for (links, status) in [
        (closed, "disabled"),
        (paid, "completed"),
        (&waiting[..], "open"),
    ] {
        for link in links {
            who.until_within(id(link), status, 90).await;
        }
    }
    for link in paid {
        eventually("it is settled", async || {
            let now = who.link(id(link)).await;
            (now["payment"]["remaining_amount"] == 50_000).then_some(())
        })
        .await;
    }
    let creates: Vec<_> = successes(w, "create_order").await.split_off(back);
    assert_eq!(creates.len(), waiting.len(), "one pair for each");
    // never more than four a second, and one second's worth that was saved
    for (index, (at, _)) in creates.iter().enumerate() {
        let within = creates[..=index].iter().filter(|it| at - it.0 < 2_000);
        assert!(within.count() <= 13, "at {at} of {creates:?}");
    }
    // nobody waits out the back-off of the outage once others get their pages: the limit is used
    let (first, last) = (creates[0].0, creates[creates.len() - 1].0);
    assert!(last - first < 25_000, "{} ms", last - first);
    // and disables did not wait for them
    let last_closed = successes(w, "disable_session")
        .await
        .last()
        .expect("three")
        .0;
    assert!(last_closed < last, "{last_closed} and {last}");
}
