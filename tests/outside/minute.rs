//! What takes a minute: the shortest life of a link, and the first repeat of a mail. All of it at
//! the same time.

use serde_json::json;

use super::delivering::sent;
use super::harness::world::id;
use super::harness::{Ailment, Reply, World, WorldPlan, email, phone, sale, stories, within};

stories!(
    minute,
    WorldPlan::new()
        .with("MAIL_UNKNOWN", "resend_once")
        .with("SMS_HTTP_IDEMPOTENT", "1"),
    [a_minute_passes]
);

async fn a_minute_passes(w: &World) {
    // keys first: they are made while nothing else can run
    w.agent();
    tokio::join!(
        our_own_end_is_a_disable(w),
        a_refused_mail_is_sent_a_minute_later(w),
        an_unknown_mail_is_repeated_once(w),
        an_unknown_sms_is_repeated_where_the_gateway_allows_it(w),
    );
}

async fn a_refused_mail_is_sent_a_minute_later(w: &World) {
    let to = email();
    w.mail.ails(&to, &[Ailment::Recipient(450)]);
    let (agent, link, delivery) = sent(w, "email", &to).await;
    let done = agent
        .until_delivery(id(&link), id(&delivery), "sent", 85)
        .await;
    assert_eq!(done["attempts"], 2);
    assert_eq!(w.mail.to(&to).len(), 1);
}

async fn an_unknown_mail_is_repeated_once(w: &World) {
    let (to, hopeless) = (email(), email());
    w.mail.ails(&to, &[Ailment::CutAfterBody]);
    w.mail.ails(&hopeless, &[Ailment::CutAfterBody; 2]);
    let (agent, link, delivery) = sent(w, "email", &to).await;
    let (_, second, lost) = sent(w, "email", &hopeless).await;
    agent
        .until_delivery(id(&link), id(&delivery), "sent", 85)
        .await;
    let mails = w.mail.to(&to);
    assert_eq!(mails.len(), 2);
    let name = |index: usize| mails[index].header("message-id").expect("a Message-ID");
    assert_eq!(name(0), name(1), "a reader's program may drop the second");
    // once means once
    agent
        .until_delivery(id(&second), id(&lost), "unknown", 20)
        .await;
    assert_eq!(w.mail.to(&hopeless).len(), 2);
}

async fn an_unknown_sms_is_repeated_where_the_gateway_allows_it(w: &World) {
    let to = phone();
    w.sms.replies(&to, &[Reply::Status(500), Reply::Cut]);
    let (agent, link, delivery) = sent(w, "sms", &to).await;
    agent
        .until_delivery(id(&link), id(&delivery), "sent", 60)
        .await;
    let messages = w.sms.to(&to);
    assert_eq!(messages.len(), 3);
    let same = |message: &super::harness::gateway::Message| message.body["id"] == delivery["id"];
    assert!(messages.iter().all(same), "one id");
}

async fn our_own_end_is_a_disable(w: &World) {
    let (agent, mut sale) = (w.agent(), sale());
    sale["expires_in"] = json!("PT1M");
    let link = agent.creates(&sale).await;
    let closed = within(90, async || {
        let now = agent.link(id(&link)).await;
        (now["status"] == "expired").then_some(now)
    })
    .await
    .expect("the link ends after its minute");
    assert_eq!(
        (&closed["closing_reason"], &closed["payable"]),
        (&json!("expired"), &json!(false))
    );
    assert_eq!(
        w.klarna.session(&link).await["status"],
        "DISABLED",
        "never expired while Klarna may take the money"
    );
    let types: Vec<_> = agent
        .timeline(id(&link))
        .await
        .iter()
        .map(|event| event["type"].clone())
        .collect();
    assert_eq!(types.last(), Some(&json!("link.expired")), "{types:?}");
    assert!(types.contains(&json!("link.disabling")), "{types:?}");
}
