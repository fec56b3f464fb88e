use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::sample_mail;
use crate::channel::Outcome;
use crate::channel::mail::{Mail, Unwritable, compose};
use crate::link::{Email, ReasonCode};

fn written(mail: &Mail) -> String {
    let from = "Shop <pay@example.com>".parse().unwrap();
    let reply_to = "help@example.com".parse().unwrap();
    let bytes = compose(mail, &from, Some(&reply_to)).unwrap().bytes;
    assert!(bytes.is_ascii());
    String::from_utf8(bytes).unwrap()
}

/// A header with its folding undone.
fn header(part: &str, name: &str) -> Option<String> {
    let head = part.split("\r\n\r\n").next()?.replace("\r\n ", " ");
    head.lines()
        .find_map(|line| Some(line.strip_prefix(name)?.strip_prefix(": ")?.to_owned()))
}

/// The parts between the lines of a boundary.
fn parts<'a>(whole: &'a str, boundary: &str) -> Vec<&'a str> {
    let mut parts: Vec<_> = whole.split(&format!("--{boundary}")).collect();
    assert!(parts.pop().unwrap().starts_with("--\r\n"));
    parts.remove(0);
    parts
        .into_iter()
        .map(|part| part.strip_prefix("\r\n").unwrap())
        .collect()
}

fn decoded(part: &str) -> Vec<u8> {
    let body = part.split_once("\r\n\r\n").unwrap().1;
    match header(part, "Content-Transfer-Encoding").unwrap().as_str() {
        "base64" => STANDARD.decode(body.replace("\r\n", "")).unwrap(),
        "quoted-printable" => {
            let (mut out, mut rest) = (Vec::new(), body.strip_suffix("\r\n").unwrap());
            while let Some((plain, tail)) = rest.split_once('=') {
                out.extend_from_slice(plain.as_bytes());
                if !tail.starts_with("\r\n") {
                    out.push(u8::from_str_radix(&tail[..2], 16).unwrap());
                }
                rest = &tail[2..];
            }
            out.extend_from_slice(rest.as_bytes());
            out
        }
        other => panic!("{other}"),
    }
}

#[test]
fn a_mail_holds_text_html_and_picture() {
    let mail = sample_mail();
    let whole = written(&mail);
    assert!(
        header(&whole, "Content-Type")
            .unwrap()
            .starts_with("multipart/alternative")
    );
    let outer = parts(&whole, "=_alternative_paylink");
    assert_eq!(outer.len(), 2);
    assert_eq!(
        header(outer[0], "Content-Type").unwrap(),
        "text/plain; charset=utf-8"
    );
    assert_eq!(
        decoded(outer[0]),
        mail.text.replace('\n', "\r\n").as_bytes()
    );
    let inner = parts(outer[1], "=_related_paylink");
    assert_eq!(inner.len(), 2);
    assert_eq!(
        header(inner[0], "Content-Type").unwrap(),
        "text/html; charset=utf-8"
    );
    assert_eq!(
        decoded(inner[0]),
        mail.html.replace('\n', "\r\n").as_bytes()
    );
    assert_eq!(header(inner[1], "Content-ID").unwrap(), "<qr@paylink>");
    assert_eq!(header(inner[1], "Content-Type").unwrap(), "image/png");
    assert!(
        header(inner[1], "Content-Disposition")
            .unwrap()
            .starts_with("inline")
    );
    assert_eq!(decoded(inner[1]), mail.qr_png.unwrap());
}

#[test]
fn headers_are_those_of_a_transactional_mail() {
    let whole = written(&sample_mail());
    for (name, value) in [
        ("From", "Shop <pay@example.com>"),
        ("To", "jo@example.com"),
        ("Reply-To", "help@example.com"),
        ("Message-ID", "<dlv_1@pay.example.com>"),
        ("Date", "Tue, 24 Nov 2026 10:00:00 +0000"),
        ("Auto-Submitted", "auto-generated"),
        ("X-Auto-Response-Suppress", "OOF, AutoReply"),
        ("Content-Language", "sv-SE"),
        ("MIME-Version", "1.0"),
    ] {
        assert_eq!(header(&whole, name).as_deref(), Some(value), "{name}");
    }
    assert!(header(&whole, "Subject").unwrap().contains("=?utf-8?"));
    assert!(!whole.contains("List-") && !whole.contains("Precedence"));
    assert!(whole.lines().all(|line| line.len() <= 78), "{whole}");
    assert_eq!(whole, written(&sample_mail()));
}

#[test]
fn without_picture_there_is_no_related_part() {
    let whole = written(&Mail {
        qr_png: None,
        ..sample_mail()
    });
    assert!(!whole.contains("multipart/related"));
    assert_eq!(parts(&whole, "=_alternative_paylink").len(), 2);
}

#[test]
fn foreign_scripts_are_base64_and_come_back() {
    let mail = Mail {
        text: "Πληρώστε εδώ την παραγγελία σας".into(),
        ..sample_mail()
    };
    let whole = written(&mail);
    let text = parts(&whole, "=_alternative_paylink")[0];
    assert_eq!(header(text, "Content-Transfer-Encoding").unwrap(), "base64");
    assert_eq!(decoded(text), mail.text.as_bytes());
}

#[test]
fn nothing_smuggles_a_line() {
    let from = "Shop <pay@example.com>".parse().unwrap();
    let mail = sample_mail;
    for (broken, expected) in [
        (
            Mail {
                subject: "a\r\nBcc: x@example.com".into(),
                ..mail()
            },
            Unwritable::Control("subject"),
        ),
        (
            Mail {
                subject: "a\0".into(),
                ..mail()
            },
            Unwritable::Control("subject"),
        ),
        (
            Mail {
                text: "a\rb".into(),
                ..mail()
            },
            Unwritable::Control("text"),
        ),
        (
            Mail {
                html: "a\u{85}b".into(),
                ..mail()
            },
            Unwritable::Control("HTML"),
        ),
        (
            Mail {
                message_id: "<a@b>\n".into(),
                ..mail()
            },
            Unwritable::Control("message id"),
        ),
        (
            Mail {
                message_id: "a@b".into(),
                ..mail()
            },
            Unwritable::Header("message id"),
        ),
        (
            Mail {
                message_id: "<a b@c>".into(),
                ..mail()
            },
            Unwritable::Header("message id"),
        ),
        (
            Mail {
                language: "sv SE".into(),
                ..mail()
            },
            Unwritable::Header("language"),
        ),
        (
            Mail {
                to: Email::trusted("jö@example.com".into()),
                ..mail()
            },
            Unwritable::Recipient,
        ),
        (
            Mail {
                to: Email::trusted("a@example.com>\r\nDATA".into()),
                ..mail()
            },
            Unwritable::Recipient,
        ),
    ] {
        assert_eq!(compose(&broken, &from, None).err(), Some(expected));
    }
    let mut evil: lettre::message::Mailbox = from.clone();
    evil.name = Some("Shop\r\nBcc: x".into());
    assert_eq!(
        compose(&mail(), &evil, None).err(),
        Some(Unwritable::Control("sender"))
    );
    assert_eq!(
        compose(&mail(), &from, Some(&evil)).err(),
        Some(Unwritable::Control("reply address"))
    );
    let Outcome::Refused(reason) = Unwritable::Recipient.outcome() else {
        panic!()
    };
    assert_eq!(reason.code, ReasonCode::InvalidRecipient);
}
