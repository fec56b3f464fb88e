//! What a sales request may not say. Every fault is named with its place, all at once, and Klarna
//! hears nothing of it.

use serde_json::{Value, json};

use super::harness::{World, WorldPlan, reference, sale, stories};

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
        recipients_must_be_deliverable,
        expiry_has_bounds,
        a_fault_never_echoes_the_value,
        what_is_no_json_object_is_malformed,
        invalid_input_never_reaches_klarna,
    ]
);

stories!(
    refusing_bare,
    WorldPlan::new()
        .without_channels()
        .with("DEFAULT_TAX_RATE", "")
        .with("DEFAULT_COUNTRY", ""),
    [
        a_channel_that_is_not_configured_is_refused,
        an_amount_alone_needs_a_tax_rate,
        a_country_that_nobody_names_is_required,
    ]
);

/// Posts a sale changed at a pointer, and expects a fault there with one of the codes (`a|b`).
async fn refused(w: &World, at: &str, value: Value, place: &str, codes: &str) {
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

async fn recipients_must_be_deliverable(w: &World) {
    for (channel, to, code) in [
        ("sms", "+449098790000", "not_deliverable"), // premium
        ("sms", "+448448790000", "not_deliverable"), // shared cost
        ("sms", "+881612345678", "not_deliverable"), // satellite
        ("sms", "+88213123456", "not_deliverable"),  // international network
        ("sms", "+819012345678", "not_deliverable"), // a country that is no market
        ("sms", "+18765550123", "not_deliverable"),  // Jamaica shares +1 and is not the US
        ("sms", "66777", "not_deliverable|invalid_format"),
        ("sms", "jo@shop.example", "invalid_format"),
        ("email", "+447700900001", "invalid_format"),
        ("email", "a@b", "invalid_format"),
    ] {
        refused(
            w,
            "/send",
            json!([{"channel": channel, "to": to}]),
            "/send/0/to",
            code,
        )
        .await;
    }
}

async fn expiry_has_bounds(w: &World) {
    for (value, code) in [
        ("PT59S", "out_of_range"),
        ("PT47H1S", "out_of_range"),
        ("P3D", "out_of_range"),
        ("soon", "invalid_format"),
    ] {
        refused(w, "/expires_in", json!(value), "/expires_in", code).await;
    }
    for (value, code) in [
        ("2020-01-01T00:00:00Z", "out_of_range"),
        ("2100-01-01T00:00:00Z", "out_of_range"),
        ("tomorrow", "invalid_format"),
    ] {
        refused(w, "/expires_at", json!(value), "/expires_at", code).await;
    }
    let mut sale = sale();
    sale["expires_in"] = json!("PT2H");
    let link = w.agent().creates(&sale).await;
    let at = |member: &str| {
        link[member]
            .as_str()
            .expect("a time")
            .parse::<jiff::Timestamp>()
            .expect("RFC 3339")
    };
    let lives = at("expires_at").duration_since(at("created_at")).as_secs();
    assert!((7190..=7210).contains(&lives), "{lives} s");
}

async fn a_fault_never_echoes_the_value(w: &World) {
    let mut sale = sale();
    sale["billing_address"]["email"] = json!("marker-one@");
    sale["billing_address"]["phone"] = json!("marker-two");
    sale["use_case"] = json!("marker-three");
    sale["send"] = json!([{"channel": "marker-four", "to": "marker-five"}]);
    sale["billing_address"]["given_name"] = json!("https://marker-six.example");
    let answer = w.agent().sends(&sale).await;
    answer.problem(422, "validation_failed");
    assert!(!answer.text().contains("marker"), "{}", answer.text());
}

async fn what_is_no_json_object_is_malformed(w: &World) {
    let agent = w.agent();
    let deep = format!(
        "{}{}",
        r#"{"a":"#.repeat(33),
        "1".to_owned() + &"}".repeat(33)
    );
    let whole = sale().to_string();
    let duplicate = whole.replacen('{', r#"{"reference":"first","#, 1);
    for (what, body) in [
        ("nothing", Vec::new()),
        ("an open brace", b"{".to_vec()),
        ("a list", b"[]".to_vec()),
        ("a word", b"\"sale\"".to_vec()),
        ("not UTF-8", b"{\"reference\":\"\xff\"}".to_vec()),
        ("trailing bytes", format!("{whole} x").into_bytes()),
        ("two documents", format!("{whole}{whole}").into_bytes()),
        ("a duplicate member", duplicate.into_bytes()),
        (
            "a duplicate member inside",
            br#"{"reference":"x","metadata":{"a":"1","a":"2"}}"#.to_vec(),
        ),
        ("too deep", deep.into_bytes()),
    ] {
        let answer = agent.press("/v1/links").raw(body).await;
        assert_eq!(answer.status, 400, "{what}: {}", answer.text());
        answer.problem(400, "malformed_json");
    }
    for media_type in [
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
    ] {
        agent
            .press("/v1/links")
            .typed(media_type, whole.clone())
            .await
            .problem(415, "unsupported_media_type");
    }
    agent
        .press("/v1/links")
        .typed("application/json; charset=utf-8", sale().to_string())
        .await
        .expect(201);
    let large =
        json!({"reference": reference(), "merchant_data": "x".repeat(1024 * 1024)}).to_string();
    agent
        .press("/v1/links")
        .raw(large)
        .await
        .problem(413, "payload_too_large");
}

async fn invalid_input_never_reaches_klarna(w: &World) {
    let calls = w.klarna.calls().await;
    for story in 0..4 {
        let mut sale = sale();
        match story {
            0 => sale["order_amount"] = json!(1),
            1 => sale["foo"] = json!(1),
            2 => sale["send"] = json!([{"channel": "sms", "to": "+449098790000"}]),
            _ => sale["expires_in"] = json!("PT1S"),
        }
        w.agent()
            .sends(&sale)
            .await
            .problem(422, "validation_failed");
    }
    w.agent()
        .press("/v1/links")
        .raw("{")
        .await
        .problem(400, "malformed_json");
    w.stranger()
        .sends(&sale())
        .await
        .problem(401, "unauthorized");
    assert_eq!(w.klarna.calls().await, calls);
}

async fn a_channel_that_is_not_configured_is_refused(w: &World) {
    let mut sale = sale();
    sale["send"] = json!([{"channel": "email"}, {"channel": "sms"}]);
    let faults = w.agent().sends(&sale).await.faults();
    let code = "channel_not_configured".to_owned();
    assert_eq!(
        faults,
        [
            ("/send/0/channel".to_owned(), code.clone()),
            ("/send/1/channel".to_owned(), code)
        ]
    );
}

async fn an_amount_alone_needs_a_tax_rate(w: &World) {
    let faults = w
        .agent()
        .sends(&json!({"reference": reference(), "purchase_country": "GB", "order_amount": 100}))
        .await
        .faults();
    assert_eq!(faults, [("/order_lines".to_owned(), "required".to_owned())]);
}

async fn a_country_that_nobody_names_is_required(w: &World) {
    let mut sale = sale();
    sale.as_object_mut()
        .expect("an object")
        .remove("purchase_country");
    let faults = w.agent().sends(&sale).await.faults();
    assert!(
        faults.contains(&("/purchase_country".to_owned(), "required".to_owned())),
        "{faults:?}"
    );
    let calls = w.klarna.calls().await;
    assert_eq!(calls, 0, "nothing of this group reached Klarna");
}
