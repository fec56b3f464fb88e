//! Mail and SMS: what buyers read, and what becomes of a message when the other side misbehaves.

use serde_json::{Value, json};

use super::harness::world::id;
use super::harness::{
    Ailment, Caller, Reply, World, WorldPlan, email, eventually, phone, sale, stories,
};

stories!(
    delivering,
    WorldPlan::new(),
    [
        a_mail_says_who_how_much_for_what_and_where,
        an_sms_says_the_same,
        the_buyers_own_contacts_are_the_default,
        a_message_can_be_sent_again,
        a_delivery_is_judged_like_a_sale,
        a_gateways_answer_decides,
        a_busy_gateway_is_asked_again,
        a_mail_that_is_refused_for_now_waits,
        a_mail_that_is_refused_fails,
        a_cut_before_the_body_is_repeated,
        a_cut_after_the_body_is_unknown,
        closing_a_link_skips_what_waits,
        a_closed_link_sends_nothing,
    ]
);

stories!(
    delivering_strictly,
    WorldPlan::new()
        .with("SMS_HTTP_SUCCESS", "/state=ok")
        .with("SMS_HTTP_HEADERS", "Authorization: Token abc\nX-Shop: acme")
        .with("LIMIT_RECIPIENT_SMS_PER_MINUTE", "1")
        .with("LIMIT_RECIPIENT_MAILS_PER_DAY", "1"),
    [
        a_success_value_must_be_there,
        headers_are_the_operators,
        a_recipient_is_not_flooded
    ]
);

pub async fn sent(w: &World, channel: &str, to: &str) -> (Caller, Value, Value) {
    let (agent, mut sale) = (w.agent(), sale());
    sale["send"] = json!([{"channel": channel, "to": to}]);
    let link = agent.creates(&sale).await;
    let delivery = link["deliveries"][0].clone();
    assert_eq!(link["deliveries"].as_array().map(Vec::len), Some(1));
    (agent, link, delivery)
}

/// Everything in a text that starts like a URL.
fn urls(text: &str) -> Vec<&str> {
    text.split_whitespace()
        .filter(|word| word.contains("://"))
        .collect()
}

async fn a_mail_says_who_how_much_for_what_and_where(w: &World) {
    let to = email();
    let (agent, link, delivery) = sent(w, "email", &to).await;
    let done = agent
        .until_delivery(id(&link), id(&delivery), "sent", 15)
        .await;
    assert!(id(&done).starts_with("dlv_"));
    assert_eq!(
        (&done["object"], &done["channel"]),
        (&json!("delivery"), &json!("email"))
    );
    assert_eq!(done["to"], "q***@example.com");
    assert!(
        done["sent_at"].is_string() && done["reason"].is_null(),
        "{done:#}"
    );
    assert_eq!(done["attempts"], 1);
    for member in [
        "next_attempt_at",
        "gateway",
        "gateway_message_id",
        "segments",
    ] {
        assert!(done.get(member).is_some(), "{member} is not in {done:#}");
    }
    let mails = w.mail.to(&to);
    assert_eq!(mails.len(), 1);
    let url = link["url"].as_str().expect("a URL");
    let plain = mails[0].plain();
    for word in [
        "Acme Shop",
        "500.00",
        link["reference"].as_str().expect("text"),
        "+44 20 7946 0123",
        "UTC",
    ] {
        assert!(plain.contains(word), "`{word}` is not in {plain}");
    }
    assert_eq!(urls(&plain), [url], "one URL, and it stands alone");
    for (kind, text) in mails[0].texts() {
        assert!(text.contains(url), "{kind} has the link");
    }
    assert!(
        mails[0]
            .header("from")
            .is_some_and(|from| from.contains("pay@shop.example"))
    );
    assert!(mails[0].header("message-id").is_some() && mails[0].header("date").is_some());
    let timeline = agent.timeline(id(&link)).await;
    let event = timeline
        .iter()
        .find(|event| event["type"] == "delivery.sent")
        .expect("delivery.sent");
    assert_eq!(event["data"]["delivery"]["id"], delivery["id"]);
    assert!(
        timeline
            .iter()
            .any(|event| event["type"] == "delivery.queued")
    );
}

async fn an_sms_says_the_same(w: &World) {
    let to = phone();
    let (agent, link, delivery) = sent(w, "sms", &to).await;
    let done = agent
        .until_delivery(id(&link), id(&delivery), "sent", 15)
        .await;
    assert_eq!(done["to"], format!("+44***{}", &to[10..]));
    let messages = w.sms.to(&to);
    assert_eq!(messages.len(), 1);
    let message = &messages[0];
    assert_eq!(
        (message.method.as_str(), message.path.as_str()),
        ("POST", "/send")
    );
    assert!(message.headers["content-type"].starts_with("application/json"));
    assert_eq!(message.body["id"], delivery["id"]);
    assert_eq!(message.body["from"], "AcmeShop");
    let text = message.body["text"].as_str().expect("a text");
    let url = link["url"].as_str().expect("a URL");
    for word in [
        "Acme Shop",
        "500.00",
        link["reference"].as_str().expect("text"),
    ] {
        assert!(text.contains(word), "`{word}` is not in {text}");
    }
    assert_eq!(
        urls(text),
        [url],
        "the link stands alone, so that no phone takes a full stop into it"
    );
    assert!(
        done["gateway_message_id"]
            .as_str()
            .is_some_and(|id| id.starts_with("gw-")),
        "{done:#}"
    );
    assert!(
        done["segments"]
            .as_u64()
            .is_some_and(|segments| segments >= 1),
        "{done:#}"
    );
    assert_eq!(done["gateway"], "http");
}

async fn the_buyers_own_contacts_are_the_default(w: &World) {
    let (mut sale, mail, number) = (sale(), email(), phone());
    sale["billing_address"]["email"] = json!(mail);
    sale["billing_address"]["phone"] = json!(format!("0{}", &number[3..]));
    sale["send"] = json!([{"channel": "email"}, {"channel": "sms"}]);
    w.agent().creates(&sale).await;
    eventually("both arrive", async || {
        (w.mail.to(&mail).len() == 1 && w.sms.to(&number).len() == 1).then_some(())
    })
    .await;
}

async fn a_message_can_be_sent_again(w: &World) {
    let to = email();
    let (agent, link, delivery) = sent(w, "email", &to).await;
    agent
        .until_delivery(id(&link), id(&delivery), "sent", 15)
        .await;
    let path = format!("/v1/links/{}/deliveries", id(&link));
    let again = agent
        .post(&path, &json!({"channel": "email", "to": to}))
        .await
        .expect(201)
        .json();
    assert_ne!(again["id"], delivery["id"]);
    agent
        .until_delivery(id(&link), id(&again), "sent", 15)
        .await;
    assert_eq!(w.mail.to(&to).len(), 2);
    let list = agent.get(&path).await.expect(200).json();
    assert_eq!(
        (&list["object"], list["data"].as_array().map(Vec::len)),
        (&json!("list"), Some(2))
    );
}

async fn a_delivery_is_judged_like_a_sale(w: &World) {
    let agent = w.agent();
    let link = agent.creates(&sale()).await;
    let path = format!("/v1/links/{}/deliveries", id(&link));
    for (body, place, code) in [
        (json!({"channel": "fax"}), "/channel", "invalid_value"),
        (json!({}), "/channel", "required"),
        (
            json!({"channel": "email", "to": "a@b"}),
            "/to",
            "invalid_format",
        ),
        (
            json!({"channel": "sms", "to": "+449098790000"}),
            "/to",
            "not_deliverable",
        ),
        (json!({"channel": "sms", "cc": "x"}), "/cc", "unknown_field"),
    ] {
        let faults = agent.post(&path, &body).await.faults();
        assert!(
            faults.contains(&(place.to_owned(), code.to_owned())),
            "{body}: {faults:?}"
        );
    }
    assert_eq!(agent.get(&path).await.expect(200).json()["data"], json!([]));
}

async fn a_gateways_answer_decides(w: &World) {
    let mut waits = Vec::new();
    for (reply, status, code) in [
        (Reply::Status(200), "sent", Value::Null),
        (Reply::Status(202), "sent", Value::Null),
        (Reply::Status(302), "failed", json!("rejected")),
        (Reply::Status(400), "failed", json!("rejected")),
        (Reply::Status(401), "failed", json!("gateway_auth")),
        (Reply::Status(500), "unknown", json!("unknown_outcome")),
        (Reply::Status(503), "unknown", json!("unknown_outcome")),
        (Reply::Cut, "unknown", json!("unknown_outcome")),
        (Reply::Silence, "unknown", json!("unknown_outcome")),
    ] {
        let to = phone();
        w.sms.replies(&to, std::slice::from_ref(&reply));
        let (agent, link, delivery) = sent(w, "sms", &to).await;
        waits.push(async move {
            // a gateway that says nothing is given 15 s
            let done = agent
                .until_delivery(id(&link), id(&delivery), status, 22)
                .await;
            match (&reply, &code) {
                (Reply::Status(400 | 401 | 302), _) => {
                    assert!(done["reason"]["code"].is_string(), "{reply:?}: {done:#}");
                }
                (_, Value::Null) => assert!(done["reason"].is_null(), "{reply:?}: {done:#}"),
                _ => assert_eq!(done["reason"]["code"], code, "{reply:?}"),
            }
            let event = format!("delivery.{status}");
            assert!(
                agent
                    .timeline(id(&link))
                    .await
                    .iter()
                    .any(|one| one["type"] == event),
                "{reply:?}: {event}"
            );
            assert_eq!(w.sms.to(&to).len(), 1, "{reply:?}: nothing is sent twice");
        });
    }
    futures_util::future::join_all(waits).await;
}

fn moment(text: &str) -> jiff::Timestamp {
    text.parse().expect("a time")
}

async fn a_busy_gateway_is_asked_again(w: &World) {
    let to = phone();
    w.sms.replies(&to, &[Reply::Busy(9)]);
    let (agent, link, delivery) = sent(w, "sms", &to).await;
    eventually("it waits", async || {
        let link = agent.link(id(&link)).await;
        let one = &link["deliveries"][0];
        let next = one["next_attempt_at"].as_str()?;
        let (next, seen) = (moment(next), moment(link["updated_at"].as_str()?));
        // 5 s without the gateway's own wish
        assert!(next.duration_since(seen).as_secs() >= 8, "{one:#}");
        (one["status"] == "queued" && one["attempts"] == 1).then_some(())
    })
    .await;
    agent
        .until_delivery(id(&link), id(&delivery), "sent", 15)
        .await;
    let messages = w.sms.to(&to);
    assert_eq!(messages.len(), 2);
    assert_eq!(
        messages[0].body["id"], messages[1].body["id"],
        "the same message"
    );
}

async fn a_mail_that_is_refused_for_now_waits(w: &World) {
    for ailment in [Ailment::Recipient(450), Ailment::Body(451)] {
        let to = email();
        w.mail.ails(&to, &[ailment]);
        let (agent, link, delivery) = sent(w, "email", &to).await;
        let waiting = eventually("it waits", async || {
            let list = agent
                .get(&format!("/v1/links/{}/deliveries", id(&link)))
                .await
                .expect(200)
                .json();
            let one = list["data"][0].clone();
            (one["attempts"] == 1 && one["status"] == "queued").then_some(one)
        })
        .await;
        assert_eq!(waiting["id"], delivery["id"]);
        let at = |value: &Value| {
            value
                .as_str()
                .expect("a time")
                .parse::<jiff::Timestamp>()
                .expect("RFC 3339")
        };
        let wait = at(&waiting["next_attempt_at"])
            .duration_since(at(&link["created_at"]))
            .as_secs();
        assert!(
            (58..=75).contains(&wait),
            "{ailment:?}: again after {wait} s, not 1 min + up to 10 %"
        );
    }
}

async fn a_mail_that_is_refused_fails(w: &World) {
    for ailment in [Ailment::Recipient(550), Ailment::Body(554)] {
        let to = email();
        w.mail.ails(&to, &[ailment]);
        let (agent, link, delivery) = sent(w, "email", &to).await;
        let done = agent
            .until_delivery(id(&link), id(&delivery), "failed", 15)
            .await;
        assert!(
            done["reason"]["code"].is_string() && done["reason"]["detail"].is_string(),
            "{done:#}"
        );
        assert!(w.mail.to(&to).iter().all(|mail| !mail.accepted));
        assert!(
            agent
                .timeline(id(&link))
                .await
                .iter()
                .any(|event| event["type"] == "delivery.failed")
        );
        assert_eq!(
            agent.link(id(&link)).await["status"],
            "open",
            "the link can still be shown as a QR code"
        );
    }
}

async fn a_cut_before_the_body_is_repeated(w: &World) {
    let to = email();
    w.mail.ails(&to, &[Ailment::CutBeforeBody]);
    let (agent, link, delivery) = sent(w, "email", &to).await;
    let done = agent
        .until_delivery(id(&link), id(&delivery), "sent", 15)
        .await;
    assert_eq!(done["attempts"], 2);
    assert_eq!(w.mail.to(&to).len(), 1);
}

async fn a_cut_after_the_body_is_unknown(w: &World) {
    let to = email();
    w.mail.ails(&to, &[Ailment::CutAfterBody]);
    let (agent, link, delivery) = sent(w, "email", &to).await;
    let done = agent
        .until_delivery(id(&link), id(&delivery), "unknown", 15)
        .await;
    assert_eq!(done["reason"]["code"], "unknown_outcome");
    assert!(
        agent
            .timeline(id(&link))
            .await
            .iter()
            .any(|event| event["type"] == "delivery.unknown")
    );
    assert_eq!(w.mail.to(&to).len(), 1, "a person decides");
}

async fn closing_a_link_skips_what_waits(w: &World) {
    let to = email();
    w.mail.ails(&to, &[Ailment::Recipient(450)]);
    let (agent, link, delivery) = sent(w, "email", &to).await;
    eventually("it waits for its second try", async || {
        let one = agent.link(id(&link)).await["deliveries"][0].clone();
        (one["status"] == "queued" && one["attempts"] == 1).then_some(())
    })
    .await;
    agent.disables(id(&link)).await.expect(200);
    let done = agent
        .until_delivery(id(&link), id(&delivery), "skipped", 15)
        .await;
    assert_eq!(done["reason"]["code"], "link_closed");
    let timeline = agent.timeline(id(&link)).await;
    assert!(
        timeline
            .iter()
            .any(|event| event["type"] == "delivery.skipped")
    );
}

async fn a_closed_link_sends_nothing(w: &World) {
    let agent = w.agent();
    let link = agent.creates(&sale()).await;
    agent.disables(id(&link)).await.expect(200);
    let path = format!("/v1/links/{}/deliveries", id(&link));
    agent
        .post(&path, &json!({"channel": "email", "to": email()}))
        .await
        .problem(409, "not_payable");
}

async fn a_success_value_must_be_there(w: &World) {
    for (reply, status) in [
        (Reply::Status(200), "sent"),
        (Reply::Says(200, r#"{"id":"1","state":"error"}"#), "unknown"),
        (Reply::Says(200, "fine"), "unknown"),
    ] {
        let to = phone();
        w.sms.replies(&to, &[reply]);
        let (agent, link, delivery) = sent(w, "sms", &to).await;
        agent
            .until_delivery(id(&link), id(&delivery), status, 15)
            .await;
    }
}

async fn headers_are_the_operators(w: &World) {
    let to = phone();
    sent(w, "sms", &to).await;
    let message = eventually("it arrives", async || w.sms.to(&to).pop()).await;
    assert_eq!(
        (
            message.headers["authorization"].as_str(),
            message.headers["x-shop"].as_str()
        ),
        ("Token abc", "acme")
    );
}

async fn a_recipient_is_not_flooded(w: &World) {
    for (channel, to) in [("sms", phone()), ("email", email())] {
        let (agent, link, _) = sent(w, channel, &to).await;
        let path = format!("/v1/links/{}/deliveries", id(&link));
        let answer = agent
            .post(&path, &json!({"channel": channel, "to": to}))
            .await;
        answer.problem(429, "send_rate_limited");
        assert!(answer.retry_after() > 0);
    }
}
