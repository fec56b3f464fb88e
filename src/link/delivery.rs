//! One message to one recipient by one channel, and what became of it.

use jiff::Timestamp;

use super::contact::{Email, Phone};
use super::ids::{DeliveryId, LinkId};
use super::sale::words;

/// How a link reaches its buyer by itself. (QR and copying need no delivery.)
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum Channel {
    Email,
    Sms,
}
words!(Channel { Email = "email", Sms = "sms" });

/// Where it goes. Prints masked.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum Recipient {
    Email(Email),
    Sms(Phone),
}

impl Recipient {
    /// The channel that reaches it.
    pub fn channel(&self) -> Channel {
        match self {
            Recipient::Email(_) => Channel::Email,
            Recipient::Sms(_) => Channel::Sms,
        }
    }

    /// The address in full.
    pub fn as_str(&self) -> &str {
        match self {
            Recipient::Email(email) => email.as_str(),
            Recipient::Sms(phone) => phone.as_str(),
        }
    }

    /// What may be shown of it.
    pub fn masked(&self) -> String {
        match self {
            Recipient::Email(email) => email.to_string(),
            Recipient::Sms(phone) => phone.to_string(),
        }
    }
}

/// `api.md`, Delivery status.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum DeliveryStatus {
    Queued,
    /// An attempt row is there and its result is not.
    Sending,
    /// The gateway or server took it.
    Sent,
    /// A receipt came.
    Delivered,
    Failed,
    /// Nobody can tell whether it left; a person decides.
    Unknown,
    /// The link was closed first.
    Skipped,
}
words!(DeliveryStatus {
    Queued = "queued",
    Sending = "sending",
    Sent = "sent",
    Delivered = "delivered",
    Failed = "failed",
    Unknown = "unknown",
    Skipped = "skipped",
});

/// Why a delivery is not where it should be: the closed set of `reason.code`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum ReasonCode {
    Rejected,
    InvalidRecipient,
    Bounced,
    OptedOut,
    GatewayAuth,
    Suppressed,
    Expired,
    LinkClosed,
    UnknownOutcome,
    QuietHours,
}
words!(ReasonCode {
    Rejected = "rejected",
    InvalidRecipient = "invalid_recipient",
    Bounced = "bounced",
    OptedOut = "opted_out",
    GatewayAuth = "gateway_auth",
    Suppressed = "suppressed",
    Expired = "expired",
    LinkClosed = "link_closed",
    UnknownOutcome = "unknown_outcome",
    QuietHours = "quiet_hours",
});

/// A reason with the foreigner's own words, cut to what fits a line.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Reason {
    pub code: ReasonCode,
    pub detail: String,
}

/// One message to one recipient.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// Its name; also the idempotency key at gateways and part of the Message-ID.
    pub id: DeliveryId,
    /// The link that it carries.
    pub link: LinkId,
    /// Where it goes; sealed at rest.
    pub to: Recipient,
    /// Folder of templates, default `link`.
    pub template: String,
    /// Who asked for it: the key's or user's agent.
    pub agent: Option<String>,
    /// Where it stands.
    pub status: DeliveryStatus,
    /// Attempts begun.
    pub attempts: u32,
    /// Why it is not further, where that is known.
    pub reason: Option<Reason>,
    /// When a gateway or server took it.
    pub sent_at: Option<Timestamp>,
    /// When it will be tried again.
    pub next_attempt_at: Option<Timestamp>,
    /// Which gateway took it.
    pub gateway: Option<String>,
    /// The gateway's own name for it.
    pub gateway_message_id: Option<String>,
    /// SMS: how many messages the text takes.
    pub segments: Option<u32>,
    /// When it was asked for.
    pub created_at: Timestamp,
}
