//! What a buyer does on the page, and what follows from it. The page and the control interface
//! both come through here, so that a test sees what a person would.

use actix_web::web::Bytes;
use jiff::Timestamp;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::order::{Order, Stage};
use super::payment::{Fraud, Payment};
use super::session::{Session, Status};
use super::validation::{Verdict, validate};
use super::world::World;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Act {
    Open,
    Pay,
    Back,
    Cancel,
    Decline,
    Error,
    /// The buyer just left: Klarna calls back, the session stays as it is.
    Timeout,
    /// The end of session and order comes now.
    Expire,
}

impl Act {
    pub(super) const WORDS: [(&'static str, Self); 8] = [
        ("open", Self::Open),
        ("pay", Self::Pay),
        ("back", Self::Back),
        ("cancel", Self::Cancel),
        ("decline", Self::Decline),
        ("error", Self::Error),
        ("timeout", Self::Timeout),
        ("expire", Self::Expire),
    ];

    pub(super) fn of(word: &str) -> Option<Self> {
        Self::WORDS
            .into_iter()
            .find_map(|(known, act)| (known == word).then_some(act))
    }
}

/// What came of an act.
#[derive(Debug)]
pub(super) enum Done {
    /// The session is now in this status.
    Now(Status),
    /// The merchant's validation refused the purchase; the session stays in progress.
    Denied {
        status: Option<u16>,
        location: Option<String>,
        text: Option<String>,
    },
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Impossible {
    Unknown,
    /// The session has ended, or its order can't be paid any more.
    Ended,
}

/// Does it. Takes up to ten seconds where the merchant is asked for a validation.
pub(super) async fn act(
    world: &World,
    client: &reqwest::Client,
    session: Uuid,
    act: Act,
) -> Result<Done, Impossible> {
    if act != Act::Pay {
        return done(world, session, act).map(Done::Now);
    }
    // The merchant is asked without the lock; what happened meanwhile is looked at afterwards.
    let (validation, order) = asked(world, session)?;
    if let Some((url, required)) = validation
        && let Verdict::Denied {
            status,
            location,
            text,
        } = validate(client, &url, order, required).await
    {
        return Ok(Done::Denied {
            status,
            location,
            text,
        });
    }
    done(world, session, Act::Pay).map(Done::Now)
}

/// Does it without asking the merchant for a validation.
pub(super) fn unasked(world: &World, session: Uuid, act: Act) -> Result<Done, Impossible> {
    done(world, session, act).map(Done::Now)
}

/// Opens the page, and says whom to ask before the purchase, with the order to be shown there.
#[allow(clippy::type_complexity)] // said once, used once
fn asked(world: &World, id: Uuid) -> Result<(Option<(String, bool)>, Bytes), Impossible> {
    done(world, id, Act::Open)?;
    let mut state = world.state();
    let (_, order) = state.pair(id).ok_or(Impossible::Unknown)?;
    let body = order.body();
    let required = option(&body, "require_validate_callback_success");
    let validation = order.url(&body, "validation").map(|url| (url, required));
    Ok((validation, order.json.clone()))
}

/// All acts at once and without a wait.
fn done(world: &World, id: Uuid, act: Act) -> Result<Status, Impossible> {
    let now = world.now();
    let mut state = world.state();
    let (session, order) = state.pair(id).ok_or(Impossible::Unknown)?;
    if session.status.is_final() || !session.alive(now) || !order.payable(now) {
        return Err(Impossible::Ended);
    }
    match act {
        Act::Timeout => {
            let told = session.updated_at;
            session.updated_at = now; // the news is new, though the status isn't
            world
                .calls
                .status(session, "TIMEOUT", world.random.uuid(), now);
            session.updated_at = told;
            return Ok(session.status);
        }
        Act::Expire => {
            session.expires_at = now;
            order.until = now;
            return Ok(session.status);
        }
        _ => {}
    }
    order.touched(now);
    // Whatever is done on the page, the page is open.
    if session.status != Status::InProgress {
        enter(world, session, Status::InProgress, now);
    }
    match act {
        Act::Pay => {
            pay(world, session, order, now);
            enter(world, session, Status::Completed, now);
        }
        Act::Back => enter(world, session, Status::Back, now),
        Act::Cancel if session.url("cancel").is_none() => enter(world, session, Status::Back, now),
        Act::Cancel => enter(world, session, Status::Cancelled, now),
        Act::Decline => enter(world, session, Status::Failed, now),
        Act::Error => enter(world, session, Status::Error, now),
        Act::Open | Act::Timeout | Act::Expire => {}
    }
    Ok(session.status)
}

fn enter(world: &World, session: &mut Session, status: Status, now: Timestamp) {
    session.enter(status, now);
    world
        .calls
        .status(session, status.word(), world.random.uuid(), now);
}

/// The order is complete, Order Management knows it, and pushes are on their way.
fn pay(world: &World, session: &mut Session, order: &mut Order, now: Timestamp) {
    let mut body = order.body();
    fill_in(&mut body);
    let reference = reference(world);
    // nothing is captured while the fraud desk checks
    let at_once = option(&body, "auto_capture") && order.fraud == Fraud::Accepted;
    let capture = at_once.then(|| world.random.uuid());
    let payment = Payment::of(&body, reference.clone(), capture, now);
    let pushed = !payment.is_settled();
    order.payment = Some(payment);
    order.enter(Stage::Complete, body, now);
    session.klarna_reference = Some(reference);
    if pushed {
        world.calls.push(order, &order.body(), now);
    }
}

/// The buyer types on the page what the merchant did not send.
fn fill_in(order: &mut Map<String, Value>) {
    let typed = [
        ("given_name", "Test"),
        ("family_name", "Buyer"),
        ("email", "buyer@example.com"),
        ("phone", "+447700900123"),
        ("street_address", "1 Example Street"),
        ("postal_code", "12345"),
        ("city", "Example"),
    ];
    let mut billing = match order.remove("billing_address") {
        Some(Value::Object(address)) => address,
        _ => Map::new(),
    };
    let split = billing.contains_key("street_name"); // the German way of giving the street
    for (name, value) in typed {
        if !(split && name == "street_address") {
            billing.entry(name).or_insert_with(|| value.into());
        }
    }
    let mut shipping = match order.remove("shipping_address") {
        Some(Value::Object(address)) => address,
        _ => Map::new(),
    };
    if shipping.keys().all(|name| name == "country") {
        shipping.clone_from(&billing);
    }
    order.insert("billing_address".to_owned(), billing.into());
    order.insert("shipping_address".to_owned(), shipping.into());
}

fn option(order: &Map<String, Value>, name: &str) -> bool {
    order.get("options").and_then(|options| options.get(name)) == Some(&json!(true))
}

/// Klarna's number for a payment: eight capitals and digits, without those that look alike.
fn reference(world: &World) -> String {
    const ALPHABET: &[u8; 32] = b"23456789ABCDEFGHJKLMNPQRSTUVWXYZ";
    let bytes: [u8; 8] = world.random.bytes();
    bytes
        .iter()
        .map(|byte| char::from(ALPHABET[usize::from(*byte) % 32]))
        .collect()
}
