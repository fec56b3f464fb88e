//! What a sales request may not be, beyond its single members: no JSON, too late, for nobody, or
//! more than this installation can do.

use serde_json::json;

use super::harness::{World, WorldPlan, reference, sale, stories};
use super::refusing::refused;

stories!(
    rejecting,
    WorldPlan::new(),
    [
        recipients_must_be_deliverable,
        expiry_has_bounds,
        a_fault_never_echoes_the_value,
        what_is_no_json_object_is_malformed,
        invalid_input_never_reaches_klarna,
    ]
);

stories!(
    rejecting_bare,
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
