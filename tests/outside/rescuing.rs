//! What a process left behind when it was killed: messages that may have left, and jobs that are parked.

use serde_json::{Value, json};

use super::delivering::sent;
use super::harness::world::id;
use super::harness::{
    Ailment, Reply, World, WorldPlan, email, eventually, phone, sale, stories, within,
};

stories!(
    rescued_under_its_name,
    WorldPlan::new().with("SMS_HTTP_IDEMPOTENT", "1"),
    [
        a_text_that_may_have_left_goes_again_under_its_name,
        what_may_have_left_is_not_called_skipped,
    ]
);

stories!(
    rescued_to_a_person,
    WorldPlan::new(),
    [a_text_that_may_have_left_is_a_persons]
);

stories!(
    rescued_from_a_slow_server,
    WorldPlan::new(),
    [a_mail_that_waits_for_its_turn_has_not_left]
);

stories!(
    rescued_from_a_stop,
    WorldPlan::new(),
    [a_mail_that_was_stopped_before_its_body_has_not_left]
);

stories!(
    parked,
    WorldPlan::new(),
    [parked_jobs_are_asked_for_beside_the_service]
);

/// A text whose gateway says nothing, until the service is killed.
async fn texted_into_silence(w: &World, replies: &[Reply]) -> (Value, String, String) {
    let (who, to, mut texted) = (w.agent(), phone(), sale());
    w.sms.replies(&to, replies);
    texted["send"] = json!([{"channel": "sms", "to": to}]);
    let link = who.creates(&texted).await;
    eventually("it has left", async || {
        (w.sms.to(&to).len() == 1).then_some(())
    })
    .await;
    let delivery = id(&link["deliveries"][0]).to_owned();
    (link, delivery, to)
}

async fn a_text_that_may_have_left_goes_again_under_its_name(w: &World) {
    let (link, delivery, to) = texted_into_silence(w, &[Reply::Silence]).await;
    w.crashes();
    w.leases_end().await;
    w.comes_back();
    w.agent()
        .until_delivery(id(&link), &delivery, "sent", 10)
        .await;
    let texts = w.sms.to(&to);
    assert_eq!(texts.len(), 2);
    assert_eq!(texts[0].body["id"], texts[1].body["id"]);
    assert_eq!(texts[0].body, texts[1].body, "one message, said twice");
}

/// The first may have arrived: that the second was refused, or the link closed, does not change it.
async fn what_may_have_left_is_not_called_skipped(w: &World) {
    let who = w.agent();
    let (link, delivery, to) =
        texted_into_silence(w, &[Reply::Status(500), Reply::Status(400)]).await;
    let now = who
        .until_delivery(id(&link), &delivery, "unknown", 30)
        .await;
    assert_eq!((w.sms.to(&to).len(), &now["attempts"]), (2, &json!(2)));
    let (link, delivery, to) =
        texted_into_silence(w, &[Reply::Status(500), Reply::Status(500)]).await;
    who.disables(id(&link)).await.expect(200);
    let now = who
        .until_delivery(id(&link), &delivery, "unknown", 30)
        .await;
    assert_eq!(now["reason"]["code"], "unknown_outcome", "{now:#}");
    assert_eq!(w.sms.to(&to).len(), 1);
}

async fn a_text_that_may_have_left_is_a_persons(w: &World) {
    let (link, delivery, to) = texted_into_silence(w, &[Reply::Silence]).await;
    w.crashes();
    w.leases_end().await;
    w.comes_back();
    let now = w
        .agent()
        .until_delivery(id(&link), &delivery, "unknown", 10)
        .await;
    assert_eq!(now["reason"]["code"], "unknown_outcome");
    assert_eq!(w.sms.to(&to).len(), 1, "never again by itself");
}

async fn parked_jobs_are_asked_for_beside_the_service(w: &World) {
    w.agent().creates(&sale()).await;
    for (args, code) in [
        (vec!["jobs"], 0),
        (vec!["jobs", "--json"], 0),
        (vec!["jobs", "retry", "--all"], 0),
        (vec!["jobs", "retry", "watch:lnk_0"], 1),
        (vec!["jobs", "retry"], 2),
        (vec!["jobs", "mend"], 2),
    ] {
        let ended = w.runs(&args);
        assert_eq!(ended.code, Some(code), "{args:?} {}", ended.stderr);
        assert_eq!(ended.stdout, "", "{args:?}");
    }
    let metrics = w.stranger().get("/metrics").await.expect(200).text();
    assert!(
        metrics.lines().any(|line| line == "paylink_jobs_parked 0"),
        "{metrics}"
    );
}

/// All conversations with the mail server stand still. What waits for one of them may still be taken
/// back, and a crash leaves no doubt about it.
async fn a_mail_that_waits_for_its_turn_has_not_left(w: &World) {
    let (agent, mut standing) = (w.agent(), Vec::new());
    let mut held = 0;
    while held == standing.len() {
        let to = email();
        w.mail.ails(&to, &[Ailment::HeldBeforeBody]);
        sent(w, "email", &to).await;
        standing.push(to);
        held = within(2, async || {
            (w.mail.held() == standing.len()).then_some(standing.len())
        })
        .await
        .unwrap_or_else(|| w.mail.held());
    }
    let mut waiting = Vec::new();
    for _ in 0..2 {
        let (mail, text, mut sale) = (email(), phone(), sale());
        sale["send"] = json!([{"channel": "email", "to": mail}, {"channel": "sms", "to": text}]);
        let link = agent.creates(&sale).await;
        // both were taken up together
        eventually("the text leaves", async || w.sms.to(&text).pop()).await;
        waiting.push((link, mail));
    }
    let [(closed, never), (open, once)] = &waiting[..] else {
        unreachable!("two were made")
    };
    // however many mails wait, texts have hands of their own
    for _ in 0..40 {
        sent(w, "email", &email()).await;
    }
    let text = phone();
    sent(w, "sms", &text).await;
    eventually("a text leaves all the same", async || w.sms.to(&text).pop()).await;
    agent.disables(id(closed)).await.expect(200);
    w.crashes();
    w.mail.lets_go();
    w.leases_end().await;
    w.comes_back();
    let of = |link: &Value| {
        let all = link["deliveries"].as_array().expect("deliveries");
        let mail = all.iter().find(|it| it["channel"] == "email");
        id(mail.expect("a mail")).to_owned()
    };
    let done = agent.until_delivery(id(open), &of(open), "sent", 30).await;
    assert_eq!((&done["attempts"], w.mail.to(once).len()), (&json!(1), 1));
    let skipped = agent
        .until_delivery(id(closed), &of(closed), "skipped", 5)
        .await;
    assert_eq!(skipped["reason"]["code"], "link_closed");
    assert!(w.mail.to(never).is_empty());
}

/// The service is asked to end while the server does not say that it takes the mail.
async fn a_mail_that_was_stopped_before_its_body_has_not_left(w: &World) {
    let to = email();
    w.mail.ails(&to, &[Ailment::HeldBeforeBody]);
    let (agent, link, delivery) = sent(w, "email", &to).await;
    eventually("the server holds it", async || {
        (w.mail.held() == 1).then_some(())
    })
    .await;
    w.stops();
    w.mail.lets_go();
    w.leases_end().await;
    w.comes_back();
    let done = agent
        .until_delivery(id(&link), id(&delivery), "sent", 30)
        .await;
    assert_eq!((&done["attempts"], w.mail.to(&to).len()), (&json!(2), 1));
}
