//! The buyer's inbox of the demo: mail by SMTP, SMS by the same HTTP call that a real gateway
//! would get, both shown as the buyer would see them.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use mail_parser::{MessageParser, MimeHeaders};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::clock::Clock;

/// The newest that are kept; a demo that runs for days must not grow for days.
const MOST: usize = 500;

/// A mail as it arrived.
#[derive(Clone, Debug, Serialize)]
pub struct CaughtMail {
    /// Counts from 1.
    pub number: usize,
    /// When it arrived, RFC 3339.
    pub at: String,
    /// Envelope sender.
    pub from: String,
    /// Envelope recipients.
    pub to: Vec<String>,
    /// Decoded subject.
    pub subject: String,
    /// The plain text part.
    pub text: String,
    /// The HTML part, with `cid:` references as they were sent.
    #[serde(skip)]
    pub html: String,
    /// The inline picture.
    #[serde(skip)]
    pub picture: Option<Vec<u8>>,
    /// Header `Message-ID`.
    pub message_id: String,
}

/// An SMS as the gateway was asked to send it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CaughtSms {
    /// Counts from 1; absent in the request.
    #[serde(default)]
    pub number: usize,
    /// When it arrived; absent in the request.
    #[serde(default)]
    pub at: Option<String>,
    /// E.164.
    pub to: String,
    /// Sender.
    pub from: String,
    /// What the phone shows.
    pub text: String,
    /// The delivery's id.
    pub id: String,
}

/// What was caught, newest last.
pub struct Inbox {
    caught: Mutex<Caught>,
    changed: watch::Sender<usize>,
    sold: AtomicUsize,
    clock: Clock,
}

#[derive(Default)]
struct Caught {
    mails: Vec<CaughtMail>,
    messages: Vec<CaughtSms>,
    total: usize,
}

impl Inbox {
    /// An empty inbox.
    pub fn new(clock: Clock) -> Arc<Self> {
        Arc::new(Self {
            caught: Mutex::default(),
            changed: watch::Sender::new(0),
            sold: AtomicUsize::new(0),
            clock,
        })
    }

    fn caught(&self) -> MutexGuard<'_, Caught> {
        self.caught.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps a mail; answers its number.
    pub fn take_mail(&self, from: &str, to: &[String], raw: &[u8]) -> usize {
        let parsed = MessageParser::default().parse(raw);
        let part = |text: Option<std::borrow::Cow<'_, str>>| {
            text.map(std::borrow::Cow::into_owned).unwrap_or_default()
        };
        let mut mail = CaughtMail {
            number: 0,
            at: self.clock.now().to_string(),
            from: from.to_owned(),
            to: to.to_vec(),
            subject: String::new(),
            text: String::from_utf8_lossy(raw).into_owned(),
            html: String::new(),
            picture: None,
            message_id: String::new(),
        };
        if let Some(message) = &parsed {
            message
                .subject()
                .unwrap_or_default()
                .clone_into(&mut mail.subject);
            message
                .message_id()
                .unwrap_or_default()
                .clone_into(&mut mail.message_id);
            mail.text = part(message.body_text(0));
            mail.html = part(message.body_html(0));
            mail.picture = message
                .parts
                .iter()
                .find(|part| part.is_content_type("image", "png"))
                .map(|part| part.contents().to_vec());
        }
        let number = {
            let mut caught = self.caught();
            caught.total += 1;
            mail.number = caught.total;
            caught.mails.push(mail);
            if caught.mails.len() > MOST {
                caught.mails.remove(0);
            }
            caught.total
        };
        self.changed.send_replace(number);
        number
    }

    /// Keeps an SMS; answers its number.
    pub fn take_sms(&self, mut sms: CaughtSms) -> usize {
        sms.at = Some(self.clock.now().to_string());
        let number = {
            let mut caught = self.caught();
            caught.total += 1;
            sms.number = caught.total;
            caught.messages.push(sms);
            if caught.messages.len() > MOST {
                caught.messages.remove(0);
            }
            caught.total
        };
        self.changed.send_replace(number);
        number
    }

    /// The number of the next order that the demo's button sells.
    pub fn next_reference(&self) -> usize {
        10_500 + self.sold.fetch_add(1, Ordering::Relaxed)
    }

    /// All mails, oldest first.
    pub fn mails(&self) -> Vec<CaughtMail> {
        self.caught().mails.clone()
    }

    /// All SMS, oldest first.
    pub fn messages(&self) -> Vec<CaughtSms> {
        self.caught().messages.clone()
    }

    /// A mail by its number.
    pub fn mail(&self, number: usize) -> Option<CaughtMail> {
        let caught = self.caught();
        caught
            .mails
            .iter()
            .find(|mail| mail.number == number)
            .cloned()
    }

    /// Waits for something that `look` finds in the inbox.
    pub async fn find<T>(
        &self,
        patience: Duration,
        look: impl Fn(&Self) -> Option<T>,
    ) -> Option<T> {
        let mut changed = self.changed.subscribe();
        let wait = async {
            loop {
                if let Some(found) = look(self) {
                    return found;
                }
                if changed.changed().await.is_err() {
                    std::future::pending::<()>().await;
                }
            }
        };
        tokio::time::timeout(patience, wait).await.ok()
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;

    #[tokio::test]
    async fn a_mail_that_is_sent_can_be_read() {
        let inbox = Inbox::new(Clock::manual(Timestamp::UNIX_EPOCH));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let sink = tokio::spawn(super::super::smtp::sink(listener, inbox.clone()));
        let mut client = tokio::net::TcpStream::connect(address).await.unwrap();
        let talk = "EHLO me\r\nMAIL FROM:<a@example.com>\r\nRCPT TO:<b@example.com>\r\nDATA\r\n\
            Subject: =?utf-8?q?p=C3=A5y?=\r\nMessage-ID: <1@example.com>\r\n\r\n..dot\r\nend\r\n.\r\nQUIT\r\n";
        tokio::io::AsyncWriteExt::write_all(&mut client, talk.as_bytes())
            .await
            .unwrap();
        let mail = inbox
            .find(Duration::from_secs(5), |inbox| inbox.mails().pop())
            .await
            .expect("the mail arrives");
        assert_eq!(mail.subject, "påy");
        assert_eq!(mail.to, ["b@example.com"]);
        assert_eq!(mail.text.trim_end(), ".dot\r\nend");
        assert_eq!(mail.message_id, "1@example.com");
        sink.abort();
    }
}
