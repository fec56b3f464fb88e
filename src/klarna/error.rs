//! What went wrong with a call, sorted by what the caller can do next (failure-model.md, Three
//! outcomes). Reads Klarna's error bodies; must not know what any call was for.

use std::fmt;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;

use crate::link::Refusal;

/// Why a call brought no usable answer. Each variant says what the caller can do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KlarnaError {
    /// The connection never stood: proved not done, try again.
    NotDone {
        /// The operation and what broke.
        detail: String,
    },
    /// Klarna's 429, or our own token bucket (then without a refusal, and nothing was sent):
    /// proved not done, try again after the wait.
    Busy {
        /// How long to wait; absent where Klarna did not say.
        retry_after: Option<Duration>,
        /// Klarna's words; absent where our own bucket was empty.
        refusal: Option<Refusal>,
    },
    /// The circuit breaker is open: nothing was sent, try again at `until`.
    Open {
        /// When a probe will be let through.
        until: Timestamp,
    },
    /// Any other 4xx: proved not done; repeating the same call is of no use.
    Refused(Refusal),
    /// 401, or 403. On a create: credentials or rights are wrong, tell the operator. On an abort
    /// with status 403: the order is read-only, perhaps paid, so read it. On a change of the money
    /// with status 403: the order's state does not allow it, and the code says what.
    Forbidden(Refusal),
    /// 404: Klarna does not know it, or no longer.
    NotFound(Refusal),
    /// Timeout, reset, 3xx, 5xx, or an unreadable answer: nobody can tell whether it was done.
    Unknown {
        /// The operation and what broke.
        detail: String,
    },
    /// Done, but of no use: no page URL, one on a foreign host, or an end in the past. The pair is
    /// thrown away.
    Unusable {
        /// The operation and what was missing.
        detail: String,
    },
}

impl KlarnaError {
    /// Whether it is proved that the call changed nothing at Klarna.
    pub fn proved_not_done(&self) -> bool {
        match self {
            Self::NotDone { .. }
            | Self::Busy { .. }
            | Self::Open { .. }
            | Self::Refused(_)
            | Self::Forbidden(_)
            | Self::NotFound(_) => true,
            Self::Unknown { .. } | Self::Unusable { .. } => false,
        }
    }

    /// What Klarna said, where it said anything.
    pub fn refusal(&self) -> Option<&Refusal> {
        match self {
            Self::Refused(refusal) | Self::Forbidden(refusal) | Self::NotFound(refusal) => {
                Some(refusal)
            }
            Self::Busy { refusal, .. } => refusal.as_ref(),
            Self::NotDone { .. }
            | Self::Open { .. }
            | Self::Unknown { .. }
            | Self::Unusable { .. } => None,
        }
    }

    /// One word for metrics and logs.
    pub fn outcome(&self) -> &'static str {
        match self {
            Self::NotDone { .. } => "not_done",
            Self::Busy { .. } => "busy",
            Self::Open { .. } => "open",
            Self::Refused(_) => "refused",
            Self::Forbidden(_) => "forbidden",
            Self::NotFound(_) => "not_found",
            Self::Unknown { .. } => "unknown",
            Self::Unusable { .. } => "unusable",
        }
    }
}

impl fmt::Display for KlarnaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotDone { detail } => write!(f, "{detail}; nothing was done, try again"),
            Self::Busy {
                refusal: Some(_), ..
            } => f.write_str("klarna limits our rate; try again later"),
            Self::Busy { refusal: None, .. } => {
                f.write_str("our own limit of creates per second is reached; try again shortly")
            }
            Self::Open { until } => {
                write!(
                    f,
                    "klarna is not called before {until} after repeated failures"
                )
            }
            Self::Refused(refusal) => {
                f.write_str("klarna refused the call; mend it before repeating: ")?;
                said(f, refusal)
            }
            Self::Forbidden(refusal) if denies_state(refusal) => {
                f.write_str("klarna does not allow this in the order's state; read the order: ")?;
                said(f, refusal)
            }
            Self::Forbidden(refusal) => {
                f.write_str("klarna does not allow the call; check credentials and agreement: ")?;
                said(f, refusal)
            }
            Self::NotFound(refusal) => {
                f.write_str("klarna does not know what was asked for: ")?;
                said(f, refusal)
            }
            Self::Unknown { detail } => write!(f, "{detail}; it may or may not have been done"),
            Self::Unusable { detail } => write!(f, "{detail}; the pair cannot be used"),
        }
    }
}
impl std::error::Error for KlarnaError {}

/// Whether a 403 speaks of the order and not of us: `CAPTURE_NOT_ALLOWED`, `NOT_ALLOWED` …
fn denies_state(refusal: &Refusal) -> bool {
    let code = refusal.code.as_deref().unwrap_or_default();
    refusal.status == 403 && code.ends_with("NOT_ALLOWED")
}

fn said(f: &mut fmt::Formatter<'_>, refusal: &Refusal) -> fmt::Result {
    write!(f, "{}", refusal.status)?;
    if let Some(code) = &refusal.code {
        write!(f, " {code}")?;
    }
    for message in &refusal.messages {
        write!(f, ", {message}")?;
    }
    Ok(())
}

/// Klarna's words in an error answer. The array is `error_messages` on the wire, `error_text` in
/// the KCO specification, and a single `error_message` from some services; expired orders answer
/// with no body at all (klarna.md §1.7, §2.7).
pub(super) fn refusal(status: u16, body: &[u8], header: Option<&str>) -> Refusal {
    let body = serde_json::from_slice::<Value>(body).unwrap_or(Value::Null);
    let word = |name: &str| {
        body.get(name)
            .and_then(Value::as_str)
            .and_then(|it| clean(it, 100))
    };
    let mut messages = Vec::new();
    for name in ["error_messages", "error_text", "error_message"] {
        match body.get(name) {
            Some(Value::Array(items)) => {
                messages.extend(items.iter().filter_map(Value::as_str));
            }
            Some(Value::String(text)) => messages.push(text),
            _ => {}
        }
    }
    Refusal {
        status,
        code: word("error_code"),
        messages: messages
            .into_iter()
            .filter_map(|text| clean(text, 500))
            .take(20)
            .collect(),
        correlation_id: word("correlation_id").or_else(|| header.and_then(|it| clean(it, 100))),
    }
}

/// Foreign text fit for a log line and a screen: without control and direction characters, cut to
/// `limit` characters. Nothing left is nothing said.
pub(super) fn clean(text: &str, limit: usize) -> Option<String> {
    let text: String = text
        .chars()
        .filter(|it| {
            !it.is_control()
                && !matches!(it, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
        })
        .take(limit)
        .collect();
    let text = text.trim();
    (!text.is_empty()).then(|| text.to_owned())
}
