//! Text messages, through whichever gateway is configured: the one open set of the house. A
//! gateway knows its own wire and nothing of links.

mod http;
mod log;
#[cfg(test)]
mod tests;

use std::time::Duration;

use futures_util::future::BoxFuture;

pub use http::{DEFAULT_BODY, HttpGateway, HttpSettings};
pub use log::LogGateway;

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
