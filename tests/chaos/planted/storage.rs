//! Bugs by which the database is believed to hold what it does not, or the other way round.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::block_in_place;

use super::{Seen, a_while, created, pauses, posted, sale_to, text, until, wrong};
use crate::chaos::lives::{LONG, Place};
use crate::outside::harness::world::free_port;
use crate::outside::harness::{Caller, phone, sale};

fn runs(command: &str, args: &[&str]) -> bool {
    let done = Command::new(command).args(args).output();
    done.is_ok_and(|it| it.status.success())
}

/// Whether this machine lets us mount a file as a disk.
pub fn power_can_fail() -> bool {
    Path::new("/dev/loop-control").exists()
        && runs(
            "sh",
            &[
                "-c",
                "test $(id -u) = 0 && command -v mkfs.ext4 && command -v mount",
            ],
        )
}

/// A disk in a file. What the file system above it has not flushed is not in the file: its copy is
/// what a disk holds whose power failed.
struct Disk {
    at: PathBuf,
    file: PathBuf,
}

impl Disk {
    fn is_new(dir: &Path) -> Option<Self> {
        let disk = Self {
            at: dir.join("disk"),
            file: dir.join("disk.img"),
        };
        std::fs::create_dir_all(&disk.at).ok()?;
        let file = disk.file.display().to_string();
        (runs("truncate", &["-s", "64M", &file])
            && runs("mkfs.ext4", &["-q", "-F", &file])
            && disk.is_mounted())
        .then_some(disk)
    }

    fn is_mounted(&self) -> bool {
        let (file, at) = (
            self.file.display().to_string(),
            self.at.display().to_string(),
        );
        runs("mount", &["-o", "loop", &file, &at])
    }

    /// The power fails now. `true`: it is back.
    fn loses_power(&self, meanwhile: impl FnOnce()) -> bool {
        let (file, at) = (
            self.file.display().to_string(),
            self.at.display().to_string(),
        );
        let rest = format!("{file}.after");
        let copied = runs("cp", &["--sparse=always", &file, &rest]);
        meanwhile();
        copied && runs("umount", &[&at]) && runs("mv", &[&rest, &file]) && self.is_mounted()
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        runs("umount", &["-l", &self.at.display().to_string()]);
    }
}

/// Links are acknowledged on a disk whose power then fails.
pub async fn synchronous_normal(place: &Place) -> Seen {
    let Some(disk) = Disk::is_new(&place.world.dir) else {
        return wrong("no disk");
    };
    let url = format!("sqlite://{}", disk.at.join("paylink.db").display());
    let on_it = [("DATABASE_URL", url.as_str())];
    let ended = block_in_place(|| {
        let create = ["keys", "create", "--name", "power", "--role", "admin"];
        place.started(&create, &on_it).wait(LONG)
    });
    let who = Caller {
        key: Some(ended.stdout.trim().to_owned()),
        ..place.world.stranger()
    };
    place.starts(&on_it);
    runs("sync", &[]);
    let mut acknowledged = Vec::new();
    for _ in 0..5 {
        let sale = sale();
        let answer = place.asks(|| who.sends(&sale)).await?;
        if answer.status != 201 {
            return wrong(answer.text());
        }
        acknowledged.push(text(&answer.json(), "id").to_owned());
    }
    // nothing more is written while the copy is made
    place.signal("-STOP");
    let is_back = block_in_place(|| disk.loses_power(|| drop(place.is_killed())));
    if !is_back || !place.starts(&on_it) {
        return wrong(format!("it does not come back: {}", place.log()));
    }
    let mut lost = Vec::new();
    for id in acknowledged {
        let path = format!("/v1/links/{id}");
        let answer = place.asks(|| who.get(&path)).await?;
        if answer.status != 200 {
            lost.push(id);
        }
    }
    place.is_killed();
    Ok(match lost.len() {
        0 => Vec::new(),
        count => vec![format!(
            "{count} of 5 links were acknowledged and lost with the power"
        )],
    })
}

/// A create has read and not written yet when an operator's shell writes.
pub async fn deferred_begin(place: &Place) -> Seen {
    place.starts(&[("PAYLINK_PAUSE_AT", "create.weighed")]);
    let answer = posted(place, &sale());
    pauses(place).await?;
    let file = place.database_file();
    block_in_place(|| {
        let mut shell = SqliteConnection::establish(&file).expect("the database");
        // where the service has the lock, the shell is the one who is told to wait
        let _ =
            shell.batch_execute("PRAGMA busy_timeout = 100; UPDATE api_key SET name = name || '.'");
    });
    place.signal("-CONT");
    Ok(match answer.await {
        Ok(Ok(answer)) if matches!(answer.status, 201 | 202) => Vec::new(),
        Ok(Ok(answer)) => vec![format!(
            "a create was refused because another process wrote: {} {}",
            answer.status,
            answer.text()
        )],
        other => return wrong(format!("no answer: {other:?}")),
    })
}

/// One process has named its events and is slow to commit them; another's come first; somebody
/// follows the stream.
pub async fn events_by_id(place: &Place) -> Seen {
    place.starts(&[("PAYLINK_PAUSE_AT", "create.weighed")]);
    let slow = posted(place, &sale());
    pauses(place).await?;
    let listen = format!("127.0.0.1:{}", free_port());
    let mut other = place.started(&["serve"], &[("PAYLINK_LISTEN", &listen)]);
    let Some(base) = block_in_place(|| other.tries_to_listen()) else {
        return wrong(other.stderr());
    };
    let who = Caller {
        base,
        ..place.admin.clone()
    };
    let quick = who.sends(&sale()).await.expect(201).json();
    let mut reader = Reader {
        who,
        cursor: "0".to_owned(),
        seen: BTreeSet::new(),
    };
    until("the quick one's events are seen", async || {
        reader.reads_on().await;
        reader.seen.iter().any(|(_, link)| *link == quick["id"])
    })
    .await?;
    place.signal("-CONT");
    let slow = match slow.await {
        Ok(Ok(answer)) => answer.expect(201).json(),
        other => return wrong(format!("no answer: {other:?}")),
    };
    // the relay is woken by the commit, or else comes within 200 ms
    for _ in 0..10 {
        a_while(100).await;
        reader.reads_on().await;
    }
    drop(other.crash());
    let of = format!(
        "SELECT count(*) AS it FROM event WHERE link = '{}'",
        text(&slow, "id")
    );
    let all = place.number(&of).await;
    let seen = reader
        .seen
        .iter()
        .filter(|(_, link)| *link == slow["id"])
        .count();
    let missed = all - i64::try_from(seen).unwrap_or(0);
    Ok(match missed {
        0 => Vec::new(),
        missed => vec![format!(
            "{missed} of {all} events of a link were never seen by who followed the stream"
        )],
    })
}

/// Somebody who follows the stream by its cursor.
struct Reader {
    who: Caller,
    cursor: String,
    /// Event and link.
    seen: BTreeSet<(String, String)>,
}

impl Reader {
    async fn reads_on(&mut self) {
        let path = format!("/v1/events?limit=100&after={}", self.cursor);
        let page = self.who.get(&path).await.expect(200).json();
        let events = page["data"].as_array().into_iter().flatten();
        self.seen
            .extend(events.map(|it| (text(it, "id").to_owned(), text(it, "link").to_owned())));
        text(&page, "next_cursor").clone_into(&mut self.cursor);
    }
}

/// A closure panics in the writer; then a link is acknowledged, and the service is killed.
pub async fn shared_savepoints(place: &Place) -> Seen {
    place.starts(&[("PAYLINK_PANIC_AT", "deliver.decided")]);
    created(place, &sale_to("sms", &phone())).await?;
    until("it panics", async || {
        place.log().contains("chaos: panics at")
    })
    .await?;
    let sale = sale();
    let answer = place.asks(|| place.admin.sends(&sale)).await?;
    if answer.status != 201 {
        return wrong(answer.text());
    }
    place.is_killed();
    place.starts(&[]);
    let path = format!("/v1/links/{}", text(&answer.json(), "id"));
    let kept = place.asks(|| place.admin.get(&path)).await?.status;
    Ok(match kept {
        200 => Vec::new(),
        status => vec![format!(
            "a link was acknowledged and lost: {status} after a kill"
        )],
    })
}

/// The connection of a COMMIT is cut while the server is still at it, which takes a while.
pub async fn plain_lookup(place: &Place) -> Seen {
    place
        .sql(
            "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS \
             $$ BEGIN PERFORM pg_sleep(1.5); RETURN NULL; END $$; \
             CREATE CONSTRAINT TRIGGER slow AFTER INSERT ON link DEFERRABLE INITIALLY DEFERRED \
             FOR EACH ROW EXECUTE FUNCTION slow()",
        )
        .await;
    let armed = Arc::new(AtomicBool::new(false));
    let url = cuts_commits(place, Arc::clone(&armed)).await;
    place.starts(&[("DATABASE_URL", &url)]);
    armed.store(true, Ordering::SeqCst);
    let sale = sale();
    let Ok(answer) = place.admin.sends(&sale).idempotent("once").attempt().await else {
        return wrong("no answer");
    };
    if armed.load(Ordering::SeqCst) {
        return wrong("no COMMIT was cut");
    }
    let stored = place.number("SELECT count(*) AS it FROM link").await;
    Ok(match (answer.status, stored) {
        (201 | 202, 1) => Vec::new(),
        (status, stored) => vec![format!(
            "the sale is stored {stored} times, and its caller was told {status} {}",
            answer.text()
        )],
    })
}

/// A way to the database that cuts the client's side of the next slow COMMIT once `armed`.
async fn cuts_commits(place: &Place, armed: Arc<AtomicBool>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let port = listener.local_addr().expect("an address").port();
    let (_, direct) = place
        .world
        .env
        .iter()
        .find(|(name, _)| name == "DATABASE_URL")
        .expect("it is set");
    let mut url = url::Url::parse(direct).expect("a URL");
    let server = format!("127.0.0.1:{}", url.port().unwrap_or(5432));
    url.set_port(Some(port)).expect("a port");
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let server = TcpStream::connect(&server).await.expect("PostgreSQL");
            tokio::spawn(passes(client, server, Arc::clone(&armed)));
        }
    });
    url.into()
}

async fn passes(client: TcpStream, server: TcpStream, armed: Arc<AtomicBool>) {
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let back = tokio::spawn(async move {
        let _ = tokio::io::copy(&mut from_server, &mut to_client).await;
    });
    let mut inserts = false;
    let mut bytes = vec![0; 65_536];
    while let Ok(length @ 1..) = from_client.read(&mut bytes).await {
        let has = |words: &[u8]| bytes[..length].windows(words.len()).any(|it| it == words);
        // of the transaction that stores the link
        inserts |= has(b"INSERT INTO \"link\"");
        if to_server.write_all(&bytes[..length]).await.is_err() {
            break;
        }
        if has(b"COMMIT\0") {
            if inserts && armed.swap(false, Ordering::SeqCst) {
                back.abort();
                // our half to the server stays open until it has done what it was told
                drop(from_client);
                tokio::time::sleep(Duration::from_secs(4)).await;
                return;
            }
            inserts = false;
        }
    }
    back.abort();
}
