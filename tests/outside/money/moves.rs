//! Capture, refund, cancel, release and extend as they are meant to go.

use serde_json::{Value, json};

use super::super::harness::world::id;
use super::super::harness::{World, WorldPlan, eventually, sale, stories};
use super::{does, listed, paid, types};

stories!(
    money_moves,
    WorldPlan::new(),
    [
        a_capture_takes_everything_once,
        a_part_and_then_the_rest,
        lines_sum_to_the_amount,
        a_capture_says_how_goods_were_sent,
        what_was_captured_can_be_given_back,
        an_authorisation_is_given_up,
        what_is_left_is_released,
        more_time_is_asked_for,
        what_is_not_paid_has_no_money,
        money_is_for_those_who_may,
        if_match_guards_money,
    ]
);

async fn a_capture_takes_everything_once(w: &World) {
    let who = w.integrator();
    let link = paid(w, &who).await;
    let path = format!("/v1/links/{}/capture", id(&link));
    let body = json!({"reference": "INV-1"});
    let key = format!("take-{}", id(&link));
    let first = who.post(&path, &body).idempotent(&key).await.expect(201);
    let capture = first.json();
    assert_eq!(
        (
            &capture["object"],
            &capture["link"],
            &capture["amount"],
            &capture["reference"],
            &capture["status"]
        ),
        (
            &json!("capture"),
            &link["id"],
            &json!(50_000),
            &json!("INV-1"),
            &json!("done")
        )
    );
    assert!(id(&capture).starts_with("cap_"), "{capture}");
    assert!(capture["created_at"].is_string() && capture["klarna_id"].is_string());
    let again = who.post(&path, &body).idempotent(&key).await.expect(201);
    assert_eq!(again.header("idempotent-replayed"), Some("true"));
    assert_eq!(again.json(), capture);
    who.post(&path, &json!({"reference": "INV-2"}))
        .idempotent(&key)
        .await
        .problem(422, "idempotency_mismatch");

    let now = who.link(id(&link)).await;
    assert_eq!(
        (
            &now["payment"]["status"],
            &now["payment"]["captured_amount"],
            &now["payment"]["remaining_amount"]
        ),
        (&json!("captured"), &json!(50_000), &json!(0))
    );
    let order = w.klarna.order(&link).await;
    assert_eq!(order["om"]["captured_amount"], 50_000);
    let booked = &order["om"]["captures"][0];
    assert_eq!(booked["capture_id"], capture["klarna_id"]);
    let reference = booked["reference"].as_str().expect("a reference");
    assert!(
        reference.contains("INV-1") && reference.contains(id(&capture)),
        "{reference}"
    );
    assert_eq!(listed(&who, &link, "captures").await, [capture]);
    let told = types(&who, &link).await;
    let told: Vec<_> = told.iter().filter(|it| *it == "payment.captured").collect();
    assert_eq!(told.len(), 1);
    // nothing is left, and Klarna is not asked to say so
    let calls = w.klarna.changes().await;
    let refused = does(&who, &link, "capture", &json!({})).await;
    refused.problem(422, "validation_failed");
    assert_eq!(
        refused.faults(),
        [("/amount".into(), "out_of_range".into())]
    );
    assert_eq!(w.klarna.changes().await, calls);
}

async fn a_part_and_then_the_rest(w: &World) {
    let who = w.caller("supervisor", "default");
    let link = paid(w, &who).await;
    let part = does(&who, &link, "capture", &json!({"amount": 20_000})).await;
    assert_eq!(part.expect(201).json()["amount"], 20_000);
    let now = who.link(id(&link)).await;
    assert_eq!(
        (
            &now["payment"]["status"],
            &now["payment"]["remaining_amount"]
        ),
        (&json!("part_captured"), &json!(30_000))
    );
    for amount in [30_001, 0, -1] {
        let refused = does(&who, &link, "capture", &json!({ "amount": amount })).await;
        refused.problem(422, "validation_failed");
        assert_eq!(
            refused.faults(),
            [("/amount".into(), "out_of_range".into())]
        );
    }
    let rest = does(&who, &link, "capture", &json!({})).await;
    assert_eq!(rest.expect(201).json()["amount"], 30_000);
    assert_eq!(listed(&who, &link, "captures").await.len(), 2);
}

async fn lines_sum_to_the_amount(w: &World) {
    let who = w.integrator();
    let link = paid(w, &who).await;
    let shirts =
        json!({"name": "Red T-Shirt", "quantity": 2, "unit_price": 10_000, "tax_rate": 1_000});
    let wrong = json!({"amount": 19_999, "order_lines": [shirts]});
    let refused = does(&who, &link, "capture", &wrong).await;
    refused.problem(422, "validation_failed");
    assert_eq!(
        refused.faults(),
        [("/amount".into(), "sum_mismatch".into())]
    );
    let nonsense = json!({"amount": "1", "order_lines": [], "reference": "", "tip": 1});
    let faults = does(&who, &link, "capture", &nonsense).await.faults();
    let pointers: Vec<_> = faults.iter().map(|(pointer, _)| pointer.as_str()).collect();
    for pointer in ["/amount", "/order_lines", "/reference", "/tip"] {
        assert!(pointers.contains(&pointer), "{faults:?}");
    }
    // a null, or no body, may be a slip, and the whole amount is much
    for call in ["capture", "refunds"] {
        let bare = who.press(&format!("/v1/links/{}/{call}", id(&link))).await;
        bare.problem(415, "unsupported_media_type");
        let refused = does(&who, &link, call, &json!({"amount": null})).await;
        assert_eq!(refused.faults(), [("/amount".into(), "wrong_type".into())]);
    }
    let taken = does(&who, &link, "capture", &json!({"order_lines": [shirts]})).await;
    assert_eq!(taken.expect(201).json()["amount"], 20_000);
    let om = &w.klarna.order(&link).await["om"];
    assert_eq!(
        om["captures"][0]["order_lines"][0]["total_tax_amount"],
        1_818
    );
}

async fn a_capture_says_how_goods_were_sent(w: &World) {
    let who = w.integrator();
    let link = paid(w, &who).await;
    let sent = json!([{"shipping_company": "DHL UK", "shipping_method": "Home",
        "tracking_number": "63456415", "tracking_uri": "https://dhl.example.com/63456415"}]);
    let body = json!({"amount": 100, "shipping_info": sent});
    let capture = does(&who, &link, "capture", &body).await.expect(201).json();
    assert_eq!(capture["shipping_info"], sent);
    let om = &w.klarna.order(&link).await["om"];
    assert_eq!(om["captures"][0]["shipping_info"], sent);
    let wrong = json!({"amount": 100, "shipping_info": [{"shipping_method": "Owl",
        "tracking_uri": "javascript:x", "tracking_number": "x".repeat(101)}]});
    let faults = does(&who, &link, "capture", &wrong).await.faults();
    let under = |member: &str| format!("/shipping_info/0/{member}");
    assert_eq!(
        faults,
        [
            (under("shipping_method"), "invalid_value".into()),
            (under("tracking_number"), "too_long".into()),
            (under("tracking_uri"), "invalid_value".into()),
        ]
    );
    // goods do not go out with a refund
    let refused = does(&who, &link, "refunds", &body).await;
    assert_eq!(
        refused.faults(),
        [("/shipping_info".into(), "unknown_field".into())]
    );
}

async fn what_was_captured_can_be_given_back(w: &World) {
    let who = w.integrator();
    let link = paid(w, &who).await;
    let early = does(&who, &link, "refunds", &json!({"amount": 1})).await;
    early.problem(422, "validation_failed");
    does(&who, &link, "capture", &json!({})).await.expect(201);
    let part = does(
        &who,
        &link,
        "refunds",
        &json!({"amount": 10_000, "reference": "RET-1"}),
    )
    .await;
    let part = part.expect(201).json();
    assert_eq!(
        (&part["object"], &part["status"]),
        (&json!("refund"), &json!("done"))
    );
    assert!(id(&part).starts_with("rfd_"));
    let over = does(&who, &link, "refunds", &json!({"amount": 40_001})).await;
    assert_eq!(over.faults(), [("/amount".into(), "out_of_range".into())]);
    let rest = does(&who, &link, "refunds", &json!({})).await;
    assert_eq!(rest.expect(201).json()["amount"], 40_000);
    let now = who.link(id(&link)).await;
    assert_eq!(now["payment"]["refunded_amount"], 50_000);
    assert_eq!(w.klarna.order(&link).await["om"]["refunded_amount"], 50_000);
    assert_eq!(listed(&who, &link, "refunds").await.len(), 2);
    assert_eq!(listed(&who, &link, "captures").await.len(), 1);
}

async fn an_authorisation_is_given_up(w: &World) {
    let who = w.integrator();
    let link = paid(w, &who).await;
    let path = format!("/v1/links/{}/cancel", id(&link));
    let gone = who.press(&path).idempotent("cancel-1").await.expect(200);
    let gone = gone.json();
    assert_eq!(
        (
            &gone["id"],
            &gone["status"],
            &gone["payment"]["status"],
            &gone["payment"]["remaining_amount"]
        ),
        (
            &link["id"],
            &json!("completed"),
            &json!("cancelled"),
            &json!(0)
        )
    );
    let again = who.press(&path).idempotent("cancel-1").await.expect(200);
    assert_eq!(again.header("idempotent-replayed"), Some("true"));
    assert_eq!(w.klarna.order(&link).await["om"]["status"], "CANCELLED");
    let told = types(&who, &link).await;
    let told: Vec<_> = told
        .iter()
        .filter(|it| *it == "payment.cancelled")
        .collect();
    assert_eq!(told.len(), 1);
    let late = does(&who, &link, "capture", &json!({})).await;
    late.problem(422, "validation_failed");
    who.post(&path, &json!({"sure": true}))
        .await
        .problem(422, "validation_failed");
}

async fn what_is_left_is_released(w: &World) {
    let who = w.integrator();
    let link = paid(w, &who).await;
    does(&who, &link, "capture", &json!({"amount": 20_000}))
        .await
        .expect(201);
    let path = format!("/v1/links/{}/release", id(&link));
    let released = who.press(&path).await.expect(200).json();
    assert_eq!(released["payment"]["remaining_amount"], 0);
    let om = &w.klarna.order(&link).await["om"];
    assert_eq!(om["remaining_authorized_amount"], 0);
    let told = types(&who, &link).await;
    assert!(told.contains(&"payment.released".into()), "{told:?}");
}

async fn more_time_is_asked_for(w: &World) {
    let who = w.integrator();
    let link = paid(w, &who).await;
    let path = format!("/v1/links/{}/extend", id(&link));
    // a day of Klarna's clock, so that a new period ends later
    w.klarna.passes(86_400).await;
    let extended = who.press(&path).await.expect(200).json();
    let end = |link: &Value| {
        link["payment"]["expires_at"]
            .as_str()
            .expect("an end")
            .to_owned()
    };
    assert!(
        end(&extended) > end(&link),
        "{} {}",
        end(&extended),
        end(&link)
    );
    let told = types(&who, &link).await;
    let told: Vec<_> = told.iter().filter(|it| *it == "payment.extended").collect();
    assert_eq!(told.len(), 1);
}

async fn what_is_not_paid_has_no_money(w: &World) {
    let who = w.integrator();
    let link = who.creates(&sale()).await;
    let calls = w.klarna.changes().await;
    for call in ["capture", "refunds", "cancel", "release", "extend"] {
        let refused = does(&who, &link, call, &json!({})).await;
        refused.problem(409, "not_completed");
    }
    assert_eq!(w.klarna.changes().await, calls);
    for what in ["captures", "refunds"] {
        assert!(listed(&who, &link, what).await.is_empty());
    }
}

async fn money_is_for_those_who_may(w: &World) {
    let link = paid(w, &w.integrator()).await;
    for role in ["agent", "tablet", "auditor"] {
        let who = w.caller(role, "default");
        for call in ["capture", "refunds", "cancel", "release", "extend"] {
            let refused = does(&who, &link, call, &json!({})).await;
            refused.problem(403, "forbidden");
        }
    }
    let foreign = w.caller("integrator", "north");
    for call in ["capture", "refunds", "cancel", "release", "extend"] {
        let refused = does(&foreign, &link, call, &json!({})).await;
        refused.problem(404, "not_found");
    }
    let read = listed(&w.caller("auditor", "default"), &link, "captures").await;
    assert!(read.is_empty());
    does(&w.admin(), &link, "capture", &json!({}))
        .await
        .expect(201);
}

async fn if_match_guards_money(w: &World) {
    let who = w.integrator();
    let link = paid(w, &who).await;
    let path = format!("/v1/links/{}/capture", id(&link));
    let version = async || {
        let now = who.link(id(&link)).await;
        now["version"].as_i64().expect("a version")
    };
    let before = version().await - 1;
    who.post(&path, &json!({}))
        .header("If-Match", format!("\"{before}\""))
        .await
        .problem(412, "version_mismatch");
    // its order may be acknowledged between the look and the wish; then both are made again
    eventually("it is captured at the version that was seen", async || {
        let seen = version().await;
        let captured = who.post(&path, &json!({}));
        let captured = captured.header("If-Match", format!("\"{seen}\"")).await;
        (captured.status != 412).then(|| captured.expect(201))
    })
    .await;
}
