//! `POST /v1/links` when all is well: what is answered, and what Klarna is told.

use base64::Engine;
use serde_json::{Value, json};

use super::harness::world::id;
use super::harness::{World, WorldPlan, reference, sale, sale_of, stories};

stories!(
    creating,
    WorldPlan::new(),
    [
        a_payable_link_has_every_member,
        klarna_is_told_the_sale_and_our_urls,
        the_use_case_chooses_channel_exit_and_capture,
        amounts_are_computed_when_absent,
        a_tax_may_lie_within_one_of_the_unrounded_value,
        negative_lines_lower_the_sum,
        us_tax_is_a_line_of_its_own,
        settings_fill_what_is_not_said,
        an_amount_alone_becomes_one_line,
        a_kco_order_body_can_be_pasted,
        the_page_is_the_merchants,
        a_local_phone_number_is_understood,
        expand_adds_the_qr_code,
    ]
);

async fn a_payable_link_has_every_member(w: &World) {
    let mut sale = sale();
    sale["metadata"] = json!({"deal": "42"});
    sale["agent"] = json!("ann");
    let answer = w.agent().sends(&sale).await.expect(201);
    let link = answer.json();
    assert_eq!(
        answer.header("location"),
        Some(format!("/v1/links/{}", id(&link)).as_str())
    );
    assert!(answer.header("x-request-id").is_some());
    for member in [
        "id",
        "object",
        "mode",
        "version",
        "reference",
        "status",
        "payable",
        "consumer",
        "use_case",
        "purchase_country",
        "purchase_currency",
        "locale",
        "order_amount",
        "order_tax_amount",
        "order_lines",
        "billing_address",
        "url",
        "qr",
        "klarna",
        "payment",
        "deliveries",
        "created_by",
        "created_at",
        "updated_at",
        "expires_at",
        "metadata",
        "store",
        "agent",
        "closing_reason",
        "failure",
        "renewed_from",
        "renewed_by",
        "auto_capture",
        "page",
        "shipping_address",
    ] {
        assert!(link.get(member).is_some(), "{member} is not in {link:#}");
    }
    let said = json!({
        "object": "link", "mode": "test", "reference": sale["reference"], "status": "open", "payable": true,
        "consumer": "not_opened", "use_case": "telesales", "purchase_country": "GB", "purchase_currency": "GBP",
        "locale": "en-GB", "order_amount": 50000, "order_tax_amount": 4545, "payment": null, "deliveries": [],
        "metadata": {"deal": "42"}, "store": "default", "agent": "ann", "closing_reason": null, "failure": null,
        "renewed_from": null, "renewed_by": null, "auto_capture": false,
    });
    for (member, value) in said.as_object().expect("an object") {
        assert_eq!(link[member], *value, "{member}");
    }
    assert!(id(&link).starts_with("lnk_"));
    assert!(
        link["created_by"]
            .as_str()
            .is_some_and(|by| by.starts_with("key_")),
        "{link:#}"
    );
    assert!(link["version"].as_u64().is_some_and(|version| version >= 1));
    for member in ["created_at", "updated_at", "expires_at"] {
        is_instant(&link[member]);
    }
    is_instant(&link["klarna"]["verified_at"]);
    assert_eq!(link["klarna"]["status"], "WAITING");
    assert_eq!(link["klarna"]["klarna_reference"], Value::Null);
    let session = w.klarna.session(&link).await;
    assert_eq!(link["url"], session["redirect_url"]);
    assert_eq!(link["klarna"]["order_id"], session["order_id"]);
    let path = format!("/v1/links/{}/qr", id(&link));
    assert_eq!(link["qr"]["png"], format!("{path}.png"));
    assert_eq!(link["qr"]["svg"], format!("{path}.svg"));
    let shirt = &link["order_lines"][0];
    assert_eq!(
        (&shirt["name"], &shirt["total_tax_amount"]),
        (&json!("Red T-Shirt"), &json!(4545))
    );
    // a request that says no end has the session's
    assert_eq!(millis(&link["expires_at"]), millis(&session["expires_at"]));
    let mut again = w.agent().link(id(&link)).await;
    assert_eq!(again["klarna"].as_object_mut().map(|_| ()), Some(()));
    assert_eq!(again["url"], link["url"]);
}

/// A time with milliseconds and Z.
#[track_caller]
fn is_instant(value: &Value) {
    let text = value.as_str().unwrap_or_else(|| panic!("no time: {value}"));
    let form: String = text
        .chars()
        .map(|c| if c.is_ascii_digit() { '0' } else { c })
        .collect();
    assert_eq!(form, "0000-00-00T00:00:00.000Z", "{text}");
}

fn millis(value: &Value) -> i64 {
    let text = value.as_str().unwrap_or_else(|| panic!("no time: {value}"));
    text.parse::<jiff::Timestamp>()
        .expect("RFC 3339")
        .as_millisecond()
}

async fn klarna_is_told_the_sale_and_our_urls(w: &World) {
    let sale = sale();
    let link = w.agent().creates(&sale).await;
    let order = w.klarna.calls_of("create_order", id(&link)).await;
    assert_eq!(order.len(), 1, "one order for one link");
    let order = &order[0]["body"];
    assert_eq!(order["merchant_reference1"], sale["reference"]);
    assert_eq!(order["merchant_reference2"], link["id"]);
    assert_eq!(order["order_amount"], 50000);
    assert_eq!(order["order_tax_amount"], 4545);
    for (member, value) in sale["order_lines"][0].as_object().expect("a line") {
        assert_eq!(order["order_lines"][0][member], *value, "{member}");
    }
    assert_eq!(order["billing_address"]["phone"], "+447700900023");
    assert_eq!(order["billing_address"]["street_address"], "12 Wanderlane");
    assert_eq!(order["options"]["require_client_validation"], false);
    assert_eq!(order["options"]["require_validate_callback_success"], false);
    let session = w
        .klarna
        .calls_of(
            "create_session",
            link["klarna"]["order_id"].as_str().expect("an order"),
        )
        .await;
    assert_eq!(session.len(), 1, "one session for one order");
    let session = &session[0]["body"];

    let p = &w.base;
    let checkout = order["merchant_urls"]["checkout"]
        .as_str()
        .expect("checkout");
    let token = checkout
        .strip_prefix(&format!("{p}/return/checkout/"))
        .expect("the form of checkout");
    assert!(
        token.len() >= 43
            && token
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "-_".contains(c)),
        "{token}"
    );
    let said = json!({
        "terms": "https://shop.example/terms",
        "checkout": checkout,
        "confirmation": format!("{p}/return/confirmation/{token}?oid={{checkout.order.id}}"),
        "push": format!("{p}/callbacks/push/{token}?oid={{checkout.order.id}}"),
        "notification": format!("{p}/callbacks/notification/{token}"),
        "validation": format!("{p}/callbacks/validation/{token}"),
    });
    assert_eq!(order["merchant_urls"], said);
    let back = |outcome: &str| {
        format!("{p}/return/{outcome}/{token}?sid={{{{session_id}}}}&oid={{{{order_id}}}}")
    };
    let said = json!({
        "success": back("success"), "cancel": back("cancel"), "failure": back("failure"), "error": back("error"),
        "status_update": format!("{p}/callbacks/hpp/{token}?sid={{{{session_id}}}}"),
    });
    assert_eq!(session["merchant_urls"], said);
    let other = w.agent().creates(&super::harness::sale()).await;
    let other = w.klarna.order(&other).await;
    assert!(
        !other["merchant_urls"].to_string().contains(token),
        "each link has its own token"
    );
}

async fn the_use_case_chooses_channel_exit_and_capture(w: &World) {
    let agent = w.agent();
    for (use_case, channel, exit, capture) in [
        ("telesales", "TELESALES", "cancel", false),
        ("in_store", "IN_STORE", "cancel", true),
        ("ecommerce", "ECOMMERCE", "back", false),
    ] {
        let mut sale = sale();
        sale["use_case"] = json!(use_case);
        let link = agent.creates(&sale).await;
        assert_eq!(
            (&link["use_case"], &link["auto_capture"]),
            (&json!(use_case), &json!(capture))
        );
        let order = &w.klarna.calls_of("create_order", id(&link)).await[0]["body"];
        assert_eq!(order["options"]["acquiring_channel"], channel);
        assert_eq!(order["options"]["auto_capture"], capture, "{use_case}");
        let session = w.klarna.session(&link).await;
        let urls = session["merchant_urls"].as_object().expect("URLs");
        let other = if exit == "cancel" { "back" } else { "cancel" };
        assert!(
            urls.get(exit).is_some_and(Value::is_string),
            "{use_case}: {urls:?}"
        );
        assert!(
            urls.get(other).is_none_or(Value::is_null),
            "{use_case}: {urls:?}"
        );
    }
    let mut sale = sale();
    sale["use_case"] = json!("in_store");
    sale["auto_capture"] = json!(false);
    sale["page"] = json!({"exit": "back"});
    let link = agent.creates(&sale).await;
    assert_eq!(link["auto_capture"], false);
    assert_eq!(
        w.klarna.calls_of("create_order", id(&link)).await[0]["body"]["options"]["auto_capture"],
        false
    );
    assert!(w.klarna.session(&link).await["merchant_urls"]["back"].is_string());
}

async fn amounts_are_computed_when_absent(w: &World) {
    let mut sale = sale();
    sale["order_lines"] = json!([
        {"name": "Mug", "quantity": 2, "unit_price": 2400, "tax_rate": 2000},
        {"type": "shipping_fee", "name": "Courier", "quantity": 1, "unit_price": 499, "tax_rate": 2000},
        {"type": "digital", "name": "Film", "quantity": 3, "unit_price": 1000, "tax_rate": 2500,
         "total_discount_amount": 500},
    ]);
    let sale = sale.as_object_mut().expect("an object");
    sale.remove("order_amount");
    sale.remove("order_tax_amount");
    let link = w.agent().creates(&json!(sale)).await;
    let lines = &link["order_lines"];
    // a missing type is physical
    assert_eq!(lines[0]["type"], "physical");
    for (line, total, tax) in [(0, 4800, 800), (1, 499, 83), (2, 2500, 500)] {
        assert_eq!(lines[line]["total_amount"], total);
        assert_eq!(lines[line]["total_tax_amount"], tax);
    }
    assert_eq!(
        (&link["order_amount"], &link["order_tax_amount"]),
        (&json!(7799), &json!(1383))
    );
    let order = &w.klarna.calls_of("create_order", id(&link)).await[0]["body"];
    assert_eq!(
        (&order["order_amount"], &order["order_tax_amount"]),
        (&json!(7799), &json!(1383))
    );
    assert_eq!(order["order_lines"][2]["total_amount"], 2500);
}

async fn a_tax_may_lie_within_one_of_the_unrounded_value(w: &World) {
    // 50000 at 10 % contain 4545.45
    let mut sale = sale();
    sale["order_lines"][0]["total_tax_amount"] = json!(4546);
    sale["order_tax_amount"] = json!(4546);
    let link = w.agent().creates(&sale).await;
    assert_eq!(link["order_tax_amount"], 4546);
    assert_eq!(link["order_lines"][0]["total_tax_amount"], 4546);
}

async fn negative_lines_lower_the_sum(w: &World) {
    let sale = json!({"reference": reference(), "order_lines": [
        {"name": "Mug", "quantity": 1, "unit_price": 4800, "tax_rate": 2000},
        {"type": "discount", "name": "Autumn", "quantity": 1, "unit_price": -500, "tax_rate": 2000},
        {"type": "gift_card", "name": "Card", "quantity": 1, "unit_price": -1000, "tax_rate": 0},
        {"type": "store_credit", "name": "Credit", "quantity": 1, "unit_price": -300, "tax_rate": 0},
    ]});
    let link = w.agent().creates(&sale).await;
    assert_eq!(link["order_lines"][1]["total_tax_amount"], -83);
    assert_eq!(
        (&link["order_amount"], &link["order_tax_amount"]),
        (&json!(3000), &json!(717))
    );
}

async fn us_tax_is_a_line_of_its_own(w: &World) {
    let sale = json!({
        "reference": reference(), "purchase_country": "US", "purchase_currency": "USD", "locale": "en-US",
        "order_lines": [
            {"name": "Mug", "quantity": 1, "unit_price": 10000, "tax_rate": 0},
            {"type": "sales_tax", "name": "Sales tax", "quantity": 1, "unit_price": 825, "tax_rate": 0},
        ],
    });
    let link = w.agent().creates(&sale).await;
    assert_eq!(
        (&link["order_amount"], &link["order_tax_amount"]),
        (&json!(10825), &json!(825))
    );
    let mut taxed = sale.clone();
    taxed["reference"] = json!(reference());
    taxed["order_lines"][0]["tax_rate"] = json!(825);
    let faults = w.agent().sends(&taxed).await.faults();
    assert!(
        faults
            .iter()
            .any(|(place, _)| place.starts_with("/order_lines/0/")),
        "{faults:?}"
    );
}

async fn settings_fill_what_is_not_said(w: &World) {
    let mut sale = sale();
    let members = sale.as_object_mut().expect("an object");
    for absent in [
        "purchase_country",
        "purchase_currency",
        "locale",
        "billing_address",
    ] {
        members.remove(absent);
    }
    let link = w.agent().creates(&sale).await;
    assert_eq!(
        (
            &link["purchase_country"],
            &link["purchase_currency"],
            &link["locale"]
        ),
        (&json!("GB"), &json!("GBP"), &json!("en-GB"))
    );
    let mut other = super::harness::sale();
    other["locale"] = json!("EN-gb");
    assert_eq!(w.agent().creates(&other).await["locale"], "en-GB");
    let mut other = super::harness::sale();
    other["locale"] = json!("en");
    assert_eq!(w.agent().creates(&other).await["locale"], "en");
}

async fn an_amount_alone_becomes_one_line(w: &World) {
    let reference = reference();
    let link = w
        .agent()
        .creates(&json!({"reference": reference, "order_amount": 12000}))
        .await;
    let lines = link["order_lines"].as_array().expect("lines");
    assert_eq!(lines.len(), 1);
    let said = json!({"type": "physical", "name": reference, "quantity": 1, "unit_price": 12000, "tax_rate": 2000,
        "total_amount": 12000, "total_tax_amount": 2000});
    for (member, value) in said.as_object().expect("an object") {
        assert_eq!(lines[0][member], *value, "{member}");
    }
    assert_eq!(link["order_tax_amount"], 2000);
}

async fn a_kco_order_body_can_be_pasted(w: &World) {
    let mut sale = sale();
    let reference = sale["reference"].clone();
    let pasted = json!({
        "shipping_address": {"given_name": "Xaverius", "family_name": "Quillfeather", "country": "GB", "city": "Exeter"},
        "customer": {"type": "person", "date_of_birth": "1983-02-17"},
        "options": {"color_button": "#ff0000", "title_mandatory": true},
        "merchant_data": "a word of ours",
        "attachment": {"content_type": "application/vnd.klarna.internal.emd-v2+json", "body": "{}"},
        "gui": {"options": ["minimal_confirmation"]},
        "tags": ["autumn"],
        "billing_countries": ["GB"], "shipping_countries": ["GB"],
    });
    for (member, value) in pasted.as_object().expect("an object") {
        sale[member] = value.clone();
    }
    let members = sale.as_object_mut().expect("an object");
    members.remove("reference");
    members.insert("merchant_reference1".to_owned(), reference.clone());
    let link = w.agent().creates(&sale).await;
    assert_eq!(link["reference"], reference);
    assert_eq!(link["shipping_address"]["given_name"], "X***");
    let order = &w.klarna.calls_of("create_order", id(&link)).await[0]["body"];
    for (member, value) in pasted.as_object().expect("an object") {
        match value.as_object() {
            Some(inner) => {
                for (name, value) in inner {
                    assert_eq!(order[member][name], *value, "{member}.{name}");
                }
            }
            None => assert_eq!(order[member], *value, "{member}"),
        }
    }
    // both names, equal
    let mut both = sale_of(&super::harness::reference());
    both["merchant_reference1"] = both["reference"].clone();
    w.agent().creates(&both).await;
}

async fn the_page_is_the_merchants(w: &World) {
    let mut sale = sale();
    sale["page"] = json!({
        "title": "Order 10442", "logo_url": "https://shop.example/logo.png", "purchase_type": "BUY",
        "background_images": [{"url": "https://shop.example/bg.jpg", "width": 1200}], "show_subtotal_detail": "HIDE",
        "exit": "cancel",
    });
    let link = w.agent().creates(&sale).await;
    assert_eq!(link["page"]["title"], "Order 10442");
    let order = link["klarna"]["order_id"].as_str().expect("an order");
    let options = &w.klarna.calls_of("create_session", order).await[0]["body"]["options"];
    assert_eq!(options["page_title"], "Order 10442");
    for member in [
        "logo_url",
        "purchase_type",
        "background_images",
        "show_subtotal_detail",
    ] {
        assert_eq!(options[member], sale["page"][member], "{member}");
    }
}

async fn a_local_phone_number_is_understood(w: &World) {
    let mut sale = sale();
    sale["billing_address"]["phone"] = json!("(07700) 900-078");
    let link = w.agent().creates(&sale).await;
    assert_eq!(link["billing_address"]["phone"], "+44***078");
    let order = &w.klarna.calls_of("create_order", id(&link)).await[0]["body"];
    assert_eq!(order["billing_address"]["phone"], "+447700900078");
}

async fn expand_adds_the_qr_code(w: &World) {
    let link = w
        .agent()
        .post("/v1/links?expand=qr", &sale())
        .await
        .expect(201)
        .json();
    let again = w
        .agent()
        .get(&format!("/v1/links/{}?expand=qr", id(&link)))
        .await
        .expect(200)
        .json();
    for link in [&link, &again] {
        let png = link["qr"]["png_base64"]
            .as_str()
            .unwrap_or_else(|| panic!("no picture in {:#}", link["qr"]));
        let png = base64::engine::general_purpose::STANDARD
            .decode(png)
            .expect("base64");
        assert_eq!(
            super::qr::read_png(&png),
            link["url"].as_str().expect("a URL")
        );
    }
}
