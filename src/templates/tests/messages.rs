//! What a buyer reads in mail and SMS, in every language.

use super::*;

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
                assert!(text.contains("Acme Shop"), "merchant in {place}");
            }
            assert!(
                html.contains("https://shop.example/terms"),
                "terms in {name}"
            );
            // the plain text has the one URL that it is for
            assert!(!message.text.contains("shop.example"), "terms in the text");
            for plain in [&message.text, &message.sms, &message.subject] {
                assert!(!plain.contains('\u{a0}'), "no-break space in {plain}");
            }
            assert_eq!(message.text.matches("://").count(), 1, "{}", message.text);
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
fn a_long_reference_does_not_make_a_dear_sms() {
    for locale in LOCALES {
        for (reference, kept) in [
            ("\u{1f600}".repeat(255), "\u{1f600}".repeat(5)),
            ("Ł-2026-11-".repeat(25), "Ł-202".into()),
            // what fits stays as it is
            ("Ł-10442".into(), "Ł-10442".into()),
            ("R".repeat(255), "R".repeat(255)),
        ] {
            let mut link = link(locale);
            link.sale.reference = reference;
            let facts = Facts::of(&link, until()).unwrap();
            let sms = templates().message("link", &facts).unwrap().sms;
            assert!(sms.contains(&kept) && sms.contains(URL), "{sms}");
            let (units, most) = if kept.starts_with('R') {
                (sms.len(), 459)
            } else {
                (sms.encode_utf16().count(), 201)
            };
            assert!(units <= most, "{locale}: {units} in {sms}");
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
            link.sale.currency = ["CHF", "EUR", "SEK", "JPY"][month % 4].into();
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
fn a_link_without_a_page_has_no_message() {
    let mut link = link("en-GB");
    link.stage = Stage::Creating { pairs_tried: 0 };
    assert!(Facts::of(&link, until()).is_none());
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
fn the_authors_page_lists_every_name() {
    let page = include_str!("../../../email_templates/README.md");
    let templates = templates();
    let facts = Facts::of(&link("en-GB"), until()).unwrap();
    let words = templates.words(Language::English);
    let context = facts.context(&templates.brand, words, Form::Html);
    let names = context.as_object().unwrap().keys().map(String::as_str);
    for name in names.chain(words::PLACES) {
        assert!(page.contains(&format!("`{name}`")), "{name}");
    }
}
