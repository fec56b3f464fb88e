//! Table `delivery`. The recipient lies sealed, beside its blind index (limits per recipient) and
//! its mask (what remains after an erasure).

use diesel::prelude::*;

use super::{Corrupt, Of, micros, seal};
use crate::link::{Channel, Delivery, DeliveryStatus, Email, Phone, Reason, ReasonCode, Recipient};
use crate::random::Random;
use crate::secret::Vault;
use crate::store::schema::delivery;
use crate::store::search;

#[derive(Queryable, Selectable, Insertable)]
#[diesel(table_name = delivery, treat_none_as_default_value = false)]
pub(in crate::store) struct DeliveryRow {
    pub id: String,
    pub link: String,
    pub channel: String,
    pub recipient: Vec<u8>,
    pub recipient_blind: Vec<u8>,
    pub recipient_masked: String,
    pub template: String,
    pub agent: Option<String>,
    pub created_at: i64,
}

/// What changes after it was asked for.
#[derive(Queryable, Selectable, Insertable, AsChangeset)]
#[diesel(table_name = delivery, treat_none_as_default_value = false, treat_none_as_null = true)]
pub(in crate::store) struct ProgressRow {
    pub status: String,
    pub attempts: i64,
    pub reason_code: Option<String>,
    pub reason_detail: Option<String>,
    pub sent_at: Option<i64>,
    pub next_attempt_at: Option<i64>,
    pub gateway: Option<String>,
    pub gateway_message_id: Option<String>,
    pub segments: Option<i64>,
}

impl DeliveryRow {
    pub fn of(delivery: &Delivery, vault: &Vault, random: &Random) -> Self {
        let id = delivery.id.to_string();
        let to = delivery.to.as_str();
        Self {
            recipient: seal(vault, random, "delivery.recipient", &id, to),
            recipient_blind: search::recipient(vault, &delivery.to),
            recipient_masked: delivery.to.masked(),
            id,
            link: delivery.link.to_string(),
            channel: delivery.to.channel().as_str().to_owned(),
            template: delivery.template.clone(),
            agent: delivery.agent.clone(),
            created_at: micros(delivery.created_at),
        }
    }
}

impl ProgressRow {
    pub fn of(delivery: &Delivery) -> Self {
        let reason = delivery.reason.as_ref();
        Self {
            status: delivery.status.as_str().to_owned(),
            attempts: i64::from(delivery.attempts),
            reason_code: reason.map(|it| it.code.as_str().to_owned()),
            reason_detail: reason.map(|it| it.detail.clone()),
            sent_at: delivery.sent_at.map(micros),
            next_attempt_at: delivery.next_attempt_at.map(micros),
            gateway: delivery.gateway.clone(),
            gateway_message_id: delivery.gateway_message_id.clone(),
            segments: delivery.segments.map(i64::from),
        }
    }
}

impl TryFrom<((DeliveryRow, ProgressRow), &Vault)> for Delivery {
    type Error = Corrupt;

    fn try_from(
        ((row, progress), vault): ((DeliveryRow, ProgressRow), &Vault),
    ) -> Result<Self, Corrupt> {
        let of = Of(&row.id);
        let to = of.open(vault, "delivery.recipient", &row.recipient)?;
        let to = match of.some("delivery.channel", Channel::from_word(&row.channel))? {
            Channel::Email => Some(Recipient::Email(Email::trusted(to))),
            Channel::Sms => Phone::trusted(to).map(Recipient::Sms),
        };
        let reason = match (progress.reason_code, progress.reason_detail) {
            (Some(code), Some(detail)) => Some(Reason {
                code: of.some("delivery.reason_code", ReasonCode::from_word(&code))?,
                detail,
            }),
            (None, None) => None,
            _ => return Err(of.bad("delivery.reason_detail")),
        };
        let status = DeliveryStatus::from_word(&progress.status);
        let segments = progress
            .segments
            .map(|it| of.small("delivery.segments", it));
        Ok(Delivery {
            id: of.id("delivery.id", &row.id)?,
            link: of.id("delivery.link", &row.link)?,
            to: of.some("delivery.recipient", to)?,
            template: row.template.clone(),
            agent: row.agent.clone(),
            status: of.some("delivery.status", status)?,
            attempts: of.small("delivery.attempts", progress.attempts)?,
            reason,
            sent_at: of.time_maybe("delivery.sent_at", progress.sent_at)?,
            next_attempt_at: of.time_maybe("delivery.next_attempt_at", progress.next_attempt_at)?,
            gateway: progress.gateway,
            gateway_message_id: progress.gateway_message_id,
            segments: segments.transpose()?,
            created_at: of.time("delivery.created_at", row.created_at)?,
        })
    }
}
