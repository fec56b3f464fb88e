//! An SMS gateway behind `SMS_GATEWAY=http`: takes every message, except where it was told
//! otherwise for a number.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

#[derive(Clone, Debug)]
pub enum Reply {
    Status(u16),
    Says(u16, &'static str),
    /// 429, and the seconds of `Retry-After`.
    Busy(u64),
    /// Takes the message and cuts the connection.
    Cut,
    /// Takes the message and says nothing for a minute.
    Silence,
    /// Takes the message and says so only after [`Gateway::lets_go`].
    Held,
}

#[derive(Clone, Debug)]
pub struct Message {
    pub method: String,
    pub path: String,
    pub headers: HashMap<String, String>,
    pub body: Value,
}

#[derive(Default)]
struct Desk {
    messages: Vec<Message>,
    replies: HashMap<String, Vec<Reply>>,
}

#[derive(Clone)]
pub struct Gateway {
    pub port: u16,
    desk: Arc<Mutex<Desk>>,
    free: watch::Sender<u64>,
}

impl Gateway {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        let desk = Arc::new(Mutex::new(Desk::default()));
        let shared = Arc::clone(&desk);
        let free = watch::Sender::new(0);
        let gate = free.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                // a cut connection is the client's affair, here as in the world
                tokio::spawn(converse(stream, Arc::clone(&shared), gate.subscribe()));
            }
        });
        Self { port, desk, free }
    }

    /// The next messages to `to` get these replies, in order; later ones are taken.
    pub fn replies(&self, to: &str, replies: &[Reply]) {
        self.desk
            .lock()
            .unwrap()
            .replies
            .insert(to.to_owned(), replies.to_vec());
    }

    /// Everybody who is held gets an answer.
    pub fn lets_go(&self) {
        self.free.send_modify(|times| *times += 1);
    }

    /// Everything that arrived whole, in order.
    pub fn all(&self) -> Vec<Message> {
        self.desk.lock().unwrap().messages.clone()
    }

    pub fn to(&self, to: &str) -> Vec<Message> {
        let desk = self.desk.lock().unwrap();
        desk.messages
            .iter()
            .filter(|message| message.body["to"] == to)
            .cloned()
            .collect()
    }
}

async fn converse(
    stream: TcpStream,
    desk: Arc<Mutex<Desk>>,
    mut gate: watch::Receiver<u64>,
) -> std::io::Result<()> {
    let (read, mut write) = stream.into_split();
    let mut read = BufReader::new(read);
    loop {
        let mut line = String::new();
        if read.read_line(&mut line).await? == 0 {
            return Ok(());
        }
        let mut words = line.split_whitespace().map(str::to_owned);
        let (method, path) = (
            words.next().unwrap_or_default(),
            words.next().unwrap_or_default(),
        );
        let mut headers = HashMap::new();
        loop {
            let mut line = String::new();
            read.read_line(&mut line).await?;
            let Some((name, value)) = line.trim_end().split_once(':') else {
                break;
            };
            headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
        }
        let length = headers
            .get("content-length")
            .and_then(|text| text.parse().ok())
            .unwrap_or(0);
        let mut body = vec![0; length];
        read.read_exact(&mut body).await?;
        let body: Value = serde_json::from_slice(&body).unwrap_or_default();
        // who lets go afterwards means this message too
        gate.mark_unchanged();
        let to = body["to"].as_str().unwrap_or_default().to_owned();
        let (reply, number) = {
            let mut desk = desk.lock().unwrap();
            desk.messages.push(Message {
                method,
                path,
                headers,
                body,
            });
            let waiting = desk.replies.entry(to).or_default();
            let reply = if waiting.is_empty() {
                Reply::Status(200)
            } else {
                waiting.remove(0)
            };
            (reply, desk.messages.len())
        };
        let mut more = String::new();
        let (status, said) = match reply {
            Reply::Status(status) => (
                status,
                format!("{{\"id\":\"gw-{number}\",\"state\":\"ok\"}}"),
            ),
            Reply::Says(status, said) => (status, said.to_owned()),
            Reply::Busy(seconds) => {
                more = format!("Retry-After: {seconds}\r\n");
                (429, String::new())
            }
            Reply::Held => {
                // an error is the end of the world: then nobody waits for an answer
                let _ = gate.changed().await;
                (200, format!("{{\"id\":\"gw-{number}\"}}"))
            }
            Reply::Cut => return Ok(()),
            Reply::Silence => {
                tokio::time::sleep(Duration::from_mins(1)).await;
                return Ok(());
            }
        };
        let answer = format!(
            "HTTP/1.1 {status} Said\r\nContent-Type: application/json\r\n{more}Content-Length: {}\r\n\r\n{said}",
            said.len()
        );
        write.write_all(answer.as_bytes()).await?;
    }
}
