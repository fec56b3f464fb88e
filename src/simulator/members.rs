//! The members of a checkout order: kinds and limits, after Kustom Checkout's OpenAPI document.

use super::grammar::{Field, Kind, is_safe_url, is_url, may, must};

pub(super) const NOTE: Kind = Kind::Text(0, 255);
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
pub(super) const ADDRESS: &[Field] = &[
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
    may("product_identifiers", Kind::Object(PRODUCT)),
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

pub(super) const PRODUCT: &[Field] = &[
    may("brand", Kind::Text(0, 70)),
    may("color", Kind::Text(0, 64)),
    may("category_path", Kind::Text(0, 750)),
    may("global_trade_item_number", Kind::Text(0, 50)),
    may("manufacturer_part_number", Kind::Text(0, 70)),
    may("size", Kind::Text(0, 64)),
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
