//! HPP v1: the session and its distribution (klarna.md §1, `contract.md`, Merchant URLs).

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::super::{Distribution, KlarnaSettings};
use super::{lenient, time};
use crate::link::{Consumer, Exit, Link, Page, Reading};

/// `POST /hpp/v1/sessions`.
#[derive(Serialize)]
pub(in super::super) struct Session<'a> {
    payment_session_url: String,
    merchant_urls: MerchantUrls,
    #[serde(skip_serializing_if = "Options::is_empty")]
    options: Options<'a>,
}

#[derive(Serialize)]
struct MerchantUrls {
    success: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    back: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cancel: Option<String>,
    failure: String,
    error: String,
    status_update: String,
}

#[derive(Serialize)]
struct Options<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    page_title: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    logo_url: Option<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    background_images: Vec<BackgroundImage<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    purchase_type: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    show_subtotal_detail: Option<&'a str>,
}

#[derive(Serialize)]
struct BackgroundImage<'a> {
    url: &'a str,
    width: i64,
}

impl<'a> Session<'a> {
    /// The page of a link's order at `order_url`.
    pub(in super::super) fn of(
        link: &'a Link,
        order_url: String,
        token: &str,
        settings: &KlarnaSettings,
    ) -> Self {
        let back = |outcome: &str| {
            settings.at(&format!("/return/{outcome}/"), token)
                + "?sid={{session_id}}&oid={{order_id}}"
        };
        // the two ways out exclude each other on the page (klarna.md §5)
        let exit = link.page.exit.unwrap_or_else(|| link.sale.use_case.exit());
        Self {
            payment_session_url: order_url,
            merchant_urls: MerchantUrls {
                success: back("success"),
                back: (exit == Exit::Back).then(|| back("back")),
                cancel: (exit == Exit::Cancel).then(|| back("cancel")),
                failure: back("failure"),
                error: back("error"),
                status_update: settings.at("/callbacks/hpp/", token) + "?sid={{session_id}}",
            },
            options: Options::of(&link.page),
        }
    }
}

impl<'a> Options<'a> {
    fn of(page: &'a Page) -> Self {
        Self {
            page_title: page.title.as_deref(),
            logo_url: page.logo_url.as_deref(),
            background_images: page
                .background_images
                .iter()
                .map(|it| BackgroundImage {
                    url: &it.url,
                    width: it.width,
                })
                .collect(),
            purchase_type: page.purchase_type.as_deref(),
            show_subtotal_detail: page.show_subtotal_detail.as_deref(),
        }
    }

    fn is_empty(&self) -> bool {
        self.page_title.is_none()
            && self.logo_url.is_none()
            && self.background_images.is_empty()
            && self.purchase_type.is_none()
            && self.show_subtotal_detail.is_none()
    }
}

/// `POST /hpp/v1/sessions/{id}/distribution`.
#[derive(Serialize)]
pub(in super::super) struct DistributionRequest<'a> {
    method: &'static str,
    contact_information: ContactInformation<'a>,
}

#[derive(Default, Serialize)]
struct ContactInformation<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    email: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    phone: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    phone_country: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    access_id: Option<&'a str>,
}

impl<'a> DistributionRequest<'a> {
    pub(in super::super) fn of(from: &'a Distribution) -> Self {
        let none = ContactInformation::default();
        match from {
            Distribution::Email(to) => Self {
                method: "email",
                contact_information: ContactInformation {
                    email: Some(to.as_str()),
                    ..none
                },
            },
            Distribution::Sms { to, country } => Self {
                method: "sms",
                contact_information: ContactInformation {
                    phone: Some(to.as_str()),
                    phone_country: Some(country),
                    ..none
                },
            },
            Distribution::Token(access_id) => Self {
                method: "token",
                contact_information: ContactInformation {
                    access_id: Some(access_id),
                    ..none
                },
            },
        }
    }
}

/// The session as HPP answers it, at creation and when read.
#[derive(Debug, Deserialize)]
pub(in super::super) struct SessionAnswer {
    #[serde(default, deserialize_with = "lenient")]
    pub(in super::super) session_id: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    pub(in super::super) redirect_url: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    pub(in super::super) qr_code_url: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    pub(in super::super) manual_identification_check_url: Option<String>,
    #[serde(default, deserialize_with = "time")]
    pub(in super::super) expires_at: Option<Timestamp>,
    #[serde(default, deserialize_with = "time")]
    pub(in super::super) updated_at: Option<Timestamp>,
    #[serde(default, deserialize_with = "lenient")]
    pub(in super::super) status: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    pub(in super::super) order_id: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    pub(in super::super) klarna_reference: Option<String>,
}

/// `contract.md`, Paid: Klarna's words in ours; `None` for a word that nobody told us of.
pub(in super::super) fn reading(word: &str) -> Option<Reading> {
    Some(match word.to_ascii_uppercase().as_str() {
        "WAITING" => Reading::Consumer(Consumer::NotOpened),
        "IN_PROGRESS" => Reading::Consumer(Consumer::InProgress),
        "MANUAL_ID_CHECK" => Reading::Consumer(Consumer::IdCheck),
        "BACK" => Reading::Consumer(Consumer::Back),
        "FAILED" => Reading::Consumer(Consumer::Declined),
        "ERROR" => Reading::Consumer(Consumer::Error),
        "COMPLETED" => Reading::Completed,
        "CANCELLED" => Reading::Cancelled,
        "DISABLED" => Reading::Disabled,
        "TIMEOUT" => Reading::Unclear,
        _ => return None,
    })
}
