//! Order Management's changes: the arithmetic, and what each state allows.

use jiff::SignedDuration;
use reqwest::Method;
use serde_json::json;

use super::{Got, Sim, mug_order, sim};

/// The order's numbers: status, order, captured, refunded, remaining.
pub(super) async fn stands(sim: &Sim, path: &str) -> (String, [i64; 4]) {
    let order = sim.get(path).await.json();
    let number = |name: &str| order[name].as_i64().unwrap();
    (
        order["status"].as_str().unwrap().to_owned(),
        [
            number("order_amount"),
            number("captured_amount"),
            number("refunded_amount"),
            number("remaining_authorized_amount"),
        ],
    )
}

async fn capture(sim: &Sim, path: &str, amount: i64) -> Got {
    let body = json!({ "captured_amount": amount });
    sim.post(&format!("{path}/captures"), &body).await
}

async fn refund(sim: &Sim, path: &str, amount: i64) -> Got {
    let body = json!({ "refunded_amount": amount });
    sim.post(&format!("{path}/refunds"), &body).await
}

async fn press(sim: &Sim, path: &str, what: &str) -> Got {
    sim.post(&format!("{path}/{what}"), &json!({})).await
}

pub(super) fn refused(got: &Got, code: &str) {
    assert_eq!(got.status, 403, "{}", got.text);
    assert_eq!(got.json()["error_code"], code);
    assert_eq!(
        got.json()["correlation_id"],
        got.header("klarna-correlation-id")
    );
}

#[tokio::test]
async fn captures_and_refunds_add_up() {
    let sim = sim().await;
    let path = sim.paid().await;
    assert_eq!(
        stands(&sim, &path).await,
        ("AUTHORIZED".into(), [4799, 0, 0, 4799])
    );
    refused(&refund(&sim, &path, 1).await, "REFUND_NOT_ALLOWED");
    refused(&capture(&sim, &path, 4800).await, "CAPTURE_NOT_ALLOWED");
    refused(&capture(&sim, &path, 0).await, "CAPTURE_NOT_ALLOWED");
    let first = capture(&sim, &path, 4000).await;
    assert_eq!((first.status, first.text.as_str()), (201, ""));
    assert_eq!(
        stands(&sim, &path).await,
        ("PART_CAPTURED".into(), [4799, 4000, 0, 799])
    );
    refused(&capture(&sim, &path, 800).await, "CAPTURE_NOT_ALLOWED");
    refused(&refund(&sim, &path, 4001).await, "REFUND_NOT_ALLOWED");
    assert_eq!(refund(&sim, &path, 3000).await.status, 201);
    assert_eq!(capture(&sim, &path, 799).await.status, 201);
    assert_eq!(
        stands(&sim, &path).await,
        ("CAPTURED".into(), [4799, 4799, 3000, 0])
    );
    refused(&capture(&sim, &path, 1).await, "CAPTURE_NOT_ALLOWED");
    refused(&refund(&sim, &path, 1800).await, "REFUND_NOT_ALLOWED");
    refused(&refund(&sim, &path, 0).await, "REFUND_NOT_ALLOWED");
    assert_eq!(refund(&sim, &path, 1799).await.status, 201);
    assert_eq!(stands(&sim, &path).await.1, [4799, 4799, 4799, 0]);
    // the oldest capture is told of the refunds first
    let captures = sim.get(&format!("{path}/captures")).await.json();
    let refunded: Vec<_> = captures.as_array().unwrap().iter().collect();
    assert_eq!(refunded[0]["refunded_amount"], 4000);
    assert_eq!(refunded[1]["refunded_amount"], 799);
    sim.running.stop().await;
}

#[tokio::test]
async fn a_movement_is_told_as_it_was_given() {
    let sim = sim().await;
    let path = sim.paid().await;
    let line = &mug_order()["order_lines"][0];
    let given = json!({ "captured_amount": 4799, "reference": "cap_1", "description": "Shipped",
        "order_lines": [line], "shipping_info": [{ "tracking_number": "T1" }], "extra": 1 });
    let made = sim.post(&format!("{path}/captures"), &given).await;
    let id = made.header("capture-id");
    let location = format!("{}{path}/captures/{id}", sim.running.url());
    assert_eq!(made.header("location"), location);
    let told = sim.get(&format!("{path}/captures/{id}")).await.json();
    for name in [
        "captured_amount",
        "reference",
        "description",
        "order_lines",
        "shipping_info",
    ] {
        assert_eq!(told[name], given[name], "{name}");
    }
    assert_eq!(told.get("extra"), None);
    assert_eq!(told["captured_at"], "2026-11-23T09:00:03.507Z");
    assert_eq!(sim.get(&path).await.json()["captures"], json!([told]));

    let given = json!({ "refunded_amount": 2400, "reference": "rfd_1", "order_lines": [line] });
    let made = sim.post(&format!("{path}/refunds"), &given).await;
    let id = made.header("refund-id");
    let location = format!("{}{path}/refunds/{id}", sim.running.url());
    assert_eq!(made.header("location"), location);
    let told = sim.get(&format!("{path}/refunds/{id}")).await.json();
    for name in ["refunded_amount", "reference", "order_lines"] {
        assert_eq!(told[name], given[name], "{name}");
    }
    assert_eq!(told.get("description"), None);
    assert_eq!(sim.get(&path).await.json()["refunds"], json!([told]));
    // the control interface shows the same
    let id = path.rsplit_once('/').unwrap().1;
    let seen = sim.get(&format!("/_sim/orders/{id}")).await.json();
    assert_eq!(seen["om"], sim.get(&path).await.json());
    let missing = sim.get(&format!("{path}/refunds/{id}")).await;
    assert_eq!(missing.json()["error_code"], "NOT_FOUND");
    sim.running.stop().await;
}

#[tokio::test]
async fn a_cancelled_order_is_dead() {
    let sim = sim().await;
    let path = sim.paid().await;
    assert_eq!(press(&sim, &path, "cancel").await.status, 204);
    assert_eq!(
        stands(&sim, &path).await,
        ("CANCELLED".into(), [4799, 0, 0, 0])
    );
    refused(&press(&sim, &path, "cancel").await, "CANCEL_NOT_ALLOWED");
    refused(&capture(&sim, &path, 1).await, "CAPTURE_NOT_ALLOWED");
    refused(&refund(&sim, &path, 1).await, "REFUND_NOT_ALLOWED");
    for what in [
        "release-remaining-authorization",
        "extend-authorization-time",
    ] {
        refused(&press(&sim, &path, what).await, "NOT_ALLOWED");
    }
    for (what, body) in [
        ("authorization", json!({ "order_amount": 1 })),
        ("merchant-references", json!({})),
        ("customer-details", json!({})),
    ] {
        refused(
            &sim.patch(&format!("{path}/{what}"), &body).await,
            "NOT_ALLOWED",
        );
    }
    let path = sim.paid().await;
    capture(&sim, &path, 1).await;
    refused(&press(&sim, &path, "cancel").await, "CANCEL_NOT_ALLOWED");
    sim.running.stop().await;
}

#[tokio::test]
async fn a_release_gives_up_what_is_not_captured() {
    let sim = sim().await;
    let path = sim.paid().await;
    let release = "release-remaining-authorization";
    refused(&press(&sim, &path, release).await, "NOT_ALLOWED");
    capture(&sim, &path, 4000).await;
    assert_eq!(press(&sim, &path, release).await.status, 204);
    assert_eq!(
        stands(&sim, &path).await,
        ("CAPTURED".into(), [4000, 4000, 0, 0])
    );
    assert_eq!(sim.get(&path).await.json()["original_order_amount"], 4799);
    refused(&capture(&sim, &path, 1).await, "CAPTURE_NOT_ALLOWED");
    refused(&press(&sim, &path, release).await, "NOT_ALLOWED");
    sim.running.stop().await;
}

#[tokio::test]
async fn the_fraud_desk_holds_back_captures() {
    let sim = sim().await;
    let path = sim.paid().await;
    let id = path.rsplit_once('/').unwrap().1.to_owned();
    for status in ["PENDING", "REJECTED", "STOPPED"] {
        let verdict = json!({ "status": status });
        sim.post(&format!("/_sim/orders/{id}/fraud"), &verdict)
            .await;
        refused(&capture(&sim, &path, 1).await, "CAPTURE_NOT_ALLOWED");
    }
    let verdict = json!({ "status": "ACCEPTED" });
    sim.post(&format!("/_sim/orders/{id}/fraud"), &verdict)
        .await;
    assert_eq!(capture(&sim, &path, 1).await.status, 201);
    sim.running.stop().await;
}

#[tokio::test]
async fn the_authorisation_ends_unless_it_is_extended() {
    let days = |days: i64| SignedDuration::from_hours(days * 24);
    let sim = sim().await;
    let [left, partly, extended] = [sim.paid().await, sim.paid().await, sim.paid().await];
    capture(&sim, &partly, 4000).await;
    sim.advance(days(14)).await;
    let extend = "extend-authorization-time";
    for _ in 0..2 {
        // from today, not from the end that was
        assert_eq!(press(&sim, &extended, extend).await.status, 204);
        let order = sim.get(&extended).await.json();
        assert_eq!(order["expires_at"], "2027-01-04T09:00:03.507Z");
    }
    sim.advance(days(14) - SignedDuration::from_secs(1)).await;
    assert_eq!(stands(&sim, &left).await.0, "AUTHORIZED");
    sim.advance(SignedDuration::from_secs(1)).await;
    assert_eq!(
        stands(&sim, &left).await,
        ("EXPIRED".into(), [4799, 0, 0, 0])
    );
    assert_eq!(
        stands(&sim, &partly).await,
        ("PART_CAPTURED".into(), [4799, 4000, 0, 0])
    );
    for path in [&left, &partly] {
        refused(&capture(&sim, path, 1).await, "CAPTURE_NOT_ALLOWED");
        refused(&press(&sim, path, extend).await, "NOT_ALLOWED");
        let amount = json!({ "order_amount": 4799 });
        let got = sim.patch(&format!("{path}/authorization"), &amount).await;
        refused(&got, "NOT_ALLOWED");
    }
    refused(&press(&sim, &left, "cancel").await, "CANCEL_NOT_ALLOWED");
    assert_eq!(refund(&sim, &partly, 4000).await.status, 201);
    // never beyond 180 days after the purchase
    for _ in 0..6 {
        press(&sim, &extended, extend).await;
        sim.advance(days(27)).await;
    }
    let order = sim.get(&extended).await.json();
    assert_eq!(order["expires_at"], "2027-05-22T09:00:03.507Z");
    assert_eq!(order["status"], "EXPIRED");
    sim.running.stop().await;
}

#[tokio::test]
async fn a_new_amount_is_never_below_what_is_captured() {
    let sim = sim().await;
    let path = sim.paid().await;
    let at = format!("{path}/authorization");
    let line = json!({ "name": "Mug", "quantity": 1, "unit_price": 5000, "total_amount": 5000 });
    let more = json!({ "order_amount": 5000, "order_lines": [line] });
    assert_eq!(sim.patch(&at, &more).await.status, 204);
    let order = sim.get(&path).await.json();
    assert_eq!(order["order_lines"], json!([line]));
    assert_eq!(order["original_order_amount"], 4799);
    assert_eq!(stands(&sim, &path).await.1, [5000, 0, 0, 5000]);
    assert_eq!(capture(&sim, &path, 3000).await.status, 201);
    let low = json!({ "order_amount": 2999 });
    refused(&sim.patch(&at, &low).await, "NOT_ALLOWED");
    assert_eq!(
        sim.patch(&at, &json!({ "order_amount": 3000 }))
            .await
            .status,
        204
    );
    assert_eq!(
        stands(&sim, &path).await,
        ("CAPTURED".into(), [3000, 3000, 0, 0])
    );
    refused(&sim.patch(&at, &more).await, "NOT_ALLOWED");
    let wrong = json!({ "order_amount": 1, "order_lines": [line] });
    let got = sim.patch(&at, &wrong).await;
    assert_eq!(
        got.json()["error_messages"],
        json!(["Bad value: order_amount"])
    );
    sim.running.stop().await;
}

#[tokio::test]
async fn details_change_without_money() {
    let sim = sim().await;
    let path = sim.paid().await;
    let got = sim
        .patch(
            &format!("{path}/merchant-references"),
            &json!({ "merchant_reference2": "X", "merchant_reference1": null }),
        )
        .await;
    assert_eq!(got.status, 204);
    let address = json!({ "shipping_address": { "city": "Leeds", "country": "gb" } });
    let at = format!("{path}/customer-details");
    assert_eq!(sim.patch(&at, &address).await.status, 204);
    let billing = json!({ "billing_address": { "city": "Leeds" } });
    refused(&sim.patch(&at, &billing).await, "NOT_ALLOWED");
    let shipments = json!({ "shipping_info": [{ "tracking_number": "T1" }] });
    for _ in 0..2 {
        let got = sim.post(&format!("{path}/shipping-info"), &shipments).await;
        assert_eq!(got.status, 204);
    }
    let order = sim.get(&path).await.json();
    assert_eq!(order["merchant_reference1"], "INV-1042");
    assert_eq!(order["merchant_reference2"], "X");
    assert_eq!(
        order["shipping_address"],
        json!({ "city": "Leeds", "country": "GB" })
    );
    assert_eq!(order["billing_address"]["city"], "Example");
    assert_eq!(order["shipping_info"].as_array().unwrap().len(), 2);

    let id = capture(&sim, &path, 1)
        .await
        .header("capture-id")
        .to_owned();
    let got = sim
        .post(&format!("{path}/captures/{id}/shipping-info"), &shipments)
        .await;
    assert_eq!(got.status, 204);
    let told = sim.get(&format!("{path}/captures/{id}")).await.json();
    assert_eq!(told["shipping_info"], shipments["shipping_info"]);
    assert_eq!(told["shipping_address"]["city"], "Leeds");
    let missing = press(&sim, &path, "captures/x/trigger-send-out").await;
    assert_eq!(missing.status, 404);
    assert_eq!(missing.json()["error_code"], "NO_SUCH_CAPTURE");
    sim.running.stop().await;
}

#[tokio::test]
async fn bodies_are_judged_by_the_document() {
    let sim = sim().await;
    let path = sim.paid().await;
    let line = |total: i64| json!({ "name": "Mug", "quantity": 2, "unit_price": 50, "total_amount": total });
    let long = "x".repeat(256);
    for (at, body, faults) in [
        ("captures", json!({}), vec!["captured_amount"]),
        (
            "captures",
            json!({ "captured_amount": 200_000_001 }),
            vec!["captured_amount"],
        ),
        (
            "captures",
            json!({ "captured_amount": -1, "reference": long, "shipping_delay": -1 }),
            vec!["captured_amount", "reference", "shipping_delay"],
        ),
        (
            "captures",
            json!({ "captured_amount": 1, "order_lines": [line(100), line(99)] }),
            vec!["order_lines[1].total_amount"],
        ),
        (
            "captures",
            json!({ "captured_amount": 1, "shipping_info": [{ "shipping_method": "Owl" }] }),
            vec!["shipping_info[0].shipping_method"],
        ),
        (
            "refunds",
            json!({ "refunded_amount": "1", "description": long }),
            vec!["refunded_amount", "description"],
        ),
        (
            "refunds",
            json!({ "refunded_amount": 1, "order_lines": [{ "name": "x", "quantity": -1 }] }),
            vec![
                "order_lines[0].quantity",
                "order_lines[0].unit_price",
                "order_lines[0].total_amount",
            ],
        ),
        (
            "shipping-info",
            json!({ "shipping_info": [] }),
            vec!["shipping_info"],
        ),
    ] {
        let got = sim.post(&format!("{path}/{at}"), &body).await;
        let expected: Vec<_> = faults
            .iter()
            .map(|path| format!("Bad value: {path}"))
            .collect();
        assert_eq!(got.status, 400, "{at} {body}");
        assert_eq!(got.json()["error_messages"], json!(expected), "{at} {body}");
    }
    let got = sim.post(&format!("{path}/captures"), &json!([])).await;
    assert_eq!(got.json()["error_code"], "BAD_REQUEST");
    let got = sim.call(Method::PUT, &format!("{path}/cancel"), None).await;
    assert_eq!(got.status, 405);
    let got = press(&sim, &path, "captures/x/y").await;
    assert_eq!(got.status, 404);
    sim.running.stop().await;
}
