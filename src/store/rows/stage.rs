//! The stage as columns: one word, and the facts that are true only there. A CHECK on the table
//! says the same; what slips through both is [`Corrupt`].

use diesel::prelude::*;
use serde::{Deserialize, Serialize};

use super::sale::BuyerJson;
use super::{Corrupt, Of, micros, seal, written};
use crate::link::{
    Closing, Consumer, Failure, FailureCode, Link, Pair, Payment, PaymentStatus, Refusal, Stage,
    Status,
};
use crate::random::Random;
use crate::secret::Vault;
use crate::store::schema::link;

#[derive(Default, Queryable, Selectable, Insertable, AsChangeset)]
#[diesel(table_name = link, treat_none_as_default_value = false, treat_none_as_null = true)]
pub(in crate::store) struct StageColumns {
    pub status: String,
    pub pairs_tried: Option<i64>,
    pub pair_number: Option<i64>,
    pub klarna_order: Option<String>,
    pub klarna_session: Option<String>,
    pub url: Option<String>,
    pub id_check_url: Option<String>,
    pub until_at: Option<i64>,
    pub consumer: Option<String>,
    pub stage_at: Option<i64>,
    pub stage_by: Option<String>,
    pub stage_why: Option<String>,
    pub failure_code: Option<String>,
    pub failure_detail: Option<String>,
    pub failure_klarna: Option<String>,
    pub payment_status: Option<String>,
    pub fraud_status: Option<String>,
    pub captured_amount: Option<i64>,
    pub refunded_amount: Option<i64>,
    pub remaining_amount: Option<i64>,
    pub payment_expires_at: Option<i64>,
    pub buyer: Option<Vec<u8>>,
}

/// Klarna's words as they lie in a column.
#[derive(Serialize, Deserialize)]
pub(super) struct RefusalJson {
    status: u16,
    code: Option<String>,
    messages: Vec<String>,
    correlation_id: Option<String>,
}

impl RefusalJson {
    pub fn column(refusal: &Refusal) -> String {
        written(&Self {
            status: refusal.status,
            code: refusal.code.clone(),
            messages: refusal.messages.clone(),
            correlation_id: refusal.correlation_id.clone(),
        })
    }
}

impl From<RefusalJson> for Refusal {
    fn from(json: RefusalJson) -> Self {
        Self {
            status: json.status,
            code: json.code,
            messages: json.messages,
            correlation_id: json.correlation_id,
        }
    }
}

impl StageColumns {
    pub fn of(link: &Link, vault: &Vault, random: &Random) -> Self {
        let mut row = Self {
            status: link.stage.status().as_str().to_owned(),
            ..Self::default()
        };
        if let Some(pair) = link.stage.pair() {
            row.pair_number = Some(i64::from(pair.number));
            row.klarna_order = Some(pair.order.clone());
            row.klarna_session = Some(pair.session.clone());
            row.url = Some(pair.url.clone());
            row.id_check_url.clone_from(&pair.id_check_url);
        }
        match &link.stage {
            Stage::Creating { pairs_tried } => row.pairs_tried = Some(i64::from(*pairs_tried)),
            Stage::Open {
                until, consumer, ..
            } => {
                row.until_at = Some(micros(*until));
                row.consumer = Some(consumer.as_str().to_owned());
            }
            Stage::Disabling { why, by, since, .. } => {
                row.closing(*why, &by.to_string(), micros(*since));
            }
            Stage::Disabled { why, by, at, .. } => {
                row.closing(*why, &by.to_string(), micros(*at));
            }
            Stage::Completed { at, payment, .. } => {
                row.stage_at = Some(micros(*at));
                row.payment(payment, |plain| {
                    seal(vault, random, "link.buyer", &link.id.to_string(), plain)
                });
            }
            Stage::Cancelled { at, .. } | Stage::Expired { at, .. } => {
                row.stage_at = Some(micros(*at));
            }
            Stage::Failed { at, why } => {
                row.stage_at = Some(micros(*at));
                row.failure_code = Some(why.code.as_str().to_owned());
                row.failure_detail = Some(why.detail.clone());
                row.failure_klarna = why.klarna.as_ref().map(RefusalJson::column);
            }
        }
        row
    }

    fn closing(&mut self, why: Closing, by: &str, at: i64) {
        self.stage_why = Some(why.as_str().to_owned());
        self.stage_by = Some(by.to_owned());
        self.stage_at = Some(at);
    }

    fn payment(&mut self, payment: &Payment, seal: impl Fn(&str) -> Vec<u8>) {
        self.payment_status = Some(payment.status.as_str().to_owned());
        self.fraud_status.clone_from(&payment.fraud_status);
        self.captured_amount = payment.captured_amount;
        self.refunded_amount = payment.refunded_amount;
        self.remaining_amount = payment.remaining_amount;
        self.payment_expires_at = payment.expires_at.map(micros);
        self.buyer = payment
            .buyer
            .as_ref()
            .map(|it| seal(&written(&BuyerJson::of(it))));
    }
}

/// The stage that the columns tell of.
pub(in crate::store) fn open(
    row: StageColumns,
    of: Of<'_>,
    vault: &Vault,
) -> Result<Stage, Corrupt> {
    let status = of.some("link.status", Status::from_word(&row.status))?;
    let pair = pair(&row, of)?;
    let some_pair = |pair: Option<Pair>| of.some("link.pair_number", pair);
    let at = |row: &StageColumns| {
        let at = of.some("link.stage_at", row.stage_at)?;
        of.time("link.stage_at", at)
    };
    let why = |row: &StageColumns| {
        let word = row.stage_why.as_deref().and_then(Closing::from_word);
        of.some("link.stage_why", word)
    };
    let by = |row: &StageColumns| {
        let by = of.some("link.stage_by", row.stage_by.as_deref())?;
        of.id("link.stage_by", by)
    };
    Ok(match status {
        Status::Creating => Stage::Creating {
            pairs_tried: of.small(
                "link.pairs_tried",
                of.some("link.pairs_tried", row.pairs_tried)?,
            )?,
        },
        Status::Open => Stage::Open {
            pair: some_pair(pair)?,
            until: of.time("link.until_at", of.some("link.until_at", row.until_at)?)?,
            consumer: of.some(
                "link.consumer",
                row.consumer.as_deref().and_then(Consumer::from_word),
            )?,
        },
        Status::Disabling => Stage::Disabling {
            pair,
            why: why(&row)?,
            by: by(&row)?,
            since: at(&row)?,
        },
        Status::Completed => Stage::Completed {
            pair: some_pair(pair)?,
            at: at(&row)?,
            payment: Box::new(payment(row, of, vault)?),
        },
        Status::Cancelled => Stage::Cancelled {
            pair: some_pair(pair)?,
            at: at(&row)?,
        },
        Status::Disabled => Stage::Disabled {
            pair,
            at: at(&row)?,
            by: by(&row)?,
            why: why(&row)?,
        },
        Status::Expired => Stage::Expired {
            pair,
            at: at(&row)?,
        },
        Status::Failed => Stage::Failed {
            at: at(&row)?,
            why: failure(row, of)?,
        },
    })
}

fn pair(row: &StageColumns, of: Of<'_>) -> Result<Option<Pair>, Corrupt> {
    let Some(number) = row.pair_number else {
        return Ok(None);
    };
    Ok(Some(Pair {
        number: of.small("link.pair_number", number)?,
        order: of.some("link.klarna_order", row.klarna_order.clone())?,
        session: of.some("link.klarna_session", row.klarna_session.clone())?,
        url: of.some("link.url", row.url.clone())?,
        id_check_url: row.id_check_url.clone(),
    }))
}

fn payment(row: StageColumns, of: Of<'_>, vault: &Vault) -> Result<Payment, Corrupt> {
    let status = row
        .payment_status
        .as_deref()
        .and_then(PaymentStatus::from_word);
    let buyer = match row.buyer {
        None => None,
        Some(sealed) => {
            let plain = of.open(vault, "link.buyer", &sealed)?;
            Some(of.json::<BuyerJson>("link.buyer", &plain)?.buyer(of)?)
        }
    };
    Ok(Payment {
        status: of.some("link.payment_status", status)?,
        fraud_status: row.fraud_status,
        captured_amount: row.captured_amount,
        refunded_amount: row.refunded_amount,
        remaining_amount: row.remaining_amount,
        expires_at: of.time_maybe("link.payment_expires_at", row.payment_expires_at)?,
        buyer,
    })
}

fn failure(row: StageColumns, of: Of<'_>) -> Result<Failure, Corrupt> {
    let code = row.failure_code.as_deref().and_then(FailureCode::from_word);
    let klarna = row
        .failure_klarna
        .map(|text| of.json::<RefusalJson>("link.failure_klarna", &text))
        .transpose()?;
    Ok(Failure {
        code: of.some("link.failure_code", code)?,
        detail: of.some("link.failure_detail", row.failure_detail)?,
        klarna: klarna.map(Refusal::from),
    })
}
