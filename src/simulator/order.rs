//! Kustom Checkout: create, read, update, abort; the order's lifetime of 48 hours from its last
//! change. An order is kept as the bytes that are answered: it is read far more often than changed.
//!
//! After an abort the order still answers, with the status `aborted`, and can't be changed any
//! more. (What Klarna does is not documented; a second abort is refused as read-only.)

use actix_web::web::Bytes;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::answer::{Answer, Outcome, Refusal};
use super::grammar::{text, without_nulls};
use super::payment::{Fraud, Payment};
use super::world::{World, seconds};
use super::{members, rules};

/// Counted from the last update by the merchant or act of the buyer.
pub(super) const LIFETIME: SignedDuration = SignedDuration::from_hours(48);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    Incomplete,
    Complete,
    Aborted,
}

pub(super) struct Order {
    pub id: Uuid,
    pub stage: Stage,
    /// The order as it is answered.
    pub json: Bytes,
    /// When an incomplete order dies; a complete one stays readable.
    pub until: Timestamp,
    pub sessions: Vec<Uuid>,
    /// Order Management's half, there once the buyer paid.
    pub payment: Option<Payment>,
    /// What Klarna's fraud desk will say, or said, of the payment.
    pub fraud: Fraud,
}

impl Order {
    /// Can a merchant or buyer still reach it? An aborted order dies of age too.
    pub(super) fn alive(&self, now: Timestamp) -> bool {
        self.stage == Stage::Complete || now < self.until
    }

    pub(super) fn payable(&self, now: Timestamp) -> bool {
        self.stage == Stage::Incomplete && now < self.until
    }

    /// The buyer did something: the 48 hours begin anew.
    pub(super) fn touched(&mut self, now: Timestamp) {
        if self.stage == Stage::Incomplete {
            self.until = later(now, LIFETIME);
        }
    }

    pub(super) fn body(&self) -> Map<String, Value> {
        // Our own writing; were it not readable, an empty order would say so in every test.
        serde_json::from_slice(&self.json).unwrap_or_default()
    }

    /// Puts the order into a new stage and says so in its body.
    pub(super) fn enter(&mut self, stage: Stage, mut body: Map<String, Value>, now: Timestamp) {
        self.stage = stage;
        let word = match stage {
            Stage::Incomplete => "checkout_incomplete",
            Stage::Complete => "checkout_complete",
            Stage::Aborted => "aborted",
        };
        body.insert("status".to_owned(), word.into());
        body.insert("last_modified_at".to_owned(), seconds(now).into());
        if stage == Stage::Complete {
            body.insert("completed_at".to_owned(), seconds(now).into());
        }
        self.json = written(&body);
    }

    /// One of the merchant's URLs, its placeholder filled.
    pub(super) fn url(&self, body: &Map<String, Value>, name: &str) -> Option<String> {
        let url = body.get("merchant_urls")?.get(name)?.as_str()?;
        (!url.is_empty()).then(|| url.replace("{checkout.order.id}", &self.id.to_string()))
    }
}

/// `POST /checkout/v3/orders`
pub(super) fn create(world: &World, body: &[u8]) -> Outcome {
    let mut order = object(body)?;
    let faults = rules::judge(&order).paths();
    if !faults.is_empty() {
        return Err(Refusal::bad_values(faults));
    }
    let (id, now) = (world.random.uuid(), world.now());
    normalise(&mut order);
    let order = echo(order, id, now);
    let json = written(&order);
    world.state().keep_order(Order {
        id,
        stage: Stage::Incomplete,
        json: json.clone(),
        until: later(now, LIFETIME),
        sessions: Vec::new(),
        payment: None,
        fraud: Fraud::Accepted,
    });
    let location = format!("{}/checkout/v3/orders/{id}", world.base);
    Ok(Answer::raw(201, json).with("location", location))
}

/// `GET /checkout/v3/orders/{id}`
pub(super) fn read(world: &World, id: Option<Uuid>) -> Outcome {
    let now = world.now();
    let state = world.state();
    match id.and_then(|id| state.orders.get(&id)) {
        Some(order) if order.alive(now) => Ok(Answer::raw(200, order.json.clone())),
        _ => Err(Refusal::gone()),
    }
}

/// `POST /checkout/v3/orders/{id}`: members that are absent stay.
pub(super) fn update(world: &World, id: Option<Uuid>, body: &[u8]) -> Outcome {
    let changes = object(body);
    let now = world.now();
    let mut state = world.state();
    let order = id
        .and_then(|id| state.orders.get_mut(&id))
        .filter(|order| order.alive(now))
        .ok_or_else(Refusal::gone)?;
    if order.stage != Stage::Incomplete {
        return Err(Refusal::read_only());
    }
    let mut whole = order.body();
    // `null` is no value of any member: a client that sends it for what it leaves out means "stay"
    for (name, value) in changes? {
        if !value.is_null() && is_settable(&name) {
            whole.insert(name, value);
        }
    }
    let faults = rules::judge(&whole).paths();
    if !faults.is_empty() {
        return Err(Refusal::bad_values(faults));
    }
    lower_countries(&mut whole);
    whole.values_mut().for_each(without_nulls);
    order.enter(Stage::Incomplete, whole, now);
    order.touched(now);
    Ok(Answer::raw(200, order.json.clone()))
}

/// `POST /checkout/v3/orders/{id}/abort`
pub(super) fn abort(world: &World, id: Option<Uuid>) -> Outcome {
    let now = world.now();
    let mut state = world.state();
    let order = id
        .and_then(|id| state.orders.get_mut(&id))
        .filter(|order| order.alive(now))
        .ok_or_else(Refusal::gone)?;
    if order.stage != Stage::Incomplete {
        return Err(Refusal::read_only());
    }
    let body = order.body();
    order.enter(Stage::Aborted, body, now);
    Ok(Answer::raw(200, order.json.clone()))
}

/// A body that must be one JSON object.
pub(super) fn object(body: &[u8]) -> Result<Map<String, Value>, Refusal> {
    serde_json::from_slice(body).map_err(|_| Refusal::malformed())
}

fn is_settable(name: &str) -> bool {
    members::ORDER.iter().any(|field| field.name == name)
}

/// Unknown members, members that only Klarna sets, and `null`s go.
fn normalise(order: &mut Map<String, Value>) {
    order.retain(|name, value| !value.is_null() && is_settable(name));
    order.values_mut().for_each(without_nulls);
    lower_countries(order);
}

/// Checkout answers countries in lower case, whatever it was given.
fn lower_countries(order: &mut Map<String, Value>) {
    let lower = |value: Option<&mut Value>| {
        if let Some(Value::String(country)) = value {
            country.make_ascii_lowercase();
        }
    };
    lower(order.get_mut("purchase_country"));
    for address in ["billing_address", "shipping_address"] {
        lower(
            order
                .get_mut(address)
                .and_then(|address| address.get_mut("country")),
        );
    }
}

/// The order as Klarna answers it: what was sent, and what Klarna adds.
fn echo(mut sent: Map<String, Value>, id: Uuid, now: Timestamp) -> Map<String, Value> {
    let country = text(&sent, "purchase_country")
        .unwrap_or_default()
        .to_owned();
    let mut order = Map::new();
    order.insert("order_id".to_owned(), id.to_string().into());
    order.insert("status".to_owned(), "checkout_incomplete".into());
    let address = json!({ "country": country });
    for (name, value) in [
        ("billing_address", address.clone()),
        ("shipping_address", address),
        ("customer", json!({})),
        ("external_payment_methods", json!([])),
        ("external_checkouts", json!([])),
        ("options", json!({})),
    ] {
        sent.entry(name).or_insert(value);
    }
    if let Some(Value::Object(options)) = sent.get_mut("options") {
        for name in [
            "allow_separate_shipping_address",
            "date_of_birth_mandatory",
            "require_validate_callback_success",
        ] {
            let german = name == "allow_separate_shipping_address" && country == "de";
            options.entry(name).or_insert(german.into());
        }
    }
    order.extend(sent);
    order.insert(
        "html_snippet".to_owned(),
        format!("<div id=\"klarna-checkout-container\" data-order=\"{id}\">Klarna simulator</div>")
            .into(),
    );
    order.insert("started_at".to_owned(), seconds(now).into());
    order.insert("last_modified_at".to_owned(), seconds(now).into());
    order
}

fn written(order: &Map<String, Value>) -> Bytes {
    // A tree of JSON values with text keys can always be written.
    Bytes::from(serde_json::to_vec(order).unwrap_or_default())
}

pub(super) fn later(now: Timestamp, by: SignedDuration) -> Timestamp {
    now.saturating_add(by).unwrap_or(Timestamp::MAX)
}
