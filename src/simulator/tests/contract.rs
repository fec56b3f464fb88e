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

pub(super) struct Spec(Value);

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
    pub(super) fn admits(&self, method: &str, path: &str, got: &Got) {
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
pub(super) fn document(name: &str) -> Option<Spec> {
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
