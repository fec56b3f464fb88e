//! The link.

use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use super::sale::extra;
use super::{
    AddressView, CustomerView, DeliveryView, Detail, Instant, Json, LineView, PageView, Pairs,
    PaymentView, words,
};
use crate::link::{Closing, Consumer, Delivery, Failure, Link, Refusal, Stage};

/// A payment link: a sale in KCO's own names, where it is in its life, and how it reached its buyer.
/// Money is integer minor units. Addresses, customer and recipients are masked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = Link)]
pub struct LinkView {
    /// Its name; KCO's `merchant_reference2`.
    #[schema(example = "lnk_019ab3f0c6d77b0e8f4a2f6d5c1b9a6f")]
    pub id: String,
    /// Always `link`.
    #[schema(schema_with = words::link_object)]
    pub object: &'static str,
    /// Whether real money moves.
    #[schema(schema_with = words::mode)]
    pub mode: &'static str,
    /// From 1, +1 per change; the `ETag`.
    pub version: i64,
    /// Which store it belongs to.
    #[schema(example = "default")]
    pub store: String,
    /// The seller's own order number; KCO's `merchant_reference1`.
    #[schema(example = "SO-10442")]
    pub reference: String,
    /// Where it is in its life.
    #[schema(schema_with = words::status)]
    pub status: &'static str,
    /// Whether a buyer who opens the page now can pay: `open`, and now is before `expires_at`.
    pub payable: bool,
    /// What the buyer is doing while the link is open; `null` in every other status.
    #[schema(schema_with = words::consumer)]
    pub consumer: Option<&'static str>,
    /// How seller and buyer meet.
    #[schema(schema_with = words::use_case)]
    pub use_case: &'static str,
    /// ISO 3166-1 alpha-2.
    #[schema(example = "GB")]
    pub purchase_country: String,
    /// ISO 4217.
    #[schema(example = "GBP")]
    pub purchase_currency: String,
    /// BCP 47.
    #[schema(example = "en-GB")]
    pub locale: String,
    /// Minor units.
    #[schema(example = 50000)]
    pub order_amount: i64,
    /// Tax within `order_amount`, minor units.
    #[schema(example = 4545)]
    pub order_tax_amount: i64,
    /// What is sold. Absent in the items of a list.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub order_lines: Option<Vec<LineView>>,
    /// Where the bill goes; masked.
    pub billing_address: Option<AddressView>,
    /// Where the goods go; masked.
    pub shipping_address: Option<AddressView>,
    /// Who buys; masked.
    pub customer: Option<CustomerView>,
    /// As given; handed to Klarna.
    pub options: Option<Json>,
    /// As given; handed to Klarna.
    pub merchant_data: Option<Json>,
    /// As given; handed to Klarna.
    pub attachment: Option<Json>,
    /// As given; handed to Klarna.
    pub gui: Option<Json>,
    /// As given; handed to Klarna.
    pub tags: Option<Json>,
    /// As given; handed to Klarna.
    pub billing_countries: Option<Json>,
    /// As given; handed to Klarna.
    pub shipping_countries: Option<Json>,
    /// How Klarna's page looks.
    pub page: PageView,
    /// Whether Klarna captures at once.
    pub auto_capture: bool,
    /// Where the buyer pays. Opaque: never parse it. `null` until Klarna gave one.
    #[schema(example = "https://pay.example.com/eu/hpp/payments/a94e7760")]
    pub url: Option<String>,
    /// The same as pictures.
    pub qr: QrView,
    /// What Klarna calls it and last said of it.
    pub klarna: KlarnaView,
    /// The money; `null` unless completed.
    pub payment: Option<PaymentView>,
    /// How it reached its buyer.
    pub deliveries: Vec<DeliveryView>,
    /// On whose behalf, where that was said.
    pub agent: Option<String>,
    /// `key_…` or `usr_…`.
    pub created_by: String,
    /// When it was accepted.
    pub created_at: Instant,
    /// When it last changed.
    pub updated_at: Instant,
    /// When it stops being payable; `null` until known.
    pub expires_at: Option<Instant>,
    /// Why it was closed, where a reason is known.
    #[schema(schema_with = words::closing)]
    pub closing_reason: Option<&'static str>,
    /// Why it never became payable.
    pub failure: Option<FailureView>,
    /// The link whose sale this one repeats.
    pub renewed_from: Option<String>,
    /// The link that repeats this one's sale.
    pub renewed_by: Option<String>,
    /// The integrator's own pairs.
    pub metadata: Pairs,
}

/// Paths of the QR pictures.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = Qr)]
pub struct QrView {
    /// Path below the API's base.
    pub png: String,
    /// Path below the API's base.
    pub svg: String,
    /// With `?expand=qr` only: the PNG itself, base64; `null` while the link is not payable.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable)]
    #[allow(clippy::option_option)] // absent, null, picture: the contract's three cases
    pub png_base64: Option<Option<String>>,
}

/// Klarna's names for the link, and its last word, raw.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = Klarna)]
pub struct KlarnaView {
    /// KCO's and Order Management's id.
    pub order_id: Option<String>,
    /// HPP's id.
    pub session_id: Option<String>,
    /// HPP's status word as it was read, unknown ones included.
    #[schema(example = "WAITING")]
    pub status: Option<String>,
    /// The order number that buyer and Klarna's support use.
    pub klarna_reference: Option<String>,
    /// Where a clerk does the identity check, when Klarna asks for one.
    pub manual_identification_check_url: Option<String>,
    /// When Klarna was last read with success.
    pub verified_at: Option<Instant>,
}

/// Why a link never became payable.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = Failure)]
pub struct FailureView {
    /// The kind, for machines.
    #[schema(schema_with = words::failure_code)]
    pub code: &'static str,
    /// One sentence for people.
    pub detail: String,
    /// Klarna's own words, where it refused.
    pub klarna: Option<KlarnaRefusalView>,
}

/// What Klarna said when it refused, to be read to its support.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = KlarnaRefusal)]
pub struct KlarnaRefusalView {
    /// HTTP status of Klarna's answer.
    pub status: u16,
    /// Its `error_code`.
    #[schema(example = "BAD_VALUE")]
    pub code: Option<String>,
    /// Its `error_messages`.
    pub messages: Vec<String>,
    /// Its `correlation_id`.
    pub correlation_id: Option<String>,
}

/// The word for a closing's reason; one that nobody gave is `null` outside.
pub(super) fn said(why: Closing) -> Option<&'static str> {
    match why {
        Closing::Unsaid => None,
        Closing::PaidElsewhere
        | Closing::CustomerRequest
        | Closing::OfferExpired
        | Closing::Mistake
        | Closing::Other
        | Closing::Expired
        | Closing::Replaced
        | Closing::Klarna => Some(why.as_str()),
    }
}

impl From<&Refusal> for KlarnaRefusalView {
    fn from(refusal: &Refusal) -> Self {
        Self {
            status: refusal.status,
            code: refusal.code.clone(),
            messages: refusal.messages.clone(),
            correlation_id: refusal.correlation_id.clone(),
        }
    }
}

impl From<&Failure> for FailureView {
    fn from(failure: &Failure) -> Self {
        Self {
            code: failure.code.as_str(),
            detail: failure.detail.clone(),
            klarna: failure.klarna.as_ref().map(KlarnaRefusalView::from),
        }
    }
}

impl LinkView {
    /// `link` with its `deliveries` as they are at `now`, as `detail` allows.
    pub fn new(link: &Link, deliveries: &[Delivery], now: Timestamp, detail: Detail) -> Self {
        let sale = &link.sale;
        let extra = |name| extra(&sale.extras, name);
        let pair = link.stage.pair();
        let address =
            |it: &Option<crate::link::Address>| it.as_ref().map(|it| AddressView::new(it, detail));
        Self {
            id: link.id.to_string(),
            object: "link",
            mode: link.mode.as_str(),
            version: link.version,
            store: link.store.clone(),
            reference: sale.reference.clone(),
            status: link.stage.status().as_str(),
            payable: link.payable(now),
            consumer: match &link.stage {
                Stage::Open { consumer, .. } => Some(Consumer::as_str(*consumer)),
                _ => None,
            },
            use_case: sale.use_case.as_str(),
            purchase_country: sale.country.clone(),
            purchase_currency: sale.currency.clone(),
            locale: sale.locale.clone(),
            order_amount: sale.order_amount,
            order_tax_amount: sale.order_tax_amount,
            order_lines: (detail != Detail::Item)
                .then(|| sale.lines.iter().map(LineView::from).collect()),
            billing_address: address(&sale.billing),
            shipping_address: address(&sale.shipping),
            customer: sale
                .customer
                .as_ref()
                .map(|it| CustomerView::new(it, detail)),
            options: extra("options"),
            merchant_data: extra("merchant_data"),
            attachment: extra("attachment"),
            gui: extra("gui"),
            tags: extra("tags"),
            billing_countries: extra("billing_countries"),
            shipping_countries: extra("shipping_countries"),
            page: PageView::from(&link.page),
            auto_capture: link.auto_capture,
            url: pair.map(|pair| pair.url.clone()),
            qr: QrView {
                png: format!("/v1/links/{}/qr.png", link.id),
                svg: format!("/v1/links/{}/qr.svg", link.id),
                png_base64: None,
            },
            klarna: KlarnaView {
                order_id: pair.map(|pair| pair.order.clone()),
                session_id: pair.map(|pair| pair.session.clone()),
                status: link.klarna.status.clone(),
                klarna_reference: link.klarna.reference.clone(),
                manual_identification_check_url: pair.and_then(|pair| pair.id_check_url.clone()),
                verified_at: link.klarna.verified_at.map(Instant),
            },
            payment: match &link.stage {
                Stage::Completed { payment, .. } => Some(PaymentView::new(payment, detail)),
                _ => None,
            },
            deliveries: deliveries
                .iter()
                .map(|it| DeliveryView::new(it, detail))
                .collect(),
            agent: link.agent.clone(),
            created_by: link.created_by.to_string(),
            created_at: Instant(link.created_at),
            updated_at: Instant(link.updated_at),
            expires_at: link.expires_at().map(Instant),
            closing_reason: link.closing_reason.and_then(said),
            failure: match &link.stage {
                Stage::Failed { why, .. } => Some(FailureView::from(why)),
                _ => None,
            },
            renewed_from: link.renewed_from.map(|id| id.to_string()),
            renewed_by: link.renewed_by.map(|id| id.to_string()),
            metadata: Pairs(link.metadata.clone()),
        }
    }
}
