//! Private PostgreSQL clusters that may be killed: made with `initdb`, with `fsync` on, each on a
//! port of its own, ended by its own handle, and removed with its directory.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use crate::outside::harness::world::free_port;

static CLUSTERS: AtomicU32 = AtomicU32::new(0);

pub struct Cluster {
    bin: PathBuf,
    dir: PathBuf,
    port: u16,
    options: Vec<String>,
    server: Option<Child>,
}

impl Cluster {
    /// A new cluster that answers; `None`, and a line that says so, where PostgreSQL's server is
    /// not installed.
    pub async fn start() -> Option<Self> {
        Self::with(&[]).await
    }

    /// The same with settings such as `wal_level=replica`.
    pub async fn with(settings: &[&str]) -> Option<Self> {
        let Some(bin) = bin() else {
            eprintln!("skipped: there is no initdb");
            return None;
        };
        let mut cluster = Self::made(bin);
        let data = cluster.data();
        cluster.options = settings.iter().map(|it| (*it).to_owned()).collect();
        cluster.program(
            "initdb",
            &[
                &format!("--pgdata={}", data.display()),
                "--username=paylink",
                "--auth=trust",
                "--encoding=UTF8",
                "--locale=C",
                "--no-sync",
            ],
        );
        cluster.restart().await;
        Some(cluster)
    }

    /// A standby of this cluster on that port, streaming from it under that name.
    pub async fn standby(&self, name: &str, port: u16) -> Self {
        let mut standby = Self::made(self.bin.clone());
        standby.port = port;
        standby.options.clone_from(&self.options);
        standby.program(
            "pg_basebackup",
            &[
                "--pgdata",
                &standby.data().display().to_string(),
                "--dbname",
                &format!(
                    "host=127.0.0.1 port={} user=paylink application_name={name}",
                    self.port
                ),
                "--write-recovery-conf",
                "--checkpoint=fast",
                "--wal-method=stream",
                "--no-sync",
            ],
        );
        standby.restart().await;
        standby
    }

    fn made(bin: PathBuf) -> Self {
        let number = CLUSTERS.fetch_add(1, Ordering::Relaxed);
        let name = format!("paylink-cluster-{}-{number}", std::process::id());
        let dir = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&dir).expect("a directory for the cluster");
        if is_root() {
            let owner = format!("{}:", server_account());
            let dir = dir.display().to_string();
            let given = Command::new("chown").args([&owner, &dir]).status();
            assert!(given.is_ok_and(|it| it.success()), "chown {owner} {dir}");
        }
        Self {
            bin,
            dir,
            port: free_port(),
            options: Vec::new(),
            server: None,
        }
    }

    fn data(&self) -> PathBuf {
        self.dir.join("data")
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// Where its first database is.
    pub fn url(&self) -> String {
        format!(
            "postgres://paylink@127.0.0.1:{}/postgres?sslmode=disable",
            self.port
        )
    }

    /// A program of PostgreSQL's, as the account that owns the cluster.
    fn command(&self, program: &str) -> Command {
        let program = self.bin.join(program);
        let mut command = if is_root() {
            let account = server_account();
            let mut command = Command::new("setpriv");
            command
                .args(["--reuid", account, "--regid", account, "--clear-groups"])
                .arg(program);
            command
        } else {
            Command::new(program)
        };
        command.current_dir(&self.dir).env("HOME", &self.dir);
        command
    }

    fn program(&self, program: &str, args: &[&str]) {
        let mut command = self.command(program);
        let ended = command.args(args).output().expect("the program starts");
        assert!(
            ended.status.success(),
            "{program} {args:?}: {}{}",
            String::from_utf8_lossy(&ended.stdout),
            String::from_utf8_lossy(&ended.stderr)
        );
    }

    /// SIGKILL of the postmaster. Its children notice that it is gone and end.
    pub fn kill(&mut self) {
        let mut server = self.server.take().expect("the server runs");
        server.kill().expect("the postmaster can be killed");
        server.wait().expect("the postmaster ends");
    }

    /// Starts the server and waits until it answers: after a kill, until the last child of its
    /// predecessor is gone and the log is replayed.
    pub async fn restart(&mut self) {
        let deadline = Instant::now() + Duration::from_mins(1);
        while Instant::now() < deadline {
            if self.server.as_mut().is_none_or(has_ended) {
                self.server = Some(self.launch());
            }
            if self.answers().await {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let log = std::fs::read_to_string(self.dir.join("log")).unwrap_or_default();
        panic!("PostgreSQL does not come up: {log}");
    }

    fn launch(&self) -> Child {
        let log = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.dir.join("log"))
            .expect("a log for the server");
        let mut command = self.command("postgres");
        command.arg("-D").arg(self.data());
        command.args(["-p", &self.port.to_string()]);
        let own = [
            "listen_addresses=127.0.0.1",
            "max_connections=100",
            "lc_messages=C",
            "fsync=on",
        ];
        for setting in own
            .iter()
            .copied()
            .chain(self.options.iter().map(String::as_str))
        {
            command.args(["-c", setting]);
        }
        let sockets = format!("unix_socket_directories={}", self.dir.display());
        command.args(["-c", &sockets]);
        let err = log.try_clone().expect("a second handle");
        command.stdin(Stdio::null()).stdout(log).stderr(err);
        command.spawn().expect("postgres starts")
    }

    /// The first column of the first row.
    pub async fn asks(&self, select: &str) -> String {
        let (session, connection) = tokio_postgres::connect(&self.url(), tokio_postgres::NoTls)
            .await
            .expect("the cluster answers");
        let carried = tokio::spawn(connection);
        let rows = session.simple_query(select).await.expect(select);
        let said = rows.iter().find_map(|row| match row {
            tokio_postgres::SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
            _ => None,
        });
        drop(session);
        let _ = carried.await;
        said.unwrap_or_default()
    }

    async fn answers(&self) -> bool {
        let Ok((session, connection)) =
            tokio_postgres::connect(&self.url(), tokio_postgres::NoTls).await
        else {
            return false;
        };
        let carried = tokio::spawn(connection);
        let answered = session.simple_query("SELECT 1").await.is_ok();
        drop(session);
        // how the connection ends changes nothing of what was read
        let _ = carried.await;
        answered
    }

    /// One or more statements, outside of any transaction.
    pub async fn runs(&self, statements: &[&str]) {
        let (session, connection) = tokio_postgres::connect(&self.url(), tokio_postgres::NoTls)
            .await
            .expect("the cluster answers");
        let carried = tokio::spawn(connection);
        for statement in statements {
            session
                .batch_execute(statement)
                .await
                .unwrap_or_else(|error| panic!("{statement}: {error:?}"));
        }
        drop(session);
        let _ = carried.await;
    }

    /// The standby becomes the primary.
    pub fn promote(&self) {
        let data = self.data().display().to_string();
        self.program("pg_ctl", &["--pgdata", &data, "--wait", "promote"]);
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if let Some(mut server) = self.server.take() {
            // SIGQUIT is the immediate shutdown: the children end with it
            let pid = server.id().to_string();
            let _ = Command::new("kill").args(["-QUIT", &pid]).status();
            let deadline = Instant::now() + Duration::from_secs(10);
            while !has_ended(&mut server) && Instant::now() < deadline {
                std::thread::sleep(Duration::from_millis(10));
            }
            let _ = server.kill();
            let _ = server.wait();
        }
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

fn has_ended(server: &mut Child) -> bool {
    server.try_wait().is_ok_and(|status| status.is_some())
}

/// Where the server's programs are: beside `initdb` of the path, or where Debian puts them.
fn bin() -> Option<PathBuf> {
    let has = |dir: &Path| dir.join("initdb").exists() && dir.join("postgres").exists();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let of_path = std::env::split_paths(&path).filter_map(|dir| {
        let real = std::fs::canonicalize(dir.join("initdb")).ok()?;
        Some(real.parent()?.to_owned())
    });
    let mut packaged: Vec<_> = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path().join("bin")))
        .collect();
    packaged.sort();
    of_path.chain(packaged).find(|dir| has(dir))
}

/// PostgreSQL refuses to run as root; an unprivileged account of the system does it then.
fn is_root() -> bool {
    let id = Command::new("id").arg("-u").output();
    id.is_ok_and(|it| it.stdout.trim_ascii() == b"0")
}

fn server_account() -> &'static str {
    let known = Command::new("id").arg("postgres").output();
    if known.is_ok_and(|it| it.status.success()) {
        "postgres"
    } else {
        "nobody"
    }
}
