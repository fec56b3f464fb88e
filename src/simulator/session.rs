//! Hosted Payment Page: a session hosts one checkout order on a page of its own, ends one hour
//! before the order, and can be disabled until it is paid.
//!
//! Its end is fixed when it is created: Klarna's own sample callback, sent seconds after the page
//! was opened, still carries an end of 47 hours after the creation.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::answer::{Answer, Outcome, Refusal};
use super::grammar::{
    Faults, Field, Kind, Path, check, is_safe_url, is_url, may, must, text, without_nulls,
};
use super::order::{Stage, object};
use super::world::{World, millis};

/// A session ends so much before its order.
const ENDS_EARLIER: SignedDuration = SignedDuration::from_hours(1);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Status {
    Waiting,
    InProgress,
    Back,
    Failed,
    Error,
    Completed,
    Cancelled,
    Disabled,
}

impl Status {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Waiting => "WAITING",
            Self::InProgress => "IN_PROGRESS",
            Self::Back => "BACK",
            Self::Failed => "FAILED",
            Self::Error => "ERROR",
            Self::Completed => "COMPLETED",
            Self::Cancelled => "CANCELLED",
            Self::Disabled => "DISABLED",
        }
    }

    pub(super) fn is_final(self) -> bool {
        matches!(self, Self::Completed | Self::Cancelled | Self::Disabled)
    }
}

pub(super) struct Session {
    pub id: Uuid,
    pub order: Uuid,
    /// Last part of the page's URL.
    pub page: String,
    pub status: Status,
    pub updated_at: Timestamp,
    pub expires_at: Timestamp,
    pub merchant_urls: Map<String, Value>,
    pub options: Map<String, Value>,
    /// Klarna's number for the payment, once there is one.
    pub klarna_reference: Option<String>,
    /// The calls of `status_update`, in the order in which they began.
    pub callbacks: Vec<Called>,
    /// What would have been sent to the buyer.
    pub distributions: Vec<Value>,
}

/// One call of `status_update`.
pub(super) struct Called {
    pub event_id: Uuid,
    pub status: &'static str,
    pub url: String,
    pub at: Timestamp,
    /// The merchant's HTTP status; `None` while there is none, or where none came in time.
    pub answer: Option<u16>,
}

impl Session {
    pub(super) fn alive(&self, now: Timestamp) -> bool {
        now < self.expires_at
    }

    pub(super) fn enter(&mut self, status: Status, now: Timestamp) {
        self.status = status;
        self.updated_at = now;
    }

    /// The session as it is read, and as it is sent in callbacks.
    pub(super) fn body(&self) -> Map<String, Value> {
        let mut body = Map::new();
        body.insert("session_id".to_owned(), self.id.to_string().into());
        body.insert("status".to_owned(), self.status.word().into());
        if self.status == Status::Completed {
            body.insert("order_id".to_owned(), self.order.to_string().into());
            body.extend(
                self.klarna_reference
                    .clone()
                    .map(|reference| ("klarna_reference".to_owned(), reference.into())),
            );
        }
        body.insert("updated_at".to_owned(), millis(self.updated_at).into());
        body.insert("expires_at".to_owned(), millis(self.expires_at).into());
        body
    }

    /// The session as the control interface shows it.
    pub(super) fn overview(&self, base: &str) -> Value {
        let mut body = self.body();
        let callbacks: Vec<_> = self.callbacks.iter().map(Called::body).collect();
        body.extend([
            ("order_id".to_owned(), self.order.to_string().into()),
            ("redirect_url".to_owned(), self.redirect_url(base).into()),
            ("qr_code_url".to_owned(), self.qr_code_url(base).into()),
            (
                "merchant_urls".to_owned(),
                self.merchant_urls.clone().into(),
            ),
            ("options".to_owned(), self.options.clone().into()),
            ("callbacks".to_owned(), callbacks.into()),
            (
                "distributions".to_owned(),
                self.distributions.clone().into(),
            ),
        ]);
        body.into()
    }

    pub(super) fn redirect_url(&self, base: &str) -> String {
        format!("{base}/eu/hpp/payments/{}", self.page)
    }

    fn qr_code_url(&self, base: &str) -> String {
        format!("{base}/eu/hpp/payments/{}/qr", self.id)
    }

    /// One of the merchant's URLs, its placeholders filled; `None` where none was given.
    pub(super) fn url(&self, name: &str) -> Option<String> {
        let url = text(&self.merchant_urls, name).filter(|url| !url.is_empty())?;
        Some(
            url.replace("{{session_id}}", &self.id.to_string())
                .replace("{{order_id}}", &self.order.to_string()),
        )
    }
}

impl Called {
    fn body(&self) -> Value {
        json!({
            "event_id": self.event_id.to_string(),
            "status": self.status,
            "url": self.url,
            "at": millis(self.at),
            "answer": self.answer,
        })
    }
}

const CATEGORIES: &[&str] = &[
    "DIRECT_DEBIT",
    "DIRECT_BANK_TRANSFER",
    "PAY_NOW",
    "PAY_LATER",
    "PAY_OVER_TIME",
    "KLARNA",
];
const TYPES: &[&str] = &[
    "BUY",
    "RENT",
    "BOOK",
    "SUBSCRIBE",
    "DOWNLOAD",
    "ORDER",
    "CONTINUE",
];
const MODES: &[&str] = &["PLACE_ORDER", "CAPTURE_ORDER", "NONE"];
const REDIRECT: Kind = Kind::Like(is_redirect);
const CATEGORY: Kind = Kind::Like(is_category);

const CREATE: &[Field] = &[
    must("payment_session_url", Kind::Text(1, 2000)),
    may("profile_id", Kind::Like(is_uuid)),
    may(
        "merchant_urls",
        Kind::Object(&[
            may("success", REDIRECT),
            may("cancel", REDIRECT),
            may("back", REDIRECT),
            may("failure", REDIRECT),
            may("error", REDIRECT),
            may("status_update", Kind::Like(is_callback)),
            // no longer documented, still sent by the official libraries
            may("privacy_policy", REDIRECT),
            may("terms", REDIRECT),
        ]),
    ),
    may(
        "options",
        Kind::Object(&[
            may("page_title", Kind::Text(0, 255)),
            may("logo_url", Kind::Like(is_image)),
            may(
                "background_images",
                Kind::List(
                    0,
                    100,
                    &Kind::Object(&[
                        may("url", Kind::Like(is_image)),
                        may("width", Kind::Int(0, i64::MAX)),
                    ]),
                ),
            ),
            may("payment_method_category", CATEGORY),
            may("payment_method_categories", Kind::List(0, 100, &CATEGORY)),
            may("place_order_mode", Kind::Like(is_mode)),
            may("purchase_type", Kind::Like(is_purchase_type)),
            may("show_subtotal_detail", Kind::Word(&["HIDE"])),
            may("payment_fallback", Kind::Flag),
        ]),
    ),
];

/// An empty URL means Klarna's own page.
fn is_redirect(text: &str) -> bool {
    text.is_empty() || is_url(&plain(text))
}

fn is_callback(text: &str) -> bool {
    text.is_empty() || is_safe_url(&plain(text))
}

fn is_image(text: &str) -> bool {
    text.is_empty() || is_safe_url(text)
}

/// The placeholders may stand anywhere, in a path too.
fn plain(url: &str) -> String {
    url.replace("{{", "").replace("}}", "")
}

// The documents print these words in capitals, the official libraries' samples in small letters.
fn is_category(text: &str) -> bool {
    is_one_of(CATEGORIES, text)
}

fn is_purchase_type(text: &str) -> bool {
    is_one_of(TYPES, text)
}

fn is_mode(text: &str) -> bool {
    is_one_of(MODES, text)
}

fn is_one_of(words: &[&str], text: &str) -> bool {
    words.iter().any(|word| word.eq_ignore_ascii_case(text))
}

fn is_uuid(text: &str) -> bool {
    Uuid::try_parse(text).is_ok()
}

/// `POST /hpp/v1/sessions`
pub(super) fn create(world: &World, body: &[u8]) -> Outcome {
    let mut asked = object(body)?;
    let mut faults = Faults::default();
    check(&asked, CREATE, Path::Root, &mut faults);
    if let Some(Value::Object(options)) = asked.get("options") {
        let given = |name: &str| options.get(name).is_some_and(|value| !value.is_null());
        if given("payment_method_category") && given("payment_method_categories") {
            let parent = Path::Member(&Path::Root, "options");
            faults.add(Path::Member(&parent, "payment_method_category"));
        }
    }
    let faults = faults.paths();
    if !faults.is_empty() {
        return Err(Refusal::bad_values(faults));
    }
    let hosted = text(&asked, "payment_session_url").and_then(hosted);
    let hosted = hosted.ok_or_else(|| Refusal::bad_value("payment_session_url"))?;
    let mut taken = |name: &str| match asked.remove(name) {
        Some(mut value @ Value::Object(_)) => {
            without_nulls(&mut value);
            value
                .as_object_mut()
                .map(std::mem::take)
                .unwrap_or_default()
        }
        _ => Map::new(),
    };
    let (merchant_urls, options) = (taken("merchant_urls"), taken("options"));
    let (id, now, page) = (world.random.uuid(), world.now(), code(world, 10));
    let expired = || Refusal::new(404, "NOT_FOUND", "Payment session not found or expired");
    let mut state = world.state();
    let order = hosted
        .and_then(|id| state.orders.get(&id))
        .ok_or_else(expired)?;
    if order.stage == Stage::Complete {
        return Err(Refusal::bad_value("payment_session_url"));
    }
    let expires_at = order
        .until
        .saturating_sub(ENDS_EARLIER)
        .unwrap_or(Timestamp::MIN);
    if !order.payable(now) || expires_at <= now {
        return Err(expired());
    }
    let session = Session {
        id,
        order: order.id,
        page,
        status: Status::Waiting,
        updated_at: now,
        expires_at,
        merchant_urls,
        options,
        klarna_reference: None,
        callbacks: Vec::new(),
        distributions: Vec::new(),
    };
    let (base, api) = (&world.base, format!("{}/hpp/v1/sessions/{id}", world.base));
    let standalone = format!(
        "{base}/eu/hpp/distributions/{id}?profile_id={{{{profile_id}}}}&view_id={{{{view_id}}}}"
    );
    let answer = Answer::json(
        201,
        &json!({
            "session_id": id.to_string(),
            "session_url": api,
            "redirect_url": session.redirect_url(base),
            "qr_code_url": session.qr_code_url(base),
            "distribution_url": format!("{api}/distribution"),
            "manual_identification_check_url": format!("{api}/manual-id-check"),
            "expires_at": millis(expires_at),
            "distribution_module": {
                "token": code(world, 32),
                "standalone_url": standalone,
                "generation_url": format!("{api}/distribution-module/token"),
            },
        }),
    )
    .with("location", api);
    state.keep_session(session);
    Ok(answer)
}

/// The order that a `payment_session_url` names by its path, whatever its host. `None`: no such
/// path; `Some(None)`: a right path to something that isn't here (Klarna Payments, no UUID).
#[allow(clippy::option_option)] // two different refusals, one look at the path
fn hosted(url: &str) -> Option<Option<Uuid>> {
    let url = reqwest::Url::parse(url).ok()?;
    let path = url.path().trim_end_matches('/');
    if let Some((_, id)) = path.rsplit_once("/checkout/v3/orders/") {
        return (!id.is_empty()).then(|| Uuid::try_parse(id).ok());
    }
    let (_, id) = path.rsplit_once("/payments/v1/sessions/")?;
    (!id.is_empty()).then_some(None)
}

/// `GET /hpp/v1/sessions/{id}`
pub(super) fn read(world: &World, id: Option<Uuid>) -> Outcome {
    let now = world.now();
    let state = world.state();
    let session = id
        .and_then(|id| state.sessions.get(&id))
        .filter(|session| session.alive(now));
    Ok(Answer::json(
        200,
        &session.ok_or_else(Refusal::not_found)?.body(),
    ))
}

/// `DELETE /hpp/v1/sessions/{id}`. A second one is answered like the first.
pub(super) fn disable(world: &World, id: Option<Uuid>) -> Outcome {
    let now = world.now();
    let mut state = world.state();
    let session = id
        .and_then(|id| state.sessions.get_mut(&id))
        .filter(|session| session.alive(now));
    let session = session.ok_or_else(Refusal::not_found)?;
    match session.status {
        Status::Completed => {
            return Err(Refusal::new(
                400,
                "BAD_REQUEST",
                "Session is already completed",
            ));
        }
        Status::Disabled | Status::Cancelled => {}
        _ => session.enter(Status::Disabled, now),
    }
    Ok(Answer::empty(204))
}

/// Letters and digits for the URL of a page or a token.
fn code(world: &World, length: usize) -> String {
    const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let bytes: [u8; 32] = world.random.bytes();
    // a slight bias is no harm: nothing here is a secret
    bytes
        .iter()
        .take(length)
        .map(|byte| char::from(ALPHABET[usize::from(*byte) % 62]))
        .collect()
}
