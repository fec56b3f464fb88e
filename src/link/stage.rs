//! Where a link is in its life. Each stage carries the facts that are true only there; a
//! transition consumes the stage and answers the next one, or says why not. The arms that refuse
//! are written out, so that a new stage cannot slip through a `_`.

use jiff::Timestamp;

use super::sale::words;
use super::{Actor, Payment};

/// A KCO order with its HPP session: what the buyer can pay at. At most one pair of a link has
/// been seen by anyone outside (failure-model.md, One to one).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pair {
    /// 1, 2 or 3: which try of this link; names the tokens in its merchant URLs.
    pub number: u8,
    /// KCO's order id, also Order Management's.
    pub order: String,
    /// HPP's session id.
    pub session: String,
    /// What is distributed: the page's address, opaque.
    pub url: String,
    /// Where a clerk does Klarna's identity check, when the page asks for one.
    pub id_check_url: Option<String>,
}

/// What the buyer is doing while the link is open, as far as Klarna told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum Consumer {
    NotOpened,
    InProgress,
    IdCheck,
    Back,
    Declined,
    Error,
}
words!(Consumer {
    NotOpened = "not_opened",
    InProgress = "in_progress",
    IdCheck = "id_check",
    Back = "back",
    Declined = "declined",
    Error = "error",
});

/// Why a link is being closed by our side, or was closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum Closing {
    PaidElsewhere,
    CustomerRequest,
    OfferExpired,
    Mistake,
    Other,
    /// Disabled without a reason given.
    Unsaid,
    /// Its own end came.
    Expired,
    /// A newer link for the same sale took its place.
    Replaced,
    /// Klarna's side disabled it.
    Klarna,
}
words!(Closing {
    PaidElsewhere = "paid_elsewhere",
    CustomerRequest = "customer_request",
    OfferExpired = "offer_expired",
    Mistake = "mistake",
    Other = "other",
    Unsaid = "unsaid",
    Expired = "expired",
    Replaced = "replaced",
    Klarna = "klarna",
});

/// Why a link never became payable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The kind, for machines.
    pub code: FailureCode,
    /// One sentence for people.
    pub detail: String,
    /// Klarna's own words, where it refused.
    pub klarna: Option<Refusal>,
}

/// The closed set of `failure.code`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum FailureCode {
    KlarnaRefused,
    KlarnaUnavailable,
    GaveUp,
}
words!(FailureCode {
    KlarnaRefused = "klarna_refused",
    KlarnaUnavailable = "klarna_unavailable",
    GaveUp = "gave_up",
});

/// What Klarna said when it refused, for the problem's `klarna` member and for its support.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// HTTP status.
    pub status: u16,
    /// `error_code`, where the body had one.
    pub code: Option<String>,
    /// `error_messages`.
    pub messages: Vec<String>,
    /// `correlation_id` of the body or the header.
    pub correlation_id: Option<String>,
}

/// Where a link is in its life.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Stage {
    /// Accepted; Klarna is being asked. `pairs_tried` counts as `contract.md` (Pairs and outages) has it.
    Creating {
        pairs_tried: u8,
    },
    /// The buyer can pay until `until`.
    Open {
        pair: Pair,
        until: Timestamp,
        consumer: Consumer,
    },
    /// Closing is wanted and not yet proved. Without a pair, the job *open* was under way.
    Disabling {
        pair: Option<Pair>,
        why: Closing,
        by: Actor,
        since: Timestamp,
    },
    /// Paid: an authorisation that Klarna confirmed by read-back.
    Completed {
        pair: Pair,
        at: Timestamp,
        payment: Box<Payment>,
    },
    /// The buyer cancelled on Klarna's page.
    Cancelled {
        pair: Pair,
        at: Timestamp,
    },
    Disabled {
        pair: Option<Pair>,
        at: Timestamp,
        by: Actor,
        why: Closing,
    },
    Expired {
        pair: Option<Pair>,
        at: Timestamp,
    },
    /// Never became payable.
    Failed {
        at: Timestamp,
        why: Failure,
    },
}

/// The eight names of stages, without their facts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum Status {
    Creating,
    Open,
    Disabling,
    Completed,
    Cancelled,
    Disabled,
    Expired,
    Failed,
}
words!(Status {
    Creating = "creating",
    Open = "open",
    Disabling = "disabling",
    Completed = "completed",
    Cancelled = "cancelled",
    Disabled = "disabled",
    Expired = "expired",
    Failed = "failed",
});

impl Status {
    /// Whether nothing but a verified late payment can follow (failure-model R9).
    pub fn is_final(self) -> bool {
        match self {
            Status::Creating | Status::Open | Status::Disabling => false,
            Status::Completed
            | Status::Cancelled
            | Status::Disabled
            | Status::Expired
            | Status::Failed => true,
        }
    }
}

/// A transition that the closed table does not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The stage that the link is in.
    pub from: Status,
    /// What was asked of it.
    pub verb: &'static str,
}

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "a link that is {} cannot be {}",
            self.from.as_str(),
            self.verb
        )
    }
}
impl std::error::Error for Refused {}

impl Stage {
    /// The stage's name.
    pub fn status(&self) -> Status {
        match self {
            Stage::Creating { .. } => Status::Creating,
            Stage::Open { .. } => Status::Open,
            Stage::Disabling { .. } => Status::Disabling,
            Stage::Completed { .. } => Status::Completed,
            Stage::Cancelled { .. } => Status::Cancelled,
            Stage::Disabled { .. } => Status::Disabled,
            Stage::Expired { .. } => Status::Expired,
            Stage::Failed { .. } => Status::Failed,
        }
    }

    /// The pair that anyone outside has seen, where there is one. A closed stage keeps it: a late
    /// payment must still be able to complete the link.
    pub fn pair(&self) -> Option<&Pair> {
        match self {
            Stage::Creating { .. } | Stage::Failed { .. } => None,
            Stage::Open { pair, .. }
            | Stage::Completed { pair, .. }
            | Stage::Cancelled { pair, .. } => Some(pair),
            Stage::Disabling { pair, .. }
            | Stage::Disabled { pair, .. }
            | Stage::Expired { pair, .. } => pair.as_ref(),
        }
    }

    fn refuse<T>(&self, verb: &'static str) -> Result<T, Refused> {
        Err(Refused {
            from: self.status(),
            verb,
        })
    }

    /// One more pair was thrown away: its outcome is unknown or it was unusable.
    pub fn tried(self) -> Result<Stage, Refused> {
        match self {
            Stage::Creating { pairs_tried } => Ok(Stage::Creating {
                pairs_tried: pairs_tried.saturating_add(1),
            }),
            Stage::Open { .. }
            | Stage::Disabling { .. }
            | Stage::Completed { .. }
            | Stage::Cancelled { .. }
            | Stage::Disabled { .. }
            | Stage::Expired { .. }
            | Stage::Failed { .. } => self.refuse("tried again"),
        }
    }

    /// Klarna gave a usable pair.
    pub fn opened(self, pair: Pair, until: Timestamp) -> Result<Stage, Refused> {
        match self {
            Stage::Creating { .. } => Ok(Stage::Open {
                pair,
                until,
                consumer: Consumer::NotOpened,
            }),
            Stage::Open { .. }
            | Stage::Disabling { .. }
            | Stage::Completed { .. }
            | Stage::Cancelled { .. }
            | Stage::Disabled { .. }
            | Stage::Expired { .. }
            | Stage::Failed { .. } => self.refuse("opened"),
        }
    }

    /// It will never be payable.
    pub fn failed(self, at: Timestamp, why: Failure) -> Result<Stage, Refused> {
        match self {
            Stage::Creating { .. } => Ok(Stage::Failed { at, why }),
            Stage::Open { .. }
            | Stage::Disabling { .. }
            | Stage::Completed { .. }
            | Stage::Cancelled { .. }
            | Stage::Disabled { .. }
            | Stage::Expired { .. }
            | Stage::Failed { .. } => self.refuse("failed"),
        }
    }

    /// The buyer did something on the page that does not end the link.
    pub fn moved(self, consumer: Consumer, until: Timestamp) -> Result<Stage, Refused> {
        match self {
            Stage::Open { pair, .. } => Ok(Stage::Open {
                pair,
                until,
                consumer,
            }),
            Stage::Creating { .. }
            | Stage::Disabling { .. }
            | Stage::Completed { .. }
            | Stage::Cancelled { .. }
            | Stage::Disabled { .. }
            | Stage::Expired { .. }
            | Stage::Failed { .. } => self.refuse("moved"),
        }
    }

    /// Somebody, or its own end, wants it closed. From here only proof leads on.
    pub fn disabling(self, why: Closing, by: Actor, since: Timestamp) -> Result<Stage, Refused> {
        match self {
            Stage::Creating { .. } => Ok(Stage::Disabling {
                pair: None,
                why,
                by,
                since,
            }),
            Stage::Open { pair, .. } => Ok(Stage::Disabling {
                pair: Some(pair),
                why,
                by,
                since,
            }),
            Stage::Disabling { .. }
            | Stage::Completed { .. }
            | Stage::Cancelled { .. }
            | Stage::Disabled { .. }
            | Stage::Expired { .. }
            | Stage::Failed { .. } => self.refuse("disabled"),
        }
    }

    /// The session is gone at Klarna and the order was read unpaid: the disable is proved. A link
    /// whose own end asked for it ends `expired`.
    pub fn closed(self, at: Timestamp) -> Result<Stage, Refused> {
        match self {
            Stage::Disabling {
                pair,
                why: Closing::Expired,
                ..
            } => Ok(Stage::Expired { pair, at }),
            Stage::Disabling { pair, why, by, .. } => Ok(Stage::Disabled { pair, at, by, why }),
            Stage::Creating { .. }
            | Stage::Open { .. }
            | Stage::Completed { .. }
            | Stage::Cancelled { .. }
            | Stage::Disabled { .. }
            | Stage::Expired { .. }
            | Stage::Failed { .. } => self.refuse("closed"),
        }
    }

    /// Klarna's own end came (404 or past `expires_at`) and the order was read unpaid.
    pub fn expired(self, at: Timestamp) -> Result<Stage, Refused> {
        match self {
            Stage::Open { pair, .. } => Ok(Stage::Expired {
                pair: Some(pair),
                at,
            }),
            Stage::Disabling { pair, .. } => Ok(Stage::Expired { pair, at }),
            Stage::Creating { .. }
            | Stage::Completed { .. }
            | Stage::Cancelled { .. }
            | Stage::Disabled { .. }
            | Stage::Expired { .. }
            | Stage::Failed { .. } => self.refuse("expired"),
        }
    }

    /// The session is disabled at Klarna and it was not we who asked.
    pub fn disabled_by_klarna(self, at: Timestamp) -> Result<Stage, Refused> {
        match self {
            Stage::Open { pair, .. } => Ok(Stage::Disabled {
                pair: Some(pair),
                at,
                by: Actor::Klarna,
                why: Closing::Klarna,
            }),
            Stage::Creating { .. }
            | Stage::Disabling { .. }
            | Stage::Completed { .. }
            | Stage::Cancelled { .. }
            | Stage::Disabled { .. }
            | Stage::Expired { .. }
            | Stage::Failed { .. } => self.refuse("disabled by Klarna"),
        }
    }

    /// The buyer cancelled on the page; final at Klarna.
    pub fn cancelled(self, at: Timestamp) -> Result<Stage, Refused> {
        match self {
            Stage::Open { pair, .. }
            | Stage::Disabling {
                pair: Some(pair), ..
            } => Ok(Stage::Cancelled { pair, at }),
            Stage::Disabling { pair: None, .. }
            | Stage::Creating { .. }
            | Stage::Completed { .. }
            | Stage::Cancelled { .. }
            | Stage::Disabled { .. }
            | Stage::Expired { .. }
            | Stage::Failed { .. } => self.refuse("cancelled"),
        }
    }

    /// Payment was proved by a read-back. Beats everything, at any time (failure-model R9); what
    /// was never payable and what is already paid are the only refusals.
    pub fn completed(self, at: Timestamp, payment: Payment) -> Result<Stage, Refused> {
        match self {
            Stage::Open { pair, .. }
            | Stage::Cancelled { pair, .. }
            | Stage::Disabling {
                pair: Some(pair), ..
            }
            | Stage::Disabled {
                pair: Some(pair), ..
            }
            | Stage::Expired {
                pair: Some(pair), ..
            } => Ok(Stage::Completed {
                pair,
                at,
                payment: Box::new(payment),
            }),
            Stage::Disabling { pair: None, .. }
            | Stage::Disabled { pair: None, .. }
            | Stage::Expired { pair: None, .. }
            | Stage::Creating { .. }
            | Stage::Completed { .. }
            | Stage::Failed { .. } => self.refuse("completed"),
        }
    }

    /// Order Management told more about a payment that is known.
    pub fn settled(self, payment: Payment) -> Result<Stage, Refused> {
        match self {
            Stage::Completed { pair, at, .. } => Ok(Stage::Completed {
                pair,
                at,
                payment: Box::new(payment),
            }),
            Stage::Creating { .. }
            | Stage::Open { .. }
            | Stage::Disabling { .. }
            | Stage::Cancelled { .. }
            | Stage::Disabled { .. }
            | Stage::Expired { .. }
            | Stage::Failed { .. } => self.refuse("settled"),
        }
    }
}
