//! The bodies that the client writes: the fixed values of `contract.md`, and Klarna's own
//! specifications where they are at hand (`KLARNA_SPECS`, else `../shared/klarna-specs`).

use std::path::PathBuf;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::sample::{link, links};
use super::stub::{Stub, client, clock};
use crate::klarna::wire::{hpp, kco};
use crate::klarna::{Distribution, KlarnaSettings};
use crate::link::{Email, Exit, Link, Phone, UseCase};

fn settings() -> KlarnaSettings {
    let base = "https://api.playground.kustom.co".parse().unwrap();
    let mut settings = KlarnaSettings::new(base, "u".into(), "p".to_owned().into());
    settings.public_url = "https://pay.example.com/".into();
    settings.terms_url = "https://example.com/terms".into();
    settings.validation_url = true;
    settings
}

fn order(link: &Link) -> Value {
    serde_json::to_value(kco::Order::of(link, "tok", &settings())).unwrap()
}

fn session(link: &Link) -> Value {
    let url = "https://api.playground.kustom.co/checkout/v3/orders/o".to_owned();
    serde_json::to_value(hpp::Session::of(link, url, "tok", &settings())).unwrap()
}

#[test]
fn an_order_says_what_the_contract_says() {
    let link = link();
    let body = order(&link);
    assert_eq!(
        body["merchant_urls"],
        json!({
            "terms": "https://example.com/terms",
            "checkout": "https://pay.example.com/return/checkout/tok",
            "confirmation": "https://pay.example.com/return/confirmation/tok?oid={checkout.order.id}",
            "push": "https://pay.example.com/callbacks/push/tok?oid={checkout.order.id}",
            "notification": "https://pay.example.com/callbacks/notification/tok",
            "validation": "https://pay.example.com/callbacks/validation/tok",
        })
    );
    assert_eq!(body["merchant_reference1"], "INV-1042");
    assert_eq!(body["merchant_reference2"], link.id.to_string());
    assert_eq!(
        body["options"],
        json!({
            "color_button": "#00FF00", "phone_mandatory": true,
            "acquiring_channel": "TELESALES", "auto_capture": false,
            "require_client_validation": false, "require_validate_callback_success": false,
        })
    );
    assert_eq!(
        body["order_amount"], 4800,
        "a stored extra never takes the place of ours"
    );
    assert_eq!(body["order_lines"][0]["unit_price"], 2400);
    assert_eq!(
        body["order_lines"][0]["product_identifiers"]["brand"],
        "Kiln"
    );
    assert_eq!(body["tags"], json!(["autumn"]));
    assert_eq!(body["billing_address"]["phone"], "+447700900123");
    assert_eq!(body["billing_address"]["email"], "jo@example.com");
    assert_eq!(body["customer"]["type"], "person");
    let text = serde_json::to_string(&kco::Order::of(&link, "tok", &settings())).unwrap();
    assert_eq!(text.matches("\"order_amount\"").count(), 1);
    assert_eq!(text.matches("\"merchant_urls\"").count(), 1);
}

#[test]
fn a_use_case_decides_channel_and_exit() {
    let mut settings = settings();
    settings.in_store = "SHOP".into();
    settings.validation_url = false;
    let mut it = link();
    for (use_case, channel, exit, other) in [
        (UseCase::Telesales, "TELESALES", "cancel", "back"),
        (UseCase::InStore, "SHOP", "cancel", "back"),
        (UseCase::Ecommerce, "ECOMMERCE", "back", "cancel"),
    ] {
        it.sale.use_case = use_case;
        let body = serde_json::to_value(kco::Order::of(&it, "tok", &settings)).unwrap();
        assert_eq!(body["options"]["acquiring_channel"], channel);
        assert_eq!(body["merchant_urls"].get("validation"), None);
        let urls = &session(&it)["merchant_urls"];
        let url = |name: &str| {
            format!(
                "https://pay.example.com/return/{name}/tok?sid={{{{session_id}}}}&oid={{{{order_id}}}}"
            )
        };
        assert_eq!(urls[exit], url(exit));
        assert_eq!(urls.get(other), None);
        assert_eq!(urls["success"], url("success"));
        assert_eq!(urls["failure"], url("failure"));
        assert_eq!(urls["error"], url("error"));
        assert_eq!(
            urls["status_update"],
            "https://pay.example.com/callbacks/hpp/tok?sid={{session_id}}"
        );
    }
    it.page.exit = Some(Exit::Cancel);
    assert!(session(&it)["merchant_urls"].get("cancel").is_some());
    let page = &session(&it)["options"];
    assert_eq!(page["page_title"], "Order INV-1042");
    assert_eq!(page["background_images"][0]["width"], 1200);
    it.page = crate::link::Page::default();
    assert_eq!(session(&it).get("options"), None);
}

#[tokio::test]
async fn the_session_names_the_order_at_the_configured_host() {
    let stub = Stub::saying(400, "").await;
    let end = client(stub.settings(), &clock())
        .create_session(&link(), "o-1", "t", 1)
        .await;
    assert!(end.is_err());
    assert_eq!(
        stub.body()["payment_session_url"],
        format!("{}checkout/v3/orders/o-1", stub.url)
    );
}

#[test]
fn a_validation_url_needs_https_or_loopback() {
    for (url, can) in [
        ("https://a.example", true),
        ("http://127.0.0.1:1", true),
        ("http://a.example", false),
    ] {
        assert_eq!(
            KlarnaSettings::can_validate(&url.parse().unwrap()),
            can,
            "{url}"
        );
    }
}

/// A validator of one schema of a specification, made stricter: no member that it does not name.
pub(super) fn schema(file: &str, name: &str) -> Option<jsonschema::Validator> {
    let folder = std::env::var_os("KLARNA_SPECS").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared/klarna-specs"),
        PathBuf::from,
    );
    let Ok(text) = std::fs::read_to_string(folder.join(file)) else {
        eprintln!("skipped: {} is not at hand", folder.join(file).display());
        return None;
    };
    let mut spec: Value = serde_json::from_str(&text).unwrap();
    let schemas = spec["components"]["schemas"].as_object_mut().unwrap();
    for (of, schema) in schemas.iter_mut() {
        let Some(properties) = schema.get_mut("properties").and_then(Value::as_object_mut) else {
            continue;
        };
        // what is only ever answered must not be sent
        properties.retain(|_, it| it.get("readOnly") != Some(&Value::Bool(true)));
        match of.as_str() {
            // companies' members, known from the SDKs (klarna.md §2.2)
            "address" => {
                for name in ["organization_name", "reference", "attention"] {
                    properties.insert(name.into(), json!({"type": "string"}));
                }
            }
            // a pattern written down as an enum of one
            "order_line" if file.starts_with("order-management") => {
                properties["type"].as_object_mut().unwrap().remove("enum");
            }
            // three samples written down as an enum (klarna.md §7)
            "DistributionContactV1" => {
                properties["access_id"]
                    .as_object_mut()
                    .unwrap()
                    .remove("enum");
            }
            _ => {}
        }
        schema["additionalProperties"] = false.into();
    }
    // a reference is a URL, and some names have blanks in them
    let name = name.replace(' ', "%20");
    spec["$ref"] = format!("#/components/schemas/{name}").into();
    Some(jsonschema::validator_for(&spec).unwrap())
}

pub(super) fn faults(validator: &jsonschema::Validator, body: &Value) -> Vec<String> {
    validator
        .iter_errors(body)
        .map(|fault| format!("{} at {}", fault, fault.instance_path()))
        .collect()
}

#[test]
fn every_body_is_as_klarna_specifies() {
    let Some(orders) = schema("kustom-checkout-api-openapi.json", "order") else {
        return;
    };
    let Some(sessions) = schema(
        "hosted-payment-page-api-openapi.json",
        "SessionCreationRequestV1",
    ) else {
        return;
    };
    let none: Vec<String> = Vec::new();
    assert_eq!(faults(&orders, &order(&link())), none);
    assert_eq!(faults(&sessions, &session(&link())), none);
    // the validator can say no
    let mut wrong = order(&link());
    wrong["order_lines"][0]["unit_price"] = "2400".into();
    wrong["order_id"] = "o".into();
    assert_eq!(faults(&orders, &wrong).len(), 2);
    proptest!(ProptestConfig::with_cases(64), |(link in links())| {
        prop_assert_eq!(faults(&orders, &order(&link)), Vec::<String>::new());
        prop_assert_eq!(faults(&sessions, &session(&link)), Vec::<String>::new());
    });
}

#[test]
fn every_distribution_is_as_klarna_specifies() {
    let Some(validator) = schema(
        "hosted-payment-page-api-openapi.json",
        "DistributionRequestV1",
    ) else {
        return;
    };
    let to = Phone::parse("+447700900123", "GB").unwrap();
    for by in [
        Distribution::Email(Email::parse("jo@example.com").unwrap()),
        Distribution::Sms {
            to,
            country: "GB".into(),
        },
        Distribution::Token("467521087419".into()),
    ] {
        let body = serde_json::to_value(hpp::DistributionRequest::of(&by)).unwrap();
        assert_eq!(faults(&validator, &body), Vec::<String>::new());
    }
}
