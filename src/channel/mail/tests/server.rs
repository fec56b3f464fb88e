//! SMTP servers that do what a test tells them, over real sockets.

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};

use lettre::transport::smtp::extension::ClientId;
use rustls::RootCertStore;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncWrite, AsyncWriteExt as _, BufReader};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

use super::super::{MailSettings, Security, Timeouts};

/// One thing that a server does.
#[derive(Clone, Debug)]
pub(super) enum Act {
    Say(&'static str),
    /// Reads a line, which must begin so.
    Hear(&'static str),
    /// Reads a mail up to its final dot.
    Mail,
    Tls,
    /// Says nothing more until the client goes.
    Stall,
    /// Closes.
    Drop,
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// What the client said, by connection.
pub(super) type Heard = JoinHandle<Vec<Vec<String>>>;

struct Certificate {
    chain: CertificateDer<'static>,
    key: Vec<u8>,
}

fn certificate() -> &'static Certificate {
    static MADE: OnceLock<Certificate> = OnceLock::new();
    MADE.get_or_init(|| {
        let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".into()]).unwrap();
        Certificate {
            chain: made.cert.der().clone(),
            key: made.signing_key.serialize_der(),
        }
    })
}

pub(super) fn roots() -> Arc<RootCertStore> {
    let mut roots = RootCertStore::empty();
    roots.add(certificate().chain.clone()).unwrap();
    Arc::new(roots)
}

fn acceptor() -> TlsAcceptor {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(certificate().key.clone()));
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate().chain.clone()], key)
        .unwrap();
    TlsAcceptor::from(Arc::new(config))
}

/// A server that plays one script per connection, in this order, and then is gone.
pub(super) async fn scripted(scripts: Vec<Vec<Act>>) -> (SocketAddr, Heard) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let heard = tokio::spawn(async move {
        let mut all = Vec::new();
        for script in scripts {
            let (stream, _) = listener.accept().await.unwrap();
            all.push(play(Box::new(stream), script).await);
        }
        all
    });
    (address, heard)
}

async fn play(stream: Box<dyn Stream>, script: Vec<Act>) -> Vec<String> {
    let mut stream = BufReader::new(stream);
    let mut heard = Vec::new();
    for act in script {
        match act {
            Act::Say(words) => stream.write_all(words.as_bytes()).await.unwrap(),
            Act::Hear(start) => {
                let mut line = String::new();
                stream.read_line(&mut line).await.unwrap_or(0);
                assert!(line.starts_with(start), "heard {line:?}, not {start:?}");
                heard.push(line.trim_end().into());
            }
            Act::Mail => heard.push(mail(&mut stream).await),
            Act::Tls => {
                assert!(stream.buffer().is_empty());
                match acceptor().accept(stream.into_inner()).await {
                    Ok(encrypted) => stream = BufReader::new(Box::new(encrypted)),
                    Err(_) => return heard,
                }
            }
            Act::Stall => {
                let mut rest = String::new();
                while stream.read_line(&mut rest).await.unwrap_or(0) > 0 {}
                heard.push(rest);
            }
            Act::Drop => return heard,
        }
    }
    heard
}

async fn mail(stream: &mut BufReader<Box<dyn Stream>>) -> String {
    let mut whole = String::new();
    while !whole.ends_with("\r\n.\r\n") {
        assert!(
            stream.read_line(&mut whole).await.unwrap() > 0,
            "the body ends early"
        );
    }
    whole
}

/// A server that takes every mail and counts connections and mails.
pub(super) async fn willing() -> (SocketAddr, Arc<std::sync::Mutex<(usize, usize)>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let counts = Arc::new(std::sync::Mutex::new((0, 0)));
    let shared = Arc::clone(&counts);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            stream.set_nodelay(true).unwrap();
            shared.lock().unwrap().0 += 1;
            let counts = Arc::clone(&shared);
            tokio::spawn(async move {
                let mut stream: BufReader<Box<dyn Stream>> = BufReader::new(Box::new(stream));
                stream.write_all(b"220 willing\r\n").await.unwrap();
                let mut line = String::new();
                while stream.read_line(&mut line).await.unwrap_or(0) > 0 {
                    let answer: &[u8] = match &line[..4] {
                        "EHLO" => b"250-willing\r\n250 PIPELINING\r\n",
                        "DATA" => {
                            stream.write_all(b"354 go\r\n").await.unwrap();
                            mail(&mut stream).await;
                            counts.lock().unwrap().1 += 1;
                            b"250 queued as 1\r\n"
                        }
                        "QUIT" => b"221 bye\r\n",
                        _ => b"250 ok\r\n",
                    };
                    stream.write_all(answer).await.unwrap();
                    line.clear();
                }
            });
        }
    });
    (address, counts)
}

pub(super) fn settings(address: SocketAddr, security: Security) -> MailSettings {
    MailSettings {
        host: address.ip().to_string(),
        port: address.port(),
        security,
        credentials: None,
        helo: ClientId::Domain("pay.example.com".into()),
        from: "Shop <pay@example.com>".parse().unwrap(),
        reply_to: None,
        roots: roots(),
        timeouts: Timeouts::default(),
        connections: 8,
    }
}
