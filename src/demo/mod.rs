//! The whole story over real HTTP and SMTP, for a newcomer's first minute. It is a stranger to
//! paylink: it knows its API, and what a mail server, an SMS gateway and a phone know. Never in
//! serve's path.

mod catcher;
mod desk;
mod smtp;
mod story;

use std::net::SocketAddr;
use std::sync::Arc;

use actix_web::dev::ServerHandle;
use actix_web::{App, HttpServer, web::Data};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::clock::Clock;

pub use catcher::Inbox;
pub use story::{Places, Story};

/// The mail sink, before paylink is there to send to it.
pub struct Catcher {
    inbox: Arc<Inbox>,
    smtp: SocketAddr,
    sink: JoinHandle<()>,
    desk: std::net::TcpListener,
}

impl Catcher {
    /// Binds the mail sink to a free port and the page, which is also the SMS gateway, to `desk`.
    ///
    /// # Errors
    /// Where a port cannot be had.
    pub async fn bind(desk: SocketAddr, clock: Clock) -> std::io::Result<Self> {
        let inbox = Inbox::new(clock);
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let smtp = listener.local_addr()?;
        let desk = std::net::TcpListener::bind(desk)?;
        let sink = tokio::spawn(smtp::sink(listener, inbox.clone()));
        Ok(Self {
            inbox,
            smtp,
            sink,
            desk,
        })
    }

    /// Where mail is taken.
    pub fn smtp(&self) -> SocketAddr {
        self.smtp
    }

    /// Where the page is shown and SMS are taken (`/sms`).
    ///
    /// # Errors
    /// Where the system does not say.
    pub fn desk(&self) -> std::io::Result<SocketAddr> {
        self.desk.local_addr()
    }

    /// What was caught.
    pub fn inbox(&self) -> Arc<Inbox> {
        self.inbox.clone()
    }

    /// Shows the page.
    ///
    /// # Errors
    /// Where the server cannot start.
    pub fn show(self, places: Places, http: reqwest::Client) -> std::io::Result<Shown> {
        let desk = desk::Desk::new(places, self.inbox, http).map_err(std::io::Error::other)?;
        let desk = Data::new(desk);
        let server =
            HttpServer::new(move || App::new().app_data(desk.clone()).configure(desk::routes))
                .workers(1)
                .disable_signals()
                .listen(self.desk)?
                .run();
        let handle = server.handle();
        Ok(Shown {
            handle,
            server: tokio::spawn(server),
            sink: self.sink,
        })
    }
}

/// The page while it is shown.
pub struct Shown {
    handle: ServerHandle,
    server: JoinHandle<std::io::Result<()>>,
    sink: JoinHandle<()>,
}

impl Shown {
    /// Takes the page and the mail sink away.
    pub async fn stop(self) {
        self.handle.stop(false).await;
        if let Ok(Err(error)) = self.server.await {
            tracing::warn!(%error, "the demo's page ended badly");
        }
        self.sink.abort();
    }
}
