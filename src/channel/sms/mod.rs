//! Text messages, through whichever gateway is configured: the one open set of the house. A
//! gateway knows its own wire and nothing of links.

mod http;
mod log;
mod segments;
#[cfg(test)]
mod tests;

use std::time::Duration;

use futures_util::future::BoxFuture;

pub use http::HttpGateway;
pub use log::LogGateway;
pub use segments::{Encoding, Segments, segments};

use super::Outcome;
use crate::link::Phone;

/// One text message to one phone.
#[derive(Clone, Debug)]
pub struct Sms {
    /// Who gets it.
    pub to: Phone,
    /// The sender that the phone shows (`SMS_FROM`).
    pub from: String,
    /// What it says.
    pub text: String,
    /// The delivery's id: the idempotency key where the gateway knows such.
    pub id: String,
}

/// What a gateway can do about a message whose outcome is unknown (`failure-model.md` R4).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Abilities {
    /// For how long the same id may be submitted again without a second message going out.
    pub idempotency_window: Option<Duration>,
    /// It can be asked whether it knows an id.
    pub lookup: bool,
    /// It reports what became of a message.
    pub delivery_reports: bool,
}

/// A way to send text messages.
pub trait SmsGateway: Send + Sync {
    /// Its word in `SMS_GATEWAY`.
    fn name(&self) -> &'static str;
    /// What it can do about unknown outcomes.
    fn abilities(&self) -> Abilities;
    /// Hands over one message, once: no attempt is repeated in here.
    fn submit<'a>(&'a self, sms: &'a Sms) -> BoxFuture<'a, Outcome>;
    /// Whether the gateway is there, without sending anything: what was seen, or a sentence on
    /// what is wrong.
    fn probe(&self) -> BoxFuture<'_, Result<String, String>>;
}

/// Gateways that are built, as `SMS_GATEWAY` names them.
pub const GATEWAYS: &[&str] = &["none", "log", "http"];

/// Checks `SMS_FROM`: up to 15 digits, optionally after `+`, or up to 11 of the letters, digits and
/// spaces that GSM 03.40 (9.1.2.5) lets a sender have; a sentence on what is wrong otherwise.
pub fn sender(from: &str) -> Result<(), String> {
    let digits = from.strip_prefix('+').unwrap_or(from);
    let number = (1..=15).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
    let name = (1..=11).contains(&from.len())
        && from
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b" -_.&".contains(&b))
        && from.trim() == from;
    if number || name {
        Ok(())
    } else {
        Err("must be a phone number (up to 15 digits, optionally with +) or a name of 1 to 11 letters, digits and spaces".into())
    }
}
