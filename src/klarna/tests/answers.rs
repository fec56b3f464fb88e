//! What is made of good, odd and hostile answers.

use super::sample::link;
use super::stub::{Stub, client, clock, raw, say};
use crate::klarna::{AllowedHost, Distribution, KlarnaError, LinkSource, Opened, hosts};
use crate::link::{Consumer, Email, PaymentStatus, Phone, Reading};

const PAGE: &str = "https://pay.kustom.example/eu/hpp/payments/3RkQx9a";

/// Opens a session at a server that answers `body` and may lead to `pay.kustom.example`.
async fn open(body: &str) -> Result<Opened, KlarnaError> {
    let stub = Stub::saying(201, body).await;
    let mut settings = stub.settings();
    settings
        .hosts
        .push(AllowedHost::parse("pay.kustom.example").unwrap());
    client(settings, &clock())
        .create_session(&link(), "o-1", "tok", 2)
        .await
}

#[tokio::test]
async fn a_session_opens() {
    let body = format!(
        r#"{{"session_id":"s-1","redirect_url":"{PAGE}","expires_at":"2026-11-25T08:00:03.507123456Z",
            "manual_identification_check_url":"https://evil.example/x","distribution_module":7}}"#
    );
    let opened = open(&body).await.unwrap();
    assert_eq!(opened.pair.number, 2);
    assert_eq!(opened.pair.order, "o-1");
    assert_eq!(opened.pair.session, "s-1");
    assert_eq!(opened.pair.url, PAGE);
    assert_eq!(
        opened.pair.id_check_url, None,
        "a foreign host's is left out"
    );
    assert_eq!(opened.until.as_microsecond() % 1_000_000, 507_123);
    // an odd or absent end is taken as 47 h
    let opened = open(&format!(
        r#"{{"session_id":"s","redirect_url":"{PAGE}","expires_at":5}}"#
    ))
    .await;
    assert_eq!(
        opened.unwrap().until,
        "2026-11-25T08:00:00Z".parse().unwrap()
    );
}

#[tokio::test]
async fn unusable_pairs_are_named() {
    for body in [
        r#"{"session_id":"s"}"#.to_owned(),
        format!(r#"{{"redirect_url":"{PAGE}"}}"#),
        format!(r#"{{"session_id":"s/../o","redirect_url":"{PAGE}"}}"#),
        r#"{"session_id":"s","redirect_url":"https://evil.example/"}"#.into(),
        r#"{"session_id":"s","redirect_url":"javascript:alert(1)"}"#.into(),
        format!(
            r#"{{"session_id":"s","redirect_url":"{PAGE}","expires_at":"2026-11-23T09:00:00Z"}}"#
        ),
    ] {
        let end = open(&body).await.unwrap_err();
        assert!(
            matches!(end, KlarnaError::Unusable { .. }),
            "{body}: {end:?}"
        );
    }
}

#[test]
fn hosts_are_exact() {
    let hosts: Vec<AllowedHost> = ["pay.example", "qr.example:8443", "127.0.0.1", "[::1]:80"]
        .map(|it| AllowedHost::parse(it).unwrap())
        .into();
    for good in [
        "https://pay.example/x?y#z",
        "https://PAY.example:444/",
        "https://qr.example:8443/",
        "http://127.0.0.1:9/",
        "http://[::1]/",
    ] {
        assert!(hosts::allowed(good, &hosts), "{good}");
    }
    for bad in [
        "http://pay.example/",
        "https://qr.example/",
        "https://evil.pay.example/",
        "https://pay.example.evil.example/",
        "https://pay.example./",
        "https://pay.example@evil.example/",
        "https://user@pay.example/",
        "https:\\\\pay.example/",
        "https://pay.example/ x",
        " https://pay.example/",
        "https://pay.example/\u{e9}",
        "http://[::1]:81/",
        "ftp://pay.example/",
        "//pay.example/",
        "",
    ] {
        assert!(!hosts::allowed(bad, &hosts), "{bad}");
    }
    for bad in [
        "",
        "a b",
        "https://pay.example",
        "host:",
        "host:0",
        "host:99999",
        "host/x",
        "u@host",
    ] {
        assert_eq!(AllowedHost::parse(bad), None, "{bad}");
    }
    assert_eq!(hosts[1].to_string(), "qr.example:8443");
}

/// A session whose picture is served by `picture`, opened with `KLARNA_LINK_SOURCE=qr`.
async fn open_by_qr(picture: &Stub, allowed: bool) -> Result<Opened, KlarnaError> {
    let body = format!(
        r#"{{"session_id":"s","redirect_url":"https://no.example/","qr_code_url":"{}qr"}}"#,
        picture.url
    );
    let stub = Stub::saying(201, &body).await;
    let mut settings = stub.settings();
    settings.source = LinkSource::Qr;
    settings
        .hosts
        .push(AllowedHost::parse("pay.kustom.example").unwrap());
    if allowed {
        settings.hosts.push(AllowedHost::of(&picture.url).unwrap());
    }
    client(settings, &clock())
        .create_session(&link(), "o", "t", 1)
        .await
}

fn png(text: &str) -> Vec<u8> {
    let code = qrcode::QrCode::new(text).unwrap();
    let width = code.width();
    let modules = code.to_colors();
    let side = u32::try_from((width + 8) * 4).unwrap();
    let picture = image::GrayImage::from_fn(side, side, |x, y| {
        let at = |pixel: u32| (pixel as usize / 4).checked_sub(4).filter(|it| *it < width);
        let dark = at(x)
            .zip(at(y))
            .is_some_and(|(x, y)| modules[y * width + x] == qrcode::Color::Dark);
        image::Luma([if dark { 0 } else { 255 }])
    });
    let mut out = std::io::Cursor::new(Vec::new());
    picture.write_to(&mut out, image::ImageFormat::Png).unwrap();
    out.into_inner()
}

#[tokio::test]
async fn the_url_can_come_from_the_picture() {
    let picture = Stub::new(vec![raw(200, "", &png(PAGE))]).await;
    assert_eq!(open_by_qr(&picture, true).await.unwrap().pair.url, PAGE);
    let request = &picture.requests()[0].to_ascii_lowercase();
    assert!(request.starts_with("get /qr "), "{request}");
    assert!(
        !request.contains("authorization"),
        "credentials went along: {request}"
    );
}

#[tokio::test]
async fn a_foreign_picture_is_not_even_asked_for() {
    let picture = Stub::new(vec![raw(200, "", &png(PAGE))]).await;
    let end = open_by_qr(&picture, false).await.unwrap_err();
    assert!(matches!(end, KlarnaError::Unusable { .. }), "{end:?}");
    assert_eq!(picture.requests().len(), 0);
}

#[tokio::test]
async fn a_picture_without_a_page_of_klarnas_is_unusable() {
    for bytes in [
        png("https://evil.example/"),
        b"not a picture".to_vec(),
        png(PAGE)[..100].to_vec(),
    ] {
        let picture = Stub::new(vec![raw(200, "", &bytes)]).await;
        let end = open_by_qr(&picture, true).await.unwrap_err();
        assert!(matches!(end, KlarnaError::Unusable { .. }), "{end:?}");
    }
    let picture = Stub::saying(503, "").await;
    let end = open_by_qr(&picture, true).await.unwrap_err();
    assert!(matches!(end, KlarnaError::Unknown { .. }), "{end:?}");
}

#[tokio::test]
async fn session_words_have_our_meaning() {
    for (word, meaning) in [
        ("WAITING", Reading::Consumer(Consumer::NotOpened)),
        ("in_progress", Reading::Consumer(Consumer::InProgress)),
        ("MANUAL_ID_CHECK", Reading::Consumer(Consumer::IdCheck)),
        ("BACK", Reading::Consumer(Consumer::Back)),
        ("FAILED", Reading::Consumer(Consumer::Declined)),
        ("ERROR", Reading::Consumer(Consumer::Error)),
        ("Completed", Reading::Completed),
        ("CANCELLED", Reading::Cancelled),
        ("DISABLED", Reading::Disabled),
        ("TIMEOUT", Reading::Unclear),
        ("MOONLIGHT", Reading::Unclear),
    ] {
        let body = format!(
            r#"{{"status":"{word}","session_id":"s","updated_at":"2026-11-23T09:14:04.675Z",
                "expires_at":null,"order_id":"o","customer":"odd","klarna_reference":["odd"]}}"#
        );
        let stub = Stub::saying(200, &body).await;
        let news = stub.client().read_session("s").await.unwrap();
        assert_eq!(news.reading, meaning);
        assert_eq!(news.raw, word);
        assert_eq!(news.order.as_deref(), Some("o"));
        assert_eq!(news.klarna_reference, None);
        assert_eq!(news.updated_at, "2026-11-23T09:14:04.675Z".parse().ok());
        assert!(stub.requests()[0].starts_with("GET /hpp/v1/sessions/s HTTP/1.1"));
    }
    let stub = Stub::saying(200, r#"{"status":"COMPLETED","session_id":"other"}"#).await;
    let end = stub.client().read_session("s").await.unwrap_err();
    assert!(matches!(end, KlarnaError::Unknown { .. }), "{end:?}");
}

#[tokio::test]
async fn an_order_is_read() {
    let stub = Stub::saying(
        200,
        r#"{"order_id":"o","status":"CHECKOUT_COMPLETE","order_amount":4799,"purchase_currency":"gbp",
            "merchant_reference2":"lnk_1","order_lines":{"odd":true}}"#,
    )
    .await;
    let news = stub.client().read_order("o").await.unwrap();
    assert!(news.complete);
    assert_eq!(news.amount, Some(4799));
    assert_eq!(news.currency.as_deref(), Some("GBP"));
    assert_eq!(news.merchant_reference2.as_deref(), Some("lnk_1"));
    let stub = Stub::saying(
        200,
        r#"{"status":"checkout_incomplete","order_amount":"4799"}"#,
    )
    .await;
    let news = stub.client().read_order("o").await.unwrap();
    assert!(!news.complete);
    assert_eq!(news.order, "o");
    assert_eq!(news.amount, None);
}

#[tokio::test]
async fn a_payment_is_read() {
    let stub = Stub::saying(
        200,
        r#"{"order_id":"o","status":"PART_CAPTURED","fraud_status":"ACCEPTED","order_amount":4000,
            "original_order_amount":4799,"captured_amount":100,"refunded_amount":0,
            "remaining_authorized_amount":4699,"purchase_currency":"GBP","purchase_country":"gb",
            "klarna_reference":"KX4M7Q2B","merchant_reference2":"lnk_1","expires_at":"2026-12-21T09:14:04.000Z",
            "billing_address":{"given_name":"Jo\u0007","email":"jo@example.com","phone":"07700900123","city":5},
            "shipping_address":"odd","initial_payment_method":{"type":"INVOICE","description":"Pay later"}}"#,
    )
    .await;
    let news = stub.client().read_payment("o").await.unwrap();
    assert_eq!(news.amount, Some(4799), "as authorised");
    assert_eq!(news.klarna_reference.as_deref(), Some("KX4M7Q2B"));
    let payment = news.payment;
    assert_eq!(payment.status, PaymentStatus::PartCaptured);
    assert_eq!(payment.captured_amount, Some(100));
    assert_eq!(payment.remaining_amount, Some(4699));
    assert_eq!(payment.expires_at, "2026-12-21T09:14:04Z".parse().ok());
    let buyer = payment.buyer.unwrap();
    assert_eq!(buyer.payment_method.as_deref(), Some("INVOICE (Pay later)"));
    assert_eq!(buyer.shipping, None);
    let billing = buyer.billing.unwrap();
    assert_eq!(billing.given_name.as_deref(), Some("Jo"));
    assert_eq!(billing.city, None);
    assert_eq!(billing.phone.unwrap().as_str(), "+447700900123");
    let stub = Stub::saying(200, r#"{"status":"MOONLIGHT"}"#).await;
    let news = stub.client().read_payment("o").await.unwrap();
    assert_eq!(
        news.payment.status,
        PaymentStatus::Authorized,
        "that it answered proves that much"
    );
}

#[tokio::test]
async fn requests_go_where_they_belong() {
    let key = uuid::Uuid::nil();
    let stub = Stub::new(vec![
        say(204, "", ""),
        say(200, "", r#"{"order_id":"o-1"}"#),
        say(204, "", ""),
    ])
    .await;
    let klarna = stub.client();
    klarna.disable_session("s-1").await.unwrap();
    klarna.abort_order("o-1").await.unwrap();
    klarna.acknowledge("o-1", key).await.unwrap();
    let to = Phone::parse("+447700900123", "GB").unwrap();
    klarna
        .distribute(
            "s-1",
            &Distribution::Sms {
                to,
                country: "GB".into(),
            },
        )
        .await
        .unwrap();
    let requests = stub.requests();
    let starts = [
        "DELETE /hpp/v1/sessions/s-1 HTTP/1.1",
        "POST /checkout/v3/orders/o-1/abort HTTP/1.1",
        "POST /ordermanagement/v1/orders/o-1/acknowledge HTTP/1.1",
        "POST /hpp/v1/sessions/s-1/distribution HTTP/1.1",
    ];
    for (request, start) in requests.iter().zip(starts) {
        assert!(request.starts_with(start), "{request}");
        assert!(
            request.contains("authorization: Basic c2hvcDpzM2NyZXQ="),
            "{request}"
        );
        assert!(request.contains("user-agent: paylink/"), "{request}");
    }
    assert!(requests[2].contains(&format!("klarna-idempotency-key: {key}")));
    assert!(
        requests[3].contains("content-type: application/json"),
        "{}",
        requests[3]
    );
    // an id that would change the path goes nowhere
    for id in ["", "..", "a/b", "a?b", "a%2fb", "a b"] {
        let end = klarna.read_payment(id).await.unwrap_err();
        assert!(matches!(end, KlarnaError::NotDone { .. }), "{id}");
    }
    assert_eq!(stub.requests().len(), 4);
    let debug = format!("{klarna:?}");
    assert!(
        !debug.contains("s3cret") && !debug.contains("c2hvc"),
        "{debug}"
    );
}

#[tokio::test]
async fn only_the_documented_success_means_done() {
    let key = uuid::Uuid::nil();
    let order = r#"{"order_id":"o-1"}"#;
    for (status, body) in [
        (200, ""),
        (200, "<html>sign in to the guest network</html>"),
        (201, order),
        (202, ""),
    ] {
        let stub = Stub::saying(status, body).await;
        let klarna = stub.client();
        for end in [
            klarna.disable_session("s-1").await,
            klarna.abort_order("o-1").await,
            klarna.acknowledge("o-1", key).await,
        ] {
            assert!(matches!(end, Err(KlarnaError::Unknown { .. })), "{end:?}");
        }
    }
    // an order comes back from its abort; "no content" is no order
    let end = Stub::saying(204, "").await.client().abort_order("o").await;
    assert!(matches!(end, Err(KlarnaError::Unknown { .. })), "{end:?}");
}

#[tokio::test]
async fn a_contact_by_mail_or_app_is_written() {
    let by = [
        (
            Distribution::Email(Email::parse("jo@example.com").unwrap()),
            "email",
            "email",
            "jo@example.com",
        ),
        (
            Distribution::Token("klarna:1".into()),
            "token",
            "access_id",
            "klarna:1",
        ),
    ];
    for (by, method, member, value) in by {
        let stub = Stub::new(vec![say(201, "", "")]).await;
        stub.client().distribute("s", &by).await.unwrap();
        let body = stub.body();
        assert_eq!(body["method"], method);
        assert_eq!(body["contact_information"][member], value);
    }
}

proptest::proptest! {
    #[test]
    fn no_answer_makes_the_client_panic(bytes in ".{0,300}", name in "[a-z_]{1,20}", value in ".{0,40}") {
        use crate::klarna::error::refusal;
        use crate::klarna::wire::{hpp, kco, om};
        let named = serde_json::json!({ "status": value, name: bytes, "billing_address": {"phone": value} });
        refusal(400, bytes.as_bytes(), Some(&value));
        refusal(400, named.to_string().as_bytes(), None);
        // any object is readable: no member can spoil the others
        serde_json::from_value::<kco::OrderAnswer>(named.clone()).unwrap();
        serde_json::from_value::<hpp::SessionAnswer>(named.clone()).unwrap();
        serde_json::from_value::<om::OrderAnswer>(named).unwrap().payment();
        hosts::allowed(&bytes, &[]);
        AllowedHost::parse(&value);
        crate::klarna::qr::read(bytes.as_bytes());
    }
}
