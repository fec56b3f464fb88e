//! Sample sales. Every name, street and number of a buyer in here is recognisable, so that the
//! law can search for it in what the service said and logged.

use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::{Value, json};

static NEXT: AtomicU32 = AtomicU32::new(1);

fn next() -> u32 {
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// A reference that no other story uses.
pub fn reference() -> String {
    format!("SO-{}-{}", std::process::id(), next())
}

/// A buyer's address that no other story uses.
pub fn email() -> String {
    format!("quillfeather.{}@example.com", next())
}

/// A number of the range that is reserved for fiction, E.164. The first hundred are not handed
/// out: they stand in sample addresses.
pub fn phone() -> String {
    format!("+447700900{:03}", 100 + next() % 900)
}

pub fn address() -> Value {
    json!({
        "title": "Mr", "given_name": "Xaverius", "family_name": "Quillfeather",
        "email": "xaverius.quillfeather@example.com", "phone": "07700 900 023",
        "street_address": "12 Wanderlane", "street_address2": "Flat Obscura", "postal_code": "QZ9 7QX",
        "city": "Exeter", "country": "GB",
    })
}

/// What must never be seen in an answer that was not asked to reveal, in an event or in a log.
/// E-mail addresses are searched for by their form.
pub const PERSONAL: &[&str] = &[
    "Xaverius",
    "Quillfeather",
    "quillfeather",
    "7700900",
    "7700 900",
    "Wanderlane",
    "Obscura",
    "QZ9 7QX",
    "1983-02-17",
];

/// Five shirts for 500.00 GBP with 10 % tax, nothing sent to anybody.
pub fn sale() -> Value {
    sale_of(&reference())
}

pub fn sale_of(reference: &str) -> Value {
    json!({
        "reference": reference,
        "purchase_country": "GB", "purchase_currency": "GBP", "locale": "en-GB",
        "order_lines": [{
            "type": "physical", "reference": "19-402-USA", "name": "Red T-Shirt", "quantity": 5, "quantity_unit": "pcs",
            "unit_price": 10000, "tax_rate": 1000, "total_discount_amount": 0,
            "total_amount": 50000, "total_tax_amount": 4545,
        }],
        "order_amount": 50000, "order_tax_amount": 4545,
        "billing_address": address(),
    })
}
