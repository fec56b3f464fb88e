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
mod metering;
mod openapi;
mod pages;
mod probes;
pub mod problem;
mod query;
mod refusal;
mod route;
mod schema;
#[cfg(test)]
pub(crate) mod tests;

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use actix_web::dev::ServerHandle;
use actix_web::middleware::from_fn;
use actix_web::{App, HttpServer, web};
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::flow::House;

/// Choices that only this room asks for.
#[derive(Clone, Debug)]
pub struct WebSettings {
    /// `PAYLINK_PUBLIC_URL`; URLs are built from it, never from `Host`.
    pub public_url: String,
    /// Whether this process does the background work: `/readyz` then looks whether it gets done.
    pub worker: bool,
}

/// R12, everything bounded. Requests that may be in work at once; over it 503 `overloaded`.
const IN_FLIGHT: usize = 512;
/// Live streams that may be open at once.
const STREAMS: usize = 20_000;
/// Time for a client to send its headers.
const HEADERS_WITHIN: Duration = Duration::from_secs(10);
/// An idle connection is kept this long.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

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
    /// The schema was seen to be this program's: it stays so, and is not asked about again.
    migrated: AtomicBool,
    /// The OpenAPI document.
    document: String,
    metrics: Option<PrometheusHandle>,
}

impl State {
    fn new(settings: WebSettings, house: House) -> Self {
        let base = settings.public_url.trim_end_matches('/').to_owned();
        let stopping = CancellationToken::new();
        Self {
            hub: live::Hub::start(&house, STREAMS, stopping.clone()),
            document: openapi::document(&base),
            metrics: metering::handle(),
            base,
            keys: auth::KeyCache::default(),
            in_flight: edge::InFlight::default(),
            house,
            settings,
            stopping,
            migrated: AtomicBool::new(false),
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
    config.default_service(web::to(pages::nowhere));
}

/// What needs no API key.
fn open_addresses() -> Vec<route::Address> {
    vec![
        route::at("/callbacks/{door}/{token}").post(callbacks::called),
        route::at("/return/{outcome}/{token}").get(pages::returned),
        route::at("/").get(pages::front),
        route::at("/healthz").get(probes::alive),
        route::at("/readyz").get(probes::ready),
        route::at("/metrics").get(probes::metrics),
        route::at("/openapi.json").get(docs::openapi),
        route::at("/docs").get(docs::moved),
        route::at("/docs/{file:.*}").get(docs::swagger),
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

/// Serves what comes to `listener`. Call it within the main runtime; `house` holds the handle of
/// the same one.
///
/// # Errors
/// Where the socket cannot be used.
pub fn start(listener: TcpListener, settings: WebSettings, house: House) -> io::Result<Running> {
    let addr = listener.local_addr()?;
    listener.set_nonblocking(true)?;
    let workers = std::thread::available_parallelism().map_or(2, Into::into);
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
    .keep_alive(KEEP_ALIVE)
    .client_request_timeout(HEADERS_WITHIN)
    .client_disconnect_timeout(PARTING)
    .shutdown_timeout(PARTING.as_secs())
    // signals are the process's affair
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
    pub async fn stop(self, grace: Duration) {
        self.retire();
        let end = Instant::now() + grace;
        self.handle.pause().await;
        while self.state.in_flight.count() > 0 && Instant::now() < end {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        // the workers themselves wait no longer than PARTING; longer than that is one that hangs
        let parting = tokio::time::timeout(PARTING * 2, self.handle.stop(true)).await;
        if parting.is_err() {
            tracing::warn!("a web worker did not stop in time");
        }
        self.server.abort();
    }
}
