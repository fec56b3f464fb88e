//! Several serving processes over one database, each on an address of its own that it comes back
//! to. Knows how to kill and restart one, and what must hold of all their logs.

use std::path::Path;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel::sql_types::BigInt;
use tokio::task::block_in_place;

use crate::outside::harness::database::order_postgres;
use crate::outside::harness::http::Caller;
use crate::outside::harness::process::{Ended, Env, Process};
use crate::outside::harness::world::free_port;
use crate::outside::harness::{World, WorldPlan, law};

/// One process of the fleet, alive or not.
struct Seat {
    base: String,
    args: Vec<String>,
    env: Env,
    process: Mutex<Option<Process>>,
}

pub struct Fleet {
    pub world: World,
    seats: Vec<Seat>,
    key: String,
    /// From the start of a process to its first line, since the last [`Fleet::starts`].
    starts: Mutex<Vec<Duration>>,
    broken: Mutex<Vec<String>>,
}

impl Fleet {
    /// `paylink serve`, so many times.
    pub async fn of(plan: WorldPlan, replicas: usize) -> Self {
        Self::seated(plan, &vec!["serve"; replicas]).await
    }

    /// One seat for each command line; those that serve are started, the others when the scenario
    /// wants them.
    pub async fn seated(plan: WorldPlan, commands: &[&str]) -> Self {
        let world = plan.idle().start().await;
        let seats = (0..)
            .zip(commands)
            .map(|(number, command)| {
                let mut env = world.env.clone();
                let mut base = world.base.clone();
                if number > 0 {
                    let listen = format!("127.0.0.1:{}", free_port());
                    base = format!("http://{listen}");
                    env.retain(|(name, _)| name != "PAYLINK_LISTEN");
                    env.push(("PAYLINK_LISTEN".to_owned(), listen));
                }
                Seat {
                    base,
                    args: command.split(' ').map(str::to_owned).collect(),
                    env,
                    process: Mutex::new(None),
                }
            })
            .collect();
        // makes the schema too, before the processes come
        let key = block_in_place(|| world.new_key(&["--name", "chaos", "--role", "admin"]));
        let fleet = Self {
            world,
            seats,
            key,
            starts: Mutex::default(),
            broken: Mutex::default(),
        };
        for seat in 0..fleet.seats.len() {
            if fleet.seats[seat].args[0] == "serve" {
                fleet.start(seat);
            }
        }
        fleet.starts();
        fleet
    }

    pub fn size(&self) -> usize {
        self.seats.len()
    }

    /// A caller of that process who may do everything.
    pub fn caller(&self, seat: usize) -> Caller {
        Caller {
            base: self.seats[seat].base.clone(),
            key: Some(self.key.clone()),
            ..self.world.stranger()
        }
    }

    /// Starts the process of a seat and waits until it listens.
    pub fn start(&self, seat: usize) {
        let seat = &self.seats[seat];
        let args: Vec<_> = seat.args.iter().map(String::as_str).collect();
        let begun = Instant::now();
        let process = block_in_place(|| {
            let mut process = Process::start(&args, &seat.env, &self.world.dir);
            if args[0] == "serve" {
                assert_eq!(process.listening(), seat.base);
            }
            process
        });
        self.starts.lock().unwrap().push(begun.elapsed());
        *seat.process.lock().unwrap() = Some(process);
    }

    /// `kill -9`.
    pub fn kill(&self, seat: usize) {
        let process = self.seats[seat].process.lock().unwrap().take();
        let ended = block_in_place(|| process.expect("the process runs").crash());
        self.reads(&ended);
    }

    /// Sends a signal such as `-STOP`, which neither ends the process nor lets it notice.
    pub fn signal(&self, seat: usize, signal: &str) {
        let process = self.seats[seat].process.lock().unwrap();
        process.as_ref().expect("the process runs").signal(signal);
    }

    pub fn is_alive(&self, seat: usize) -> bool {
        let mut process = self.seats[seat].process.lock().unwrap();
        process.as_mut().is_some_and(Process::is_alive)
    }

    /// How long the starts took since this was last asked.
    pub fn starts(&self) -> Vec<Duration> {
        std::mem::take(&mut self.starts.lock().unwrap())
    }

    /// One number out of the database, for what no answer of the API tells.
    pub async fn number(&self, select: &str) -> i64 {
        let url = self.database();
        match url.strip_prefix("sqlite://") {
            Some(file) => block_in_place(|| lite_number(Path::new(file), select)),
            None => server_number(url, select).await,
        }
    }

    /// The first column of what the database answers, of whichever kind it is.
    pub async fn texts(&self, select: &str) -> Vec<String> {
        let url = self.database();
        let Some(file) = url.strip_prefix("sqlite://") else {
            return server_texts(url, select).await;
        };
        block_in_place(|| {
            let mut lite = lite(Path::new(file));
            let wrapped = format!("WITH it (text) AS ({select}) SELECT text FROM it");
            let rows: Vec<Text> = diesel::sql_query(&wrapped).load(&mut lite).expect(select);
            rows.into_iter().map(|row| row.text).collect()
        })
    }

    /// Tells the database to do something past the program.
    pub async fn order(&self, script: &str) {
        let url = self.database();
        match url.strip_prefix("sqlite://") {
            Some(file) => block_in_place(|| {
                let done = lite(Path::new(file)).batch_execute(script);
                done.expect(script);
            }),
            None => order_postgres(url, script).await,
        }
    }

    fn database(&self) -> &str {
        let found = self.world.env.iter().find(|(it, _)| it == "DATABASE_URL");
        &found.expect("a world has a database").1
    }

    /// Asks all processes to end, which they do well.
    pub fn stop(&self) {
        for seat in 0..self.seats.len() {
            if self.seats[seat].process.lock().unwrap().is_some() {
                self.stops(seat);
            }
        }
    }

    /// Asks one process to end, which it does well.
    pub fn stops(&self, seat: usize) {
        let process = self.seats[seat].process.lock().unwrap().take();
        let process = process.expect("the process runs");
        let ended = block_in_place(|| process.terminate(Duration::from_secs(40)));
        self.reads(&ended);
        if ended.code != Some(0) {
            let tail: String = tail(&ended.stderr);
            let what = format!("a process ended with {:?} on SIGTERM: {tail}", ended.code);
            self.broken.lock().unwrap().push(what);
        }
    }

    fn reads(&self, ended: &Ended) {
        if ended.stderr.contains("panicked") {
            let at = ended.stderr.find("panicked").unwrap_or(0);
            let what: String = ended.stderr[at..].chars().take(400).collect();
            self.broken.lock().unwrap().push(what);
        }
        law::nothing_personal("the log", &ended.stderr);
    }

    /// What the logs and the ends of processes had to say against the laws.
    pub fn broken(&self) -> Vec<String> {
        std::mem::take(&mut self.broken.lock().unwrap())
    }
}

pub fn tail(text: &str) -> String {
    let lines: Vec<_> = text.lines().rev().take(8).collect();
    lines.into_iter().rev().collect::<Vec<_>>().join("\n")
}

#[derive(QueryableByName)]
struct Number {
    #[diesel(sql_type = BigInt)]
    n: i64,
}

fn lite_number(file: &Path, select: &str) -> i64 {
    let mut lite = lite(file);
    let rows: Vec<Number> = diesel::sql_query(select).load(&mut lite).expect(select);
    rows.first().map_or(0, |row| row.n)
}

/// A connection of our own to a SQLite file.
pub fn lite(file: &Path) -> SqliteConnection {
    let path = file.to_str().expect("a readable path");
    let mut lite = SqliteConnection::establish(path).expect("the file opens");
    diesel::sql_query("PRAGMA busy_timeout = 20000")
        .execute(&mut lite)
        .expect("a pragma");
    lite
}

#[derive(QueryableByName)]
struct Text {
    #[diesel(sql_type = diesel::sql_types::Text)]
    text: String,
}

#[derive(QueryableByName)]
struct Said {
    #[diesel(sql_type = diesel::sql_types::Text)]
    integrity_check: String,
}

/// What SQLite finds wrong with its file; `ok` where nothing is.
pub fn integrity(file: &Path) -> String {
    let rows: Vec<Said> = diesel::sql_query("PRAGMA integrity_check")
        .load(&mut lite(file))
        .expect("the file can be checked");
    let lines: Vec<_> = rows.into_iter().map(|row| row.integrity_check).collect();
    lines.join("; ")
}

async fn server_number(url: &str, select: &str) -> i64 {
    let (session, connection) = tokio_postgres::connect(url, tokio_postgres::NoTls)
        .await
        .expect("PostgreSQL");
    let carried = tokio::spawn(connection);
    let row = session.query_one(select, &[]).await;
    let number = row.unwrap_or_else(|error| panic!("{select}: {error:?}"));
    drop(session);
    // how the connection ends changes nothing of what was read
    let _ = carried.await;
    number.get(0)
}

async fn server_texts(url: &str, select: &str) -> Vec<String> {
    let (session, connection) = tokio_postgres::connect(url, tokio_postgres::NoTls)
        .await
        .expect("PostgreSQL");
    let carried = tokio::spawn(connection);
    let rows = session.query(select, &[]).await.expect(select);
    drop(session);
    let _ = carried.await;
    rows.iter().map(|row| row.get(0)).collect()
}
