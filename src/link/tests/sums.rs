use super::*;
use crate::link::money;

fn line(kind: &str, unit_price: i64, rate: i64) -> Tree {
    tree!({"type": (kind), "name": "x", "quantity": 1, "unit_price": (unit_price), "tax_rate": (rate)})
}

fn sale(lines: Vec<Tree>) -> Tree {
    Tree::Map(vec![
        ("reference".into(), "R".into()),
        ("order_lines".into(), Tree::List(lines)),
    ])
}

/// klarna.md §2.3, Worked: which integers pass, and which one is computed.
#[test]
fn klarnas_worked_numbers() {
    for (total, rate, computed, passing) in [
        (4800, 2000, 800, vec![799, 800, 801]),
        (499, 2000, 83, vec![83, 84]),
        (-500, 2000, -83, vec![-84, -83]),
        (50000, 1000, 4545, vec![4545, 4546]),
        (19900, 2500, 3980, vec![3979, 3980, 3981]),
    ] {
        assert_eq!(money::tax(total.into(), rate), computed.into());
        for tax in computed - 5..computed + 5 {
            let fits = money::tax_fits(tax, total.into(), rate);
            assert_eq!(fits, passing.contains(&tax), "{tax} of {total} at {rate}");
        }
    }
    // halves go away from zero: 3 at 100 % holds 1.5
    assert_eq!(money::tax(3, 10_000), 2);
    assert_eq!(money::tax(-3, 10_000), -2);
}

/// klarna.md §2.4: the three lines of the example, with every sum left out.
#[test]
fn absent_sums_are_computed() {
    let mug = tree!({"name": "Stoneware mug", "quantity": 2, "unit_price": 2400, "tax_rate": 2000});
    let request = taken(&sale(vec![
        mug,
        line("shipping_fee", 499, 2000),
        line("discount", -500, 2000),
    ]));
    let sale = &request.sale;
    assert_eq!((sale.order_amount, sale.order_tax_amount), (4799, 800));
    let taxes: Vec<_> = sale.lines.iter().map(|it| it.total_tax_amount).collect();
    assert_eq!(taxes, [800, 83, -83]);
    assert_eq!(sale.lines[0].kind, LineKind::Physical);
    assert_eq!(sale.lines[0].total_amount, 4800);
}

#[test]
fn wrong_sums_are_refused_where_they_are() {
    refused(
        &with("/order_amount", 49_999.into()),
        &[("/order_amount", Code::SumMismatch)],
    );
    refused(
        &with("/order_tax_amount", 4546.into()),
        &[("/order_tax_amount", Code::SumMismatch)],
    );
    refused(
        &with("/order_lines/0/total_amount", 49_999.into()),
        &[
            ("/order_lines/0/total_amount", Code::SumMismatch),
            ("/order_amount", Code::SumMismatch),
        ],
    );
    refused(
        &with("/order_lines/0/total_tax_amount", 4544.into()),
        &[
            ("/order_lines/0/total_tax_amount", Code::TaxMismatch),
            ("/order_tax_amount", Code::SumMismatch),
        ],
    );
    // within Klarna's ±1, and summed as given
    let mut body = with("/order_lines/0/total_tax_amount", 4546.into());
    set(&mut body, "/order_tax_amount", 4546.into());
    assert_eq!(taken(&body).sale.order_tax_amount, 4546);
}

#[test]
fn discounts_take_and_all_else_gives() {
    for kind in ["discount", "gift_card", "store_credit"] {
        let lines = |price| sale(vec![line("physical", 5000, 0), line(kind, price, 0)]);
        assert_eq!(taken(&lines(-1000)).sale.order_amount, 4000);
        refused(
            &lines(1000),
            &[("/order_lines/1/unit_price", Code::OutOfRange)],
        );
    }
    for kind in [
        "physical",
        "shipping_fee",
        "digital",
        "surcharge",
        "sales_tax",
    ] {
        let lines = |price| sale(vec![line("physical", 5000, 0), line(kind, price, 0)]);
        assert!(parse(&lines(1000)).is_ok(), "{kind}");
        refused(
            &lines(-1000),
            &[("/order_lines/1/unit_price", Code::OutOfRange)],
        );
    }
    // a discount beyond the price
    refused(
        &with("/order_lines/0/total_discount_amount", 50_001.into()),
        &[("/order_lines/0/total_amount", Code::SumMismatch)],
    );
}

#[test]
fn amounts_have_limits() {
    let two = |price| sale(vec![line("physical", price, 0), line("physical", price, 0)]);
    assert_eq!(taken(&two(100_000_000)).sale.order_amount, 200_000_000);
    let three = sale(vec![line("physical", 100_000_000, 0); 3]);
    refused(&three, &[("/order_amount", Code::OutOfRange)]);
    refused(
        &two(100_000_001),
        &[
            ("/order_lines/0/unit_price", Code::OutOfRange),
            ("/order_lines/1/unit_price", Code::OutOfRange),
        ],
    );
    refused(&two(0), &[("/order_amount", Code::OutOfRange)]);
    let mut many = sale(vec![line("physical", 100_000_000, 0)]);
    set(&mut many, "/order_lines/0/quantity", i64::MAX.into());
    refused(&many, &[("/order_lines/0/total_amount", Code::OutOfRange)]);
    for (pointer, value) in [
        ("/order_amount", 0),
        ("/order_amount", 200_000_001),
        ("/order_amount", i64::MIN),
        ("/order_tax_amount", -1),
        ("/order_lines/0/quantity", -1),
        ("/order_lines/0/tax_rate", 10_001),
        ("/order_lines/0/tax_rate", -1),
        ("/order_lines/0/total_discount_amount", -1),
        ("/order_lines/0/total_amount", 100_000_001),
    ] {
        let faults = parse(&with(pointer, value.into())).unwrap_err();
        assert!(
            short(&faults).contains(&(pointer, Code::OutOfRange)),
            "{pointer} {value}"
        );
    }
}

#[test]
fn tax_is_a_line_of_its_own_in_the_us() {
    let us = |lines| {
        let mut body = sale(lines);
        for (name, value) in [
            ("/purchase_country", "US"),
            ("/purchase_currency", "USD"),
            ("/locale", "en-US"),
        ] {
            set(&mut body, name, value.into());
        }
        body
    };
    let request = taken(&us(vec![
        line("physical", 10_000, 0),
        line("sales_tax", 825, 0),
    ]));
    assert_eq!(request.sale.order_amount, 10_825);
    assert_eq!(request.sale.order_tax_amount, 825);
    refused(
        &us(vec![line("physical", 10_000, 825)]),
        &[("/order_lines/0/tax_rate", Code::OutOfRange)],
    );
    let mut taxed = us(vec![line("physical", 10_000, 0)]);
    set(&mut taxed, "/order_lines/0/total_tax_amount", 1.into());
    refused(
        &taxed,
        &[("/order_lines/0/total_tax_amount", Code::TaxMismatch)],
    );
    // and everywhere on such lines
    refused(
        &sale(vec![
            line("physical", 10_000, 2000),
            line("sales_tax", 825, 2000),
        ]),
        &[("/order_lines/1/tax_rate", Code::OutOfRange)],
    );
    let mixed = taken(&sale(vec![
        line("physical", 4800, 2000),
        line("sales_tax", 100, 0),
    ]));
    assert_eq!(mixed.sale.order_tax_amount, 900);
}

#[test]
fn an_amount_alone_becomes_one_line() {
    let body = tree!({"reference": "SO-1", "order_amount": 4800});
    let sale = taken(&body).sale;
    assert_eq!(sale.order_tax_amount, 800);
    let line = &sale.lines[0];
    assert_eq!(
        (line.name.as_str(), line.quantity, line.unit_price),
        ("SO-1", 1, 4800)
    );
    assert_eq!(
        (line.kind, line.tax_rate, line.total_tax_amount),
        (LineKind::Physical, 2000, 800)
    );

    let wrong = tree!({"reference": "SO-1", "order_amount": 4800, "order_tax_amount": 801});
    refused(&wrong, &[("/order_tax_amount", Code::SumMismatch)]);
    let large = tree!({"reference": "SO-1", "order_amount": 100_000_001});
    refused(&large, &[("/order_amount", Code::OutOfRange)]);
    refused(
        &tree!({"reference": "SO-1"}),
        &[("/order_lines", Code::Required)],
    );
    refused(
        &tree!({"reference": "SO-1", "order_amount": 4800, "order_lines": []}),
        &[("/order_lines", Code::TooFew)],
    );

    let named = Defaults {
        line_name: Some("Goods".into()),
        line_kind: LineKind::Digital,
        ..defaults()
    };
    let sale = Request::parse(&body, &named, now()).unwrap().sale;
    assert_eq!(
        (sale.lines[0].name.as_str(), sale.lines[0].kind),
        ("Goods", LineKind::Digital)
    );
    let untaxed = Defaults {
        tax_rate: None,
        ..defaults()
    };
    let faults = Request::parse(&body, &untaxed, now()).unwrap_err();
    same(&faults, &[("/order_lines", Code::Required)]);
}

#[test]
fn decimals_are_those_of_iso_4217() {
    for (currency, decimals) in [("GBP", 2), ("JPY", 0), ("KWD", 3), ("SEK", 2), ("???", 2)] {
        assert_eq!(money::decimals(currency), decimals, "{currency}");
    }
}
