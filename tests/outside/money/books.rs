//! What was booked elsewhere, and a day's links held against Klarna's books.

use std::future::IntoFuture;

use serde_json::{Value, json};

use super::super::harness::process::run;
use super::super::harness::world::id;
use super::super::harness::{Caller, World, WorldPlan, eventually, sale, stories, within};
use super::{captures_elsewhere, does, elsewhere, listed, paid, settled, types};

stories!(
    money_booked_elsewhere,
    WorldPlan::new(),
    [
        what_was_booked_elsewhere_is_seen,
        a_refresh_has_read_klarna,
        a_release_elsewhere_is_told_once,
        many_releases_at_once_are_one,
        a_second_booking_under_our_name_is_told,
    ]
);

stories!(money_of_a_day, WorldPlan::new(), [a_day_is_reconciled,]);

stories!(
    money_that_moves,
    WorldPlan::new(),
    [what_moves_is_compared_again,]
);

stories!(
    pages_of_a_day,
    WorldPlan::new(),
    [unpaid_links_are_held_against_their_pages,]
);

stories!(
    pages_by_a_wrong_clock,
    WorldPlan::new(),
    [a_clock_ahead_closes_what_it_ends,]
);

async fn what_was_booked_elsewhere_is_seen(w: &World) {
    let who = w.integrator();
    let link = paid(w, &who).await;
    captures_elsewhere(w, &link, 15_000).await;
    who.press(&format!("/v1/links/{}/refresh", id(&link)))
        .await
        .expect(200);
    let now = settled(&who, &link, |payment| payment["captured_amount"] == 15_000).await;
    assert_eq!(now["payment"]["remaining_amount"], 35_000);
    let all = listed(&who, &link, "captures").await;
    assert_eq!(
        (&all[0]["created_by"], &all[0]["amount"], &all[0]["status"]),
        (&json!("klarna"), &json!(15_000), &json!("done"))
    );
    let back = does(&who, &link, "refunds", &json!({})).await.expect(201);
    assert_eq!(back.json()["amount"], 15_000);
}

/// Who decides by what a refresh answers must not decide by old figures.
async fn a_refresh_has_read_klarna(w: &World) {
    let who = w.integrator();
    let link = paid(w, &who).await;
    captures_elsewhere(w, &link, 1_000).await;
    let refreshed = who.press(&format!("/v1/links/{}/refresh", id(&link))).await;
    let payment = &refreshed.expect(200).json()["payment"];
    assert_eq!(payment["remaining_amount"], 49_000);
}

async fn a_release_elsewhere_is_told_once(w: &World) {
    let who = w.integrator();
    let link = paid(w, &who).await;
    does(&who, &link, "capture", &json!({"amount": 1_000}))
        .await
        .expect(201);
    let status = elsewhere(w, &link, "release-remaining-authorization", &json!(null)).await;
    assert_eq!(status, 204);
    let path = format!("/v1/links/{}/refresh", id(&link));
    for _ in 0..2 {
        who.press(&path).await.expect(200);
    }
    let now = who.link(id(&link)).await;
    assert_eq!(now["payment"]["remaining_amount"], 0);
    assert_eq!(released(&who, &link).await, 1);
}

async fn released(who: &Caller, link: &Value) -> usize {
    let told = types(who, link).await;
    told.iter().filter(|it| *it == "payment.released").count()
}

/// Ten at once: one is done, and what is released is told once.
async fn many_releases_at_once_are_one(w: &World) {
    let who = w.integrator();
    let link = paid(w, &who).await;
    does(&who, &link, "capture", &json!({"amount": 1_000}))
        .await
        .expect(201);
    let path = format!("/v1/links/{}/release", id(&link));
    let calls = (0..10).map(|_| who.press(&path).into_future());
    let answers = futures_util::future::join_all(calls).await;
    for answer in answers {
        if answer.status != 200 {
            let code = answer.problem(409, &answer.json()["code"].to_string().replace('"', ""));
            assert!(
                ["busy", "klarna_not_allowed"].contains(&code["code"].as_str().unwrap_or("")),
                "{code}"
            );
        }
    }
    settled(&who, &link, |payment| payment["remaining_amount"] == 0).await;
    let all = listed(&who, &link, "operations").await;
    let done = |it: &&Value| it["object"] == "release" && it["status"] == "done";
    assert_eq!(all.iter().filter(done).count(), 1, "{all:#?}");
    assert_eq!(released(&who, &link).await, 1);
}

/// The same money twice under one name of ours is what must never be; if it is, a person hears of
/// it, and both are in the ledger.
async fn a_second_booking_under_our_name_is_told(w: &World) {
    let who = w.integrator();
    let link = paid(w, &who).await;
    let body = json!({"amount": 1_000, "reference": "INV7"});
    let capture = does(&who, &link, "capture", &body).await.expect(201).json();
    let reference = format!("INV7 {}", id(&capture));
    let again = json!({"captured_amount": 1_000, "reference": reference});
    assert_eq!(elsewhere(w, &link, "captures", &again).await, 201);
    who.press(&format!("/v1/links/{}/refresh", id(&link)))
        .await
        .expect(200);
    let all = listed(&who, &link, "captures").await;
    let by: Vec<_> = all
        .iter()
        .map(|it| (&it["amount"], it["created_by"] == "klarna"))
        .collect();
    assert_eq!(by, [(&json!(1_000), false), (&json!(1_000), true)]);
    let log = w.stderr();
    assert!(
        log.contains("operation_twice") && log.contains(id(&capture)),
        "{log}"
    );
}

async fn a_day_is_reconciled(w: &World) {
    let who = w.integrator();
    let (link, other) = (paid(w, &who).await, paid(w, &who).await);
    does(&who, &link, "capture", &json!({})).await.expect(201);
    let day = &link["updated_at"].as_str().expect("a time")[..10];
    let ended = w.runs(&["reconcile", "--day", day]);
    assert_eq!(ended.code, Some(0), "{} {}", ended.stdout, ended.stderr);
    assert!(
        ended.stdout.contains("2 compared, 0 differences"),
        "{}",
        ended.stdout
    );
    captures_elsewhere(w, &other, 5).await;
    let ended = w.runs(&["reconcile", "--day", day, "--json"]);
    assert_eq!(ended.code, Some(1), "{} {}", ended.stdout, ended.stderr);
    let lines: Vec<Value> = ended
        .stdout
        .lines()
        .map(|line| serde_json::from_str(line).expect("a JSON line"))
        .collect();
    let drift = lines
        .iter()
        .find(|line| line["what"] == "payment.captured_amount");
    assert_eq!(
        drift,
        Some(
            &json!({"link": other["id"], "what": "payment.captured_amount", "ours": "0", "klarna": "5"})
        )
    );
    let events = w.admin().get("/v1/events?type=reconcile.drift").await;
    let events = events.expect(200).json();
    let event = &events["data"][0];
    assert_eq!(
        (&event["link"], &event["sequence"], &event["data"]["link"]),
        (&Value::Null, &Value::Null, &Value::Null)
    );
    // what only a read was missing for is written down
    let now = who.link(id(&other)).await;
    assert_eq!(now["payment"]["captured_amount"], 5);
    let ended = w.runs(&["reconcile", "--day", day]);
    assert_eq!(ended.code, Some(0), "{}", ended.stdout);
    assert_eq!(w.runs(&["reconcile", "--day", "soon"]).code, Some(2));
}

/// What is on its way is no difference; what is still on its way after a while is said to be.
async fn what_moves_is_compared_again(w: &World) {
    let who = w.integrator();
    let link = paid(w, &who).await;
    let day = link["updated_at"].as_str().expect("a time")[..10].to_owned();
    for (wait, code, words) in [
        ("slow:2500", 0, "1 compared, 0 differences, 0 not compared"),
        ("hang", 1, "its money is moving just now"),
    ] {
        w.klarna.breaks("capture", wait, 1).await;
        let (asker, body) = (who.clone(), json!({"amount": 100}));
        let path = format!("/v1/links/{}/capture", id(&link));
        let answer = tokio::spawn(async move { asker.post(&path, &body).await });
        eventually("it is on its way", async || {
            let all = listed(&who, &link, "captures").await;
            all.iter().any(|it| it["status"] == "pending").then_some(())
        })
        .await;
        let ended = tokio::task::block_in_place(|| w.runs(&["reconcile", "--day", &day]));
        let said = format!("{wait}: {} {}", ended.stdout, ended.stderr);
        assert_eq!(ended.code, Some(code), "{said}");
        assert!(ended.stdout.contains(words), "{said}");
        let status = answer.await.expect("the request ends").status;
        assert!(matches!(status, 201 | 202), "{status}");
        let done = within(60, async || {
            let all = listed(&who, &link, "captures").await;
            all.iter().all(|it| it["status"] == "done").then_some(())
        });
        assert!(done.await.is_some(), "{wait}: it is never done");
    }
    let events = w.admin().get("/v1/events?type=reconcile.drift").await;
    assert_eq!(events.expect(200).json()["data"], json!([]));
}

/// By a clock that is days ahead a link's end has come. A shared database knows better; where it is
/// believed, nothing reads `expired` before its page is closed.
async fn a_clock_ahead_closes_what_it_ends(w: &World) {
    let who = w.integrator();
    let link = who.creates(&sale()).await;
    let day = link["created_at"].as_str().expect("a time")[..10].to_owned();
    let hand = w.path("hand");
    std::fs::write(&hand, (3 * 24 * 3_600).to_string()).expect("the clock is set");
    let mut env = w.env.clone();
    env.push(("PAYLINK_CHAOS_CLOCK".into(), hand.display().to_string()));
    let ended = run(&["reconcile", "--day", &day], &env, &w.dir);
    let session = link["klarna"]["session_id"].as_str().expect("a session");
    let closed = async || w.klarna.calls_of("disable_session", session).await.len();
    if w.is_postgres() {
        assert_eq!(ended.code, Some(0), "{} {}", ended.stdout, ended.stderr);
        assert_eq!(who.link(id(&link)).await["status"], "open");
        assert_eq!(closed().await, 0);
        return;
    }
    assert_eq!(ended.code, Some(1), "{} {}", ended.stdout, ended.stderr);
    let now = who.until(id(&link), "expired").await;
    assert_eq!(now["closing_reason"], "expired", "{now:#}");
    assert_eq!(closed().await, 1, "nobody can pay what reads expired");
    let order = link["klarna"]["order_id"].as_str().expect("an order");
    eventually("its order is aborted", async || {
        (!w.klarna.calls_of("abort_order", order).await.is_empty()).then_some(())
    })
    .await;
}

async fn unpaid_links_are_held_against_their_pages(w: &World) {
    let who = w.integrator();
    let mut links = Vec::new();
    for _ in 0..6 {
        links.push(who.creates(&sale()).await);
    }
    let [same, paid, cancelled, disabled, reopened, late] = &links[..] else {
        unreachable!("six were made")
    };
    who.disables(id(reopened)).await.expect(200);
    who.disables(id(late)).await.expect(200);
    let day = same["created_at"].as_str().expect("a time")[..10].to_owned();
    let ended = w.runs(&["reconcile", "--day", &day]);
    assert_eq!(ended.code, Some(0), "{} {}", ended.stdout, ended.stderr);
    assert!(
        ended.stdout.contains("6 compared, 0 differences"),
        "{}",
        ended.stdout
    );
    // nobody hears of what happens now
    w.crashes();
    w.klarna.buyer(paid, "pay").await;
    w.klarna.buyer(cancelled, "cancel").await;
    let session = disabled["klarna"]["session_id"]
        .as_str()
        .expect("a session");
    let answer = w
        .klarna
        .http
        .delete(format!("{}/hpp/v1/sessions/{session}", w.klarna.base))
        .basic_auth("sim", Some("sim"))
        .send()
        .await
        .expect("the simulator answers");
    assert_eq!(answer.status(), 204);
    let ended = w.runs(&["reconcile", "--day", &day, "--json"]);
    assert_eq!(ended.code, Some(1), "{} {}", ended.stdout, ended.stderr);
    let told: Vec<Value> = ended
        .stdout
        .lines()
        .map(|line| serde_json::from_str(line).expect("a JSON line"))
        .collect();
    for (link, klarna) in [
        (paid, "COMPLETED"),
        (cancelled, "CANCELLED"),
        (disabled, "DISABLED"),
    ] {
        let drift = json!({"link": link["id"], "what": "status", "ours": "open", "klarna": klarna});
        assert!(told.contains(&drift), "{drift} is not in {told:#?}");
    }
    let sum = json!({"day": day, "compared": 6, "differences": 3, "unread": 0});
    assert_eq!(told.last(), Some(&sum));
    w.comes_back();
    for (link, status) in [
        (same, "open"),
        (paid, "completed"),
        (cancelled, "cancelled"),
        (disabled, "disabled"),
    ] {
        assert_eq!(who.link(id(link)).await["status"], status);
    }
    let metrics = w.stranger().get("/metrics").await.expect(200);
    assert!(
        metrics.text().lines().any(|line| line
            .starts_with("paylink_reconcile_drift_total{what=\"status\"}")
            && line.ends_with(" 3")),
        "{}",
        metrics.text()
    );
    let ended = w.runs(&["reconcile", "--day", &day]);
    assert_eq!(ended.code, Some(0), "{} {}", ended.stdout, ended.stderr);
}
