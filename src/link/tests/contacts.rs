use phonenumber::metadata::DATABASE;

use crate::link::{Code, Email, Phone, mask};

fn listed() -> Vec<String> {
    super::defaults().sms_countries
}

#[test]
fn an_address_is_a_dot_atom_at_a_domain_of_two_labels() {
    let label = "a".repeat(63);
    let local = "a".repeat(64);
    for good in [
        "jo@example.com",
        "jo.bloggs+x@mail.example.co.uk",
        "o'neil@example.com",
        "a@b.cd",
        &format!("{local}@example.com"),
        &format!("jo@{label}.com"),
        "jo@xn--bcher-kva.example",
    ] {
        assert!(Email::parse(good).is_ok(), "{good}");
    }
    for bad in [
        "",
        "jo",
        "@example.com",
        "jo@",
        "jo@example",
        "jo@@example.com",
        ".jo@example.com",
        "jo.@example.com",
        "j..o@example.com",
        "\"jo\"@example.com",
        "Jo <jo@example.com>",
        "jo@[192.0.2.1]",
        "jo@192.0.2.1",
        "jo@-example.com",
        "jo@example-.com",
        "jo@exa_mple.com",
        "jo@example.com.",
        "jo@example..com",
        " jo@example.com",
        "jo@example.com\r\nBcc: x@example.com",
        "jo@bücher.example",
        "jö@example.com",
        "a@example.com,b@example.com",
        &format!("a{local}@example.com"),
        &format!("jo@a{label}.com"),
        &format!("jo@{}.com", [label.as_str(); 4].join(".")),
    ] {
        assert_eq!(Email::parse(bad).err(), Some(Code::InvalidFormat), "{bad}");
    }
    assert_eq!(
        Email::parse("Jo@Example.COM").unwrap().as_str(),
        "Jo@example.com"
    );
}

#[test]
fn phones_come_in_national_and_international_form() {
    for (text, country, e164) in [
        ("+44 7700 900123", "GB", "+447700900123"),
        ("(+44) 7700 900123", "SE", "+447700900123"),
        ("07700 900123", "GB", "+447700900123"),
        ("7700900123", "GB", "+447700900123"),
        ("+44 (0)7700 900-123", "SE", "+447700900123"),
        ("0044 7700 900123", "SE", "+447700900123"),
        ("011 44 7700 900123", "US", "+447700900123"),
        ("070-123 45 67", "SE", "+46701234567"),
        ("0151/23456789", "DE", "+4915123456789"),
        ("(202) 555-0123", "US", "+12025550123"),
        ("1 202 555 0123", "US", "+12025550123"),
        ("+39 06 12345678", "DE", "+390612345678"),
        ("06 12345678", "IT", "+390612345678"),
        ("+7 800 123 45 67", "GB", "+78001234567"),
        ("06 12 34 56 78", "FR", "+33612345678"),
        ("20 12 34 56", "DK", "+4520123456"),
        ("+870 773 111 632", "GB", "+870773111632"),
    ] {
        let phone = Phone::parse(text, country);
        assert_eq!(
            phone.map(|it| it.as_str().to_owned()),
            Ok(e164.to_owned()),
            "{text}"
        );
    }
    for (text, country) in [
        ("", "GB"),
        ("+", "GB"),
        ("12", "GB"),
        ("12345", "GB"),
        ("+44 12345", "GB"),
        ("07700 900123 ext 4", "GB"),
        ("07700 900123x4", "GB"),
        ("07700 900123;ext=4", "GB"),
        ("07700900123#4", "GB"),
        ("tel:+447700900123", "GB"),
        ("+447700900123, +447700900124", "GB"),
        ("+447700900123 +447700900124", "GB"),
        ("07700900123/07700900124", "GB"),
        ("07700900123 07700900124", "GB"),
        ("0800 FLOWERS", "GB"),
        ("٠٧٧٠٠٩٠٠١٢٣", "GB"),
        ("+999 123456789", "GB"),
        ("+0 7700900123", "GB"),
        ("07700900123", "XX"),
        ("++447700900123", "GB"),
    ] {
        assert_eq!(
            Phone::parse(text, country),
            Err(Code::InvalidFormat),
            "{text}"
        );
    }
}

/// Every region's own example numbers, in both forms.
#[test]
fn every_regions_example_is_a_phone() {
    let mut seen = 0;
    for region in DATABASE.iter() {
        let kinds = region.descriptors();
        for kind in [kinds.mobile(), kinds.fixed_line()].into_iter().flatten() {
            let Some(example) = kind.example() else {
                continue;
            };
            let e164 = format!("+{}{example}", region.country_code());
            let parsed = Phone::parse(&e164, "GB").map(|it| it.as_str().to_owned());
            assert_eq!(parsed.as_deref(), Ok(e164.as_str()), "{}", region.id());
            let parsed = Phone::parse(example, region.id()).map(|it| it.as_str().to_owned());
            assert_eq!(
                parsed.as_deref(),
                Ok(e164.as_str()),
                "{} {example}",
                region.id()
            );
            if let Some(prefix) = region.national_prefix() {
                let dialled = format!("{prefix}{example}");
                let parsed = Phone::parse(&dialled, region.id()).map(|it| it.as_str().to_owned());
                assert_eq!(
                    parsed.as_deref(),
                    Ok(e164.as_str()),
                    "{} {dialled}",
                    region.id()
                );
            }
            let again = Phone::trusted(e164.clone()).unwrap();
            assert_eq!(again.calling_code(), region.country_code(), "{e164}");
            seen += 1;
        }
    }
    assert!(seen > 400, "{seen}");
}

#[test]
fn messages_go_to_people_in_listed_countries_only() {
    let deliverable = |text: &str| Phone::parse(text, "GB").expect(text).deliverable(&listed());
    for good in [
        "+447700900123",
        "+447400123456",
        "+46701234567",
        "+4915123456789",
        "+12025550123",
        "+14165550123",
        "+48512345678",
        "+33612345678",
        "+4520123456",
    ] {
        assert!(deliverable(good), "{good}");
    }
    for bad in [
        "+353850123456", // a country that is not listed
        "+390612345678",
        "+18765550123",  // Jamaica under +1
        "+17875550123",  // Puerto Rico
        "+12425550123",  // Bahamas
        "+19005550123",  // premium
        "+449012345678", // premium
        "+448431234567", // shared cost
        "+46900123456",  // premium in Sweden
        "+870773111632", // satellite
        "+881612345678",
        "+88213123456", // international networks
        "+883510012345",
        "+979123456789",
        "+80812345678",
        "+80012345678",
        "+878101234567890",
    ] {
        let Ok(phone) = Phone::parse(bad, "GB") else {
            panic!("{bad} is possible");
        };
        assert!(!phone.deliverable(&listed()), "{bad}");
    }
    let canada = [String::from("CA")];
    let us = Phone::parse("+12025550123", "US").unwrap();
    assert!(!us.deliverable(&canada));
    assert!(
        Phone::parse("+14165550123", "US")
            .unwrap()
            .deliverable(&canada)
    );
    assert!(!us.deliverable(&[]));
}

#[test]
fn both_print_masked() {
    let email = Email::parse("jo@example.com").unwrap();
    let phone = Phone::parse("07700 900123", "GB").unwrap();
    assert_eq!(
        format!("{email} {email:?}"),
        "j***@example.com j***@example.com"
    );
    assert_eq!(format!("{phone} {phone:?}"), "+44***123 +44***123");
    assert_eq!(
        Phone::trusted("+12025550123".into()).unwrap().to_string(),
        "+1***123"
    );
    assert_eq!(Phone::trusted("12025550123".into()), None);
    assert_eq!(Phone::trusted("+1202555012a".into()), None);
    assert_eq!(Phone::trusted("+".into()), None);
}

#[test]
fn a_printed_request_names_nobody() {
    let mut body = super::body();
    for (pointer, value) in [
        ("/billing_address/street_address", "1 High Street"),
        ("/billing_address/postal_code", "SW1A 1AA"),
        ("/customer/date_of_birth", "1990-02-28"),
    ] {
        super::set(&mut body, pointer, value.into());
    }
    let printed = format!("{:?}", super::taken(&body));
    assert!(printed.contains("j***@example.com"), "{printed}");
    for secret in [
        "Jo\"", "Bloggs", "jo@", "900123", "900124", "High", "SW1A", "1990",
    ] {
        assert!(!printed.contains(secret), "{secret}");
    }
}

#[test]
fn masks_show_no_more_than_they_say() {
    assert_eq!(mask::email("jo@example.com"), "j***@example.com");
    assert_eq!(mask::email("é@example.com"), "é***@example.com");
    assert_eq!(mask::email("no address"), "***");
    assert_eq!(mask::email(""), "***");
    assert_eq!(mask::name("Jo"), "J***");
    assert_eq!(mask::name("Ångström"), "Å***");
    assert_eq!(mask::name(""), "***");
    assert_eq!(mask::phone(44, "+447700900123"), "+44***123");
    assert_eq!(mask::phone(46, ""), "+46***");
    assert_eq!(mask::HIDDEN, "***");
}
