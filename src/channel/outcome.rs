//! What became of one attempt to send one message.

use std::time::Duration;

use crate::link::{Reason, ReasonCode};

/// The end of one attempt. Only [`Outcome::Unknown`] leaves open whether the message left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The gateway or server took it.
    Sent {
        /// Which gateway: `smtp`, `http`, `log`.
        gateway: String,
        /// The gateway's own name for it, where it gave one.
        message_id: Option<String>,
        /// SMS: how many messages the text takes.
        segments: Option<u32>,
        /// The foreigner's words.
        detail: String,
    },
    /// Proved not done, and never to be tried again.
    Refused(Reason),
    /// Proved not done; another try may go better.
    Later {
        /// What stood in the way.
        reason: Reason,
        /// The connection failed before the body: worth another try within seconds.
        connection: bool,
        /// The other side named a time before which it wants no other try (`Retry-After`).
        wait: Option<Duration>,
    },
    /// Nobody can tell whether it left (`failure-model.md` R3, R4).
    Unknown {
        /// What was seen last.
        detail: String,
    },
}

impl Outcome {
    /// The kind of end, for the attempt's row.
    pub fn word(&self) -> &'static str {
        match self {
            Outcome::Sent { .. } => "sent",
            Outcome::Refused(_) => "refused",
            Outcome::Later { .. } => "later",
            Outcome::Unknown { .. } => "unknown",
        }
    }

    /// The foreigner's words, whatever the end.
    pub fn detail(&self) -> &str {
        match self {
            Outcome::Sent { detail, .. } | Outcome::Unknown { detail } => detail,
            Outcome::Refused(reason) | Outcome::Later { reason, .. } => &reason.detail,
        }
    }

    pub(super) fn refused(code: ReasonCode, detail: impl AsRef<str>) -> Self {
        Outcome::Refused(reason(code, detail))
    }
    pub(super) fn later(code: ReasonCode, detail: impl AsRef<str>) -> Self {
        Self::after(None, code, detail)
    }
    /// As [`Outcome::later`], not before `wait` has passed.
    pub(super) fn after(wait: Option<Duration>, code: ReasonCode, detail: impl AsRef<str>) -> Self {
        Outcome::Later {
            reason: reason(code, detail),
            connection: false,
            wait,
        }
    }
    /// The connection failed before anything of the message was written. The closed set of codes
    /// has no word for it; `rejected` with the cause in `detail` is the nearest.
    pub(crate) fn unreached(detail: impl AsRef<str>) -> Self {
        Outcome::Later {
            reason: reason(ReasonCode::Rejected, detail),
            connection: true,
            wait: None,
        }
    }
    pub(super) fn unknown(detail: impl AsRef<str>) -> Self {
        Outcome::Unknown {
            detail: line(detail.as_ref()),
        }
    }
}

fn reason(code: ReasonCode, detail: impl AsRef<str>) -> Reason {
    Reason {
        code,
        detail: line(detail.as_ref()),
    }
}

/// A foreigner's words, made fit for a row and a log: one line, no control characters, ≤ 255
/// scalar values.
pub(super) fn line(words: &str) -> String {
    words
        .split(|c: char| c.is_whitespace() || c.is_control())
        .filter(|word| !word.is_empty())
        .collect::<Vec<_>>()
        .join(" ")
        .chars()
        .take(255)
        .collect()
}

/// `words` with every mention of `address` replaced by its mask: servers like to repeat the
/// recipient in their refusals, and a refusal is shown, stored and logged.
pub(super) fn masked(words: &str, address: &str, mask: &str) -> String {
    let mut out = String::with_capacity(words.len());
    let mut rest = words;
    // ASCII lower-casing keeps every byte position
    while let Some(at) = rest
        .to_ascii_lowercase()
        .find(&address.to_ascii_lowercase())
        .filter(|_| !address.is_empty())
    {
        out.push_str(&rest[..at]);
        out.push_str(mask);
        rest = &rest[at + address.len()..];
    }
    out.push_str(rest);
    out
}

/// `words` with every mention of `address` masked, and of its local part alone where that stands as
/// a word of its own: "user jo.bloggs unknown" says who it is as well as the whole address does.
/// A local part that is also a word of the language takes that word with it.
pub(super) fn masked_mail(words: &str, address: &str, mask: &str) -> String {
    let words = masked(words, address, mask);
    let (Some((local, _)), Some((short, _))) = (address.rsplit_once('@'), mask.split_once('@'))
    else {
        return words;
    };
    let inside = |c: Option<char>| c.is_some_and(char::is_alphanumeric);
    let mut out = String::with_capacity(words.len());
    let mut rest = words.as_str();
    while let Some(at) = rest
        .to_ascii_lowercase()
        .find(&local.to_ascii_lowercase())
        .filter(|_| !local.is_empty())
    {
        let (before, after) = (&rest[..at], &rest[at + local.len()..]);
        // the mask itself begins with a letter of the local part
        let whole = !inside(before.chars().next_back().or(out.chars().next_back()))
            && !inside(after.chars().next())
            && !after.starts_with("***");
        out.push_str(before);
        out.push_str(if whole {
            short
        } else {
            &rest[at..at + local.len()]
        });
        rest = after;
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_become_one_short_line() {
        assert_eq!(line("  550-no\r\n550 such\0user "), "550-no 550 such user");
        assert_eq!(line(&"é".repeat(300)).chars().count(), 255);
    }

    #[test]
    fn the_address_is_masked_wherever_it_stands() {
        assert_eq!(
            masked(
                "<Jo@Example.com>: no jo@example.com here é",
                "jo@example.com",
                "j***@example.com"
            ),
            "<j***@example.com>: no j***@example.com here é"
        );
        assert_eq!(masked("plain", "", "x"), "plain");
        let mail = |words| masked_mail(words, "jo.b@example.com", "j***@example.com");
        assert_eq!(mail("jo.b@example.com"), "j***@example.com");
        assert_eq!(mail("user Jo.B unknown"), "user j*** unknown");
        assert_eq!(
            mail("<jo.b>: é jo.bloggs ajo.b"),
            "<j***>: é jo.bloggs ajo.b"
        );
        let mail = |words| masked_mail(words, "j@example.com", "j***@example.com");
        assert_eq!(mail("<j@example.com> j, jj"), "<j***@example.com> j***, jj");
    }
}
