//! A merchant that is called: it takes every call, hands it to the test, and answers as it was told.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

/// One call that came in.
#[derive(Debug)]
pub(super) struct Heard {
    pub target: String,
    pub head: String,
    pub body: Value,
}

/// How the next call is met; 200 where nothing was said.
#[derive(Clone, Debug)]
pub(super) enum Reply {
    Status(u16),
    Redirect(String),
    /// 400 with this body.
    Refuse(String),
    HangUp,
    /// No answer; the test hears when the caller gave up.
    Silence,
}

pub(super) struct Merchant {
    pub url: String,
    replies: Arc<Mutex<VecDeque<Reply>>>,
    heard: mpsc::UnboundedReceiver<Heard>,
    given_up: mpsc::UnboundedReceiver<()>,
}

impl Merchant {
    pub(super) async fn open() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let replies = Arc::new(Mutex::new(VecDeque::new()));
        let (calls, heard) = mpsc::unbounded_channel();
        let (gone, given_up) = mpsc::unbounded_channel();
        let told = replies.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, told.clone(), calls.clone(), gone.clone()));
            }
        });
        Self {
            url,
            replies,
            heard,
            given_up,
        }
    }

    pub(super) fn reply(&self, reply: Reply) {
        self.replies.lock().unwrap().push_back(reply);
    }

    pub(super) async fn next(&mut self) -> Heard {
        within(self.heard.recv()).await
    }

    pub(super) async fn given_up(&mut self) {
        within(self.given_up.recv()).await;
    }
}

/// A bound for a failing test, not a wait of a good one.
async fn within<T>(something: impl Future<Output = Option<T>>) -> T {
    let something = tokio::time::timeout(Duration::from_secs(20), something).await;
    something
        .expect("a call within 20 s")
        .expect("the merchant is open")
}

async fn serve(
    mut stream: TcpStream,
    replies: Arc<Mutex<VecDeque<Reply>>>,
    calls: mpsc::UnboundedSender<Heard>,
    gone: mpsc::UnboundedSender<()>,
) {
    let mut bytes = Vec::new();
    let (head, body) = loop {
        if stream.read_buf(&mut bytes).await.unwrap_or(0) == 0 {
            return;
        }
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else {
            continue;
        };
        let length = head.lines().find_map(|line| {
            let (name, value) = line.split_once(": ")?;
            name.eq_ignore_ascii_case("content-length")
                .then(|| value.parse::<usize>().ok())?
        });
        if body.len() >= length.unwrap_or(0) {
            break (head.to_owned(), body.to_owned());
        }
    };
    let reply = replies
        .lock()
        .unwrap()
        .pop_front()
        .unwrap_or(Reply::Status(200));
    let target = head.split(' ').nth(1).unwrap_or_default().to_owned();
    let body = serde_json::from_str(&body).unwrap_or_default();
    let _ = calls.send(Heard { target, head, body });
    let answer = match reply {
        Reply::Status(status) => format!("HTTP/1.1 {status} X\r\ncontent-length: 0\r\n"),
        Reply::Redirect(to) => {
            format!("HTTP/1.1 303 See Other\r\nlocation: {to}\r\ncontent-length: 0\r\n")
        }
        Reply::Refuse(body) => format!(
            "HTTP/1.1 400 Bad Request\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
            body.len()
        ),
        Reply::HangUp => return,
        Reply::Silence => {
            let _ = stream.read(&mut [0; 16]).await;
            let _ = gone.send(());
            return;
        }
    };
    let end = if answer.contains("\r\n\r\n") {
        ""
    } else {
        "connection: close\r\n\r\n"
    };
    let _ = stream.write_all(format!("{answer}{end}").as_bytes()).await;
}
