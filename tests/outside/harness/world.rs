//! One world: a simulator, a serving process over its own database, a mail server, an SMS gateway,
//! and the people who hold keys.

use std::collections::HashMap;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use serde_json::Value;

use super::database::{Database, order_postgres};
use super::gateway::Gateway;
use super::http::{Caller, Seen, client};
use super::law;
use super::mail::MailServer;
use super::process::{Ended, Env, Process, run};
use super::simulator::Klarna;

/// One story of a group: an async function over the shared world.
pub type Story = for<'a> fn(&'a World) -> Pin<Box<dyn Future<Output = ()> + 'a>>;

static WORLDS: AtomicU32 = AtomicU32::new(0);

/// What a world is to be like. Settings given here replace the usual ones; an empty value
/// removes one.
#[derive(Clone, Default)]
pub struct WorldPlan {
    settings: Vec<(String, String)>,
    postgres: Option<String>,
    no_sinks: bool,
    idle: bool,
    no_worker: bool,
}

impl WorldPlan {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.settings.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Neither mail nor SMS is configured.
    pub fn without_channels(mut self) -> Self {
        self.no_sinks = true;
        self
    }

    /// The service leaves the work to other processes.
    pub fn without_worker(mut self) -> Self {
        self.no_worker = true;
        self
    }

    pub fn on_sqlite(self) -> Self {
        self
    }

    pub fn on_postgres(mut self) -> Option<Self> {
        self.postgres = Some(
            std::env::var("PAYLINK_TEST_POSTGRES")
                .ok()
                .filter(|url| !url.is_empty())?,
        );
        Some(self)
    }

    /// On the PostgreSQL server of that URL.
    pub fn on_server(mut self, url: &str) -> Self {
        self.postgres = Some(url.to_owned());
        self
    }

    /// Nothing serves yet: the caller starts its own processes on the world's settings.
    pub fn idle(mut self) -> Self {
        self.idle = true;
        self
    }

    pub async fn start(self) -> World {
        let number = WORLDS.fetch_add(1, Ordering::Relaxed);
        let name = format!("paylink_outside_{}_{number}", std::process::id());
        let dir = std::env::temp_dir().join(&name);
        std::fs::create_dir_all(&dir).expect("a directory for the world");
        let (mail, sms) = (MailServer::start().await, Gateway::start().await);
        let mut simulator = Process::start(
            &[
                "simulate",
                "--listen",
                "127.0.0.1:0",
                "--callback-delay-scale",
                "0.001",
            ],
            &Env::new(),
            &dir,
        );
        let http = client();
        let klarna = Klarna {
            base: simulator.listening(),
            http: http.clone(),
        };
        let database = match &self.postgres {
            None => Database::Sqlite(format!("sqlite://{}", dir.join("paylink.db").display())),
            Some(server) => Database::created(server, &name).await,
        };
        let listen = format!("127.0.0.1:{}", free_port());
        let base = format!("http://{listen}");
        let mut env = Env::new();
        let mut set = |name: &str, value: &str| {
            env.retain(|(known, _)| known != name);
            if !value.is_empty() {
                env.push((name.to_owned(), value.to_owned()));
            }
        };
        set("PAYLINK_LISTEN", &listen);
        set("PAYLINK_ALLOW_SIMULATOR", "1");
        set("DATABASE_URL", database.url());
        set("KLARNA_API_URL", &klarna.base);
        set("KLARNA_USERNAME", "sim");
        set("KLARNA_PASSWORD", "sim");
        set("MERCHANT_NAME", "Acme Shop");
        set("MERCHANT_TERMS_URL", "https://shop.example/terms");
        set("MERCHANT_SUPPORT", "+44 20 7946 0123");
        set("DEFAULT_COUNTRY", "GB");
        set("DEFAULT_CURRENCY", "GBP");
        set("DEFAULT_LOCALE", "en-GB");
        set("DEFAULT_TAX_RATE", "2000");
        if matches!(database, Database::Postgres { .. }) {
            set(
                "PAYLINK_SECRET",
                "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=",
            );
        }
        if !self.no_sinks {
            set(
                "SMTP_URL",
                &format!("smtp://127.0.0.1:{}?tls=none", mail.port),
            );
            set("MAIL_FROM", "Acme Shop <pay@shop.example>");
            set("SMS_GATEWAY", "http");
            set(
                "SMS_HTTP_URL",
                &format!("http://127.0.0.1:{}/send", sms.port),
            );
            set("SMS_HTTP_MESSAGE_ID", "/id");
        }
        for (name, value) in &self.settings {
            set(name, value);
        }
        let serves: &[&str] = if self.no_worker {
            &["serve", "--no-worker"]
        } else {
            &["serve"]
        };
        let serve = (!self.idle).then(|| {
            let mut serve = Process::start(serves, &env, &dir);
            assert_eq!(serve.listening(), base);
            serve
        });
        World {
            klarna,
            mail,
            sms,
            base,
            env,
            dir,
            http,
            seen: Seen::default(),
            log: Mutex::default(),
            keys: Mutex::default(),
            serve: Mutex::new(serve),
            simulator: Mutex::new(Some(simulator)),
            database,
        }
    }
}

/// A port outside the range that the kernel hands out by itself, free now: the service must come
/// back on it after a crash, because Klarna knows its URLs.
pub fn free_port() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    loop {
        let step = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = 20_000 + (std::process::id().wrapping_mul(61).wrapping_add(step * 7)) % 12_000;
        let port = u16::try_from(port).expect("below 32 000");
        if std::net::TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

pub struct World {
    pub klarna: Klarna,
    pub mail: MailServer,
    pub sms: Gateway,
    pub base: String,
    pub env: Env,
    pub dir: PathBuf,
    http: reqwest::Client,
    seen: Seen,
    /// What earlier serving processes of this world wrote on stderr.
    log: Mutex<String>,
    keys: Mutex<HashMap<String, String>>,
    serve: Mutex<Option<Process>>,
    simulator: Mutex<Option<Process>>,
    database: Database,
}

impl World {
    /// Somebody with a key of that role in that store.
    pub fn caller(&self, role: &str, store: &str) -> Caller {
        let mut keys = self.keys.lock().unwrap();
        let key = keys
            .entry(format!("{role}@{store}"))
            .or_insert_with(|| {
                self.new_key(&[
                    "--name",
                    &format!("{role} of {store}"),
                    "--role",
                    role,
                    "--store",
                    store,
                ])
            })
            .clone();
        Caller {
            key: Some(key),
            ..self.stranger()
        }
    }

    pub fn agent(&self) -> Caller {
        self.caller("agent", "default")
    }

    pub fn integrator(&self) -> Caller {
        self.caller("integrator", "default")
    }

    pub fn admin(&self) -> Caller {
        self.caller("admin", "default")
    }

    /// Somebody without a key.
    pub fn stranger(&self) -> Caller {
        Caller {
            base: self.base.clone(),
            key: None,
            http: self.http.clone(),
            seen: Arc::clone(&self.seen),
        }
    }

    /// `paylink keys create ARGS`: the key, which stands alone on stdout.
    pub fn new_key(&self, args: &[&str]) -> String {
        let args: Vec<_> = ["keys", "create"].iter().chain(args).copied().collect();
        let ended = self.runs(&args);
        assert_eq!(ended.code, Some(0), "{args:?}: {}", ended.stderr);
        let key = ended.stdout.trim_end_matches('\n').to_owned();
        assert!(
            key.starts_with("plk_test_") && !key.contains('\n'),
            "{args:?} printed {key}"
        );
        key
    }

    /// Runs another command of the program on this world's settings.
    pub fn runs(&self, args: &[&str]) -> Ended {
        run(args, &self.env, &self.dir)
    }

    /// Another process on the same settings; one that serves listens elsewhere. It is ended by its
    /// own handle.
    pub fn beside(&self, args: &[&str]) -> (Process, String) {
        self.beside_with(args, &[])
    }

    pub fn beside_with(&self, args: &[&str], more: &[(&str, String)]) -> (Process, String) {
        let listen = format!("127.0.0.1:{}", free_port());
        let mut env = self.env.clone();
        env.retain(|(name, _)| name != "PAYLINK_LISTEN" && name != "PAYLINK_PUBLIC_URL");
        env.push(("PAYLINK_LISTEN".into(), listen.clone()));
        env.push(("PAYLINK_PUBLIC_URL".into(), self.base.clone()));
        env.extend(
            more.iter()
                .map(|(name, it)| ((*name).to_owned(), it.clone())),
        );
        let mut process = Process::start(args, &env, &self.dir);
        if args.first() == Some(&"serve") {
            process.listening();
        }
        (process, format!("http://{listen}"))
    }

    /// The same person at another process.
    pub fn at(base: &str, who: Caller) -> Caller {
        Caller {
            base: base.to_owned(),
            ..who
        }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// Its database is dropped, where a server holds it.
    pub async fn drops_database(&self) {
        self.database.is_dropped().await;
    }

    pub fn is_postgres(&self) -> bool {
        matches!(self.database, Database::Postgres { .. })
    }

    /// What the service wrote on stderr so far.
    pub fn stderr(&self) -> String {
        let mut log = self.log.lock().unwrap().clone();
        if let Some(serve) = self.serve.lock().unwrap().as_ref() {
            log.push_str(&serve.stderr());
        }
        log
    }

    /// The service is killed.
    pub fn crashes(&self) {
        let serve = self.serve.lock().unwrap().take().expect("the service runs");
        self.log.lock().unwrap().push_str(&serve.crash().stderr);
    }

    /// The minute passes after which PostgreSQL's leases of the dead are over. (SQLite's have no end:
    /// the next start frees them.)
    pub async fn leases_end(&self) {
        if let Database::Postgres { url, .. } = &self.database {
            order_postgres(
                url,
                "UPDATE job SET lease_until = 0, ready_at = 0 WHERE owner IS NOT NULL; \
                 UPDATE recovery SET lease_until = 0 WHERE owner IS NOT NULL",
            )
            .await;
        }
    }

    /// The service is asked to end, and ends well.
    pub fn stops(&self) -> Ended {
        let serve = self.serve.lock().unwrap().take().expect("the service runs");
        let ended = serve.terminate(Duration::from_secs(25));
        assert_eq!(ended.code, Some(0), "SIGTERM: {}", ended.stderr);
        self.log.lock().unwrap().push_str(&ended.stderr);
        ended
    }

    /// The service starts again on the same database and address.
    pub fn comes_back(&self) {
        let mut serve = Process::start(&["serve"], &self.env, &self.dir);
        assert_eq!(serve.listening(), self.base);
        *self.serve.lock().unwrap() = Some(serve);
    }

    /// The service starts again with other settings than the world's, until it comes back next.
    pub fn comes_back_with(&self, changes: &[(&str, &str)]) {
        let mut env = self.env.clone();
        env.retain(|(name, _)| changes.iter().all(|(changed, _)| name != changed));
        env.extend(
            changes
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned())),
        );
        let mut serve = Process::start(&["serve"], &env, &self.dir);
        assert_eq!(serve.listening(), self.base);
        *self.serve.lock().unwrap() = Some(serve);
    }

    /// Ends everything and holds the laws against what happened.
    pub async fn ends(self) {
        let log = self.klarna.log().await;
        let alive = self
            .serve
            .lock()
            .unwrap()
            .as_mut()
            .is_some_and(Process::is_alive);
        assert!(alive, "the service ended by itself: {}", self.stderr());
        self.stops();
        let simulator = self
            .simulator
            .lock()
            .unwrap()
            .take()
            .expect("the simulator runs");
        let ended = simulator.terminate(Duration::from_secs(10));
        assert!(
            !ended.stderr.contains("panicked"),
            "the simulator: {}",
            ended.stderr
        );
        let stderr = self.stderr();
        assert!(!stderr.contains("panicked"), "the service: {stderr}");
        law::klarnas_specs(&log);
        law::nothing_personal("the log", &stderr);
        for (request, body) in self.seen.lock().unwrap().iter() {
            law::nothing_personal(request, body);
        }
    }
}

impl Drop for World {
    fn drop(&mut self) {
        remove(&self.dir);
    }
}

fn remove(dir: &Path) {
    // a world that failed may still hold a file open; the system's cleaner takes the rest
    let _ = std::fs::remove_dir_all(dir);
}

/// Tells the stories of a group in one world, and fails with the names of all that went wrong.
pub async fn told(plan: WorldPlan, stories: Vec<(&'static str, Story)>) {
    let world = plan.start().await;
    let mut wrong = Vec::new();
    for (name, story) in stories {
        let begun = Instant::now();
        let outcome = AssertUnwindSafe(story(&world)).catch_unwind().await;
        eprintln!(
            "{name}: {:.2} s, {}",
            begun.elapsed().as_secs_f32(),
            if outcome.is_ok() { "ok" } else { "WRONG" }
        );
        if let Err(panic) = outcome {
            wrong.push(format!("{name}: {}", words(panic.as_ref())));
        }
        world.klarna.mends().await;
    }
    let database = world.database.clone();
    if let Err(panic) = AssertUnwindSafe(world.ends()).catch_unwind().await {
        wrong.push(format!(
            "at the end of the world: {}",
            words(panic.as_ref())
        ));
    }
    database.is_dropped().await;
    assert!(
        wrong.is_empty(),
        "{} wrong:\n\n{}",
        wrong.len(),
        wrong.join("\n\n")
    );
}

fn words(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()))
        .unwrap_or_default()
}

/// The id of a link, delivery or event.
#[track_caller]
pub fn id(object: &Value) -> &str {
    object["id"]
        .as_str()
        .unwrap_or_else(|| panic!("no id in {object:#}"))
}
