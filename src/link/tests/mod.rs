//! What callers may say and what is answered: rule by rule, and for everything that chance makes.

mod contacts;
mod grammar;
mod mutations;
mod properties;
mod requests;
mod rules;
mod stages;
mod sums;

use jiff::Timestamp;

use super::{Code, Defaults, Fault, LineKind, Request, Tree, place};

/// A tree as JSON is written; negative numbers in parentheses.
macro_rules! tree {
    ({ $($name:literal : $value:tt),* $(,)? }) => {
        $crate::link::Tree::Map(vec![$(($name.to_owned(), tree!($value))),*])
    };
    ([ $($item:tt),* $(,)? ]) => { $crate::link::Tree::List(vec![$(tree!($item)),*]) };
    (null) => { $crate::link::Tree::Null };
    ($value:expr) => { $crate::link::Tree::from($value) };
}
pub(super) use tree;

pub(super) fn now() -> Timestamp {
    "2026-11-24T08:00:00Z".parse().unwrap()
}

pub(super) fn defaults() -> Defaults {
    let markets = place::markets(place::MARKETS).unwrap();
    Defaults {
        country: Some("GB".into()),
        currency: Some("GBP".into()),
        locale: Some("en-GB".into()),
        line_kind: LineKind::Physical,
        line_name: None,
        tax_rate: Some(2000),
        sms_countries: markets.iter().map(|(country, _)| country.clone()).collect(),
        markets,
        email: true,
        sms: true,
        loopback: false,
        templates: vec!["link".into(), "reminder".into()],
    }
}

/// The body of `api.md`, Links.
pub(super) fn body() -> Tree {
    tree!({
        "reference": "SO-10442", "use_case": "telesales",
        "purchase_country": "GB", "purchase_currency": "GBP", "locale": "en-GB",
        "order_lines": [{
            "type": "physical", "reference": "19-402-USA", "name": "Red T-Shirt", "quantity": 5,
            "quantity_unit": "pcs", "unit_price": 10000, "tax_rate": 1000,
            "total_discount_amount": 0, "total_amount": 50000, "total_tax_amount": 4545,
        }],
        "order_amount": 50000, "order_tax_amount": 4545,
        "billing_address": {
            "given_name": "Jo", "family_name": "Bloggs", "email": "jo@example.com",
            "phone": "+447700900123", "country": "GB",
        },
        "send": [{"channel": "email"}, {"channel": "sms", "to": "+447700900124"}],
        "auto_capture": false, "expires_in": "PT24H", "page": {"title": "Order SO-10442"},
        "metadata": {"deal": "42"},
    })
}

/// The value at a pointer.
pub(super) fn find<'a>(tree: &'a Tree, pointer: &str) -> Option<&'a Tree> {
    if pointer.is_empty() {
        return Some(tree);
    }
    pointer
        .strip_prefix('/')?
        .split('/')
        .try_fold(tree, |tree, step| {
            let step = step.replace("~1", "/").replace("~0", "~");
            match tree {
                Tree::Map(members) => members
                    .iter()
                    .find(|(name, _)| *name == step)
                    .map(|it| &it.1),
                Tree::List(items) => items.get(step.parse::<usize>().ok()?),
                _ => None,
            }
        })
}

/// Puts `value` at a pointer, where there may or may not be something.
pub(super) fn set(tree: &mut Tree, pointer: &str, value: Tree) {
    let (parent, name) = pointer.rsplit_once('/').expect("a pointer below the root");
    let parent = parent
        .split('/')
        .skip(1)
        .fold(tree, |tree, step| match tree {
            Tree::Map(members) => {
                if members.iter().all(|(name, _)| name != step) {
                    members.push((step.to_owned(), Tree::Map(vec![])));
                }
                members
                    .iter_mut()
                    .find(|(it, _)| it == step)
                    .map(|it| &mut it.1)
                    .unwrap()
            }
            Tree::List(items) => &mut items[step.parse::<usize>().unwrap()],
            _ => panic!("nothing is below {step}"),
        });
    match parent {
        Tree::Map(members) => match members.iter_mut().find(|(it, _)| it == name) {
            Some(member) => member.1 = value,
            None => members.push((name.to_owned(), value)),
        },
        Tree::List(items) => items[name.parse::<usize>().unwrap()] = value,
        _ => panic!("nothing is below {parent:?}"),
    }
}

/// The body with one member put or changed.
pub(super) fn with(pointer: &str, value: Tree) -> Tree {
    let mut body = body();
    set(&mut body, pointer, value);
    body
}

/// The body without one member.
pub(super) fn without(pointer: &str) -> Tree {
    with(pointer, Tree::Null)
}

pub(super) fn parse(body: &Tree) -> Result<Request, Vec<Fault>> {
    Request::parse(body, &defaults(), now())
}

pub(super) fn short(faults: &[Fault]) -> Vec<(&str, Code)> {
    faults
        .iter()
        .map(|fault| (fault.pointer.as_str(), fault.code))
        .collect()
}

/// Exactly these faults, in any order.
#[track_caller]
pub(super) fn refused(body: &Tree, expected: &[(&str, Code)]) {
    let faults = parse(body).expect_err("the body is faulty");
    same(&faults, expected);
}

#[track_caller]
pub(super) fn same(faults: &[Fault], expected: &[(&str, Code)]) {
    let mut seen = short(faults);
    let mut expected = expected.to_vec();
    seen.sort_by_key(|(pointer, code)| (*pointer, code.as_str()));
    expected.sort_by_key(|(pointer, code)| (*pointer, code.as_str()));
    assert_eq!(seen, expected, "{faults:#?}");
}

#[track_caller]
pub(super) fn taken(body: &Tree) -> Request {
    match parse(body) {
        Ok(request) => request,
        Err(faults) => panic!("{faults:#?}"),
    }
}
