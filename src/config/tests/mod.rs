//! What the environment must say, and what comes of it.

mod example;
mod wording;

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

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
