//! Klarna's own sending of the page to the buyer. Nothing is sent: what would be is noted at the
//! session, where a test can look.

use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::answer::{Answer, Outcome, Refusal};
use super::grammar::{Faults, Field, Kind, Path, check, may, must, text};
use super::members::{MARKETS, is_country};
use super::order::object;
use super::world::{World, millis};

const DISTRIBUTE: &[Field] = &[
    must("method", Kind::Word(&["sms", "email", "token"])),
    must(
        "contact_information",
        Kind::Object(&[
            may("email", Kind::Text(0, 254)),
            may("phone", Kind::Text(0, 100)),
            may("phone_country", Kind::Like(is_country)),
            may("access_id", Kind::Text(0, 255)),
        ]),
    ),
    may("template", Kind::Word(&["INSTORE_PURCHASE"])),
];

/// `POST /hpp/v1/sessions/{id}/distribution`: the contact is judged now; what would be sent is
/// only noted.
pub(super) fn create(world: &World, id: Option<Uuid>, body: &[u8]) -> Outcome {
    let asked = object(body);
    let now = world.now();
    let mut state = world.state();
    let session = id
        .and_then(|id| state.sessions.get_mut(&id))
        .filter(|session| session.alive(now));
    let session = session.ok_or_else(Refusal::not_found)?;
    let mut asked = asked?;
    let mut faults = Faults::default();
    check(&asked, DISTRIBUTE, Path::Root, &mut faults);
    let faults = faults.paths();
    if !faults.is_empty() {
        let messages = faults.join(", ");
        return Err(Refusal::new(400, "CONSTRAINT_VIOLATION", messages));
    }
    if session.status.is_final() {
        return Err(Refusal::new(
            400,
            "CONSTRAINT_VIOLATION",
            "Session is not open",
        ));
    }
    let empty = Map::new();
    let contact = asked
        .get("contact_information")
        .and_then(Value::as_object)
        .unwrap_or(&empty);
    let given = |name: &str| text(contact, name).filter(|value| !value.is_empty());
    let missing = || Refusal::new(400, "MISSING_CONTACT_DATA", "Contact data is missing");
    let wrong = |name: &str| {
        Refusal::new(
            400,
            "CONSTRAINT_VIOLATION",
            format!("contact_information.{name}"),
        )
    };
    match text(&asked, "method") {
        Some("email") => {
            let email = given("email").ok_or_else(missing)?;
            if !is_email(email) {
                return Err(wrong("email"));
            }
        }
        Some("sms") => {
            let phone = given("phone").ok_or_else(missing)?;
            let country = given("phone_country").ok_or_else(missing)?;
            if !is_phone(phone) {
                return Err(wrong("phone"));
            }
            if !MARKETS
                .iter()
                .any(|(known, _)| known.eq_ignore_ascii_case(country))
            {
                return Err(Refusal::new(
                    400,
                    "UNSUPPORTED_COUNTRY",
                    "Unsupported phone country",
                ));
            }
        }
        _ => {
            given("access_id").ok_or_else(missing)?;
        }
    }
    session.distributions.push(json!({
        "method": asked.remove("method"),
        "contact_information": asked.remove("contact_information"),
        "at": millis(now),
    }));
    Ok(Answer::empty(201))
}

fn is_email(text: &str) -> bool {
    let good = |c: char| !c.is_whitespace() && !c.is_control();
    text.split_once('@').is_some_and(|(local, domain)| {
        !local.is_empty()
            && domain.contains('.')
            && !domain.starts_with('.')
            && !domain.ends_with('.')
            && !domain.contains('@')
            && text.chars().all(good)
    })
}

fn is_phone(text: &str) -> bool {
    let digits = text.chars().filter(char::is_ascii_digit).count();
    let rest = text.strip_prefix('+').unwrap_or(text);
    (5..=15).contains(&digits)
        && rest
            .chars()
            .all(|c| c.is_ascii_digit() || " -()/.".contains(c))
}
