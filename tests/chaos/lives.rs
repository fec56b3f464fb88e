//! One world with one serving process that a test starts, loses and starts again with other
//! settings. Knows processes and SQL, and no story.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel::sql_types::BigInt;
use tokio::task::block_in_place;

use crate::outside::harness::http::{Answer, Call, Caller};
use crate::outside::harness::process::{Ended, Env, Process};
use crate::outside::harness::{World, WorldPlan};

/// How long anything may take that is not a wait of the contract.
pub const LONG: Duration = Duration::from_secs(30);

pub struct Place {
    pub world: World,
    pub admin: Caller,
    service: Mutex<Option<Process>>,
    /// What dead processes wrote, each one's words apart.
    log: Mutex<Vec<String>>,
}

/// Why a story stopped.
#[derive(Debug)]
pub enum Stop {
    /// The service is dead.
    Dead,
    /// It is not as it must be.
    Wrong(String),
}

#[derive(QueryableByName)]
struct Number {
    #[diesel(sql_type = BigInt)]
    it: i64,
}

impl Place {
    /// A world in which nothing serves yet.
    pub async fn of(plan: WorldPlan) -> Self {
        let world = plan.idle().start().await;
        // makes the schema too
        let key = block_in_place(|| world.new_key(&["--name", "chaos", "--role", "admin"]));
        let admin = Caller {
            key: Some(key),
            ..world.stranger()
        };
        Self {
            world,
            admin,
            service: Mutex::default(),
            log: Mutex::default(),
        }
    }

    /// Starts `paylink serve` with these settings more. `false`: it ended before it listened.
    pub fn starts(&self, more: &[(&str, &str)]) -> bool {
        let mut service = self.started(&["serve"], more);
        let listens = block_in_place(|| service.tries_to_listen());
        *self.service.lock().unwrap() = Some(service);
        listens.is_some()
    }

    /// A process of the program in this world; the caller keeps it.
    pub fn started(&self, args: &[&str], more: &[(&str, &str)]) -> Process {
        let mut env: Env = self.world.env.clone();
        for (name, value) in more {
            env.retain(|(known, _)| known != name);
            env.push(((*name).to_owned(), (*value).to_owned()));
        }
        Process::start(args, &env, &self.world.dir)
    }

    /// How the service ended, where it has by itself. Waits a moment: a connection is cut before
    /// its process is gone.
    pub fn ended(&self) -> Option<Ended> {
        let mut service = self.service.lock().unwrap();
        let begun = Instant::now();
        while service.as_mut()?.is_alive() {
            if begun.elapsed() > Duration::from_millis(300) {
                return None;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        let ended = service.take()?.wait(LONG);
        self.log.lock().unwrap().push(ended.stderr.clone());
        Some(ended)
    }

    pub fn is_alive(&self) -> bool {
        let mut service = self.service.lock().unwrap();
        service.as_mut().is_some_and(Process::is_alive)
    }

    /// SIGKILL.
    pub fn is_killed(&self) -> Option<Ended> {
        let service = self.service.lock().unwrap().take()?;
        let ended = block_in_place(|| service.crash());
        self.log.lock().unwrap().push(ended.stderr.clone());
        Some(ended)
    }

    /// SIGTERM, and the end of it.
    pub fn stops(&self) -> Option<Ended> {
        let service = self.service.lock().unwrap().take()?;
        let ended = block_in_place(|| service.terminate(LONG));
        self.log.lock().unwrap().push(ended.stderr.clone());
        Some(ended)
    }

    /// SIGSTOP or SIGCONT.
    pub fn signal(&self, signal: &str) {
        let service = self.service.lock().unwrap();
        service.as_ref().expect("a process").signal(signal);
    }

    /// Whether the service was stopped and stands.
    pub fn is_stopped(&self) -> bool {
        let service = self.service.lock().unwrap();
        service.as_ref().is_some_and(Process::is_stopped)
    }

    /// Everything that was written on stderr so far.
    pub fn log(&self) -> String {
        let mut log = self.log.lock().unwrap().concat();
        if let Some(service) = self.service.lock().unwrap().as_ref() {
            log.push_str(&service.stderr());
        }
        log
    }

    /// What the last of the dead wrote.
    pub fn last_words(&self) -> String {
        self.log.lock().unwrap().last().cloned().unwrap_or_default()
    }

    /// The minute passes after which PostgreSQL's leases of the dead are over.
    pub async fn leases_end(&self) {
        self.world.leases_end().await;
    }

    fn setting(&self, wanted: &str) -> String {
        let mut env = self.world.env.iter();
        let found = env.find(|(name, _)| name == wanted);
        found.expect("it is set").1.clone()
    }

    pub fn database_file(&self) -> String {
        self.setting("DATABASE_URL").replace("sqlite://", "")
    }

    fn lite(&self) -> SqliteConnection {
        let mut conn = SqliteConnection::establish(&self.database_file()).expect("the database");
        conn.batch_execute("PRAGMA busy_timeout = 10000")
            .expect("a time-out");
        conn
    }

    pub async fn postgres(&self) -> tokio_postgres::Client {
        let url = self.setting("DATABASE_URL");
        let (client, connection) = tokio_postgres::connect(&url, tokio_postgres::NoTls)
            .await
            .expect("PostgreSQL");
        tokio::spawn(connection);
        client
    }

    /// The operator's shell.
    pub async fn sql(&self, statement: &str) {
        if self.world.is_postgres() {
            let client = self.postgres().await;
            let done = client.batch_execute(statement).await;
            done.unwrap_or_else(|error| panic!("{statement}: {error:?}"));
        } else {
            let done = block_in_place(|| self.lite().batch_execute(statement));
            done.unwrap_or_else(|error| panic!("{statement}: {error}"));
        }
    }

    /// A number out of the database: `SELECT … AS it`, a 64-bit integer.
    pub async fn number(&self, query: &str) -> i64 {
        if self.world.is_postgres() {
            let row = self.postgres().await.query_one(query, &[]).await;
            row.unwrap_or_else(|error| panic!("{query}: {error:?}"))
                .get(0)
        } else {
            let found =
                block_in_place(|| diesel::sql_query(query).get_result::<Number>(&mut self.lite()));
            found.unwrap_or_else(|error| panic!("{query}: {error}")).it
        }
    }

    /// Asks again until there is an answer that is no "not now", as a client does that repeats under
    /// its key.
    pub async fn asks(&self, call: impl Fn() -> Call) -> Result<Answer, Stop> {
        let begun = Instant::now();
        let mut last = String::new();
        while begun.elapsed() < LONG {
            match call().attempt().await {
                Ok(answer) => {
                    last = answer.text();
                    let later = answer.status == 503
                        || (answer.status == 409
                            && (last.contains("idempotency_in_progress")
                                || last.contains("\"busy\"")));
                    if !later {
                        return Ok(answer);
                    }
                }
                Err(_) if block_in_place(|| self.ended()).is_some() || !self.is_alive() => {
                    return Err(Stop::Dead);
                }
                Err(error) => last = format!("{error:?}"),
            }
            tokio::time::sleep(Duration::from_millis(40)).await;
        }
        Err(Stop::Wrong(format!("no answer in {LONG:?}: {last}")))
    }

    /// Drops what outlives the test.
    pub async fn ends(self) {
        self.is_killed();
        self.world.drops_database().await;
    }
}
