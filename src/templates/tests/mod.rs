//! Every template, in every language, with the sales that break layouts; here the sales.

mod messages;
mod overrides;
mod pages;
mod values;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::Value;

use super::form::Form;
use super::language::{Language, Locale};
use super::moment::{self, Span};
use super::*;
use crate::link::{
    Actor, Address, Consumer, KlarnaView, Line, LineKind, Link, LinkId, Mode, Page, Pair, Payment,
    Sale, Stage, Tree, UseCase,
};
use crate::random::Random;

const URL: &str = "https://pay.example/s/7f3a9c2e51d84b06";
/// GSM 03.38, the basic set and its extension.
const GSM7: &str = "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà^{}\\[~]|€";

fn until() -> Timestamp {
    "2026-11-25T13:02:00Z".parse().unwrap()
}

fn zone(name: &str) -> TimeZone {
    TimeZone::get(name).unwrap()
}

fn brand() -> Brand {
    Brand {
        merchant: "Acme Shop".into(),
        support: Some("+44 20 7946 0123".into()),
        terms_url: "https://shop.example/terms".into(),
        logo_url: None,
        time_zone: zone("Europe/London"),
    }
}

fn templates() -> Templates {
    Templates::load(None, brand()).unwrap()
}

fn line(name: &str, quantity: i64, total: i64) -> Line {
    Line {
        kind: LineKind::Physical,
        reference: None,
        name: name.into(),
        quantity,
        quantity_unit: Some("pcs".into()),
        unit_price: total / quantity,
        tax_rate: 1000,
        total_discount_amount: 0,
        total_amount: total,
        total_tax_amount: total / 11,
        extras: Tree::Map(vec![]),
    }
}

fn pair() -> Pair {
    Pair {
        number: 1,
        order: "order".into(),
        session: "session".into(),
        url: URL.into(),
        id_check_url: None,
    }
}

fn link(locale: &str) -> Link {
    let now = until();
    Link {
        id: LinkId::new(now, &Random::seeded(1)),
        version: 1,
        sequence: 1,
        store: "default".into(),
        mode: Mode::Test,
        agent: None,
        created_by: Actor::Paylink,
        sale: Sale {
            reference: "SO-10442".into(),
            use_case: UseCase::Telesales,
            country: "GB".into(),
            currency: "GBP".into(),
            locale: locale.into(),
            order_amount: 50000,
            order_tax_amount: 4545,
            lines: vec![line("Red T-Shirt", 5, 50000)],
            billing: Some(Address {
                given_name: Some("Jo".into()),
                family_name: Some("Bloggs".into()),
                ..Address::default()
            }),
            shipping: None,
            customer: None,
            extras: Tree::Map(vec![]),
        },
        page: Page::default(),
        auto_capture: false,
        metadata: vec![],
        stage: Stage::Open {
            pair: pair(),
            until: until(),
            consumer: Consumer::NotOpened,
        },
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

/// The sales that break layouts, by name.
fn awkward(locale: &str) -> Vec<(&'static str, Link)> {
    let with = |change: fn(&mut Link)| {
        let mut link = link(locale);
        change(&mut link);
        link
    };
    vec![
        ("ordinary", link(locale)),
        (
            "long",
            with(|it| {
                it.sale.reference = "R".repeat(255);
                it.sale.lines[0].name = "Überlang ".repeat(28);
                if let Some(billing) = &mut it.sale.billing {
                    billing.given_name = Some("Wolfeschlegelsteinhausenbergerdorff".repeat(2));
                }
            }),
        ),
        (
            "special",
            with(|it| {
                it.sale.reference = "<b>\"R&D'</b>".into();
                it.sale.lines[0].name = "<script>alert(1)</script> & {{amount}} {amount}".into();
                if let Some(billing) = &mut it.sale.billing {
                    billing.given_name = Some("Jo <i> & {reference}".into());
                }
            }),
        ),
        (
            "many",
            with(|it| {
                it.sale.lines = (1..=1000).map(|n| line("Bolt", n, 100 * n)).collect();
            }),
        ),
        (
            "business",
            with(|it| {
                it.sale.billing = Some(Address {
                    organization_name: Some("Bloggs & Sons Ltd".into()),
                    ..Address::default()
                });
            }),
        ),
        (
            "nobody",
            with(|it| {
                it.sale.billing = None;
                it.sale.order_tax_amount = 0;
            }),
        ),
        (
            "yen",
            with(|it| {
                it.sale.currency = "JPY".into();
                it.sale.use_case = UseCase::InStore;
            }),
        ),
        ("web", with(|it| it.sale.use_case = UseCase::Ecommerce)),
    ]
}

fn unescape(html: &str) -> String {
    html.replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&quot;", "\"")
        .replace("&#39;", "'")
        .replace("&amp;", "&")
}

const LOCALES: [&str; 6] = ["en-GB", "sv-SE", "de-DE", "nb-NO", "da-DK", "fi-FI"];
