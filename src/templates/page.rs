//! The pages that a buyer comes back to. Their second line says whether money was taken; none
//! shows personal data.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::link::{Consumer, Link, PaymentStatus, Stage};

use super::Brand;
use super::form::{self, Form};
use super::language::Locale;
use super::moment::{self, Span};
use super::money;
use super::words::Words;

pub(super) const NAME: &str = "page";
pub(super) const TEMPLATE: &str = include_str!("page.html.hbs");
const SPRITE: &str = include_str!("../web/assets/sprite.svg");

/// Which page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Landing {
    /// Paid.
    Success,
    /// Authorised; Klarna is still checking (`contract.md`, Paid).
    Pending,
    /// Nobody knows yet; the page looks again every few seconds.
    Asking,
    /// Not paid, and the link is open.
    Back,
    /// The buyer cancelled; final.
    Cancelled,
    /// Klarna refused this payment.
    Declined,
    /// Klarna's page failed.
    Error,
    /// Disabled or expired; goes with 410.
    Closed,
    /// Unknown address; goes with 404.
    NotFound,
}

impl Landing {
    /// All of them.
    pub const ALL: [Landing; 9] = [
        Landing::Success,
        Landing::Pending,
        Landing::Asking,
        Landing::Back,
        Landing::Cancelled,
        Landing::Declined,
        Landing::Error,
        Landing::Closed,
        Landing::NotFound,
    ];

    /// The page that fits a link as it was read back, whatever address the buyer was sent to
    /// (`contract.md`, Merchant URLs). Where Klarna sent the buyer to *success* and the link is not
    /// completed yet, [`Landing::Asking`] is right instead.
    pub fn of(link: &Link) -> Self {
        match &link.stage {
            Stage::Completed { payment, .. } => match payment.status {
                // released by the merchant, or never captured in time
                PaymentStatus::Cancelled | PaymentStatus::Expired => Landing::Closed,
                PaymentStatus::Authorized
                | PaymentStatus::PartCaptured
                | PaymentStatus::Captured
                | PaymentStatus::Closed => match payment.fraud_status.as_deref() {
                    // a stopped payment may have been captured: nobody can promise anything
                    Some("PENDING" | "STOPPED") => Landing::Pending,
                    Some("REJECTED") => Landing::Declined,
                    _ => Landing::Success,
                },
            },
            Stage::Open { consumer, .. } => match consumer {
                Consumer::Declined => Landing::Declined,
                Consumer::Error => Landing::Error,
                Consumer::NotOpened | Consumer::InProgress | Consumer::IdCheck | Consumer::Back => {
                    Landing::Back
                }
            },
            // a disable that is not proved yet may still lose against the buyer
            Stage::Creating { .. } | Stage::Disabling { .. } => Landing::Asking,
            Stage::Cancelled { .. } => Landing::Cancelled,
            Stage::Disabled { .. } | Stage::Expired { .. } | Stage::Failed { .. } => {
                Landing::Closed
            }
        }
    }

    fn word(self) -> &'static str {
        match self {
            Landing::Success => "success",
            Landing::Pending => "pending",
            Landing::Asking => "asking",
            Landing::Back => "back",
            Landing::Cancelled => "cancelled",
            Landing::Declined => "declined",
            Landing::Error => "error",
            Landing::Closed => "closed",
            Landing::NotFound => "not_found",
        }
    }

    /// Tone and icon. Green is money (mockups/README.md, Colour).
    fn mark(self) -> (&'static str, &'static str) {
        match self {
            Landing::Success => ("paid", "check"),
            Landing::Pending => ("warn", "clock"),
            Landing::Asking => ("live", "spin"),
            Landing::Back => ("live", "clock"),
            Landing::Cancelled => ("none", "cross"),
            Landing::Declined | Landing::Error => ("warn", "alert"),
            Landing::Closed => ("none", "stop"),
            Landing::NotFound => ("none", "ask"),
        }
    }
}

/// What a page may say of a link: nothing personal.
#[derive(Clone, Debug)]
pub struct PageFacts {
    pub(super) locale: Locale,
    sale: Option<PageSale>,
    url: Option<String>,
    until: Option<Timestamp>,
    klarna_order: Option<String>,
}

#[derive(Clone, Debug)]
struct PageSale {
    amount: i64,
    currency: String,
    reference: String,
}

impl PageFacts {
    /// Of a link. The way on to the payment page is offered only while the link is open.
    pub fn of(link: &Link) -> Self {
        let open = match &link.stage {
            Stage::Open { pair, .. } => Some(pair.url.clone()),
            _ => None,
        };
        Self {
            locale: Locale::of(&link.sale.locale),
            sale: Some(PageSale {
                amount: link.sale.order_amount,
                currency: link.sale.currency.clone(),
                reference: link.sale.reference.clone(),
            }),
            until: open.is_some().then(|| link.expires_at()).flatten(),
            url: open,
            klarna_order: link.klarna.reference.clone(),
        }
    }

    /// Where no link is known: only a language (`DEFAULT_LOCALE`, or what the browser asks for).
    pub fn unknown(locale: &str) -> Self {
        Self {
            locale: Locale::of(locale),
            sale: None,
            url: None,
            until: None,
            klarna_order: None,
        }
    }
}

/// What `page.html.hbs` sees.
pub(super) fn context(landing: Landing, facts: &PageFacts, brand: &Brand, words: &Words) -> Value {
    let merchant = form::line(&brand.merchant);
    let amount = facts
        .sale
        .as_ref()
        .map(|sale| money::in_locale(sale.amount, &sale.currency, &facts.locale));
    let reference = facts.sale.as_ref().map(|it| form::line(&it.reference));
    let mut values = BTreeMap::from([("merchant", merchant.clone())]);
    if let Some(until) = facts.until {
        let until = moment::in_locale(until, &brand.time_zone, &facts.locale, Span::Medium);
        values.insert("until_medium", until);
    }
    let said = |name: &str| Some(words.say(name, &values)).filter(|it| !it.is_empty());
    let word = landing.word();

    let lead = match landing {
        Landing::Back if facts.until.is_none() => "back_lead_open".into(),
        Landing::Declined | Landing::Error if facts.url.is_none() => format!("{word}_lead_closed"),
        _ => format!("{word}_lead"),
    };
    let note = match landing {
        Landing::Success if facts.klarna_order.is_none() => None,
        _ => said(&format!("{word}_note")),
    };
    let button = match (landing, &facts.url) {
        (Landing::Back | Landing::Declined | Landing::Error, Some(url)) => {
            Some(json!({"words": said(&format!("{word}_button")), "url": url}))
        }
        _ => None,
    };
    let row = |label: &str, value: &Option<String>| {
        value
            .as_ref()
            .map(|value| json!({"label": said(label), "value": value}))
    };
    let rows: Vec<Value> = match landing {
        Landing::Success => vec![
            row("page_paid", &amount),
            row("page_reference", &reference),
            row("page_klarna_order", &facts.klarna_order),
        ],
        Landing::Pending => vec![
            row("page_amount", &amount),
            row("page_reference", &reference),
            row("page_klarna_order", &facts.klarna_order),
        ],
        Landing::Asking
        | Landing::Back
        | Landing::Cancelled
        | Landing::Declined
        | Landing::Error => vec![
            row("page_amount", &amount),
            row("page_reference", &reference),
        ],
        Landing::Closed => vec![row("page_reference", &reference)],
        Landing::NotFound => vec![],
    }
    .into_iter()
    .flatten()
    .collect();
    let (tone, icon) = landing.mark();
    json!({
        "lang": facts.locale.tag,
        "refresh": landing == Landing::Asking,
        "merchant": merchant,
        "initial": merchant.chars().next().map(|c| c.to_uppercase().to_string()),
        "tone": tone,
        "icon": icon,
        "title": said(&format!("{word}_title")),
        "lead": said(&lead),
        "note": note,
        "rows": rows,
        "button": button,
        "close": (landing == Landing::Success).then(|| said("page_close")),
        "questions": said("page_questions"),
        "support": brand.support.as_deref().map(|it| Form::Html.own(&form::line(it))),
        "support_url": brand.support.as_deref().and_then(form::contact),
        "sprite": SPRITE,
    })
}
