//! Order Management v1: the order that the money belongs to (klarna.md §3).

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::super::error::clean;
use super::super::money::Movement;
use super::kco::OrderLine;
use super::{lenient, time};
use crate::json;
use crate::link::{self, Booking, Buyer, Email, Line, Payment, PaymentStatus, Phone};

/// What Order Management takes of a line's extras. It knows no `shipping_attributes`, and its
/// `subscription` needs a name that Checkout's does without: a capture must not fail for either.
const LINE_EXTRAS: &[&str] = &[
    "merchant_data",
    "product_url",
    "image_url",
    "product_identifiers",
];

/// `POST …/captures`.
#[derive(Serialize)]
pub(in super::super) struct Capture<'a> {
    captured_amount: i64,
    #[serde(flatten)]
    said: Said<'a>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    shipping_info: Vec<Value>,
}

/// `POST …/refunds`.
#[derive(Serialize)]
pub(in super::super) struct Refund<'a> {
    refunded_amount: i64,
    #[serde(flatten)]
    said: Said<'a>,
}

/// What both movements say beside their amount.
#[derive(Serialize)]
struct Said<'a> {
    reference: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    order_lines: Vec<OrderLine<'a>>,
}

impl<'a> Capture<'a> {
    pub(in super::super) fn of(movement: &Movement<'a>) -> Self {
        Self {
            captured_amount: movement.amount,
            said: Said::of(movement),
            shipping_info: movement.shipments.iter().map(json::value).collect(),
        }
    }
}

impl<'a> Refund<'a> {
    pub(in super::super) fn of(movement: &Movement<'a>) -> Self {
        Self {
            refunded_amount: movement.amount,
            said: Said::of(movement),
        }
    }
}

impl<'a> Said<'a> {
    fn of(movement: &Movement<'a>) -> Self {
        Self {
            reference: movement.reference,
            description: movement.description,
            order_lines: OrderLine::all(movement.lines, LINE_EXTRAS),
        }
    }
}

/// `PATCH …/authorization`.
#[derive(Serialize)]
pub(in super::super) struct Authorization<'a> {
    order_amount: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    order_lines: Vec<OrderLine<'a>>,
}

impl<'a> Authorization<'a> {
    pub(in super::super) fn of(
        amount: i64,
        lines: &'a [Line],
        description: Option<&'a str>,
    ) -> Self {
        Self {
            order_amount: amount,
            description,
            order_lines: OrderLine::all(lines, LINE_EXTRAS),
        }
    }
}

/// `PATCH …/merchant-references`: a member that is there overwrites, so one that stays is not sent.
#[derive(Serialize)]
#[allow(clippy::struct_field_names)] // Klarna's names
pub(in super::super) struct References<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in super::super) merchant_reference1: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in super::super) merchant_reference2: Option<&'a str>,
}

/// `GET /ordermanagement/v1/orders/{id}`.
#[derive(Debug, Deserialize)]
pub(in super::super) struct OrderAnswer {
    #[serde(default, deserialize_with = "lenient")]
    pub(in super::super) order_id: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    status: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    fraud_status: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    order_amount: Option<i64>,
    #[serde(default, deserialize_with = "lenient")]
    original_order_amount: Option<i64>,
    #[serde(default, deserialize_with = "lenient")]
    captured_amount: Option<i64>,
    #[serde(default, deserialize_with = "lenient")]
    refunded_amount: Option<i64>,
    #[serde(default, deserialize_with = "lenient")]
    remaining_authorized_amount: Option<i64>,
    #[serde(default, deserialize_with = "lenient")]
    purchase_country: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    pub(in super::super) purchase_currency: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    pub(in super::super) merchant_reference2: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    pub(in super::super) klarna_reference: Option<String>,
    #[serde(default, deserialize_with = "time")]
    expires_at: Option<Timestamp>,
    #[serde(default, deserialize_with = "lenient")]
    billing_address: Option<Address>,
    #[serde(default, deserialize_with = "lenient")]
    shipping_address: Option<Address>,
    #[serde(default, deserialize_with = "lenient")]
    initial_payment_method: Option<InitialPaymentMethod>,
    #[serde(default, deserialize_with = "lenient")]
    captures: Option<Vec<CaptureAnswer>>,
    #[serde(default, deserialize_with = "lenient")]
    refunds: Option<Vec<RefundAnswer>>,
}

/// An entry of `captures`.
#[derive(Debug, Deserialize)]
struct CaptureAnswer {
    #[serde(default, deserialize_with = "lenient")]
    capture_id: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    captured_amount: Option<i64>,
    #[serde(default, deserialize_with = "time")]
    captured_at: Option<Timestamp>,
    #[serde(default, deserialize_with = "lenient")]
    reference: Option<String>,
}

/// An entry of `refunds`.
#[derive(Debug, Deserialize)]
struct RefundAnswer {
    #[serde(default, deserialize_with = "lenient")]
    refund_id: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    refunded_amount: Option<i64>,
    #[serde(default, deserialize_with = "time")]
    refunded_at: Option<Timestamp>,
    #[serde(default, deserialize_with = "lenient")]
    reference: Option<String>,
}

/// A booking in our words; one without id or amount cannot be told from another and is left out.
fn booking(
    id: Option<&str>,
    amount: Option<i64>,
    at: Option<Timestamp>,
    reference: Option<&str>,
) -> Option<Booking> {
    Some(Booking {
        id: clean(id?, 255)?,
        amount: amount?,
        reference: reference.and_then(|it| clean(it, 255)),
        at,
    })
}

#[derive(Debug, Deserialize)]
struct InitialPaymentMethod {
    #[serde(default, rename = "type", deserialize_with = "lenient")]
    kind: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    description: Option<String>,
}

macro_rules! address {
    ($($name:ident),+ $(,)?) => {
        #[derive(Debug, Deserialize)]
        struct Address {
            $(#[serde(default, deserialize_with = "lenient")] $name: Option<String>,)+
            #[serde(default, deserialize_with = "lenient")]
            email: Option<String>,
            #[serde(default, deserialize_with = "lenient")]
            phone: Option<String>,
        }
        impl Address {
            /// In our words. An e-mail or phone that we could not write to is left out.
            fn read(self, country: &str) -> link::Address {
                let country = self.country.clone().unwrap_or_else(|| country.to_owned());
                link::Address {
                    email: self.email.and_then(|it| Email::parse(it.trim()).ok()),
                    phone: self.phone.and_then(|it| {
                        Phone::parse(it.trim(), &country.to_ascii_uppercase()).ok()
                    }),
                    $($name: self.$name.and_then(|it| clean(&it, 255)),)+
                }
            }
        }
    };
}
address!(
    given_name,
    family_name,
    organization_name,
    reference,
    attention,
    title,
    street_address,
    street_address2,
    street_name,
    street_number,
    house_extension,
    postal_code,
    city,
    region,
    country,
    care_of,
);

impl OrderAnswer {
    /// What was authorised, minor units. A later release or change moves `order_amount`, so the
    /// original counts where there is one.
    pub(in super::super) fn authorised(&self) -> Option<i64> {
        self.original_order_amount.or(self.order_amount)
    }

    /// The captures, whoever made them.
    pub(in super::super) fn captures(&self) -> Vec<Booking> {
        let all = self.captures.iter().flatten();
        all.filter_map(|it| {
            booking(
                it.capture_id.as_deref(),
                it.captured_amount,
                it.captured_at,
                it.reference.as_deref(),
            )
        })
        .collect()
    }

    /// The refunds, whoever made them.
    pub(in super::super) fn refunds(&self) -> Vec<Booking> {
        let all = self.refunds.iter().flatten();
        all.filter_map(|it| {
            booking(
                it.refund_id.as_deref(),
                it.refunded_amount,
                it.refunded_at,
                it.reference.as_deref(),
            )
        })
        .collect()
    }

    /// The status in our words, or the word itself where nobody told us of it.
    pub(in super::super) fn status(&self) -> Result<PaymentStatus, String> {
        let word = self.status.as_deref().unwrap_or_default();
        PaymentStatus::from_word(&word.to_ascii_lowercase()).ok_or_else(|| word.to_owned())
    }

    /// The money and the buyer in our words.
    pub(in super::super) fn payment(self) -> Payment {
        // that Order Management answered at all proves the authorisation; an unknown word says no
        // more than that
        let status = self.status().unwrap_or(PaymentStatus::Authorized);
        let country = self.purchase_country.unwrap_or_default();
        let billing = self.billing_address.map(|it| it.read(&country));
        let shipping = self.shipping_address.map(|it| it.read(&country));
        let payment_method = self.initial_payment_method.and_then(|it| {
            let kind = it.kind.and_then(|it| clean(&it, 100));
            let description = it.description.and_then(|it| clean(&it, 150));
            match (kind, description) {
                (Some(kind), Some(description)) => Some(format!("{kind} ({description})")),
                (kind, description) => kind.or(description),
            }
        });
        let told = billing.is_some() || shipping.is_some() || payment_method.is_some();
        Payment {
            status,
            fraud_status: self
                .fraud_status
                .and_then(|it| clean(&it, 50))
                .map(|it| it.to_ascii_uppercase()),
            captured_amount: self.captured_amount,
            refunded_amount: self.refunded_amount,
            remaining_amount: self.remaining_authorized_amount,
            expires_at: self.expires_at,
            buyer: told.then_some(Buyer {
                billing,
                shipping,
                payment_method,
            }),
        }
    }
}
