//! The members of every body that callers send, as data: name, kind, limits. The walker
//! ([`super::walk`]) checks bodies by it, and the OpenAPI document is written from it, so that the
//! two cannot differ. Rules that span members (sums, markets, expiry) are not here.
//!
//! Sources: `contract.md` (Creating, Contacts, Shapes), klarna.md §2.2 and §2.3.

/// Longest text that a body of 1 MiB could hold: no limit of its own.
pub const BODY: usize = 1_048_576;
/// Largest `order_amount`, minor units.
pub const ORDER_MAX: i64 = 200_000_000;
/// Largest amount of one line, minor units.
pub const LINE_MAX: i64 = 100_000_000;

/// One member of an object.
#[derive(Clone, Copy, Debug)]
pub struct Member {
    /// Its name on the wire.
    pub name: &'static str,
    /// What it may hold.
    pub kind: Kind,
    /// Whether its absence alone is a fault. What is required only in company of others is not
    /// marked here.
    pub required: bool,
    /// Whether null means the same as its absence.
    pub nullable: bool,
}

/// What a member may hold.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// A string of `min..=max` Unicode scalar values.
    #[allow(missing_docs)]
    Text { min: usize, max: usize, form: Form },
    /// One word of a closed set.
    Word(&'static [&'static str]),
    /// A whole number of `min..=max`.
    #[allow(missing_docs)]
    Int { min: i64, max: i64 },
    /// `true` or `false`.
    Flag,
    /// `min..=max` values of one kind.
    #[allow(missing_docs)]
    List {
        of: &'static Kind,
        min: usize,
        max: usize,
    },
    /// An object with these members and no others.
    Map(&'static [Member]),
    /// At most `most` members of any name up to `name` characters, each a string up to `value`.
    #[allow(missing_docs)]
    Pairs {
        most: usize,
        name: usize,
        value: usize,
    },
    /// KCO has it and paylink fills it: refused.
    Managed,
    /// KCO answers it and takes it from nobody: refused.
    ReadOnly,
}

/// The form of a text, beyond its length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Any words.
    Free,
    /// The name of a person: no URL in it.
    Person,
    /// An e-mail address.
    Email,
    /// A phone number, national or E.164.
    Phone,
    /// ISO 3166-1 alpha-2, any case.
    Country,
    /// `purchase_country`: alpha-2; which ones is the matter of the markets.
    Market,
    /// ISO 4217, any case.
    Currency,
    /// Two letters, optionally `-` and two letters.
    Locale,
    /// https, or http on loopback; no userinfo.
    Url,
    /// `#RRGGBB`.
    Color,
    /// `yyyy-mm-dd`.
    Date,
    /// ISO 8601 duration.
    Duration,
    /// RFC 3339 date and time.
    Instant,
}

const fn may(name: &'static str, kind: Kind) -> Member {
    Member {
        name,
        kind,
        required: false,
        nullable: true,
    }
}
/// Absence means so much here that a null, which may be a slip of the caller's, is not taken for it.
const fn absent_or(name: &'static str, kind: Kind) -> Member {
    Member {
        name,
        kind,
        required: false,
        nullable: false,
    }
}
const fn must(name: &'static str, kind: Kind) -> Member {
    Member {
        name,
        kind,
        required: true,
        nullable: true,
    }
}
const fn text(min: usize, max: usize) -> Kind {
    Kind::Text {
        min,
        max,
        form: Form::Free,
    }
}
const fn form(form: Form, max: usize) -> Kind {
    Kind::Text { min: 1, max, form }
}
const fn person() -> Kind {
    Kind::Text {
        min: 0,
        max: 100,
        form: Form::Person,
    }
}
const fn int(min: i64, max: i64) -> Kind {
    Kind::Int { min, max }
}
const fn list(of: &'static Kind, min: usize, max: usize) -> Kind {
    Kind::List { of, min, max }
}

const LABEL: Kind = text(1, 255);
const COUNTRY: Kind = form(Form::Country, BODY);
const COLOR: Kind = form(Form::Color, BODY);
const PARTY: Kind = Kind::Word(&["person", "organization"]);

/// KCO's address, with the lengths of Order Management, where the address ends up.
pub static ADDRESS: &[Member] = &[
    may("given_name", person()),
    may("family_name", person()),
    may("organization_name", text(0, 255)),
    may("reference", text(0, 255)),
    may(
        "attention",
        Kind::Text {
            min: 0,
            max: 255,
            form: Form::Person,
        },
    ),
    may("email", form(Form::Email, 100)),
    may("title", text(0, 20)),
    may("street_address", text(0, 100)),
    may("street_address2", text(0, 100)),
    may("street_name", text(0, 100)),
    may("street_number", text(0, 100)),
    may("house_extension", text(0, 100)),
    may("postal_code", text(0, 10)),
    may("city", text(0, 200)),
    may("region", text(0, 200)),
    may("phone", form(Form::Phone, 100)),
    may("country", COUNTRY),
    may("care_of", person()),
];

/// KCO's customer.
pub static CUSTOMER: &[Member] = &[
    may("type", PARTY),
    may("gender", Kind::Word(&["male", "female"])),
    may("date_of_birth", form(Form::Date, BODY)),
    may("organization_registration_id", LABEL),
    may("vat_id", LABEL),
];

static CHECKBOX: &[Member] = &[
    must("text", text(1, 1000)),
    must("checked", Kind::Flag),
    must("required", Kind::Flag),
];
static CHECKBOX_V2: Kind = Kind::Map(&[
    must("id", LABEL),
    must("text", text(1, 1000)),
    must("checked", Kind::Flag),
    must("required", Kind::Flag),
]);

/// KCO's options, less the four that the use case decides.
pub static OPTIONS: &[Member] = &[
    may("acquiring_channel", Kind::Managed),
    may("auto_capture", Kind::Managed),
    may("require_client_validation", Kind::Managed),
    may("require_validate_callback_success", Kind::Managed),
    may("vat_removed", Kind::Flag),
    may("allow_separate_shipping_address", Kind::Flag),
    may("color_button", COLOR),
    may("color_button_text", COLOR),
    may("color_checkbox", COLOR),
    may("color_checkbox_checkmark", COLOR),
    may("color_header", COLOR),
    may("color_link", COLOR),
    may("radius_border", LABEL),
    may("date_of_birth_mandatory", Kind::Flag),
    may("shipping_details", text(0, 255)),
    may("title_mandatory", Kind::Flag),
    may("phone_mandatory", Kind::Flag),
    may("additional_checkbox", Kind::Map(CHECKBOX)),
    may("additional_checkboxes", list(&CHECKBOX_V2, 0, BODY)),
    may("national_identification_number_mandatory", Kind::Flag),
    may("verify_national_identification_number", Kind::Flag),
    may("additional_merchant_terms", text(0, BODY)),
    may("allowed_customer_types", list(&PARTY, 1, 2)),
    may("show_subtotal_detail", Kind::Flag),
    may("enable_discount_module", Kind::Flag),
    may("show_vat_registration_number_field", Kind::Flag),
];

static GUI: &[Member] = &[may(
    "options",
    list(
        &Kind::Word(&["minimal_confirmation", "disable_autofocus"]),
        0,
        BODY,
    ),
)];
static ATTACHMENT: &[Member] = &[must("content_type", LABEL), must("body", text(1, BODY))];
static TAGS: Kind = list(&LABEL, 0, BODY);
static COUNTRIES: Kind = list(&COUNTRY, 0, BODY);

static IDENTIFIERS: &[Member] = &[
    may("brand", text(0, 70)),
    may("color", text(0, 64)),
    may("category_path", text(0, 750)),
    may("global_trade_item_number", text(0, 50)),
    may("manufacturer_part_number", text(0, 70)),
    may("size", text(0, 64)),
];
static DIMENSIONS: &[Member] = &[
    may("height", int(0, i64::MAX)),
    may("width", int(0, i64::MAX)),
    may("length", int(0, i64::MAX)),
];
static SHIPPING: &[Member] = &[
    may("weight", int(0, i64::MAX)),
    may("dimensions", Kind::Map(DIMENSIONS)),
    may("tags", TAGS),
];
static SUBSCRIPTION: &[Member] = &[
    may("name", LABEL),
    must("interval", Kind::Word(&["DAY", "WEEK", "MONTH", "YEAR"])),
    must("interval_count", int(1, 2_147_483_647)),
];

/// One order line. The signs depend on `type` and are checked with the sums.
pub static LINE: &[Member] = &[
    may(
        "type",
        Kind::Word(&[
            "physical",
            "discount",
            "shipping_fee",
            "sales_tax",
            "digital",
            "gift_card",
            "store_credit",
            "surcharge",
        ]),
    ),
    may("reference", text(0, 255)),
    must("name", LABEL),
    must("quantity", int(0, i64::MAX)),
    may("quantity_unit", text(1, 8)),
    must("unit_price", int(-LINE_MAX, LINE_MAX)),
    must("tax_rate", int(0, 10_000)),
    may("total_discount_amount", int(0, i64::MAX)),
    may("total_amount", int(-LINE_MAX, LINE_MAX)),
    may("total_tax_amount", int(-LINE_MAX, LINE_MAX)),
    may("merchant_data", text(0, 1024)),
    may("product_url", form(Form::Url, 1024)),
    may("image_url", form(Form::Url, 1024)),
    may("product_identifiers", Kind::Map(IDENTIFIERS)),
    may("shipping_attributes", Kind::Map(SHIPPING)),
    may("subscription", Kind::Map(SUBSCRIPTION)),
];
static LINE_KIND: Kind = Kind::Map(LINE);

/// The members of a line that are checked and handed on as they are.
pub(super) const LINE_EXTRAS: &[&str] = &[
    "merchant_data",
    "product_url",
    "image_url",
    "product_identifiers",
    "shipping_attributes",
    "subscription",
];
/// The members of a sale that are checked and handed on as they are.
pub(super) const SALE_EXTRAS: &[&str] = &[
    "options",
    "merchant_data",
    "attachment",
    "gui",
    "tags",
    "billing_countries",
    "shipping_countries",
];

static BACKGROUND: Kind = Kind::Map(&[
    must("url", form(Form::Url, BODY)),
    must("width", int(1, i64::MAX)),
]);
/// The look of Klarna's page.
pub static PAGE: &[Member] = &[
    may("title", LABEL),
    may("logo_url", form(Form::Url, BODY)),
    may("background_images", list(&BACKGROUND, 0, BODY)),
    may(
        "purchase_type",
        Kind::Word(&[
            "BUY",
            "RENT",
            "BOOK",
            "SUBSCRIBE",
            "DOWNLOAD",
            "ORDER",
            "CONTINUE",
        ]),
    ),
    may("show_subtotal_detail", Kind::Word(&["HIDE"])),
    may("exit", Kind::Word(&["back", "cancel"])),
];

const CHANNELS: Kind = Kind::Word(&["email", "sms"]);
static SEND: Kind = Kind::Map(&[
    must("channel", CHANNELS),
    may("to", text(1, BODY)),
    may("template", text(1, 64)),
]);
const SENDS: Member = may("send", list(&SEND, 0, 10));
const AGENT: Member = may("agent", text(1, 100));
const EXPIRES_IN: Member = may("expires_in", form(Form::Duration, BODY));
const EXPIRES_AT: Member = may("expires_at", form(Form::Instant, BODY));

/// Members that a KCO order body has and that are not the caller's to set.
macro_rules! with_kco {
    ($($own:expr),* $(,)?) => {
        &[
            may("reference", LABEL),
            may("merchant_reference1", LABEL),
            may("use_case", Kind::Word(&["telesales", "in_store", "ecommerce"])),
            may("purchase_country", form(Form::Market, BODY)),
            may("purchase_currency", form(Form::Currency, BODY)),
            may("locale", form(Form::Locale, BODY)),
            may("order_amount", int(1, ORDER_MAX)),
            may("order_tax_amount", int(0, ORDER_MAX)),
            may("order_lines", list(&LINE_KIND, 1, 1000)),
            may("billing_address", Kind::Map(ADDRESS)),
            may("shipping_address", Kind::Map(ADDRESS)),
            may("customer", Kind::Map(CUSTOMER)),
            may("options", Kind::Map(OPTIONS)),
            may("merchant_data", text(0, 6000)),
            may("attachment", Kind::Map(ATTACHMENT)),
            may("gui", Kind::Map(GUI)),
            may("tags", TAGS),
            may("billing_countries", COUNTRIES),
            may("shipping_countries", COUNTRIES),
            may("merchant_urls", Kind::Managed),
            may("merchant_reference2", Kind::Managed),
            may("shipping_options", Kind::Managed),
            may("external_payment_methods", Kind::Managed),
            may("external_checkouts", Kind::Managed),
            may("recurring", Kind::Managed),
            may("discount_lines", Kind::Managed),
            may("order_id", Kind::ReadOnly),
            may("status", Kind::ReadOnly),
            may("html_snippet", Kind::ReadOnly),
            may("name", Kind::ReadOnly),
            may("started_at", Kind::ReadOnly),
            may("completed_at", Kind::ReadOnly),
            may("last_modified_at", Kind::ReadOnly),
            may("merchant_requested", Kind::ReadOnly),
            may("selected_shipping_option", Kind::ReadOnly),
            may("recurring_token", Kind::ReadOnly),
            $($own),*
        ]
    };
}

/// The sale alone: `sale` of a renewal.
pub static SALE: &[Member] = with_kco![];

/// The body of `POST /v1/links`. Beyond the marks, `reference` (or `merchant_reference1`) and one
/// of `order_lines` and `order_amount` are required, and country, currency and locale where the
/// settings have none.
pub static CREATE: &[Member] = with_kco![
    may("on_duplicate", Kind::Word(&["refuse", "allow", "replace"])),
    may("auto_capture", Kind::Flag),
    may("page", Kind::Map(PAGE)),
    may(
        "metadata",
        Kind::Pairs {
            most: 50,
            name: 40,
            value: 500
        }
    ),
    AGENT,
    SENDS,
    EXPIRES_IN,
    EXPIRES_AT,
];

/// The body of `POST /v1/links/{id}/renew`.
pub static RENEW: &[Member] = &[EXPIRES_IN, EXPIRES_AT, SENDS, may("sale", Kind::Map(SALE))];

/// The body of `POST /v1/links/{id}/deliveries`.
pub static DELIVER: &[Member] = &[
    must("channel", CHANNELS),
    may("to", text(1, BODY)),
    may("template", text(1, 64)),
    AGENT,
];

// No amount is the whole amount. The reference shares Klarna's 255 characters with the operation's
// id.
const AMOUNT: Member = absent_or("amount", int(1, ORDER_MAX));
static MOVED_LINE: Kind = Kind::Map(LINE);
const MOVED_LINES: Member = may("order_lines", list(&MOVED_LINE, 1, 1000));
const MOVED_REFERENCE: Member = may("reference", text(1, 200));

/// The body of `POST /v1/links/{id}/capture`.
pub static CAPTURE: &[Member] = &[
    AMOUNT,
    MOVED_LINES,
    MOVED_REFERENCE,
    may("shipping_info", list(&Kind::Map(SHIPMENT), 1, 500)),
];

/// The body of `POST /v1/links/{id}/refunds`.
pub static REFUND: &[Member] = &[AMOUNT, MOVED_LINES, MOVED_REFERENCE];

/// How goods went to the buyer, in Klarna's names (Order Management, `shipping_info`).
const SHIPMENT: &[Member] = &[
    may("shipping_company", text(1, 100)),
    may(
        "shipping_method",
        Kind::Word(&[
            "PickUpStore",
            "Home",
            "BoxReg",
            "BoxUnreg",
            "PickUpPoint",
            "Own",
            "Postal",
            "DHLPackstation",
            "Digital",
            "Undefined",
            "PickUpWarehouse",
            "ClickCollect",
            "PalletDelivery",
        ]),
    ),
    may("tracking_number", text(1, 100)),
    may("tracking_uri", form(Form::Url, 1024)),
    may("return_shipping_company", text(1, 100)),
    may("return_tracking_number", text(1, 100)),
    may("return_tracking_uri", form(Form::Url, 1024)),
];

/// The body of `POST /v1/links/{id}/disable`.
pub static DISABLE: &[Member] = &[
    may(
        "reason",
        Kind::Word(&[
            "paid_elsewhere",
            "customer_request",
            "offer_expired",
            "mistake",
            "other",
        ]),
    ),
    may("note", text(0, 255)),
];
