//! The sale and the page as they lie in rows: compact JSON, the personal parts apart, since those
//! are sealed.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Corrupt, Of, written};
use crate::json;
use crate::link::{
    Address, Background, Buyer, Customer, Email, Exit, Line, LineKind, Page, Phone, Sale,
};

/// Column `sale`: what is not personal and has no column of its own.
#[derive(Serialize, Deserialize)]
pub(in crate::store) struct SaleJson {
    lines: Vec<LineJson>,
    extras: Value,
}

#[derive(Serialize, Deserialize)]
struct LineJson {
    kind: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reference: Option<String>,
    name: String,
    quantity: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    quantity_unit: Option<String>,
    unit_price: i64,
    tax_rate: i64,
    total_discount_amount: i64,
    total_amount: i64,
    total_tax_amount: i64,
    extras: Value,
}

impl SaleJson {
    pub fn of(sale: &Sale) -> Self {
        Self {
            lines: sale.lines.iter().map(LineJson::of).collect(),
            extras: json::value(&sale.extras),
        }
    }

    /// Lines and extras.
    pub fn parts(self, of: Of<'_>) -> Result<(Vec<Line>, crate::link::Tree), Corrupt> {
        let lines = self
            .lines
            .into_iter()
            .map(|line| line.line(of))
            .collect::<Result<_, _>>()?;
        Ok((lines, json::tree(&self.extras)))
    }
}

/// Lines that stand for themselves: those of an operation.
pub(super) fn lines(lines: &[Line]) -> String {
    let lines: Vec<_> = lines.iter().map(LineJson::of).collect();
    written(&lines)
}

/// The lines of such a column.
pub(super) fn lines_of(of: Of<'_>, place: &'static str, text: &str) -> Result<Vec<Line>, Corrupt> {
    let lines: Vec<LineJson> = of.json(place, text)?;
    lines.into_iter().map(|it| it.line(of)).collect()
}

impl LineJson {
    fn of(line: &Line) -> Self {
        Self {
            kind: line.kind.as_str().to_owned(),
            reference: line.reference.clone(),
            name: line.name.clone(),
            quantity: line.quantity,
            quantity_unit: line.quantity_unit.clone(),
            unit_price: line.unit_price,
            tax_rate: line.tax_rate,
            total_discount_amount: line.total_discount_amount,
            total_amount: line.total_amount,
            total_tax_amount: line.total_tax_amount,
            extras: json::value(&line.extras),
        }
    }

    fn line(self, of: Of<'_>) -> Result<Line, Corrupt> {
        Ok(Line {
            kind: of.some("link.sale", LineKind::from_word(&self.kind))?,
            reference: self.reference,
            name: self.name,
            quantity: self.quantity,
            quantity_unit: self.quantity_unit,
            unit_price: self.unit_price,
            tax_rate: self.tax_rate,
            total_discount_amount: self.total_discount_amount,
            total_amount: self.total_amount,
            total_tax_amount: self.total_tax_amount,
            extras: json::tree(&self.extras),
        })
    }
}

/// Column `personal`, sealed.
#[derive(Default, Serialize, Deserialize)]
pub(in crate::store) struct PersonalJson {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    billing: Option<AddressJson>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    shipping: Option<AddressJson>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    customer: Option<CustomerJson>,
}

impl PersonalJson {
    /// Absent where nobody is named.
    pub fn of(sale: &Sale) -> Option<Self> {
        let personal = Self {
            billing: sale.billing.as_ref().map(AddressJson::of),
            shipping: sale.shipping.as_ref().map(AddressJson::of),
            customer: sale.customer.as_ref().map(CustomerJson::of),
        };
        (personal.billing.is_some() || personal.shipping.is_some() || personal.customer.is_some())
            .then_some(personal)
    }

    #[allow(clippy::type_complexity)]
    pub fn parts(
        self,
        of: Of<'_>,
    ) -> Result<(Option<Address>, Option<Address>, Option<Customer>), Corrupt> {
        Ok((
            self.billing.map(|it| it.address(of)).transpose()?,
            self.shipping.map(|it| it.address(of)).transpose()?,
            self.customer.map(CustomerJson::customer),
        ))
    }
}

/// Column `buyer`, sealed.
#[derive(Serialize, Deserialize)]
pub(in crate::store) struct BuyerJson {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    billing: Option<AddressJson>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    shipping: Option<AddressJson>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    payment_method: Option<String>,
}

impl BuyerJson {
    pub fn of(buyer: &Buyer) -> Self {
        Self {
            billing: buyer.billing.as_ref().map(AddressJson::of),
            shipping: buyer.shipping.as_ref().map(AddressJson::of),
            payment_method: buyer.payment_method.clone(),
        }
    }

    pub fn buyer(self, of: Of<'_>) -> Result<Buyer, Corrupt> {
        Ok(Buyer {
            billing: self.billing.map(|it| it.address(of)).transpose()?,
            shipping: self.shipping.map(|it| it.address(of)).transpose()?,
            payment_method: self.payment_method,
        })
    }
}

macro_rules! address {
    ($($field:ident),+) => {
        /// KCO's address, its members by their own names.
        #[derive(Serialize, Deserialize)]
        struct AddressJson {
            $(#[serde(default, skip_serializing_if = "Option::is_none")] $field: Option<String>,)+
            #[serde(default, skip_serializing_if = "Option::is_none")]
            email: Option<String>,
            #[serde(default, skip_serializing_if = "Option::is_none")]
            phone: Option<String>,
        }
        impl AddressJson {
            fn of(address: &Address) -> Self {
                Self {
                    $($field: address.$field.clone(),)+
                    email: address.email.as_ref().map(|it| it.as_str().to_owned()),
                    phone: address.phone.as_ref().map(|it| it.as_str().to_owned()),
                }
            }
            fn address(self, of: Of<'_>) -> Result<Address, Corrupt> {
                let email = self.email.map(|it| Ok::<_, Corrupt>(Email::trusted(it)));
                let phone = self.phone.map(|it| of.some("link.personal", Phone::trusted(it)));
                Ok(Address {
                    $($field: self.$field,)+
                    email: email.transpose()?,
                    phone: phone.transpose()?,
                })
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
    care_of
);

#[derive(Serialize, Deserialize)]
struct CustomerJson {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    kind: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    gender: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    date_of_birth: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    organization_registration_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    vat_id: Option<String>,
}

impl CustomerJson {
    fn of(customer: &Customer) -> Self {
        Self {
            kind: customer.kind.clone(),
            gender: customer.gender.clone(),
            date_of_birth: customer.date_of_birth.clone(),
            organization_registration_id: customer.organization_registration_id.clone(),
            vat_id: customer.vat_id.clone(),
        }
    }

    fn customer(self) -> Customer {
        Customer {
            kind: self.kind,
            gender: self.gender,
            date_of_birth: self.date_of_birth,
            organization_registration_id: self.organization_registration_id,
            vat_id: self.vat_id,
        }
    }
}

/// Column `page`.
#[derive(Serialize, Deserialize)]
pub(in crate::store) struct PageJson {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    title: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    logo_url: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    background_images: Vec<(String, i64)>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    purchase_type: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    show_subtotal_detail: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    exit: Option<String>,
}

impl PageJson {
    pub fn of(page: &Page) -> Self {
        Self {
            title: page.title.clone(),
            logo_url: page.logo_url.clone(),
            background_images: page
                .background_images
                .iter()
                .map(|it| (it.url.clone(), it.width))
                .collect(),
            purchase_type: page.purchase_type.clone(),
            show_subtotal_detail: page.show_subtotal_detail.clone(),
            exit: page.exit.map(|it| it.as_str().to_owned()),
        }
    }

    pub fn page(self, of: Of<'_>) -> Result<Page, Corrupt> {
        let exit = self
            .exit
            .map(|word| of.some("link.page", Exit::from_word(&word)));
        Ok(Page {
            title: self.title,
            logo_url: self.logo_url,
            background_images: self
                .background_images
                .into_iter()
                .map(|(url, width)| Background { url, width })
                .collect(),
            purchase_type: self.purchase_type,
            show_subtotal_detail: self.show_subtotal_detail,
            exit: exit.transpose()?,
        })
    }
}
