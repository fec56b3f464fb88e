//! What the buyer does, by the control interface and by the page, and what every API then says.

use jiff::SignedDuration;
use reqwest::Method;
use serde_json::{Value, json};

use super::{Sim, mug_order, sim};

/// From each status (reached by these acts), what each act makes of it; `None` = refused.
#[tokio::test]
async fn the_whole_square_of_statuses_and_acts() {
    let sim = sim().await;
    let acts = [
        "open", "pay", "back", "cancel", "decline", "error", "timeout", "expire",
    ];
    let reached = [
        ("WAITING", None),
        ("IN_PROGRESS", Some("open")),
        ("BACK", Some("back")),
        ("FAILED", Some("decline")),
        ("ERROR", Some("error")),
        ("COMPLETED", Some("pay")),
        ("CANCELLED", Some("cancel")),
    ];
    for (from, by) in reached {
        for act in acts {
            let order = sim.order().await;
            let urls = json!({ "cancel": "https://shop.example/cancel" });
            let session = sim.session(&order, urls).await["session_id"].clone();
            let session = session.as_str().unwrap();
            if let Some(by) = by {
                assert_eq!(sim.act(session, by).await.json()["status"], from);
            }
            let got = sim.act(session, act).await;
            let expected = match (from, act) {
                ("COMPLETED" | "CANCELLED", _) => None,
                (_, "open") => Some("IN_PROGRESS"),
                (_, "pay") => Some("COMPLETED"),
                (_, "back") => Some("BACK"),
                (_, "cancel") => Some("CANCELLED"),
                (_, "decline") => Some("FAILED"),
                (_, "error") => Some("ERROR"),
                (from, _) => Some(from),
            };
            match expected {
                None => assert_eq!(got.status, 409, "{act} from {from}"),
                Some(status) => assert_eq!(got.json()["status"], status, "{act} from {from}"),
            }
            if act == "expire" && expected.is_some() {
                assert_eq!(sim.read_session(session).await.status, 404);
                assert_eq!(
                    sim.get(&format!("/checkout/v3/orders/{order}"))
                        .await
                        .status,
                    404
                );
                assert_eq!(sim.act(session, "pay").await.status, 409);
            }
        }
    }
    assert_eq!(
        sim.act("5b0c6f1e-6f0e-6d27-9d8a-1f6a2b7c9e11", "pay")
            .await
            .status,
        404
    );
    assert_eq!(sim.act("x", "pay").await.status, 404);
    assert_eq!(sim.act("x", "steal").await.status, 400);
    sim.running.stop().await;
}

#[tokio::test]
async fn without_a_url_for_it_a_cancel_is_a_way_back() {
    let sim = sim().await;
    let (_, session) = sim.pair().await;
    assert_eq!(sim.act(&session, "cancel").await.json()["status"], "BACK");
    sim.running.stop().await;
}

#[tokio::test]
async fn a_payment_shows_in_all_three_apis() {
    let sim = sim().await;
    let (order, session) = sim.pair().await;
    let payment = format!("/ordermanagement/v1/orders/{order}");
    let got = sim.get(&payment).await;
    assert_eq!(
        (got.status, &got.json()["error_code"]),
        (404, &json!("NO_SUCH_ORDER"))
    );
    assert_eq!(
        sim.post(&format!("{payment}/acknowledge"), &json!({}))
            .await
            .status,
        404
    );

    assert_eq!(sim.act(&session, "pay").await.status, 200);
    let checkout = sim
        .get(&format!("/checkout/v3/orders/{order}"))
        .await
        .json();
    assert_eq!(checkout["status"], "checkout_complete");
    assert_eq!(checkout["completed_at"], "2026-11-23T09:00:03Z");
    assert_eq!(
        checkout["billing_address"]["email"], "kim@example.com",
        "the merchant's stays"
    );
    let hosted = sim.read_session(&session).await.json();
    assert_eq!(
        (&hosted["status"], &hosted["order_id"]),
        (&json!("COMPLETED"), &json!(order))
    );
    let managed = sim.get(&payment).await.json();
    for (member, value) in [
        ("status", json!("AUTHORIZED")),
        ("fraud_status", json!("ACCEPTED")),
        ("order_amount", json!(4799)),
        ("original_order_amount", json!(4799)),
        ("captured_amount", json!(0)),
        ("remaining_authorized_amount", json!(4799)),
        ("purchase_country", json!("GB")),
        ("purchase_currency", json!("GBP")),
        ("merchant_reference1", json!("INV-1042")),
        ("merchant_reference2", json!("lnk_81")),
        ("order_lines", checkout["order_lines"].clone()),
        ("created_at", json!("2026-11-23T09:00:03.507Z")),
        ("expires_at", json!("2026-12-21T09:00:03.507Z")),
        ("captures", json!([])),
        ("refunds", json!([])),
    ] {
        assert_eq!(managed[member], value, "{member}");
    }
    assert_eq!(managed["billing_address"]["country"], "GB");
    assert_eq!(managed["klarna_reference"], hosted["klarna_reference"]);
    assert_eq!(managed["klarna_reference"].as_str().unwrap().len(), 8);
    assert_eq!(
        sim.get(&format!("{payment}/captures")).await.json(),
        json!([])
    );
    assert_eq!(
        sim.get(&format!("{payment}/refunds/{order}")).await.status,
        404
    );

    sim.advance(SignedDuration::from_hours(28 * 24)).await;
    assert_eq!(sim.get(&payment).await.json()["status"], "EXPIRED");
    assert_eq!(
        sim.get(&format!("/checkout/v3/orders/{order}"))
            .await
            .status,
        200
    );
    sim.running.stop().await;
}

#[tokio::test]
async fn with_auto_capture_the_payment_is_captured_at_once() {
    let sim = sim().await;
    let mut asked = mug_order();
    asked["options"]["auto_capture"] = json!(true);
    let order = sim.order_of(&asked).await;
    let session = sim.session(&order, json!({})).await;
    sim.act(session["session_id"].as_str().unwrap(), "pay")
        .await;
    let payment = format!("/ordermanagement/v1/orders/{order}");
    let managed = sim.get(&payment).await.json();
    assert_eq!(
        (&managed["status"], &managed["captured_amount"]),
        (&json!("CAPTURED"), &json!(4799))
    );
    assert_eq!(managed["remaining_authorized_amount"], 0);
    let captures = sim.get(&format!("{payment}/captures")).await.json();
    assert_eq!(captures, managed["captures"]);
    let id = captures[0]["capture_id"].as_str().unwrap();
    assert_eq!(
        sim.get(&format!("{payment}/captures/{id}")).await.json(),
        captures[0]
    );
    let got = sim.get(&format!("{payment}/captures/{order}")).await;
    assert_eq!(
        (got.status, &got.json()["error_code"]),
        (404, &json!("NO_SUCH_CAPTURE"))
    );
    sim.running.stop().await;
}

/// A session with a URL for everything, its page.
async fn page(sim: &Sim, urls: Value) -> (String, String) {
    let mut order = mug_order();
    order["order_lines"][0]["name"] = json!("Mug <script>");
    let order = sim.order_of(&order).await;
    let session = sim.session(&order, urls).await;
    let text = |name: &str| session[name].as_str().unwrap().to_owned();
    (text("session_id"), text("redirect_url"))
}

fn all_urls() -> Value {
    let url = |name: &str| format!("https://shop.example/{name}?s={{{{session_id}}}}");
    json!({ "success": url("success"), "back": url("back"), "failure": url("failure"), "error": url("error") })
}

#[tokio::test]
async fn a_person_can_do_it_all_on_the_page() {
    let sim = sim().await;
    let (session, page) = page(&sim, all_urls()).await;
    let looked = sim.call(Method::HEAD, &page, None).await;
    assert_eq!(looked.status, 200);
    assert_eq!(
        sim.read_session(&session).await.json()["status"],
        "WAITING",
        "a HEAD opens nothing"
    );
    let shown = sim.get(&page).await;
    assert_eq!(shown.status, 200);
    assert!(shown.header("content-type").starts_with("text/html"));
    for words in [
        "Klarna simulator",
        "shop.example",
        "Mug &lt;script&gt;",
        "Pay 47.99",
        "GBP",
        "Back to the shop",
        "INV-1042",
    ] {
        assert!(shown.text.contains(words), "{words}");
    }
    assert!(!shown.text.contains("<script>") && !shown.text.contains("Cancel the payment"));
    assert_eq!(
        sim.read_session(&session).await.json()["status"],
        "IN_PROGRESS"
    );
    for (act, url, status) in [
        ("decline", "failure", "FAILED"),
        ("error", "error", "ERROR"),
        ("back", "back", "BACK"),
        ("pay", "success", "COMPLETED"),
        ("pay", "success", "COMPLETED"), // pressed twice
    ] {
        let got = sim.call(Method::POST, &format!("{page}/{act}"), None).await;
        assert_eq!(got.status, 303, "{act}");
        assert_eq!(
            got.header("location"),
            format!("https://shop.example/{url}?s={session}")
        );
        assert_eq!(sim.read_session(&session).await.json()["status"], status);
    }
    let again = sim.get(&page).await;
    assert!(again.status == 200 && again.text.contains("This order is paid"));
    assert_eq!(
        sim.call(Method::POST, &format!("{page}/decline"), None)
            .await
            .status,
        404
    );
    sim.running.stop().await;
}

#[tokio::test]
async fn where_the_merchant_has_no_page_there_is_one_here() {
    let sim = sim().await;
    let urls = json!({ "failure": "https://shop.example/no", "cancel": "https://shop.example/c" });
    let (_, with_failure) = page(&sim, urls).await;
    assert!(
        sim.get(&with_failure)
            .await
            .text
            .contains("Cancel the payment")
    );
    let got = sim
        .call(Method::POST, &format!("{with_failure}/error"), None)
        .await;
    assert_eq!(
        got.header("location"),
        "https://shop.example/no",
        "no page for errors: the one for refusals"
    );
    let (_, umlaut) = page(
        &sim,
        json!({ "back": "https://shop.example/zurück?s={{session_id}}" }),
    )
    .await;
    let got = sim
        .call(Method::POST, &format!("{umlaut}/back"), None)
        .await;
    assert!(
        got.header("location")
            .starts_with("https://shop.example/zur%C3%BCck?s=")
    );
    let (_, bare) = page(&sim, json!({ "success": "" })).await;
    let got = sim.call(Method::POST, &format!("{bare}/pay"), None).await;
    assert!(got.status == 200 && got.text.contains("Paid"));
    sim.running.stop().await;
}

#[tokio::test]
async fn a_closed_link_says_so() {
    let sim = sim().await;
    let (session, page) = page(&sim, all_urls()).await;
    sim.get(&page).await;
    assert_eq!(
        sim.delete(&format!("/hpp/v1/sessions/{session}"))
            .await
            .status,
        204
    );
    let got = sim.get(&page).await;
    assert!(got.status == 410 && got.text.contains("closed"));
    assert_eq!(sim.call(Method::HEAD, &page, None).await.status, 410);
    assert_eq!(
        sim.call(Method::POST, &format!("{page}/pay"), None)
            .await
            .status,
        404
    );
    let (_, late) = self::page(&sim, all_urls()).await;
    sim.advance(SignedDuration::from_hours(47)).await;
    assert_eq!(sim.get(&late).await.status, 410);
    let other = format!("{}/eu/hpp/payments/none", sim.running.url());
    for path in [
        other.clone(),
        format!("{other}/qr"),
        "/eu/elsewhere".to_owned(),
    ] {
        assert_eq!(sim.get(&path).await.status, 404);
    }
    sim.running.stop().await;
}
