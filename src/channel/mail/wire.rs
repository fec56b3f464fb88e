//! Lines and replies of SMTP (RFC 5321, 4.2). Knows no order of commands.

use std::fmt;
use std::io;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

/// A whole reply is read up to this length (postfix's `smtp_response_limit` is about that).
const REPLY: usize = 64 * 1024;

/// A server's answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reply {
    pub(super) code: u16,
    /// The text of each line, without the code.
    pub(super) lines: Vec<String>,
}

impl Reply {
    /// 4xx and 5xx: the server says that it has not done it.
    pub(super) fn is_negative(&self) -> bool {
        (400..600).contains(&self.code)
    }

    /// The queue's name for an accepted mail, as postfix (`queued as X`) and Exim (`id=X`) say it.
    pub(super) fn queue_id(&self) -> Option<String> {
        let words: Vec<&str> = self
            .lines
            .iter()
            .flat_map(|line| line.split_whitespace())
            .collect();
        let postfix = words
            .windows(3)
            .find(|words| words[..2] == ["queued", "as"])
            .map(|words| words[2]);
        let exim = || words.iter().find_map(|word| word.strip_prefix("id="));
        postfix
            .or_else(exim)
            .filter(|id| id.len() <= 255)
            .map(Into::into)
    }
}

impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.code)?;
        self.lines.iter().try_for_each(|line| write!(f, " {line}"))
    }
}

/// A connection with what was read from it and not yet understood.
pub(super) struct Wire<S> {
    stream: S,
    unread: Vec<u8>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Wire<S> {
    pub(super) fn new(stream: S) -> Self {
        Self {
            stream,
            unread: Vec::new(),
        }
    }

    /// Writes all of `bytes`. Fails where the server spoke without being asked: its words would be
    /// taken for the answer.
    pub(super) async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.is_quiet()?;
        self.stream.write_all(bytes).await?;
        self.stream.flush().await
    }

    fn is_quiet(&self) -> io::Result<()> {
        if self.unread.is_empty() {
            Ok(())
        } else {
            Err(garbage("the server spoke out of turn"))
        }
    }

    /// The stream itself, to be encrypted. Clear text that came behind the answer to STARTTLS would
    /// be taken for part of the encrypted session (CVE-2011-0411 and its kin): what was already read is an
    /// error here, and what was not is met by the TLS handshake, which fails on it.
    pub(super) fn into_stream(self) -> io::Result<S> {
        self.is_quiet()?;
        Ok(self.stream)
    }

    /// The next reply. Text that is not UTF-8 is read as far as it goes.
    pub(super) async fn reply(&mut self) -> io::Result<Reply> {
        let mut lines = Vec::new();
        let (mut first, mut read) = (None, 0);
        loop {
            let line = self.line().await?;
            read += line.len();
            if read > REPLY {
                return Err(garbage("the server's answer is too long"));
            }
            let code = line
                .get(..3)
                .filter(|code| code.iter().all(u8::is_ascii_digit))
                .and_then(|code| std::str::from_utf8(code).ok()?.parse().ok())
                .filter(|code| (200..600).contains(code))
                .ok_or_else(|| garbage("the server's answer is not SMTP"))?;
            if *first.get_or_insert(code) != code {
                return Err(garbage("the lines of the server's answer disagree"));
            }
            lines.push(String::from_utf8_lossy(line.get(4..).unwrap_or_default()).into_owned());
            match line.get(3) {
                Some(b'-') => {}
                Some(b' ') | None => return Ok(Reply { code, lines }),
                Some(_) => return Err(garbage("the server's answer is not SMTP")),
            }
        }
    }

    /// One line without its end.
    async fn line(&mut self) -> io::Result<Vec<u8>> {
        let mut searched = 0;
        loop {
            if let Some(at) = self.unread[searched..]
                .iter()
                .position(|byte| *byte == b'\n')
            {
                let mut line: Vec<u8> = self.unread.drain(..=searched + at).collect();
                line.pop();
                if line.last() == Some(&b'\r') {
                    line.pop();
                }
                return Ok(line);
            }
            searched = self.unread.len();
            if searched > REPLY {
                return Err(garbage("the server's answer is too long"));
            }
            if self.stream.read_buf(&mut self.unread).await? == 0 {
                return Err(io::Error::new(
                    io::ErrorKind::UnexpectedEof,
                    "the server closed the connection",
                ));
            }
        }
    }
}

pub(super) fn garbage(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

/// `message` as DATA carries it (RFC 5321, 4.5.2): dots at line starts doubled, the final dot
/// added. lettre's own codec does this too, but cannot be reached without its connection.
pub(super) fn stuffed(message: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(message.len() + message.len() / 64 + 8);
    for line in message.split_inclusive(|byte| *byte == b'\n') {
        if line.first() == Some(&b'.') {
            out.push(b'.');
        }
        out.extend_from_slice(line);
    }
    if !out.ends_with(b"\r\n") {
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b".\r\n");
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn read(bytes: &'static [u8]) -> io::Result<Reply> {
        let (mut server, client) = tokio::io::duplex(256 * 1024);
        server.write_all(bytes).await.unwrap();
        drop(server);
        Wire::new(client).reply().await
    }

    #[tokio::test]
    async fn replies() {
        let reply = read(b"250-one\r\n250-\r\n250 two \xe4\r\n").await.unwrap();
        assert_eq!(reply.to_string(), "250 one  two \u{fffd}");
        assert_eq!(read(b"250\r\n").await.unwrap().code, 250);
        for broken in [
            &b"250-one\r\n550 two\r\n"[..],
            b"2x0 a\r\n",
            b"99 a\r\n",
            b"999 a\r\n",
            b"250_a\r\n",
            b"250 a",
        ] {
            assert!(read(broken).await.is_err());
        }
        let endless: &'static [u8] = vec![b'2'; 100_000].leak();
        assert!(read(endless).await.is_err());
        let endless: &'static [u8] = b"250-x\r\n".repeat(20_000).leak();
        assert!(read(endless).await.is_err());
    }

    #[test]
    fn queue_ids() {
        let id = |text: &str| {
            Reply {
                code: 250,
                lines: vec![text.into()],
            }
            .queue_id()
        };
        assert_eq!(id("2.0.0 Ok: queued as 4XyZ").as_deref(), Some("4XyZ"));
        assert_eq!(id("OK id=1abc-0001").as_deref(), Some("1abc-0001"));
        assert_eq!(id("OK"), None);
    }

    #[test]
    fn dots_are_doubled_at_line_starts_only() {
        assert_eq!(stuffed(b".a\r\n..\r\nb.\r\n"), b"..a\r\n...\r\nb.\r\n.\r\n");
        assert_eq!(stuffed(b"a"), b"a\r\n.\r\n");
        // a lone LF counts as a line's end for servers that are lax about it
        assert_eq!(stuffed(b"a\n.\nb"), b"a\n..\nb\r\n.\r\n");
    }
}
