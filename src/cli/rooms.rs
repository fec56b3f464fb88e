//! Each room made from its settings, and the house from all of them. Starting and stopping it is
//! [`super::serve`]'s.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use secrecy::ExposeSecret;
use tokio_util::task::TaskTracker;

use super::Failure;
use super::out::note;
use crate::channel::mail::{MailSettings, Mailer, Security, Server};
use crate::channel::sms::{HttpGateway, HttpSettings, LogGateway, SmsGateway};
use crate::chaos::{self, Point};
use crate::check;
use crate::clock::Clock;
use crate::config::{self, Base, Config};
use crate::flow::{self, House, Parts};
use crate::klarna::{AllowedHost, Klarna, KlarnaSettings, LinkSource};
use crate::link::{Defaults, Email};
use crate::random::Random;
use crate::secret::Vault;
use crate::secret::key_file::KeyFile;
use crate::store::{Holding, OpenError, Store};
use crate::templates::{Brand, Templates};

/// The secret that everything is sealed and derived from.
pub(super) async fn vault(base: &Base, random: &Random) -> Result<Vault, Failure> {
    if let Some(secret) = &base.secret {
        return Ok(Vault::new(secret.bytes()));
    }
    let path = base
        .database
        .key_file()
        .ok_or_else(|| Failure::Usage(vec!["PAYLINK_SECRET is missing with PostgreSQL".into()]))?;
    if let Some(database) = base.database.sqlite_file.as_deref()
        && !path.exists()
        && database.is_file()
        && needs_its_secret(base).await?
    {
        return Err(Failure::Usage(vec![format!(
            "{} is there and its key {} is not: put that one back, or give PAYLINK_SECRET; \
             without it the personal data in the database cannot be read",
            database.display(),
            path.display()
        )]));
    }
    let file = KeyFile::open_or_create(&path, random)
        .map_err(|error| Failure::failed("the key file cannot be used", &error))?;
    if file.created {
        note!(
            "paylink: made {}: without it the database cannot be read; keep a copy apart from the database",
            file.path.display()
        );
    }
    Ok(Vault::new(file.key.bytes()))
}

/// Whether a new key would make nothing of what the database holds.
async fn needs_its_secret(base: &Base) -> Result<bool, Failure> {
    let store = open_store(base, None, Holding::Beside, Clock::system()).await?;
    // the method alone is not general over a transaction's lifetime
    #[allow(clippy::redundant_closure_for_method_calls)]
    let needs = store.read(|tx| tx.needs_its_secret()).await;
    needs.map_err(|error| Failure::failed("the database cannot be read", &error))
}

/// Refuses to make a database where one is wanted that is there.
pub(super) fn is_there(base: &Base) -> Result<(), Failure> {
    match base.database.sqlite_file.as_deref() {
        Some(file) if !file.is_file() => Err(Failure::Usage(vec![format!(
            "there is no database {}: is DATABASE_URL right?",
            file.display()
        )])),
        _ => Ok(()),
    }
}

/// What is wrong with the key file, where there is one that is needed. None is made: what does not
/// start leaves nothing behind.
fn key_fault(secret: bool, database: &config::Database, random: &Random) -> Option<String> {
    let path = database
        .key_file()
        .filter(|path| !secret && path.exists())?;
    let fault = KeyFile::open_or_create(&path, random).err()?;
    Some(Failure::failed("the key file cannot be used", &fault).line())
}

/// Opens the ledger.
pub(super) async fn open_store(
    base: &Base,
    vault: Option<Vault>,
    holding: Holding,
    clock: Clock,
) -> Result<Store, Failure> {
    let database = crate::store::Database {
        url: base.database.url.expose_secret().to_owned(),
        connections: usize::try_from(base.database.connections).unwrap_or(1),
    };
    // what only brings the schema up to date seals nothing
    let vault = vault.unwrap_or_else(|| Vault::new(&[0; 32]));
    Store::open(&database, holding, vault, clock, Random::os())
        .await
        .map_err(|error| match error {
            OpenError::Held(_) | OpenError::Unsupported(_) => {
                Failure::Usage(vec![error.to_string()])
            }
            OpenError::Unusable(_) => Failure::Failed(error.to_string()),
        })
}

/// Refuses a database that another secret has sealed, before a row is added to it.
pub(super) async fn same_secret(store: &Store) -> Result<(), Failure> {
    match check::same_secret(store).await {
        Ok(true) => Ok(()),
        Ok(false) => Err(Failure::Usage(vec![check::FOREIGN_SECRET.into()])),
        Err(error) => Err(Failure::failed("the database cannot be read", &error)),
    }
}

pub(super) async fn house(
    config: &Config,
    clock: Clock,
    random: Random,
    holding: Holding,
    migrate: bool,
) -> Result<House, Failure> {
    for warning in config.warnings() {
        tracing::warn!("{warning}");
    }
    // all of them are tried before one is missed: an operator mends everything in one go
    let mut faults = Vec::new();
    let brand = brand(Some(&config.merchant), Some(&config.defaults.time_zone));
    let templates = kept(
        templates(config.templates_dir.as_deref(), brand),
        &mut faults,
    );
    let mailer = kept(mailer(config.smtp.as_ref()), &mut faults);
    let sms = kept(gateway(&config.sms), &mut faults);
    let klarna = kept(client(config, &clock, &random), &mut faults);
    let (true, Some(templates), Some(mailer), Some(sms), Some(klarna)) =
        (faults.is_empty(), templates, mailer, sms, klarna)
    else {
        faults.extend(key_fault(
            config.base.secret.is_some(),
            &config.base.database,
            &random,
        ));
        return Err(Failure::Usage(faults));
    };
    let vault = vault(&config.base, &random).await?;
    let serves = holding == Holding::Serving;
    let store = open_store(&config.base, Some(vault.clone()), holding, clock.clone()).await?;
    if migrate {
        let migrated = store.migrate().await.map_err(|error| {
            Failure::failed("the schema could not be brought up to date", &error)
        })?;
        tracing::info!("{migrated}");
    }
    same_secret(&store).await?;
    let lease = store.lease();
    if serves {
        let ours = lease.clone();
        let freed = store
            .write(move |tx| tx.free_foreign(&ours))
            .await
            .map_err(|error| {
                Failure::failed("the jobs of a process that is gone stay held", &error)
            })?;
        chaos::at(Point::StartFreed);
        if freed > 0 {
            tracing::info!(jobs = freed, "took up the jobs of a process that is gone");
        }
    }
    let settings = settings(config, &templates);
    // the metadata of phone numbers takes 0.1 s to read: off the path of the first request
    tokio::task::spawn_blocking(crate::link::warm);
    Ok(House::new(Parts {
        store,
        klarna,
        templates,
        mailer,
        sms,
        clock,
        random,
        vault,
        settings,
        runtime: tokio::runtime::Handle::current(),
        reads: flow::Reads::default(),
        tasks: TaskTracker::new(),
        closing: tokio_util::sync::CancellationToken::new(),
        lease,
    }))
}

/// The whole configuration, or every fault of it: those of its values, and those that only the
/// rooms find which are made of them (templates, say).
pub(super) fn configured(get: &dyn Fn(&str) -> Option<String>) -> Result<Config, Failure> {
    Config::from_env(get).map_err(|told| {
        let known = Config::partial(get);
        let brand = brand(known.merchant.as_ref(), known.time_zone.as_deref());
        let mut more = Vec::new();
        kept(templates(known.templates_dir.as_deref(), brand), &mut more);
        kept(mailer(known.smtp.as_ref()), &mut more);
        if let Some(sms) = &known.sms {
            kept(gateway(sms), &mut more);
        }
        if let Some(database) = &known.database {
            more.extend(key_fault(known.secret, database, &Random::os()));
        }
        // one cause, one line
        more.retain(|line| {
            let setting = line.split(' ').next();
            !told
                .iter()
                .any(|fault| Some(fault.setting.as_str()) == setting)
        });
        let mut lines: Vec<_> = told.iter().map(ToString::to_string).collect();
        lines.append(&mut more);
        Failure::Usage(lines)
    })
}

/// What was made, or what was wrong with it put to the other faults.
fn kept<T>(made: Result<T, Failure>, faults: &mut Vec<String>) -> Option<T> {
    match made {
        Ok(made) => return Some(made),
        Err(Failure::Usage(lines)) => faults.extend(lines),
        Err(failure) => faults.push(failure.line()),
    }
    None
}

/// Whose messages these are; a stand-in's where that is not known yet.
fn brand(merchant: Option<&config::Merchant>, time_zone: Option<&str>) -> Brand {
    Brand {
        merchant: merchant.map_or_else(|| "Shop".into(), |it| it.name.clone()),
        support: merchant.and_then(|it| it.support.clone()),
        terms_url: merchant.map_or_else(String::new, |it| it.terms_url.to_string()),
        logo_url: merchant.and_then(|it| it.logo_url.as_ref().map(ToString::to_string)),
        // read once before, by the configuration
        time_zone: time_zone
            .and_then(|name| jiff::tz::TimeZone::get(name).ok())
            .unwrap_or(jiff::tz::TimeZone::UTC),
    }
}

fn templates(overrides: Option<&Path>, brand: Brand) -> Result<Templates, Failure> {
    Templates::load(overrides, brand)
        .map_err(|faults| Failure::Usage(faults.iter().map(ToString::to_string).collect()))
}

/// The client of Klarna. Whatever keeps it from being made is a setting's fault.
pub(super) fn client(config: &Config, clock: &Clock, random: &Random) -> Result<Klarna, Failure> {
    Klarna::new(klarna(config), clock.clone(), random.clone()).map_err(|error| {
        let failure = Failure::failed("the client of Klarna cannot be made", &error);
        Failure::Usage(vec![failure.line()])
    })
}

pub(super) fn mailer(smtp: Option<&config::Smtp>) -> Result<Option<Mailer>, Failure> {
    let Some(smtp) = smtp else {
        return Ok(None);
    };
    let person = |mailbox: &config::Mailbox| (mailbox.name.clone(), mailbox.address.clone());
    MailSettings::new(Server {
        host: smtp.host.clone(),
        port: smtp.port,
        security: match smtp.tls {
            config::SmtpTls::Implicit => Security::Implicit,
            config::SmtpTls::Required => Security::Required,
            config::SmtpTls::Opportunistic => Security::Opportunistic,
            config::SmtpTls::None => Security::None,
        },
        credentials: smtp.credentials.clone(),
        helo: smtp.helo.clone(),
        from: person(&smtp.from),
        reply_to: smtp.reply_to.as_ref().map(person),
    })
    .map(|settings| Some(Mailer::new(settings)))
    .map_err(|faults| usage(&faults))
}

fn usage(faults: &[(&'static str, String)]) -> Failure {
    Failure::Usage(
        faults
            .iter()
            .map(|(setting, sentence)| format!("{setting} {sentence}"))
            .collect(),
    )
}

pub(super) fn gateway(sms: &config::Sms) -> Result<Option<Arc<dyn SmsGateway>>, Failure> {
    match sms {
        config::Sms::None => Ok(None),
        config::Sms::Log { .. } => Ok(Some(Arc::new(LogGateway))),
        config::Sms::Http(http) => HttpGateway::new(HttpSettings {
            url: http.url.clone(),
            method: http.method.to_owned(),
            headers: http.headers.clone(),
            body: http.body.clone(),
            message_id: http.message_id.clone(),
            success: http.success.clone(),
            idempotent: http.idempotent,
        })
        .map(|gateway| Some(Arc::new(gateway) as Arc<dyn SmsGateway>))
        .map_err(|faults| usage(&faults)),
    }
}

fn klarna(config: &Config) -> KlarnaSettings {
    let klarna = &config.klarna;
    let public = url::Url::parse(&config.public_url);
    KlarnaSettings {
        hosts: klarna
            .hosts
            .iter()
            .filter_map(|it| match it.port {
                Some(port) => AllowedHost::parse(&format!("{}:{port}", it.host)),
                None => AllowedHost::parse(&it.host),
            })
            .collect(),
        source: match klarna.source {
            config::LinkSource::Redirect => LinkSource::Redirect,
            config::LinkSource::Qr => LinkSource::Qr,
        },
        creates_per_second: klarna.creates_per_second,
        reads_per_second: match config.mode {
            _ if klarna.loopback => 0,
            crate::link::Mode::Live => READS_LIVE,
            crate::link::Mode::Test => READS_TEST,
        },
        terms_url: config.merchant.terms_url.to_string(),
        public_url: config.public_url.clone(),
        telesales: klarna.channel_telesales.clone(),
        in_store: klarna.channel_in_store.clone(),
        validation_url: public.is_ok_and(|url| KlarnaSettings::can_validate(&url)),
        ..KlarnaSettings::new(
            klarna.base.clone(),
            klarna.username.expose_secret().to_owned(),
            klarna.password.clone(),
        )
    }
}

/// The client for pages and our own public URL: follows nothing, trusts what the system trusts.
pub(super) fn http_client() -> Result<reqwest::Client, Failure> {
    reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .timeout(Duration::from_secs(10))
        .build()
        .map_err(|error| Failure::failed("no HTTP client can be made", &error))
}

fn settings(config: &Config, templates: &Templates) -> flow::Settings {
    let defaults = &config.defaults;
    let mail_domain = config.smtp.as_ref().map_or("localhost", |smtp| {
        let address = &smtp.from.address;
        address
            .rsplit_once('@')
            .map_or("localhost", |(_, domain)| domain)
    });
    flow::Settings {
        mode: config.mode,
        defaults: Defaults {
            country: defaults.country.clone(),
            currency: defaults.currency.clone(),
            locale: defaults.locale.clone(),
            line_kind: defaults.line_kind,
            line_name: defaults.line_name.clone(),
            tax_rate: defaults.tax_rate,
            markets: config.klarna.markets.clone(),
            sms_countries: config.sms_countries.clone(),
            email: config.smtp.is_some(),
            sms: !matches!(config.sms, config::Sms::None),
            loopback: config.klarna.loopback,
            templates: templates.known(),
        },
        sms_from: match &config.sms {
            config::Sms::None => String::new(),
            config::Sms::Log { from } => from.clone(),
            config::Sms::Http(http) => http.from.clone(),
        },
        mail_domain: mail_domain.to_owned(),
        mail_unknown: match config.smtp.as_ref().map(|smtp| smtp.unknown) {
            Some(config::MailUnknown::ResendOnce) => flow::MailUnknown::ResendOnce,
            Some(config::MailUnknown::Ask) | None => flow::MailUnknown::Ask,
        },
        limits: flow::Limits {
            agent_links_per_hour: config.limits.agent_links_per_hour,
            tablet_links_per_hour: config.limits.tablet_links_per_hour,
            integrator_links_per_hour: config.limits.integrator_links_per_hour,
            sms_per_minute: config.limits.recipient_sms_per_minute,
            sms_per_day: config.limits.recipient_sms_per_day,
            mails_per_day: config.limits.recipient_mails_per_day,
        },
        patience: PATIENCE,
        operator: config
            .operator_email
            .as_deref()
            .and_then(|address| Email::parse(address).ok()),
    }
}

/// Half of what Klarna publishes for reads, 200/s and 50/s on its playground (klarna.md §1.7): what
/// the watch over open links may take of it.
const READS_LIVE: u32 = 100;
const READS_TEST: u32 = 25;

/// How long a caller waits for Klarna before the answer is "accepted" (`contract.md`, Creating).
const PATIENCE: Duration = Duration::from_secs(4);
