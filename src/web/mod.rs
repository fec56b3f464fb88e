//! The only room (with the simulator and the demo's catcher) that says actix: HTTP in, HTTP out.
//! It reads requests, asks `flow` or the store's reads, chooses status codes, and writes answers.
//! It must not know SQL, Klarna's field names, or what a verb does. Nothing that outlives its
//! request runs here: an actix worker drops what is spawned on it (failure-model R2).

pub mod api;
mod assets;
mod auth;
mod body;
mod callbacks;
mod docs;
mod edge;
mod headers;
mod live;
mod openapi;
mod pages;
mod probes;
pub mod problem;
mod query;
mod refusal;
mod route;
#[cfg(test)]
mod tests;

use std::io;
use std::net::{SocketAddr, TcpListener, ToSocketAddrs};
use std::sync::Arc;
use std::time::Duration;

use actix_web::dev::ServerHandle;
use actix_web::middleware::from_fn;
use actix_web::{App, HttpServer, web};
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::flow::House;

/// Whether the worker of this process is alive.
pub type Pulse = Arc<dyn Fn() -> bool + Send + Sync>;

/// Choices of the operator that only this room asks for.
#[derive(Clone)]
pub struct WebSettings {
    /// `PAYLINK_LISTEN`: `host:port`; port 0 takes a free one.
    pub listen: String,
    /// `PAYLINK_PUBLIC_URL`; URLs are built from it, never from `Host`.
    pub public_url: String,
    /// Threads that speak HTTP; absent = one per core.
    pub workers: Option<usize>,
    /// Requests that may be in work at once; over it 503 `overloaded`. Streams do not count.
    pub in_flight: usize,
    /// Live streams that may be open at once.
    pub streams: usize,
    /// What `/metrics` prints.
    pub metrics: Option<PrometheusHandle>,
    /// Asked by `/readyz`; absent where this process has no worker.
    pub worker: Option<Pulse>,
}

impl WebSettings {
    /// The usual ones.
    pub fn new(listen: impl Into<String>, public_url: impl Into<String>) -> Self {
        Self {
            listen: listen.into(),
            public_url: public_url.into(),
            workers: None,
            in_flight: 512,
            streams: 20_000,
            metrics: None,
            worker: None,
        }
    }
}

/// What every handler can reach.
pub struct State {
    house: House,
    settings: WebSettings,
    /// The public URL without a slash at its end.
    base: String,
    keys: auth::KeyCache,
    in_flight: edge::InFlight,
    hub: live::Hub,
    stopping: CancellationToken,
    /// The OpenAPI document.
    document: String,
}

impl State {
    fn new(settings: WebSettings, house: House) -> Self {
        let base = settings.public_url.trim_end_matches('/').to_owned();
        let stopping = CancellationToken::new();
        Self {
            hub: live::Hub::start(&house, settings.streams, stopping.clone()),
            document: openapi::document(&base),
            base,
            keys: auth::KeyCache::default(),
            in_flight: edge::InFlight::default(),
            house,
            settings,
            stopping,
        }
    }
}

/// Everything that is served, by address.
fn routes(config: &mut web::ServiceConfig) {
    let mut v1 = web::scope("/v1").wrap(from_fn(auth::authenticate));
    for address in api::addresses() {
        v1 = v1.service(address.build());
    }
    // within the scope, so that 401 comes before 404
    config.service(v1.default_service(web::to(pages::nowhere)));
    for address in open_addresses() {
        config.service(address.build());
    }
    config
        .service(docs::swagger())
        .default_service(web::to(pages::nowhere));
}

/// What needs no API key.
fn open_addresses() -> Vec<route::Address> {
    vec![
        route::at("/callbacks/{door}/{token}").post(callbacks::called),
        route::at("/return/{outcome}/{token}").get(pages::returned),
        route::at("/healthz").get(probes::alive),
        route::at("/readyz").get(probes::ready),
        route::at("/metrics").get(probes::metrics),
        route::at("/openapi.json").get(docs::openapi),
        route::at("/problems").get(pages::problems),
        route::at("/problems/{code}").get(pages::problem),
        route::at("/assets/{name}").get(assets::asset),
    ]
}

/// A server at work.
pub struct Running {
    addr: SocketAddr,
    handle: ServerHandle,
    state: web::Data<State>,
    server: JoinHandle<io::Result<()>>,
}

/// After everything is answered, idle connections have this long to be closed in order.
const PARTING: Duration = Duration::from_secs(1);

/// Binds, then serves. Call it within the main runtime; `house` holds the handle of the same one.
///
/// # Errors
/// Where the address cannot be bound.
pub fn start(settings: WebSettings, house: House) -> io::Result<Running> {
    let listener = bind(&settings.listen)?;
    let addr = listener.local_addr()?;
    let workers = settings
        .workers
        .or_else(|| std::thread::available_parallelism().ok().map(Into::into))
        .unwrap_or(2);
    let state = web::Data::new(State::new(settings, house));
    let data = state.clone();
    let server = HttpServer::new(move || {
        App::new()
            .app_data(data.clone())
            .wrap(from_fn(edge::edge))
            .configure(routes)
    })
    .workers(workers)
    // an answer is one or two small writes: never let Nagle hold the second
    .tcp_nodelay(true)
    .keep_alive(Duration::from_secs(15))
    .client_request_timeout(Duration::from_secs(10))
    .client_disconnect_timeout(Duration::from_secs(2))
    .shutdown_timeout(PARTING.as_secs())
    .disable_signals()
    .listen(listener)?
    .run();
    Ok(Running {
        addr,
        handle: server.handle(),
        state,
        server: tokio::spawn(server),
    })
}

fn bind(listen: &str) -> io::Result<TcpListener> {
    let mut last = io::Error::new(
        io::ErrorKind::InvalidInput,
        "the address to listen on names no host",
    );
    for addr in listen.to_socket_addrs()? {
        match TcpListener::bind(addr) {
            Ok(listener) => {
                listener.set_nonblocking(true)?;
                return Ok(listener);
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

impl Running {
    /// Where it listens; the real port where 0 was asked for.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// From now on `/readyz` says 503, streams end, and answers close their connections: a load
    /// balancer can look away before the socket is shut.
    pub fn retire(&self) {
        self.state.stopping.cancel();
    }

    /// Stops: not ready, no new connections, what is in work is answered within `grace`, then the
    /// rest is cut.
    ///
    /// # Errors
    /// What the server ended with.
    pub async fn stop(self, grace: Duration) -> io::Result<()> {
        self.retire();
        let end = Instant::now() + grace;
        self.handle.pause().await;
        while self.state.in_flight.count() > 0 && Instant::now() < end {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let parting = self.handle.stop(true);
        // the workers themselves wait no longer than PARTING; twice that is a worker that hangs
        if tokio::time::timeout(PARTING * 2, parting).await.is_err() {
            self.server.abort();
            return Ok(());
        }
        self.server.await.unwrap_or(Ok(()))
    }

    /// Ends when the server does, by itself or by a fault.
    pub async fn ended(&mut self) -> io::Result<()> {
        (&mut self.server).await.unwrap_or(Ok(()))
    }
}
