//! A small honest Klarna: Kustom Checkout v3, Hosted Payment Page v1 with its page, and Order
//! Management v1, strict and stateful, all in memory. It serves
//! `paylink simulate`, the demo and the tests, with a control interface under `/_sim`.
//!
//! It shares no wire struct with the client on purpose: an error in a shared struct would hide
//! itself. Of ours it knows the clock and chance, nothing else.

mod acts;
mod answer;
mod api;
mod callbacks;
mod control;
mod distribution;
mod faults;
mod grammar;
mod log;
mod members;
mod order;
mod page;
mod payment;
mod qr;
mod rules;
mod session;
#[cfg(test)]
mod tests;
mod validation;
mod world;

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use actix_web::dev::ServerHandle;
use actix_web::web::{self, Data};
use actix_web::{App, HttpServer};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use tokio_util::task::TaskTracker;

use crate::clock::Clock;
use crate::random::Random;
use world::World;

/// Longer than any client keeps an idle connection: the server must not be the one to close it.
const KEEP_ALIVE: Duration = Duration::from_mins(2);

/// How the simulator is set up.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Port 0 takes a free one.
    pub listen: SocketAddr,
    /// Basic authentication of the three APIs.
    pub username: String,
    pub password: String,
    /// Factor for the waits before and between callbacks: 1 is Klarna's schedule, 0 is at once.
    pub callback_delay_scale: f64,
    /// Scheme and host of every URL given out; `http://` and the bound address where absent.
    pub public_base: Option<String>,
}

/// A simulator at work. Dropping it leaves it running until the runtime ends; [`Running::stop`]
/// ends it.
pub struct Running {
    addr: SocketAddr,
    world: Data<World>,
    server: ServerHandle,
    tasks: TaskTracker,
}

impl Running {
    /// Where it listens, the port being the one that was taken.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Base of its APIs, pages and control, without a slash at the end.
    pub fn url(&self) -> &str {
        &self.world.base
    }

    /// Ends it: open connections are closed, hanging calls and callbacks cancelled, every task
    /// joined.
    pub async fn stop(self) {
        self.world.stopping.cancel();
        self.server.stop(false).await;
        self.tasks.close();
        self.tasks.wait().await;
    }
}

/// Binds, then serves until stopped. Must be called on a Tokio runtime, on which the callbacks run.
///
/// # Errors
/// Where the address can't be bound, or the HTTP client for callbacks can't be built.
pub fn start(settings: Settings, clock: Clock, random: Random) -> io::Result<Running> {
    let listener = TcpListener::bind(settings.listen)?;
    let addr = listener.local_addr()?;
    let base = settings
        .public_base
        .unwrap_or_else(|| format!("http://{}", reachable(addr)));
    let base = base.trim_end_matches('/').to_owned();
    let credentials =
        BASE64_STANDARD.encode(format!("{}:{}", settings.username, settings.password));
    let scale = settings.callback_delay_scale;
    let world = Data::new(World::new(base, credentials, scale, clock, random));
    let client = client()?;
    let (served, pages) = (world.clone(), Data::new(client.clone()));
    let http = HttpServer::new(move || {
        App::new()
            .app_data(served.clone())
            .app_data(pages.clone())
            .app_data(web::PayloadConfig::new(1 << 20))
            .service(
                web::resource("/eu/hpp/payments/{page}")
                    .route(web::get().to(page::show))
                    .route(web::head().to(page::look)),
            )
            .route(
                "/eu/hpp/payments/{session}/qr",
                web::get().to(page::picture),
            )
            .route("/eu/hpp/payments/{page}/{act}", web::post().to(page::press))
            .route("/eu/hpp/assets/page.css", web::get().to(page::style))
            .service(web::scope("/eu").default_service(web::to(page::nothing)))
            .service(web::scope("/_sim").default_service(web::to(control::answer)))
            .default_service(web::to(api::answer))
    })
    .workers(2)
    .keep_alive(KEEP_ALIVE)
    .disable_signals()
    .listen(listener)?
    .run();
    let (handle, tasks) = (http.handle(), TaskTracker::new());
    tasks.spawn(async move {
        if let Err(error) = http.await {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "the simulator's server broke"
            );
        }
    });
    tasks.spawn(callbacks::run(
        world.clone().into_inner(),
        client,
        tasks.clone(),
    ));
    Ok(Running {
        addr,
        world,
        server: handle,
        tasks,
    })
}

/// An address that a URL can name: a wildcard is reached through loopback.
fn reachable(addr: SocketAddr) -> SocketAddr {
    let ip = match addr.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, addr.port())
}

/// The client for callbacks: it follows no redirect (one is an answer here) and uses no proxy.
fn client() -> io::Result<reqwest::Client> {
    let mut roots = rustls::RootCertStore::empty();
    // certificates that can't be read are left out; a callback to such a host then fails by itself
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .connect_timeout(Duration::from_secs(3))
        .user_agent("klarna-simulator")
        .build()
        .map_err(io::Error::other)
}
