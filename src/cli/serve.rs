//! `paylink serve` and `paylink worker`: the rooms put together in the one place that knows them
//! all. The demo and the tests start the very same service.

use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::out::say;
use super::rooms::{configured, house};
use super::{Failure, environment, log};
use crate::clock::Clock;
use crate::config::Config;
use crate::flow::House;
use crate::random::Random;
use crate::store::Holding;
use crate::{web, worker};

/// What is under way gets this much of a stop. That ends within 25 s (failure-model, process), with a
/// second each for giving leases back, for the database and for the runtime.
const GRACE: Duration = Duration::from_secs(22);
/// Of which the answers to requests get at most this much.
const ANSWERS: Duration = Duration::from_secs(10);

/// What a service leaves out.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Do the background work in this process.
    pub worker: bool,
    /// Bring the schema up to date first.
    pub migrate: bool,
}

/// A running service.
pub struct Service {
    web: web::Running,
    worker: worker::Worker,
    house: House,
}

impl Service {
    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.web.addr()
    }

    /// The rooms, for tests that run the worker by hand.
    pub fn house(&self) -> &House {
        &self.house
    }

    /// Takes nothing new, finishes what is under way, at most 25 s in all.
    pub async fn stop(self) {
        let begun = tokio::time::Instant::now();
        self.worker.claims_no_more();
        self.web.stop(ANSWERS).await;
        self.worker.stop(begun, GRACE).await;
    }
}

/// Puts the rooms together and starts them; the socket accepts when this answers.
///
/// # Errors
/// `Usage` for what is wrong with the configuration, `Failed` for what could not be had.
pub async fn start(
    mut config: Config,
    clock: Clock,
    random: Random,
    options: Options,
) -> Result<Service, Failure> {
    super::choose_cryptography();
    // bound first: where the public URL is the listen address, it is known only now
    let listener = TcpListener::bind(config.listen)
        .map_err(|error| Failure::failed(&format!("cannot listen on {}", config.listen), &error))?;
    let addr = listener
        .local_addr()
        .map_err(|error| Failure::failed("the system does not say where it listens", &error))?;
    config.bound(addr);
    let house = house(&config, clock, random, Holding::Serving, options.migrate).await?;
    let worker = worker::start(house.clone(), options.worker);
    let settings = web::WebSettings {
        public_url: config.public_url.clone(),
        worker: options.worker,
    };
    let web = web::start(listener, settings, house.clone())
        .map_err(|error| Failure::failed("the web server could not start", &error))?;
    Ok(Service { web, worker, house })
}

pub(super) async fn serve(worker: bool, migrate: bool) -> Result<(), Failure> {
    let config = configured(&environment)?;
    log::begin(&config.base.log);
    if !worker && config.base.database.sqlite_file.is_some() {
        return Err(Failure::Usage(vec![
            "--no-worker leaves the work to other processes, and SQLite is served by one: leave it out or use PostgreSQL".into(),
        ]));
    }
    let options = Options { worker, migrate };
    let mut told = Told::listen()?;
    let starting = start(config, Clock::system(), Random::os(), options);
    let Some(service) = told.unless(starting).await else {
        return Ok(());
    };
    let service = service?;
    say!("listening on http://{}", service.addr())?;
    told.wait().await;
    tracing::info!("stopping: nothing new is taken, what is under way is finished");
    service.stop().await;
    Ok(())
}

pub(super) async fn worker(migrate: bool) -> Result<(), Failure> {
    let config = configured(&environment)?;
    log::begin(&config.base.log);
    if config.base.database.sqlite_file.is_some() {
        return Err(Failure::Usage(vec![
            "paylink worker needs PostgreSQL: with SQLite, paylink serve does the background work itself".into(),
        ]));
    }
    let mut told = Told::listen()?;
    let (clock, random) = (Clock::system(), Random::os());
    let making = house(&config, clock, random, Holding::Serving, migrate);
    let Some(house) = told.unless(making).await else {
        return Ok(());
    };
    let house = house?;
    let worker = worker::start(house, true);
    tracing::info!("the worker works");
    told.wait().await;
    worker.stop(tokio::time::Instant::now(), GRACE).await;
    Ok(())
}

/// The wish to stop: SIGTERM or Ctrl-C.
pub(super) struct Told {
    terminate: Signal,
    interrupt: Signal,
}

impl Told {
    /// Begins to listen. Before anybody learns that the process is up: one who is told to stop at
    /// once must find somebody who hears it.
    pub(super) fn listen() -> Result<Self, Failure> {
        let hear =
            |kind| signal(kind).map_err(|error| Failure::failed("signals cannot be heard", &error));
        Ok(Self {
            terminate: hear(SignalKind::terminate())?,
            interrupt: hear(SignalKind::interrupt())?,
        })
    }

    /// Waits for it.
    pub(super) async fn wait(mut self) {
        self.heard().await;
    }

    /// What `work` comes to; `None` where the wish came first: a database may not answer at a start.
    async fn unless<T>(&mut self, work: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            done = work => Some(done),
            () = self.heard() => {
                tracing::info!("stopping before anything has begun");
                None
            }
        }
    }

    async fn heard(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
