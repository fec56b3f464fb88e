use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;
use std::sync::Mutex;

use proptest::prelude::*;
use secrecy::ExposeSecret;

use super::*;

const LIVE: &[(&str, &str)] = &[
    ("KLARNA_API_URL", "kustom"),
    ("KLARNA_USERNAME", "K123"),
    ("KLARNA_PASSWORD", "klarna-password"),
    ("MERCHANT_NAME", "Nordic Lamps & Sons"),
    ("MERCHANT_TERMS_URL", "https://shop.example.com/terms"),
    ("PAYLINK_PUBLIC_URL", "https://pay.example.com/"),
];
const SIMULATED: &[(&str, &str)] = &[
    ("KLARNA_API_URL", "http://127.0.0.1:8090"),
    ("KLARNA_USERNAME", "sim"),
    ("KLARNA_PASSWORD", "sim"),
    ("MERCHANT_NAME", "Lamps"),
    ("MERCHANT_TERMS_URL", "https://shop.example.com/terms"),
    ("PAYLINK_ALLOW_SIMULATOR", "1"),
];

type Env = BTreeMap<String, String>;

fn env(base: &[(&str, &str)], more: &[(&str, &str)]) -> Env {
    base.iter()
        .chain(more)
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}

fn no_files(path: &Path) -> io::Result<Vec<u8>> {
    match path.to_str() {
        Some("/run/secret") => Ok("from-a-file\n".into()),
        Some("/run/empty") => Ok("\n".into()),
        Some("/etc/ca.pem") => Ok(authority().into_bytes()),
        _ => Err(io::ErrorKind::NotFound.into()),
    }
}

fn authority() -> String {
    let key = rcgen::KeyPair::generate().unwrap();
    let params = rcgen::CertificateParams::new(vec!["ca.example.com".to_owned()]).unwrap();
    let made = params.self_signed(&key).unwrap();
    let text = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, made.der());
    format!("-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n")
}

fn read(env: &Env) -> Result<Config, Vec<ConfigFault>> {
    Config::read(&|name| env.get(name).cloned(), &no_files)
}

fn good(base: &[(&str, &str)], more: &[(&str, &str)]) -> Config {
    read(&env(base, more)).unwrap_or_else(|faults| panic!("{faults:?}"))
}

fn faults(base: &[(&str, &str)], more: &[(&str, &str)]) -> Vec<String> {
    let faults = read(&env(base, more)).expect_err("a fault");
    faults.into_iter().map(|fault| fault.setting).collect()
}

fn base(more: &[(&str, &str)], needs: Needs) -> Result<Base, Vec<ConfigFault>> {
    let env = env(&[], more);
    Base::read(&|name| env.get(name).cloned(), &no_files, needs)
}

#[test]
fn the_least_that_serves() {
    let config = good(LIVE, &[]);
    assert_eq!(config.mode, Mode::Live);
    assert_eq!(config.listen.to_string(), "127.0.0.1:8080");
    assert_eq!(config.public_url, "https://pay.example.com");
    assert_eq!(config.klarna.base.as_str(), "https://api.kustom.co/");
    assert_eq!(config.klarna.creates_per_second, 32);
    assert_eq!(config.klarna.source, LinkSource::Redirect);
    assert_eq!(config.klarna.markets.len(), 14);
    assert_eq!(config.sms_countries.len(), 14);
    assert_eq!(config.defaults.time_zone, "UTC");
    assert_eq!(config.limits.agent_links_per_hour, 60);
    assert_eq!(config.limits.integrator_links_per_hour, 0);
    assert!(config.smtp.is_none());
    assert!(matches!(config.sms, Sms::None));
    let key_file = config.base.database.key_file().unwrap();
    assert_eq!(key_file, Path::new("paylink.db.key"));
    assert!(config.warnings().is_empty());
}

#[test]
fn everything_missing_is_told_at_once() {
    let missing = [
        "KLARNA_API_URL",
        "KLARNA_USERNAME",
        "KLARNA_PASSWORD",
        "PAYLINK_PUBLIC_URL",
        "MERCHANT_NAME",
        "MERCHANT_TERMS_URL",
    ];
    assert_eq!(faults(&[], &[]), missing);
    let empty = missing.map(|name| (name, ""));
    assert_eq!(faults(&[], &empty), missing, "an empty value is absent");
}

#[test]
fn the_simulator_needs_leave_and_gives_a_public_url() {
    let mut config = good(SIMULATED, &[("PAYLINK_LISTEN", "127.0.0.1:0")]);
    assert_eq!(config.mode, Mode::Test);
    assert_eq!(config.klarna.creates_per_second, 0);
    assert_eq!(config.public_url, "http://127.0.0.1:0");
    config.bound("127.0.0.1:4711".parse().unwrap());
    assert_eq!(config.public_url, "http://127.0.0.1:4711");
    assert_eq!(
        config.klarna.hosts,
        [AllowedHost {
            host: "127.0.0.1".into(),
            port: None
        }]
    );
    assert_eq!(config.limits.agent_links_per_hour, 0, "off in mode test");
    let limited = good(SIMULATED, &[("LIMIT_AGENT_LINKS_PER_HOUR", "3")]);
    assert_eq!(
        limited.limits.agent_links_per_hour, 3,
        "what is asked for holds"
    );

    let everywhere = good(SIMULATED, &[("PAYLINK_LISTEN", "0.0.0.0:81")]);
    assert_eq!(everywhere.public_url, "http://127.0.0.1:81");
    let mut told = good(SIMULATED, &[("PAYLINK_PUBLIC_URL", "http://[::1]:9/p/")]);
    told.bound("127.0.0.1:4711".parse().unwrap());
    assert_eq!(told.public_url, "http://[::1]:9/p");

    assert_eq!(
        faults(SIMULATED, &[("PAYLINK_ALLOW_SIMULATOR", "0")]),
        ["KLARNA_API_URL"]
    );
}

#[test]
fn modes_follow_the_url() {
    for (url, mode, creates) in [
        ("kustom", Mode::Live, 32),
        ("https://api.kustom.co", Mode::Live, 32),
        ("https://klarna.example.com", Mode::Live, 32),
        ("kustom-playground", Mode::Test, 4),
        ("https://api.playground.kustom.co/", Mode::Test, 4),
        ("https://localhost:8090", Mode::Test, 0),
        ("http://[::1]:8090", Mode::Test, 0),
    ] {
        let more = [("KLARNA_API_URL", url), ("PAYLINK_ALLOW_SIMULATOR", "1")];
        let config = good(LIVE, &more);
        assert_eq!(config.mode, mode, "{url}");
        assert_eq!(config.klarna.creates_per_second, creates, "{url}");
        let base = base(&more, Needs::KeysCreate).unwrap();
        assert_eq!(base.mode, Some(mode), "{url}");
    }
}

#[test]
fn link_hosts() {
    let names = |config: &Config| {
        let hosts = config.klarna.hosts.iter();
        hosts
            .map(|it| format!("{} {:?}", it.host, it.port))
            .collect::<Vec<_>>()
    };
    let preset = good(LIVE, &[]);
    assert!(names(&preset).contains(&"pay.kustom.co None".into()));
    let own = good(LIVE, &[("KLARNA_API_URL", "https://k.example.com")]);
    assert_eq!(names(&own), ["k.example.com None"]);
    assert!(own.warnings()[0].starts_with("KLARNA_LINK_HOSTS"));
    let given = "Pay.Example.com, pay.example.com:8443 ,[::1]:80";
    let listed = good(LIVE, &[("KLARNA_LINK_HOSTS", given)]);
    assert_eq!(
        names(&listed),
        [
            "pay.example.com None",
            "pay.example.com Some(8443)",
            "[::1] Some(80)"
        ]
    );
    let simulated = good(SIMULATED, &[("KLARNA_LINK_HOSTS", "a.example.com")]);
    assert_eq!(names(&simulated), ["a.example.com None", "127.0.0.1 None"]);
}

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
        ("MERCHANT_NAME", "Lamps https://evil.example"),
        ("MERCHANT_SUPPORT", "a\rb"),
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
fn one_start_tells_many_faults() {
    let wrong = [
        ("KLARNA_PASSWORD", ""),
        ("MAIL_UNKNOWN", "x"),
        ("SMS_GATEWAY", "sinch"),
        ("DEFAULT_TAX_RATE", "x"),
    ];
    let mut told = faults(LIVE, &wrong);
    told.sort();
    assert_eq!(
        told,
        [
            "DEFAULT_TAX_RATE",
            "KLARNA_PASSWORD",
            "MAIL_UNKNOWN",
            "SMS_GATEWAY"
        ]
    );
}

#[test]
fn a_gateway_that_is_not_built_hears_which_are() {
    let told = read(&env(LIVE, &[("SMS_GATEWAY", "46elks")])).unwrap_err();
    assert_eq!(
        told[0].to_string(),
        "SMS_GATEWAY names a gateway that is not built: give one of none, log, http"
    );
}

#[test]
fn postgres_wants_the_secret_and_tls() {
    let url = ("DATABASE_URL", "postgresql://u:pw@db.example.com/paylink");
    assert_eq!(faults(LIVE, &[url]), ["PAYLINK_SECRET"]);
    let key = MasterKey::random(&crate::random::Random::seeded(1));
    let text = key.to_base64();
    let secret = ("PAYLINK_SECRET", text.as_str());
    let config = good(LIVE, &[url, secret]);
    assert_eq!(config.base.secret, Some(key));
    assert!(config.base.database.key_file().is_none());
    for (url, fits) in [
        ("postgres://db.example.com/p?sslmode=verify-full", true),
        ("postgres://db.example.com/p?sslmode=disable", false),
        ("postgres://db.example.com/p?a=b&sslmode=require", false),
        ("postgres://u:p@127.0.0.1:5433/p?sslmode=disable", true),
        ("postgres://localhost:1,[::1]:2/p?sslmode=disable", true),
        (
            "postgres://localhost,db.example.com/p?sslmode=disable",
            false,
        ),
        (
            "postgres://127.0.0.1@db.example.com/p?sslmode=disable",
            false,
        ),
    ] {
        let read = read(&env(LIVE, &[("DATABASE_URL", url), secret]));
        assert_eq!(read.is_ok(), fits, "{url}");
    }
}

#[test]
fn lesser_commands_need_less() {
    let url = ("DATABASE_URL", "postgres://u:pw@db.example.com/paylink");
    let broken = ("SMTP_URL", "nonsense");
    assert!(base(&[broken], Needs::Nothing).is_ok());
    assert!(base(&[url, broken], Needs::Database).is_ok());
    let named = |read: Result<Base, Vec<ConfigFault>>| {
        let faults = read.expect_err("a fault");
        faults.into_iter().map(|it| it.setting).collect::<Vec<_>>()
    };
    assert_eq!(named(base(&[url], Needs::Keys)), ["PAYLINK_SECRET"]);
    assert_eq!(named(base(&[], Needs::KeysCreate)), ["KLARNA_API_URL"]);
    assert!(base(&[], Needs::Keys).unwrap().mode.is_none());
    let loopback = ("KLARNA_API_URL", "http://127.0.0.1:1");
    let made = base(&[loopback], Needs::KeysCreate).unwrap();
    assert_eq!(made.mode, Some(Mode::Test), "a key may be made beforehand");
}

#[test]
fn secrets_come_from_files() {
    let without: Vec<_> = LIVE
        .iter()
        .filter(|it| it.0 != "KLARNA_PASSWORD")
        .copied()
        .collect();
    let config = good(&without, &[("KLARNA_PASSWORD_FILE", "/run/secret")]);
    assert_eq!(config.klarna.password.expose_secret(), "from-a-file");
    let file = "KLARNA_PASSWORD_FILE";
    assert_eq!(faults(&without, &[(file, "/run/empty")]), [file]);
    assert_eq!(faults(&without, &[(file, "/run/missing")]), [file]);
    assert_eq!(faults(LIVE, &[(file, "/run/secret")]), [file], "both");
    let harmless = [("MERCHANT_NAME_FILE", "/run/secret")];
    assert_eq!(good(LIVE, &harmless).merchant.name, "Nordic Lamps & Sons");
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

#[test]
fn nothing_secret_is_printed() {
    let key = MasterKey::random(&crate::random::Random::seeded(1));
    let text = key.to_base64();
    let secrets = [
        ("KLARNA_USERNAME", "s3cr3t-nil"),
        ("KLARNA_PASSWORD", "s3cr3t-one"),
        ("DATABASE_URL", "postgres://u:s3cr3t-two@localhost/p"),
        ("PAYLINK_SECRET", text.as_str()),
        ("SMTP_URL", "smtps://u:s3cr3t-three@mx.example.com"),
        ("MAIL_FROM", "a@example.com"),
        ("SMS_GATEWAY", "http"),
        ("SMS_HTTP_URL", "https://sms.example.com/?k=s3cr3t-four"),
        ("SMS_HTTP_HEADERS", "X-Key: s3cr3t-five"),
    ];
    let shown = format!("{:?}", good(LIVE, &secrets));
    assert!(
        !shown.contains("s3cr3t") && !shown.contains(&text[..20]),
        "{shown}"
    );

    let wrong = [
        ("DATABASE_URL", "mysql://u:s3cr3t@localhost/p"),
        ("PAYLINK_SECRET", "s3cr3t"),
        ("KLARNA_USERNAME", "s3cr3t:"),
        ("SMTP_URL", "ftp://u:s3cr3t@mx.example.com"),
        ("SMS_HTTP_URL", "http://sms.example.com/?k=s3cr3t"),
        ("SMS_HTTP_HEADERS", "s3cr3t"),
    ];
    let from = ("MAIL_FROM", "a@example.com");
    let told = read(&env(LIVE, &[&wrong[..], &[from]].concat())).unwrap_err();
    assert_eq!(told.len(), wrong.len(), "{told:?}");
    for fault in told {
        assert!(!format!("{fault} {fault:?}").contains("s3cr3t"), "{fault}");
    }
}

#[test]
fn what_is_read_is_in_the_table_and_what_is_there_is_read() {
    let asked = Mutex::new(BTreeSet::new());
    let settings = env(SIMULATED, &[]);
    let get = |name: &str| {
        asked.lock().unwrap().insert(name.to_owned());
        settings.get(name).cloned()
    };
    Config::read(&get, &no_files).unwrap();
    let mut table = BTreeSet::new();
    for setting in table::settings() {
        assert!(
            table.insert(setting.name.to_owned()),
            "{} twice",
            setting.name
        );
        if setting.secret {
            table.insert(format!("{}_FILE", setting.name));
        }
    }
    assert_eq!(asked.into_inner().unwrap(), table);
}

#[test]
fn required_settings_are_those_of_the_table() {
    let mut required: Vec<_> = table::settings()
        .filter(|it| it.required)
        .map(|it| it.name.to_owned())
        .collect();
    // required unless Klarna's URL is loopback, as its own sentence says
    required.push("PAYLINK_PUBLIC_URL".into());
    required.sort();
    let mut missing = faults(&[], &[]);
    missing.sort();
    assert_eq!(missing, required);
}

/// `UPDATE_ENV_EXAMPLE=1 cargo test env_example` writes it anew.
#[test]
fn env_example_is_the_table() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(".env.example");
    let wanted = env_example();
    if std::env::var_os("UPDATE_ENV_EXAMPLE").is_some() {
        std::fs::write(&path, &wanted).unwrap();
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        found == wanted,
        ".env.example is not what the table of settings says: UPDATE_ENV_EXAMPLE=1 cargo test env_example"
    );
    assert!(wanted.lines().all(|line| line.chars().count() <= 120));
}

/// A value that is uncommented must mean what its default means, quotes and all.
#[test]
fn env_example_can_be_uncommented() {
    let mut text = String::new();
    for line in env_example().lines() {
        let bare = line.strip_prefix("# ").unwrap_or(line);
        let setting = bare
            .split_once('=')
            .is_some_and(|(name, _)| table::settings().any(|it| it.name == name));
        if setting {
            text.push_str(bare);
            text.push('\n');
        }
    }
    let read: Env = dotenvy::from_read_iter(text.as_bytes())
        .collect::<Result<_, _>>()
        .unwrap();
    assert_eq!(read.len(), table::settings().count());
    for setting in table::settings() {
        assert_eq!(read[setting.name], setting.default.unwrap_or(""));
    }
    let mut uncommented = read;
    uncommented.extend(env(LIVE, &[]));
    let config = self::read(&uncommented).unwrap();
    assert_eq!(format!("{config:?}"), format!("{:?}", good(LIVE, &[])));
}

#[test]
fn typos_are_found() {
    let names = [
        "PAYLINK_LISTNE",
        "KLARNA_USER_NAME",
        "KLARNA_PASSWORD_FILE",
        "MERCHANT_NAME_FILE",
        "SMS_SOMETHING_ELSE",
        "PATH",
        "LOG",
    ];
    let found = unknown(names);
    assert_eq!(
        found,
        [
            ("KLARNA_USER_NAME".to_owned(), Some("KLARNA_USERNAME")),
            ("MERCHANT_NAME_FILE".to_owned(), None),
            ("PAYLINK_LISTNE".to_owned(), Some("PAYLINK_LISTEN")),
            ("SMS_SOMETHING_ELSE".to_owned(), None),
        ]
    );
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
