//! A network that breaks on purpose: a proxy between the service and somebody it talks to, over HTTP
//! or SMTP. A rule picks single requests (by their text, and by their number) and says what happens
//! to them; all else passes. It knows the two protocols as far as their framing, and no meaning.
//!
//! What a rule does depends on nothing but the requests that came, so a run can be repeated.

mod http;
mod smtp;
#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinHandle;

/// What happens to a request that a rule picked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It is passed on after so long.
    Delay(Duration),
    /// It is never passed on, and nobody says anything for so long; then the connection ends.
    Hang(Duration),
    /// The connection is reset before anything of it is passed on.
    ResetBefore,
    /// It is passed on whole; the connection is reset in place of the answer.
    ResetAfter,
    /// Nothing is passed on and no answer comes: our side of the connection is closed, the other
    /// stays open.
    HalfClose,
    /// It is passed on; the answer breaks off after so many bytes.
    Cut(usize),
    /// It is passed on; half of the answer comes, then the connection ends.
    Half,
    /// It is passed on; the answer is a success whose words are none of the protocol's.
    Garbage,
    /// It is passed on twice; the first answer is answered. HTTP only.
    Duplicate,
    /// It is not passed on; this is the answer.
    Status(u16),
    /// It is not passed on; the answer is 429 with so many seconds of `Retry-After`. HTTP only.
    Busy(u64),
    /// It is passed on; the answer comes a byte at a time, and takes so long in all.
    Drip(Duration),
}

/// Which requests meet a fault: those that hold all the words, so many of them after so many.
#[derive(Clone, Debug)]
pub struct Rule {
    /// Every word is in `METHOD /path` + headers + body, or in `STEP recipient`.
    words: Vec<String>,
    skip: u32,
    /// 0: until disarmed.
    times: u32,
    fault: Fault,
}

impl Rule {
    pub fn new(words: &[&str], fault: Fault) -> Self {
        Self {
            words: words.iter().map(|&word| word.to_owned()).collect(),
            skip: 0,
            times: 1,
            fault,
        }
    }

    /// The first `skip` of them pass.
    pub fn after(self, skip: u32) -> Self {
        Self { skip, ..self }
    }

    /// So many meet it; 0 for all until it is disarmed.
    pub fn times(self, times: u32) -> Self {
        Self { times, ..self }
    }

    fn fits(&self, text: &str) -> bool {
        self.words.iter().all(|word| text.contains(word.as_str()))
    }
}

/// One request as it came by.
#[derive(Clone, Debug)]
pub struct Passed {
    /// `METHOD /path`, or `STEP recipient`; `TLS` for one that spoke TLS to this plain proxy.
    pub what: String,
    /// `None`: it met no rule.
    pub fault: Option<Fault>,
    /// How often it was passed on whole.
    pub forwarded: u32,
    /// The status or code that the other side answered.
    pub answered: Option<u16>,
}

#[derive(Default)]
struct Desk {
    rules: Vec<(u64, Rule)>,
    next: u64,
    passed: Vec<Passed>,
    upstream: Option<SocketAddr>,
}

/// What the conversations share.
#[derive(Clone, Default)]
struct Book(Arc<Mutex<Desk>>);

impl Book {
    /// Notes a request and says what is to happen to it, and where it would go.
    fn meets(&self, what: &str, text: &str) -> (usize, Option<Fault>) {
        let mut desk = self.0.lock().unwrap();
        let mut met = None;
        let mut spent = None;
        for (index, (_, rule)) in desk.rules.iter_mut().enumerate() {
            if !rule.fits(text) {
                continue;
            }
            if rule.skip > 0 {
                rule.skip -= 1;
                continue;
            }
            met = Some(rule.fault.clone());
            match rule.times {
                0 => {}
                1 => spent = Some(index),
                _ => rule.times -= 1,
            }
            break;
        }
        if let Some(index) = spent {
            desk.rules.remove(index);
        }
        desk.passed.push(Passed {
            what: what.to_owned(),
            fault: met.clone(),
            forwarded: 0,
            answered: None,
        });
        (desk.passed.len() - 1, met)
    }

    fn forwarded(&self, number: usize, answered: Option<u16>) {
        let mut desk = self.0.lock().unwrap();
        desk.passed[number].forwarded += 1;
        desk.passed[number].answered = desk.passed[number].answered.or(answered);
    }

    async fn upstream(&self) -> std::io::Result<TcpStream> {
        let to = self.0.lock().unwrap().upstream;
        let to = to.ok_or(std::io::ErrorKind::NotConnected)?;
        let stream = TcpStream::connect(to).await?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }
}

#[derive(Clone, Copy)]
enum Speaks {
    Http,
    Smtp,
}

/// A proxy on a port of its own; ends with its handle.
pub struct Proxy {
    pub port: u16,
    /// Bound and never listening: keeps the port while it is closed.
    _held: TcpSocket,
    speaks: Speaks,
    book: Book,
    door: Mutex<Option<JoinHandle<()>>>,
}

impl Proxy {
    pub fn http() -> Self {
        Self::start(Speaks::Http)
    }

    pub fn smtp() -> Self {
        Self::start(Speaks::Smtp)
    }

    fn start(speaks: Speaks) -> Self {
        let held = bound(0);
        let proxy = Self {
            port: held.local_addr().expect("it is bound").port(),
            _held: held,
            speaks,
            book: Book::default(),
            door: Mutex::new(None),
        };
        proxy.accepts();
        proxy
    }

    /// Where everything goes from now on; before this, nowhere.
    pub fn leads_to(&self, port: u16) {
        let to = SocketAddr::from(([127, 0, 0, 1], port));
        self.book.0.lock().unwrap().upstream = Some(to);
    }

    /// The port is closed: connections are refused.
    pub async fn refuses(&self) {
        let door = self.door.lock().unwrap().take();
        if let Some(door) = door {
            door.abort();
            // the listener is closed when its task is gone
            let _ = door.await;
        }
    }

    /// The port is open (again).
    pub fn accepts(&self) {
        let listener = bound(self.port).listen(1024);
        let listener = listener.expect("the proxy holds its port");
        let (book, speaks) = (self.book.clone(), self.speaks);
        let door = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let book = book.clone();
                tokio::spawn(async move {
                    // a cut connection is what this is about
                    let _ = match speaks {
                        Speaks::Http => http::converse(stream, &book).await,
                        Speaks::Smtp => smtp::converse(stream, &book).await,
                    };
                });
            }
        });
        *self.door.lock().unwrap() = Some(door);
    }

    /// Arms a rule; rules are asked in the order in which they were armed.
    pub fn arm(&self, rule: Rule) -> u64 {
        let mut desk = self.book.0.lock().unwrap();
        desk.next += 1;
        let name = desk.next;
        desk.rules.push((name, rule));
        name
    }

    /// Whether the rule was still there: one that counts is gone when it has met all it was to meet.
    pub fn disarm(&self, name: u64) -> bool {
        let mut desk = self.book.0.lock().unwrap();
        let armed = desk.rules.len();
        desk.rules.retain(|(other, _)| *other != name);
        desk.rules.len() < armed
    }

    /// Everything that came by, oldest first.
    pub fn passed(&self) -> Vec<Passed> {
        self.book.0.lock().unwrap().passed.clone()
    }

    /// What came by with `words` in its first line.
    pub fn passed_with(&self, words: &[&str]) -> Vec<Passed> {
        let all = self.passed();
        all.into_iter()
            .filter(|one| words.iter().all(|word| one.what.contains(word)))
            .collect()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        if let Some(door) = self.door.lock().unwrap().take() {
            door.abort();
        }
    }
}

/// Ends a connection with a reset.
fn reset(stream: TcpStream) -> std::io::Result<()> {
    stream.set_zero_linger()?;
    drop(stream);
    Ok(())
}

/// Sends an answer a byte at a time.
async fn drip(stream: &mut TcpStream, bytes: &[u8], all: Duration) -> std::io::Result<()> {
    let pause = all / u32::try_from(bytes.len().max(1)).unwrap_or(u32::MAX);
    let begun = tokio::time::Instant::now();
    for (number, byte) in (1..).zip(bytes) {
        stream.write_all(std::slice::from_ref(byte)).await?;
        // by the clock, so that the timer's grain doesn't add up
        tokio::time::sleep_until(begun + pause * number).await;
    }
    Ok(())
}

/// Half an answer's end, and the connection's.
async fn breaks_off(mut stream: TcpStream, bytes: &[u8]) -> std::io::Result<()> {
    stream.write_all(bytes).await?;
    stream.shutdown().await
}

/// A socket that shares its port with others of this process.
fn bound(port: u16) -> TcpSocket {
    let socket = TcpSocket::new_v4().expect("there are sockets");
    socket.set_reuseport(true).expect("ports can be shared");
    let here = SocketAddr::from(([127, 0, 0, 1], port));
    socket
        .bind(here)
        .expect("the port is ours, or any free one");
    socket
}
