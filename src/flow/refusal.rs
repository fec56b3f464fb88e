//! Why a verb did not do what was asked, each said by what the caller can do about it.

use std::fmt;
use std::time::Duration;

use crate::link::{Fault, Link, LinkId, Refused};
use crate::store::{Constraint, StoreError};

/// A verb's refusal. `web` chooses the status code.
#[derive(Debug)]
pub enum Refusal {
    /// There is no such thing, or the caller may not know of it.
    NotFound,
    /// The caller may see it and not do this.
    Forbidden,
    /// The input is wrong; all faults.
    Faults(Vec<Fault>),
    /// The idempotency key came with another body before.
    IdempotencyMismatch,
    /// The first request of this key is still at work.
    IdempotencyInProgress,
    /// A live link of this store and reference exists.
    ReferenceInUse(LinkId),
    /// The reference was paid within 30 days.
    ReferencePaid(LinkId),
    /// The link cannot be paid now.
    NotPayable,
    /// The link is paid.
    AlreadyCompleted(Box<Link>),
    /// The link is not paid.
    NotCompleted,
    /// Klarna does not allow the operation in the order's present state.
    KlarnaNotAllowed(LinkId, crate::link::Refusal),
    /// What Klarna authorised is not what was sold: a person decides first.
    Held,
    /// Something on the way must end first.
    Busy,
    /// Too many links.
    RateLimited(Duration),
    /// Too many messages to one recipient.
    SendRateLimited(Duration),
    /// Klarna refused the sale.
    KlarnaRefused(LinkId, crate::link::Refusal),
    /// The first request of this key was refused so; it is not tried again.
    Replayed(Box<Refusal>),
    /// Klarna cannot be used now.
    KlarnaUnavailable(Option<LinkId>, Duration),
    /// `If-Match` named another version.
    VersionMismatch,
    /// The queue to the store is full.
    Overloaded,
    /// The store could not do it; nothing was acknowledged.
    Storage(StoreError),
    /// The closed table of stages does not have this step; the caller re-reads and decides anew.
    Stage(Refused),
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::NotFound => f.write_str("no such thing"),
            Refusal::Forbidden => f.write_str("the role lacks this call"),
            Refusal::Faults(faults) => write!(f, "the request has {} faults", faults.len()),
            Refusal::IdempotencyMismatch => {
                f.write_str("the idempotency key came with another body before")
            }
            Refusal::IdempotencyInProgress => {
                f.write_str("the first request of this idempotency key is still at work")
            }
            Refusal::ReferenceInUse(link) => write!(f, "{link} is live with this reference"),
            Refusal::ReferencePaid(link) => write!(f, "{link} paid this reference"),
            Refusal::NotPayable => f.write_str("the link is not payable"),
            Refusal::AlreadyCompleted(link) => write!(f, "{} is paid", link.id),
            Refusal::NotCompleted => f.write_str("the link is not paid"),
            Refusal::KlarnaNotAllowed(link, _) => {
                write!(f, "Klarna does not allow this for the order of {link}")
            }
            Refusal::Held => f.write_str("what Klarna authorised is not what was sold"),
            Refusal::Busy => f.write_str("the link is on its way to another state"),
            Refusal::RateLimited(_) => f.write_str("too many links in an hour"),
            Refusal::SendRateLimited(_) => f.write_str("too many messages to this recipient"),
            Refusal::KlarnaRefused(link, _) => {
                write!(f, "Klarna refused what was asked of it for {link}")
            }
            Refusal::Replayed(first) => first.fmt(f),
            Refusal::KlarnaUnavailable(..) => f.write_str("Klarna cannot be used now"),
            Refusal::VersionMismatch => f.write_str("the link has changed since that version"),
            Refusal::Overloaded => f.write_str("too much is waiting to be written"),
            Refusal::Storage(_) => f.write_str("the store could not do it"),
            Refusal::Stage(_) => f.write_str("the link's stage does not allow it"),
        }
    }
}

impl std::error::Error for Refusal {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Refusal::Storage(error) => Some(error),
            Refusal::Stage(error) => Some(error),
            _ => None,
        }
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Overloaded => Refusal::Overloaded,
            error => Refusal::Storage(error),
        }
    }
}

impl From<Refused> for Refusal {
    fn from(error: Refused) -> Self {
        Refusal::Stage(error)
    }
}

impl Refusal {
    /// Whether the store refused because a row with this meaning is there already.
    pub(super) fn is_taken(&self, constraint: Constraint) -> bool {
        matches!(self, Refusal::Storage(StoreError::Taken(taken)) if *taken == constraint)
    }
}
