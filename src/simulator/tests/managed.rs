//! Order Management's answers against Klarna's own document: every operation, as it succeeds and as
//! it is refused.

use reqwest::Method;
use serde_json::{Value, json};

use super::contract::{Spec, document};
use super::{Got, Sim, mug_order, sim};

const ONE: &str = "/ordermanagement/v1/orders/{order_id}";

#[tokio::test]
async fn order_management_answers_what_its_document_allows() {
    let Some(managed) = document("order-management-api") else {
        return;
    };
    let sim = sim().await;
    let one = "/ordermanagement/v1/orders/{order_id}";
    let mut order = mug_order();
    order["options"]["auto_capture"] = json!(true);
    let order = sim.order_of(&order).await;
    let path = format!("/ordermanagement/v1/orders/{order}");
    managed.admits("get", one, &sim.get(&path).await);
    let session = sim.session(&order, json!({})).await;
    sim.act(session["session_id"].as_str().unwrap(), "pay")
        .await;
    managed.admits("get", one, &sim.get(&path).await);
    let acknowledged = sim.post(&format!("{path}/acknowledge"), &json!({})).await;
    managed.admits("post", &format!("{one}/acknowledge"), &acknowledged);
    let captures = sim.get(&format!("{path}/captures")).await;
    managed.admits("get", &format!("{one}/captures"), &captures);
    for id in [captures.json()[0]["capture_id"].as_str().unwrap(), &order] {
        let got = sim.get(&format!("{path}/captures/{id}")).await;
        managed.admits("get", &format!("{one}/captures/{{capture_id}}"), &got);
    }
    let refund = sim.get(&format!("{path}/refunds/{order}")).await;
    managed.admits("get", &format!("{one}/refunds/{{refund_id}}"), &refund);
    sim.running.stop().await;
}

/// One order whose calls are all held against the document.
struct Judged<'a> {
    sim: &'a Sim,
    document: &'a Spec,
    order: String,
}

impl Judged<'_> {
    /// Makes the call, and judges what came back. A capture's or refund's id in the path stands
    /// for the document's placeholder.
    async fn call(&self, method: Method, at: &str, body: &Value, status: u16) -> Got {
        let parts: Vec<&str> = at.split('/').collect();
        let named = match parts.as_slice() {
            ["captures", _, rest @ ..] => [&["captures", "{capture_id}"], rest].concat().join("/"),
            ["refunds", _] => "refunds/{refund_id}".to_owned(),
            _ => at.to_owned(),
        };
        let path = format!("{}/{at}", self.order);
        let path = path.trim_end_matches('/');
        let got = self.sim.call(method.clone(), path, Some(body)).await;
        assert_eq!(got.status, status, "{method} {at}: {}", got.text);
        let named = format!("{ONE}/{named}");
        let method = method.as_str().to_ascii_lowercase();
        self.document
            .admits(&method, named.trim_end_matches('/'), &got);
        got
    }

    async fn get(&self, at: &str, status: u16) {
        self.call(Method::GET, at, &Value::Null, status).await;
    }

    async fn post(&self, at: &str, body: &Value, status: u16) -> Got {
        self.call(Method::POST, at, body, status).await
    }

    async fn patch(&self, at: &str, body: &Value, status: u16) {
        self.call(Method::PATCH, at, body, status).await;
    }
}

fn shipments() -> Value {
    json!({ "shipping_info": [{ "shipping_company": "DHL UK", "shipping_method": "Home",
        "tracking_number": "63456415674545679874" }] })
}

fn capture() -> Value {
    json!({ "captured_amount": 4000, "reference": "cap_1", "description": "Sent",
        "order_lines": mug_order()["order_lines"], "shipping_info": shipments()["shipping_info"],
        "shipping_delay": 0 })
}

fn refund() -> Value {
    json!({ "refunded_amount": 100, "reference": "rfd_1", "description": "Back",
        "order_lines": mug_order()["order_lines"] })
}

#[tokio::test]
async fn captures_and_refunds_answer_what_the_document_allows() {
    let Some(document) = &document("order-management-api") else {
        return;
    };
    let sim = &sim().await;
    let order = sim.paid().await;
    let it = Judged {
        sim,
        document,
        order,
    };
    let none = json!({});
    it.post("refunds", &refund(), 403).await;
    it.post("captures/x/trigger-send-out", &none, 403).await;
    it.post("captures/x/shipping-info", &shipments(), 403).await;
    it.get("captures/x", 404).await;
    let made = it.post("captures", &capture(), 201).await;
    it.post("captures", &capture(), 403).await;
    let captured = format!("captures/{}", made.header("capture-id"));
    for (id, done) in [(captured.as_str(), true), ("captures/x", false)] {
        let at = |rest: &str| format!("{id}/{rest}");
        let status = |good: u16| if done { good } else { 404 };
        it.get(id, status(200)).await;
        it.get(&at("extend-due-date-options"), status(200)).await;
        it.post(&at("shipping-info"), &shipments(), status(204))
            .await;
        it.post(&at("trigger-send-out"), &none, status(204)).await;
        let days = json!({ "number_of_days": 14 });
        it.patch(&at("extend-due-date"), &days, status(204)).await;
        let days = json!({ "number_of_days": 15 });
        it.patch(&at("extend-due-date"), &days, if done { 403 } else { 404 })
            .await;
    }
    let made = it.post("refunds", &refund(), 201).await;
    it.get(&format!("refunds/{}", made.header("refund-id")), 200)
        .await;
    it.get("refunds/x", 404).await;
    it.get("captures", 200).await;
    it.get("", 200).await;

    let nobody = Judged {
        order: format!("/ordermanagement/v1/orders/{}", uuid::Uuid::nil()),
        ..it
    };
    for (at, body) in [
        ("captures", capture()),
        ("refunds", refund()),
        ("shipping-info", shipments()),
        ("acknowledge", none),
    ] {
        let got = nobody.post(at, &body, 404).await;
        assert_eq!(got.json()["error_code"], "NO_SUCH_ORDER");
    }
    nobody.get("captures", 404).await;
}

#[tokio::test]
async fn the_other_changes_answer_what_the_document_allows() {
    let Some(document) = &document("order-management-api") else {
        return;
    };
    let sim = &sim().await;
    let none = json!({});
    let amount = json!({ "order_amount": 4799, "description": "Same",
        "order_lines": mug_order()["order_lines"] });
    let references = json!({ "merchant_reference1": "A", "merchant_reference2": "B" });
    let address = json!({ "shipping_address": { "given_name": "Jo", "country": "gb" } });
    let order = sim.paid().await;
    let it = Judged {
        sim,
        document,
        order,
    };
    it.patch("authorization", &amount, 204).await;
    it.patch("merchant-references", &references, 204).await;
    it.patch("customer-details", &address, 204).await;
    it.post("shipping-info", &shipments(), 204).await;
    it.post("release-remaining-authorization", &none, 403).await;
    it.post("extend-authorization-time", &none, 204).await;
    it.get("", 200).await;
    it.post("captures", &capture(), 201).await;
    it.post("cancel", &none, 403).await;
    it.post("release-remaining-authorization", &none, 204).await;
    it.get("", 200).await;
    it.post("extend-authorization-time", &none, 403).await;
    it.patch("authorization", &amount, 403).await;
    it.patch("customer-details", &address, 403).await;
    let order = sim.paid().await;
    let it = Judged { order, ..it };
    it.post("cancel", &none, 204).await;
    it.patch("merchant-references", &references, 403).await;
    it.get("", 200).await;
}
