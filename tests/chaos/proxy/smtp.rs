//! One session over SMTP. The client pipelines MAIL, RCPT and DATA, so the recipient is known before
//! the first of them is answered, and every step can be broken for one recipient alone.

use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use super::{Book, Fault, breaks_off, drip, reset};

/// Where a fault can meet a session. The words of a rule: `MAIL buyer@example.com`.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Step {
    Connect,
    Ehlo,
    Mail,
    Rcpt,
    Data,
    /// After the final dot.
    Dot,
    Other,
}

impl Step {
    fn of(line: &str) -> Self {
        match line.get(..4).map(str::to_ascii_uppercase).as_deref() {
            Some("EHLO" | "HELO") => Self::Ehlo,
            Some("MAIL") => Self::Mail,
            Some("RCPT") => Self::Rcpt,
            Some("DATA") => Self::Data,
            _ => Self::Other,
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Connect => "CONNECT",
            Self::Ehlo => "EHLO",
            Self::Mail => "MAIL",
            Self::Rcpt => "RCPT",
            Self::Data => "DATA",
            Self::Dot => "DOT",
            Self::Other => "OTHER",
        }
    }
}

struct Session<'a> {
    client: BufReader<TcpStream>,
    server: BufReader<TcpStream>,
    book: &'a Book,
}

impl Session<'_> {
    /// One reply of the server, all its lines.
    async fn reply(&mut self) -> std::io::Result<String> {
        let mut reply = String::new();
        loop {
            let from = reply.len();
            if self.server.read_line(&mut reply).await? == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
            if reply.as_bytes().get(from + 3) != Some(&b'-') {
                return Ok(reply);
            }
        }
    }

    /// A step: `sent` goes to the server, its reply to the client, unless a rule says otherwise.
    async fn step(mut self, step: Step, to: &str, sent: &[u8]) -> std::io::Result<Option<Self>> {
        let what = format!("{} {to}", step.word());
        let (number, fault) = self.book.meets(&what, &what);
        match &fault {
            Some(Fault::ResetBefore) => return reset(self.client.into_inner()).map(|()| None),
            Some(Fault::Hang(long)) => {
                tokio::time::sleep(*long).await;
                return Ok(None);
            }
            Some(Fault::HalfClose) => {
                self.client.get_mut().shutdown().await?;
                tokio::time::sleep(Duration::from_mins(1)).await;
                return Ok(None);
            }
            Some(Fault::Status(code)) => {
                let said = format!("{code} planted\r\n");
                self.client.get_mut().write_all(said.as_bytes()).await?;
                // what was pipelined behind it is read and thrown away until the client leaves
                let mut rest = String::new();
                while self.client.read_line(&mut rest).await.unwrap_or(0) > 0 {
                    rest.clear();
                }
                return Ok(None);
            }
            Some(Fault::Delay(long)) => tokio::time::sleep(*long).await,
            _ => {}
        }
        self.server.get_mut().write_all(sent).await?;
        let reply = self.reply().await?;
        self.book
            .forwarded(number, reply.get(..3).and_then(|code| code.parse().ok()));
        let bytes = reply.as_bytes();
        let client = self.client.get_mut();
        match fault {
            Some(Fault::ResetAfter) => return reset(self.client.into_inner()).map(|()| None),
            Some(Fault::Half | Fault::Cut(_)) => {
                let end = match fault {
                    Some(Fault::Cut(after)) => after.min(bytes.len()),
                    // within the last line: a reply without its end
                    _ => bytes.len() / 2,
                };
                breaks_off(self.client.into_inner(), &bytes[..end]).await?;
                return Ok(None);
            }
            Some(Fault::Garbage) => client.write_all(b"\x15\x03\x01 It works!\r\n").await?,
            Some(Fault::Drip(all)) => drip(client, bytes, all).await?,
            _ => client.write_all(bytes).await?,
        }
        Ok(Some(self))
    }

    /// The body up to and with its final dot.
    async fn body(&mut self) -> std::io::Result<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let from = body.len();
            if self.client.read_until(b'\n', &mut body).await? == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
            if &body[from..] == b".\r\n" {
                return Ok(body);
            }
        }
    }

    /// The client's next line; what was pipelined is in `ahead`.
    async fn line(&mut self, ahead: &mut Vec<String>) -> std::io::Result<String> {
        if !ahead.is_empty() {
            return Ok(ahead.remove(0));
        }
        let mut line = String::new();
        self.client.read_line(&mut line).await?;
        Ok(line)
    }
}

fn recipient(line: &str) -> String {
    let address = line.split_once('<').map_or("", |(_, rest)| rest);
    address.split('>').next().unwrap_or_default().to_owned()
}

pub(super) async fn converse(stream: TcpStream, book: &Book) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let server = BufReader::new(book.upstream().await?);
    let session = Session {
        client: BufReader::new(stream),
        server,
        book,
    };
    let Some(mut session) = session.step(Step::Connect, "", b"").await? else {
        return Ok(());
    };
    let (mut ahead, mut to) = (Vec::new(), String::new());
    loop {
        let line = session.line(&mut ahead).await?;
        if line.is_empty() {
            return Ok(());
        }
        let step = Step::of(&line);
        if step == Step::Mail {
            // pipelined: the recipient is in the same packet
            let next = session.line(&mut ahead).await?;
            to = recipient(&next);
            ahead.push(next);
        }
        session = match session.step(step, &to, line.as_bytes()).await? {
            Some(session) => session,
            None => return Ok(()),
        };
        let data_is_invited = step == Step::Data && {
            let passed = book.0.lock().unwrap();
            let mut mine = passed.passed.iter().rev();
            let said = format!("DATA {to}");
            mine.find(|one| one.what == said)
                .is_some_and(|one| one.answered == Some(354))
        };
        if data_is_invited {
            let body = session.body().await?;
            session = match session.step(Step::Dot, &to, &body).await? {
                Some(session) => session,
                None => return Ok(()),
            };
            // one mail per session, so that no fault of one meets another
            return session.client.get_mut().shutdown().await;
        }
    }
}
