//! Which Klarna is spoken to, whether real money moves there, and which hosts its pages have.

use secrecy::SecretString;
use url::Url;

use super::reader::Reader;
use super::{AllowedHost, Klarna, LinkSource, values};
use crate::link::Mode;

/// A preset word of `KLARNA_API_URL` (klarna.md §0). The pages' hosts are those that the present
/// documents name and the older ones that some regions may still answer with; all are Klarna's.
struct Preset {
    word: &'static str,
    api: &'static str,
    hosts: &'static [&'static str],
    mode: Mode,
    creates_per_second: u32,
}

const PRESETS: &[Preset] = &[
    Preset {
        word: "kustom",
        api: "api.kustom.co",
        hosts: &["pay.kustom.co", "api.kustom.co", "pay.klarna.com"],
        mode: Mode::Live,
        creates_per_second: LIVE_CREATES,
    },
    Preset {
        word: "kustom-playground",
        api: "api.playground.kustom.co",
        hosts: &[
            "pay.playground.kustom.co",
            "api.playground.kustom.co",
            "pay.playground.klarna.com",
        ],
        mode: Mode::Test,
        creates_per_second: 4,
    },
];
const LIVE_CREATES: u32 = 32;

/// Where `KLARNA_API_URL` points.
pub(super) struct Target {
    pub(super) base: Url,
    pub(super) loopback: bool,
    pub(super) mode: Mode,
    preset: Option<&'static Preset>,
}

/// Reads a preset word or a URL.
pub(super) fn target(text: &str) -> Option<Target> {
    let by_word = PRESETS.iter().find(|preset| preset.word == text);
    let base = match by_word {
        Some(preset) => Url::parse(&format!("https://{}/", preset.api)).ok()?,
        None => values::web_url(text).filter(|url| url.path() == "/" && url.query().is_none())?,
    };
    let loopback = values::is_loopback(&base);
    // the playground is the playground, by its word or by its URL
    let preset = PRESETS.iter().find(|preset| {
        base.scheme() == "https" && base.port().is_none() && base.host_str() == Some(preset.api)
    });
    let mode = match preset {
        Some(preset) => preset.mode,
        None if loopback => Mode::Test,
        None => Mode::Live,
    };
    Some(Target {
        base,
        loopback,
        mode,
        preset,
    })
}

pub(super) const URL_FORM: &str = "give kustom, kustom-playground, or an https URL (http on loopback) without path, query and user";

pub(super) fn klarna(r: &mut Reader) -> (Option<Klarna>, Option<Target>) {
    let target = r.need("KLARNA_API_URL", URL_FORM, target);
    let allowed = r.flag("PAYLINK_ALLOW_SIMULATOR");
    if target.as_ref().is_some_and(|target| target.loopback) && !allowed {
        r.fault(
            "KLARNA_API_URL",
            "points at this machine, as only a simulator does",
            "give kustom or kustom-playground, or say PAYLINK_ALLOW_SIMULATOR=1",
        );
    }
    let username = r.need(
        "KLARNA_USERNAME",
        "give the user name of the API credentials, without a colon",
        |text| (!text.contains([':', '\r', '\n'])).then(|| SecretString::from(text)),
    );
    let password = r.need(
        "KLARNA_PASSWORD",
        "give the password of the API credentials",
        |text| Some(SecretString::from(text)),
    );
    let hosts = r.parse(
        "KLARNA_LINK_HOSTS",
        "give hosts as host or host:port, comma-separated, without scheme, path and *",
        |text| values::list(text, values::allowed_host),
    );
    let markets = markets(r);
    let creates = r.number("KLARNA_CREATES_PER_SECOND", 0..=10_000);
    let source = r.parse(
        "KLARNA_LINK_SOURCE",
        "give redirect or qr",
        |text| match text {
            "redirect" => Some(LinkSource::Redirect),
            "qr" => Some(LinkSource::Qr),
            _ => None,
        },
    );
    let channel = |text: &str| {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
        ((1..=64).contains(&text.len()) && text.bytes().all(plain)).then(|| text.to_owned())
    };
    let form = "give up to 64 letters, digits and _";
    let telesales = r.parse("KLARNA_CHANNEL_TELESALES", form, channel);
    let in_store = r.parse("KLARNA_CHANNEL_IN_STORE", form, channel);

    let klarna = target.as_ref().and_then(|target| {
        Some(Klarna {
            base: target.base.clone(),
            loopback: target.loopback,
            username: username?,
            password: password?,
            hosts: with_own(hosts, target),
            markets: markets?,
            creates_per_second: creates.unwrap_or(match target.preset {
                Some(preset) => preset.creates_per_second,
                None if target.loopback => 0,
                None => LIVE_CREATES,
            }),
            source: source?,
            channel_telesales: telesales?,
            channel_in_store: in_store?,
        })
    });
    (klarna, target)
}

/// Where is sold, as country and currency.
pub(super) fn markets(r: &mut Reader) -> Option<Vec<(String, String)>> {
    r.parse(
        "KLARNA_MARKETS",
        "give country/currency pairs such as SE/SEK NO/NOK",
        |text| values::list(text, values::market),
    )
}

/// What was given, else the preset's, else the URL's own host; a loopback one is always among them.
fn with_own(given: Option<Vec<AllowedHost>>, target: &Target) -> Vec<AllowedHost> {
    let any_port = |host: &str| AllowedHost {
        host: host.to_owned(),
        port: None,
    };
    let own = any_port(target.base.host_str().unwrap_or_default());
    let mut hosts = given.unwrap_or_else(|| match target.preset {
        Some(preset) => preset.hosts.iter().copied().map(any_port).collect(),
        None => vec![own.clone()],
    });
    if target.loopback && !hosts.contains(&own) {
        hosts.push(own);
    }
    hosts
}
