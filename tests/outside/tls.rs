//! The way to PostgreSQL: TLS with a server that is who it says, and several hosts of which one is
//! the primary. The server with a certificate is a private cluster of this test.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use super::harness::process::{Ended, Env, run};
use super::harness::within;
use super::harness::world::free_port;

/// Where PostgreSQL's programs are, newest first.
fn programs() -> Option<PathBuf> {
    let all = fs::read_dir("/usr/lib/postgresql").ok()?;
    let mut bins: Vec<_> = all
        .filter_map(|entry| Some(entry.ok()?.path().join("bin")))
        .filter(|bin| bin.join("initdb").is_file() && bin.join("postgres").is_file())
        .collect();
    bins.sort();
    bins.pop()
}

/// One id of the account that the server runs as; PostgreSQL refuses root.
fn account(which: &str) -> Option<u32> {
    let asked = |name: &str| {
        let said = Command::new("id").args([which, name]).output().ok()?;
        String::from_utf8(said.stdout).ok()?.trim().parse().ok()
    };
    asked("postgres").or_else(|| asked("nobody"))
}

fn is_root() -> bool {
    let said = Command::new("id").arg("-u").output();
    said.is_ok_and(|it| it.stdout == b"0\n")
}

/// A command in the server's account.
fn as_server(program: &Path, dir: &Path) -> Command {
    let mut command = if is_root() {
        let (user, group) = (account("-u").unwrap(), account("-g").unwrap());
        let mut command = Command::new("setpriv");
        command.args([format!("--reuid={user}"), format!("--regid={group}")]);
        command.arg("--clear-groups").arg(program);
        command
    } else {
        Command::new(program)
    };
    command.current_dir(dir).env("HOME", dir);
    command.stdout(Stdio::null()).stderr(Stdio::null());
    command
}

/// A private server, ended by its own handle.
struct Cluster {
    dir: PathBuf,
    port: u16,
    server: Child,
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // SIGINT: a fast stop; SIGKILL would leave its shared memory behind
        let told = Command::new("kill")
            .args(["-INT", &self.server.id().to_string()])
            .status();
        if !told.is_ok_and(|it| it.success()) {
            let _ = self.server.kill();
        }
        let _ = self.server.wait();
        let _ = fs::remove_dir_all(&self.dir);
    }
}

/// PEM of what is in a certificate or a key.
fn pem(kind: &str, der: &[u8]) -> String {
    use base64::Engine as _;
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    let mut lines = vec![format!("-----BEGIN {kind}-----")];
    let bytes = text.as_bytes().chunks(64);
    lines.extend(bytes.map(|it| String::from_utf8_lossy(it).into_owned()));
    lines.push(format!("-----END {kind}-----\n"));
    lines.join("\n")
}

/// Two authorities; the server's certificate is by the first, for `localhost`.
fn certificates(dir: &Path) {
    let authority = || {
        let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        (
            pem("CERTIFICATE", certificate.der()),
            rcgen::Issuer::new(params, key),
        )
    };
    let ((ours, issuer), (theirs, _)) = (authority(), authority());
    let key = rcgen::KeyPair::generate().unwrap();
    let params = rcgen::CertificateParams::new(vec!["localhost".into()]).unwrap();
    let certificate = params.signed_by(&key, &issuer).unwrap();
    for (name, text) in [
        ("ours.pem", ours),
        ("theirs.pem", theirs),
        ("server.pem", pem("CERTIFICATE", certificate.der())),
        ("server.key", pem("PRIVATE KEY", &key.serialize_der())),
    ] {
        fs::write(dir.join(name), text).unwrap();
    }
}

impl Cluster {
    async fn start() -> Option<Self> {
        let bin = programs()?;
        let dir = std::env::temp_dir().join(format!("paylink_tls_{}", std::process::id()));
        fs::create_dir_all(dir.join("socket")).unwrap();
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o755)).unwrap();
        certificates(&dir);
        fs::create_dir(dir.join("data")).unwrap();
        fs::set_permissions(dir.join("server.key"), fs::Permissions::from_mode(0o600)).unwrap();
        if is_root() {
            for name in ["data", "socket", "server.key"] {
                chown(dir.join(name), account("-u"), account("-g")).unwrap();
            }
        }
        let data = dir.join("data");
        let made = as_server(&bin.join("initdb"), &dir)
            .arg(format!("--pgdata={}", data.display()))
            .args(["--username=paylink", "--auth=trust", "--encoding=UTF8"])
            .args(["--locale=C", "--no-sync"])
            .status()
            .unwrap();
        assert!(made.success(), "initdb");
        let port = free_port();
        let setting = |name: &str, value: &dyn std::fmt::Display| format!("{name}={value}");
        let mut command = as_server(&bin.join("postgres"), &dir);
        command.arg("-D").arg(&data);
        for option in [
            setting("port", &port),
            setting("listen_addresses", &"localhost"),
            setting("unix_socket_directories", &dir.join("socket").display()),
            setting("ssl", &"on"),
            setting("ssl_cert_file", &dir.join("server.pem").display()),
            setting("ssl_key_file", &dir.join("server.key").display()),
            setting("fsync", &"off"),
        ] {
            command.args(["-c", &option]);
        }
        let server = command.spawn().unwrap();
        let cluster = Self { dir, port, server };
        let plain = cluster.url("localhost", "postgres", "sslmode=disable");
        let up = within(30, async || {
            let answer = tokio_postgres::connect(&plain, tokio_postgres::NoTls).await;
            let (client, connection) = answer.ok()?;
            let carried = tokio::spawn(connection);
            let made = client.batch_execute("CREATE DATABASE paylink").await;
            drop(client);
            let _ = carried.await;
            made.ok()
        });
        up.await.expect("the private PostgreSQL comes up");
        Some(cluster)
    }

    fn url(&self, host: &str, database: &str, query: &str) -> String {
        format!("postgres://paylink@{host}:{}/{database}?{query}", self.port)
    }

    /// `paylink migrate` over a way to this server.
    fn migrates(&self, host: &str, query: &str) -> Ended {
        migrates(&self.url(host, "paylink", query), &self.dir)
    }
}

fn migrates(url: &str, dir: &Path) -> Ended {
    let env: Env = vec![
        ("DATABASE_URL".into(), url.into()),
        (
            "PAYLINK_SECRET".into(),
            "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=".into(),
        ),
    ];
    run(&["migrate"], &env, dir)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_must_be_who_it_says() {
    let Some(cluster) = Cluster::start().await else {
        eprintln!("skipped: no initdb of PostgreSQL is installed");
        return;
    };
    let by = |authority: &str| {
        let file = cluster.dir.join(authority);
        format!("sslmode=verify-full&sslrootcert={}", file.display())
    };
    let good = cluster.migrates("localhost", &by("ours.pem"));
    assert_eq!(good.code, Some(0), "{}", good.stderr);
    // another authority; a name that is not in the certificate
    for (host, authority, word) in [
        ("localhost", "theirs.pem", "certificate"),
        ("127.0.0.1", "ours.pem", "certificate"),
    ] {
        let refused = cluster.migrates(host, &by(authority));
        assert_eq!(refused.code, Some(1), "{host}: {}", refused.stderr);
        assert!(refused.stderr.contains(word), "{host}: {}", refused.stderr);
    }
    for mode in ["require", "prefer", "verify-ca"] {
        let refused = cluster.migrates("localhost", &format!("sslmode={mode}"));
        assert_eq!(refused.code, Some(2), "{mode}: {}", refused.stderr);
        assert!(refused.stderr.contains("sslmode"), "{}", refused.stderr);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_host_may_be_dead() {
    let Some(server) = std::env::var("PAYLINK_TEST_POSTGRES")
        .ok()
        .filter(|it| !it.is_empty())
    else {
        eprintln!("skipped: PAYLINK_TEST_POSTGRES names no server");
        return;
    };
    let dead = free_port();
    let known = url::Url::parse(&server).unwrap();
    let (host, port) = (known.host_str().unwrap(), known.port().unwrap_or(5432));
    let name = format!("paylink_hosts_{}", std::process::id());
    let order = async |statement: String| {
        let (client, connection) = tokio_postgres::connect(&server, tokio_postgres::NoTls)
            .await
            .unwrap();
        let carried = tokio::spawn(connection);
        client.batch_execute(&statement).await.unwrap();
        drop(client);
        carried.await.unwrap().unwrap();
    };
    order(format!("CREATE DATABASE {name}")).await;
    let user = known.username();
    let url = format!(
        "postgres://{user}@127.0.0.1:{dead},{host}:{port}/{name}\
         ?sslmode=disable&target_session_attrs=read-write"
    );
    let dir = std::env::temp_dir();
    let ended = migrates(&url, &dir);
    order(format!("DROP DATABASE {name} WITH (FORCE)")).await;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
}
