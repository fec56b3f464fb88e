//! Checkout's rules: which member is at fault, and that nothing that is sent breaks the simulator.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::super::rules;
use super::mug_order;

fn faults(order: &Value) -> Vec<String> {
    rules::judge(order.as_object().unwrap()).paths()
}

/// The mug order, changed at a JSON pointer.
pub(super) fn changed(pointer: &str, value: Value) -> Value {
    let mut order = mug_order();
    if let Some(place) = order.pointer_mut(pointer) {
        *place = value;
    } else {
        let (parent, name) = pointer.rsplit_once('/').unwrap();
        order.pointer_mut(parent).unwrap()[name] = value;
    }
    order
}

#[test]
#[allow(clippy::too_many_lines)] // a table
fn every_rule_names_the_member_at_fault() {
    let long = "x".repeat(256);
    for (pointer, value, path) in [
        ("/purchase_country", json!("GBR"), "purchase_country"),
        ("/purchase_country", json!("SE"), "purchase_currency"),
        ("/purchase_country", json!("AQ"), "purchase_currency"),
        ("/purchase_currency", json!("EUR"), "purchase_currency"),
        ("/locale", json!("english"), "locale"),
        ("/locale", Value::Null, "locale"),
        ("/order_amount", json!(4798), "order_amount"),
        ("/order_amount", json!(4799.0), "order_amount"),
        ("/order_amount", json!("4799"), "order_amount"),
        ("/order_amount", json!(u64::MAX), "order_amount"),
        ("/order_tax_amount", json!(700), "order_tax_amount"),
        ("/order_lines", json!("none"), "order_lines"),
        ("/order_lines/0", json!(7), "order_lines[0]"),
        ("/order_lines/0/name", json!(""), "order_lines[0].name"),
        ("/order_lines/0/name", json!(long), "order_lines[0].name"),
        ("/order_lines/0/type", json!("gift"), "order_lines[0].type"),
        (
            "/order_lines/0/quantity",
            json!(-1),
            "order_lines[0].quantity",
        ),
        (
            "/order_lines/0/quantity_unit",
            json!("ninechars"),
            "order_lines[0].quantity_unit",
        ),
        (
            "/order_lines/0/unit_price",
            json!(100_000_001),
            "order_lines[0].unit_price",
        ),
        (
            "/order_lines/0/tax_rate",
            json!(10_001),
            "order_lines[0].tax_rate",
        ),
        (
            "/order_lines/0/total_amount",
            json!(4801),
            "order_lines[0].total_amount",
        ),
        (
            "/order_lines/0/total_discount_amount",
            json!(1),
            "order_lines[0].total_amount",
        ),
        (
            "/order_lines/0/total_discount_amount",
            json!(-1),
            "order_lines[0].total_discount_amount",
        ),
        (
            "/order_lines/0/total_tax_amount",
            json!(802),
            "order_lines[0].total_tax_amount",
        ),
        (
            "/order_lines/1/total_tax_amount",
            json!(82),
            "order_lines[1].total_tax_amount",
        ),
        (
            "/order_lines/2/total_tax_amount",
            json!(83),
            "order_lines[2].total_tax_amount",
        ),
        (
            "/order_lines/2/type",
            json!("physical"),
            "order_lines[2].total_amount",
        ),
        (
            "/order_lines/1/type",
            json!("gift_card"),
            "order_lines[1].total_amount",
        ),
        (
            "/order_lines/1/type",
            json!("sales_tax"),
            "order_lines[1].tax_rate",
        ),
        ("/merchant_urls", Value::Null, "merchant_urls"),
        ("/merchant_urls/push", Value::Null, "merchant_urls.push"),
        (
            "/merchant_urls/push",
            json!("https://shop.example/pay/lnk_81"),
            "merchant_urls.push",
        ),
        (
            "/merchant_urls/confirmation",
            json!("https://shop.example/pay/lnk_81"),
            "merchant_urls.confirmation",
        ),
        (
            "/merchant_urls/terms",
            json!("terms"),
            "merchant_urls.terms",
        ),
        (
            "/merchant_urls/validation",
            json!("http://shop.example/v"),
            "merchant_urls.validation",
        ),
        ("/merchant_reference1", json!(long), "merchant_reference1"),
        (
            "/options/acquiring_channel",
            json!("PHONE"),
            "options.acquiring_channel",
        ),
        (
            "/options/auto_capture",
            json!("yes"),
            "options.auto_capture",
        ),
        (
            "/options/color_button",
            json!("red"),
            "options.color_button",
        ),
        (
            "/billing_address/country",
            json!("GBR"),
            "billing_address.country",
        ),
        (
            "/customer",
            json!({ "date_of_birth": "1970-02-30" }),
            "customer.date_of_birth",
        ),
        (
            "/attachment",
            json!({ "content_type": "x" }),
            "attachment.body",
        ),
    ] {
        let found = faults(&changed(pointer, value.clone()));
        assert!(
            found.contains(&path.to_owned()),
            "{pointer} = {value}: {found:?}"
        );
    }
    assert_eq!(faults(&mug_order()), Vec::<String>::new());
}

#[test]
fn limits_are_inclusive_and_count_characters() {
    for (pointer, value) in [
        ("/order_lines/0/name", json!("é".repeat(255))),
        ("/order_lines/0/quantity_unit", json!("12345678")),
        ("/order_lines/1/total_tax_amount", json!(84)),
        ("/order_tax_amount", json!(800)),
        ("/merchant_urls/validation", json!("http://127.0.0.1:9/v")),
        ("/merchant_urls/validation", json!("http://[::1]:9/v")),
        ("/merchant_urls/validation", json!("http://localhost/v")),
        ("/purchase_country", json!("gb")),
        ("/locale", json!("en")),
    ] {
        let mut order = changed(pointer, value.clone());
        let taxes = order["order_lines"].as_array().unwrap();
        let tax: i64 = taxes
            .iter()
            .map(|line| line["total_tax_amount"].as_i64().unwrap())
            .sum();
        order["order_tax_amount"] = json!(tax);
        assert_eq!(faults(&order), Vec::<String>::new(), "{pointer} = {value}");
    }
    let one = json!({ "name": "A", "quantity": 0, "unit_price": 0, "tax_rate": 0,
                      "total_amount": 0, "total_tax_amount": 0 });
    let mut order = changed("/order_lines", vec![one.clone(); 1000].into());
    order["order_amount"] = json!(0);
    order["order_tax_amount"] = json!(0);
    assert_eq!(faults(&order), Vec::<String>::new());
    order["order_lines"] = vec![one; 1001].into();
    assert_eq!(faults(&order), ["order_lines"]);
}

#[test]
fn american_tax_is_a_line_of_its_own() {
    let line = |kind: &str, amount: i64| {
        json!({ "type": kind, "name": "X", "quantity": 1, "unit_price": amount, "tax_rate": 0,
                "total_amount": amount, "total_tax_amount": 0 })
    };
    let mut order = changed(
        "/order_lines",
        json!([line("physical", 1000), line("sales_tax", 88)]),
    );
    order["purchase_country"] = json!("US");
    order["purchase_currency"] = json!("USD");
    order["order_amount"] = json!(1088);
    order["order_tax_amount"] = json!(88);
    assert_eq!(faults(&order), Vec::<String>::new());
    order["order_tax_amount"] = json!(0);
    assert_eq!(faults(&order), ["order_tax_amount"]);
    order["order_tax_amount"] = json!(88);
    order["order_lines"][0]["tax_rate"] = json!(1000);
    order["order_lines"][0]["total_tax_amount"] = json!(91);
    assert!(faults(&order).contains(&"order_lines[0].total_tax_amount".to_owned()));
}

pub(super) fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,12}".prop_map(Value::from),
        Just(Value::from(i64::MIN)),
    ];
    leaf.prop_recursive(3, 24, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::hash_map("[a-z_]{1,12}", inner, 0..6).prop_map(|members| members
                .into_iter()
                .collect::<serde_json::Map<_, _>>()
                .into()),
        ]
    })
}

/// Some place in a good order.
fn any_pointer() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "/purchase_country",
        "/purchase_currency",
        "/locale",
        "/order_amount",
        "/order_tax_amount",
        "/order_lines",
        "/order_lines/0",
        "/order_lines/0/quantity",
        "/order_lines/0/unit_price",
        "/order_lines/0/tax_rate",
        "/order_lines/0/total_amount",
        "/order_lines/0/type",
        "/order_lines/0/total_discount_amount",
        "/order_lines/0/total_tax_amount",
        "/order_lines/0/product_identifiers",
        "/order_lines/0/subscription",
        "/merchant_urls",
        "/merchant_urls/push",
        "/merchant_urls/validation",
        "/billing_address",
        "/customer",
        "/options",
        "/options/allowed_customer_types",
        "/gui",
        "/attachment",
        "/shipping_options",
        "/external_checkouts",
        "/discount_lines",
        "/shipping_countries",
        "/merchant_data",
    ])
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever is sent, the simulator answers what Klarna could answer: an order or a refusal.
    #[test]
    fn nothing_that_is_sent_breaks_it(whole in any_json(), places in prop::collection::vec((any_pointer(), any_json()), 1..4)) {
        let world = super::super::world::World::new(
            "http://127.0.0.1:1".to_owned(), String::new(), 1.0,
            crate::clock::Clock::manual(jiff::Timestamp::UNIX_EPOCH), crate::random::Random::seeded(1),
        );
        let mut order = mug_order();
        for (pointer, value) in places {
            if let Some(place) = order.pointer_mut(pointer) {
                *place = value;
            }
        }
        let made = |answer: super::super::answer::Outcome, id: &str| {
            let body: Value = serde_json::from_slice(&answer.unwrap().body).unwrap();
            body[id].as_str().unwrap().parse::<uuid::Uuid>().unwrap()
        };
        let good = mug_order().to_string();
        let id = made(super::super::order::create(&world, good.as_bytes()), "order_id");
        let good = json!({ "payment_session_url": format!("http://x/checkout/v3/orders/{id}") });
        let good = good.to_string();
        let session = made(super::super::session::create(&world, good.as_bytes()), "session_id");
        for body in [whole, order] {
            let bytes = serde_json::to_vec(&body).unwrap();
            let answers = [
                super::super::order::create(&world, &bytes),
                super::super::session::create(&world, &bytes),
                super::super::order::update(&world, Some(id), &bytes),
                super::super::distribution::create(&world, Some(session), &bytes),
            ];
            for answer in answers {
                let status = answer.unwrap_or_else(|refusal| refusal.answer(uuid::Uuid::nil())).status;
                prop_assert!(matches!(status, 200 | 201 | 400 | 404), "{}", status);
            }
        }
    }
}
