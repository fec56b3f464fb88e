//! One conversation with a server, step by step.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use lettre::transport::smtp::commands::{Data, Ehlo, Mail, Noop, Quit, Rcpt, Starttls};
use rustls::pki_types::ServerName;
use secrecy::ExposeSecret as _;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, lookup_host};
use tokio::time::Instant;
use tokio_rustls::TlsConnector;

use super::fault::{Cause, Fault, Step, expect, within};
use super::message::Written;
use super::settings::{MailSettings, Security, Timeouts};
use super::wire::{Reply, Wire, garbage, stuffed};

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

    /// Everything before a mail's first byte. After a fault the session is of no use, nor where the
    /// body does not follow: drop it.
    pub(super) async fn envelope(
        &mut self,
        mail: &Written,
        timeouts: &Timeouts,
    ) -> Result<(), Fault> {
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
        // the last moment at which a server that talks out of turn proves nothing sent
        within(Step::Data, limit, self.wire.write(b"")).await
    }

    /// The mail itself, behind its envelope; the reply is the one to the final dot.
    pub(super) async fn content(
        &mut self,
        mail: &Written,
        timeouts: &Timeouts,
    ) -> Result<Reply, Fault> {
        self.body(&stuffed(&mail.bytes), timeouts).await?;
        let reply = within(Step::FinalDot, timeouts.final_dot, self.wire.reply()).await?;
        let reply = expect(Step::FinalDot, 250, reply)?;
        self.sent += 1;
        self.used = Instant::now();
        Ok(reply)
    }

    async fn body(&mut self, bytes: &[u8], timeouts: &Timeouts) -> Result<(), Fault> {
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
