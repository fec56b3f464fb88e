//! What several verbs' tests stand on.

use jiff::Timestamp;

use crate::link::{
    Actor, Consumer, KlarnaView, Line, LineKind, Link, LinkId, Mode, Page, Pair, Sale, Stage, Tree,
    UseCase,
};
use crate::random::Random;

/// An open link that was accepted at `at`.
pub fn link(at: Timestamp) -> Link {
    let random = Random::seeded(7);
    let until = at + jiff::SignedDuration::from_hours(47);
    Link {
        id: LinkId::new(at, &random),
        version: 2,
        sequence: 2,
        store: "default".into(),
        mode: Mode::Test,
        agent: None,
        created_by: Actor::Paylink,
        sale: Sale {
            reference: "SO-10442".into(),
            use_case: UseCase::Telesales,
            country: "GB".into(),
            currency: "GBP".into(),
            locale: "en-GB".into(),
            order_amount: 50_000,
            order_tax_amount: 4_545,
            lines: vec![Line {
                kind: LineKind::Physical,
                reference: None,
                name: "Red T-Shirt".into(),
                quantity: 5,
                quantity_unit: None,
                unit_price: 10_000,
                tax_rate: 1_000,
                total_discount_amount: 0,
                total_amount: 50_000,
                total_tax_amount: 4_545,
                extras: Tree::Map(vec![]),
            }],
            billing: None,
            shipping: None,
            customer: None,
            extras: Tree::Map(vec![]),
        },
        page: Page::default(),
        auto_capture: false,
        metadata: vec![],
        stage: Stage::Open {
            pair: Pair {
                number: 1,
                order: "order".into(),
                session: "session".into(),
                url: "https://pay.example.com/s/1".into(),
                id_check_url: None,
            },
            until,
            consumer: Consumer::NotOpened,
        },
        wanted_end: None,
        klarna: KlarnaView {
            expires_at: Some(until),
            ..KlarnaView::default()
        },
        closing_reason: None,
        closing_note: None,
        renewed_from: None,
        renewed_by: None,
        viewed: false,
        mismatch: false,
        acknowledged: false,
        created_at: at,
        updated_at: at,
    }
}
