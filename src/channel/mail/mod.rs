//! E-mail over real SMTP. lettre builds messages and commands; the conversation is our own, since
//! lettre's has one time-out for all, does not say which step failed, never pipelines, never sets
//! `TCP_NODELAY`, and takes clear text injected behind STARTTLS for part of the encrypted session.
//! Which step failed is what tells *not done* from *unknown*.

mod fault;
mod message;
mod session;
mod settings;
#[cfg(test)]
mod tests;
mod wire;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio_rustls::TlsConnector;
use tokio_util::sync::CancellationToken;

pub use fault::{Fault, Step};
pub use message::{QR, Unwritable, compose};
pub use settings::{MailSettings, Person, Security, Server, Timeouts};

use super::Outcome;
use crate::link::Email;
use message::Written;
use session::Session;

/// One mail to one recipient.
#[derive(Clone, Debug)]
pub struct Mail {
    /// Who gets it; one, so that nobody sees another's address and a refusal is about one.
    pub to: Email,
    /// One line.
    pub subject: String,
    /// The plain-text body.
    pub text: String,
    /// The HTML body; shows the picture as `cid:qr@paylink`.
    pub html: String,
    /// The QR code as PNG, where there is one.
    pub qr_png: Option<Vec<u8>>,
    /// `<delivery@host>`: the same for every attempt, so that a mailbox can tell a repeat.
    pub message_id: String,
    /// When it was written, UTC.
    pub date: Timestamp,
    /// BCP 47.
    pub language: String,
}

/// Sends mails through one server. Clones share the sessions, which stay open up to 30 s idle or
/// 100 mails; any number of tasks may send.
#[derive(Clone)]
pub struct Mailer(Arc<Office>);

struct Office {
    settings: MailSettings,
    tls: TlsConnector,
    /// Sessions between two mails, the last used one last.
    idle: Mutex<Vec<Session>>,
    /// At most so many sessions at once.
    slots: Semaphore,
    reaping: AtomicBool,
}

/// The right to one session with the mail server, until it is dropped.
pub struct Turn<'a>(Option<SemaphorePermit<'a>>);

impl Mailer {
    /// A mailer that connects with its first mail.
    pub fn new(settings: MailSettings) -> Self {
        Self(Arc::new(Office {
            tls: settings.connector(),
            slots: Semaphore::new(settings.connections.max(1)),
            idle: Mutex::default(),
            reaping: AtomicBool::new(false),
            settings,
        }))
    }

    /// Sends `mail` once, when its turn has come. Needs the tokio runtime.
    pub async fn send(&self, mail: &Mail) -> Outcome {
        let turn = self.turn().await;
        self.send_now(mail, turn, &CancellationToken::new()).await
    }

    /// The right to one of the sessions. Others may hold them all for minutes: who must look at
    /// something directly before the first byte waits here, looks, and then sends.
    pub async fn turn(&self) -> Turn<'_> {
        Turn(self.0.slots.acquire().await.ok())
    }

    /// Sends `mail` once, in a turn that was waited for. Where `stop` comes before the body's first
    /// byte, nothing has left: *not done*.
    pub async fn send_now(&self, mail: &Mail, turn: Turn<'_>, stop: &CancellationToken) -> Outcome {
        let office = &self.0;
        let message = match compose(
            mail,
            &office.settings.from,
            office.settings.reply_to.as_ref(),
        ) {
            Ok(message) => message,
            Err(cause) => return cause.outcome(),
        };
        let Turn(Some(_slot)) = turn else {
            return Outcome::unreached("the mailer is shutting down");
        };
        let mut session = match stop.run_until_cancelled(office.addressed(&message)).await {
            Some(Ok(session)) => session,
            Some(Err(fault)) => return fault.outcome(&mail.to),
            None => return Outcome::unreached("the service stopped first"),
        };
        match session.content(&message, &office.settings.timeouts).await {
            Ok(reply) => self.taken(session, &reply, &mail.to),
            Err(fault) => fault.outcome(&mail.to),
        }
    }

    /// Signs in and out again without sending: what was seen, or which step failed.
    pub async fn probe(&self) -> Result<String, Fault> {
        let office = &self.0;
        let mut session = Session::open(&office.settings, &office.tls).await?;
        session.noop(&office.settings.timeouts).await?;
        let seen = session.describe(&office.settings);
        session.quit(&office.settings.timeouts).await;
        Ok(seen)
    }

    fn taken(&self, session: Session, reply: &wire::Reply, to: &Email) -> Outcome {
        self.park(session);
        Outcome::Sent {
            gateway: "smtp".into(),
            message_id: reply.queue_id(),
            segments: None,
            detail: super::outcome::line(&super::outcome::masked_mail(
                &reply.to_string(),
                to.as_str(),
                &to.to_string(),
            )),
        }
    }

    fn park(&self, session: Session) {
        if session.sent() >= settings::MAILS_PER_SESSION {
            self.0.part(session);
            return;
        }
        self.0.idle().push(session);
        if !self.0.reaping.swap(true, Ordering::SeqCst) {
            tokio::spawn(reap(Arc::downgrade(&self.0)));
        }
    }
}

impl Office {
    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Session>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A session in which everything is said but the mail itself.
    async fn addressed(&self, message: &Written) -> Result<Session, Fault> {
        let timeouts = &self.settings.timeouts;
        if let Some(mut session) = self.take() {
            match session.envelope(message, timeouts).await {
                Ok(()) => return Ok(session),
                // The server closed the session while it was idle: nothing left, and a new session
                // is no second attempt but the first that anybody hears.
                Err(fault) if fault.is_stale() => {}
                Err(fault) => return Err(fault),
            }
        }
        let mut session = Session::open(&self.settings, &self.tls).await?;
        session.envelope(message, timeouts).await?;
        Ok(session)
    }

    /// An open session that was used lately.
    fn take(&self) -> Option<Session> {
        let stale = self.settings.timeouts.idle;
        self.idle()
            .pop()
            .filter(|session| session.idle_for() < stale)
    }

    /// Says goodbye without anybody waiting for it.
    fn part(&self, session: Session) {
        let timeouts = self.settings.timeouts.clone();
        tokio::spawn(async move { session.quit(&timeouts).await });
    }
}

/// Closes sessions that were idle for too long; ends when there are none, or no mailer.
async fn reap(office: std::sync::Weak<Office>) {
    loop {
        let Some(pause) = office.upgrade().map(|office| office.settings.timeouts.idle) else {
            return;
        };
        tokio::time::sleep(pause).await;
        let Some(office) = office.upgrade() else {
            return;
        };
        let mut idle = office.idle();
        let (stale, fresh) = std::mem::take(&mut *idle)
            .into_iter()
            .partition(|session| session.idle_for() >= pause);
        *idle = fresh;
        // under the lock, so that a session parked from here on finds the flag down
        let done = idle.is_empty();
        if done {
            office.reaping.store(false, Ordering::SeqCst);
        }
        drop(idle);
        let stale: Vec<Session> = stale;
        for session in stale {
            office.part(session);
        }
        if done {
            return;
        }
    }
}
