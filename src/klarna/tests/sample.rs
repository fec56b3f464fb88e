//! Links to make requests of.

use proptest::prelude::*;

use crate::link::{
    Actor, Address, Background, Customer, Email, Exit, KlarnaView, Line, LineKind, Link, LinkId,
    Mode, Page, Phone, Sale, Stage, Tree, UseCase,
};
use crate::random::Random;

pub(super) fn map(members: &[(&str, Tree)]) -> Tree {
    Tree::Map(
        members
            .iter()
            .map(|(name, value)| ((*name).to_owned(), value.clone()))
            .collect(),
    )
}

pub(super) fn text(text: &str) -> Tree {
    Tree::Text(text.into())
}

fn jo() -> Address {
    let some = |text: &str| Some(text.to_owned());
    Address {
        given_name: some("Jo"),
        family_name: some("Bloggs"),
        organization_name: some("Bloggs Ltd"),
        email: Email::parse("jo@example.com").ok(),
        phone: Phone::parse("+447700900123", "GB").ok(),
        street_address: some("1 High Street"),
        postal_code: some("W1A 1AA"),
        city: some("London"),
        country: some("GB"),
        ..Address::default()
    }
}

fn mug() -> Line {
    let some = |text: &str| Some(text.to_owned());
    Line {
        kind: LineKind::Physical,
        reference: some("MUG-07"),
        name: "Stoneware mug".into(),
        quantity: 2,
        quantity_unit: some("pcs"),
        unit_price: 2400,
        tax_rate: 2000,
        total_discount_amount: 0,
        total_amount: 4800,
        total_tax_amount: 800,
        extras: map(&[
            ("merchant_data", text("row 1")),
            ("product_url", text("https://example.com/mug")),
            ("image_url", text("https://example.com/mug.png")),
            ("product_identifiers", map(&[("brand", text("Kiln"))])),
            ("shipping_attributes", map(&[("weight", Tree::Int(300))])),
            ("unit_price", Tree::Int(1)),
        ]),
    }
}

/// A link that uses every member that a request can have.
pub(super) fn link() -> Link {
    let now = "2026-11-23T09:00:00Z".parse().unwrap();
    let some = |text: &str| Some(text.to_owned());
    Link {
        id: LinkId::new(now, &Random::seeded(7)),
        version: 1,
        sequence: 0,
        store: "default".into(),
        mode: Mode::Test,
        agent: None,
        created_by: Actor::Paylink,
        sale: Sale {
            reference: "INV-1042".into(),
            use_case: UseCase::Telesales,
            country: "GB".into(),
            currency: "GBP".into(),
            locale: "en-GB".into(),
            order_amount: 4800,
            order_tax_amount: 800,
            lines: vec![mug()],
            shipping: Some(jo()),
            billing: Some(jo()),
            customer: Some(Customer {
                kind: some("person"),
                gender: some("female"),
                date_of_birth: some("1990-01-02"),
                ..Customer::default()
            }),
            extras: map(&[
                (
                    "options",
                    map(&[
                        ("color_button", text("#00FF00")),
                        ("phone_mandatory", Tree::Bool(true)),
                        ("title_mandatory", Tree::Null),
                        ("auto_capture", Tree::Bool(true)),
                    ]),
                ),
                (
                    "gui",
                    map(&[("options", Tree::List(vec![text("minimal_confirmation")]))]),
                ),
                (
                    "attachment",
                    map(&[
                        (
                            "content_type",
                            text("application/vnd.klarna.internal.emd-v2+json"),
                        ),
                        ("body", text("{}")),
                    ]),
                ),
                ("merchant_data", text("deal 42")),
                ("tags", Tree::List(vec![text("autumn")])),
                ("billing_countries", Tree::List(vec![text("GB")])),
                (
                    "shipping_countries",
                    Tree::List(vec![text("GB"), text("IE")]),
                ),
                (
                    "merchant_urls",
                    map(&[("push", text("https://evil.example"))]),
                ),
                ("order_amount", Tree::Int(1)),
            ]),
        },
        page: Page {
            title: some("Order INV-1042"),
            logo_url: some("https://example.com/logo.png"),
            background_images: vec![Background {
                url: "https://example.com/b.jpg".into(),
                width: 1200,
            }],
            purchase_type: some("BUY"),
            show_subtotal_detail: some("HIDE"),
            exit: None,
        },
        auto_capture: false,
        metadata: Vec::new(),
        stage: Stage::Creating { pairs_tried: 0 },
        wanted_end: None,
        klarna: KlarnaView::default(),
        closing_reason: None,
        closing_note: None,
        renewed_from: None,
        renewed_by: None,
        viewed: false,
        mismatch: false,
        acknowledged: false,
        created_at: now,
        updated_at: now,
    }
}

fn maybe(limit: usize) -> impl Strategy<Value = Option<String>> {
    prop::option::of(
        prop::collection::vec(prop::char::range(' ', 'ÿ'), 1..=limit).prop_map(String::from_iter),
    )
}

pub(super) fn line() -> impl Strategy<Value = Line> {
    let kind = prop::sample::select(LineKind::ALL);
    (
        kind,
        maybe(255),
        0i64..1000,
        maybe(8),
        -100_000i64..100_000,
        0i64..=10_000,
        any::<bool>(),
    )
        .prop_map(
            |(kind, reference, quantity, quantity_unit, unit_price, tax_rate, bare)| Line {
                kind,
                name: reference.clone().unwrap_or_else(|| "Thing".into()),
                reference,
                quantity,
                quantity_unit,
                unit_price,
                tax_rate,
                total_discount_amount: 0,
                total_amount: quantity * unit_price,
                total_tax_amount: 0,
                extras: if bare {
                    Tree::Map(Vec::new())
                } else {
                    link().sale.lines[0].extras.clone()
                },
            },
        )
}

fn address() -> impl Strategy<Value = Option<Address>> {
    prop::option::of(
        (maybe(100), maybe(100), maybe(10), maybe(20), any::<bool>()).prop_map(
            |(given_name, street_address, postal_code, title, contact)| Address {
                care_of: given_name.clone(),
                given_name,
                street_name: street_address.clone(),
                street_address,
                postal_code,
                title,
                email: Email::parse("jo@example.com").ok().filter(|_| contact),
                country: Some("SE".into()),
                ..Address::default()
            },
        ),
    )
}

/// Any link that a request could have made, as far as Klarna's bodies can tell.
pub(super) fn links() -> impl Strategy<Value = Link> {
    let exit = prop::option::of(prop::sample::select(Exit::ALL));
    let looks = (maybe(100), exit, any::<bool>(), any::<bool>());
    let lines = prop::collection::vec(line(), 1..5);
    (
        prop::sample::select(UseCase::ALL),
        lines,
        address(),
        address(),
        looks,
        any::<bool>(),
    )
        .prop_map(
            |(use_case, lines, billing, shipping, (title, exit, bare, plain), auto_capture)| {
                let mut it = link();
                it.sale.use_case = use_case;
                it.sale.lines = lines;
                it.sale.billing = billing;
                it.sale.shipping = shipping;
                it.auto_capture = auto_capture;
                if bare {
                    it.page = Page::default();
                }
                it.page.title = title;
                it.page.exit = exit;
                if plain {
                    it.sale.extras = Tree::Map(Vec::new());
                    it.sale.customer = None;
                }
                it
            },
        )
}
