//! A TCP server that plays one part per connection and remembers what it was sent.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use secrecy::SecretString;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use url::Url;

use crate::clock::Clock;
use crate::klarna::{Klarna, KlarnaSettings};
use crate::random::Random;

pub(super) enum Part {
    /// Reads the request, writes these bytes, closes.
    Say(Vec<u8>),
    /// Reads the request and never answers.
    Hang,
    /// Closes without reading: the kernel sends a reset.
    Reset,
    /// Reads the request and closes without a word.
    Close,
}

pub(super) struct Stub {
    pub(super) url: Url,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Stub {
    /// Plays `parts`, one connection each, then the last one for ever.
    pub(super) async fn new(parts: Vec<Part>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let requests = Arc::new(Mutex::new(Vec::new()));
        let seen = requests.clone();
        tokio::spawn(async move {
            let mut held = Vec::new();
            for part in 0.. {
                let (mut stream, _) = listener.accept().await.unwrap();
                match &parts[part.min(parts.len() - 1)] {
                    Part::Reset => {
                        // one byte read, the rest left: closing now resets
                        stream.read_u8().await.unwrap();
                        stream.set_zero_linger().unwrap();
                    }
                    other => {
                        let request = request(&mut stream).await;
                        seen.lock().unwrap().push(request);
                        match other {
                            Part::Say(bytes) => {
                                // the client may hang up on a long answer
                                let _ = stream.write_all(bytes).await;
                                let _ = stream.shutdown().await;
                            }
                            Part::Hang => held.push(stream),
                            Part::Close | Part::Reset => {}
                        }
                    }
                }
            }
        });
        Self {
            url: url.parse().unwrap(),
            requests,
        }
    }

    pub(super) async fn saying(status: u16, body: &str) -> Self {
        Self::new(vec![say(status, "", body)]).await
    }

    pub(super) fn settings(&self) -> KlarnaSettings {
        let password = SecretString::from("s3cret");
        let mut settings = KlarnaSettings::new(self.url.clone(), "shop".into(), password);
        settings.timeout = Duration::from_secs(5);
        settings.public_url = "https://pay.example.com".into();
        settings.terms_url = "https://example.com/terms".into();
        settings.validation_url = true;
        settings
    }

    pub(super) fn client(&self) -> Klarna {
        client(self.settings(), &clock())
    }

    pub(super) fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }

    /// The JSON body of the only request.
    pub(super) fn body(&self) -> Value {
        let requests = self.requests();
        let (_, body) = requests[0].split_once("\r\n\r\n").unwrap();
        serde_json::from_str(body).unwrap()
    }
}

pub(super) fn clock() -> Clock {
    Clock::manual("2026-11-23T09:00:00Z".parse().unwrap())
}

pub(super) fn client(settings: KlarnaSettings, clock: &Clock) -> Klarna {
    Klarna::new(settings, clock.clone(), Random::seeded(1)).unwrap()
}

pub(super) fn say(status: u16, headers: &str, body: &str) -> Part {
    raw(status, headers, body.as_bytes())
}

pub(super) fn raw(status: u16, headers: &str, body: &[u8]) -> Part {
    let head = format!(
        "HTTP/1.1 {status} X\r\ncontent-length: {}\r\nconnection: close\r\n{headers}\r\n",
        body.len()
    );
    Part::Say([head.as_bytes(), body].concat())
}

async fn request(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes);
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head
                .lines()
                .find_map(|line| {
                    line.to_ascii_lowercase()
                        .strip_prefix("content-length: ")?
                        .parse()
                        .ok()
                })
                .unwrap_or(0);
            if body.len() >= length {
                return text.into_owned();
            }
        }
        let mut chunk = [0; 4096];
        match stream.read(&mut chunk).await {
            Ok(0) | Err(_) => return String::from_utf8_lossy(&bytes).into_owned(),
            Ok(read) => bytes.extend_from_slice(&chunk[..read]),
        }
    }
}
