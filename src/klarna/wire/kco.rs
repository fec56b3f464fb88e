//! KCO v3: the order (klarna.md §2, `contract.md`, Use cases and Merchant URLs).

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::super::KlarnaSettings;
use super::lenient;
use crate::json;
use crate::link::{self, Link, Tree};

/// Members of a sale that are handed on as they are. The list is closed, so that nothing in a stored
/// sale can take the place of a member that we answer for.
const ORDER_EXTRAS: &[&str] = &[
    "gui",
    "attachment",
    "merchant_data",
    "tags",
    "billing_countries",
    "shipping_countries",
];
const LINE_EXTRAS: &[&str] = &[
    "merchant_data",
    "product_url",
    "image_url",
    "product_identifiers",
    "shipping_attributes",
    "subscription",
];

/// `POST /checkout/v3/orders`.
#[derive(Serialize)]
#[allow(clippy::struct_field_names)] // Klarna's names
pub(in super::super) struct Order<'a> {
    purchase_country: &'a str,
    purchase_currency: &'a str,
    locale: &'a str,
    order_amount: i64,
    order_tax_amount: i64,
    order_lines: Vec<OrderLine<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    billing_address: Option<Address<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    shipping_address: Option<Address<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    customer: Option<Customer<'a>>,
    merchant_urls: MerchantUrls<'a>,
    merchant_reference1: &'a str,
    merchant_reference2: String,
    options: Map<String, Value>,
    #[serde(flatten)]
    extras: Map<String, Value>,
}

#[derive(Serialize)]
pub(super) struct OrderLine<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reference: Option<&'a str>,
    name: &'a str,
    quantity: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    quantity_unit: Option<&'a str>,
    unit_price: i64,
    tax_rate: i64,
    total_amount: i64,
    total_discount_amount: i64,
    total_tax_amount: i64,
    #[serde(flatten)]
    extras: Map<String, Value>,
}

#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
struct MerchantUrls<'a> {
    terms: &'a str,
    checkout: String,
    confirmation: String,
    push: String,
    notification: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    validation: Option<String>,
}

#[derive(Serialize)]
struct Address<'a> {
    #[serde(flatten)]
    members: Map<String, Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    email: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    phone: Option<&'a str>,
}

#[derive(Serialize)]
struct Customer<'a> {
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    kind: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    gender: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    date_of_birth: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    organization_registration_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    vat_id: Option<&'a str>,
}

impl<'a> Order<'a> {
    /// The order of a link, with the merchant URLs that its `token` opens.
    pub(in super::super) fn of(link: &'a Link, token: &str, settings: &'a KlarnaSettings) -> Self {
        let sale = &link.sale;
        Self {
            purchase_country: &sale.country,
            purchase_currency: &sale.currency,
            locale: &sale.locale,
            order_amount: sale.order_amount,
            order_tax_amount: sale.order_tax_amount,
            order_lines: OrderLine::all(&sale.lines, LINE_EXTRAS),
            billing_address: sale.billing.as_ref().map(Address::of),
            shipping_address: sale.shipping.as_ref().map(Address::of),
            customer: sale.customer.as_ref().map(Customer::of),
            merchant_urls: MerchantUrls::of(token, settings),
            merchant_reference1: &sale.reference,
            merchant_reference2: link.id.to_string(),
            options: options(link, settings),
            extras: picked(&sale.extras, ORDER_EXTRAS),
        }
    }
}

/// The seller's options with the four that we answer for. HPP runs no script of the merchant's, so
/// a client-side validation would block every purchase (klarna.md §5).
fn options(link: &Link, settings: &KlarnaSettings) -> Map<String, Value> {
    let mut options = match link.sale.extras.get("options").map(json::value) {
        Some(Value::Object(options)) => options,
        _ => Map::new(),
    };
    options.retain(|_, value| !value.is_null());
    let channel = settings.channel(link.sale.use_case);
    options.insert("acquiring_channel".into(), channel.into());
    options.insert("auto_capture".into(), link.auto_capture.into());
    options.insert("require_client_validation".into(), false.into());
    options.insert("require_validate_callback_success".into(), false.into());
    options
}

fn picked(extras: &Tree, names: &[&str]) -> Map<String, Value> {
    names
        .iter()
        .filter_map(|name| Some(((*name).to_owned(), json::value(extras.get(name)?))))
        .collect()
}

impl<'a> OrderLine<'a> {
    /// Lines with those members of their extras that the API at hand knows.
    pub(super) fn all(lines: &'a [link::Line], extras: &[&str]) -> Vec<Self> {
        lines.iter().map(|line| Self::of(line, extras)).collect()
    }

    fn of(line: &'a link::Line, extras: &[&str]) -> Self {
        Self {
            kind: line.kind.as_str(),
            reference: line.reference.as_deref(),
            name: &line.name,
            quantity: line.quantity,
            quantity_unit: line.quantity_unit.as_deref(),
            unit_price: line.unit_price,
            tax_rate: line.tax_rate,
            total_amount: line.total_amount,
            total_discount_amount: line.total_discount_amount,
            total_tax_amount: line.total_tax_amount,
            extras: picked(&line.extras, extras),
        }
    }
}

impl<'a> MerchantUrls<'a> {
    fn of(token: &str, settings: &'a KlarnaSettings) -> Self {
        let at = |path: &str| settings.at(path, token);
        Self {
            terms: &settings.terms_url,
            checkout: at("/return/checkout/"),
            confirmation: at("/return/confirmation/") + "?oid={checkout.order.id}",
            push: at("/callbacks/push/") + "?oid={checkout.order.id}",
            notification: at("/callbacks/notification/"),
            validation: settings
                .validation_url
                .then(|| at("/callbacks/validation/")),
        }
    }
}

impl<'a> Address<'a> {
    fn of(from: &'a link::Address) -> Self {
        let members = [
            ("given_name", &from.given_name),
            ("family_name", &from.family_name),
            ("organization_name", &from.organization_name),
            ("reference", &from.reference),
            ("attention", &from.attention),
            ("title", &from.title),
            ("street_address", &from.street_address),
            ("street_address2", &from.street_address2),
            ("street_name", &from.street_name),
            ("street_number", &from.street_number),
            ("house_extension", &from.house_extension),
            ("postal_code", &from.postal_code),
            ("city", &from.city),
            ("region", &from.region),
            ("country", &from.country),
            ("care_of", &from.care_of),
        ];
        Self {
            members: members
                .into_iter()
                .filter_map(|(name, value)| Some((name.to_owned(), value.clone()?.into())))
                .collect(),
            email: from.email.as_ref().map(link::Email::as_str),
            phone: from.phone.as_ref().map(link::Phone::as_str),
        }
    }
}

impl<'a> Customer<'a> {
    fn of(from: &'a link::Customer) -> Self {
        Self {
            kind: from.kind.as_deref(),
            gender: from.gender.as_deref(),
            date_of_birth: from.date_of_birth.as_deref(),
            organization_registration_id: from.organization_registration_id.as_deref(),
            vat_id: from.vat_id.as_deref(),
        }
    }
}

/// The order as KCO answers it, at creation and when read.
#[derive(Debug, Deserialize)]
pub(in super::super) struct OrderAnswer {
    #[serde(default, deserialize_with = "lenient")]
    pub(in super::super) order_id: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    pub(in super::super) status: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    pub(in super::super) order_amount: Option<i64>,
    #[serde(default, deserialize_with = "lenient")]
    pub(in super::super) purchase_currency: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    pub(in super::super) merchant_reference2: Option<String>,
}
