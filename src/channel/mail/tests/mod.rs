mod conversation;
mod message;
mod server;
mod sessions;

use crate::channel::mail::Mail;
use crate::link::Email;

fn sample_mail() -> Mail {
    Mail {
        to: Email::trusted("jo@example.com".into()),
        subject: "Betala din beställning SO-10442".into(),
        text: "Hej!\n.\n..två\nhttps://pay.example.com/1\n".into(),
        html: "<p>Hej!</p>\n<img src=\"cid:qr@paylink\">\n".into(),
        qr_png: Some(vec![0x89, b'P', b'N', b'G', 0, 255]),
        message_id: "<dlv_1@pay.example.com>".into(),
        date: "2026-11-24T10:00:00Z".parse().unwrap(),
        language: "sv-SE".into(),
    }
}
