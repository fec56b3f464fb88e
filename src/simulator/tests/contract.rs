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
        if let Some(schema) = content
            .map(|content| &content["schema"])
            .filter(|schema| !schema.is_null())
        {
            self.validate(
                schema,
                &got.json(),
                &format!("{method} {path} {}", got.status),
            );
        }
        assert!(got.headers.contains_key("klarna-correlation-id"));
    }

    fn validate(&self, schema: &Value, instance: &Value, what: &str) {
        let mut schema = schema.clone();
        schema["components"] = self.0["components"].clone();
        let validator = jsonschema::draft7::options()
            .should_validate_formats(true)
            .build(&schema)
            .unwrap();
        let faults: Vec<_> = validator
            .iter_errors(instance)
            .map(|error| format!("{}: {error}", error.instance_path()))
            .collect();
        assert!(faults.is_empty(), "{what}: {faults:#?}");
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
            members.values_mut().for_each(as_json_schema);
        }
        Value::Array(items) => items.iter_mut().for_each(as_json_schema),
        _ => {}
    }
}

#[tokio::test]
async fn every_answer_is_one_that_klarnas_documents_allow() {
    let Some(specs) = specs() else {
        eprintln!("skipped: no shared/klarna-specs beside the repository, and no KLARNA_SPECS");
        return;
    };
    let checkout = Spec::read(&specs, "kustom-checkout-api");
    let hosted = Spec::read(&specs, "hosted-payment-page-api");
    let managed = Spec::read(&specs, "order-management-api");
    let sim = sim().await;
    let orders = "/checkout/v3/orders";
    let one = "/checkout/v3/orders/{order_id}";

    let mut order = mug_order();
    order["options"]["auto_capture"] = json!(true);
    let created = sim.create_order(&order).await;
    checkout.admits("post", orders, &created);
    let id = created.json()["order_id"].as_str().unwrap().to_owned();
    let path = format!("{orders}/{id}");
    checkout.admits("get", one, &sim.get(&path).await);
    checkout.admits(
        "post",
        one,
        &sim.post(&path, &json!({ "merchant_reference1": "X" }))
            .await,
    );
    checkout.admits("post", one, &sim.post(&path, &json!({ "locale": 1 })).await);
    checkout.admits("post", orders, &sim.create_order(&json!({})).await);
    checkout.admits(
        "get",
        one,
        &sim.get(&format!("{orders}/{}", uuid::Uuid::nil())).await,
    );
    let other = sim.order().await;
    let abort = "/checkout/v3/orders/{order_id}/abort";
    for _ in 0..2 {
        checkout.admits(
            "post",
            abort,
            &sim.post(&format!("{orders}/{other}/abort"), &json!({}))
                .await,
        );
    }

    let sessions = "/hpp/v1/sessions";
    let session = "/hpp/v1/sessions/{session_id}";
    let asked = json!({ "payment_session_url": format!("{}{path}", sim.running.url()) });
    let created = sim.post(sessions, &asked).await;
    hosted.admits("post", sessions, &created);
    let schema = json!({ "$ref": "#/components/schemas/SessionCreationRequestV1" });
    hosted.validate(&schema, &asked, "what this test sends");
    let hpp = created.json()["session_id"].as_str().unwrap().to_owned();
    hosted.admits("post", sessions, &sim.post(sessions, &json!({})).await);
    hosted.admits("get", session, &sim.read_session(&hpp).await);
    let contact =
        json!({ "method": "email", "contact_information": { "email": "kim@example.com" } });
    let distribution = "/hpp/v1/sessions/{session_id}/distribution";
    for asked in [&contact, &json!({})] {
        let got = sim
            .post(&format!("{sessions}/{hpp}/distribution"), asked)
            .await;
        hosted.admits("post", distribution, &got);
    }
    sim.act(&hpp, "pay").await;
    hosted.admits("get", session, &sim.read_session(&hpp).await);
    hosted.admits(
        "delete",
        session,
        &sim.delete(&format!("{sessions}/{hpp}")).await,
    );
    hosted.admits(
        "delete",
        session,
        &sim.delete(&format!("{sessions}/x")).await,
    );
    let (_, open) = sim.pair().await;
    hosted.admits(
        "delete",
        session,
        &sim.delete(&format!("{sessions}/{open}")).await,
    );
    checkout.admits("get", one, &sim.get(&path).await);
    checkout.admits("post", one, &sim.post(&path, &json!({})).await);

    let payment = "/ordermanagement/v1/orders/{order_id}";
    let om = format!("/ordermanagement/v1/orders/{id}");
    managed.admits("get", payment, &sim.get(&om).await);
    managed.admits(
        "get",
        payment,
        &sim.get(&format!("/ordermanagement/v1/orders/{other}"))
            .await,
    );
    let acknowledge = format!("{payment}/acknowledge");
    managed.admits(
        "post",
        &acknowledge,
        &sim.post(&format!("{om}/acknowledge"), &json!({})).await,
    );
    let captures = sim.get(&format!("{om}/captures")).await;
    managed.admits("get", &format!("{payment}/captures"), &captures);
    let capture = captures.json()[0]["capture_id"]
        .as_str()
        .unwrap()
        .to_owned();
    let template = format!("{payment}/captures/{{capture_id}}");
    managed.admits(
        "get",
        &template,
        &sim.get(&format!("{om}/captures/{capture}")).await,
    );
    managed.admits(
        "get",
        &template,
        &sim.get(&format!("{om}/captures/{other}")).await,
    );
    let refund = format!("{payment}/refunds/{{refund_id}}");
    managed.admits(
        "get",
        &refund,
        &sim.get(&format!("{om}/refunds/{other}")).await,
    );
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
