//! Whatever chance makes of a body: nothing panics, every fault has a place, and what is taken
//! comes back as it was.

use proptest::prelude::*;

use super::*;
use crate::link::grammar::{self, Kind, Member};
use crate::link::{Email, Page, Phone, Sale};

/// Every member name of the grammar, so that arbitrary trees hit members and not only the air.
fn names() -> Vec<&'static str> {
    fn collect(members: &'static [Member], names: &mut Vec<&'static str>) {
        for member in members {
            names.push(member.name);
            kind(&member.kind, names);
        }
    }
    fn kind(it: &'static Kind, names: &mut Vec<&'static str>) {
        match it {
            Kind::Map(members) => collect(members, names),
            Kind::List { of, .. } => kind(of, names),
            _ => {}
        }
    }
    let mut names = Vec::new();
    collect(grammar::CREATE, &mut names);
    collect(grammar::RENEW, &mut names);
    names
}

fn value() -> impl Strategy<Value = Tree> {
    let leaf = prop_oneof![
        Just(Tree::Null),
        any::<bool>().prop_map(Tree::Bool),
        any::<i64>().prop_map(Tree::Int),
        (-20_000i64..20_000).prop_map(Tree::Int),
        Just(Tree::Number("1.5".into())),
        ".{0,12}".prop_map(Tree::Text),
        "[+0-9 ()./-]{0,18}".prop_map(Tree::Text),
        prop::sample::select(vec![
            "GB",
            "US",
            "USD",
            "email",
            "sms",
            "physical",
            "discount",
            "sales_tax",
            "PT1H",
            "jo@example.com",
            "+447700900123",
            "https://example.com",
            "en-GB",
            "in_store",
        ])
        .prop_map(Tree::from),
    ];
    leaf.prop_recursive(4, 40, 6, |inner| {
        let name = prop_oneof![
            4 => prop::sample::select(names()).prop_map(str::to_owned),
            1 => ".{0,4}",
        ];
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Tree::List),
            prop::collection::vec((name, inner), 0..8).prop_map(|members| {
                let mut seen = std::collections::HashSet::new();
                Tree::Map(
                    members
                        .into_iter()
                        .filter(|it| seen.insert(it.0.clone()))
                        .collect(),
                )
            }),
        ]
    })
}

/// Every pointer below the root.
fn pointers(tree: &Tree, at: &str, all: &mut Vec<String>) {
    let steps: Vec<(String, &Tree)> = match tree {
        Tree::Map(members) => members
            .iter()
            .map(|(name, it)| (name.replace('~', "~0").replace('/', "~1"), it))
            .collect(),
        Tree::List(items) => items
            .iter()
            .enumerate()
            .map(|(n, it)| (n.to_string(), it))
            .collect(),
        _ => return,
    };
    for (step, below) in steps {
        let pointer = format!("{at}/{step}");
        pointers(below, &pointer, all);
        all.push(pointer);
    }
}

/// The pointer is of a value, or of a member that its object could have.
fn resolves(tree: &Tree, pointer: &str) -> bool {
    let would_be = || {
        let (parent, _) = pointer.rsplit_once('/')?;
        matches!(find(tree, parent), Some(Tree::Map(_))).then_some(())
    };
    find(tree, pointer).is_some() || would_be().is_some()
}

#[track_caller]
fn placed(tree: &Tree, result: Result<Request, Vec<Fault>>) {
    match result {
        Ok(request) => comes_back(&request),
        Err(faults) => {
            assert!(!faults.is_empty());
            for fault in faults {
                assert!(resolves(tree, &fault.pointer), "{fault:?} in {tree:?}");
            }
        }
    }
}

/// What was taken is a valid body again, comes back from a row, and its sums hold.
#[track_caller]
fn comes_back(request: &Request) {
    let tree = request.sale.tree();
    let again = taken(&tree).sale;
    assert_eq!(again, request.sale);
    assert_eq!(Sale::from_tree(&tree).as_ref(), Some(&request.sale));
    assert_eq!(
        Page::from_tree(&request.page.tree()).as_ref(),
        Some(&request.page)
    );

    let sum = |of: fn(&crate::link::Line) -> i64| request.sale.lines.iter().map(of).sum::<i64>();
    let sales_tax = sum(|it| {
        if it.kind == LineKind::SalesTax {
            it.total_amount
        } else {
            0
        }
    });
    assert_eq!(sum(|it| it.total_amount), request.sale.order_amount);
    assert_eq!(
        sum(|it| it.total_tax_amount) + sales_tax,
        request.sale.order_tax_amount
    );
    for line in &request.sale.lines {
        assert_eq!(
            line.quantity * line.unit_price - line.total_discount_amount,
            line.total_amount
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn any_tree_is_answered(tree in value()) {
        placed(&tree, parse(&tree));
    }

    #[test]
    fn any_change_of_a_good_body_is_answered(place in any::<prop::sample::Index>(), value in value()) {
        let mut tree = body();
        let mut all = Vec::new();
        pointers(&tree, "", &mut all);
        let pointer: &String = place.get(&all);
        set(&mut tree, pointer, value);
        placed(&tree, parse(&tree));
    }

    #[test]
    fn any_phone_is_answered(text in "[+]?[0-9 ()./-]{0,20}|.{0,20}", country in "[A-Z]{2}") {
        if let Ok(phone) = Phone::parse(&text, &country) {
            let e164 = phone.as_str().to_owned();
            prop_assert!(e164.starts_with('+') && e164[1..].bytes().all(|b| b.is_ascii_digit()));
            prop_assert_eq!(Phone::parse(&e164, "GB"), Ok(phone.clone()));
            prop_assert_eq!(Phone::trusted(e164), Some(phone.clone()));
            let _ = phone.deliverable(&defaults().sms_countries);
            prop_assert!(!phone.deliverable(&[]));
        }
    }

    #[test]
    fn any_address_is_answered(text in "[a-z.@-]{0,20}|.{0,20}|[a-z]{1,5}@[a-z]{1,5}\\.[a-z]{2}") {
        if let Ok(email) = Email::parse(&text) {
            prop_assert_eq!(email.as_str().matches('@').count(), 1);
            prop_assert!(email.as_str().is_ascii() && email.as_str().len() <= 254);
            prop_assert_eq!(Email::parse(email.as_str()), Ok(email.clone()));
        }
    }
}
