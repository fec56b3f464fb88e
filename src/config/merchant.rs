//! Who sells, what a request need not say, and how much is too much.

use super::reader::Reader;
use super::{Defaults, Limits, Merchant, klarna, values};
use crate::link::{LineKind, Mode};

pub(super) fn merchant(r: &mut Reader) -> Option<Merchant> {
    let form = "give an https URL (http on loopback) without user and fragment";
    let name = r.need(
        "MERCHANT_NAME",
        "give 1 to 100 characters, without line breaks and without ://, as messages have no other link than the payment's",
        |text| values::line(text, 100).filter(|name| !name.contains("://")),
    );
    let terms_url = r.need("MERCHANT_TERMS_URL", form, values::web_url);
    let logo_url = r.parse("MERCHANT_LOGO_URL", form, values::web_url);
    let support = r.parse(
        "MERCHANT_SUPPORT",
        "give an e-mail address or a phone number",
        values::support,
    );
    Some(Merchant {
        name: name?,
        terms_url: terms_url?,
        logo_url,
        support,
    })
}

pub(super) fn defaults(r: &mut Reader) -> Option<Defaults> {
    // read by itself: whatever else is wrong with Klarna's settings hides nothing here
    let markets = klarna::markets(r);
    let markets = markets.as_ref();
    let country = r.parse(
        "DEFAULT_COUNTRY",
        "give two letters, a country of KLARNA_MARKETS",
        |text| {
            let country = values::country(text)?;
            let sold = markets.is_none_or(|markets| markets.iter().any(|it| it.0 == country));
            sold.then_some(country)
        },
    );
    let currency = r.parse(
        "DEFAULT_CURRENCY",
        "give three letters, a currency of KLARNA_MARKETS",
        |text| {
            let currency = values::currency(text)?;
            let sold = markets.is_none_or(|markets| markets.iter().any(|it| it.1 == currency));
            sold.then_some(currency)
        },
    );
    if let (Some(country), Some(currency), Some(markets)) = (&country, &currency, markets)
        && !markets
            .iter()
            .any(|it| (&it.0, &it.1) == (country, currency))
    {
        let there = markets.iter().filter(|it| it.0 == *country);
        let fitting: Vec<_> = there.map(|it| it.1.as_str()).collect();
        r.fault(
            "DEFAULT_CURRENCY",
            "does not go with DEFAULT_COUNTRY",
            format!(
                "give one that KLARNA_MARKETS has there: {}",
                fitting.join(", ")
            ),
        );
    }
    let locale = r.parse(
        "DEFAULT_LOCALE",
        "give xx or xx-YY such as en-GB",
        values::locale,
    );
    let line_kind = r.parse(
        "DEFAULT_LINE_TYPE",
        "give physical, digital, shipping_fee or surcharge",
        |text| {
            // the others stand for amounts below zero, or for tax alone
            LineKind::from_word(text).filter(|kind| match kind {
                LineKind::Physical
                | LineKind::Digital
                | LineKind::ShippingFee
                | LineKind::Surcharge => true,
                LineKind::Discount
                | LineKind::SalesTax
                | LineKind::GiftCard
                | LineKind::StoreCredit => false,
            })
        },
    );
    let line_name = r.parse(
        "DEFAULT_LINE_NAME",
        "give 1 to 255 characters, no line breaks",
        |text| values::line(text, 255),
    );
    let tax_rate = r.number("DEFAULT_TAX_RATE", 0..=10_000).map(i64::from);
    let time_zone = r.parse(
        "DEFAULT_TIME_ZONE",
        "give an IANA name such as Europe/Stockholm",
        |text| jiff::tz::TimeZone::get(text).ok().map(|_| text.to_owned()),
    );
    Some(Defaults {
        country,
        currency,
        locale,
        line_kind: line_kind?,
        line_name,
        tax_rate,
        time_zone: time_zone?,
    })
}

/// In mode test the *defaults* are off (`contract.md`, Settings); what is asked for holds.
pub(super) fn limits(r: &mut Reader, mode: Option<Mode>) -> Option<Limits> {
    let mut limit = |name| {
        let given = r.given(name).is_some();
        let limit = r.number(name, 0..=1_000_000);
        if mode == Some(Mode::Test) && !given {
            Some(0)
        } else {
            limit
        }
    };
    let agent_links_per_hour = limit("LIMIT_AGENT_LINKS_PER_HOUR");
    let tablet_links_per_hour = limit("LIMIT_TABLET_LINKS_PER_HOUR");
    let integrator_links_per_hour = limit("LIMIT_INTEGRATOR_LINKS_PER_HOUR");
    let recipient_sms_per_minute = limit("LIMIT_RECIPIENT_SMS_PER_MINUTE");
    let recipient_sms_per_day = limit("LIMIT_RECIPIENT_SMS_PER_DAY");
    let recipient_mails_per_day = limit("LIMIT_RECIPIENT_MAILS_PER_DAY");
    Some(Limits {
        agent_links_per_hour: agent_links_per_hour?,
        tablet_links_per_hour: tablet_links_per_hour?,
        integrator_links_per_hour: integrator_links_per_hour?,
        recipient_sms_per_minute: recipient_sms_per_minute?,
        recipient_sms_per_day: recipient_sms_per_day?,
        recipient_mails_per_day: recipient_mails_per_day?,
    })
}
