//! Mails per second to a sink on this machine that does nothing but answer.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use paylink::channel::Outcome;
use paylink::channel::mail::{Mail, MailSettings, Mailer, Security, Server, compose};
use paylink::clock::Clock;
use paylink::link::Email;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::figures::{Table, per_second, quantile, rate};
use super::{Fallible, qr};

/// As many as the worker's hands.
const SENDERS: usize = 32;
const ROUNDS: usize = 5;
const ROUND: Duration = Duration::from_secs(1);

pub async fn measure(table: &mut Table) -> Fallible<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let port = listener.local_addr()?.port();
    let sink = tokio::spawn(sink(listener));
    let mail = mail()?;
    let settings = settings(port)?;
    let bytes = compose(&mail, &settings.from, None)?.bytes.len();
    for connections in [1, 8] {
        let settings = MailSettings {
            connections,
            ..settings.clone()
        };
        let mailer = Mailer::new(settings);
        let mut rates = Vec::new();
        for _ in 0..ROUNDS {
            rates.push(round(&mailer, &mail).await?);
        }
        let what = format!(
            "mails, {connections} connection{}",
            if connections == 1 { "" } else { "s" }
        );
        let note = format!("{bytes} bytes: text, HTML, QR code");
        table.row(&what, rate(quantile(&mut rates, 0.5)), &note);
    }
    sink.abort();
    Ok(())
}

async fn round(mailer: &Mailer, mail: &Mail) -> Fallible<f64> {
    let (begun, sent) = (Instant::now(), Arc::new(AtomicUsize::new(0)));
    let senders: Vec<_> = (0..SENDERS)
        .map(|_| {
            let (mailer, mail, sent) = (mailer.clone(), mail.clone(), Arc::clone(&sent));
            tokio::spawn(async move {
                while begun.elapsed() < ROUND {
                    match mailer.send(&mail).await {
                        Outcome::Sent { .. } => sent.fetch_add(1, Ordering::Relaxed),
                        other => return Err(format!("a mail was not sent: {other:?}")),
                    };
                }
                Ok(())
            })
        })
        .collect();
    for sender in senders {
        sender.await??;
    }
    Ok(per_second(sent.load(Ordering::Relaxed), begun.elapsed()))
}

fn settings(port: u16) -> Fallible<MailSettings> {
    let server = Server {
        host: "127.0.0.1".into(),
        port,
        security: Security::None,
        credentials: None,
        helo: "pay.example.com".into(),
        from: (Some("Acme Shop".into()), "pay@example.com".into()),
        reply_to: None,
    };
    MailSettings::new(server).map_err(|faults| format!("{faults:?}").into())
}

/// About as long as the shipped templates make it.
fn mail() -> Fallible<Mail> {
    let url = qr::url();
    let words = "Your order SO-10442 of Acme Shop is ready to be paid: 500.00 GBP.";
    let text = format!("{words}\n\nPay here: {url}\n\nThe link is good until 20:00.\n");
    let paragraph = "<p style=\"margin:0 0 16px;font-family:sans-serif\">";
    let html = format!(
        "<!doctype html><html lang=\"en\"><body>{}\
         <p><a href=\"{url}\">Pay now</a></p><img src=\"cid:qr@paylink\" alt=\"QR code\"></body></html>",
        format!("{paragraph}{words}</p>\n").repeat(7),
    );
    Ok(Mail {
        to: Email::parse("jo@example.com").map_err(|fault| format!("{fault:?}"))?,
        subject: "Pay for your order SO-10442".into(),
        text,
        html,
        qr_png: Some(qr::png()?),
        message_id: "<dlv_1@pay.example.com>".into(),
        date: Clock::system().now(),
        language: "en-GB".into(),
    })
}

async fn sink(listener: TcpListener) {
    while let Ok((stream, _)) = listener.accept().await {
        tokio::spawn(converse(stream));
    }
}

/// One session: answers what was read at once in one write, so that a client may pipeline.
async fn converse(mut stream: TcpStream) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    stream.write_all(b"220 sink\r\n").await?;
    let (mut unread, mut answers) = (Vec::with_capacity(16 * 1024), Vec::new());
    let mut in_body = false;
    while stream.read_buf(&mut unread).await? > 0 {
        loop {
            let end: &[u8] = if in_body { b"\r\n.\r\n" } else { b"\r\n" };
            let Some(at) = unread.windows(end.len()).position(|bytes| bytes == end) else {
                break;
            };
            let answer: &[u8] = match unread.get(..4) {
                _ if in_body => b"250 2.0.0 Ok: queued as 1\r\n",
                Some(b"EHLO") => b"250-sink\r\n250-PIPELINING\r\n250 8BITMIME\r\n",
                Some(b"DATA") => b"354 go\r\n",
                Some(b"QUIT") => b"221 bye\r\n",
                _ => b"250 ok\r\n",
            };
            in_body = !in_body && unread.starts_with(b"DATA");
            answers.extend_from_slice(answer);
            unread.drain(..at + end.len());
        }
        stream.write_all(&answers).await?;
        answers.clear();
    }
    Ok(())
}
