//! A mail server that takes every mail, except where it was told otherwise for a recipient.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use base64::Engine;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// What is wrong with the next mail to a recipient.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ailment {
    /// `RCPT` gets this code.
    Recipient(u16),
    /// The final dot gets this code.
    Body(u16),
    /// The connection is cut in place of an answer to `RCPT`.
    CutBeforeBody,
    /// The mail is taken, and the connection is cut in place of the answer to the final dot.
    CutAfterBody,
    /// `RCPT` is answered only after [`MailServer::lets_go`].
    HeldBeforeBody,
    /// The final dot is answered only after [`MailServer::lets_go`].
    HeldAfterBody,
}

#[derive(Clone, Debug)]
pub struct Mail {
    pub to: String,
    pub raw: String,
    /// The server said 250.
    pub accepted: bool,
}

#[derive(Default)]
struct Office {
    mails: Vec<Mail>,
    ailments: HashMap<String, Vec<Ailment>>,
    /// Conversations that stand still until they are let go.
    held: usize,
    /// Conversations that have not ended.
    open: usize,
}

#[derive(Clone)]
pub struct MailServer {
    pub port: u16,
    office: Arc<Mutex<Office>>,
    free: watch::Sender<u64>,
}

impl MailServer {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        let office = Arc::new(Mutex::new(Office::default()));
        let shared = Arc::clone(&office);
        let free = watch::Sender::new(0);
        let gate = free.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                // a cut connection is the client's affair, here as in the world
                let (office, gate) = (Arc::clone(&shared), gate.subscribe());
                tokio::spawn(async move {
                    office.lock().unwrap().open += 1;
                    let ended = converse(stream, Arc::clone(&office), gate).await;
                    office.lock().unwrap().open -= 1;
                    ended
                });
            }
        });
        Self { port, office, free }
    }

    /// The next mails to `to` meet these ailments, in order; later ones are taken.
    pub fn ails(&self, to: &str, ailments: &[Ailment]) {
        self.office
            .lock()
            .unwrap()
            .ailments
            .insert(to.to_owned(), ailments.to_vec());
    }

    /// Everybody who is held gets an answer.
    pub fn lets_go(&self) {
        self.free.send_modify(|times| *times += 1);
    }

    /// How many conversations stand still until they are let go.
    pub fn held(&self) -> usize {
        self.office.lock().unwrap().held
    }

    /// How many conversations have not ended.
    pub fn open(&self) -> usize {
        self.office.lock().unwrap().open
    }

    /// Everything whose body arrived whole, in order.
    pub fn all(&self) -> Vec<Mail> {
        self.office.lock().unwrap().mails.clone()
    }

    pub fn to(&self, to: &str) -> Vec<Mail> {
        self.office
            .lock()
            .unwrap()
            .mails
            .iter()
            .filter(|mail| mail.to == to)
            .cloned()
            .collect()
    }
}

fn ailment(office: &Mutex<Office>, to: &str, applies: impl Fn(Ailment) -> bool) -> Option<Ailment> {
    let mut office = office.lock().unwrap();
    let waiting = office.ailments.get_mut(to)?;
    let first = *waiting.first()?;
    applies(first).then(|| waiting.remove(0))
}

async fn waits(office: &Mutex<Office>, gate: &mut watch::Receiver<u64>) {
    // who lets go afterwards means this conversation too
    gate.mark_unchanged();
    office.lock().unwrap().held += 1;
    // an error is the end of the world: then nobody waits for an answer
    let _ = gate.changed().await;
    office.lock().unwrap().held -= 1;
}

async fn converse(
    stream: TcpStream,
    office: Arc<Mutex<Office>>,
    mut gate: watch::Receiver<u64>,
) -> std::io::Result<()> {
    let (read, mut write) = stream.into_split();
    let mut read = BufReader::new(read);
    write.write_all(b"220 mail.example.com ESMTP\r\n").await?;
    let mut to = Vec::new();
    loop {
        let mut line = String::new();
        if read.read_line(&mut line).await? == 0 {
            return Ok(());
        }
        let upper = line.trim_end().to_ascii_uppercase();
        let answer = if upper.starts_with("EHLO") {
            "250-mail.example.com\r\n250-PIPELINING\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250 SIZE 10000000\r\n".to_owned()
        } else if upper.starts_with("RCPT TO:") {
            let address = line["RCPT TO:".len()..].trim().trim_start_matches('<');
            let address = address.split('>').next().unwrap_or_default().to_owned();
            let early = |one| {
                matches!(
                    one,
                    Ailment::Recipient(_) | Ailment::CutBeforeBody | Ailment::HeldBeforeBody
                )
            };
            match ailment(&office, &address, early) {
                Some(Ailment::Recipient(code)) => format!("{code} not now, not you\r\n"),
                Some(Ailment::HeldBeforeBody) => {
                    waits(&office, &mut gate).await;
                    to.push(address);
                    "250 ok\r\n".to_owned()
                }
                Some(_) => return Ok(()),
                None => {
                    to.push(address);
                    "250 ok\r\n".to_owned()
                }
            }
        } else if upper.starts_with("MAIL FROM:") || upper == "RSET" {
            to.clear();
            "250 ok\r\n".to_owned()
        } else if upper == "DATA" {
            if to.is_empty() {
                "503 nobody to send it to\r\n".to_owned()
            } else {
                write.write_all(b"354 go on\r\n").await?;
                let raw = body(&mut read).await?;
                let address = to.first().cloned().unwrap_or_default();
                let late = ailment(&office, &address, |one| {
                    matches!(
                        one,
                        Ailment::Body(_) | Ailment::CutAfterBody | Ailment::HeldAfterBody
                    )
                });
                let accepted = !matches!(late, Some(Ailment::Body(_)));
                for to in to.drain(..) {
                    let mail = Mail {
                        to,
                        raw: raw.clone(),
                        accepted,
                    };
                    office.lock().unwrap().mails.push(mail);
                }
                match late {
                    Some(Ailment::Body(code)) => format!("{code} no room for this\r\n"),
                    Some(Ailment::HeldAfterBody) => {
                        waits(&office, &mut gate).await;
                        "250 queued as 1\r\n".to_owned()
                    }
                    Some(_) => return Ok(()),
                    None => "250 queued as 1\r\n".to_owned(),
                }
            }
        } else if upper == "QUIT" {
            write.write_all(b"221 bye\r\n").await?;
            return Ok(());
        } else if upper == "NOOP" || upper.starts_with("HELO") {
            "250 ok\r\n".to_owned()
        } else {
            "502 what?\r\n".to_owned()
        };
        write.write_all(answer.as_bytes()).await?;
    }
}

async fn body(read: &mut (impl AsyncBufReadExt + AsyncReadExt + Unpin)) -> std::io::Result<String> {
    let mut raw = String::new();
    loop {
        let mut line = Vec::new();
        if read.read_until(b'\n', &mut line).await? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        if line == b".\r\n" {
            return Ok(raw);
        }
        let line = String::from_utf8_lossy(&line).into_owned();
        raw.push_str(line.strip_prefix('.').unwrap_or(&line));
    }
}

impl Mail {
    /// The header `name`, unfolded, as it was sent.
    pub fn header(&self, name: &str) -> Option<String> {
        let head = self
            .raw
            .split("\r\n\r\n")
            .next()
            .unwrap_or_default()
            .replace("\r\n ", " ")
            .replace("\r\n\t", " ");
        head.lines()
            .filter_map(|line| line.split_once(':'))
            .find(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.trim().to_owned())
    }

    /// Every readable part as (media type, decoded text).
    pub fn texts(&self) -> Vec<(String, String)> {
        let mut texts = Vec::new();
        part(&self.raw, &mut texts);
        texts
    }

    /// The plain text part.
    pub fn plain(&self) -> String {
        self.texts()
            .into_iter()
            .find(|(kind, _)| kind.starts_with("text/plain"))
            .unwrap_or_else(|| panic!("no text/plain in {}", self.raw))
            .1
    }
}

fn part(raw: &str, texts: &mut Vec<(String, String)>) {
    let (head, body) = raw.split_once("\r\n\r\n").unwrap_or((raw, ""));
    let head = head.replace("\r\n ", " ").replace("\r\n\t", " ");
    let find = |name: &str| {
        head.lines()
            .filter_map(|line| line.split_once(':'))
            .find(|(key, _)| key.trim().eq_ignore_ascii_case(name))
            .map(|(_, value)| value.trim().to_owned())
    };
    let kind = find("content-type").unwrap_or_else(|| "text/plain".to_owned());
    if kind.starts_with("multipart/") {
        let boundary = kind
            .split("boundary=")
            .nth(1)
            .unwrap_or_default()
            .trim_start_matches('"');
        let boundary = boundary.split(['"', ';']).next().unwrap_or_default();
        for inner in body.split(&format!("--{boundary}")).skip(1) {
            if !inner.starts_with("--") {
                part(inner.trim_start_matches("\r\n"), texts);
            }
        }
    } else if kind.starts_with("text/") {
        let coding = find("content-transfer-encoding")
            .unwrap_or_default()
            .to_ascii_lowercase();
        let bytes = match coding.as_str() {
            "base64" => {
                let dense: String = body.split_whitespace().collect();
                base64::engine::general_purpose::STANDARD
                    .decode(dense)
                    .expect("base64 in a mail")
            }
            "quoted-printable" => unquoted(body),
            _ => body.as_bytes().to_vec(),
        };
        texts.push((
            kind,
            String::from_utf8(bytes).expect("a mail's text is UTF-8"),
        ));
    }
}

fn unquoted(body: &str) -> Vec<u8> {
    let joined = body.replace("=\r\n", "");
    let bytes = joined.as_bytes();
    let mut plain = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let code = (bytes[at] == b'=')
            .then(|| {
                joined
                    .get(at + 1..at + 3)
                    .and_then(|hex| u8::from_str_radix(hex, 16).ok())
            })
            .flatten();
        plain.push(code.unwrap_or(bytes[at]));
        at += if code.is_some() { 3 } else { 1 };
    }
    plain
}
