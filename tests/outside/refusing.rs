//! What a sales request may not say. Every fault is named with its place, all at once, and Klarna
//! hears nothing of it.

use serde_json::{Value, json};

use super::harness::{World, WorldPlan, sale, stories};

stories!(
    refusing,
    WorldPlan::new(),
    [
        each_fault_has_its_code_and_place,
        what_lies_deeper_is_judged_too,
        what_is_missing_is_required,
        messages_and_signs_are_judged,
        managed_and_read_only_members_are_named,
        all_faults_are_told_at_once,
    ]
);

/// Posts a sale changed at a pointer, and expects a fault there with one of the codes (`a|b`).
pub async fn refused(w: &World, at: &str, value: Value, place: &str, codes: &str) {
    let mut sale = sale();
    put(&mut sale, at, value.clone());
    let faults = w.agent().sends(&sale).await.faults();
    let found = faults
        .iter()
        .any(|(there, code)| there == place && codes.split('|').any(|one| one == code));
    let value: String = value.to_string().chars().take(80).collect();
    assert!(
        found,
        "{at} = {value}: expected {codes} at {place}, got {faults:?}"
    );
}

fn put(sale: &mut Value, at: &str, value: Value) {
    let (parent, name) = at.rsplit_once('/').expect("a pointer");
    match sale
        .pointer_mut(parent)
        .unwrap_or_else(|| panic!("no {parent}"))
    {
        Value::Array(list) => match name.parse::<usize>() {
            Ok(index) if index < list.len() => list[index] = value,
            _ => list.push(value),
        },
        parent => parent[name.replace("~1", "/").replace("~0", "~")] = value,
    }
}

fn lines(count: usize) -> Value {
    json!(vec![
        json!({"name": "Mug", "quantity": 1, "unit_price": 100, "tax_rate": 0});
        count
    ])
}

/// Place, code, value (JSON; `x*9` is a text of nine letters, `line*9` a list of nine lines).
const FAULTS: &str = r#"
    /reference                         too_short              ""
    /reference                         too_short              " \u200b "
    /reference                         too_long               x*256
    /reference                         wrong_type             7
    /reference                         control_character      "a\nb"
    /reference                         control_character      "a\u202eb"
    /use_case                          invalid_value          "mail_order"
    /on_duplicate                      invalid_value          "maybe"
    /auto_capture                      wrong_type             "yes"
    /agent                             too_long               x*101
    /purchase_country                  unsupported_country    "XX"
    /purchase_country                  unsupported_country    "IN"
    /purchase_currency                 unsupported_currency   "SEK"
    /order_lines                       too_few                []
    /order_lines                       too_many               line*1001
    /order_lines                       wrong_type             "none"
    /order_lines/0                     wrong_type             "none"
    /order_lines/0/name                too_short              ""
    /order_lines/0/name                too_long               x*256
    /order_lines/0/quantity            wrong_type             "5"
    /order_lines/0/quantity            wrong_type             5.0
    /order_lines/0/quantity            out_of_range           -1
    /order_lines/0/quantity_unit       too_long               x*9
    /order_lines/0/unit_price          out_of_range           100000001
    /order_lines/0/tax_rate            out_of_range           10001
    /order_lines/0/tax_rate            out_of_range           -1
    /order_lines/0/type                invalid_value          "gift"
    /order_lines/0/total_amount        sum_mismatch           49999
    /order_lines/0/total_tax_amount    tax_mismatch           4544
    /order_lines/0/total_tax_amount    tax_mismatch           4547
    /order_lines/0/colour              unknown_field          "red"
    /order_amount                      sum_mismatch           50001
    /order_amount                      out_of_range           0
    /order_amount                      out_of_range           200000001
    /order_amount                      wrong_type             "50000"
    /order_tax_amount                  sum_mismatch           4546
    /billing_address/email             invalid_format         "Jo <jo@shop.example>"
    /billing_address/email             invalid_format         "jo@localhost"
    /billing_address/email             invalid_format         "\"jo\"@shop.example"
    /billing_address/email             invalid_format         "jo..b@shop.example"
    /billing_address/email             invalid_format         "jo@-shop.example"
    /billing_address/phone             invalid_format         "tel:+442079460123"
    /billing_address/phone             invalid_format         "+442079460123 ext. 4"
    /billing_address/phone             invalid_format         "+442079460123, +442079460124"
    /billing_address/phone             invalid_format         "call me"
    /billing_address/given_name        invalid_value          "https://evil.example"
    /billing_address/given_name        too_long               x*101
    /billing_address/title             too_long               x*21
    /billing_address/city              too_long               x*201
    /billing_address/postal_code       too_long               x*11
    /billing_address/planet            unknown_field          "Earth"
    /page                              wrong_type             []
    /send                              wrong_type             "email"
    /a~1b~0c                           unknown_field          1
"#;

async fn each_fault_has_its_code_and_place(w: &World) {
    for row in FAULTS.lines().filter(|row| !row.trim().is_empty()) {
        let (at, row) = row.trim().split_once(' ').expect("a place");
        let (code, value) = row.trim().split_once(' ').expect("a code");
        let value = match value.trim().split_once('*') {
            Some(("x", count)) => json!("x".repeat(count.parse().expect("a count"))),
            Some(("line", count)) => lines(count.parse().expect("a count")),
            _ => serde_json::from_str(value).expect("JSON"),
        };
        refused(w, at, value, at, code).await;
    }
}

async fn what_lies_deeper_is_judged_too(w: &World) {
    for (members, place, code) in [
        (
            json!({"page": {"exit": "leave"}}),
            "/page/exit",
            "invalid_value",
        ),
        (
            json!({"page": {"purchase_type": "GIVE"}}),
            "/page/purchase_type",
            "invalid_value",
        ),
        (
            json!({"page": {"logo_url": "http://shop.example/l.png"}}),
            "/page/logo_url",
            "invalid_value",
        ),
        (
            json!({"page": {"logo_url": "https://me@shop.example/l.png"}}),
            "/page/logo_url",
            "invalid_value",
        ),
        (
            json!({"page": {"background_images": [{"url": "ftp://shop.example/", "width": 9}]}}),
            "/page/background_images/0/url",
            "invalid_value",
        ),
        (
            json!({"page": {"colour": "red"}}),
            "/page/colour",
            "unknown_field",
        ),
        (
            json!({"metadata": {"k".repeat(41): "v"}}),
            &format!("/metadata/{}", "k".repeat(41)),
            "too_long",
        ),
        (
            json!({"metadata": {"k": "v".repeat(501)}}),
            "/metadata/k",
            "too_long",
        ),
        (json!({"metadata": {"k": 1}}), "/metadata/k", "wrong_type"),
        (
            json!({"metadata": (0..51).map(|n| (n.to_string(), json!("v"))).collect::<serde_json::Map<_, _>>()}),
            "/metadata",
            "too_many",
        ),
        (
            json!({"send": [{"channel": "fax"}]}),
            "/send/0/channel",
            "invalid_value",
        ),
        (
            json!({"send": [{"to": "jo@shop.example"}]}),
            "/send/0/channel",
            "required",
        ),
        (
            json!({"send": vec![json!({"channel": "email"}); 11]}),
            "/send",
            "too_many",
        ),
        (
            json!({"merchant_reference1": "another"}),
            "/merchant_reference1",
            "conflict",
        ),
    ] {
        let mut sale = sale();
        for (name, value) in members.as_object().expect("an object") {
            sale[name] = value.clone();
        }
        let faults = w.agent().sends(&sale).await.faults();
        assert!(
            faults.contains(&(place.to_owned(), code.to_owned())),
            "{members}: expected {code} at {place}, got {faults:?}"
        );
    }
}

async fn what_is_missing_is_required(w: &World) {
    for (absent, place) in [
        ("/reference", "/reference"),
        ("/order_lines/0/name", "/order_lines/0/name"),
        ("/order_lines/0/quantity", "/order_lines/0/quantity"),
        ("/order_lines/0/unit_price", "/order_lines/0/unit_price"),
        ("/order_lines/0/tax_rate", "/order_lines/0/tax_rate"),
    ] {
        let mut sale = sale();
        let (parent, name) = absent.rsplit_once('/').expect("a pointer");
        sale.pointer_mut(parent)
            .and_then(Value::as_object_mut)
            .expect("an object")
            .remove(name);
        let faults = w.agent().sends(&sale).await.faults();
        assert!(
            faults.contains(&(place.to_owned(), "required".to_owned())),
            "without {absent}: {faults:?}"
        );
    }
}

async fn messages_and_signs_are_judged(w: &World) {
    // two equal messages
    let mut twice = sale();
    twice["send"] = json!([{"channel": "email"}, {"channel": "email", "to": twice["billing_address"]["email"]}]);
    let faults = w.agent().sends(&twice).await.faults();
    assert!(
        faults.iter().any(|(place, _)| place.starts_with("/send/1")),
        "{faults:?}"
    );
    // nobody to send it to
    let mut nobody = sale();
    nobody["billing_address"] = json!({"country": "GB"});
    nobody["send"] = json!([{"channel": "sms"}]);
    let faults = w.agent().sends(&nobody).await.faults();
    assert_eq!(faults, [("/send/0/to".to_owned(), "required".to_owned())]);
    // a discount that raises the sum, and goods that lower it
    for (kind, price) in [
        ("discount", 500),
        ("gift_card", 500),
        ("store_credit", 500),
        ("physical", -500),
    ] {
        let mut sale = sale();
        put(
            &mut sale,
            "/order_lines/1",
            json!({"type": kind, "name": "x", "quantity": 1, "unit_price": price, "tax_rate": 0}),
        );
        let sale = sale.as_object_mut().expect("an object");
        sale.remove("order_amount");
        sale.remove("order_tax_amount");
        let faults = w.agent().sends(&json!(sale)).await.faults();
        assert!(
            faults
                .iter()
                .any(|(place, _)| place.starts_with("/order_lines/1")),
            "{kind}: {faults:?}"
        );
    }
}

async fn managed_and_read_only_members_are_named(w: &World) {
    for name in [
        "merchant_urls",
        "merchant_reference2",
        "shipping_options",
        "external_payment_methods",
        "external_checkouts",
        "recurring",
        "discount_lines",
    ] {
        let place = format!("/{name}");
        refused(w, &place, json!("x"), &place, "managed").await;
    }
    for name in [
        "acquiring_channel",
        "auto_capture",
        "require_client_validation",
        "require_validate_callback_success",
    ] {
        refused(
            w,
            "/options",
            json!({ name: true }),
            &format!("/options/{name}"),
            "managed",
        )
        .await;
    }
    for name in [
        "order_id",
        "status",
        "html_snippet",
        "name",
        "started_at",
        "completed_at",
        "last_modified_at",
        "merchant_requested",
        "selected_shipping_option",
        "recurring_token",
    ] {
        let place = format!("/{name}");
        refused(w, &place, json!("x"), &place, "read_only").await;
    }
    refused(w, "/foo", json!("x"), "/foo", "unknown_field").await;
}

async fn all_faults_are_told_at_once(w: &World) {
    let sale = json!({
        "use_case": "carrier_pigeon", "purchase_country": "GB", "purchase_currency": "SEK",
        "order_lines": [
            {"name": "Mug", "quantity": 1, "unit_price": 4800, "tax_rate": 2000, "total_amount": 4801},
            {"name": "", "quantity": "1", "unit_price": 100, "tax_rate": 99_999},
        ],
        "billing_address": {"email": "nobody", "given_name": "www.evil.example/x https://evil.example"},
        "send": [{"channel": "fax"}], "metadata": {"k": 1}, "merchant_urls": {}, "order_id": "1", "foo": 1,
        "expires_in": "PT1H", "expires_at": "2026-01-01T00:00:00Z",
    });
    let faults = w.agent().sends(&sale).await.faults();
    for (place, code) in [
        ("/reference", "required"),
        ("/use_case", "invalid_value"),
        ("/purchase_currency", "unsupported_currency"),
        ("/order_lines/0/total_amount", "sum_mismatch"),
        ("/order_lines/1/name", "too_short"),
        ("/order_lines/1/quantity", "wrong_type"),
        ("/order_lines/1/tax_rate", "out_of_range"),
        ("/billing_address/email", "invalid_format"),
        ("/billing_address/given_name", "invalid_value"),
        ("/send/0/channel", "invalid_value"),
        ("/metadata/k", "wrong_type"),
        ("/merchant_urls", "managed"),
        ("/order_id", "read_only"),
        ("/foo", "unknown_field"),
    ] {
        assert!(
            faults.contains(&(place.to_owned(), code.to_owned())),
            "{code} at {place} is not in {faults:#?}"
        );
    }
    assert!(
        faults
            .iter()
            .any(|(place, code)| place.starts_with("/expires_") && code == "conflict"),
        "{faults:#?}"
    );
}
