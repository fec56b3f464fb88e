//! The values: what each setting takes and refuses.

use proptest::prelude::*;

use super::*;

/// One wrong value each; the fault must be at the setting of that row, and at no other.
#[test]
fn each_wrong_value_is_told_at_its_setting() {
    let table = [
        ("PAYLINK_LISTEN", "8080"),
        ("PAYLINK_LISTEN", "127.0.0.1"),
        ("PAYLINK_PUBLIC_URL", "http://pay.example.com"),
        ("PAYLINK_PUBLIC_URL", "pay.example.com"),
        ("PAYLINK_PUBLIC_URL", "https://u:p@pay.example.com"),
        ("PAYLINK_PUBLIC_URL", "https://pay.example.com/?a=b"),
        ("PAYLINK_PUBLIC_URL", "https://pay.example.com/#a"),
        ("DATABASE_URL", "mysql://localhost/a"),
        ("DATABASE_URL", "sqlite://"),
        ("DATABASE_URL", "sqlite://:memory:"),
        ("DATABASE_URL", "postgres://"),
        ("DATABASE_CONNECTIONS", "0"),
        ("PAYLINK_SECRET", "c2hvcnQ="),
        ("PAYLINK_SECRET", "!"),
        ("PAYLINK_WORKERS", "0"),
        ("PAYLINK_WORKERS", "many"),
        ("LOG", "paylink=loud"),
        ("LOG_FORMAT", "xml"),
        ("OPERATOR_EMAIL", "nobody"),
        ("KLARNA_API_URL", "kustom-live"),
        ("KLARNA_API_URL", "http://api.kustom.co"),
        ("KLARNA_API_URL", "https://api.kustom.co/checkout"),
        ("KLARNA_API_URL", "https://a:b@api.kustom.co"),
        ("KLARNA_API_URL", "http://localhost.example.com"),
        ("KLARNA_API_URL", "http://127.0.0.1:8090"),
        ("KLARNA_USERNAME", "a:b"),
        ("KLARNA_LINK_HOSTS", "*.kustom.co"),
        ("KLARNA_LINK_HOSTS", "https://pay.kustom.co"),
        ("KLARNA_LINK_HOSTS", "pay.kustom.co:0"),
        ("KLARNA_LINK_HOSTS", "pay.kustom.co:99999"),
        ("KLARNA_LINK_HOSTS", "pay.kustom.co:+80"),
        ("KLARNA_LINK_HOSTS", ","),
        ("KLARNA_MARKETS", "SE"),
        ("KLARNA_MARKETS", "SWE/SEK"),
        ("KLARNA_CREATES_PER_SECOND", "-1"),
        ("KLARNA_LINK_SOURCE", "url"),
        ("KLARNA_CHANNEL_TELESALES", "TELE SALES"),
        ("KLARNA_CHANNEL_IN_STORE", "a/b"),
        ("PAYLINK_ALLOW_SIMULATOR", "yes"),
        ("MERCHANT_NAME", "two\nlines"),
        ("MERCHANT_TERMS_URL", "http://shop.example.com"),
        ("MERCHANT_TERMS_URL", "javascript:alert(1)"),
        ("MERCHANT_LOGO_URL", "logo.png"),
        ("MERCHANT_SUPPORT", "a\rb"),
        ("MERCHANT_NAME", "Lamps https://evil.example"),
        ("MERCHANT_SUPPORT", "javascript:alert(1)"),
        ("MERCHANT_SUPPORT", "https://shop.example.com/help"),
        ("MERCHANT_SUPPORT", "shop.example.com"),
        ("MERCHANT_SUPPORT", "12"),
        ("SSL_CERT_FILE", "/etc/nothing.pem"),
        ("SSL_CERT_FILE", "/run/secret"),
        ("SMS_COUNTRIES", "XX"),
        ("SMS_COUNTRIES", "GB,XX"),
        ("KLARNA_MARKETS", "XX/SEK"),
        ("KLARNA_MARKETS", "SE/XYZ"),
        ("DEFAULT_COUNTRY", "JP"),
        ("DEFAULT_COUNTRY", "GBR"),
        ("DEFAULT_CURRENCY", "JPY"),
        ("DEFAULT_LOCALE", "english"),
        ("DEFAULT_LINE_TYPE", "discount"),
        ("DEFAULT_TAX_RATE", "20.0"),
        ("DEFAULT_TAX_RATE", "10001"),
        ("DEFAULT_TIME_ZONE", "Europe/Atlantis"),
        ("SMTP_HELO", "a b"),
        ("PAYLINK_ALLOW_INSECURE_SMTP", "2"),
        ("MAIL_FROM", "Shop"),
        ("MAIL_REPLY_TO", "a@b@c d"),
        ("MAIL_UNKNOWN", "resend"),
        ("SMS_GATEWAY", "twilio"),
        ("SMS_FROM", "longer than eleven"),
        ("SMS_COUNTRIES", "GBR"),
        ("SMS_HTTP_URL", "http://sms.example.com"),
        ("SMS_HTTP_METHOD", "GET"),
        ("SMS_HTTP_HEADERS", "Authorization Bearer"),
        ("SMS_HTTP_MESSAGE_ID", "messages.0.id"),
        ("SMS_HTTP_SUCCESS", "/status"),
        ("SMS_HTTP_IDEMPOTENT", "maybe"),
        ("LIMIT_AGENT_LINKS_PER_HOUR", "none"),
        ("LIMIT_TABLET_LINKS_PER_HOUR", "-1"),
    ];
    for (name, value) in table {
        assert_eq!(faults(LIVE, &[(name, value)]), [name], "{name}={value}");
    }
}

#[test]
fn what_is_right_is_taken() {
    for (name, value) in [
        ("SSL_CERT_FILE", "/etc/ca.pem"),
        ("MERCHANT_NAME", "Lamps.com"),
        ("MERCHANT_SUPPORT", "help@shop.example.com"),
        ("MERCHANT_SUPPORT", "+44 20 7946 0123"),
        ("MERCHANT_SUPPORT", "(020) 7946-0123"),
        ("SMS_COUNTRIES", "gb, SE"),
    ] {
        good(LIVE, &[(name, value)]);
    }
}

#[test]
fn country_and_currency_are_of_one_market() {
    let pair = |country, currency| [("DEFAULT_COUNTRY", country), ("DEFAULT_CURRENCY", currency)];
    assert_eq!(faults(LIVE, &pair("GB", "SEK")), ["DEFAULT_CURRENCY"]);
    good(LIVE, &pair("GB", "GBP"));
    good(LIVE, &[("DEFAULT_CURRENCY", "SEK")]);
    let two = [("KLARNA_MARKETS", "GB/GBP GB/EUR SE/SEK")];
    good(LIVE, &[two.as_slice(), &pair("GB", "EUR")].concat());
}

#[test]
fn smtp_urls() {
    let from = ("MAIL_FROM", "Nordic Lamps <orders@example.com>");
    let smtp = |url| good(LIVE, &[from, ("SMTP_URL", url)]).smtp.unwrap();
    for (url, port, tls) in [
        ("smtps://mx.example.com", 465, SmtpTls::Implicit),
        ("smtp://mx.example.com", 587, SmtpTls::Required),
        ("smtp://mx.example.com:25", 25, SmtpTls::Required),
        (
            "smtp://mx.example.com/?tls=required",
            587,
            SmtpTls::Required,
        ),
        (
            "smtp://mx.example.com?tls=opportunistic",
            25,
            SmtpTls::Opportunistic,
        ),
        ("smtp://127.0.0.1:1025?tls=none", 1025, SmtpTls::None),
        ("smtp://[::1]:1025?tls=none", 1025, SmtpTls::None),
        ("smtp://a:b@localhost:1025?tls=none", 1025, SmtpTls::None),
    ] {
        let smtp = smtp(url);
        assert_eq!((smtp.port, smtp.tls), (port, tls), "{url}");
        assert_eq!(smtp.helo, "pay.example.com");
        assert_eq!(smtp.from.name.as_deref(), Some("Nordic Lamps"));
        assert_eq!(smtp.from.address, "orders@example.com");
    }
    let (user, password) = smtp("smtps://jo%40example.com:p%3Aw%C3%A9%2F@mx.example.com")
        .credentials
        .unwrap();
    assert_eq!(
        (user.as_str(), password.expose_secret()),
        ("jo@example.com", "p:wé/")
    );
    assert_eq!(smtp("smtp://[::1]?tls=none").host, "::1");
    let (server, greet) = (("SMTP_URL", "smtp://localhost?tls=none"), "mx.example.com");
    let simulated = good(SIMULATED, &[from, server]).smtp.unwrap();
    assert_eq!(simulated.helo, "[127.0.0.1]", "an address is bracketed");
    let told = good(SIMULATED, &[from, server, ("SMTP_HELO", greet)]).smtp;
    assert_eq!(told.unwrap().helo, greet);

    for url in [
        "mx.example.com",
        "http://mx.example.com",
        "smtp://",
        "smtp://mx%20a.example.com",
        "smtp://mx.example.com?tls=maybe",
        "smtps://mx.example.com?tls=none",
        "smtp://mx.example.com/inbox",
        "smtp://user@mx.example.com",
        "smtp://a:b%0D%0A@mx.example.com",
        "smtp://a:%zz@mx.example.com",
        "smtp://mx.example.com?tls=none",
        "smtp://a:b@mx.example.com?tls=none",
        "smtp://127.0.0.1.example.com?tls=none",
    ] {
        assert_eq!(
            faults(LIVE, &[from, ("SMTP_URL", url)]),
            ["SMTP_URL"],
            "{url}"
        );
    }
    let insecure = ("PAYLINK_ALLOW_INSECURE_SMTP", "1");
    let clear = ("SMTP_URL", "smtp://mx.example.com?tls=none");
    assert_eq!(good(LIVE, &[from, clear, insecure]).smtp.unwrap().port, 25);
    let leaking = ("SMTP_URL", "smtp://a:b@mx.example.com?tls=none");
    assert_eq!(faults(LIVE, &[from, leaking, insecure]), ["SMTP_URL"]);
    assert_eq!(faults(LIVE, &[clear, insecure]), ["MAIL_FROM"]);
    let stripped = ("SMTP_URL", "smtp://a:b@mx.example.com?tls=opportunistic");
    assert!(good(LIVE, &[from, stripped]).warnings()[0].starts_with("SMTP_URL"));
}

#[test]
fn the_http_gateway() {
    assert_eq!(faults(LIVE, &[("SMS_GATEWAY", "http")]), ["SMS_HTTP_URL"]);
    let config = good(
        LIVE,
        &[
            ("SMS_GATEWAY", "http"),
            ("SMS_HTTP_URL", "https://sms.example.com/send?key=k3y"),
            (
                "SMS_HTTP_HEADERS",
                "Authorization: Bearer t0ken\n\nX-Shop:  1 ",
            ),
            ("SMS_HTTP_MESSAGE_ID", "/messages/0/id"),
            ("SMS_HTTP_SUCCESS", "/status=ok=yes"),
            ("SMS_HTTP_IDEMPOTENT", "true"),
            ("SMS_COUNTRIES", "gb, se"),
        ],
    );
    let Sms::Http(http) = &config.sms else {
        panic!("http")
    };
    assert_eq!(http.method, "POST");
    assert_eq!(http.from, "NordicLamps");
    assert_eq!(http.headers[0].0, "Authorization");
    assert_eq!(http.headers[0].1.expose_secret(), "Bearer t0ken");
    assert_eq!(http.headers[1].1.expose_secret(), "1");
    assert_eq!(http.success, Some(("/status".into(), "ok=yes".into())));
    assert_eq!(http.body, table::SMS_BODY);
    assert!(http.idempotent);
    assert_eq!(config.sms_countries, ["GB", "SE"]);
    let log = good(
        LIVE,
        &[("SMS_GATEWAY", "log"), ("SMS_FROM", "+447700900123")],
    );
    assert!(matches!(log.sms, Sms::Log { from } if from == "+447700900123"));
}

proptest! {
    /// Whatever is in the environment: faults or a configuration, and no panic.
    #[test]
    fn no_value_makes_it_panic(at in any::<prop::sample::Index>(), value in "\\PC{0,40}|[a-z]{2,8}://[!-~]{0,40}") {
        let all: Vec<_> = table::settings().collect();
        let name = all[at.index(all.len())].name;
        let from = ("MAIL_FROM", "a@example.com");
        let more = if name == "MAIL_FROM" { vec![(name, value.as_str())] } else { vec![from, (name, value.as_str())] };
        if let Err(faults) = read(&env(LIVE, &more)) {
            prop_assert!(!faults.is_empty());
        }
    }

    #[test]
    fn percent_encoding_is_undone(text in any::<String>()) {
        let encoded = text.bytes().fold(String::new(), |all, b| format!("{all}%{b:02X}"));
        prop_assert_eq!(values::percent_decoded(&encoded), Some(text));
    }
}
