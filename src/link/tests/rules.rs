//! One row per rule: a change to a good body, and the one fault that it makes.

use super::*;

/// (pointer to change, value, fault's pointer, code)
type Row = (&'static str, Tree, &'static str, Code);

#[track_caller]
fn check(rows: Vec<Row>) {
    for (pointer, value, at, code) in rows {
        let body = with(pointer, value.clone());
        let Err(faults) = parse(&body) else {
            panic!("{pointer} = {value:?} was taken");
        };
        assert_eq!(
            short(&faults),
            [(at, code)],
            "{pointer} = {value:?}: {faults:#?}"
        );
    }
}

fn text(length: usize) -> Tree {
    Tree::Text("x".repeat(length))
}

#[test]
fn a_number_too_large_for_any_integer_is_out_of_range() {
    for number in ["1e30", "-1e30", "9223372036854775808"] {
        let pointer = "/order_lines/0/unit_price";
        let value = Tree::Number(number.into());
        check(vec![(pointer, value, pointer, Code::OutOfRange)]);
    }
}

#[test]
fn types_are_strict() {
    let wrong = |pointer, value| (pointer, value, pointer, Code::WrongType);
    check(vec![
        wrong("/reference", 1.into()),
        wrong("/order_lines/0/quantity", "1".into()),
        wrong("/order_lines/0/tax_rate", Tree::Number("10.5".into())),
        wrong("/order_lines/0/tax_rate", Tree::Number("1000.0".into())),
        wrong("/order_amount", Tree::Number("1e3".into())),
        wrong("/order_amount", Tree::Number("0.0".into())),
        wrong("/order_amount", Tree::Number("9.5".into())),
        wrong("/order_amount", true.into()),
        wrong("/order_lines", tree!({})),
        wrong("/order_lines/0", Tree::Null),
        wrong("/billing_address", "x".into()),
        wrong("/auto_capture", "true".into()),
        wrong("/send", tree!({"channel": "email"})),
        wrong("/send/0", "email".into()),
        wrong("/metadata", tree!([])),
        wrong("/metadata/deal", 42.into()),
        wrong("/metadata/deal", Tree::Null),
        wrong("/page/title", 1.into()),
        ("/tags", tree!([1]), "/tags/0", Code::WrongType),
        wrong("/purchase_country", 826.into()),
        wrong("/locale", tree!([])),
        wrong("/expires_in", 24.into()),
        wrong("/on_duplicate", false.into()),
    ]);
}

#[test]
fn names_are_closed_and_some_are_not_the_callers() {
    let named = |pointer, code| (pointer, tree!("x"), pointer, code);
    let mut rows: Vec<Row> = vec![
        named("/colour", Code::UnknownField),
        named("/recurring_description", Code::UnknownField),
        named("/order_lines/0/weight", Code::UnknownField),
        named("/billing_address/fax", Code::UnknownField),
        named("/customer/title", Code::UnknownField),
        named("/send/0/cc", Code::UnknownField),
        named("/page/theme", Code::UnknownField),
        named("/options/colour", Code::UnknownField),
        ("/x~y", tree!(1), "/x~0y", Code::UnknownField),
    ];
    for managed in [
        "/merchant_urls",
        "/merchant_reference2",
        "/shipping_options",
        "/external_payment_methods",
        "/external_checkouts",
        "/recurring",
        "/discount_lines",
        "/options/acquiring_channel",
        "/options/auto_capture",
        "/options/require_client_validation",
        "/options/require_validate_callback_success",
    ] {
        rows.push(named(managed, Code::Managed));
    }
    for read_only in [
        "/order_id",
        "/status",
        "/html_snippet",
        "/name",
        "/started_at",
        "/completed_at",
        "/last_modified_at",
        "/merchant_requested",
        "/selected_shipping_option",
        "/recurring_token",
    ] {
        rows.push(named(read_only, Code::ReadOnly));
    }
    check(rows);
}

#[test]
fn lengths_count_characters() {
    let long = |pointer, most: usize| (pointer, text(most + 1), pointer, Code::TooLong);
    check(vec![
        long("/reference", 255),
        long("/agent", 100),
        long("/merchant_data", 6000),
        long("/order_lines/0/name", 255),
        long("/order_lines/0/reference", 255),
        long("/order_lines/0/quantity_unit", 8),
        long("/order_lines/0/merchant_data", 1024),
        long("/order_lines/0/product_identifiers/brand", 70),
        long("/order_lines/0/product_identifiers/color", 64),
        long("/order_lines/0/product_identifiers/category_path", 750),
        long(
            "/order_lines/0/product_identifiers/global_trade_item_number",
            50,
        ),
        long(
            "/order_lines/0/product_identifiers/manufacturer_part_number",
            70,
        ),
        long("/order_lines/0/product_identifiers/size", 64),
        long("/billing_address/given_name", 100),
        long("/billing_address/street_address", 100),
        long("/billing_address/city", 200),
        long("/billing_address/region", 200),
        long("/billing_address/postal_code", 10),
        long("/billing_address/title", 20),
        long("/options/shipping_details", 255),
        long("/metadata/deal", 500),
    ]);
    taken(&with("/reference", Tree::Text("é".repeat(255))));
    taken(&with("/billing_address/postal_code", text(10)));
    taken(&with("/metadata/deal", text(500)));
}

#[test]
fn blank_and_hidden_text_says_nothing() {
    let short = |pointer, value: &str| (pointer, Tree::from(value), pointer, Code::TooShort);
    let control =
        |pointer, value: &str| (pointer, Tree::from(value), pointer, Code::ControlCharacter);
    check(vec![
        short("/reference", ""),
        short("/reference", " "),
        short("/reference", "\u{200b}\u{feff}"),
        short("/order_lines/0/name", "\u{a0}\u{3164}"),
        short("/billing_address/given_name", "  "),
        short("/billing_address/city", "\u{2800}"),
        short("/agent", ""),
        short("/metadata/deal", " "),
        control("/reference", "SO\n1"),
        control("/reference", "SO\u{0}1"),
        control("/order_lines/0/name", "a\u{202e}b"),
        control("/order_lines/0/name", "a\u{2066}b"),
        control("/billing_address/family_name", "a\u{200f}"),
        control("/billing_address/street_address", "a\u{85}b"),
        control("/metadata/deal", "a\tb"),
        control("/page/title", "\u{2028}"),
        control("/billing_address/email", "jo@example.com\r\n"),
        control("/send/1/to", "+447700900123\u{202c}"),
    ]);
    // emptiness is allowed where KCO allows it, and is absence
    let request = taken(&with("/billing_address/street_address2", "".into()));
    assert_eq!(request.sale.billing.unwrap().street_address2, None);
    // joiners are part of words and of emoji
    taken(&with(
        "/order_lines/0/name",
        "👩\u{200d}🔧 می\u{200c}خواهم".into(),
    ));
}

#[test]
fn people_are_not_web_addresses() {
    let url = |value: &str| {
        let pointer = "/billing_address/given_name";
        (pointer, Tree::from(value), pointer, Code::InvalidValue)
    };
    check(vec![
        url("http://evil.example"),
        url("Jo https://x.example/a"),
        url("www.evil"),
        url("evil.com"),
        url("Win at EVIL.COM!"),
        url("bit.ly/abc"),
        url("t.co/x1"),
        url("x.com"),
        url("1.2.3.4/x"),
        url("1.2.3.4"),
        url("evil.com:"),
        url("jo@evil.com"),
    ]);
    for name in [
        "St.John",
        "St.James",
        "Dr.No",
        "Dr.No: Jo",
        "J.Smith/R.Jones",
        "J.P. de Vries",
        "Ms. O'Neil-Smith",
        "Jr.",
        "Anna/Maria",
        "A.de",
    ] {
        taken(&with("/billing_address/given_name", name.into()));
    }
}

#[test]
fn urls_are_https_without_userinfo() {
    let pointer = "/order_lines/0/product_url";
    let mut rows: Vec<Row> = Vec::new();
    for bad in [
        "http://example.com/",
        "http://127.0.0.1/",
        "ftp://example.com/",
        "javascript:alert(1)",
        "https:example.com",
        "https:/example.com",
        "https:\\\\example.com",
        "https://",
        "https://user@example.com/",
        "https://user:pass@example.com/",
        "https://@example.com/",
        "https://exa mple.com/",
        " https://example.com/",
        "//example.com/",
        "example.com",
        "",
    ] {
        let code = if bad.is_empty() {
            Code::TooShort
        } else {
            Code::InvalidValue
        };
        rows.push((pointer, bad.into(), pointer, code));
    }
    let logo = "/page/logo_url";
    rows.push((logo, "http://localhost/x".into(), logo, Code::InvalidValue));
    check(rows);
    for good in [
        "https://example.com",
        "HTTPS://Example.com:8443/a?b=c@d#e",
        "https://[::1]/",
    ] {
        taken(&with(pointer, good.into()));
    }
    let loopback = Defaults {
        loopback: true,
        ..defaults()
    };
    for (url, taken) in [
        ("http://localhost:8090/x.png", true),
        ("http://127.0.0.1/x.png", true),
        ("http://[::1]/x.png", true),
        ("http://example.com/x.png", false),
        ("http://localhost.example.com/", false),
    ] {
        let body = with(logo, url.into());
        assert_eq!(
            Request::parse(&body, &loopback, now()).is_ok(),
            taken,
            "{url}"
        );
    }
}

#[test]
fn words_come_from_closed_sets() {
    let word = |pointer, value: &str| (pointer, Tree::from(value), pointer, Code::InvalidValue);
    let format = |pointer, value: &str| (pointer, Tree::from(value), pointer, Code::InvalidFormat);
    check(vec![
        word("/use_case", "phone"),
        word("/on_duplicate", "ignore"),
        word("/order_lines/0/type", "return_fee"),
        word("/customer/type", "robot"),
        word("/customer/gender", "x"),
        word("/page/exit", "none"),
        word("/page/purchase_type", "buy"),
        word("/page/show_subtotal_detail", "SHOW"),
        word("/send/0/channel", "klarna_email"),
        word("/send/0/template", "unheard"),
        word("/billing_address/country", "ZZ"),
        format("/billing_address/country", "GBR"),
        format("/customer/date_of_birth", "1990-02-30"),
        format("/customer/date_of_birth", "01.02.1990"),
        format("/options/color_button", "red"),
        format("/billing_address/email", "jo"),
        format("/billing_address/phone", "07700 900123 ext 1"),
        (
            "/gui/options",
            tree!(["x"]),
            "/gui/options/0",
            Code::InvalidValue,
        ),
        (
            "/billing_countries",
            tree!(["GB", "ZZ"]),
            "/billing_countries/1",
            Code::InvalidValue,
        ),
    ]);
    let subscription = |interval: &str, count: i64| tree!({"name": "Box", "interval": (interval), "interval_count": (count)});
    let attached = |kind: &str, body: &str| {
        Tree::Map(vec![
            ("content_type".into(), Tree::Text(kind.into())),
            ("body".into(), Tree::Text(body.into())),
        ])
    };
    let at = "/order_lines/0/subscription";
    check(vec![
        (
            at,
            subscription("week", 1),
            "/order_lines/0/subscription/interval",
            Code::InvalidValue,
        ),
        (
            at,
            subscription("WEEK", 0),
            "/order_lines/0/subscription/interval_count",
            Code::OutOfRange,
        ),
        (
            at,
            tree!({"interval": "DAY"}),
            "/order_lines/0/subscription/interval_count",
            Code::Required,
        ),
        (
            "/attachment",
            tree!({"body": "{}"}),
            "/attachment/content_type",
            Code::Required,
        ),
        (
            "/attachment",
            attached("application/vnd.klarna.internal.emd-v2+json", "{\"a\":"),
            "/attachment/body",
            Code::InvalidFormat,
        ),
        (
            "/attachment",
            attached("Application/JSON; charset=utf-8", "a: 1"),
            "/attachment/body",
            Code::InvalidFormat,
        ),
        (
            "/attachment",
            attached("application/json", " "),
            "/attachment/body",
            Code::TooShort,
        ),
    ]);
    taken(&with("/attachment", attached("application/json", "[1]")));
    taken(&with("/attachment", attached("text/plain", "a: 1")));
    taken(&with(at, subscription("WEEK", 1)));
}

#[test]
fn lists_and_pairs_have_limits() {
    let many = Tree::List(vec![tree!({"name": "x"}); 1001]);
    let send = Tree::List(vec![tree!({"channel": "email"}); 11]);
    let pairs = |count: usize| {
        Tree::Map(
            (0..count)
                .map(|it| (format!("key{it}"), "v".into()))
                .collect(),
        )
    };
    let types = tree!(["person", "organization", "person"]);
    check(vec![
        ("/order_lines", many, "/order_lines", Code::TooMany),
        ("/order_lines", tree!([]), "/order_lines", Code::TooFew),
        ("/send", send, "/send", Code::TooMany),
        ("/metadata", pairs(51), "/metadata", Code::TooMany),
        (
            "/options/allowed_customer_types",
            types,
            "/options/allowed_customer_types",
            Code::TooMany,
        ),
        (
            "/options/allowed_customer_types",
            tree!([]),
            "/options/allowed_customer_types",
            Code::TooFew,
        ),
    ]);
    assert_eq!(taken(&with("/metadata", pairs(50))).metadata.len(), 50);
    let long = "k".repeat(41);
    let body = with("/metadata", Tree::Map(vec![(long.clone(), "v".into())]));
    refused(&body, &[(&format!("/metadata/{long}"), Code::TooLong)]);
    let slash = with("/metadata", tree!({"a/b": " "}));
    refused(&slash, &[("/metadata/a~1b", Code::TooShort)]);
}

#[test]
fn places_are_markets() {
    let code = |pointer, value: &str, code| (pointer, Tree::from(value), pointer, code);
    check(vec![
        code("/purchase_country", "IT", Code::UnsupportedCountry),
        code("/purchase_country", "ZZ", Code::UnsupportedCountry),
        code("/purchase_country", "GBR", Code::InvalidFormat),
        code("/purchase_currency", "EUR", Code::UnsupportedCurrency),
        code("/purchase_currency", "XXX", Code::UnsupportedCurrency),
        code("/purchase_currency", "pound", Code::InvalidFormat),
        code("/locale", "english", Code::InvalidFormat),
        code("/locale", "en_GB", Code::InvalidFormat),
        code("/locale", "en-", Code::InvalidFormat),
        code("/locale", "en-GB-x", Code::InvalidFormat),
        code("/locale", "xx-GB", Code::UnsupportedLocale),
        code("/locale", "en-ZZ", Code::UnsupportedLocale),
        (
            "/purchase_country",
            "SE".into(),
            "/purchase_currency",
            Code::UnsupportedCurrency,
        ),
    ]);
    for (written, normal) in [
        ("EN-gb", "en-GB"),
        ("sv", "sv"),
        ("DE", "de"),
        ("nb-no", "nb-NO"),
    ] {
        assert_eq!(taken(&with("/locale", written.into())).sale.locale, normal);
    }
    let mut lower = with("/purchase_country", "gb".into());
    set(&mut lower, "/purchase_currency", "gbp".into());
    set(&mut lower, "/billing_address/country", "gb".into());
    let sale = taken(&lower).sale;
    assert_eq!(
        (sale.country.as_str(), sale.currency.as_str()),
        ("GB", "GBP")
    );
    assert_eq!(sale.billing.unwrap().country.as_deref(), Some("GB"));
}

#[test]
fn markets_are_pairs_of_existing_codes() {
    let markets = place::markets(place::MARKETS).unwrap();
    assert_eq!(markets.len(), 14);
    assert_eq!(
        place::markets(" gb/gbp "),
        Some(vec![("GB".into(), "GBP".into())])
    );
    for bad in ["", "GB", "GB/XYZ", "ZZ/EUR", "GB/GBP,SE/SEK", "GB:GBP"] {
        assert_eq!(place::markets(bad), None, "{bad}");
    }
}

#[test]
fn streets_are_written_one_way() {
    let mut body = with("/billing_address/street_address", "1 High Street".into());
    set(&mut body, "/billing_address/street_number", "1".into());
    refused(&body, &[("/billing_address/street_number", Code::Conflict)]);
}

#[test]
fn details_never_echo_values() {
    let secret = "s3cret-value@@";
    for pointer in [
        "/use_case",
        "/billing_address/email",
        "/billing_address/phone",
        "/billing_address/country",
        "/purchase_country",
        "/purchase_currency",
        "/locale",
        "/expires_in",
        "/expires_at",
        "/page/logo_url",
        "/send/0/channel",
        "/send/0/to",
        "/send/0/template",
        "/order_amount",
        "/colour",
        "/on_duplicate",
        "/customer/date_of_birth",
    ] {
        let faults = parse(&with(pointer, secret.into())).unwrap_err();
        for fault in faults {
            assert!(!fault.detail.contains(secret), "{fault:?}");
            assert!(!fault.detail.is_empty());
        }
    }
}
