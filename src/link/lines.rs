//! The money of a sale: lines, their sums and their tax (`contract.md`, Sums; klarna.md §2.3).
//! Amounts that are absent are computed, amounts that are given are checked. All of it in whole
//! minor units.

use super::fault::Code;
use super::grammar::{Kind, LINE, LINE_EXTRAS, LINE_MAX, Member, ORDER_MAX};
use super::money;
use super::request::Defaults;
use super::sale::{Line, LineKind};
use super::tree::Tree;
use super::walk::Walk;

/// What the buyer owes.
pub(super) struct Bill {
    pub(super) lines: Vec<Line>,
    pub(super) order_amount: i64,
    pub(super) order_tax_amount: i64,
}

/// A whole number that may have been faulted by the grammar already.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Amount {
    Absent,
    /// Of another type or out of its range: nothing can be computed from it.
    Unsound,
    Is(i64),
}

impl Amount {
    fn read(tree: &Tree, members: &[Member], name: &str) -> Self {
        let sound = |number| {
            members.iter().any(|member| {
                member.name == name
                    && matches!(member.kind, Kind::Int { min, max } if (min..=max).contains(&number))
            })
        };
        match tree.get(name) {
            None => Amount::Absent,
            Some(Tree::Int(number)) if sound(*number) => Amount::Is(*number),
            Some(_) => Amount::Unsound,
        }
    }

    fn known(self) -> Option<i64> {
        match self {
            Amount::Is(number) => Some(number),
            Amount::Absent | Amount::Unsound => None,
        }
    }

    /// The given amount, or the computed one where none was given.
    fn or(self, computed: Option<i64>) -> Option<i64> {
        match self {
            Amount::Is(number) => Some(number),
            Amount::Absent => computed,
            Amount::Unsound => None,
        }
    }
}

/// The bill of a body whose members were walked. Faults go to `walk`; `None` only where there is
/// one, here or from the walk.
pub(super) fn bill(
    body: &Tree,
    sale: &'static [Member],
    reference: Option<&str>,
    country: Option<&str>,
    defaults: &Defaults,
    walk: &mut Walk,
) -> Option<Bill> {
    let us = country == Some("US");
    let amount = Amount::read(body, sale, "order_amount");
    let tax = Amount::read(body, sale, "order_tax_amount");
    let trees = match body.get("order_lines") {
        Some(Tree::List(trees)) if (1..=1000).contains(&trees.len()) => trees,
        Some(_) => return None,
        None => return from_amount(amount, tax, reference, us, defaults, walk),
    };

    let (lines, totals, taxes) = counted(trees, us, walk);
    let order_amount = settle(
        "order_amount",
        amount,
        totals,
        1,
        "must be the sum of the lines' total_amount",
        walk,
    );
    let order_tax_amount = settle(
        "order_tax_amount",
        tax,
        taxes,
        0,
        "must be the sum of the lines' total_tax_amount and of the total_amount of sales_tax lines",
        walk,
    );
    Some(Bill {
        lines: lines?,
        order_amount: order_amount?,
        order_tax_amount: order_tax_amount?,
    })
}

/// The lines of a capture or a refund whose members were walked, and the amount that they are worth:
/// what was given, or their sum. `None` only where there is a fault.
pub(super) fn movement(
    body: &Tree,
    members: &[Member],
    us: bool,
    walk: &mut Walk,
) -> Option<(Option<i64>, Vec<Line>)> {
    let amount = Amount::read(body, members, "amount");
    let trees = match body.get("order_lines") {
        Some(Tree::List(trees)) if (1..=1000).contains(&trees.len()) => trees,
        Some(_) => return None,
        None => {
            return match amount {
                Amount::Unsound => None,
                Amount::Absent => Some((None, Vec::new())),
                Amount::Is(amount) => Some((Some(amount), Vec::new())),
            };
        }
    };
    let (lines, totals, _) = counted(trees, us, walk);
    let amount = settle(
        "amount",
        amount,
        totals,
        1,
        "must be the sum of the lines' total_amount",
        walk,
    )?;
    Some((Some(amount), lines?))
}

/// All lines of `order_lines`, their total and their tax, each as far as it can be said.
fn counted(
    trees: &[Tree],
    us: bool,
    walk: &mut Walk,
) -> (Option<Vec<Line>>, Option<i128>, Option<i128>) {
    let mut lines = Vec::with_capacity(trees.len());
    let mut totals = Some(0i128);
    let mut taxes = Some(0i128);
    walk.at("order_lines", |walk| {
        for (index, tree) in trees.iter().enumerate() {
            let counted = walk.at(&index.to_string(), |walk| count(tree, us, walk));
            let kind = counted.kind;
            totals = sum(totals, counted.total);
            taxes = sum(taxes, counted.tax);
            if kind == Some(LineKind::SalesTax) {
                taxes = sum(taxes, counted.total);
            }
            lines.extend(counted.line(tree));
        }
    });
    let whole = lines.len() == trees.len();
    (whole.then_some(lines), totals, taxes)
}

fn sum(so_far: Option<i128>, next: Option<i64>) -> Option<i128> {
    Some(so_far? + i128::from(next?))
}

/// A sum of the order: checked where given, else computed and checked for its range.
fn settle(
    name: &str,
    given: Amount,
    sum: Option<i128>,
    min: i64,
    detail: &str,
    walk: &mut Walk,
) -> Option<i64> {
    let sum = sum?;
    match given {
        Amount::Unsound => None,
        Amount::Is(number) if i128::from(number) == sum => Some(number),
        Amount::Is(_) => {
            walk.fault_at(name, Code::SumMismatch, detail);
            None
        }
        Amount::Absent => {
            let sound = within(sum, min, ORDER_MAX);
            if sound.is_none() {
                walk.fault_at(
                    name,
                    Code::OutOfRange,
                    format!("the lines must sum to an amount from {min} to {ORDER_MAX}"),
                );
            }
            sound
        }
    }
}

fn within(number: i128, min: i64, max: i64) -> Option<i64> {
    i64::try_from(number)
        .ok()
        .filter(|number| (min..=max).contains(number))
}

/// What one line comes to, as far as it can be said.
struct Counted {
    kind: Option<LineKind>,
    quantity: Option<i64>,
    unit_price: Option<i64>,
    tax_rate: Option<i64>,
    discount: Option<i64>,
    total: Option<i64>,
    tax: Option<i64>,
}

/// Checks and counts one line.
fn count(tree: &Tree, us: bool, walk: &mut Walk) -> Counted {
    let kind = match tree.get("type") {
        None => Some(LineKind::Physical),
        Some(Tree::Text(word)) => LineKind::from_word(word),
        Some(_) => None,
    };
    let read = |name| Amount::read(tree, LINE, name);
    let (quantity, unit_price) = (read("quantity").known(), read("unit_price").known());
    let tax_rate = read("tax_rate").known();
    let discount = read("total_discount_amount").or(Some(0));
    let (given_total, given_tax) = (read("total_amount"), read("total_tax_amount"));

    if let Some(kind) = kind {
        for (name, amount) in [
            ("unit_price", unit_price),
            ("total_amount", given_total.known()),
            ("total_tax_amount", given_tax.known()),
        ] {
            if amount.is_some_and(|amount| !kind.signs(amount)) {
                walk.fault_at(name, Code::OutOfRange, kind.sign());
            }
        }
    }

    let product = quantity
        .zip(unit_price)
        .zip(discount)
        .map(|((quantity, price), discount)| money::total(quantity, price, discount));
    // a price of the wrong sign was said already; what comes of it is no fault of its own, here or
    // in the order's sums
    let signed = kind.filter(|kind| unit_price.is_some_and(|price| kind.signs(price)));
    let total = product.and_then(|total| whole(total, given_total, signed, walk));
    let sound = kind.is_none() || signed.is_some();
    let untaxed = us || kind == Some(LineKind::SalesTax);
    let tax = kind
        .zip(product)
        .zip(tax_rate)
        .and_then(|((_, product), rate)| {
            // where the given total is wrong, which was said, the tax may be that of either
            let bases = [product, given_total.known().map_or(product, i128::from)];
            taxed(bases, rate, given_tax, untaxed, walk)
        });

    Counted {
        kind,
        quantity,
        unit_price,
        tax_rate,
        discount,
        total: given_total.known().or(total.filter(|_| sound)),
        tax: given_tax.known().or(tax.filter(|_| sound)),
    }
}

/// `total_amount`, given or computed as `product`.
fn whole(product: i128, given: Amount, kind: Option<LineKind>, walk: &mut Walk) -> Option<i64> {
    match given {
        Amount::Unsound => None,
        Amount::Is(total) if i128::from(total) == product => Some(total),
        Amount::Is(_) => {
            walk.fault_at(
                "total_amount",
                Code::SumMismatch,
                "must be quantity · unit_price − total_discount_amount",
            );
            None
        }
        Amount::Absent => {
            let total = within(product, -LINE_MAX, LINE_MAX);
            let signed = kind.is_none_or(|kind| total.is_some_and(|total| kind.signs(total)));
            if total.is_none() {
                walk.fault_at(
                    "total_amount",
                    Code::OutOfRange,
                    format!(
                        "quantity · unit_price − total_discount_amount must be at most {LINE_MAX}"
                    ),
                );
            } else if let (false, Some(kind)) = (signed, kind) {
                walk.fault_at("total_amount", Code::OutOfRange, kind.sign());
            }
            total.filter(|_| signed)
        }
    }
}

/// `total_tax_amount`, given or computed. In the US, and on `sales_tax` lines anywhere, tax is a
/// line and not part of one.
fn taxed(
    bases: [i128; 2],
    rate: i64,
    given: Amount,
    untaxed: bool,
    walk: &mut Walk,
) -> Option<i64> {
    if untaxed {
        if rate != 0 {
            walk.fault_at(
                "tax_rate",
                Code::OutOfRange,
                "must be 0: here tax is a sales_tax line of its own",
            );
        }
        if given.known().is_some_and(|tax| tax != 0) {
            walk.fault_at(
                "total_tax_amount",
                Code::TaxMismatch,
                "must be 0: here tax is a sales_tax line of its own",
            );
        }
        return Some(0);
    }
    match given {
        Amount::Unsound => None,
        Amount::Is(tax) if bases.iter().any(|it| money::tax_fits(tax, *it, rate)) => Some(tax),
        Amount::Is(_) => {
            walk.fault_at(
                "total_tax_amount",
                Code::TaxMismatch,
                "must be within 1 of total_amount − total_amount·10000/(10000+tax_rate)",
            );
            None
        }
        // a product beyond 64 bit was faulted at total_amount
        Amount::Absent => i64::try_from(money::tax(bases[0], rate)).ok(),
    }
}

impl Counted {
    /// The line, where all of it is known.
    fn line(self, tree: &Tree) -> Option<Line> {
        Some(Line {
            kind: self.kind?,
            reference: super::shape::said(tree, "reference"),
            name: tree.text("name")?.to_owned(),
            quantity: self.quantity?,
            quantity_unit: super::shape::said(tree, "quantity_unit"),
            unit_price: self.unit_price?,
            tax_rate: self.tax_rate?,
            total_discount_amount: self.discount?,
            total_amount: self.total?,
            total_tax_amount: self.tax?,
            extras: tree.only(LINE_EXTRAS),
        })
    }
}

/// One line for the whole amount (`contract.md`, Lines from an amount).
fn from_amount(
    amount: Amount,
    tax: Amount,
    reference: Option<&str>,
    us: bool,
    defaults: &Defaults,
    walk: &mut Walk,
) -> Option<Bill> {
    if amount == Amount::Absent {
        walk.fault_at(
            "order_lines",
            Code::Required,
            "order_lines or order_amount is required",
        );
        return None;
    }
    let Some(rate) = defaults.tax_rate else {
        walk.fault_at(
            "order_lines",
            Code::Required,
            "order_lines is required, because no DEFAULT_TAX_RATE is set",
        );
        return None;
    };
    let amount = amount.known()?;
    if amount > LINE_MAX {
        walk.fault_at(
            "order_amount",
            Code::OutOfRange,
            format!("must be at most {LINE_MAX} where there are no order_lines"),
        );
        return None;
    }
    let kind = defaults.line_kind;
    let untaxed = us || kind == LineKind::SalesTax;
    let rate = if untaxed { 0 } else { rate };
    let line_tax = i64::try_from(money::tax(i128::from(amount), rate)).ok()?;
    let order_tax = if kind == LineKind::SalesTax {
        amount
    } else {
        line_tax
    };
    let order_tax_amount = settle(
        "order_tax_amount",
        tax,
        Some(i128::from(order_tax)),
        0,
        "must be the tax within order_amount at DEFAULT_TAX_RATE, or be left out",
        walk,
    )?;
    let line = Line {
        kind,
        reference: None,
        name: defaults
            .line_name
            .clone()
            .or_else(|| reference.map(str::to_owned))?,
        quantity: 1,
        quantity_unit: None,
        unit_price: amount,
        tax_rate: rate,
        total_discount_amount: 0,
        total_amount: amount,
        total_tax_amount: line_tax,
        extras: Tree::Map(Vec::new()),
    };
    Some(Bill {
        lines: vec![line],
        order_amount: amount,
        order_tax_amount,
    })
}

impl LineKind {
    /// Whether lines of this kind take from the sum: discounts and what was paid before.
    pub fn takes(self) -> bool {
        match self {
            LineKind::Discount | LineKind::GiftCard | LineKind::StoreCredit => true,
            LineKind::Physical
            | LineKind::ShippingFee
            | LineKind::SalesTax
            | LineKind::Digital
            | LineKind::Surcharge => false,
        }
    }

    /// Whether an amount has the sign that this kind asks for. Zero has either.
    fn signs(self, amount: i64) -> bool {
        if self.takes() {
            amount <= 0
        } else {
            amount >= 0
        }
    }

    fn sign(self) -> String {
        format!(
            "must not be {} 0 on a {} line",
            if self.takes() { "above" } else { "below" },
            self.as_str()
        )
    }
}
