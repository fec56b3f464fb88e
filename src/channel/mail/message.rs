//! The mail as bytes: pure, so that a test can take it apart.
//!
//! Bodies are always quoted-printable or base64. That keeps every byte 7-bit and every line short,
//! and no bare CR or LF of a body can smuggle a command (RUSTSEC-2026-0561).

use std::fmt;
use std::time::{Duration, SystemTime};

use lettre::message::header::{ContentTransferEncoding, ContentType, HeaderName, HeaderValue};
use lettre::message::{Attachment, Body, Mailbox, MultiPart, SinglePart};
use lettre::{Address, Message};

use super::super::Outcome;
use super::Mail;
use crate::link::ReasonCode;

/// The Content-ID of the QR code; an HTML body shows it as `cid:qr@paylink`.
pub const QR: &str = "qr@paylink";

// Boundaries may be constant: "=_" occurs neither in base64 nor in quoted-printable, where hex
// digits or a line's end follow each "=" (RFC 2045, 6.7). So equal mails are equal bytes.
const ALTERNATIVE: &str = "=_alternative_paylink";
const RELATED: &str = "=_related_paylink";

/// A mail ready to be sent.
pub struct Written {
    /// The envelope's sender.
    pub from: Address,
    /// The envelope's one recipient.
    pub to: Address,
    /// Header and body, CRLF line ends, ASCII.
    pub bytes: Vec<u8>,
}

/// Why a mail cannot be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unwritable {
    /// The address is not ASCII, or not one that SMTP can carry.
    Recipient,
    /// This part holds a control character.
    Control(&'static str),
    /// This part is not what a header can carry.
    Header(&'static str),
}

impl fmt::Display for Unwritable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unwritable::Recipient => f.write_str("write mail: the address cannot be mailed to"),
            Unwritable::Control(part) => {
                write!(f, "write mail: the {part} holds a control character")
            }
            Unwritable::Header(part) => write!(f, "write mail: the {part} is not valid"),
        }
    }
}

impl std::error::Error for Unwritable {}

impl Unwritable {
    pub(super) fn outcome(self) -> Outcome {
        let code = match self {
            Unwritable::Recipient => ReasonCode::InvalidRecipient,
            Unwritable::Control(_) | Unwritable::Header(_) => ReasonCode::Rejected,
        };
        Outcome::refused(code, self.to_string())
    }
}

/// Writes `mail` as from `from`: text, and HTML with the QR code inline. The same input gives the
/// same bytes.
pub fn compose(
    mail: &Mail,
    from: &Mailbox,
    reply_to: Option<&Mailbox>,
) -> Result<Written, Unwritable> {
    // lettre panics on control characters in a display name; none reaches it anywhere
    one_line("subject", &mail.subject)?;
    one_line("message id", &mail.message_id)?;
    one_line("sender", from.name.as_deref().unwrap_or_default())?;
    one_line(
        "reply address",
        reply_to
            .and_then(|to| to.name.as_deref())
            .unwrap_or_default(),
    )?;
    let id = mail.message_id.as_str();
    let bracketed = id
        .strip_prefix('<')
        .and_then(|id| id.strip_suffix('>'))
        .is_some_and(|id| {
            id.split_once('@')
                .is_some_and(|(left, right)| !left.is_empty() && !right.is_empty())
                && id
                    .bytes()
                    .all(|b| b.is_ascii_graphic() && !b"<>".contains(&b))
        });
    if !bracketed {
        return Err(Unwritable::Header("message id"));
    }
    let tag = |c: char| c.is_ascii_alphanumeric() || c == '-';
    if mail.language.is_empty() || mail.language.len() > 35 || !mail.language.chars().all(tag) {
        return Err(Unwritable::Header("language"));
    }
    let to: Address = Some(mail.to.as_str())
        .filter(|address| address.is_ascii())
        .and_then(|address| address.parse().ok())
        .ok_or(Unwritable::Recipient)?;

    // whole seconds are what a Date header has; nothing is older than the epoch
    let seconds = u64::try_from(mail.date.as_second()).unwrap_or(0);
    let mut builder = Message::builder()
        .from(from.clone())
        .to(Mailbox::new(None, to.clone()))
        .subject(mail.subject.clone())
        .date(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds))
        .message_id(Some(mail.message_id.clone()));
    if let Some(reply_to) = reply_to {
        builder = builder.reply_to(reply_to.clone());
    }
    let mut message = builder
        .multipart(content(mail)?)
        .map_err(|_| Unwritable::Header("header"))?;
    for (name, value) in [
        (
            HeaderName::new_from_ascii_str("Content-Language"),
            mail.language.as_str(),
        ),
        // RFC 3834, 5: no vacation notice answers a machine.
        (
            HeaderName::new_from_ascii_str("Auto-Submitted"),
            "auto-generated",
        ),
        // Exchange does not read the former. Not "All": a report of non-delivery is welcome.
        (
            HeaderName::new_from_ascii_str("X-Auto-Response-Suppress"),
            "OOF, AutoReply",
        ),
        // No List-* and no Precedence: the mail belongs to one purchase and to no list that one
        // could leave, an unsubscribe button would promise what does not exist, and "bulk" costs
        // inbox placement that a payment link needs.
    ] {
        message
            .headers_mut()
            .insert_raw(HeaderValue::new(name, value.into()));
    }
    Ok(Written {
        from: from.email.clone(),
        to,
        bytes: message.formatted(),
    })
}

/// alternative( text, related( HTML, picture ) ): the order of RFC 2046, 5.1.4, best last.
fn content(mail: &Mail) -> Result<MultiPart, Unwritable> {
    let text = part(ContentType::TEXT_PLAIN, "text", &mail.text)?;
    let html = part(ContentType::TEXT_HTML, "HTML", &mail.html)?;
    let alternative = MultiPart::alternative()
        .boundary(ALTERNATIVE)
        .singlepart(text);
    let Some(png) = &mail.qr_png else {
        return Ok(alternative.singlepart(html));
    };
    let picture = Attachment::new_inline_with_name(QR.into(), "qr.png".into()).body(
        Body::new_with_encoding(png.clone(), ContentTransferEncoding::Base64)
            .map_err(|_| Unwritable::Header("QR code"))?,
        ContentType::parse("image/png").map_err(|_| Unwritable::Header("QR code"))?,
    );
    Ok(alternative.multipart(
        MultiPart::related()
            .boundary(RELATED)
            .singlepart(html)
            .singlepart(picture),
    ))
}

fn part(kind: ContentType, name: &'static str, text: &str) -> Result<SinglePart, Unwritable> {
    let text = text.replace("\r\n", "\n");
    if text.contains(|c: char| c.is_control() && c != '\n' && c != '\t') {
        return Err(Unwritable::Control(name));
    }
    // three bytes per foreign one against four for three: the shorter, and readable where it can be
    let foreign = text.bytes().filter(|byte| !byte.is_ascii()).count();
    let encoding = if foreign * 6 > text.len() {
        ContentTransferEncoding::Base64
    } else {
        ContentTransferEncoding::QuotedPrintable
    };
    let body = Body::new_with_encoding(text.replace('\n', "\r\n"), encoding)
        .map_err(|_| Unwritable::Control(name))?;
    Ok(SinglePart::builder().content_type(kind).body(body))
}

fn one_line(part: &'static str, text: &str) -> Result<(), Unwritable> {
    if text.chars().any(char::is_control) {
        Err(Unwritable::Control(part))
    } else {
        Ok(())
    }
}
