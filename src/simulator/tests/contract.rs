//! Every answer against Klarna's own OpenAPI documents, where they are at hand: in the directory
//! `KLARNA_SPECS`, or in `shared/klarna-specs` beside the repository. Elsewhere the test says that
//! it was skipped.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::{Got, mug_order, sim};

fn specs() -> Option<PathBuf> {
    if let Some(path) = std::env::var_os("KLARNA_SPECS") {
        return Some(PathBuf::from(path));
    }
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .map(|above| above.join("shared/klarna-specs"))
        .find(|path| path.is_dir())
}

struct Spec(Value);

impl Spec {
    fn read(specs: &Path, name: &str) -> Self {
        let path = specs.join(format!("{name}-openapi.json"));
        let text =
            std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let mut spec = serde_json::from_str(&text).unwrap();
        as_json_schema(&mut spec);
        Self(spec)
    }

    /// The answer has a status that the document knows for the call, and the body has its schema.
    fn admits(&self, method: &str, path: &str, got: &Got) {
        let operation = &self.0["paths"][path][method];
        let answer = &operation["responses"][got.status.to_string()];
        assert!(
            answer.is_object(),
            "{method} {path} never answers {}",
            got.status
        );
        let content = answer["content"]
            .as_object()
            .and_then(|content| content.values().next());
        // "a string" is how the document says that there is nothing
        let schema = content
            .map(|content| &content["schema"])
            .filter(|schema| !schema.is_null())
            .filter(|schema| !(got.text.is_empty() && **schema == json!({ "type": "string" })));
        for name in answer["headers"].as_object().into_iter().flatten() {
            assert!(
                got.headers.contains_key(name.0),
                "{method} {path}: {}",
                name.0
            );
        }
        if let Some(schema) = schema {
            let faults = self.faults(schema, &got.json());
            assert!(
                faults.is_empty(),
                "{method} {path} {}: {faults:#?}",
                got.status
            );
        }
        assert!(got.headers.contains_key("klarna-correlation-id"));
    }

    fn faults(&self, schema: &Value, instance: &Value) -> Vec<String> {
        let mut schema = schema.clone();
        schema["components"] = self.0["components"].clone();
        let options = jsonschema::draft7::options();
        let validator = options
            .should_validate_formats(true)
            .build(&schema)
            .unwrap();
        let faults = validator.iter_errors(instance);
        faults
            .map(|error| format!("{}: {error}", error.instance_path()))
            .collect()
    }
}

/// OpenAPI 3.0 says `nullable` where JSON Schema says a second type, and these documents carry
/// slips: sample values written as `enum` (an enum of `null` for a number, one of a single
/// pattern for a word, three sample access ids).
fn as_json_schema(schema: &mut Value) {
    match schema {
        Value::Object(members) => {
            if members.get("nullable") == Some(&json!(true))
                && let Some(kind) = members.get("type").cloned()
            {
                members.insert("type".to_owned(), json!([kind, "null"]));
            }
            let slip = members
                .get("enum")
                .and_then(Value::as_array)
                .is_some_and(|words| {
                    words == &[Value::Null]
                        || words
                            .iter()
                            .filter_map(Value::as_str)
                            .any(|word| word.contains(['|', ':']))
                });
            if slip {
                members.remove("enum");
            }
            // a reference is a URL, and some of their schemas have blanks in their names
            if let Some(Value::String(reference)) = members.get_mut("$ref") {
                *reference = reference.replace(' ', "%20");
            }
            members.values_mut().for_each(as_json_schema);
        }
        Value::Array(items) => items.iter_mut().for_each(as_json_schema),
        _ => {}
    }
}

/// One of Klarna's documents, or nothing where they are not at hand.
fn document(name: &str) -> Option<Spec> {
    let specs = specs();
    if specs.is_none() {
        eprintln!("skipped: no shared/klarna-specs beside the repository, and no KLARNA_SPECS");
    }
    Some(Spec::read(&specs?, name))
}

#[tokio::test]
async fn checkout_answers_what_its_document_allows() {
    let Some(checkout) = document("kustom-checkout-api") else {
        return;
    };
    let sim = sim().await;
    let orders = "/checkout/v3/orders";
    let one = "/checkout/v3/orders/{order_id}";
    let abort = "/checkout/v3/orders/{order_id}/abort";
    let schema = json!({ "$ref": "#/components/schemas/order" });
    assert!(
        checkout.faults(&schema, &mug_order()).is_empty(),
        "what this test sends"
    );
    assert!(
        !checkout
            .faults(&schema, &json!({ "order_amount": -1 }))
            .is_empty(),
        "it can refuse"
    );

    let (order, session) = sim.pair().await;
    let path = format!("{orders}/{order}");
    checkout.admits("post", orders, &sim.create_order(&mug_order()).await);
    checkout.admits("post", orders, &sim.create_order(&json!({})).await);
    checkout.admits("get", one, &sim.get(&path).await);
    checkout.admits(
        "get",
        one,
        &sim.get(&format!("{orders}/{}", uuid::Uuid::nil())).await,
    );
    checkout.admits(
        "post",
        one,
        &sim.post(&path, &json!({ "merchant_reference1": "X" }))
            .await,
    );
    checkout.admits("post", one, &sim.post(&path, &json!({ "locale": 1 })).await);
    let other = sim.order().await;
    for _ in 0..2 {
        let got = sim
            .post(&format!("{orders}/{other}/abort"), &json!({}))
            .await;
        checkout.admits("post", abort, &got);
    }
    sim.act(&session, "pay").await;
    checkout.admits("get", one, &sim.get(&path).await);
    checkout.admits("post", one, &sim.post(&path, &json!({})).await);
    sim.running.stop().await;
}

#[tokio::test]
async fn hosted_page_answers_what_its_document_allows() {
    let Some(hosted) = document("hosted-payment-page-api") else {
        return;
    };
    let sim = sim().await;
    let sessions = "/hpp/v1/sessions";
    let one = "/hpp/v1/sessions/{session_id}";
    let distribution = "/hpp/v1/sessions/{session_id}/distribution";
    let schema = json!({ "$ref": "#/components/schemas/SessionResponseV1" });
    assert!(
        !hosted
            .faults(&schema, &json!({ "status": "PAID" }))
            .is_empty(),
        "it can refuse"
    );

    let order = sim.order().await;
    let url = format!("{}/checkout/v3/orders/{order}", sim.running.url());
    let asked = json!({ "payment_session_url": url });
    let created = sim.post(sessions, &asked).await;
    hosted.admits("post", sessions, &created);
    hosted.admits("post", sessions, &sim.post(sessions, &json!({})).await);
    let id = created.json()["session_id"].as_str().unwrap().to_owned();
    let contact = json!({ "email": "kim@example.com" });
    for asked in [
        json!({ "method": "email", "contact_information": contact }),
        json!({}),
    ] {
        let got = sim
            .post(&format!("{sessions}/{id}/distribution"), &asked)
            .await;
        hosted.admits("post", distribution, &got);
    }
    for act in ["open", "back", "decline", "error", "pay"] {
        sim.act(&id, act).await;
        hosted.admits("get", one, &sim.read_session(&id).await);
    }
    let (_, open) = sim.pair().await;
    for id in [id.as_str(), "x", &open] {
        hosted.admits(
            "delete",
            one,
            &sim.delete(&format!("{sessions}/{id}")).await,
        );
    }
    hosted.admits("get", one, &sim.read_session(&open).await);
    sim.running.stop().await;
}

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

/// Every change, once as it succeeds and once as it is refused.
#[tokio::test]
async fn every_change_answers_what_its_document_allows() {
    let Some(managed) = document("order-management-api") else {
        return;
    };
    let sim = sim().await;
    let one = "/ordermanagement/v1/orders/{order_id}";
    let unknown = format!("/ordermanagement/v1/orders/{}", uuid::Uuid::nil());
    let lines = &mug_order()["order_lines"];
    let shipments = json!({ "shipping_info": [{ "shipping_company": "DHL UK",
        "shipping_method": "Home", "tracking_number": "63456415674545679874" }] });
    let capture = json!({ "captured_amount": 4000, "reference": "cap_1", "description": "Sent",
        "order_lines": lines, "shipping_info": shipments["shipping_info"], "shipping_delay": 0 });
    let refund = json!({ "refunded_amount": 100, "reference": "rfd_1", "description": "Back",
        "order_lines": lines });
    let amount = json!({ "order_amount": 4799, "description": "Same", "order_lines": lines });
    let references = json!({ "merchant_reference1": "A", "merchant_reference2": "B" });
    let address = json!({ "shipping_address": { "given_name": "Jo", "country": "gb" } });
    let days = json!({ "number_of_days": 14 });

    let path = sim.paid().await;
    let base = sim.running.url().to_owned();
    // what needs a capture is refused before there is one
    let none = json!({});
    let early = [
        (
            "release-remaining-authorization",
            "release-remaining-authorization",
        ),
        (
            "captures/x/trigger-send-out",
            "captures/{capture_id}/trigger-send-out",
        ),
        (
            "captures/x/shipping-info",
            "captures/{capture_id}/shipping-info",
        ),
        ("refunds", "refunds"),
    ];
    for (at, named) in early {
        let body = match at {
            "refunds" => &refund,
            "captures/x/shipping-info" => &shipments,
            _ => &none,
        };
        let got = sim.post(&format!("{path}/{at}"), body).await;
        assert_eq!(got.status, 403, "{at}: {}", got.text);
        managed.admits("post", &format!("{one}/{named}"), &got);
    }
    for (at, body) in [
        ("authorization", &amount),
        ("merchant-references", &references),
        ("customer-details", &address),
    ] {
        let got = sim.patch(&format!("{path}/{at}"), body).await;
        assert_eq!(got.status, 204, "{at}: {}", got.text);
        managed.admits("patch", &format!("{one}/{at}"), &got);
    }
    let made = sim.post(&format!("{path}/captures"), &capture).await;
    assert_eq!(made.status, 201, "{}", made.text);
    managed.admits("post", &format!("{one}/captures"), &made);
    let captured = made.header("location").strip_prefix(&base).unwrap();
    let in_one = format!("{one}/captures/{{capture_id}}");
    for (at, body) in [("shipping-info", &shipments), ("trigger-send-out", &none)] {
        let got = sim.post(&format!("{captured}/{at}"), body).await;
        assert_eq!(got.status, 204, "{at}: {}", got.text);
        managed.admits("post", &format!("{in_one}/{at}"), &got);
        let missing = sim.post(&format!("{path}/captures/x/{at}"), body).await;
        assert_eq!(missing.status, 404);
        managed.admits("post", &format!("{in_one}/{at}"), &missing);
    }
    for (days, status) in [(&days, 204), (&json!({ "number_of_days": 15 }), 403)] {
        let got = sim
            .patch(&format!("{captured}/extend-due-date"), days)
            .await;
        assert_eq!(got.status, status);
        managed.admits("patch", &format!("{in_one}/extend-due-date"), &got);
    }
    for at in [captured.to_owned(), format!("{path}/captures/x")] {
        let got = sim.get(&at).await;
        managed.admits("get", &in_one, &got);
        let got = sim.get(&format!("{at}/extend-due-date-options")).await;
        managed.admits("get", &format!("{in_one}/extend-due-date-options"), &got);
    }
    let back = sim.post(&format!("{path}/refunds"), &refund).await;
    assert_eq!(back.status, 201, "{}", back.text);
    managed.admits("post", &format!("{one}/refunds"), &back);
    let got = sim
        .get(back.header("location").strip_prefix(&base).unwrap())
        .await;
    assert_eq!(got.status, 200);
    managed.admits("get", &format!("{one}/refunds/{{refund_id}}"), &got);
    let got = sim.post(&format!("{path}/shipping-info"), &shipments).await;
    managed.admits("post", &format!("{one}/shipping-info"), &got);
    for (at, status) in [
        ("extend-authorization-time", 204),
        ("cancel", 403),
        ("release-remaining-authorization", 204),
        ("release-remaining-authorization", 403),
        ("extend-authorization-time", 403),
    ] {
        let got = sim.post(&format!("{path}/{at}"), &none).await;
        assert_eq!(got.status, status, "{at}: {}", got.text);
        managed.admits("post", &format!("{one}/{at}"), &got);
    }
    managed.admits("get", one, &sim.get(&path).await);
    managed.admits(
        "get",
        &format!("{one}/captures"),
        &sim.get(&format!("{path}/captures")).await,
    );
    let more = sim.post(&format!("{path}/captures"), &capture).await;
    assert_eq!(more.status, 403);
    managed.admits("post", &format!("{one}/captures"), &more);
    for (at, body) in [("authorization", &amount), ("customer-details", &address)] {
        let got = sim.patch(&format!("{path}/{at}"), body).await;
        assert_eq!(got.status, 403, "{at}");
        managed.admits("patch", &format!("{one}/{at}"), &got);
    }
    // an order that nobody knows
    for (at, body) in [
        ("captures", &capture),
        ("refunds", &refund),
        ("shipping-info", &shipments),
    ] {
        let got = sim.post(&format!("{unknown}/{at}"), body).await;
        assert_eq!(
            (got.status, &got.json()["error_code"]),
            (404, &json!("NO_SUCH_ORDER"))
        );
        managed.admits("post", &format!("{one}/{at}"), &got);
    }
    // and a cancelled one
    let path = sim.paid().await;
    let got = sim.post(&format!("{path}/cancel"), &none).await;
    assert_eq!(got.status, 204);
    managed.admits("post", &format!("{one}/cancel"), &got);
    managed.admits("get", one, &sim.get(&path).await);
    let got = sim
        .patch(&format!("{path}/merchant-references"), &references)
        .await;
    assert_eq!(got.status, 403);
    managed.admits("patch", &format!("{one}/merchant-references"), &got);
    sim.running.stop().await;
}

#[test]
fn the_documents_are_read_as_json_schema() {
    let mut schema = json!({ "properties": {
        "a": { "type": "string", "nullable": true },
        "b": { "type": "integer", "enum": [null] },
        "c": { "type": "string", "enum": ["SMS", "EMAIL"] },
        "d": { "type": "string", "enum": ["physical|discount"] },
    } });
    as_json_schema(&mut schema);
    let properties = &schema["properties"];
    assert_eq!(properties["a"]["type"], json!(["string", "null"]));
    assert!(properties["b"].get("enum").is_none() && properties["d"].get("enum").is_none());
    assert_eq!(properties["c"]["enum"], json!(["SMS", "EMAIL"]));
}
