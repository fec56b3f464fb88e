//! One connection over HTTP/1.1: each request is read whole, judged, and passed on over a connection
//! of its own, so that what is done to one cannot spoil another.

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{Book, Fault, breaks_off, drip, reset};

/// The type of a TLS record that begins a handshake.
const TLS_HANDSHAKE: u8 = 0x16;

/// A head and its body as they came.
struct Message {
    head: String,
    body: Vec<u8>,
}

impl Message {
    fn bytes(&self) -> Vec<u8> {
        [self.head.as_bytes(), &self.body].concat()
    }

    fn first_line(&self) -> &str {
        self.head.lines().next().unwrap_or_default()
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.head
            .lines()
            .skip(1)
            .filter_map(|line| line.split_once(':'))
            .find(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.trim())
    }

    fn status(&self) -> Option<u16> {
        self.first_line().split(' ').nth(1)?.parse().ok()
    }
}

/// `None`: the other side is done.
async fn read(stream: &mut TcpStream, is_answer: bool) -> std::io::Result<Option<Message>> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        if stream.read(&mut byte).await? == 0 {
            return Ok(None);
        }
        head.push(byte[0]);
    }
    let mut message = Message {
        head: String::from_utf8_lossy(&head).into_owned(),
        body: Vec::new(),
    };
    let length = message.header("content-length").map(str::to_owned);
    let empty = matches!(message.status(), Some(204 | 304)) && is_answer;
    if let Some(length) = length.and_then(|text| text.parse().ok()) {
        message.body = vec![0; length];
        stream.read_exact(&mut message.body).await?;
    } else if message
        .header("transfer-encoding")
        .is_some_and(|coding| coding.contains("chunked"))
    {
        message.body = chunks(stream).await?;
    } else if is_answer && !empty {
        stream.read_to_end(&mut message.body).await?;
    }
    Ok(Some(message))
}

/// A chunked body as it stands on the wire.
async fn chunks(stream: &mut (impl AsyncRead + Unpin)) -> std::io::Result<Vec<u8>> {
    let mut body = Vec::new();
    while !body.ends_with(b"0\r\n\r\n") {
        body.push(stream.read_u8().await?);
    }
    Ok(body)
}

/// Passes a request on and reads the answer.
async fn forward(request: &Message, book: &Book, number: usize) -> std::io::Result<Message> {
    let mut upstream = book.upstream().await?;
    let (first, headers) = request.head.split_once("\r\n").unwrap_or_default();
    let kept = headers
        .split("\r\n")
        .filter(|line| !line.to_ascii_lowercase().starts_with("connection:"));
    let mut head = format!("{first}\r\nconnection: close\r\n");
    for line in kept.take_while(|line| !line.is_empty()) {
        head.push_str(line);
        head.push_str("\r\n");
    }
    head.push_str("\r\n");
    upstream.write_all(head.as_bytes()).await?;
    upstream.write_all(&request.body).await?;
    let answer = read(&mut upstream, true).await?;
    let answer = answer.ok_or(std::io::ErrorKind::UnexpectedEof)?;
    book.forwarded(number, answer.status());
    Ok(answer)
}

fn made(status: u16, more: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!(
        "HTTP/1.1 {status} Broken\r\ncontent-type: application/json\r\n{more}content-length: {length}\r\n\
         connection: close\r\n\r\n{body}"
    )
    .into_bytes()
}

fn klarnas_words(status: u16) -> String {
    format!(
        "{{\"error_code\":\"FAULT_{status}\",\"error_messages\":[\"planted\"],\"correlation_id\":\"chaos\"}}"
    )
}

pub(super) async fn converse(mut stream: TcpStream, book: &Book) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut first = [0];
    if stream.peek(&mut first).await? == 1 && first[0] == TLS_HANDSHAKE {
        book.meets("TLS", "TLS");
        // read, so that the answer is not overtaken by a reset
        let mut hello = [0; 4096];
        let _ = stream.read(&mut hello).await?;
        return breaks_off(stream, &made(400, "", "plain HTTP is spoken here")).await;
    }
    while let Some(request) = read(&mut stream, false).await? {
        let mut words = request.first_line().split(' ');
        let what = format!(
            "{} {}",
            words.next().unwrap_or_default(),
            words.next().unwrap_or_default()
        );
        let text = String::from_utf8_lossy(&request.bytes()).into_owned();
        let (number, fault) = book.meets(&what, &text);
        // what happens before the answer
        match &fault {
            Some(Fault::ResetBefore) => return reset(stream),
            Some(Fault::Hang(long)) => {
                tokio::time::sleep(*long).await;
                return Ok(());
            }
            Some(Fault::HalfClose) => {
                stream.shutdown().await?;
                // the client may go on writing as long as it likes
                let mut rest = Vec::new();
                let _ = tokio::time::timeout(Duration::from_mins(1), stream.read_to_end(&mut rest))
                    .await;
                return Ok(());
            }
            Some(Fault::Status(status)) => {
                let answer = made(*status, "", &klarnas_words(*status));
                return breaks_off(stream, &answer).await;
            }
            Some(Fault::Busy(seconds)) => {
                let more = format!("retry-after: {seconds}\r\n");
                return breaks_off(stream, &made(429, &more, &klarnas_words(429))).await;
            }
            Some(Fault::Delay(long)) => tokio::time::sleep(*long).await,
            _ => {}
        }
        let answer = forward(&request, book, number).await?;
        let bytes = answer.bytes();
        match fault {
            Some(Fault::Duplicate) => {
                forward(&request, book, number).await?;
                stream.write_all(&bytes).await?;
            }
            Some(Fault::ResetAfter) => return reset(stream),
            Some(Fault::Cut(after)) => {
                return breaks_off(stream, &bytes[..after.min(bytes.len())]).await;
            }
            // in the middle of the body; where there is none, of the head
            Some(Fault::Half) if answer.body.is_empty() => {
                return breaks_off(stream, &bytes[..bytes.len() / 2]).await;
            }
            Some(Fault::Half) => {
                let half = answer.head.len() + answer.body.len() / 2;
                return breaks_off(stream, &bytes[..half]).await;
            }
            Some(Fault::Garbage) => {
                return breaks_off(stream, &made(200, "", "<h1>It works!</h1>")).await;
            }
            Some(Fault::Drip(all)) => drip(&mut stream, &bytes, all).await?,
            _ => stream.write_all(&bytes).await?,
        }
        if answer.header("connection") == Some("close") {
            return stream.shutdown().await;
        }
    }
    Ok(())
}
