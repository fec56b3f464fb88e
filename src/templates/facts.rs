//! What a message says of a link, and how that is laid before a template.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::link::{LineKind, Link, UseCase};

use super::Brand;
use super::form::{self, Form};
use super::language::Locale;
use super::moment::{self, Span};
use super::money;
use super::words::Words;

/// More lines than this are summed up in one: mail programs cut a mail off at about 100 kB, and
/// with it the reference and the end of validity.
const LINES: usize = 20;

/// What a message says of a link. Holds personal data; has no `Debug` on purpose.
#[derive(Clone)]
pub struct Facts {
    pub(super) locale: Locale,
    pub(super) currency: String,
    pub(super) use_case: UseCase,
    pub(super) reference: String,
    pub(super) amount: i64,
    pub(super) tax: i64,
    /// US: the tax is sales tax, added and not included in the prices.
    pub(super) sales_tax: bool,
    pub(super) lines: Vec<Item>,
    pub(super) given_name: Option<String>,
    pub(super) family_name: Option<String>,
    pub(super) url: String,
    pub(super) until: Timestamp,
    /// Characters that the merchant's name may take.
    pub(super) merchant_length: usize,
    /// Whether the mail carries the QR picture at `cid:qr@paylink`. True unless set otherwise.
    pub qr: bool,
}

/// One line of the order as the buyer reads it.
#[derive(Clone)]
pub(super) struct Item {
    pub(super) name: String,
    pub(super) quantity: i64,
    pub(super) unit: Option<String>,
    /// Minor units.
    pub(super) amount: i64,
}

impl Facts {
    /// The facts of a payable link that is valid until `until`; `None` while it has no page that
    /// could be sent.
    pub fn of(link: &Link, until: Timestamp) -> Option<Self> {
        let sale = &link.sale;
        let billing = sale.billing.as_ref();
        let name = |name: Option<&String>| name.filter(|it| !it.trim().is_empty()).cloned();
        Some(Self {
            locale: Locale::of(&sale.locale),
            currency: sale.currency.clone(),
            use_case: sale.use_case,
            reference: sale.reference.clone(),
            amount: sale.order_amount,
            tax: sale.order_tax_amount,
            sales_tax: sale.country == "US"
                || sale.lines.iter().any(|it| it.kind == LineKind::SalesTax),
            lines: sale
                .lines
                .iter()
                .map(|line| Item {
                    name: line.name.clone(),
                    quantity: line.quantity,
                    unit: line.quantity_unit.clone(),
                    amount: line.total_amount,
                })
                .collect(),
            given_name: name(billing.and_then(|it| it.given_name.as_ref())),
            family_name: name(billing.and_then(|it| it.family_name.as_ref())),
            url: link.stage.pair()?.url.clone(),
            until,
            merchant_length: usize::MAX,
            qr: true,
        })
    }

    /// The same with names cut, the reference to `length` characters, so that amount, merchant and
    /// reference all show in a subject or a short SMS.
    pub(super) fn elided(&self, length: usize) -> Self {
        Self {
            reference: form::elide(&self.reference, length),
            merchant_length: 28,
            ..self.clone()
        }
    }

    /// What a template sees: every name always there, `null` where there is nothing to say, so that
    /// strict mode finds misspelt names and only those.
    pub(super) fn context(&self, brand: &Brand, words: &Words, form: Form) -> Value {
        let amount = |minor: i64| form.own(&money::in_locale(minor, &self.currency, &self.locale));
        let until = |span| {
            form.own(&moment::in_locale(
                self.until,
                &brand.time_zone,
                &self.locale,
                span,
            ))
        };
        let merchant = form::elide(&form::line(&brand.merchant), self.merchant_length);
        let merchant = match form {
            // the operator's own name: "Acme. com" would be worse than a link to the operator
            Form::Sms => form.own(&merchant),
            Form::Html | Form::Text | Form::Subject => form.foreign(&merchant),
        };
        let given = self.given_name.as_deref().map(|it| form.foreign(it));
        let full = given.as_ref().map(|given| match &self.family_name {
            Some(family) => format!("{given} {}", form.foreign(family)),
            None => given.clone(),
        });
        let tax = (self.tax != 0).then(|| amount(self.tax));
        let support = brand.support.as_deref().map(|it| form.own(&form::line(it)));

        let values = BTreeMap::from([
            ("amount", amount(self.amount)),
            ("full_name", full.clone().unwrap_or_default()),
            ("merchant", merchant.clone()),
            ("name", given.clone().unwrap_or_default()),
            ("reference", form.foreign(&self.reference)),
            ("support", support.clone().unwrap_or_default()),
            ("tax", tax.clone().unwrap_or_default()),
            ("until", until(Span::Long)),
            ("until_medium", until(Span::Medium)),
            ("until_short", until(Span::Short)),
        ]);
        let say = |name: &str| form.own(&words.say(name, &values));
        let sentences: BTreeMap<String, String> = words
            .all(&values)
            .into_iter()
            .map(|(name, sentence)| (name, form.own(&sentence)))
            .collect();
        let (shown, further) = self.items();
        json!({
            "lang": self.locale.tag,
            "merchant": merchant,
            "name": given,
            "full_name": full,
            "amount": values["amount"],
            "reference": values["reference"],
            "url": self.url,
            "until": values["until"],
            "until_medium": values["until_medium"],
            "until_short": values["until_short"],
            "tax": tax,
            "tax_words": tax.is_some().then(|| {
                say(if self.sales_tax { "sales_tax" } else { "vat" })
            }),
            "lines": shown.iter().map(|item| json!({
                "name": form.foreign(&item.name),
                "quantity": item.quantity_words().map(|it| form.foreign(&it)),
                "amount": amount(item.amount),
            })).collect::<Vec<_>>(),
            "further": (!further.is_empty()).then(|| json!({
                "count": further.len(),
                "amount": amount(further.iter().map(|it| it.amount).sum()),
            })),
            "support": support,
            "support_url": brand.support.as_deref().and_then(form::contact),
            "terms_url": brand.terms_url,
            "logo_url": brand.logo_url,
            "qr": self.qr,
            "title": say(if given.is_some() { "title_named" } else { "title" }),
            "why": say(match self.use_case {
                UseCase::Telesales => "why_telesales",
                UseCase::InStore => "why_in_store",
                UseCase::Ecommerce => "why_ecommerce",
            }),
            "words": sentences,
        })
    }

    /// The lines to show one by one, and those to sum up. One line is never summed up alone.
    fn items(&self) -> (&[Item], &[Item]) {
        if self.lines.len() <= LINES + 1 {
            (&self.lines, &[])
        } else {
            self.lines.split_at(LINES)
        }
    }
}

impl Item {
    /// `× 5`, `× 3 kg`; nothing for a single piece. "pcs" is English and says nothing more.
    fn quantity_words(&self) -> Option<String> {
        let unit = self.unit.as_deref().map(str::trim).unwrap_or_default();
        let pieces = matches!(
            unit.to_lowercase().as_str(),
            "" | "pcs" | "pc" | "piece" | "pieces"
        );
        match (self.quantity, pieces) {
            (1, true) => None,
            (quantity, true) => Some(format!("×\u{a0}{quantity}")),
            (quantity, false) => Some(format!("×\u{a0}{quantity}\u{a0}{unit}")),
        }
    }
}
