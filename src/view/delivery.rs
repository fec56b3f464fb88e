//! One message to one recipient.

use serde::Serialize;
use utoipa::ToSchema;

use super::{Detail, Instant, person, words};
use crate::link::{Delivery, Reason};

/// One message to one recipient by one channel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = Delivery)]
pub struct DeliveryView {
    /// Also the idempotency key at gateways and part of the Message-ID.
    #[schema(example = "dlv_019ab3f0c6d77b0e8f4a2f6d5c1b9a70")]
    pub id: String,
    /// Always `delivery`.
    #[schema(schema_with = words::delivery_object)]
    pub object: &'static str,
    /// The link that it carries.
    pub link: String,
    /// How it goes.
    #[schema(schema_with = words::channel)]
    pub channel: &'static str,
    /// Where it goes; masked.
    #[schema(example = "j***@example.com")]
    pub to: String,
    /// Folder of templates.
    pub template: String,
    /// On whose behalf, where that was said.
    pub agent: Option<String>,
    /// Where it stands. `unknown`: nobody can tell whether it left; a person decides.
    #[schema(schema_with = words::delivery_status)]
    pub status: &'static str,
    /// Attempts begun.
    pub attempts: u32,
    /// Why it is not further, where that is known.
    pub reason: Option<ReasonView>,
    /// When a gateway or server took it.
    pub sent_at: Option<Instant>,
    /// When it will be tried again.
    pub next_attempt_at: Option<Instant>,
    /// Which gateway took it.
    pub gateway: Option<String>,
    /// The gateway's own name for it.
    pub gateway_message_id: Option<String>,
    /// SMS: how many messages the text takes.
    pub segments: Option<u32>,
    /// When it was asked for.
    pub created_at: Instant,
}

/// Why a delivery is not where it should be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = Reason)]
pub struct ReasonView {
    /// The kind, for machines.
    #[schema(schema_with = words::reason_code)]
    pub code: &'static str,
    /// The gateway's or server's own words.
    pub detail: String,
}

impl DeliveryView {
    /// `delivery`, its recipient as `detail` allows.
    pub fn new(delivery: &Delivery, detail: Detail) -> Self {
        Self {
            id: delivery.id.to_string(),
            object: "delivery",
            link: delivery.link.to_string(),
            channel: delivery.to.channel().as_str(),
            to: person::recipient(&delivery.to, detail),
            template: delivery.template.clone(),
            agent: delivery.agent.clone(),
            status: delivery.status.as_str(),
            attempts: delivery.attempts,
            reason: delivery
                .reason
                .as_ref()
                .map(|reason| said_of(reason, delivery, detail)),
            sent_at: delivery.sent_at.map(Instant),
            next_attempt_at: delivery.next_attempt_at.map(Instant),
            gateway: delivery.gateway.clone(),
            gateway_message_id: delivery.gateway_message_id.clone(),
            segments: delivery.segments,
            created_at: Instant(delivery.created_at),
        }
    }
}

/// Mail servers like to repeat the address that they refuse; it must not get out that way.
fn said_of(reason: &Reason, delivery: &Delivery, detail: Detail) -> ReasonView {
    let text = if detail.reveals() {
        reason.detail.clone()
    } else {
        veiled(&reason.detail, delivery.to.as_str(), &delivery.to.masked())
    };
    ReasonView {
        code: reason.code.as_str(),
        detail: text,
    }
}

/// `text` with every occurrence of `secret`, in any case of its letters, replaced by `mask`.
fn veiled(text: &str, secret: &str, mask: &str) -> String {
    // ASCII only: lower-casing must not move byte positions
    let (haystack, needle) = (text.to_ascii_lowercase(), secret.to_ascii_lowercase());
    // gateways write a phone number without its plus as often as with it
    let needle = needle.strip_prefix('+').unwrap_or(&needle);
    let mask = mask.strip_prefix('+').unwrap_or(mask);
    if needle.is_empty() {
        return text.to_owned();
    }
    let mut out = String::with_capacity(text.len());
    let mut from = 0;
    for (at, found) in haystack.match_indices(needle) {
        out.push_str(&text[from..at]);
        out.push_str(mask);
        from = at + found.len();
    }
    out.push_str(&text[from..]);
    out
}
