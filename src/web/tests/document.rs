//! The OpenAPI document against what is served.

use std::collections::BTreeSet;

use actix_web::http::Method;
use serde_json::Value;

use crate::web::{api, open_addresses, openapi};

fn document() -> Value {
    serde_json::from_str(&openapi::document("https://pay.example.com")).unwrap()
}

/// Pages for people and the document itself are not in the document.
fn is_documented(path: &str) -> bool {
    path != "/"
        && !["/openapi.json", "/docs", "/problems", "/assets"]
            .iter()
            .any(|it| path.starts_with(it))
}

#[test]
fn every_call_that_is_served_is_documented_and_no_other() {
    let mut served = BTreeSet::new();
    let mut note = |prefix: &str, address: &crate::web::route::Address| {
        let (path, methods) = address.takes();
        for method in methods.iter().filter(|it| *it != Method::HEAD) {
            if is_documented(path) {
                served.insert(format!("{} {prefix}{path}", method.as_str().to_lowercase()));
            }
        }
    };
    for address in api::addresses() {
        note("/v1", &address);
    }
    for address in open_addresses() {
        note("", &address);
    }
    let document = document();
    let paths = document["paths"].as_object().unwrap();
    let written: BTreeSet<String> = paths
        .iter()
        .flat_map(|(path, item)| {
            let methods = item.as_object().unwrap().keys();
            methods.map(move |method| format!("{method} {path}"))
        })
        .collect();
    assert_eq!(served, written);
}

#[test]
fn the_document_is_openapi_3_1_and_whole() {
    let document = document();
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1"));
    assert_eq!(document["servers"][0]["url"], "https://pay.example.com");
    let mut refs = BTreeSet::new();
    collect(&document, &mut refs);
    assert!(!refs.is_empty());
    for reference in refs {
        let pointer = reference.strip_prefix('#').unwrap();
        assert!(
            document.pointer(pointer).is_some(),
            "{reference} leads nowhere"
        );
    }
    for (path, item) in document["paths"].as_object().unwrap() {
        for operation in item.as_object().unwrap().values() {
            let summary = operation["summary"].as_str().unwrap();
            assert!(!summary.contains(['`', '*']), "{path}: {summary}");
        }
    }
}

fn collect(value: &Value, refs: &mut BTreeSet<String>) {
    match value {
        Value::Object(members) => {
            for (name, value) in members {
                match value {
                    Value::String(text) if name == "$ref" => {
                        refs.insert(text.clone());
                    }
                    other => collect(other, refs),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|it| collect(it, refs)),
        _ => {}
    }
}

#[test]
fn answers_have_all_members_and_requests_only_what_is_required() {
    let document = document();
    let schemas = &document["components"]["schemas"];
    let required = |name: &str| -> BTreeSet<String> {
        let list = schemas[name]["required"].as_array();
        let words = list.into_iter().flatten().filter_map(Value::as_str);
        words.map(str::to_owned).collect()
    };
    let link = required("Link");
    for member in ["url", "payment", "failure", "expires_at", "deliveries"] {
        assert!(link.contains(member), "{member}");
    }
    assert!(!link.contains("order_lines"));
    assert!(required("LinkRequest").is_empty());
    assert_eq!(required("DeliveryRequest"), ["channel".to_owned()].into());
    let request = &schemas["LinkRequest"]["properties"];
    assert!(request["order_lines"]["items"]["properties"]["unit_price"].is_object());
    // refused by the walker, so not offered here
    assert!(request.get("merchant_urls").is_none());
    assert_eq!(
        schemas["LinkRequest"]["additionalProperties"],
        Value::Bool(false)
    );
}

#[test]
fn every_call_under_v1_wants_a_key_and_may_answer_with_a_problem() {
    let document = document();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let responses = operation["responses"].as_object().unwrap();
            if path.starts_with("/v1/") {
                let denied = &responses["401"]["content"]["application/problem+json"];
                assert!(denied.is_object(), "{method} {path}");
            }
            for (status, response) in responses {
                if status.starts_with('4') {
                    let plain = response["content"].get("application/json");
                    assert!(plain.is_none(), "{method} {path} {status}");
                }
            }
        }
    }
}
