//! Table `link`: what is fixed when it is born, and what lives. A save writes the second only.

use diesel::prelude::*;

use super::sale::{PageJson, PersonalJson, SaleJson};
use super::stage::{self, StageColumns};
use super::{Corrupt, Of, micros, seal, written};
use crate::link::{Closing, KlarnaView, Link, Mode, Sale, UseCase};
use crate::random::Random;
use crate::secret::Vault;
use crate::store::schema::link;

/// Written once. (`version` is counted by *touch* alone.)
#[derive(Queryable, Selectable, Insertable)]
#[diesel(table_name = link, treat_none_as_default_value = false)]
pub(in crate::store) struct BirthRow {
    pub id: String,
    pub version: i64,
    pub store: String,
    pub mode: String,
    pub agent: Option<String>,
    pub created_by: String,
    pub reference: String,
    pub use_case: String,
    pub country: String,
    pub currency: String,
    pub locale: String,
    pub order_amount: i64,
    pub order_tax_amount: i64,
    pub sale: String,
    pub personal: Option<Vec<u8>>,
    pub page: String,
    pub auto_capture: bool,
    pub metadata: String,
    pub wanted_end: Option<i64>,
    pub renewed_from: Option<String>,
    pub created_at: i64,
}

/// Written by every save.
#[derive(Queryable, Selectable, Insertable, AsChangeset)]
#[diesel(table_name = link, treat_none_as_default_value = false, treat_none_as_null = true)]
pub(in crate::store) struct LifeRow {
    pub sequence: i64,
    pub klarna_status: Option<String>,
    pub klarna_reference: Option<String>,
    pub klarna_updated_at: Option<i64>,
    pub klarna_expires_at: Option<i64>,
    pub klarna_verified_at: Option<i64>,
    pub closing_reason: Option<String>,
    pub closing_note: Option<String>,
    pub renewed_by: Option<String>,
    pub viewed: bool,
    pub mismatch: bool,
    pub acknowledged: bool,
    pub updated_at: i64,
}

/// A whole row.
pub(in crate::store) type LinkRow = (BirthRow, LifeRow, StageColumns);

impl BirthRow {
    pub fn of(link: &Link, vault: &Vault, random: &Random) -> Self {
        let id = link.id.to_string();
        let personal = PersonalJson::of(&link.sale)
            .map(|it| seal(vault, random, "link.personal", &id, &written(&it)));
        Self {
            id,
            version: link.version,
            store: link.store.clone(),
            mode: link.mode.as_str().to_owned(),
            agent: link.agent.clone(),
            created_by: link.created_by.to_string(),
            reference: link.sale.reference.clone(),
            use_case: link.sale.use_case.as_str().to_owned(),
            country: link.sale.country.clone(),
            currency: link.sale.currency.clone(),
            locale: link.sale.locale.clone(),
            order_amount: link.sale.order_amount,
            order_tax_amount: link.sale.order_tax_amount,
            sale: written(&SaleJson::of(&link.sale)),
            personal,
            page: written(&PageJson::of(&link.page)),
            auto_capture: link.auto_capture,
            metadata: written(&link.metadata),
            wanted_end: link.wanted_end.map(micros),
            renewed_from: link.renewed_from.map(|it| it.to_string()),
            created_at: micros(link.created_at),
        }
    }
}

impl LifeRow {
    pub fn of(link: &Link) -> Self {
        Self {
            sequence: link.sequence,
            klarna_status: link.klarna.status.clone(),
            klarna_reference: link.klarna.reference.clone(),
            klarna_updated_at: link.klarna.updated_at.map(micros),
            klarna_expires_at: link.klarna.expires_at.map(micros),
            klarna_verified_at: link.klarna.verified_at.map(micros),
            closing_reason: link.closing_reason.map(|it| it.as_str().to_owned()),
            closing_note: link.closing_note.clone(),
            renewed_by: link.renewed_by.map(|it| it.to_string()),
            viewed: link.viewed,
            mismatch: link.mismatch,
            acknowledged: link.acknowledged,
            updated_at: micros(link.updated_at),
        }
    }
}

impl TryFrom<(LinkRow, &Vault)> for Link {
    type Error = Corrupt;

    fn try_from(((birth, life, stage), vault): (LinkRow, &Vault)) -> Result<Self, Corrupt> {
        let id = birth.id.clone();
        let of = Of(&id);
        let stage = stage::open(stage, of, vault)?;
        let (lines, extras) = of.json::<SaleJson>("link.sale", &birth.sale)?.parts(of)?;
        let personal = match &birth.personal {
            None => PersonalJson::default(),
            Some(sealed) => {
                let plain = of.open(vault, "link.personal", sealed)?;
                of.json("link.personal", &plain)?
            }
        };
        let (billing, shipping, customer) = personal.parts(of)?;
        let linked = |place, text: Option<String>| text.map(|it| of.id(place, &it)).transpose();
        let closing = life
            .closing_reason
            .map(|word| of.some("link.closing_reason", Closing::from_word(&word)));
        Ok(Link {
            id: of.id("link.id", &birth.id)?,
            version: birth.version,
            sequence: life.sequence,
            store: birth.store,
            mode: of.some("link.mode", Mode::from_word(&birth.mode))?,
            agent: birth.agent,
            created_by: of.id("link.created_by", &birth.created_by)?,
            sale: Sale {
                reference: birth.reference,
                use_case: of.some("link.use_case", UseCase::from_word(&birth.use_case))?,
                country: birth.country,
                currency: birth.currency,
                locale: birth.locale,
                order_amount: birth.order_amount,
                order_tax_amount: birth.order_tax_amount,
                lines,
                billing,
                shipping,
                customer,
                extras,
            },
            page: of.json::<PageJson>("link.page", &birth.page)?.page(of)?,
            auto_capture: birth.auto_capture,
            metadata: of.json("link.metadata", &birth.metadata)?,
            stage,
            wanted_end: of.time_maybe("link.wanted_end", birth.wanted_end)?,
            klarna: KlarnaView {
                status: life.klarna_status,
                reference: life.klarna_reference,
                updated_at: of.time_maybe("link.klarna_updated_at", life.klarna_updated_at)?,
                expires_at: of.time_maybe("link.klarna_expires_at", life.klarna_expires_at)?,
                verified_at: of.time_maybe("link.klarna_verified_at", life.klarna_verified_at)?,
            },
            closing_reason: closing.transpose()?,
            closing_note: life.closing_note,
            renewed_from: linked("link.renewed_from", birth.renewed_from)?,
            renewed_by: linked("link.renewed_by", life.renewed_by)?,
            viewed: life.viewed,
            mismatch: life.mismatch,
            acknowledged: life.acknowledged,
            created_at: of.time("link.created_at", birth.created_at)?,
            updated_at: of.time("link.updated_at", life.updated_at)?,
        })
    }
}
