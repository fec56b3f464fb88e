//! The sale within a body whose members were walked: the rules between its members (reference,
//! market, locale, streets), and the checked [`Sale`] that comes of it.

use super::fault::Code;
use super::grammar::{self, BODY, Member};
use super::request::Defaults;
use super::sale::{Address, Customer, Sale, UseCase};
use super::shape::said;
use super::tree::Tree;
use super::walk::Walk;
use super::{json_text, lines, place, text};

/// The purchase country as far as it is one, for phones and tax.
pub(super) fn country(body: &Tree, defaults: &Defaults) -> Option<String> {
    match body.get("purchase_country") {
        None => defaults.country.clone(),
        Some(Tree::Text(text)) => place::country(text).ok(),
        Some(_) => None,
    }
}

/// The sale of a body whose members were walked by the grammar `members`. Faults go to `walk`;
/// `None` only where there is one.
pub(super) fn sale(
    body: &Tree,
    members: &'static [Member],
    country: Option<&str>,
    defaults: &Defaults,
    walk: &mut Walk,
) -> Option<Sale> {
    if !matches!(body, Tree::Map(_)) {
        return None;
    }
    let reference = reference(body, walk);
    let market = market(body, defaults, walk);
    let locale = match body.get("locale") {
        Some(Tree::Text(text)) => place::locale(text).ok(),
        Some(_) => None,
        None => or_setting(defaults.locale.as_ref(), "locale", "DEFAULT_LOCALE", walk),
    };
    for name in ["billing_address", "shipping_address"] {
        if let Some(address) = body.get(name) {
            walk.at(name, |walk| streets(address, walk));
        }
    }
    if let Some(attachment) = body.get("attachment") {
        walk.at("attachment", |walk| attached(attachment, walk));
    }
    let bill = lines::bill(body, members, reference, country, defaults, walk);
    let bill = bill?;
    let (country, currency) = market?;
    let address = |name| {
        body.get(name)
            .map(|address| Address::read(address, &country))
    };
    Some(Sale {
        reference: reference?.to_owned(),
        use_case: match body.text("use_case") {
            Some(word) => UseCase::from_word(word)?,
            None => UseCase::Telesales,
        },
        currency,
        locale: locale?,
        order_amount: bill.order_amount,
        order_tax_amount: bill.order_tax_amount,
        lines: bill.lines,
        billing: address("billing_address"),
        shipping: address("shipping_address"),
        customer: body.get("customer").map(Customer::read),
        extras: body.only(grammar::SALE_EXTRAS),
        country,
    })
}

/// What calls itself JSON must be it: Klarna would refuse it later, and less clearly (klarna.md §2.2).
fn attached(attachment: &Tree, walk: &mut Walk) {
    let (Some(kind), Some(body)) = (attachment.text("content_type"), attachment.text("body"))
    else {
        return;
    };
    let essence = kind.split(';').next().unwrap_or_default();
    let essence = essence.trim().to_ascii_lowercase();
    let json = essence == "application/json" || essence.ends_with("+json");
    // one fault for one cause: what is blank or tainted was told
    if json && text::flaws(body, 1, BODY).is_empty() && !json_text::is_json(body) {
        let right = "must be JSON in a string, as content_type says";
        walk.fault_at("body", Code::InvalidFormat, right);
    }
}

/// `reference`, or KCO's name for it.
fn reference<'a>(body: &'a Tree, walk: &mut Walk) -> Option<&'a str> {
    let (ours, theirs) = (body.get("reference"), body.get("merchant_reference1"));
    match (ours, theirs) {
        (None, None) => {
            walk.fault_at("reference", Code::Required, "this member is required");
        }
        (Some(ours), Some(theirs)) if ours != theirs => {
            walk.fault_at(
                "merchant_reference1",
                Code::Conflict,
                "is another name for reference and must be equal to it, or be left out",
            );
        }
        _ => {}
    }
    match ours.or(theirs) {
        Some(Tree::Text(text)) => Some(text),
        _ => None,
    }
}

/// A setting's value, or the fault that neither it nor the member is there.
fn or_setting(
    setting: Option<&String>,
    member: &str,
    name: &str,
    walk: &mut Walk,
) -> Option<String> {
    if setting.is_none() {
        walk.fault_at(
            member,
            Code::Required,
            format!("is required, because no {name} is set"),
        );
    }
    setting.cloned()
}

/// Country and currency, where Klarna sells in that pair (`contract.md`, Markets).
fn market(body: &Tree, defaults: &Defaults, walk: &mut Walk) -> Option<(String, String)> {
    let upper = |name, length| match body.get(name) {
        Some(Tree::Text(text)) => {
            let sound = text.len() == length && text.bytes().all(|b| b.is_ascii_alphabetic());
            Some(sound.then(|| text.to_ascii_uppercase()))
        }
        Some(_) => Some(None),
        None => None,
    };
    let country = upper("purchase_country", 2).unwrap_or_else(|| {
        let setting = defaults.country.as_ref();
        or_setting(setting, "purchase_country", "DEFAULT_COUNTRY", walk)
    });
    let currency = upper("purchase_currency", 3).unwrap_or_else(|| {
        let setting = defaults.currency.as_ref();
        or_setting(setting, "purchase_currency", "DEFAULT_CURRENCY", walk)
    });
    let markets = &defaults.markets;
    let known = country
        .as_ref()
        .filter(|country| markets.iter().any(|(it, _)| it == *country));
    if country.is_some() && known.is_none() {
        walk.fault_at(
            "purchase_country",
            Code::UnsupportedCountry,
            "must be one of the countries in KLARNA_MARKETS",
        );
    }
    // without a country of ours, any currency of ours will do: one cause, one fault
    let paired = |currency: &String| {
        markets
            .iter()
            .any(|(place, money)| money == currency && known.is_none_or(|known| known == place))
    };
    if currency.as_ref().is_some_and(|currency| !paired(currency)) {
        walk.fault_at(
            "purchase_currency",
            Code::UnsupportedCurrency,
            "must be the currency that KLARNA_MARKETS has for the purchase country",
        );
        return None;
    }
    known.cloned().zip(currency)
}

/// KCO: `street_name` and `street_number` are not combined with `street_address`.
fn streets(address: &Tree, walk: &mut Walk) {
    if said(address, "street_address").is_none() {
        return;
    }
    for name in ["street_name", "street_number"] {
        if said(address, name).is_some() {
            walk.fault_at(
                name,
                Code::Conflict,
                "cannot be combined with street_address",
            );
        }
    }
}
