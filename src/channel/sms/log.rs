//! The gateway that sends nothing: for development.

use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, ready};

use super::{Abilities, Outcome, Sms, SmsGateway};
use crate::templates::segments;

/// Writes each message to the log, the phone number masked, and calls it sent.
#[derive(Clone, Copy, Debug, Default)]
pub struct LogGateway;

impl SmsGateway for LogGateway {
    fn name(&self) -> &'static str {
        "log"
    }

    fn abilities(&self) -> Abilities {
        Abilities::default()
    }

    fn submit<'a>(&'a self, sms: &'a Sms) -> BoxFuture<'a, Outcome> {
        let parts = segments(&sms.text).parts;
        tracing::info!(to = %sms.to, from = sms.from, id = sms.id, parts, text = sms.text, "text message (not sent: SMS_GATEWAY=log)");
        ready(Outcome::Sent {
            gateway: self.name().into(),
            message_id: None,
            segments: Some(parts),
            detail: "written to the log".into(),
        })
        .boxed()
    }

    fn probe(&self) -> BoxFuture<'_, Result<String, String>> {
        ready(Ok("messages are only logged".into())).boxed()
    }
}
