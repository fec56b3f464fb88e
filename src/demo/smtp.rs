//! A mail sink: speaks enough SMTP (RFC 5321, PIPELINING, 8BITMIME) to take any mail and deliver
//! none of it.

use std::sync::Arc;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

use super::catcher::Inbox;

/// More than any mail of ours; a sink must not be filled by a loop.
const MOST_BYTES: usize = 4 * 1024 * 1024;

/// Takes mail until the listener is dropped with its task.
pub async fn sink(listener: TcpListener, inbox: Arc<Inbox>) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                let inbox = inbox.clone();
                tokio::spawn(async move {
                    if let Err(error) = session(stream, &inbox).await {
                        tracing::debug!(%error, "a mail session ended early");
                    }
                });
            }
            Err(error) => {
                tracing::warn!(%error, "the mail sink cannot accept");
                return;
            }
        }
    }
}

#[derive(Default)]
struct Envelope {
    from: String,
    to: Vec<String>,
}

async fn session(stream: TcpStream, inbox: &Inbox) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut stream = BufReader::new(stream);
    let mut envelope = Envelope::default();
    let mut line = String::new();
    reply(&mut stream, "220 catcher.example.com ready").await?;
    loop {
        line.clear();
        // a line of a client that sends none is bounded like everything else
        let mut bounded = (&mut stream).take(2_048);
        if bounded.read_line(&mut line).await? == 0 {
            return Ok(());
        }
        let command = line.trim_end();
        let verb = command
            .split([' ', ':'])
            .next()
            .unwrap_or("")
            .to_ascii_uppercase();
        match verb.as_str() {
            "EHLO" => {
                reply(
                    &mut stream,
                    "250-catcher.example.com\r\n250-PIPELINING\r\n250 8BITMIME",
                )
                .await?;
            }
            "HELO" | "NOOP" => reply(&mut stream, "250 ok").await?,
            "RSET" => {
                envelope = Envelope::default();
                reply(&mut stream, "250 ok").await?;
            }
            "MAIL" => {
                envelope = Envelope {
                    from: path(command),
                    to: Vec::new(),
                };
                reply(&mut stream, "250 ok").await?;
            }
            "RCPT" => {
                envelope.to.push(path(command));
                reply(&mut stream, "250 ok").await?;
            }
            "DATA" if envelope.to.is_empty() => {
                reply(&mut stream, "503 RCPT first").await?;
            }
            "DATA" => {
                reply(&mut stream, "354 end with a dot").await?;
                let Some(raw) = body(&mut stream).await? else {
                    return reply(&mut stream, "552 too much").await;
                };
                let number = inbox.take_mail(&envelope.from, &envelope.to, &raw);
                envelope = Envelope::default();
                reply(&mut stream, &format!("250 caught as {number}")).await?;
            }
            "QUIT" => return reply(&mut stream, "221 bye").await,
            _ => reply(&mut stream, "502 not here").await?,
        }
    }
}

/// The address between `<` and `>`.
fn path(command: &str) -> String {
    let inside = command.split_once('<').map_or("", |(_, rest)| rest);
    inside.split('>').next().unwrap_or("").to_owned()
}

/// The text up to the lone dot, dots unstuffed; `None` where it is too long.
async fn body(stream: &mut BufReader<TcpStream>) -> std::io::Result<Option<Vec<u8>>> {
    let mut raw = Vec::new();
    let mut line = Vec::new();
    loop {
        line.clear();
        if stream.read_until(b'\n', &mut line).await? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        if line == b".\r\n" {
            return Ok(Some(raw));
        }
        raw.extend_from_slice(line.strip_prefix(b".").unwrap_or(&line));
        if raw.len() > MOST_BYTES {
            return Ok(None);
        }
    }
}

async fn reply(stream: &mut BufReader<TcpStream>, text: &str) -> std::io::Result<()> {
    stream.write_all(text.as_bytes()).await?;
    stream.write_all(b"\r\n").await?;
    stream.flush().await
}
