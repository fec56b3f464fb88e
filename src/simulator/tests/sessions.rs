//! The hosted page's sessions: made, refused, distributed, disabled, expired.

use jiff::SignedDuration;
use serde_json::{Value, json};

use super::sim;

#[tokio::test]
async fn a_session_hosts_an_order_and_ends_an_hour_before_it() {
    let sim = sim().await;
    let order = sim.order().await;
    let session = sim.session(&order, json!({})).await;
    let id = session["session_id"].as_str().unwrap();
    let base = sim.running.url();
    assert_eq!(
        session["session_url"],
        format!("{base}/hpp/v1/sessions/{id}")
    );
    assert_eq!(
        session["distribution_url"],
        format!("{base}/hpp/v1/sessions/{id}/distribution")
    );
    assert_eq!(
        session["qr_code_url"],
        format!("{base}/eu/hpp/payments/{id}/qr")
    );
    assert_eq!(session["expires_at"], "2026-11-25T08:00:03.507Z");
    let read = sim.read_session(id).await.json();
    assert_eq!(
        read,
        json!({ "session_id": id, "status": "WAITING", "updated_at": "2026-11-23T09:00:03.507Z",
                "expires_at": "2026-11-25T08:00:03.507Z" })
    );
    // its end stays where it is, though the order's slides
    sim.advance(SignedDuration::from_hours(46)).await;
    sim.act(id, "open").await;
    sim.advance(SignedDuration::from_hours(1)).await;
    let got = sim.read_session(id).await;
    assert_eq!(
        (got.status, &got.json()["error_code"]),
        (404, &json!("NOT_FOUND"))
    );
    assert_eq!(
        sim.delete(&format!("/hpp/v1/sessions/{id}")).await.status,
        404
    );
    assert_eq!(
        sim.get(&format!("/checkout/v3/orders/{order}"))
            .await
            .status,
        200
    );
    sim.running.stop().await;
}

#[tokio::test]
async fn the_picture_leads_to_the_page() {
    let sim = sim().await;
    let order = sim.order().await;
    let session = sim.session(&order, json!({})).await;
    let url = session["qr_code_url"].as_str().unwrap();
    let png = sim.http.get(url).send().await.unwrap();
    assert_eq!(png.headers()["content-type"], "image/png");
    let picture = image::load_from_memory(&png.bytes().await.unwrap())
        .unwrap()
        .to_luma8();
    let mut picture = rqrr::PreparedImage::prepare(picture);
    let grids = picture.detect_grids();
    assert_eq!(
        grids[0].decode().unwrap().1,
        session["redirect_url"].as_str().unwrap()
    );
    sim.running.stop().await;
}

#[tokio::test]
async fn what_a_session_cannot_be_made_of_is_refused() {
    let sim = sim().await;
    let order = sim.order().await;
    let hosted = json!(format!(
        "https://elsewhere.example/checkout/v3/orders/{order}"
    ));
    let both =
        json!({ "payment_method_category": "pay_later", "payment_method_categories": ["KLARNA"] });
    for (asked, path) in [
        (json!({}), "payment_session_url"),
        (json!({ "payment_session_url": 5 }), "payment_session_url"),
        (
            json!({ "payment_session_url": "https://x.example/orders/1" }),
            "payment_session_url",
        ),
        (
            json!({ "payment_session_url": order }),
            "payment_session_url",
        ),
        (
            json!({ "payment_session_url": hosted, "options": both }),
            "options.payment_method_category",
        ),
        (
            json!({ "payment_session_url": hosted, "options": { "purchase_type": "GIVE" } }),
            "options.purchase_type",
        ),
        (
            json!({ "payment_session_url": hosted, "options": { "logo_url": "http://shop.example/l.png" } }),
            "options.logo_url",
        ),
        (
            json!({ "payment_session_url": hosted, "options": { "background_images": [{ "url": "http://shop.example/b" }] } }),
            "options.background_images[0].url",
        ),
        (
            json!({ "payment_session_url": hosted, "merchant_urls": { "status_update": "http://shop.example/s" } }),
            "merchant_urls.status_update",
        ),
        (
            json!({ "payment_session_url": hosted, "merchant_urls": { "success": "shop" } }),
            "merchant_urls.success",
        ),
        (
            json!({ "payment_session_url": hosted, "profile_id": "me" }),
            "profile_id",
        ),
    ] {
        let got = sim.post("/hpp/v1/sessions", &asked).await;
        assert_eq!(got.status, 400, "{asked}");
        assert_eq!(
            got.json()["error_messages"],
            json!([format!("Bad value: {path}")])
        );
    }
    let good = json!({
        "payment_session_url": hosted, "unheard_of": 1, "profile_id": null,
        "merchant_urls": { "success": "", "back": null, "status_update": "http://127.0.0.1:1/s/{{session_id}}" },
        "options": { "payment_method_categories": ["pay_later"], "purchase_type": "buy", "logo_url": "https://shop.example/l.png" },
    });
    assert_eq!(sim.post("/hpp/v1/sessions", &good).await.status, 201);
    sim.running.stop().await;
}

#[tokio::test]
async fn an_order_that_is_over_or_nearly_over_hosts_nothing() {
    let sim = sim().await;
    let create = async |order: &str| {
        let url = format!("{}/checkout/v3/orders/{order}", sim.running.url());
        sim.post("/hpp/v1/sessions", &json!({ "payment_session_url": url }))
            .await
            .status
    };
    let (paid, session) = sim.pair().await;
    sim.act(&session, "pay").await;
    assert_eq!(create(&paid).await, 400);
    let (aborted, late) = (sim.order().await, sim.order().await);
    sim.post(&format!("/checkout/v3/orders/{aborted}/abort"), &json!({}))
        .await;
    for gone in [&aborted, "5b0c6f1e-6f0e-6d27-9d8a-1f6a2b7c9e11", "x"] {
        assert_eq!(create(gone).await, 404);
    }
    let kp = json!({ "payment_session_url": "https://api.klarna.com/payments/v1/sessions/x" });
    assert_eq!(sim.post("/hpp/v1/sessions", &kp).await.status, 404);
    sim.advance(SignedDuration::from_hours(46)).await;
    assert_eq!(create(&late).await, 201);
    sim.advance(SignedDuration::from_hours(1)).await;
    assert_eq!(create(&late).await, 404);
    sim.running.stop().await;
}

#[tokio::test]
async fn disabling_ends_a_session_as_often_as_one_likes_but_not_a_paid_one() {
    let sim = sim().await;
    let (order, session) = sim.pair().await;
    let path = format!("/hpp/v1/sessions/{session}");
    for _ in 0..2 {
        let got = sim.delete(&path).await;
        assert_eq!((got.status, got.text.as_str()), (204, ""));
    }
    assert_eq!(
        sim.read_session(&session).await.json()["status"],
        "DISABLED"
    );
    assert_eq!(sim.act(&session, "pay").await.status, 409);
    assert_eq!(
        sim.get(&format!("/checkout/v3/orders/{order}"))
            .await
            .json()["status"],
        "checkout_incomplete"
    );
    let (_, session) = sim.pair().await;
    sim.act(&session, "pay").await;
    assert_eq!(
        sim.delete(&format!("/hpp/v1/sessions/{session}"))
            .await
            .status,
        400
    );
    assert_eq!(
        sim.read_session(&session).await.json()["status"],
        "COMPLETED"
    );
    assert_eq!(sim.delete("/hpp/v1/sessions/x").await.status, 404);
    sim.running.stop().await;
}

#[tokio::test]
async fn a_distribution_is_judged_and_noted() {
    let sim = sim().await;
    let (_, session) = sim.pair().await;
    let path = format!("/hpp/v1/sessions/{session}/distribution");
    for (method, contact, code) in [
        ("email", json!({}), "MISSING_CONTACT_DATA"),
        ("email", json!({ "email": "kim" }), "CONSTRAINT_VIOLATION"),
        (
            "sms",
            json!({ "phone": "0701234567" }),
            "MISSING_CONTACT_DATA",
        ),
        (
            "sms",
            json!({ "phone": "call me", "phone_country": "SE" }),
            "CONSTRAINT_VIOLATION",
        ),
        (
            "sms",
            json!({ "phone": "0701234567", "phone_country": "AQ" }),
            "UNSUPPORTED_COUNTRY",
        ),
        (
            "token",
            json!({ "email": "kim@example.com" }),
            "MISSING_CONTACT_DATA",
        ),
        (
            "pigeon",
            json!({ "email": "kim@example.com" }),
            "CONSTRAINT_VIOLATION",
        ),
    ] {
        let asked = json!({ "method": method, "contact_information": contact });
        let got = sim.post(&path, &asked).await;
        assert_eq!(
            (got.status, &got.json()["error_code"]),
            (400, &json!(code)),
            "{asked}"
        );
    }
    let good = [
        json!({ "method": "email", "contact_information": { "email": "kim@example.com" } }),
        json!({ "method": "sms", "contact_information": { "phone": "0701234567", "phone_country": "SE" } }),
        json!({ "method": "token", "contact_information": { "access_id": "278352" } }),
    ];
    for asked in &good {
        assert_eq!(sim.post(&path, asked).await.status, 201);
    }
    let noted = sim.get(&format!("/_sim/sessions/{session}")).await.json()["distributions"].clone();
    let noted = noted.as_array().unwrap();
    assert_eq!(noted.len(), 3);
    for (note, asked) in noted.iter().zip(&good) {
        assert_eq!(note["method"], asked["method"]);
        assert_eq!(note["contact_information"], asked["contact_information"]);
        assert_ne!(note["at"], Value::Null);
    }
    sim.delete(&format!("/hpp/v1/sessions/{session}")).await;
    assert_eq!(sim.post(&path, &good[0]).await.status, 400);
    assert_eq!(
        sim.post("/hpp/v1/sessions/x/distribution", &good[0])
            .await
            .status,
        404
    );
    sim.running.stop().await;
}
