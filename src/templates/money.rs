//! Amounts as the reader of a locale writes them. The conventions are CLDR's; a table for six
//! languages is smaller than its data.

use super::language::{Language, Locale};

/// No-break space: a number never parts from its currency at the end of a line.
const NBSP: char = '\u{a0}';

/// `amount` minor units of `currency` (ISO 4217) as `locale` writes them: `£500.00`, `1 234,50 kr`.
/// Spaces within are no-break spaces.
pub fn money(amount: i64, currency: &str, locale: &str) -> String {
    in_locale(amount, currency, &Locale::of(locale))
}

pub(super) fn in_locale(amount: i64, currency: &str, locale: &Locale) -> String {
    let style = Style::of(locale);
    let number = number(amount.unsigned_abs(), decimals(currency), &style);
    let symbol = symbol(currency, locale);
    let minus = if amount < 0 { style.minus } else { "" };
    match style.place {
        Place::Before if symbol.chars().next_back().is_some_and(char::is_alphabetic) => {
            format!("{minus}{symbol}{NBSP}{number}")
        }
        Place::Before => format!("{minus}{symbol}{number}"),
        Place::BeforeSpace => format!("{minus}{symbol}{NBSP}{number}"),
        // CLDR writes CHF-5.00, with the sign in the place of the space
        Place::Swiss if amount < 0 => format!("{symbol}{minus}{number}"),
        Place::Swiss => format!("{symbol}{NBSP}{number}"),
        Place::After => format!("{minus}{number}{NBSP}{symbol}"),
    }
}

enum Place {
    Before,
    BeforeSpace,
    Swiss,
    After,
}

struct Style {
    group: char,
    decimal: char,
    minus: &'static str,
    place: Place,
}

impl Style {
    fn of(locale: &Locale) -> Self {
        let (group, decimal, minus, place) = match (locale.language, locale.region.as_str()) {
            (_, "CH" | "LI") => ('’', '.', "-", Place::Swiss),
            (Language::English, _) => (',', '.', "-", Place::Before),
            (Language::German, "AT") => ('.', ',', "-", Place::BeforeSpace),
            (Language::German | Language::Danish, _) => ('.', ',', "-", Place::After),
            (Language::Swedish | Language::Norwegian | Language::Finnish, _) => {
                (NBSP, ',', "\u{2212}", Place::After)
            }
        };
        Self {
            group,
            decimal,
            minus,
            place,
        }
    }
}

/// How many digits stand behind the decimal sign (ISO 4217); 2 for what the standard does not know.
fn decimals(currency: &str) -> usize {
    iso_currency::Currency::from_code(currency)
        .and_then(iso_currency::Currency::exponent)
        .map_or(2, usize::from)
}

/// A sign only where it means one currency to this reader; *kr* is three currencies.
fn symbol(currency: &str, locale: &Locale) -> String {
    let sign = match (currency, locale.language) {
        ("EUR", _) => "€",
        ("GBP", _) => "£",
        ("JPY", _) => "¥",
        ("USD", Language::English) if matches!(locale.region.as_str(), "US" | "") => "$",
        ("USD", _) => "US$",
        ("SEK", Language::Swedish) | ("NOK", Language::Norwegian) => "kr",
        ("DKK", Language::Danish) => "kr.",
        _ => currency,
    };
    sign.to_owned()
}

fn number(minor: u64, decimals: usize, style: &Style) -> String {
    let digits = format!("{minor:0>width$}", width = decimals + 1);
    let (whole, fraction) = digits.split_at(digits.len() - decimals);
    let mut out = String::with_capacity(digits.len() + 8);
    for (index, digit) in whole.chars().enumerate() {
        if index > 0 && (whole.len() - index).is_multiple_of(3) {
            out.push(style.group);
        }
        out.push(digit);
    }
    if decimals > 0 {
        out.push(style.decimal);
        out.push_str(fraction);
    }
    out
}
