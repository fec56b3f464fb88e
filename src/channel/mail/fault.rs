//! How a conversation fails. Each step has its own time-out, and a failure says at which step it
//! came: that is the proof that nothing was sent, or the lack of it.

use std::future::Future;
use std::time::Duration;
use std::{fmt, io};

use tokio::time::timeout;

use super::super::{Outcome, outcome};
use super::wire::Reply;
use crate::link::{Email, ReasonCode};

/// Where in the conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs)]
pub enum Step {
    Connect,
    Tls,
    Greeting,
    Ehlo,
    StartTls,
    Auth,
    Noop,
    MailFrom,
    RcptTo,
    Data,
    /// From the body's first byte on, only a reply tells what became of the mail.
    Body,
    /// After the final dot.
    FinalDot,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Step::Connect => "connect",
            Step::Tls => "TLS",
            Step::Greeting => "greeting",
            Step::Ehlo => "EHLO",
            Step::StartTls => "STARTTLS",
            Step::Auth => "AUTH",
            Step::Noop => "NOOP",
            Step::MailFrom => "MAIL FROM",
            Step::RcptTo => "RCPT TO",
            Step::Data => "DATA",
            Step::Body => "message body",
            Step::FinalDot => "final dot",
        })
    }
}

/// What went wrong there.
#[derive(Debug)]
pub(super) enum Cause {
    /// The server said no, or something that is no answer to this step.
    Said(Reply),
    /// No answer within the step's time.
    Silent(Duration),
    Broken(io::Error),
    /// The server can't do what the settings require.
    Lacking(&'static str),
}

/// A conversation that ended before its end.
#[derive(Debug)]
pub struct Fault {
    pub(super) step: Step,
    pub(super) cause: Cause,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let step = self.step;
        match &self.cause {
            Cause::Said(reply) => write!(f, "{reply} (in answer to {step})"),
            Cause::Silent(limit) => {
                write!(f, "mail server did not answer within {limit:?} ({step})")
            }
            Cause::Broken(cause) => {
                write!(f, "connection to the mail server failed ({step}): {cause}")
            }
            Cause::Lacking(what) => write!(f, "mail server {what} ({step})"),
        }
    }
}

impl std::error::Error for Fault {}

impl Fault {
    /// At which step.
    pub fn step(&self) -> Step {
        self.step
    }

    /// The session was dead before we spoke: a new one is worth a try, since nothing left.
    pub(super) fn is_stale(&self) -> bool {
        self.step < Step::Body
            && match &self.cause {
                // RFC 5321, 3.8: 421 is how a server ends a session by itself
                Cause::Said(reply) => reply.code == 421,
                Cause::Broken(_) => true,
                Cause::Silent(_) | Cause::Lacking(_) => false,
            }
    }

    /// What this means for the mail to `to` (`failure-model.md`, Three outcomes).
    pub(super) fn outcome(&self, to: &Email) -> Outcome {
        // only what the server said can name somebody
        let words = match &self.cause {
            Cause::Said(_) => outcome::masked_mail(&self.to_string(), to.as_str(), &to.to_string()),
            Cause::Silent(_) | Cause::Broken(_) | Cause::Lacking(_) => self.to_string(),
        };
        let code = self.code();
        match &self.cause {
            Cause::Said(reply) if (500..600).contains(&reply.code) => Outcome::refused(code, words),
            Cause::Said(reply) if reply.is_negative() => Outcome::later(code, words),
            _ if self.step >= Step::Body => Outcome::unknown(words),
            Cause::Lacking(_) => Outcome::later(code, words),
            Cause::Said(_) | Cause::Silent(_) | Cause::Broken(_) => Outcome::unreached(words),
        }
    }

    fn code(&self) -> ReasonCode {
        match &self.cause {
            _ if self.step == Step::Auth => ReasonCode::GatewayAuth,
            // RFC 4954, 6: the server wants a sign-in, a better one, or another
            Cause::Said(Reply {
                code: 530 | 534 | 535 | 538,
                ..
            }) => ReasonCode::GatewayAuth,
            // 5.7.x is a policy against us (RFC 3463, 3.8), not a fault of the address
            Cause::Said(Reply {
                code: 550 | 551 | 553,
                lines,
            }) if self.step == Step::RcptTo
                && !lines.iter().any(|line| line.starts_with("5.7.")) =>
            {
                ReasonCode::InvalidRecipient
            }
            _ => ReasonCode::Rejected,
        }
    }
}

/// Runs one step within its time.
pub(super) async fn within<T>(
    step: Step,
    limit: Duration,
    work: impl Future<Output = io::Result<T>>,
) -> Result<T, Fault> {
    let cause = match timeout(limit, work).await {
        Ok(Ok(value)) => return Ok(value),
        Ok(Err(cause)) => Cause::Broken(cause),
        Err(_) => Cause::Silent(limit),
    };
    Err(Fault { step, cause })
}

/// The reply, where it is the one that the step wants.
pub(super) fn expect(step: Step, wanted: u16, reply: Reply) -> Result<Reply, Fault> {
    // any 2xx is as good as 250; 3xx must be exact: 354 alone invites the body
    if reply.code == wanted || (wanted < 300 && (200..300).contains(&reply.code)) {
        Ok(reply)
    } else {
        Err(Fault {
            step,
            cause: Cause::Said(reply),
        })
    }
}
