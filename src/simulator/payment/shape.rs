//! What Order Management accepts as a body: kinds and limits, after its OpenAPI document. It knows
//! no order.

use serde_json::{Map, Value};

use super::super::answer::Refusal;
use super::super::grammar::{Faults, Field, Kind, Path, check, may, must, without_nulls};
use super::super::members::{ADDRESS, NOTE, PRODUCT};

/// Klarna's largest amount, minor units.
const MOST: i64 = 200_000_000;
const AMOUNT: Kind = Kind::Int(0, MOST);
const LINES: Kind = Kind::List(0, 1000, &Kind::Object(LINE));
/// Items of shipping information in one request.
pub(super) const MOST_SHIPPING: usize = 500;

pub(super) const CAPTURE: &[Field] = &[
    must("captured_amount", AMOUNT),
    may("description", NOTE),
    may("order_lines", LINES),
    may("reference", NOTE),
    may("shipping_delay", Kind::Int(0, i64::MAX)),
    may(
        "shipping_info",
        Kind::List(0, MOST_SHIPPING, &Kind::Object(SHIPMENT)),
    ),
];

pub(super) const REFUND: &[Field] = &[
    must("refunded_amount", AMOUNT),
    may("description", NOTE),
    may("order_lines", LINES),
    may("reference", NOTE),
];

pub(super) const AUTHORIZATION: &[Field] = &[
    must("order_amount", AMOUNT),
    may("description", NOTE),
    may("order_lines", LINES),
];

pub(super) const REFERENCES: &[Field] = &[
    may("merchant_reference1", NOTE),
    may("merchant_reference2", NOTE),
];

pub(super) const CUSTOMER: &[Field] = &[
    may("shipping_address", Kind::Object(ADDRESS)),
    may("billing_address", Kind::Object(&[])),
];

pub(super) const SHIPPING: &[Field] = &[must(
    "shipping_info",
    Kind::List(1, MOST_SHIPPING, &Kind::Object(SHIPMENT)),
)];

pub(super) const DUE_DATE: &[Field] = &[must(
    "number_of_days",
    Kind::Int(i32::MIN as i64, i32::MAX as i64),
)];

const SHIPMENT: &[Field] = &[
    may("shipping_company", Kind::Text(0, 100)),
    may("shipping_method", Kind::Word(METHODS)),
    may("tracking_number", Kind::Text(0, 100)),
    may("tracking_uri", Kind::Text(0, 1024)),
    may("return_shipping_company", Kind::Text(0, 100)),
    may("return_tracking_number", Kind::Text(0, 100)),
    may("return_tracking_uri", Kind::Text(0, 1024)),
];

const METHODS: &[&str] = &[
    "PickUpStore",
    "Home",
    "BoxReg",
    "BoxUnreg",
    "PickUpPoint",
    "Own",
    "Postal",
    "DHLPackstation",
    "Digital",
    "Undefined",
    "PickUpWarehouse",
    "ClickCollect",
    "PalletDelivery",
];

// Not Checkout's line: the limits are wider, taxes may be absent, and a return fee is known.
const LINE: &[Field] = &[
    may(
        "type",
        Kind::Word(&[
            "physical",
            "discount",
            "shipping_fee",
            "sales_tax",
            "store_credit",
            "gift_card",
            "digital",
            "surcharge",
            "return_fee",
        ]),
    ),
    may("reference", NOTE),
    must("name", NOTE),
    must("quantity", Kind::Int(0, i64::MAX)),
    may("quantity_unit", Kind::Text(0, 10)),
    must("unit_price", Kind::Int(i64::MIN, MOST)),
    may("tax_rate", Kind::Int(0, i32::MAX as i64)),
    must("total_amount", Kind::Int(i64::MIN, MOST)),
    may("total_discount_amount", AMOUNT),
    may("total_tax_amount", Kind::Int(i64::MIN, MOST)),
    may("merchant_data", Kind::Text(0, 1024)),
    may("product_url", Kind::Text(0, 1024)),
    may("image_url", Kind::Text(0, 1024)),
    may("product_identifiers", Kind::Object(PRODUCT)),
    may(
        "subscription",
        Kind::Object(&[
            must("name", NOTE),
            must("interval", Kind::Word(&["DAY", "WEEK", "MONTH", "YEAR"])),
            must("interval_count", Kind::Int(1, i32::MAX as i64)),
        ]),
    ),
];

/// The body with what is `null` taken out, or the refusal that names all its faults.
pub(super) fn read(body: &[u8], fields: &[Field]) -> Result<Map<String, Value>, Refusal> {
    let Ok(Value::Object(mut body)) = serde_json::from_slice(body) else {
        return Err(Refusal::malformed());
    };
    let mut faults = Faults::default();
    check(&body, fields, Path::Root, &mut faults);
    totals(&body, &mut faults);
    let paths = faults.paths();
    if !paths.is_empty() {
        return Err(Refusal::bad_values(paths));
    }
    body.retain(|name, value| !value.is_null() && fields.iter().any(|it| it.name == name));
    body.values_mut().for_each(without_nulls);
    Ok(body)
}

/// Each line's total is `quantity · unit_price − total_discount_amount`, and where an order amount
/// stands beside the lines it is their sum. (The amount of a capture or refund need not be.)
fn totals(body: &Map<String, Value>, faults: &mut Faults) {
    let Some(Value::Array(lines)) = body.get("order_lines") else {
        return;
    };
    let list = Path::Member(&Path::Root, "order_lines");
    let mut sum = Some(0_i128);
    for (index, line) in lines.iter().enumerate().take(1000) {
        let number = |name: &str| line.get(name).and_then(Value::as_i64).map(i128::from);
        let (Some(quantity), Some(price), Some(total)) = (
            number("quantity"),
            number("unit_price"),
            number("total_amount"),
        ) else {
            sum = None; // its own fault is known; the sum can't be judged
            continue;
        };
        // both factors are below 2^63, so the product is below 2^126
        if total != quantity * price - number("total_discount_amount").unwrap_or(0) {
            faults.add(Path::Member(&Path::Index(&list, index), "total_amount"));
        }
        sum = sum.map(|sum| sum + total);
    }
    let told = body.get("order_amount").and_then(Value::as_i64);
    if told.is_some() && sum.is_some() && told.map(i128::from) != sum && lines.len() <= 1000 {
        faults.add(Path::Member(&Path::Root, "order_amount"));
    }
}
