//! `paylink demo`: simulator, catcher, the same service as `paylink serve`, and a ready login,
//! put together in one process.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use secrecy::ExposeSecret;

use super::out::{Out, note, say};
use super::{Failure, Options, environment, log, serve, start};
use crate::access::{ApiKey, NewKey, Role};
use crate::clock::Clock;
use crate::config::{Base, Config, Needs};
use crate::demo::{Catcher, Places, Story};
use crate::random::Random;
use crate::secret::MasterKey;
use crate::simulator;

/// Where paylink listens when nobody says otherwise; the page takes the next port.
const LISTEN: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 8080);
const ANY: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

pub(super) async fn demo(
    once: bool,
    json: bool,
    listen: Option<SocketAddr>,
    data: Option<PathBuf>,
) -> Result<(), Failure> {
    let mut base = Base::from_env(&environment, Needs::Nothing)?;
    if environment("LOG").is_none() {
        // a newcomer's terminal is for the story
        base.log.filter = "warn".into();
    }
    log::begin(&base.log);
    let told = serve::Told::listen()?;
    let folder = Folder::at(data)?;
    let listen = listen.unwrap_or(if once { ANY } else { LISTEN });
    let beside = match (once, listen.port()) {
        (true, _) | (false, 0) => ANY,
        (false, port) => SocketAddr::new(listen.ip(), port.wrapping_add(1)),
    };

    let io = |what: &'static str| move |error: std::io::Error| Failure::failed(what, &error);
    let klarna = simulator::start(
        simulator::Settings {
            listen: ANY,
            username: "sim".into(),
            password: "sim".into(),
            callback_delay_scale: 1.0,
            public_base: None,
        },
        Clock::system(),
        Random::os(),
    )
    .map_err(io("the simulator cannot start"))?;
    let catcher = Catcher::bind(beside, Clock::system())
        .await
        .map_err(io("the catcher cannot listen"))?;
    let desk = catcher.desk().map_err(io("the catcher has no address"))?;
    let mut settings = settings(listen, &folder.path, klarna.url(), catcher.smtp(), desk);
    if folder.ours {
        // nothing outlives the demo, so nobody needs to be told to keep a key
        let secret = MasterKey::random(&Random::os());
        settings.insert("PAYLINK_SECRET", secret.to_base64().to_string());
    }
    let config = Config::from_env(&|name| settings.get(name).cloned())?;
    let options = Options {
        worker: true,
        migrate: true,
    };
    let service = start(config, Clock::system(), Random::os(), options).await?;
    let places = Places {
        api: format!("http://{}", service.addr()),
        klarna: klarna.url().to_owned(),
        key: ready_login(&service).await?,
    };
    let http = reqwest::Client::builder()
        .no_proxy()
        .build()
        .map_err(|error| Failure::failed("no HTTP client can be made", &error))?;
    let inbox = catcher.inbox();
    let page = catcher
        .show(places.clone(), http.clone())
        .map_err(io("the demo's page cannot be shown"))?;

    let result = if once {
        let story = Story::new(&places, inbox, http, json, Out(std::io::stdout()));
        let good = story.play(service.stop()).await;
        match good {
            Ok(true) => Ok(()),
            Ok(false) => Err(Failure::Said),
            Err(error) => Err(Failure::failed("the transcript cannot be written", &error)),
        }
    } else {
        say!("listening on {}", places.api)?;
        invite(&places, desk);
        told.wait().await;
        service.stop().await;
        Ok(())
    };
    page.stop().await;
    klarna.stop().await;
    result
}

fn invite(places: &Places, desk: SocketAddr) {
    note!("\nThe shop and its buyer are at   http://{desk}/");
    note!("  press \"Create and send a link\", read mail and SMS in the buyer's inbox, pay there");
    note!(
        "The API is at                   {}  (described at {}/docs)",
        places.api,
        places.api
    );
    note!(
        "Klarna's simulator is at        {}  (its controls under /_sim/)",
        places.klarna
    );
    note!("A ready login (role admin):     {}", places.key);
    note!(
        "\n  curl -H 'Authorization: Bearer {}' {}/v1/links\n",
        places.key,
        places.api
    );
    note!("Nothing leaves this machine. Ctrl-C ends it.");
}

/// The settings that a shop would write into its `.env`.
fn settings(
    listen: SocketAddr,
    folder: &Path,
    klarna: &str,
    smtp: SocketAddr,
    desk: SocketAddr,
) -> HashMap<&'static str, String> {
    let mut settings: HashMap<&'static str, String> = [
        ("PAYLINK_LISTEN", listen.to_string()),
        ("PAYLINK_ALLOW_SIMULATOR", "1".into()),
        (
            "DATABASE_URL",
            format!("sqlite://{}/demo.db", folder.display()),
        ),
        ("KLARNA_API_URL", klarna.to_owned()),
        ("KLARNA_USERNAME", "sim".into()),
        ("KLARNA_PASSWORD", "sim".into()),
        ("MERCHANT_NAME", "Acme Shop".into()),
        (
            "MERCHANT_TERMS_URL",
            "https://shop.example.com/terms".into(),
        ),
        ("MERCHANT_SUPPORT", "+44 7700 900000".into()),
        ("DEFAULT_TIME_ZONE", "Europe/London".into()),
        ("SMTP_URL", format!("smtp://{smtp}?tls=none")),
        ("MAIL_FROM", "Acme Shop <pay@shop.example.com>".into()),
        ("SMS_GATEWAY", "http".into()),
        ("SMS_FROM", "Acme".into()),
        ("SMS_HTTP_URL", format!("http://{desk}/sms")),
        ("SMS_HTTP_MESSAGE_ID", "/id".into()),
    ]
    .into();
    for name in ["LOG", "LOG_FORMAT"] {
        if let Some(value) = environment(name) {
            settings.insert(name, value);
        }
    }
    settings
}

async fn ready_login(service: &super::Service) -> Result<String, Failure> {
    let house = service.house();
    let new = NewKey {
        name: "demo".into(),
        role: Role::Admin,
        store: crate::access::DEFAULT_STORE.into(),
        mode: house.settings.mode,
        expires_at: None,
    };
    let (key, secret) = ApiKey::mint(new, &house.vault, house.clock.now(), &house.random);
    house
        .store
        .write(move |tx| tx.insert_key(&key))
        .await
        .map_err(|error| Failure::failed("the login cannot be made", &error))?;
    Ok(secret.expose_secret().to_owned())
}

/// Where the database lives: a folder of the caller's, or a temporary one that goes with us.
struct Folder {
    path: PathBuf,
    ours: bool,
}

impl Folder {
    fn at(data: Option<PathBuf>) -> Result<Self, Failure> {
        let ours = data.is_none();
        let path = data.unwrap_or_else(|| {
            std::env::temp_dir().join(format!("paylink-demo-{}", Random::os().uuid().simple()))
        });
        std::fs::create_dir_all(&path).map_err(|error| {
            Failure::failed(&format!("{} cannot be made", path.display()), &error)
        })?;
        Ok(Self { path, ours })
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if self.ours
            && let Err(error) = std::fs::remove_dir_all(&self.path)
        {
            tracing::warn!(%error, "the demo's folder could not be removed");
        }
    }
}
