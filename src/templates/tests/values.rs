//! Amounts, dates, names and words, one by one.

use super::*;

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
        ("da,en;q=0.5", Language::Danish, "da"),
        ("fi-FI,fi;q=0.9", Language::Finnish, "fi-FI"),
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
