//! A sale and a page as trees, in KCO's own names, and back. [`Sale::tree`] is a valid body of
//! `POST /v1/links`: what is stored, shown and sent to Klarna is made from it.

use super::contact::{Email, Phone};
use super::grammar::{LINE_EXTRAS, SALE_EXTRAS};
use super::place;
use super::sale::{Address, Background, Customer, Exit, Line, LineKind, Page, Sale, UseCase};
use super::tree::Tree;

/// A text member that says something.
pub(super) fn said(tree: &Tree, name: &str) -> Option<String> {
    tree.text(name)
        .filter(|text| !text.is_empty())
        .map(str::to_owned)
}

/// An object that grows by the members that are there.
struct Object(Vec<(String, Tree)>);

impl Object {
    fn new() -> Self {
        Self(Vec::new())
    }
    fn put(mut self, name: &str, value: Tree) -> Self {
        self.0.push((name.to_owned(), value));
        self
    }
    fn word(self, name: &str, text: &str) -> Self {
        self.put(name, Tree::Text(text.to_owned()))
    }
    fn text(self, name: &str, text: Option<&str>) -> Self {
        match text {
            Some(text) => self.word(name, text),
            None => self,
        }
    }
    fn int(self, name: &str, number: i64) -> Self {
        self.put(name, Tree::Int(number))
    }
    fn object(self, name: &str, tree: Option<Tree>) -> Self {
        match tree {
            Some(tree) => self.put(name, tree),
            None => self,
        }
    }
    fn with(mut self, extras: &Tree) -> Tree {
        self.0.extend_from_slice(extras.members());
        Tree::Map(self.0)
    }
    fn tree(self) -> Tree {
        Tree::Map(self.0)
    }
}

impl Sale {
    /// The sale in KCO's names (`merchant_reference1` as `reference`, and `use_case` besides).
    /// Personal data in full.
    pub fn tree(&self) -> Tree {
        Object::new()
            .word("reference", &self.reference)
            .word("use_case", self.use_case.as_str())
            .word("purchase_country", &self.country)
            .word("purchase_currency", &self.currency)
            .word("locale", &self.locale)
            .int("order_amount", self.order_amount)
            .int("order_tax_amount", self.order_tax_amount)
            .put(
                "order_lines",
                Tree::List(self.lines.iter().map(Line::tree).collect()),
            )
            .object("billing_address", self.billing.as_ref().map(Address::tree))
            .object(
                "shipping_address",
                self.shipping.as_ref().map(Address::tree),
            )
            .object("customer", self.customer.as_ref().map(Customer::tree))
            .with(&self.extras)
    }

    /// A sale that [`Sale::tree`] wrote. Only for what comes from our own rows: types are looked
    /// at, rules are not.
    pub fn from_tree(tree: &Tree) -> Option<Self> {
        let address = |name| match tree.get(name) {
            Some(address) => Address::from_tree(address).map(Some),
            None => Some(None),
        };
        Some(Self {
            reference: tree.text("reference")?.to_owned(),
            use_case: UseCase::from_word(tree.text("use_case")?)?,
            country: tree.text("purchase_country")?.to_owned(),
            currency: tree.text("purchase_currency")?.to_owned(),
            locale: tree.text("locale")?.to_owned(),
            order_amount: tree.int("order_amount")?,
            order_tax_amount: tree.int("order_tax_amount")?,
            lines: tree
                .items("order_lines")
                .iter()
                .map(Line::from_tree)
                .collect::<Option<_>>()?,
            billing: address("billing_address")?,
            shipping: address("shipping_address")?,
            customer: tree.get("customer").map(Customer::read),
            extras: tree.only(SALE_EXTRAS),
        })
    }
}

impl Line {
    /// The line in KCO's names, every amount in it.
    pub fn tree(&self) -> Tree {
        Object::new()
            .word("type", self.kind.as_str())
            .text("reference", self.reference.as_deref())
            .word("name", &self.name)
            .int("quantity", self.quantity)
            .text("quantity_unit", self.quantity_unit.as_deref())
            .int("unit_price", self.unit_price)
            .int("tax_rate", self.tax_rate)
            .int("total_discount_amount", self.total_discount_amount)
            .int("total_amount", self.total_amount)
            .int("total_tax_amount", self.total_tax_amount)
            .with(&self.extras)
    }

    /// A line that [`Line::tree`] wrote.
    pub fn from_tree(tree: &Tree) -> Option<Self> {
        Some(Self {
            kind: LineKind::from_word(tree.text("type")?)?,
            reference: said(tree, "reference"),
            name: tree.text("name")?.to_owned(),
            quantity: tree.int("quantity")?,
            quantity_unit: said(tree, "quantity_unit"),
            unit_price: tree.int("unit_price")?,
            tax_rate: tree.int("tax_rate")?,
            total_discount_amount: tree.int("total_discount_amount")?,
            total_amount: tree.int("total_amount")?,
            total_tax_amount: tree.int("total_tax_amount")?,
            extras: tree.only(LINE_EXTRAS),
        })
    }
}

impl Address {
    /// The address in KCO's names.
    pub fn tree(&self) -> Tree {
        Object::new()
            .text("given_name", self.given_name.as_deref())
            .text("family_name", self.family_name.as_deref())
            .text("organization_name", self.organization_name.as_deref())
            .text("reference", self.reference.as_deref())
            .text("attention", self.attention.as_deref())
            .text("email", self.email.as_ref().map(Email::as_str))
            .text("title", self.title.as_deref())
            .text("street_address", self.street_address.as_deref())
            .text("street_address2", self.street_address2.as_deref())
            .text("street_name", self.street_name.as_deref())
            .text("street_number", self.street_number.as_deref())
            .text("house_extension", self.house_extension.as_deref())
            .text("postal_code", self.postal_code.as_deref())
            .text("city", self.city.as_deref())
            .text("region", self.region.as_deref())
            .text("phone", self.phone.as_ref().map(Phone::as_str))
            .text("country", self.country.as_deref())
            .text("care_of", self.care_of.as_deref())
            .tree()
    }

    /// An address that [`Address::tree`] wrote.
    pub fn from_tree(tree: &Tree) -> Option<Self> {
        Some(Self {
            email: tree.text("email").map(|it| Email::trusted(it.to_owned())),
            phone: match tree.text("phone") {
                Some(phone) => Some(Phone::trusted(phone.to_owned())?),
                None => None,
            },
            ..Self::words(tree)
        })
    }

    /// An address from a body without faults; phones in national form are of `country`.
    pub(super) fn read(tree: &Tree, country: &str) -> Self {
        Self {
            email: tree.text("email").and_then(|it| Email::parse(it).ok()),
            phone: tree
                .text("phone")
                .and_then(|it| Phone::parse(it, country).ok()),
            ..Self::words(tree)
        }
    }

    /// All but e-mail and phone.
    fn words(tree: &Tree) -> Self {
        let said = |name| said(tree, name);
        Self {
            given_name: said("given_name"),
            family_name: said("family_name"),
            organization_name: said("organization_name"),
            reference: said("reference"),
            attention: said("attention"),
            email: None,
            title: said("title"),
            street_address: said("street_address"),
            street_address2: said("street_address2"),
            street_name: said("street_name"),
            street_number: said("street_number"),
            house_extension: said("house_extension"),
            postal_code: said("postal_code"),
            city: said("city"),
            region: said("region"),
            phone: None,
            country: said("country").map(|it| place::country(&it).unwrap_or(it)),
            care_of: said("care_of"),
        }
    }
}

impl Customer {
    /// The customer in KCO's names.
    pub fn tree(&self) -> Tree {
        Object::new()
            .text("type", self.kind.as_deref())
            .text("gender", self.gender.as_deref())
            .text("date_of_birth", self.date_of_birth.as_deref())
            .text(
                "organization_registration_id",
                self.organization_registration_id.as_deref(),
            )
            .text("vat_id", self.vat_id.as_deref())
            .tree()
    }

    /// A customer from a body without faults, or that [`Customer::tree`] wrote.
    pub fn read(tree: &Tree) -> Self {
        Self {
            kind: said(tree, "type"),
            gender: said(tree, "gender"),
            date_of_birth: said(tree, "date_of_birth"),
            organization_registration_id: said(tree, "organization_registration_id"),
            vat_id: said(tree, "vat_id"),
        }
    }
}

impl Page {
    /// The page as in the member `page` of a request.
    pub fn tree(&self) -> Tree {
        let images = self.background_images.iter().map(|image| {
            Object::new()
                .word("url", &image.url)
                .int("width", image.width)
                .tree()
        });
        let images = (!self.background_images.is_empty()).then(|| Tree::List(images.collect()));
        Object::new()
            .text("title", self.title.as_deref())
            .text("logo_url", self.logo_url.as_deref())
            .object("background_images", images)
            .text("purchase_type", self.purchase_type.as_deref())
            .text("show_subtotal_detail", self.show_subtotal_detail.as_deref())
            .text("exit", self.exit.map(Exit::as_str))
            .tree()
    }

    /// A page that [`Page::tree`] wrote.
    pub fn from_tree(tree: &Tree) -> Option<Self> {
        Some(Self {
            title: said(tree, "title"),
            logo_url: said(tree, "logo_url"),
            background_images: tree
                .items("background_images")
                .iter()
                .map(|image| {
                    Some(Background {
                        url: image.text("url")?.to_owned(),
                        width: image.int("width")?,
                    })
                })
                .collect::<Option<_>>()?,
            purchase_type: said(tree, "purchase_type"),
            show_subtotal_detail: said(tree, "show_subtotal_detail"),
            exit: match tree.text("exit") {
                Some(word) => Some(Exit::from_word(word)?),
                None => None,
            },
        })
    }
}
