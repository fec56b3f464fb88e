//! What Kustom Checkout accepts as an order: shape, market, sums, taxes, signs. Sources: its
//! OpenAPI document and the rules that merchants met in the wild (a tax that is off by two is
//! refused, and so is a currency that is not the country's).
//!
//! It judges a whole order and knows nothing of its life.

use serde_json::{Map, Value};

use super::grammar::{Faults, Path, check, text};
use super::members::{MARKETS, ORDER};

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
