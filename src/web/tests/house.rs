//! A house with a real database and a Klarna that nobody can reach: what the HTTP surface does by
//! itself shows, and a create is accepted without ever being opened.

use std::path::PathBuf;
use std::time::Duration;

use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use tokio_util::task::TaskTracker;

use crate::access::{ApiKey, NewKey, Role};
use crate::clock::Clock;
use crate::flow::{House, Limits, MailUnknown, Parts, Reads, Settings};
use crate::klarna::{Klarna, KlarnaSettings};
use crate::link::{Defaults, LineKind, Mode};
use crate::random::Random;
use crate::secret::Vault;
use crate::store::{Database, Holding, Store, StoreError};
use crate::templates::{Brand, Templates};
use crate::web::{State, WebSettings};

/// The house with its folder, which goes with it.
pub struct Home {
    pub state: actix_web::web::Data<State>,
    pub house: House,
    folder: PathBuf,
}

impl Drop for Home {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn now() -> Timestamp {
    "2026-11-24T09:30:00Z".parse().unwrap()
}

fn defaults() -> Defaults {
    Defaults {
        country: Some("GB".into()),
        currency: Some("GBP".into()),
        locale: Some("en-GB".into()),
        line_kind: LineKind::Physical,
        line_name: None,
        tax_rate: Some(2000),
        markets: vec![("GB".into(), "GBP".into())],
        sms_countries: vec!["GB".into()],
        email: true,
        sms: true,
        loopback: true,
        templates: vec!["link".into()],
    }
}

impl Home {
    pub async fn new() -> Self {
        let folder =
            std::env::temp_dir().join(format!("paylink-web-{}", Random::os().uuid().simple()));
        std::fs::create_dir_all(&folder).unwrap();
        let (clock, random) = (Clock::manual(now()), Random::seeded(11));
        let vault = Vault::new(&[7; 32]);
        let database = Database {
            url: format!("sqlite://{}", folder.join("paylink.db").display()),
            connections: 4,
        };
        let store = Store::open(
            &database,
            Holding::Serving,
            vault.clone(),
            clock.clone(),
            random.clone(),
        )
        .await
        .unwrap();
        store.migrate().await.unwrap();
        // port 1 of the loopback refuses at once: proved not done
        let base = "http://127.0.0.1:1/".parse().unwrap();
        let settings = KlarnaSettings::new(base, "sim".into(), SecretString::from("sim"));
        let klarna = Klarna::new(settings, clock.clone(), random.clone()).unwrap();
        let brand = Brand {
            merchant: "Acme Shop".into(),
            support: None,
            terms_url: "https://shop.example.com/terms".into(),
            logo_url: None,
            time_zone: jiff::tz::TimeZone::UTC,
        };
        let lease = store.lease();
        let house = House::new(Parts {
            store,
            klarna,
            templates: Templates::load(None, brand).unwrap(),
            mailer: None,
            sms: None,
            clock,
            random,
            vault,
            settings: Settings {
                mode: Mode::Test,
                defaults: defaults(),
                sms_from: "Acme".into(),
                mail_domain: "example.com".into(),
                mail_unknown: MailUnknown::Ask,
                limits: Limits::default(),
                patience: Duration::from_secs(4),
                operator: None,
            },
            runtime: tokio::runtime::Handle::current(),
            reads: Reads::default(),
            tasks: TaskTracker::new(),
            closing: tokio_util::sync::CancellationToken::new(),
            lease,
        });
        let web = WebSettings {
            public_url: "https://pay.example.com/".into(),
            worker: true,
        };
        Self {
            state: actix_web::web::Data::new(State::new(web, house.clone())),
            house,
            folder,
        }
    }

    /// Does something to the database behind the house's back.
    pub fn raw(&self, sql: &str) {
        use diesel::Connection;
        use diesel::connection::SimpleConnection;
        let file = self.folder.join("paylink.db");
        let mut lite = diesel::SqliteConnection::establish(file.to_str().unwrap()).unwrap();
        lite.batch_execute(sql).unwrap();
    }

    /// The header of a new key of this role and store.
    pub async fn key(&self, role: Role, store: &str, mode: Mode) -> (&'static str, String) {
        let new = NewKey {
            name: "till".into(),
            role,
            store: store.into(),
            mode,
            expires_at: None,
        };
        let house = &self.house;
        let (key, secret) = ApiKey::mint(new, &house.vault, house.clock.now(), &house.random);
        house
            .store
            .write(move |tx| tx.insert_key(&key))
            .await
            .unwrap();
        (
            "Authorization",
            format!("Bearer {}", secret.expose_secret()),
        )
    }

    /// How many entries the audit log has.
    pub async fn audited(&self) -> usize {
        let read = self
            .house
            .store
            .read(|tx| Ok::<_, StoreError>(tx.audited(0, 100)?.len()));
        read.await.unwrap()
    }
}
