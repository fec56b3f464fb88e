//! The sale: what is sold, for how much, to whom. KCO's rules for orders are checked here once
//! (klarna.md §2.2 and §2.3, `contract.md`, Sums), so that Klarna is never asked to refuse what we
//! could have refused.

use super::contact::{Email, Phone};
use super::mask;
use super::tree::Tree;

/// A checked sale. Amounts are integers in minor units of `currency`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sale {
    /// The seller's own order number, 1..255 characters; KCO's `merchant_reference1`.
    pub reference: String,
    /// How seller and buyer meet; decides channel, page and capture.
    pub use_case: UseCase,
    /// ISO 3166-1 alpha-2, upper case.
    pub country: String,
    /// ISO 4217, upper case.
    pub currency: String,
    /// BCP 47 as KCO takes it: `en-GB` or `en`.
    pub locale: String,
    /// Σ `total_amount`, 1..=200 000 000 minor units.
    pub order_amount: i64,
    /// Tax within `order_amount`, minor units.
    pub order_tax_amount: i64,
    /// 1..=1000 lines.
    pub lines: Vec<Line>,
    /// Where the bill goes; personal.
    pub billing: Option<Address>,
    /// Where the goods go; personal.
    pub shipping: Option<Address>,
    /// Who buys; personal.
    pub customer: Option<Customer>,
    /// Checked and handed to Klarna as it is: options, gui, attachment, `merchant_data`, tags,
    /// `billing_countries`, `shipping_countries`. Always a [`Tree::Map`].
    pub extras: Tree,
}

/// How seller and buyer meet (`contract.md`, Use cases).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum UseCase {
    /// On the phone: cancel on the page is final, captured later.
    Telesales,
    /// At a counter: cancel is final, captured at once.
    InStore,
    /// On the web: the page has *back*, captured later.
    Ecommerce,
}

/// One order line, KCO's names and rules (klarna.md §2.3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Kind of line; decides the signs of its amounts.
    pub kind: LineKind,
    /// The seller's article number.
    pub reference: Option<String>,
    /// What the buyer reads, 1..255.
    pub name: String,
    /// Whole units, ≥ 0.
    pub quantity: i64,
    /// `pcs`, `kg` …, 1..8.
    pub quantity_unit: Option<String>,
    /// Minor units, tax included, before discount.
    pub unit_price: i64,
    /// Percent with two implied decimals: 2000 is 20 %.
    pub tax_rate: i64,
    /// Minor units, ≥ 0.
    pub total_discount_amount: i64,
    /// `quantity · unit_price − total_discount_amount`.
    pub total_amount: i64,
    /// Tax within `total_amount`.
    pub total_tax_amount: i64,
    /// Handed to Klarna as it is: `merchant_data`, `product_url`, `image_url`,
    /// `product_identifiers`, `shipping_attributes`, `subscription`. Always a [`Tree::Map`].
    pub extras: Tree,
}

macro_rules! words {
    ($name:ident { $($variant:ident = $word:literal),+ $(,)? }) => {
        impl $name {
            /// All of them, in the order of the contract.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];
            /// The word in requests, answers and rows.
            pub fn as_str(self) -> &'static str { match self { $(Self::$variant => $word),+ } }
            /// The meaning of a word, where it is one of ours.
            pub fn from_word(word: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|it| it.as_str() == word)
            }
        }
    };
}
pub(super) use words;

/// KCO's line types.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum LineKind {
    Physical,
    Discount,
    ShippingFee,
    SalesTax,
    Digital,
    GiftCard,
    StoreCredit,
    Surcharge,
}

words!(UseCase { Telesales = "telesales", InStore = "in_store", Ecommerce = "ecommerce" });
words!(LineKind {
    Physical = "physical",
    Discount = "discount",
    ShippingFee = "shipping_fee",
    SalesTax = "sales_tax",
    Digital = "digital",
    GiftCard = "gift_card",
    StoreCredit = "store_credit",
    Surcharge = "surcharge",
});

/// KCO's address. Every member is optional and checked for length. Prints masked.
#[derive(Clone, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Address {
    pub given_name: Option<String>,
    pub family_name: Option<String>,
    pub organization_name: Option<String>,
    pub reference: Option<String>,
    pub attention: Option<String>,
    pub email: Option<Email>,
    pub title: Option<String>,
    pub street_address: Option<String>,
    pub street_address2: Option<String>,
    pub street_name: Option<String>,
    pub street_number: Option<String>,
    pub house_extension: Option<String>,
    pub postal_code: Option<String>,
    pub city: Option<String>,
    pub region: Option<String>,
    pub phone: Option<Phone>,
    pub country: Option<String>,
    pub care_of: Option<String>,
}

/// KCO's customer. Prints nothing but its kind.
#[derive(Clone, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Customer {
    /// `person` or `organization`.
    pub kind: Option<String>,
    pub gender: Option<String>,
    /// `yyyy-mm-dd`.
    pub date_of_birth: Option<String>,
    pub organization_registration_id: Option<String>,
    pub vat_id: Option<String>,
}

// a sale reaches logs and panics by Debug; who buys must not (`contract.md`, Personal data)
impl std::fmt::Debug for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Address")
            .field("given_name", &self.given_name.as_deref().map(mask::name))
            .field("family_name", &self.family_name.as_deref().map(mask::name))
            .field("email", &self.email)
            .field("phone", &self.phone)
            .field("country", &self.country)
            .finish_non_exhaustive()
    }
}
impl std::fmt::Debug for Customer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Customer")
            .field("kind", &self.kind)
            .finish_non_exhaustive()
    }
}

/// The look of Klarna's page (HPP `options` and exit).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Page {
    pub title: Option<String>,
    pub logo_url: Option<String>,
    pub background_images: Vec<Background>,
    /// `BUY`, `RENT`, `BOOK`, `SUBSCRIBE`, `DOWNLOAD`, `ORDER`, `CONTINUE`.
    pub purchase_type: Option<String>,
    /// Only `HIDE` exists.
    pub show_subtotal_detail: Option<String>,
    /// Which way out the page offers; absent = by use case.
    pub exit: Option<Exit>,
}

/// One background picture of the page.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Background {
    pub url: String,
    /// Pixels.
    pub width: i64,
}

/// The way out of Klarna's page: *back* leaves the link payable, *cancel* ends it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum Exit {
    Back,
    Cancel,
}
words!(Exit { Back = "back", Cancel = "cancel" });

impl UseCase {
    /// The way out that the page offers unless the request says otherwise.
    pub fn exit(self) -> Exit {
        match self {
            UseCase::Telesales | UseCase::InStore => Exit::Cancel,
            UseCase::Ecommerce => Exit::Back,
        }
    }

    /// Whether Klarna captures at once unless the request says otherwise.
    pub fn auto_capture(self) -> bool {
        self == UseCase::InStore
    }
}
