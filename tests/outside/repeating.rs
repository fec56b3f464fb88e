//! The same thing twice: `Idempotency-Key`, and the same reference without one.

use serde_json::{Value, json};

use super::harness::world::id;
use super::harness::{World, WorldPlan, eventually, phone, reference, sale, sale_of, stories};

stories!(
    repeating,
    WorldPlan::new(),
    [
        a_repeat_answers_the_same_link_as_it_is_now,
        members_may_come_in_any_order,
        another_body_is_a_mismatch,
        twenty_at_once_make_one_order,
        quoted_and_bare_are_one_key,
        a_key_must_be_printable_and_short,
        a_failed_validation_is_not_remembered,
        a_refusal_of_klarna_is_remembered,
        an_outage_answered_with_503_is_not_remembered,
        a_202_stays_a_202,
        a_disable_keeps_its_first_answer,
        a_disable_that_found_it_paid_keeps_its_409,
        a_key_belongs_to_caller_and_path,
        every_post_honours_it,
        a_live_reference_is_in_use,
        a_paid_reference_is_paid,
        allow_makes_a_second_link,
        replace_disables_the_first,
        replace_finds_the_first_paid,
        two_payments_of_one_reference_are_told,
    ]
);

async fn a_repeat_answers_the_same_link_as_it_is_now(w: &World) {
    let (agent, sale, key) = (w.agent(), sale(), reference());
    let first = agent.sends(&sale).idempotent(&key).await.expect(201);
    assert!(first.header("idempotent-replayed").is_none());
    let link = first.json();
    let again = agent.sends(&sale).idempotent(&key).await.expect(201);
    assert_eq!(again.header("idempotent-replayed"), Some("true"));
    assert_eq!(again.json()["id"], link["id"]);
    agent.disables(id(&link)).await.expect(200);
    let late = agent.sends(&sale).idempotent(&key).await.expect(201);
    assert_eq!(late.header("idempotent-replayed"), Some("true"));
    assert_eq!(
        (&late.json()["id"], &late.json()["status"]),
        (&link["id"], &json!("disabled"))
    );
    assert_eq!(w.klarna.orders_for(&sale["reference"]).await.len(), 1);
}

async fn members_may_come_in_any_order(w: &World) {
    let (agent, key, name) = (w.agent(), reference(), reference());
    let one =
        format!(r#"{{"reference":"{name}","order_amount":1200,"metadata":{{"a":"1","b":"2"}}}}"#);
    let two = format!(
        r#"{{ "metadata":{{"b":"2", "a":"1"}},"order_amount":1200, "reference":"{name}" }}"#
    );
    let first = agent
        .press("/v1/links")
        .raw(one)
        .idempotent(&key)
        .await
        .expect(201)
        .json();
    let again = agent
        .press("/v1/links")
        .raw(two)
        .idempotent(&key)
        .await
        .expect(201);
    assert_eq!(again.json()["id"], first["id"]);
    assert_eq!(again.header("idempotent-replayed"), Some("true"));
    // compared before defaults: a default that is written out is another body
    let three = format!(
        r#"{{"reference":"{name}","order_amount":1200,"metadata":{{"a":"1","b":"2"}},"use_case":"telesales"}}"#
    );
    agent
        .press("/v1/links")
        .raw(three)
        .idempotent(&key)
        .await
        .problem(422, "idempotency_mismatch");
}

async fn another_body_is_a_mismatch(w: &World) {
    let (agent, key) = (w.agent(), reference());
    agent.sends(&sale()).idempotent(&key).await.expect(201);
    let calls = w.klarna.calls_of("create_order", "").await.len();
    agent
        .sends(&sale())
        .idempotent(&key)
        .await
        .problem(422, "idempotency_mismatch");
    assert_eq!(w.klarna.calls_of("create_order", "").await.len(), calls);
}

async fn twenty_at_once_make_one_order(w: &World) {
    let (agent, sale, key) = (w.agent(), sale(), reference());
    w.klarna.breaks("create_order", "slow:300", 1).await;
    let answers = futures_util::future::join_all((0..20).map(|_| {
        let call = agent.sends(&sale).idempotent(&key);
        async move { call.await }
    }))
    .await;
    let mut ids = Vec::new();
    for answer in answers {
        if answer.status == 201 {
            ids.push(id(&answer.json()).to_owned());
        } else {
            answer.problem(409, "idempotency_in_progress");
            assert!(answer.retry_after() > 0);
        }
    }
    assert!(!ids.is_empty(), "the first of them was answered");
    ids.dedup();
    assert_eq!(ids.len(), 1, "all see one link");
    assert_eq!(w.klarna.orders_for(&sale["reference"]).await.len(), 1);
    assert_eq!(
        agent.sends(&sale).idempotent(&key).await.expect(201).json()["id"],
        ids[0]
    );
}

async fn quoted_and_bare_are_one_key(w: &World) {
    let (agent, sale, key) = (w.agent(), sale(), reference());
    let first = agent
        .sends(&sale)
        .idempotent(&format!("\"{key}\""))
        .await
        .expect(201)
        .json();
    let again = agent.sends(&sale).idempotent(&key).await.expect(201).json();
    assert_eq!(first["id"], again["id"]);
}

async fn a_key_must_be_printable_and_short(w: &World) {
    let agent = w.agent();
    let long = "k".repeat(256);
    for key in [
        &b""[..],
        b"\"\"",
        long.as_bytes(),
        "schl\u{fc}ssel".as_bytes(),
        b"a\tb",
    ] {
        let answer = agent.sends(&sale()).header("idempotency-key", key).await;
        let faults = answer.faults();
        assert!(
            faults.iter().any(|(_, code)| code == "invalid_format"),
            "{key:?}: {faults:?}"
        );
    }
    agent
        .sends(&sale())
        .idempotent(&"k".repeat(255))
        .await
        .expect(201);
}

async fn a_failed_validation_is_not_remembered(w: &World) {
    let (agent, key, mut sale) = (w.agent(), reference(), sale());
    sale["order_amount"] = json!(1);
    agent
        .sends(&sale)
        .idempotent(&key)
        .await
        .problem(422, "validation_failed");
    sale["order_amount"] = json!(50000);
    agent.sends(&sale).idempotent(&key).await.expect(201);
}

async fn a_refusal_of_klarna_is_remembered(w: &World) {
    let (agent, key, sale) = (w.agent(), reference(), sale());
    w.klarna.breaks("create_order", "status:400", 1).await;
    let first = agent
        .sends(&sale)
        .idempotent(&key)
        .await
        .problem(422, "klarna_refused");
    let again = agent.sends(&sale).idempotent(&key).await;
    assert_eq!(again.header("idempotent-replayed"), Some("true"));
    let again = again.problem(422, "klarna_refused");
    assert_eq!(again["link_id"], first["link_id"]);
    assert_eq!(again["klarna"], first["klarna"]);
    assert_eq!(
        w.klarna
            .calls_of("create_order", sale["reference"].as_str().expect("text"))
            .await
            .len(),
        1
    );
}

async fn an_outage_answered_with_503_is_not_remembered(w: &World) {
    // its own world would be cleaner; here the breaker that opens is waited for by nobody
    let (agent, key, mut bad) = (w.agent(), reference(), sale());
    bad["foo"] = json!(1);
    agent
        .sends(&bad)
        .idempotent(&key)
        .await
        .problem(422, "validation_failed");
    bad.as_object_mut().expect("an object").remove("foo");
    w.stranger()
        .sends(&bad)
        .idempotent(&key)
        .await
        .problem(401, "unauthorized");
    agent.sends(&bad).idempotent(&key).await.expect(201);
}

async fn a_202_stays_a_202(w: &World) {
    let (agent, key, sale) = (w.agent(), reference(), sale());
    w.klarna.breaks("create_session", "status:503", 1).await;
    let link = agent.sends(&sale).idempotent(&key).await.expect(202).json();
    agent.until(id(&link), "open").await;
    let again = agent.sends(&sale).idempotent(&key).await.expect(202);
    assert_eq!(
        (&again.json()["id"], &again.json()["status"]),
        (&link["id"], &json!("open"))
    );
}

async fn a_disable_keeps_its_first_answer(w: &World) {
    let (agent, key) = (w.agent(), reference());
    let link = agent.creates(&sale()).await;
    w.klarna.breaks("disable_session", "status:503", 1).await;
    let first = agent.disables(id(&link)).idempotent(&key).await.expect(202);
    assert_eq!(first.json()["status"], "disabling");
    agent.until(id(&link), "disabled").await;
    let again = agent.disables(id(&link)).idempotent(&key).await.expect(202);
    assert_eq!(again.header("idempotent-replayed"), Some("true"));
    assert_eq!(again.json()["status"], "disabled");
    // closed at once: whatever comes later, a repeat says so again
    let (link, key) = (agent.creates(&sale()).await, reference());
    for _ in 0..2 {
        let closed = agent.disables(id(&link)).idempotent(&key).await;
        assert_eq!(closed.expect(200).json()["status"], "disabled");
    }
}

async fn a_disable_that_found_it_paid_keeps_its_409(w: &World) {
    let (agent, key) = (w.agent(), reference());
    let link = agent.creates(&sale()).await;
    w.klarna.buyer(&link, "pay").await;
    agent.until(id(&link), "completed").await;
    let first = agent.disables(id(&link)).idempotent(&key).await;
    first.problem(409, "already_completed");
    assert!(first.header("idempotent-replayed").is_none());
    let again = agent.disables(id(&link)).idempotent(&key).await;
    let problem = again.problem(409, "already_completed");
    assert_eq!(problem["link"]["status"], "completed");
    assert_eq!(again.header("idempotent-replayed"), Some("true"));
}

async fn a_key_belongs_to_caller_and_path(w: &World) {
    let key = reference();
    let first = w
        .agent()
        .sends(&sale())
        .idempotent(&key)
        .await
        .expect(201)
        .json();
    let other = w
        .integrator()
        .sends(&sale())
        .idempotent(&key)
        .await
        .expect(201)
        .json();
    assert_ne!(first["id"], other["id"]);
    let press = w
        .agent()
        .disables(id(&first))
        .idempotent(&key)
        .await
        .expect(200);
    assert!(press.header("idempotent-replayed").is_none());
}

async fn every_post_honours_it(w: &World) {
    let (agent, key, to) = (w.agent(), reference(), phone());
    let link = agent.creates(&sale()).await;
    let path = format!("/v1/links/{}/deliveries", id(&link));
    let body = json!({"channel": "sms", "to": to});
    let first = agent
        .post(&path, &body)
        .idempotent(&key)
        .await
        .expect(201)
        .json();
    let again = agent.post(&path, &body).idempotent(&key).await.expect(201);
    assert_eq!(again.header("idempotent-replayed"), Some("true"));
    assert_eq!(again.json()["id"], first["id"]);
    agent
        .until_delivery(id(&link), id(&first), "sent", 15)
        .await;
    assert_eq!(w.sms.to(&to).len(), 1, "one message");
    let path = format!("/v1/links/{}/refresh", id(&link));
    let first = agent.press(&path).idempotent(&key).await.expect(200);
    assert!(first.header("idempotent-replayed").is_none());
    let reads = w.klarna.calls_of("read_session", "").await.len();
    let again = agent.press(&path).idempotent(&key).await.expect(200);
    assert_eq!(again.header("idempotent-replayed"), Some("true"));
    assert_eq!(again.json()["id"], link["id"]);
    assert_eq!(w.klarna.calls_of("read_session", "").await.len(), reads);
    let path = format!("/v1/links/{}/renew", id(&link));
    let renewed = agent
        .post(&path, &json!({}))
        .idempotent(&key)
        .await
        .expect(201)
        .json();
    let again = agent
        .post(&path, &json!({}))
        .idempotent(&key)
        .await
        .expect(201)
        .json();
    assert_eq!(renewed["id"], again["id"]);
}

async fn a_live_reference_is_in_use(w: &World) {
    let (agent, sale) = (w.agent(), sale());
    let link = agent.creates(&sale).await;
    let problem = agent.sends(&sale).await.problem(409, "reference_in_use");
    assert_eq!(problem["link_id"], link["id"]);
    assert_eq!(w.klarna.orders_for(&sale["reference"]).await.len(), 1);
    // another store has its own references
    w.caller("agent", "north").creates(&sale).await;
    // a closed link frees its reference
    agent.disables(id(&link)).await.expect(200);
    agent.creates(&sale).await;
    // one that Klarna is still being asked for is live too
    let waiting = super::harness::sale();
    w.klarna.breaks("create_session", "status:503", 1).await;
    let first = agent.sends(&waiting).await.expect(202).json();
    let problem = agent.sends(&waiting).await.problem(409, "reference_in_use");
    assert_eq!(problem["link_id"], first["id"]);
}

async fn a_paid_reference_is_paid(w: &World) {
    let (agent, sale) = (w.agent(), sale());
    let link = agent.creates(&sale).await;
    w.klarna.buyer(&link, "pay").await;
    agent.until(id(&link), "completed").await;
    let problem = agent.sends(&sale).await.problem(409, "reference_paid");
    assert_eq!(problem["link_id"], link["id"]);
}

async fn allow_makes_a_second_link(w: &World) {
    let (agent, mut sale) = (w.agent(), sale());
    let link = agent.creates(&sale).await;
    sale["on_duplicate"] = json!("allow");
    let second = agent.creates(&sale).await;
    assert_ne!(link["id"], second["id"]);
    assert_eq!(agent.link(id(&link)).await["status"], "open");
}

async fn replace_disables_the_first(w: &World) {
    let (agent, mut sale) = (w.agent(), sale());
    let link = agent.creates(&sale).await;
    sale["on_duplicate"] = json!("replace");
    let second = agent.creates(&sale).await;
    assert_ne!(link["id"], second["id"]);
    assert_eq!(agent.link(id(&link)).await["status"], "disabled");
    assert_eq!(w.klarna.session(&link).await["status"], "DISABLED");
    // where Klarna doesn't answer the disable, nothing is created
    w.klarna.breaks("disable_session", "status:503", 1).await;
    let answer = agent.sends(&sale).await;
    answer.problem(409, "busy");
    assert!(answer.retry_after() > 0);
    assert_eq!(w.klarna.orders_for(&sale["reference"]).await.len(), 2);
    agent.until(id(&second), "disabled").await;
}

async fn replace_finds_the_first_paid(w: &World) {
    let (agent, mut sale) = (w.agent(), sale());
    let link = agent.creates(&sale).await;
    w.klarna.buyer(&link, "pay").await;
    sale["on_duplicate"] = json!("replace");
    let problem = agent.sends(&sale).await.problem(409, "already_completed");
    assert_eq!(problem["link"]["id"], link["id"]);
    assert_eq!(problem["link"]["status"], "completed");
    assert_eq!(w.klarna.orders_for(&sale["reference"]).await.len(), 1);
}

async fn two_payments_of_one_reference_are_told(w: &World) {
    let agent = w.agent();
    let mut sale = sale_of(&reference());
    sale["on_duplicate"] = json!("allow");
    let (one, two) = (agent.creates(&sale).await, agent.creates(&sale).await);
    for link in [&one, &two] {
        w.klarna.buyer(link, "pay").await;
        agent.until(id(link), "completed").await;
    }
    eventually("link.duplicate_payment", async || {
        let mut events = agent.timeline(id(&one)).await;
        events.extend(agent.timeline(id(&two)).await);
        events
            .iter()
            .any(|event: &Value| event["type"] == "link.duplicate_payment")
            .then_some(())
    })
    .await;
}
