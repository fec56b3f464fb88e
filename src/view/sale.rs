//! Order lines and the look of the page, in KCO's and HPP's own names.

use serde::Serialize;
use utoipa::ToSchema;

use super::{Json, words};
use crate::link::{Line, Page, Tree};

/// One order line. Amounts are minor units of `purchase_currency`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = Line)]
#[allow(missing_docs)]
pub struct LineView {
    #[serde(rename = "type")]
    #[schema(schema_with = words::line_kind)]
    pub kind: &'static str,
    pub reference: Option<String>,
    pub name: String,
    pub quantity: i64,
    pub quantity_unit: Option<String>,
    pub unit_price: i64,
    /// Percent with two implied decimals: 2000 is 20 %.
    pub tax_rate: i64,
    pub total_discount_amount: i64,
    pub total_amount: i64,
    pub total_tax_amount: i64,
    pub merchant_data: Option<Json>,
    pub product_url: Option<Json>,
    pub image_url: Option<Json>,
    pub product_identifiers: Option<Json>,
    pub shipping_attributes: Option<Json>,
    pub subscription: Option<Json>,
}

/// How Klarna's page looks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = Page)]
#[allow(missing_docs)]
pub struct PageView {
    pub title: Option<String>,
    pub logo_url: Option<String>,
    pub background_images: Vec<BackgroundView>,
    pub purchase_type: Option<String>,
    pub show_subtotal_detail: Option<String>,
    /// Which way out the page offers, where the request said so; else it follows the use case.
    #[schema(schema_with = words::exit)]
    pub exit: Option<&'static str>,
}

/// One background picture.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = Background)]
#[allow(missing_docs)]
pub struct BackgroundView {
    pub url: String,
    /// Pixels.
    pub width: i64,
}

/// A member that is handed through as it came.
pub(super) fn extra(extras: &Tree, name: &str) -> Option<Json> {
    extras.get(name).cloned().map(Json)
}

impl From<&Line> for LineView {
    fn from(line: &Line) -> Self {
        Self {
            kind: line.kind.as_str(),
            reference: line.reference.clone(),
            name: line.name.clone(),
            quantity: line.quantity,
            quantity_unit: line.quantity_unit.clone(),
            unit_price: line.unit_price,
            tax_rate: line.tax_rate,
            total_discount_amount: line.total_discount_amount,
            total_amount: line.total_amount,
            total_tax_amount: line.total_tax_amount,
            merchant_data: extra(&line.extras, "merchant_data"),
            product_url: extra(&line.extras, "product_url"),
            image_url: extra(&line.extras, "image_url"),
            product_identifiers: extra(&line.extras, "product_identifiers"),
            shipping_attributes: extra(&line.extras, "shipping_attributes"),
            subscription: extra(&line.extras, "subscription"),
        }
    }
}

impl From<&Page> for PageView {
    fn from(page: &Page) -> Self {
        Self {
            title: page.title.clone(),
            logo_url: page.logo_url.clone(),
            background_images: page
                .background_images
                .iter()
                .map(|image| BackgroundView {
                    url: image.url.clone(),
                    width: image.width,
                })
                .collect(),
            purchase_type: page.purchase_type.clone(),
            show_subtotal_detail: page.show_subtotal_detail.clone(),
            exit: page.exit.map(crate::link::Exit::as_str),
        }
    }
}
