//! Random valid sales: they come back as they are, and no single amount can be changed unnoticed.

use proptest::prelude::*;

use super::*;
use crate::link::Sale;

fn line() -> impl Strategy<Value = Tree> {
    let rate = prop::sample::select(vec![0i64, 600, 770, 1000, 1900, 2000, 2500]);
    let given = (1i64..40, 1i64..50_000, rate.clone(), 0i64..100).prop_map(
        |(quantity, price, rate, percent)| {
            let discount = quantity * price * percent / 100;
            tree!({
                "type": "physical", "reference": "R-1", "name": "Thing", "quantity": (quantity),
                "quantity_unit": "pcs", "unit_price": (price), "tax_rate": (rate),
                "total_discount_amount": (discount), "merchant_data": "m",
            })
        },
    );
    // small, so that the sums stay above zero
    let taken = (
        prop::sample::select(vec!["discount", "gift_card", "store_credit"]),
        1i64..100,
        rate,
    )
        .prop_map(|(kind, price, rate)| {
            tree!({
                "type": (kind), "name": "Less", "quantity": 1, "unit_price": (-price),
                "tax_rate": (rate),
            })
        });
    let sales_tax = (0i64..500).prop_map(|price| {
        tree!({"type": "sales_tax", "name": "Tax", "quantity": 1, "unit_price": (price), "tax_rate": 0})
    });
    prop_oneof![5 => given, 2 => taken, 1 => sales_tax]
}

fn sale() -> impl Strategy<Value = Sale> {
    let first = tree!({
        "name": "First", "quantity": 1, "unit_price": 100_000, "tax_rate": 2500,
        "product_identifiers": {"brand": "B"}, "image_url": "https://example.com/i.png",
    });
    prop::collection::vec(line(), 0..6).prop_map(move |mut lines| {
        lines.insert(0, first.clone());
        let mut body = with("/order_lines", Tree::List(lines));
        set(&mut body, "/order_amount", Tree::Null);
        set(&mut body, "/order_tax_amount", Tree::Null);
        set(
            &mut body,
            "/options",
            tree!({"vat_removed": true, "color_button": "#FF9900"}),
        );
        set(
            &mut body,
            "/customer",
            tree!({"type": "person", "date_of_birth": "1990-02-28"}),
        );
        set(
            &mut body,
            "/shipping_address",
            tree!({"street_address": "1 High Street"}),
        );
        taken(&body).sale
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn a_sale_comes_back(sale in sale()) {
        let tree = sale.tree();
        prop_assert_eq!(&taken(&tree).sale, &sale);
        let row = Sale::from_tree(&tree);
        prop_assert_eq!(row.as_ref(), Some(&sale));
    }

    #[test]
    fn no_amount_changes_unnoticed(
        sale in sale(),
        which in any::<prop::sample::Index>(),
        delta in prop_oneof![3i64..500, -500i64..-2],
    ) {
        let mut tree = sale.tree();
        let mut places: Vec<(String, String, Code)> = Vec::new();
        for (index, line) in sale.lines.iter().enumerate() {
            let at = |name: &str| format!("/order_lines/{index}/{name}");
            let total = at("total_amount");
            let mut place = |name: &str, seen: String, code| places.push((at(name), seen, code));
            place("total_amount", total.clone(), Code::SumMismatch);
            place("unit_price", total.clone(), Code::SumMismatch);
            place("total_discount_amount", total.clone(), Code::SumMismatch);
            place("total_tax_amount", at("total_tax_amount"), Code::TaxMismatch);
            if line.unit_price != 0 {
                place("quantity", total, Code::SumMismatch);
            }
        }
        for sum in ["/order_amount", "/order_tax_amount"] {
            places.push((sum.into(), sum.into(), Code::SumMismatch));
        }
        let (pointer, seen, code) = which.get(&places).clone();
        let Some(Tree::Int(was)) = find(&tree, &pointer) else {
            panic!("{pointer} is an amount");
        };
        let value = was + delta;
        set(&mut tree, &pointer, value.into());
        let faults = parse(&tree).expect_err("the change is noticed");
        // an amount that leaves its range is faulted as that, and nothing is computed from it
        let fits = short(&faults).contains(&(seen.as_str(), code))
            || short(&faults).contains(&(pointer.as_str(), Code::OutOfRange));
        prop_assert!(fits, "{} by {}: {:?}", pointer, delta, faults);
    }
}
