//! What was booked elsewhere, and a day's links held against Klarna's books.

use serde_json::{Value, json};

use super::super::harness::world::id;
use super::super::harness::{World, WorldPlan, stories};
use super::{captures_elsewhere, does, listed, paid, settled};

stories!(
    money_booked_elsewhere,
    WorldPlan::new(),
    [what_was_booked_elsewhere_is_seen,]
);

stories!(money_of_a_day, WorldPlan::new(), [a_day_is_reconciled,]);

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
