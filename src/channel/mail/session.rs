//! One conversation with a server, step by step. Each step has its own time-out, and a failure
//! says at which step it came: that is the proof that nothing was sent, or the lack of it.

use std::future::Future;
use std::time::Duration;
use std::{fmt, io};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use lettre::transport::smtp::commands::{Data, Ehlo, Mail, Noop, Quit, Rcpt, Starttls};
use rustls::pki_types::ServerName;
use secrecy::ExposeSecret as _;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, lookup_host};
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsConnector;

use super::super::{Outcome, outcome};
use super::message::Written;
use super::settings::{MailSettings, Security, Timeouts};
use super::wire::{Reply, Wire, garbage, stuffed};
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

#[derive(Debug)]
enum Cause {
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
    step: Step,
    cause: Cause,
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
        let words = outcome::masked(&self.to_string(), to.as_str(), &to.to_string());
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
async fn within<T>(
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
fn expect(step: Step, wanted: u16, reply: Reply) -> Result<Reply, Fault> {
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

/// What EHLO offered, as far as it matters here.
// four words of a list, each there or not, independent of each other
#[allow(clippy::struct_excessive_bools)]
#[derive(Clone, Copy, Debug, Default)]
struct Offer {
    starttls: bool,
    pipelining: bool,
    plain: bool,
    login: bool,
}

impl Offer {
    fn of(reply: &Reply) -> Self {
        let mut offer = Offer::default();
        // the first line is the server's name
        for line in reply.lines.iter().skip(1) {
            let line = line.to_ascii_uppercase();
            let mut words = line.split([' ', '=']);
            match words.next() {
                Some("STARTTLS") => offer.starttls = true,
                Some("PIPELINING") => offer.pipelining = true,
                Some("AUTH") => {
                    for mechanism in words {
                        offer.plain |= mechanism == "PLAIN";
                        offer.login |= mechanism == "LOGIN";
                    }
                }
                _ => {}
            }
        }
        offer
    }
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

impl<S: AsyncRead + AsyncWrite + Unpin> Wire<S> {
    async fn command(
        &mut self,
        step: Step,
        limit: Duration,
        command: &str,
        wanted: u16,
    ) -> Result<Reply, Fault> {
        let ask = async {
            self.write(command.as_bytes()).await?;
            self.reply().await
        };
        expect(step, wanted, within(step, limit, ask).await?)
    }

    async fn greeting(&mut self, limit: Duration) -> Result<(), Fault> {
        let reply = within(Step::Greeting, limit, self.reply()).await?;
        expect(Step::Greeting, 220, reply).map(drop)
    }

    async fn ehlo(&mut self, settings: &MailSettings) -> Result<Offer, Fault> {
        let command = Ehlo::new(settings.helo.clone()).to_string();
        let limit = settings.timeouts.command;
        let reply = self.command(Step::Ehlo, limit, &command, 250).await?;
        Ok(Offer::of(&reply))
    }
}

/// An open session, signed in, between two mails.
pub(super) struct Session {
    wire: Wire<Box<dyn Stream>>,
    offer: Offer,
    encrypted: bool,
    sent: u32,
    used: Instant,
}

impl Session {
    pub(super) async fn open(settings: &MailSettings, tls: &TlsConnector) -> Result<Self, Fault> {
        let limit = settings.timeouts.command;
        let stream = connect(settings).await?;
        let mut session = if settings.security == Security::Implicit {
            let mut wire = Wire::new(handshake(settings, tls, stream).await?);
            wire.greeting(limit).await?;
            Self::new(wire, true)
        } else {
            let mut wire = Wire::new(Box::new(stream) as Box<dyn Stream>);
            wire.greeting(limit).await?;
            let offer = wire.ehlo(settings).await?;
            let wanted = settings.security != Security::None;
            if wanted && offer.starttls {
                let command = Starttls.to_string();
                wire.command(Step::StartTls, limit, &command, 220).await?;
                let stream = wire.into_stream().map_err(|cause| Fault {
                    step: Step::StartTls,
                    cause: Cause::Broken(cause),
                })?;
                Self::new(Wire::new(handshake(settings, tls, stream).await?), true)
            } else if settings.security == Security::Required {
                return Err(Fault {
                    step: Step::StartTls,
                    cause: Cause::Lacking("offers no STARTTLS, which SMTP_URL requires"),
                });
            } else {
                let mut session = Self::new(wire, false);
                session.offer = offer;
                session.sign_in(settings).await?;
                return Ok(session);
            }
        };
        // what was offered in clear text is forgotten (RFC 3207, 4.2)
        session.offer = session.wire.ehlo(settings).await?;
        session.sign_in(settings).await?;
        Ok(session)
    }

    fn new(wire: Wire<Box<dyn Stream>>, encrypted: bool) -> Self {
        Self {
            wire,
            offer: Offer::default(),
            encrypted,
            sent: 0,
            used: Instant::now(),
        }
    }

    async fn sign_in(&mut self, settings: &MailSettings) -> Result<(), Fault> {
        let Some((user, password)) = &settings.credentials else {
            return Ok(());
        };
        let lacking = |what| {
            Err(Fault {
                step: Step::Auth,
                cause: Cause::Lacking(what),
            })
        };
        if !self.encrypted && !settings.on_loopback() {
            return lacking("offers no STARTTLS, and the password does not go in the clear");
        }
        let (password, limit) = (password.expose_secret(), settings.timeouts.command);
        if self.offer.plain {
            let both = STANDARD.encode(format!("\0{user}\0{password}"));
            let command = format!("AUTH PLAIN {both}\r\n");
            self.wire.command(Step::Auth, limit, &command, 235).await?;
        } else if self.offer.login {
            let lines = [
                ("AUTH LOGIN\r\n".to_owned(), 334),
                (STANDARD.encode(user) + "\r\n", 334),
                (STANDARD.encode(password) + "\r\n", 235),
            ];
            for (line, wanted) in lines {
                self.wire.command(Step::Auth, limit, &line, wanted).await?;
            }
        } else {
            return lacking("offers neither AUTH PLAIN nor LOGIN");
        }
        Ok(())
    }

    /// Sends one mail; the reply is the one to the final dot. After a fault the session is of no
    /// use: drop it.
    pub(super) async fn send(
        &mut self,
        mail: &Written,
        timeouts: &Timeouts,
    ) -> Result<Reply, Fault> {
        let commands = [
            (
                Step::MailFrom,
                250,
                Mail::new(Some(mail.from.clone()), vec![]).to_string(),
            ),
            (
                Step::RcptTo,
                250,
                Rcpt::new(mail.to.clone(), vec![]).to_string(),
            ),
            (Step::Data, 354, Data.to_string()),
        ];
        let limit = timeouts.command;
        if self.offer.pipelining {
            let all: String = commands.iter().map(|(_, _, line)| line.as_str()).collect();
            within(Step::MailFrom, limit, self.wire.write(all.as_bytes())).await?;
            for (step, wanted, _) in commands {
                // Where the recipient is refused, DATA may still be answered by 354. The session is
                // dropped before a byte of the body then, so nothing is accepted (RFC 2920, 3.1).
                let reply = within(step, limit, self.wire.reply()).await?;
                expect(step, wanted, reply)?;
            }
        } else {
            for (step, wanted, line) in commands {
                self.wire.command(step, limit, &line, wanted).await?;
            }
        }
        self.body(&stuffed(&mail.bytes), timeouts).await?;
        let reply = within(Step::FinalDot, timeouts.final_dot, self.wire.reply()).await?;
        let reply = expect(Step::FinalDot, 250, reply)?;
        self.sent += 1;
        self.used = Instant::now();
        Ok(reply)
    }

    async fn body(&mut self, bytes: &[u8], timeouts: &Timeouts) -> Result<(), Fault> {
        // the last moment at which a server that talks out of turn proves nothing sent
        within(Step::Data, timeouts.command, self.wire.write(b"")).await?;
        let Err(fault) = within(Step::Body, timeouts.command, self.wire.write(bytes)).await else {
            return Ok(());
        };
        if matches!(fault.cause, Cause::Silent(_)) {
            return Err(fault);
        }
        // A server that closes in the middle has often said why, and a 4xx or 5xx is a proof.
        match within(Step::Body, timeouts.command, self.wire.reply()).await {
            Ok(reply) if reply.is_negative() => Err(Fault {
                step: Step::Body,
                cause: Cause::Said(reply),
            }),
            _ => Err(fault),
        }
    }

    pub(super) async fn noop(&mut self, timeouts: &Timeouts) -> Result<(), Fault> {
        let command = Noop.to_string();
        self.wire
            .command(Step::Noop, timeouts.command, &command, 250)
            .await
            .map(drop)
    }

    /// Says goodbye; whether anybody hears it does not matter.
    pub(super) async fn quit(mut self, timeouts: &Timeouts) {
        let command = Quit.to_string();
        let _ = self
            .wire
            .command(Step::Noop, timeouts.command, &command, 221)
            .await;
    }

    /// Mails sent.
    pub(super) fn sent(&self) -> u32 {
        self.sent
    }

    /// Since the last mail.
    pub(super) fn idle_for(&self) -> Duration {
        self.used.elapsed()
    }

    /// For `paylink check`.
    pub(super) fn describe(&self, settings: &MailSettings) -> String {
        format!(
            "{}:{}, {}, {}{}",
            settings.host,
            settings.port,
            if self.encrypted {
                "TLS"
            } else {
                "not encrypted"
            },
            if settings.credentials.is_some() {
                "signed in"
            } else {
                "no sign-in"
            },
            if self.offer.pipelining {
                ", PIPELINING"
            } else {
                ""
            },
        )
    }
}

async fn connect(settings: &MailSettings) -> Result<TcpStream, Fault> {
    let limit = settings.timeouts.connect;
    let lookup = lookup_host((settings.host.as_str(), settings.port));
    let addresses = within(Step::Connect, limit, lookup).await?;
    let mut last = Fault {
        step: Step::Connect,
        cause: Cause::Broken(garbage("the host has no address")),
    };
    for address in addresses {
        let reach = async {
            let stream = TcpStream::connect(address).await?;
            // Nagle's algorithm and delayed acknowledgements cost 43 ms per mail
            stream.set_nodelay(true)?;
            Ok(stream)
        };
        match within(Step::Connect, limit, reach).await {
            Ok(stream) => return Ok(stream),
            Err(fault) => last = fault,
        }
    }
    Err(last)
}

async fn handshake<S: Stream + 'static>(
    settings: &MailSettings,
    tls: &TlsConnector,
    stream: S,
) -> Result<Box<dyn Stream>, Fault> {
    let name = ServerName::try_from(settings.host.clone()).map_err(|_| Fault {
        step: Step::Tls,
        cause: Cause::Lacking("has a name that no certificate can have"),
    })?;
    let limit = settings.timeouts.command;
    let stream = within(Step::Tls, limit, tls.connect(name, stream)).await?;
    Ok(Box::new(stream))
}
