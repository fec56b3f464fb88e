//! Every template, in every language, with the sales that break layouts.

use std::fs;
use std::path::PathBuf;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::Value;

use super::form::Form;
use super::language::{Language, Locale};
use super::moment::{self, Span};
use super::*;
use crate::link::{
    Actor, Address, Consumer, KlarnaView, Line, LineKind, Link, LinkId, Mode, Page, Pair, Payment,
    Sale, Stage, Tree, UseCase,
};
use crate::random::Random;

const URL: &str = "https://pay.example/s/7f3a9c2e51d84b06";
const GSM7: &str = "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà";

fn until() -> Timestamp {
    "2026-11-25T13:02:00Z".parse().unwrap()
}

fn zone(name: &str) -> TimeZone {
    TimeZone::get(name).unwrap()
}

fn brand() -> Brand {
    Brand {
        merchant: "Acme Shop".into(),
        support: Some("+44 20 7946 0123".into()),
        terms_url: "https://shop.example/terms".into(),
        logo_url: None,
        time_zone: zone("Europe/London"),
    }
}

fn templates() -> Templates {
    Templates::load(None, brand()).unwrap()
}

fn line(name: &str, quantity: i64, total: i64) -> Line {
    Line {
        kind: LineKind::Physical,
        reference: None,
        name: name.into(),
        quantity,
        quantity_unit: Some("pcs".into()),
        unit_price: total / quantity,
        tax_rate: 1000,
        total_discount_amount: 0,
        total_amount: total,
        total_tax_amount: total / 11,
        extras: Tree::Map(vec![]),
    }
}

fn pair() -> Pair {
    Pair {
        number: 1,
        order: "order".into(),
        session: "session".into(),
        url: URL.into(),
        id_check_url: None,
    }
}

fn link(locale: &str) -> Link {
    let now = until();
    Link {
        id: LinkId::new(now, &Random::seeded(1)),
        version: 1,
        sequence: 1,
        store: "default".into(),
        mode: Mode::Test,
        agent: None,
        created_by: Actor::Paylink,
        sale: Sale {
            reference: "SO-10442".into(),
            use_case: UseCase::Telesales,
            country: "GB".into(),
            currency: "GBP".into(),
            locale: locale.into(),
            order_amount: 50000,
            order_tax_amount: 4545,
            lines: vec![line("Red T-Shirt", 5, 50000)],
            billing: Some(Address {
                given_name: Some("Jo".into()),
                family_name: Some("Bloggs".into()),
                ..Address::default()
            }),
            shipping: None,
            customer: None,
            extras: Tree::Map(vec![]),
        },
        page: Page::default(),
        auto_capture: false,
        metadata: vec![],
        stage: Stage::Open {
            pair: pair(),
            until: until(),
            consumer: Consumer::NotOpened,
        },
        wanted_end: None,
        klarna: KlarnaView::default(),
        closing_reason: None,
        closing_note: None,
        renewed_from: None,
        renewed_by: None,
        viewed: false,
        mismatch: false,
        acknowledged: false,
        created_at: now,
        updated_at: now,
    }
}

/// The sales that break layouts, by name.
fn awkward(locale: &str) -> Vec<(&'static str, Link)> {
    let with = |change: fn(&mut Link)| {
        let mut link = link(locale);
        change(&mut link);
        link
    };
    vec![
        ("ordinary", link(locale)),
        (
            "long",
            with(|it| {
                it.sale.reference = "R".repeat(255);
                it.sale.lines[0].name = "Überlang ".repeat(28);
                if let Some(billing) = &mut it.sale.billing {
                    billing.given_name = Some("Wolfeschlegelsteinhausenbergerdorff".repeat(2));
                }
            }),
        ),
        (
            "special",
            with(|it| {
                it.sale.reference = "<b>\"R&D'</b>".into();
                it.sale.lines[0].name = "<script>alert(1)</script> & {{amount}} {amount}".into();
                if let Some(billing) = &mut it.sale.billing {
                    billing.given_name = Some("Jo <i> & {reference}".into());
                }
            }),
        ),
        (
            "many",
            with(|it| {
                it.sale.lines = (1..=1000).map(|n| line("Bolt", n, 100 * n)).collect();
            }),
        ),
        (
            "business",
            with(|it| {
                it.sale.billing = Some(Address {
                    organization_name: Some("Bloggs & Sons Ltd".into()),
                    ..Address::default()
                });
            }),
        ),
        (
            "nobody",
            with(|it| {
                it.sale.billing = None;
                it.sale.order_tax_amount = 0;
            }),
        ),
        (
            "yen",
            with(|it| {
                it.sale.currency = "JPY".into();
                it.sale.use_case = UseCase::InStore;
            }),
        ),
        ("web", with(|it| it.sale.use_case = UseCase::Ecommerce)),
    ]
}

fn unescape(html: &str) -> String {
    html.replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&quot;", "\"")
        .replace("&#39;", "'")
        .replace("&amp;", "&")
}

const LOCALES: [&str; 6] = ["en-GB", "sv-SE", "de-DE", "nb-NO", "da-DK", "fi-FI"];

#[test]
fn every_message_says_the_same_in_every_part() {
    let templates = templates();
    for locale in LOCALES {
        for (name, link) in awkward(locale) {
            let facts = Facts::of(&link, until()).unwrap();
            let message = templates.message("link", &facts).unwrap();
            let html = unescape(&message.html).replace('\u{a0}', " ");
            let amount =
                money(link.sale.order_amount, &link.sale.currency, locale).replace('\u{a0}', " ");
            let at = moment(until(), &zone("Europe/London"), locale);
            for (part, text) in [("text", &message.text), ("html", &html)] {
                let place = format!("{part} of {name} in {locale}:\n{text}");
                assert!(text.contains(&amount), "{amount} in {place}");
                assert!(text.contains(&link.sale.reference), "reference in {place}");
                assert!(text.contains(URL), "address in {place}");
                assert!(text.contains(&at), "{at} in {place}");
                assert!(text.contains("+44 20 7946 0123"), "support in {place}");
                assert!(
                    text.contains("https://shop.example/terms"),
                    "terms in {place}"
                );
                assert!(text.contains("Acme Shop"), "merchant in {place}");
            }
            assert_eq!(message.text.matches("://").count(), 2, "{}", message.text);
            assert_eq!(message.sms.matches("://").count(), 1, "{}", message.sms);
            assert!(message.sms.contains(&format!("{URL} ")), "{}", message.sms);
            assert!(message.subject.chars().count() <= 78, "{}", message.subject);
            assert!(message.subject.contains("Acme Shop"), "{}", message.subject);
            assert!(!message.subject.chars().any(char::is_control));
            assert_eq!(message.language, locale);
            assert!(message.html.contains(&format!("<html lang=\"{locale}\"")));
            assert!(
                message.html.len() < 100_000,
                "{name}: {}",
                message.html.len()
            );
            if name != "special" {
                for text in [&message.subject, &message.text, &message.sms] {
                    assert!(
                        !text.contains(['{', '}', '<']),
                        "left over in {name}: {text}"
                    );
                }
                assert!(!message.html.contains("{{"), "left over in {name}");
            }
        }
    }
}

#[test]
fn values_are_data_in_html_and_are_not_read_twice() {
    let (_, link) = awkward("en-GB").remove(2);
    let message = templates()
        .message("link", &Facts::of(&link, until()).unwrap())
        .unwrap();
    assert!(
        message
            .html
            .contains("&lt;script&gt;alert(1)&lt;/script&gt; &amp; {{amount}} {amount}")
    );
    assert!(!message.html.contains("<script"));
    assert!(
        message
            .html
            .contains("Jo &lt;i&gt; &amp; {reference}, here is your link")
    );
    assert!(
        message
            .text
            .contains("<script>alert(1)</script> & {{amount}} {amount}")
    );
}

#[test]
fn the_english_sms_is_the_one_of_the_design() {
    let message = templates()
        .message("link", &Facts::of(&link("en-GB"), until()).unwrap())
        .unwrap();
    assert_eq!(
        message.sms,
        "Acme Shop: pay £500.00 for SO-10442 with Klarna: https://pay.example/s/7f3a9c2e51d84b06 \
         Valid until 25 Nov 13:02 GMT. Questions? +44 20 7946 0123"
    );
    assert_eq!(message.sms.chars().count(), 145);
    assert_eq!(message.subject, "Pay £500.00 to Acme Shop, SO-10442");
}

#[test]
fn an_sms_stays_in_gsm7_in_every_language() {
    let mut shop = brand();
    shop.merchant = "Acme’s “Shop” – Zürich".into();
    let templates = Templates::load(None, shop).unwrap();
    for locale in ["en-GB", "sv-SE", "de-CH", "nb-NO", "da-DK", "fi-FI"] {
        for month in 1..=12 {
            let mut link = link(locale);
            link.sale.currency = "CHF".into();
            link.sale.order_amount = 123_456;
            let until = format!("2026-{month:02}-14T13:02:00Z").parse().unwrap();
            let message = templates
                .message("link", &Facts::of(&link, until).unwrap())
                .unwrap();
            let foreign: Vec<char> = message.sms.chars().filter(|c| !GSM7.contains(*c)).collect();
            assert!(foreign.is_empty(), "{foreign:?} in {}", message.sms);
            assert!(
                message.sms.contains("Acme's \"Shop\" - Zürich"),
                "{}",
                message.sms
            );
        }
    }
}

#[test]
fn nothing_but_the_payment_link_becomes_a_link() {
    let mut link = link("en-GB");
    link.sale.reference = "evil.example/1".into();
    link.sale.lines[0].name = "Win at www.evil.example or https://evil.example/x now".into();
    let message = templates()
        .message("link", &Facts::of(&link, until()).unwrap())
        .unwrap();
    for text in [&message.text, &message.html, &message.sms] {
        assert!(!text.contains("evil.example"), "{text}");
        assert!(!text.contains("https://evil"), "{text}");
    }
    assert!(
        message.sms.contains("for evil. example/1 with"),
        "{}",
        message.sms
    );
    let seen: String = message.text.chars().filter(|c| *c != '\u{2060}').collect();
    assert!(
        seen.contains("Win at www.evil.example or https://evil.example/x now"),
        "{seen}"
    );
}

#[test]
fn words_that_look_like_addresses_are_taken_apart_and_others_left() {
    let apart = [
        "shop.example",
        "WWW.shop.example",
        "ftp://x",
        "a@b.example",
        "10.0.0.1",
        "10.0.0.1/x",
        "evil。example",
        "Node.js",
        "(shop.example)",
        "bücher.example",
        "xn--a.example:8080",
    ];
    for word in apart {
        assert!(Form::Html.foreign(word).contains('\u{2060}'), "{word}");
        assert!(Form::Text.foreign(word).contains('\u{2060}'), "{word}");
        assert_eq!(Form::Subject.foreign(word), word);
    }
    for word in [
        "SO-10442",
        "1.5",
        "12.05.2026",
        "St. Ives",
        "Size: M",
        "3.0L",
        "Co.",
        "a.b",
        "e.g.",
    ] {
        assert_eq!(Form::Html.foreign(word), word);
        assert_eq!(Form::Sms.foreign(word), word);
    }
    assert_eq!(Form::Html.foreign("two\r\nlines\t\u{7}"), "two lines");
}

#[test]
fn amounts_follow_the_locale() {
    let cases = [
        (50000, "GBP", "en-GB", "£500.00"),
        (123_456_789, "USD", "en-US", "$1,234,567.89"),
        (500, "USD", "en-GB", "US$5.00"),
        (-500, "EUR", "en-IE", "-€5.00"),
        (123_450, "SEK", "en-SE", "SEK 1,234.50"),
        (123_450, "SEK", "sv-SE", "1 234,50 kr"),
        (-123_450, "SEK", "sv", "−1 234,50 kr"),
        (99, "NOK", "sv-SE", "0,99 NOK"),
        (123_450, "EUR", "de-DE", "1.234,50 €"),
        (-123_450, "EUR", "de-DE", "-1.234,50 €"),
        (123_450, "EUR", "de-AT", "€ 1.234,50"),
        (123_450, "CHF", "de-CH", "CHF 1’234.50"),
        (-123_450, "CHF", "de-CH", "CHF-1’234.50"),
        (123_450, "CHF", "fr-CH", "CHF 1’234.50"),
        (123_450, "NOK", "no-NO", "1 234,50 kr"),
        (123_450, "DKK", "da-DK", "1.234,50 kr."),
        (123_450, "EUR", "fi-FI", "1 234,50 €"),
        (0, "EUR", "fi-FI", "0,00 €"),
        (1_234_567, "JPY", "en-GB", "¥1,234,567"),
        (0, "JPY", "en-GB", "¥0"),
        (1_234_567, "KWD", "en-GB", "KWD 1,234.567"),
        (1, "KWD", "de-DE", "0,001 KWD"),
        (123_450, "PLN", "pl-PL", "PLN 1,234.50"),
        (123_450, "XQX", "en", "XQX 1,234.50"),
        (i64::MIN, "GBP", "en-GB", "-£92,233,720,368,547,758.08"),
    ];
    for (amount, currency, locale, wanted) in cases {
        let written = money(amount, currency, locale);
        assert_eq!(written.replace('\u{a0}', " "), wanted, "{locale}");
        assert!(!written.contains(' '), "{written} may break");
    }
}

#[test]
fn moments_follow_the_locale_and_name_the_zone() {
    let cases = [
        (
            "en-GB",
            "Europe/London",
            "Wed 25 Nov 2026, 13:02 GMT",
            "25 Nov 13:02 GMT",
        ),
        (
            "en-US",
            "America/New_York",
            "Wed, Nov 25, 2026, 08:02 EST",
            "Nov 25, 08:02 EST",
        ),
        (
            "sv-SE",
            "Europe/Stockholm",
            "ons 25 november 2026 kl. 14:02 CET",
            "25 nov kl. 14:02 CET",
        ),
        (
            "de-DE",
            "Europe/Berlin",
            "Mi., 25. November 2026, 14:02 Uhr MEZ",
            "25. Nov., 14:02 Uhr MEZ",
        ),
        (
            "nn-NO",
            "Europe/Oslo",
            "ons. 25. november 2026 kl. 14:02 CET",
            "25. nov. kl. 14:02 CET",
        ),
        (
            "da-DK",
            "Europe/Copenhagen",
            "ons. 25. november 2026 kl. 14.02 CET",
            "25. nov. kl. 14.02 CET",
        ),
        (
            "fi-FI",
            "Europe/Helsinki",
            "ke 25.11.2026 klo 15.02 EET",
            "25.11. klo 15.02 EET",
        ),
        (
            "pl-PL",
            "UTC",
            "Wed 25 Nov 2026, 13:02 UTC",
            "25 Nov 13:02 UTC",
        ),
        (
            "en-GB",
            "Asia/Dubai",
            "Wed 25 Nov 2026, 17:02 UTC+04",
            "25 Nov 17:02 UTC+04",
        ),
    ];
    for (locale, place, long, short) in cases {
        assert_eq!(moment(until(), &zone(place), locale), long);
        let short_form = moment::in_locale(until(), &zone(place), &Locale::of(locale), Span::Short);
        assert_eq!(short_form, short);
    }
    let summer = "2026-07-05T21:30:00Z".parse().unwrap();
    assert_eq!(
        moment(summer, &zone("Europe/Berlin"), "de-DE"),
        "So., 5. Juli 2026, 23:30 Uhr MESZ"
    );
    assert_eq!(
        moment(summer, &zone("Europe/London"), "en-GB"),
        "Sun 5 Jul 2026, 22:30 BST"
    );
    let short = moment::in_locale(
        summer,
        &zone("Europe/Berlin"),
        &Locale::of("de"),
        Span::Short,
    );
    assert_eq!(short, "5. Juli, 23:30 Uhr MESZ");
}

#[test]
fn locales_fall_back_to_their_language_and_then_to_english() {
    let cases = [
        ("en-GB", Language::English, "en-GB"),
        ("SV_se", Language::Swedish, "sv-SE"),
        ("no-NO", Language::Norwegian, "nb-NO"),
        ("nn", Language::Norwegian, "nb"),
        ("de", Language::German, "de"),
        ("fr-FR", Language::English, "en"),
        ("", Language::English, "en"),
    ];
    for (locale, language, tag) in cases {
        assert_eq!(Locale::of(locale).language, language, "{locale}");
        assert_eq!(Locale::of(locale).tag, tag, "{locale}");
    }
}

#[test]
fn all_languages_have_the_same_words_with_the_same_places() {
    let all = load::built_in_words();
    let (_, english) = &all[0];
    for (code, words) in &all {
        let names = |it: &Words| {
            it.sentences()
                .map(|(name, _)| name.to_owned())
                .collect::<Vec<_>>()
        };
        assert_eq!(names(words), names(english), "{code}");
        for ((name, sentence), (_, model)) in words.sentences().zip(english.sentences()) {
            assert_eq!(words::stranger(sentence), None, "{code} {name}");
            assert!(!sentence.trim().is_empty(), "{code} {name}");
            // German greets by the full name; otherwise no fact may be lost in translation
            if name != "title_named" {
                for place in words::PLACES {
                    let place = format!("{{{place}}}");
                    let count = |it: &str| it.matches(&place).count();
                    assert_eq!(count(sentence), count(model), "{place} in {code} {name}");
                }
            }
        }
    }
}

#[test]
fn pages_are_whole_documents_without_scripts_styles_or_personal_data() {
    let templates = templates();
    for locale in LOCALES {
        for landing in Landing::ALL {
            for facts in [PageFacts::of(&link(locale)), PageFacts::unknown(locale)] {
                let page = templates.page(landing, &facts).unwrap();
                assert!(
                    page.starts_with("<!doctype html>") && page.trim_end().ends_with("</html>")
                );
                assert!(page.contains(&format!("<html lang=\"{locale}\">")));
                assert!(page.contains("href=\"/assets/paylink.css\""));
                for banned in [
                    "{{", "<script", "style=", "<style", "Bloggs", " onclick", "@",
                ] {
                    assert!(!page.contains(banned), "{banned} on {landing:?}");
                }
                assert!(
                    !page.contains("class=\"lead\"></p>"),
                    "{landing:?} says nothing"
                );
                let refreshes = page.contains("http-equiv=\"refresh\"");
                assert_eq!(refreshes, landing == Landing::Asking);
                assert_eq!(page.contains("tel:+442079460123"), true);
            }
        }
    }
}

#[test]
fn the_page_follows_what_was_read_back() {
    let mut link = link("en-GB");
    let page = |link: &Link| {
        templates()
            .page(Landing::of(link), &PageFacts::of(link))
            .unwrap()
    };

    let back = page(&link);
    assert!(
        back.contains("You have not paid yet") && back.contains(URL),
        "{back}"
    );
    assert!(back.contains("stays open until Wed 25 Nov, 13:02 GMT."));

    let paid = |fraud: Option<&str>| Stage::Completed {
        pair: pair(),
        at: until(),
        payment: Box::new(Payment {
            fraud_status: fraud.map(Into::into),
            ..Payment::authorized()
        }),
    };
    link.stage = paid(None);
    link.klarna.reference = Some("KX4M7Q2B".into());
    let success = page(&link);
    assert!(success.contains("<dt>Paid</dt><dd>£500.00</dd>") && success.contains("KX4M7Q2B"));
    assert!(!success.contains(URL), "a paid link offers no way to pay");

    link.stage = paid(Some("PENDING"));
    assert!(
        page(&link).contains("not yet approved") && !page(&link).contains("data-tone=\"paid\"")
    );
    link.stage = paid(Some("REJECTED"));
    assert!(page(&link).contains("This link cannot be used again") && !page(&link).contains(URL));

    link.stage = Stage::Expired {
        pair: Some(pair()),
        at: until(),
    };
    assert!(page(&link).contains("This payment link is closed") && !page(&link).contains(URL));
}

#[test]
fn a_link_without_a_page_has_no_message() {
    let mut link = link("en-GB");
    link.stage = Stage::Creating { pairs_tried: 0 };
    assert!(Facts::of(&link, until()).is_none());
}

/// An override folder that goes when the test ends.
struct Overrides(PathBuf);

impl Overrides {
    fn new(name: &str, files: &[(&str, &str)]) -> Self {
        let folder = std::env::temp_dir().join(format!("paylink-{name}-{}", std::process::id()));
        for (file, text) in files {
            let path = folder.join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        Self(folder)
    }

    fn load(&self) -> Result<Templates, Vec<TemplateFault>> {
        Templates::load(Some(&self.0), brand())
    }

    /// Faults as `file:line reason`, files below the folder.
    fn faults(&self) -> Vec<String> {
        let faults = self.load().unwrap_err();
        let root = format!("{}/", self.0.display());
        faults
            .iter()
            .map(|it| {
                let line = it.line.map_or("-".into(), |line| line.to_string());
                format!("{}:{line} {}", it.file.replace(&root, ""), it.reason)
            })
            .collect()
    }
}

impl Drop for Overrides {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn an_operator_replaces_templates_words_and_adds_folders() {
    let overrides = Overrides::new(
        "good",
        &[
            ("link/subject.txt.hbs", "Your order {{reference}}\r\n"),
            ("reminder/sms.txt.hbs", "{{merchant}} reminds you: {{url}}"),
            ("words/en.json", r#"{"terms": "Conditions"}"#),
            ("README", "not a template"),
        ],
    );
    let templates = overrides.load().unwrap();
    assert_eq!(templates.known(), ["link", "reminder"]);
    let facts = Facts::of(&link("en-GB"), until()).unwrap();
    let message = templates.message("reminder", &facts).unwrap();
    assert_eq!(message.subject, "Your order SO-10442");
    assert_eq!(message.sms, format!("Acme Shop reminds you: {URL}"));
    assert!(message.html.contains(">Conditions</a>"));
    let unknown = templates.message("absent", &facts).unwrap_err();
    assert_eq!(
        unknown.to_string(),
        "template absent: no such folder of templates"
    );
}

#[test]
fn a_broken_override_is_named_with_file_line_and_reason() {
    let parse = Overrides::new(
        "parse",
        &[("link/body.txt.hbs", "one\n{{#if support}}\nthree")],
    );
    let faults = parse.faults();
    assert_eq!(faults.len(), 1, "{faults:?}");
    assert!(faults[0].starts_with("link/body.txt.hbs:"), "{faults:?}");
    assert!(!faults[0].contains(":- "), "{faults:?}");

    let missing = Overrides::new(
        "missing",
        &[
            ("link/body.txt.hbs", "{{url}}\n{{amuont}}"),
            (
                "_layout.html.hbs",
                "{{#if support}}\n{{suport}}{{/if}}{{> @partial-block}}",
            ),
        ],
    );
    let faults = missing.faults();
    assert_eq!(faults.len(), 2, "{faults:?}");
    assert!(
        faults
            .iter()
            .any(|it| it.starts_with("link/body.txt.hbs:2 ") && it.contains("amuont")),
        "{faults:?}"
    );
    assert!(
        faults
            .iter()
            .any(|it| it.starts_with("_layout.html.hbs:2 ") && it.contains("suport")),
        "{faults:?}"
    );
}

#[test]
fn an_override_that_would_send_no_usable_link_is_refused() {
    let overrides = Overrides::new(
        "links",
        &[
            ("link/sms.txt.hbs", "Pay at {{url}}."),
            ("link/body.html.hbs", "<p>{{amount}}</p>"),
            ("other/sms.txt.hbs", "Pay {{url}} terms {{terms_url}}"),
            ("other/body.txt.hbs", "nothing"),
        ],
    );
    let faults = overrides.faults();
    assert_eq!(faults.len(), 4, "{faults:?}");
    for wanted in [
        "link/sms.txt.hbs:- {{url}} must be followed by a space",
        "link/body.html.hbs:- the payment link",
        "other/sms.txt.hbs:- it must carry {{url}} once",
        "other/body.txt.hbs:- the payment link",
    ] {
        assert!(
            faults.iter().any(|it| it.starts_with(wanted)),
            "{wanted} in {faults:?}"
        );
    }
}

#[test]
fn misplaced_files_and_unknown_words_are_faults() {
    let overrides = Overrides::new(
        "misplaced",
        &[
            ("link/sbject.txt.hbs", "x"),
            ("Bad Folder/sms.txt.hbs", "{{url}}"),
            ("loose.hbs", "x"),
            ("words/xx.json", "{}"),
            ("words/sv.json", r#"{"termz": "x", "terms": "{amuont}"}"#),
            ("words/de.json", "{\"terms\":\n 1}"),
        ],
    );
    let faults = overrides.faults();
    assert_eq!(faults.len(), 7, "{faults:?}");
    assert!(
        faults.iter().any(|it| it.starts_with("words/de.json:2 ")),
        "{faults:?}"
    );
    let absent = Templates::load(Some(&overrides.0.join("absent")), brand()).unwrap_err();
    assert!(absent[0].reason.starts_with("cannot be read"), "{absent:?}");
}

#[test]
fn support_becomes_a_link_only_where_it_is_an_address_or_a_number() {
    let cases = [
        ("+44 20 7946 0123", Some("tel:+442079460123")),
        ("(020) 7946-0123", Some("tel:02079460123")),
        ("help@shop.example", Some("mailto:help@shop.example")),
        ("help@shop.example?subject=x", None),
        ("call us", None),
    ];
    for (support, wanted) in cases {
        assert_eq!(form::contact(support).as_deref(), wanted);
    }
}

#[test]
fn templates_see_every_name_in_every_form() {
    let templates = templates();
    let facts = Facts::of(&link("en-GB"), until()).unwrap();
    let names =
        |form| match facts.context(&templates.brand, templates.words(Language::English), form) {
            Value::Object(members) => members.keys().cloned().collect::<Vec<_>>(),
            other => panic!("{other}"),
        };
    for form in [Form::Text, Form::Sms, Form::Subject] {
        assert_eq!(names(form), names(Form::Html));
    }
}

#[test]
fn zz_preview() {
    let out = PathBuf::from("/tmp/tplprev");
    fs::create_dir_all(&out).unwrap();
    let templates = templates();
    for locale in LOCALES {
        for (name, link) in awkward(locale) {
            let m = templates
                .message("link", &Facts::of(&link, until()).unwrap())
                .unwrap();
            fs::write(out.join(format!("mail-{locale}-{name}.html")), &m.html).unwrap();
            fs::write(
                out.join(format!("mail-{locale}-{name}.txt")),
                format!(
                    "{}\n\n{}\n--SMS {}\n{}",
                    m.subject,
                    m.text,
                    m.sms.chars().count(),
                    m.sms
                ),
            )
            .unwrap();
        }
        for landing in Landing::ALL {
            let mut l = link(locale);
            l.klarna.reference = Some("KX4M7Q2B".into());
            let p = templates.page(landing, &PageFacts::of(&l)).unwrap();
            fs::write(out.join(format!("page-{locale}-{landing:?}.html")), p).unwrap();
        }
    }
}
