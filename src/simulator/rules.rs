//! What Kustom Checkout accepts as an order: members, limits, sums, taxes, signs. Sources: its
//! OpenAPI document and the rules that merchants met in the wild (a tax that is off by two is
//! refused, and so is a currency that is not the country's).
//!
//! It judges a whole order and knows nothing of its life.

use serde_json::{Map, Value};

use super::grammar::{Faults, Field, Kind, Path, check, is_safe_url, is_url, may, must, text};

const NOTE: Kind = Kind::Text(0, 255);
const FREE: Kind = Kind::Text(0, usize::MAX);
const ANY_INT: Kind = Kind::Int(i64::MIN, i64::MAX);
const COUNTRY: Kind = Kind::Like(is_country);
const COLOUR: Kind = Kind::Like(is_colour);
const SAFE_URL: Kind = Kind::Like(is_safe_url);
const URL: Kind = Kind::Like(is_url);

/// Every member of an order that a merchant may set. Members that only Klarna sets are not here:
/// they are ignored when a client sends the order back as it was read.
pub(super) const ORDER: &[Field] = &[
    must("purchase_country", COUNTRY),
    must("purchase_currency", Kind::Like(is_currency)),
    must("locale", Kind::Like(is_locale)),
    must("order_amount", Kind::Int(0, i64::MAX)),
    must("order_tax_amount", Kind::Int(0, i64::MAX)),
    must("order_lines", Kind::List(0, 1000, &Kind::Object(LINE))),
    must("merchant_urls", Kind::Object(URLS)),
    may("billing_address", Kind::Object(ADDRESS)),
    may("shipping_address", Kind::Object(ADDRESS)),
    may("customer", Kind::Object(CUSTOMER)),
    may("options", Kind::Object(OPTIONS)),
    may(
        "gui",
        Kind::Object(&[may("options", Kind::List(0, 100, &FREE))]),
    ),
    may(
        "attachment",
        Kind::Object(&[must("content_type", Kind::Text(1, 255)), must("body", FREE)]),
    ),
    may("merchant_reference1", NOTE),
    may("merchant_reference2", NOTE),
    may("merchant_data", Kind::Text(0, 6000)),
    may("shipping_countries", Kind::List(0, 300, &COUNTRY)),
    may("billing_countries", Kind::List(0, 300, &COUNTRY)),
    may(
        "shipping_options",
        Kind::List(0, 1000, &Kind::Object(SHIPPING_OPTION)),
    ),
    may(
        "external_payment_methods",
        Kind::List(0, 100, &Kind::Object(PROVIDER)),
    ),
    may(
        "external_checkouts",
        Kind::List(0, 100, &Kind::Object(PROVIDER)),
    ),
    may("recurring", Kind::Flag),
    may("tags", Kind::List(0, 1000, &FREE)),
    may(
        "discount_lines",
        Kind::List(0, 1000, &Kind::Object(DISCOUNT_LINE)),
    ),
];

const URLS: &[Field] = &[
    must("terms", URL),
    must("checkout", URL),
    must("confirmation", URL),
    must("push", URL),
    may("validation", SAFE_URL),
    may("notification", URL),
    may("cancellation_terms", URL),
    may("shipping_option_update", SAFE_URL),
    may("address_update", SAFE_URL),
    may("country_change", SAFE_URL),
];

// The lengths are Order Management's; the checkout document has none.
const ADDRESS: &[Field] = &[
    may("given_name", Kind::Text(0, 100)),
    may("family_name", Kind::Text(0, 100)),
    may("email", Kind::Text(0, 100)),
    may("title", Kind::Text(0, 20)),
    may("street_address", Kind::Text(0, 100)),
    may("street_address2", Kind::Text(0, 100)),
    may("street_name", Kind::Text(0, 100)),
    may("street_number", Kind::Text(0, 100)),
    may("house_extension", Kind::Text(0, 100)),
    may("postal_code", Kind::Text(0, 10)),
    may("city", Kind::Text(0, 200)),
    may("region", Kind::Text(0, 200)),
    may("phone", Kind::Text(0, 100)),
    may("country", COUNTRY),
    may("care_of", Kind::Text(0, 100)),
    may("organization_name", NOTE),
    may("reference", NOTE),
    may("attention", NOTE),
];

const CUSTOMER: &[Field] = &[
    may("type", Kind::Word(&["person", "organization"])),
    may("gender", FREE),
    may("date_of_birth", Kind::Like(is_date)),
    may("organization_registration_id", NOTE),
    may("vat_id", NOTE),
];

const CHANNELS: &[&str] = &["ECOMMERCE", "IN_STORE", "MOTO", "TELESALES"];

const OPTIONS: &[Field] = &[
    may("acquiring_channel", Kind::Word(CHANNELS)),
    may("require_validate_callback_success", Kind::Flag),
    may("vat_removed", Kind::Flag),
    may("allow_separate_shipping_address", Kind::Flag),
    may("color_button", COLOUR),
    may("color_button_text", COLOUR),
    may("color_checkbox", COLOUR),
    may("color_checkbox_checkmark", COLOUR),
    may("color_header", COLOUR),
    may("color_link", COLOUR),
    may("radius_border", FREE),
    may("date_of_birth_mandatory", Kind::Flag),
    may("shipping_details", NOTE),
    may("title_mandatory", Kind::Flag),
    may("phone_mandatory", Kind::Flag),
    may("additional_checkbox", Kind::Object(CHECKBOX)),
    may(
        "additional_checkboxes",
        Kind::List(0, 100, &Kind::Object(NAMED_CHECKBOX)),
    ),
    may("national_identification_number_mandatory", Kind::Flag),
    may("verify_national_identification_number", Kind::Flag),
    may("additional_merchant_terms", FREE),
    may(
        "allowed_customer_types",
        Kind::List(1, 2, &Kind::Word(&["person", "organization"])),
    ),
    may("show_subtotal_detail", Kind::Flag),
    may("auto_capture", Kind::Flag),
    may("require_client_validation", Kind::Flag),
    may("enable_discount_module", Kind::Flag),
    may("show_vat_registration_number_field", Kind::Flag),
];

const CHECKBOX: &[Field] = &[
    must("text", Kind::Text(0, 1000)),
    must("checked", Kind::Flag),
    must("required", Kind::Flag),
];

const NAMED_CHECKBOX: &[Field] = &[
    must("id", FREE),
    must("text", Kind::Text(0, 1000)),
    must("checked", Kind::Flag),
    must("required", Kind::Flag),
];

const LINE: &[Field] = &[
    may(
        "type",
        Kind::Word(&[
            "physical",
            "discount",
            "shipping_fee",
            "sales_tax",
            "digital",
            "gift_card",
            "store_credit",
            "surcharge",
        ]),
    ),
    may("reference", NOTE),
    must("name", Kind::Text(1, 255)),
    must("quantity", Kind::Int(0, i64::MAX)),
    may("quantity_unit", Kind::Text(1, 8)),
    must("unit_price", Kind::Int(i64::MIN, 100_000_000)),
    must("tax_rate", Kind::Int(0, 10_000)),
    must("total_amount", Kind::Int(i64::MIN, 100_000_000)),
    may("total_discount_amount", Kind::Int(0, i64::MAX)),
    must("total_tax_amount", ANY_INT),
    may("merchant_data", Kind::Text(0, 1024)),
    may("product_url", Kind::Text(0, 1024)),
    may("image_url", Kind::Text(0, 1024)),
    may(
        "product_identifiers",
        Kind::Object(&[
            may("brand", Kind::Text(0, 70)),
            may("color", Kind::Text(0, 64)),
            may("category_path", Kind::Text(0, 750)),
            may("global_trade_item_number", Kind::Text(0, 50)),
            may("manufacturer_part_number", Kind::Text(0, 70)),
            may("size", Kind::Text(0, 64)),
        ]),
    ),
    may(
        "shipping_attributes",
        Kind::Object(&[
            may("weight", Kind::Int(0, i64::MAX)),
            may(
                "dimensions",
                Kind::Object(&[
                    may("height", ANY_INT),
                    may("width", ANY_INT),
                    may("length", ANY_INT),
                ]),
            ),
            may("tags", Kind::List(0, 1000, &FREE)),
        ]),
    ),
    may(
        "subscription",
        Kind::Object(&[
            may("name", FREE),
            must("interval", Kind::Word(&["DAY", "WEEK", "MONTH", "YEAR"])),
            must("interval_count", Kind::Int(1, i32::MAX as i64)),
        ]),
    ),
];

const DISCOUNT_LINE: &[Field] = &[
    must("name", Kind::Text(1, 255)),
    must("quantity", Kind::Int(0, i64::MAX)),
    must("unit_price", Kind::Int(i64::MIN, 0)),
    must("tax_rate", Kind::Int(0, 10_000)),
    must("total_amount", Kind::Int(i64::MIN, 0)),
    must("total_tax_amount", Kind::Int(i64::MIN, 0)),
    may("reference", NOTE),
    may("merchant_data", Kind::Text(0, 1024)),
];

const SHIPPING_OPTION: &[Field] = &[
    must("id", FREE),
    must("name", Kind::Text(1, 255)),
    must("price", ANY_INT),
    must("tax_amount", ANY_INT),
    must("tax_rate", Kind::Int(0, i64::MAX)),
    may("description", FREE),
    may("promo", FREE),
    may("preselected", Kind::Flag),
    may("shipping_method", FREE),
    may("delivery_details", Kind::Object(&[])),
    may("tms_reference", FREE),
    may("selected_addons", Kind::List(0, 1000, &Kind::Object(&[]))),
];

const PROVIDER: &[Field] = &[
    must("name", NOTE),
    must("redirect_url", SAFE_URL),
    may("image_url", SAFE_URL),
    may("fee", ANY_INT),
    may("description", Kind::Text(0, 500)),
    may("countries", Kind::List(0, 300, &COUNTRY)),
    may("label", Kind::Word(&["continue", "complete"])),
];

/// The core markets and their one currency each.
pub(super) const MARKETS: &[(&str, &str)] = &[
    ("SE", "SEK"),
    ("NO", "NOK"),
    ("FI", "EUR"),
    ("DK", "DKK"),
    ("GB", "GBP"),
    ("DE", "EUR"),
    ("NL", "EUR"),
    ("AT", "EUR"),
    ("CH", "CHF"),
    ("US", "USD"),
    ("ES", "EUR"),
    ("FR", "EUR"),
    ("BE", "EUR"),
    ("PL", "PLN"),
];

/// Every fault of an order.
pub(super) fn judge(order: &Map<String, Value>) -> Faults {
    let mut faults = Faults::default();
    check(order, ORDER, Path::Root, &mut faults);
    market(order, &mut faults);
    distinct_urls(order, &mut faults);
    sums(order, &mut faults);
    faults
}

fn market(order: &Map<String, Value>, faults: &mut Faults) {
    let (Some(country), Some(currency)) = (
        text(order, "purchase_country"),
        text(order, "purchase_currency"),
    ) else {
        return;
    };
    let sold = MARKETS.iter().any(|(its_country, its_currency)| {
        its_country.eq_ignore_ascii_case(country) && its_currency.eq_ignore_ascii_case(currency)
    });
    if !sold {
        faults.add(Path::Member(&Path::Root, "purchase_currency"));
    }
}

/// Klarna's page would send the buyer in a circle where the checkout is its own confirmation.
fn distinct_urls(order: &Map<String, Value>, faults: &mut Faults) {
    let Some(Value::Object(urls)) = order.get("merchant_urls") else {
        return;
    };
    let [checkout, confirmation, push] =
        ["checkout", "confirmation", "push"].map(|name| text(urls, name));
    let parent = Path::Member(&Path::Root, "merchant_urls");
    if checkout.is_some() && checkout == confirmation {
        faults.add(Path::Member(&parent, "confirmation"));
    }
    if push.is_some() && (push == checkout || push == confirmation) {
        faults.add(Path::Member(&parent, "push"));
    }
}

/// The numbers of one line, all there and all whole.
struct Line<'a> {
    kind: &'a str,
    quantity: i128,
    unit_price: i128,
    tax_rate: i128,
    discount: i128,
    total: i128,
    tax: i128,
}

impl<'a> Line<'a> {
    fn of(line: &'a Value) -> Option<Self> {
        let line = line.as_object()?;
        let number = |name: &str| line.get(name).and_then(Value::as_i64).map(i128::from);
        Some(Self {
            kind: match line.get("type") {
                None | Some(Value::Null) => "physical",
                Some(kind) => kind.as_str()?,
            },
            quantity: number("quantity")?,
            unit_price: number("unit_price")?,
            tax_rate: number("tax_rate")?,
            discount: match line.get("total_discount_amount") {
                None | Some(Value::Null) => 0,
                Some(_) => number("total_discount_amount")?,
            },
            total: number("total_amount")?,
            tax: number("total_tax_amount")?,
        })
    }

    /// Takes money off: these lines are negative, all others are not.
    fn takes_off(&self) -> bool {
        matches!(self.kind, "discount" | "gift_card" | "store_credit")
    }

    /// `q·u − d`, or nothing where it doesn't fit. (Both factors are below 2^63, so i128 holds it.)
    fn total_is_right(&self) -> bool {
        self.total == self.quantity * self.unit_price - self.discount
    }

    /// Within ±1 of the unrounded `total − total·10000/(10000+rate)`, without dividing.
    fn tax_is_right(&self) -> bool {
        let whole = 10_000 + self.tax_rate;
        let off = self.tax * whole - self.total * self.tax_rate;
        off.abs() <= whole
    }
}

fn sums(order: &Map<String, Value>, faults: &mut Faults) {
    let Some(Value::Array(lines)) = order.get("order_lines") else {
        return;
    };
    if lines.len() > 1000 {
        return; // already a fault
    }
    // In the United States tax is a line of its own, and no other line carries any.
    let american =
        text(order, "purchase_country").is_some_and(|country| country.eq_ignore_ascii_case("US"));
    let list = Path::Member(&Path::Root, "order_lines");
    let (mut amount, mut tax, mut readable) = (0_i128, 0_i128, true);
    for (index, value) in lines.iter().enumerate() {
        let Some(line) = Line::of(value) else {
            readable = false; // its own fault is known; the sums can't be judged
            continue;
        };
        let at = Path::Index(&list, index);
        let signed = |n: i128| if line.takes_off() { n <= 0 } else { n >= 0 };
        if !signed(line.unit_price) {
            faults.add(Path::Member(&at, "unit_price"));
        }
        if !line.total_is_right() || !signed(line.total) {
            faults.add(Path::Member(&at, "total_amount"));
        }
        let untaxed = american || line.kind == "sales_tax";
        if untaxed && line.tax_rate != 0 {
            faults.add(Path::Member(&at, "tax_rate"));
        }
        let wrong = if untaxed {
            line.tax != 0
        } else {
            !line.tax_is_right()
        };
        if wrong || !signed(line.tax) {
            faults.add(Path::Member(&at, "total_tax_amount"));
        }
        amount += line.total;
        tax += line.tax;
        if line.kind == "sales_tax" {
            tax += line.total;
        }
    }
    if !readable {
        return;
    }
    for (name, sum) in [("order_amount", amount), ("order_tax_amount", tax)] {
        let told = order.get(name).and_then(Value::as_i64);
        if told.is_some_and(|told| i128::from(told) != sum) {
            faults.add(Path::Member(&Path::Root, name));
        }
    }
}

fn letters(text: &str, count: usize) -> bool {
    text.len() == count && text.bytes().all(|b| b.is_ascii_alphabetic())
}

pub(super) fn is_country(text: &str) -> bool {
    letters(text, 2)
}

fn is_currency(text: &str) -> bool {
    letters(text, 3)
}

fn is_locale(text: &str) -> bool {
    text.split('-').all(|part| letters(part, 2))
}

fn is_colour(text: &str) -> bool {
    text.strip_prefix('#')
        .is_some_and(|hex| hex.len() == 6 && hex.bytes().all(|b| b.is_ascii_hexdigit()))
}

fn is_date(text: &str) -> bool {
    // jiff also reads longer forms
    text.len() == 10 && text.parse::<jiff::civil::Date>().is_ok()
}
