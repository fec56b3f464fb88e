//! Personal data: masked unless revealed (`contract.md`, Personal data). What is absent stays
//! `null`, so that a reader sees what was given without seeing it.

use serde::Serialize;
use utoipa::ToSchema;

use super::Detail;
use crate::link::mask::{HIDDEN, name};
use crate::link::{Address, Customer, Recipient};

/// A postal address with names, e-mail and phone. All but `country` is masked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = Address)]
#[allow(missing_docs)]
pub struct AddressView {
    pub given_name: Option<String>,
    pub family_name: Option<String>,
    pub organization_name: Option<String>,
    pub reference: Option<String>,
    pub attention: Option<String>,
    #[schema(example = "j***@example.com")]
    pub email: Option<String>,
    pub title: Option<String>,
    pub street_address: Option<String>,
    pub street_address2: Option<String>,
    pub street_name: Option<String>,
    pub street_number: Option<String>,
    pub house_extension: Option<String>,
    pub postal_code: Option<String>,
    pub city: Option<String>,
    pub region: Option<String>,
    #[schema(example = "+44***123")]
    pub phone: Option<String>,
    #[schema(example = "GB")]
    pub country: Option<String>,
    pub care_of: Option<String>,
}

/// Who buys. All but `type` is masked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = Customer)]
#[allow(missing_docs)]
pub struct CustomerView {
    #[serde(rename = "type")]
    pub kind: Option<String>,
    pub gender: Option<String>,
    pub date_of_birth: Option<String>,
    pub organization_registration_id: Option<String>,
    pub vat_id: Option<String>,
}

/// A name: its first letter.
fn named(given: Option<&String>, detail: Detail) -> Option<String> {
    given.map(|text| {
        if detail.reveals() {
            text.clone()
        } else {
            name(text)
        }
    })
}

/// Anything else that is personal: nothing of it.
fn hidden(given: Option<&String>, detail: Detail) -> Option<String> {
    given.map(|text| {
        if detail.reveals() {
            text.clone()
        } else {
            HIDDEN.into()
        }
    })
}

/// A recipient, masked or in full.
pub(super) fn recipient(to: &Recipient, detail: Detail) -> String {
    if detail.reveals() {
        to.as_str().into()
    } else {
        to.masked()
    }
}

impl AddressView {
    /// `address` as `detail` allows it to be seen.
    pub fn new(address: &Address, detail: Detail) -> Self {
        let named = |text: &Option<String>| named(text.as_ref(), detail);
        let hidden = |text: &Option<String>| hidden(text.as_ref(), detail);
        Self {
            given_name: named(&address.given_name),
            family_name: named(&address.family_name),
            organization_name: named(&address.organization_name),
            reference: hidden(&address.reference),
            attention: named(&address.attention),
            email: address
                .email
                .as_ref()
                .map(|email| recipient(&Recipient::Email(email.clone()), detail)),
            title: hidden(&address.title),
            street_address: hidden(&address.street_address),
            street_address2: hidden(&address.street_address2),
            street_name: hidden(&address.street_name),
            street_number: hidden(&address.street_number),
            house_extension: hidden(&address.house_extension),
            postal_code: hidden(&address.postal_code),
            city: hidden(&address.city),
            region: hidden(&address.region),
            phone: address
                .phone
                .as_ref()
                .map(|phone| recipient(&Recipient::Sms(phone.clone()), detail)),
            country: address.country.clone(),
            care_of: named(&address.care_of),
        }
    }
}

impl CustomerView {
    /// `customer` as `detail` allows it to be seen.
    pub fn new(customer: &Customer, detail: Detail) -> Self {
        let hidden = |text: &Option<String>| hidden(text.as_ref(), detail);
        Self {
            kind: customer.kind.clone(),
            gender: hidden(&customer.gender),
            date_of_birth: hidden(&customer.date_of_birth),
            organization_registration_id: hidden(&customer.organization_registration_id),
            vat_id: hidden(&customer.vat_id),
        }
    }
}
