//! Tests of the store: what holds on both databases (`both`), what SQLite's writer must survive
//! (`lite`), what PostgreSQL's retries must (`postgres`). The latter run where
//! `PAYLINK_TEST_POSTGRES` holds the URL of a database in which schemas may be created.

// a method's path is a function of one lifetime, where a transaction's closure takes any
#![allow(clippy::redundant_closure_for_method_calls)]

mod both;
mod gates;
mod held;
mod jobs;
mod listening;
mod lists;
mod lite;
mod plans;
mod postgres;
mod records;
mod schemas;

use std::path::PathBuf;

use diesel::connection::SimpleConnection;
use jiff::{SignedDuration, Timestamp};

use super::*;
use crate::access::{ApiKey, Role};
use crate::link::{
    Actor, Address, Customer, Delivery, DeliveryId, DeliveryStatus, Email, EventId, EventKind,
    KeyId, KlarnaView, Line, LineKind, Link, LinkId, Mode, Operation, OperationId, OperationKind,
    Outcome, Page, Pair, Phone, Recipient, Sale, Stage, Tree, UseCase,
};

/// An open, migrated, empty store, with the time and chance that it was given.
pub struct Fixture {
    pub store: Store,
    pub database: Database,
    pub clock: Clock,
    pub random: Random,
    pub dir: Option<PathBuf>,
}

impl Drop for Fixture {
    fn drop(&mut self) {
        if let Some(dir) = &self.dir {
            let _ = std::fs::remove_dir_all(dir);
        }
    }
}

pub fn start() -> Timestamp {
    "2026-11-24T09:00:00Z".parse().unwrap()
}

pub fn vault() -> Vault {
    Vault::new(&[7; 32])
}

pub fn scratch() -> PathBuf {
    let dir = std::env::temp_dir().join(format!("paylink-{}", Random::os().uuid().simple()));
    std::fs::create_dir_all(&dir).unwrap();
    dir
}

pub async fn lite() -> Fixture {
    let dir = scratch();
    let url = format!("sqlite://{}", dir.join("paylink.db").display());
    let mut fixture = opened(url, Holding::Serving).await;
    fixture.dir = Some(dir);
    fixture
}

/// A schema of its own; `None` where no PostgreSQL was named.
pub async fn postgres() -> Option<Fixture> {
    let Ok(url) = std::env::var("PAYLINK_TEST_POSTGRES") else {
        eprintln!("skipped: PAYLINK_TEST_POSTGRES is not set");
        return None;
    };
    let schema = format!("t{}", Random::os().uuid().simple());
    let (client, connection) = tokio_postgres::connect(&url, tokio_postgres::NoTls)
        .await
        .unwrap();
    let driver = tokio::spawn(connection);
    let create = format!("CREATE SCHEMA {schema}");
    client.batch_execute(&create).await.unwrap();
    driver.abort();
    let join = if url.contains('?') { '&' } else { '?' };
    let url = format!("{url}{join}options=-c%20search_path%3D{schema}");
    Some(opened(url, Holding::Beside).await)
}

async fn opened(url: String, holding: Holding) -> Fixture {
    let database = Database {
        url,
        connections: 8,
    };
    let (clock, random) = (Clock::manual(start()), Random::seeded(1));
    let store = Store::open(&database, holding, vault(), clock.clone(), random.clone())
        .await
        .unwrap();
    store.migrate().await.unwrap();
    Fixture {
        store,
        database,
        clock,
        random,
        dir: None,
    }
}

/// Runs a test on both databases.
macro_rules! on_both {
    ($($(#[$doc:meta])* async fn $name:ident($fixture:ident: &Fixture) $body:block)+) => {
        $($(#[$doc])* async fn $name($fixture: &Fixture) $body)+
        mod on_lite {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $name() { super::$name(&crate::store::tests::lite().await).await; })+
        }
        mod on_postgres {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $name() {
                if let Some(fixture) = crate::store::tests::postgres().await {
                    super::$name(&fixture).await;
                }
            })+
        }
    };
}
use on_both;

/// A result whose error is the store's own, for closures.
pub type Res<T> = Result<T, StoreError>;

impl Fixture {
    pub fn later(&self, seconds: i64) -> Timestamp {
        self.clock.now() + SignedDuration::from_secs(seconds)
    }

    pub async fn write<T: Send + 'static>(
        &self,
        closure: impl Fn(&mut Tx) -> Res<T> + Send + 'static,
    ) -> T {
        self.store.write(closure).await.unwrap()
    }

    pub async fn read<T: Send + 'static>(
        &self,
        closure: impl FnOnce(&mut Tx) -> Res<T> + Send + 'static,
    ) -> T {
        self.store.read(closure).await.unwrap()
    }

    /// Writes SQL past the verbs.
    pub async fn raw(&self, sql: &str) {
        let sql = sql.to_owned();
        self.write(move |tx| tx.sql(|conn| conn.batch_execute(&sql)))
            .await;
    }

    /// A link that is not stored yet.
    pub fn new_link(&self, reference: &str) -> Link {
        link(&self.clock, &self.random, reference)
    }

    /// A link that is stored, exclusive, with its first event.
    pub async fn born(&self, reference: &str) -> Link {
        let link = self.new_link(reference);
        self.store_link(link).await
    }

    pub async fn store_link(&self, link: Link) -> Link {
        let (hash, event) = (self.random.bytes(), self.event());
        self.write(move |tx| {
            let mut link = link.clone();
            tx.insert_link(&link, &hash, true)?;
            tx.append(&mut link, EventKind::LinkCreated, event, None, start())?;
            Ok(link)
        })
        .await
    }

    /// A capture that is wanted and not yet asked for.
    pub fn operation(&self, link: &Link) -> Operation {
        Operation {
            id: OperationId::new(OperationKind::Capture, start(), &self.random),
            link: link.id,
            amount: Some(4_799),
            reference: Some("INV-1".into()),
            lines: link.sale.lines.clone(),
            shipments: vec![Tree::Map(vec![("tracking_number".into(), "T1".into())])],
            outcome: Outcome::Pending,
            asked_at: Some(start()),
            created_by: Actor::Paylink,
            created_at: start(),
        }
    }

    pub fn key(&self) -> ApiKey {
        ApiKey {
            id: KeyId::new(start(), &self.random),
            name: "till".into(),
            role: Role::Tablet,
            store: "north".into(),
            mode: Mode::Test,
            expires_at: Some(self.later(60)),
            revoked_at: None,
            created_at: start(),
            hash: [9; 32],
        }
    }

    pub fn event(&self) -> EventId {
        EventId::new(self.clock.now(), &self.random)
    }

    /// Touches a link, changes it, saves it.
    pub async fn change(&self, id: LinkId, change: impl Fn(&mut Link) + Send + 'static) -> Link {
        self.write(move |tx| {
            let mut link = tx.touch(id)?.unwrap();
            change(&mut link);
            tx.save(&link)?;
            Ok(link)
        })
        .await
    }

    pub fn delivery(&self, link: &Link, to: Recipient) -> Delivery {
        Delivery {
            id: DeliveryId::new(self.clock.now(), &self.random),
            link: link.id,
            to,
            template: "link".into(),
            agent: Some("jo".into()),
            status: DeliveryStatus::Queued,
            attempts: 0,
            reason: None,
            sent_at: None,
            next_attempt_at: None,
            gateway: None,
            gateway_message_id: None,
            segments: None,
            created_at: self.clock.now(),
        }
    }
}

pub fn email(address: &str) -> Recipient {
    Recipient::Email(Email::trusted(address.into()))
}

pub fn sms(number: &str) -> Recipient {
    Recipient::Sms(Phone::trusted(number.into()).unwrap())
}

pub fn pair() -> Pair {
    Pair {
        number: 1,
        order: "Order-1".into(),
        session: "session-1".into(),
        url: "https://pay.example.com/p/1".into(),
        id_check_url: None,
    }
}

pub fn address() -> Address {
    Address {
        given_name: Some("Jo".into()),
        family_name: Some("Bloggs-Möller".into()),
        street_address: Some("1 Lombard Street".into()),
        email: Some(Email::trusted("jo@example.com".into())),
        phone: Phone::trusted("+447700900123".into()),
        country: Some("GB".into()),
        ..Address::default()
    }
}

pub fn link(clock: &Clock, random: &Random, reference: &str) -> Link {
    let now = clock.now();
    Link {
        id: LinkId::new(now, random),
        version: 1,
        sequence: 0,
        store: "default".into(),
        mode: Mode::Test,
        agent: Some("jo".into()),
        created_by: Actor::Key(KeyId::new(start(), &Random::seeded(9))),
        sale: Sale {
            reference: reference.into(),
            use_case: UseCase::Telesales,
            country: "GB".into(),
            currency: "GBP".into(),
            locale: "en-GB".into(),
            order_amount: 50_000,
            order_tax_amount: 4_545,
            lines: vec![Line {
                kind: LineKind::Physical,
                reference: None,
                name: "Red T-Shirt".into(),
                quantity: 5,
                quantity_unit: Some("pcs".into()),
                unit_price: 10_000,
                tax_rate: 1_000,
                total_discount_amount: 0,
                total_amount: 50_000,
                total_tax_amount: 4_545,
                extras: Tree::Map(vec![("image_url".into(), Tree::Text("https://x".into()))]),
            }],
            billing: Some(address()),
            shipping: None,
            customer: Some(Customer {
                date_of_birth: Some("1980-01-01".into()),
                ..Customer::default()
            }),
            extras: Tree::Map(vec![("tags".into(), Tree::List(vec![Tree::Int(1)]))]),
        },
        page: Page {
            title: Some("Order".into()),
            ..Page::default()
        },
        auto_capture: false,
        metadata: vec![("b".into(), "1".into()), ("a".into(), "2".into())],
        stage: Stage::Creating { pairs_tried: 0 },
        wanted_end: Some(now + SignedDuration::from_hours(24)),
        klarna: KlarnaView::default(),
        closing_reason: None,
        closing_note: None,
        renewed_from: None,
        renewed_by: None,
        viewed: false,
        mismatch: false,
        acknowledged: false,
        created_at: now,
        updated_at: now,
    }
}
