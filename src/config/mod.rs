//! Every setting of the program, read once at start, all faults told at once (`api.md` and
//! `contract.md`, Settings). The structs are plain values of this room's own: it must not know what
//! the other rooms make of them, nor read the environment (the caller hands it over).

mod channels;
mod klarna;
mod merchant;
mod process;
mod reader;
mod shape;
mod table;
#[cfg(test)]
mod tests;
mod typos;
mod values;

use std::net::SocketAddr;
use std::path::PathBuf;

pub use reader::ConfigFault;
pub use shape::{
    AllowedHost, Database, Defaults, Klarna, Limits, LinkSource, Log, LogFormat, MailUnknown,
    Mailbox, Merchant, Sms, SmsHttp, Smtp, SmtpTls,
};
pub use table::{SECTIONS, Section, Setting, env_example, settings};
pub use typos::unknown;

use crate::link::Mode;
use crate::secret::MasterKey;
use reader::{File, Get, Reader};

/// What every command needs, whatever it does.
#[derive(Clone, Debug)]
pub struct Base {
    /// Where links are kept.
    pub database: Database,
    /// `PAYLINK_SECRET`; absent only with SQLite, where the key file takes its place, or where the
    /// command has no use for it.
    pub secret: Option<MasterKey>,
    /// Live or test, where `KLARNA_API_URL` is there to tell.
    pub mode: Option<Mode>,
    /// `SSL_CERT_FILE`: trusted authorities; `None` = the system's.
    pub ca_file: Option<PathBuf>,
    /// What is logged, and how.
    pub log: Log,
}

/// What a command other than `serve`, `worker`, `check` and `reconcile` cannot do without.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Needs {
    /// `simulate`, `demo`: only the log's settings are read.
    Nothing,
    /// `migrate`, `backup`.
    Database,
    /// `keys list`, `keys revoke`, `users …`: the database and the secret that peppers and seals.
    Keys,
    /// `keys create`: also the mode that the key is for.
    KeysCreate,
}

/// Everything: what `serve`, `worker`, `check` and `reconcile` need.
#[derive(Clone, Debug)]
pub struct Config {
    /// Database, secret, log.
    pub base: Base,
    /// Whether real money moves.
    pub mode: Mode,
    /// Where to serve.
    pub listen: SocketAddr,
    /// Base of our URLs, without a slash at its end. Call [`Config::bound`] once the port is known.
    pub public_url: String,
    /// `public_url` is only the listen address.
    pub public_url_defaulted: bool,
    /// Jobs in work at the same time.
    pub workers: u32,
    /// The other side.
    pub klarna: Klarna,
    /// Our side.
    pub merchant: Merchant,
    /// What a request need not say.
    pub defaults: Defaults,
    /// How mail leaves; `None` = not configured.
    pub smtp: Option<Smtp>,
    /// How SMS leave.
    pub sms: Sms,
    /// Countries whose numbers are sent to, ISO 3166-1 alpha-2.
    pub sms_countries: Vec<String>,
    /// `EMAIL_TEMPLATES_DIR`.
    pub templates_dir: Option<PathBuf>,
    /// Where alerts are mailed.
    pub operator_email: Option<String>,
    /// How much is too much.
    pub limits: Limits,
}

impl Base {
    /// Reads what a lesser command needs. `get` answers the value of an environment variable.
    pub fn from_env(get: Get, needs: Needs) -> Result<Self, Vec<ConfigFault>> {
        Self::read(get, &|path| std::fs::read(path), needs)
    }

    fn read(get: Get, file: File, needs: Needs) -> Result<Self, Vec<ConfigFault>> {
        let r = &mut Reader::new(get, file);
        let log = process::log(r);
        let (database, secret, ca_file) = if needs == Needs::Nothing {
            (Some(Database::sqlite("paylink.db")), None, None)
        } else {
            let database = process::database(r);
            // migrating neither peppers nor seals: there a secret is taken and not insisted on
            let peppered = matches!(needs, Needs::Keys | Needs::KeysCreate);
            let secret = process::secret(r, database.as_ref().filter(|_| peppered));
            (database, secret, process::ca_file(r))
        };
        let mode = (needs == Needs::KeysCreate)
            .then(|| r.need("KLARNA_API_URL", klarna::URL_FORM, klarna::target))
            .flatten()
            .map(|target| target.mode);
        match (log, database) {
            (Some(log), Some(database)) if r.faults.is_empty() => Ok(Self {
                database,
                secret,
                mode,
                ca_file,
                log,
            }),
            _ => Err(std::mem::take(&mut r.faults)),
        }
    }
}

impl Config {
    /// Reads everything. `get` answers the value of an environment variable; a secret may instead
    /// be in the file that `NAME_FILE` names.
    pub fn from_env(get: Get) -> Result<Self, Vec<ConfigFault>> {
        Self::read(get, &|path| std::fs::read(path))
    }

    /// What of the configuration can be read, whatever is wrong with the rest.
    pub fn partial(get: Get) -> Partial {
        let r = &mut Reader::new(get, &|path| std::fs::read(path));
        let draft = Draft::read(r);
        Partial {
            database: draft.database,
            secret: draft.secret.is_some(),
            merchant: draft.merchant,
            time_zone: draft.defaults.map(|it| it.time_zone),
            templates_dir: draft.templates_dir,
            smtp: draft.smtp,
            sms: draft.sms,
        }
    }

    fn read(get: Get, file: File) -> Result<Self, Vec<ConfigFault>> {
        let r = &mut Reader::new(get, file);
        let Draft {
            listen: Some(listen),
            klarna: Some(klarna),
            target: Some(target),
            public: Some((public_url, public_url_defaulted)),
            database: Some(database),
            secret,
            workers: Some(workers),
            ca_file,
            log: Some(log),
            operator_email,
            merchant: Some(merchant),
            defaults: Some(defaults),
            smtp,
            templates_dir,
            sms: Some(sms),
            sms_countries,
            limits: Some(limits),
        } = Draft::read(r)
        else {
            return Err(std::mem::take(&mut r.faults));
        };
        if !r.faults.is_empty() {
            return Err(std::mem::take(&mut r.faults));
        }
        let sms_countries = sms_countries.unwrap_or_else(|| {
            let mut countries: Vec<_> = klarna.markets.iter().map(|it| it.0.clone()).collect();
            countries.sort();
            countries.dedup();
            countries
        });
        Ok(Self {
            base: Base {
                database,
                secret,
                mode: Some(target.mode),
                ca_file,
                log,
            },
            mode: target.mode,
            listen,
            public_url,
            public_url_defaulted,
            workers,
            klarna,
            merchant,
            defaults,
            smtp,
            sms,
            sms_countries,
            templates_dir,
            operator_email,
            limits,
        })
    }

    /// The socket is bound to `address`: where the public URL is only the listen address, the port
    /// is known now.
    pub fn bound(&mut self, address: SocketAddr) {
        if self.public_url_defaulted {
            self.public_url = process::listen_url(address);
        }
    }

    /// What is allowed and perhaps not meant; for a WARN line each at start.
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        if let Some(smtp) = &self.smtp
            && smtp.tls == SmtpTls::Opportunistic
            && smtp.credentials.is_some()
        {
            warnings.push(
                "SMTP_URL has tls=opportunistic and credentials: who can hold back STARTTLS reads them; use tls=required".into(),
            );
        }
        if self.operator_email.is_some() && self.smtp.is_none() {
            warnings.push(
                "OPERATOR_EMAIL is given and SMTP_URL is not: alerts cannot be mailed".into(),
            );
        }
        if let [only] = self.klarna.hosts.as_slice()
            && self.mode == Mode::Live
            && Some(only.host.as_str()) == self.klarna.base.host_str()
        {
            warnings.push(
                "KLARNA_LINK_HOSTS has only the API's own host: where payment pages are on another one, every link is thrown away".into(),
            );
        }
        warnings
    }
}

/// What of a faulty configuration others are made of, so that their faults are told with its own.
#[derive(Clone, Debug)]
pub struct Partial {
    /// Where links are kept.
    pub database: Option<Database>,
    /// Whether `PAYLINK_SECRET` is there.
    pub secret: bool,
    /// Our side.
    pub merchant: Option<Merchant>,
    /// `DEFAULT_TIME_ZONE`.
    pub time_zone: Option<String>,
    /// `EMAIL_TEMPLATES_DIR`.
    pub templates_dir: Option<PathBuf>,
    /// How mail leaves.
    pub smtp: Option<Smtp>,
    /// How SMS leave.
    pub sms: Option<Sms>,
}

/// Every setting by itself: `None` where it is absent or wrong.
struct Draft {
    listen: Option<SocketAddr>,
    klarna: Option<Klarna>,
    target: Option<klarna::Target>,
    public: Option<(String, bool)>,
    database: Option<Database>,
    secret: Option<MasterKey>,
    workers: Option<u32>,
    ca_file: Option<PathBuf>,
    log: Option<Log>,
    operator_email: Option<String>,
    merchant: Option<Merchant>,
    defaults: Option<Defaults>,
    smtp: Option<Smtp>,
    templates_dir: Option<PathBuf>,
    sms: Option<Sms>,
    sms_countries: Option<Vec<String>>,
    limits: Option<Limits>,
}

impl Draft {
    fn read(r: &mut Reader) -> Self {
        let listen = r.parse(
            "PAYLINK_LISTEN",
            "give an address and port such as 127.0.0.1:8080",
            |text| text.replace("localhost:", "127.0.0.1:").parse().ok(),
        );
        let (klarna, target) = klarna::klarna(r);
        let loopback = target.as_ref().is_some_and(|target| target.loopback);
        let public = process::public_url(r, loopback, listen);
        let database = process::database(r);
        let secret = process::secret(r, database.as_ref());
        let workers = r.number("PAYLINK_WORKERS", 1..=1000);
        let ca_file = process::ca_file(r);
        let log = process::log(r);
        let operator_email = r.parse("OPERATOR_EMAIL", "give an address", values::address);
        let merchant = merchant::merchant(r);
        let defaults = merchant::defaults(r);
        let smtp = channels::smtp(r, public.as_ref().map(|public| public.0.as_str()));
        let templates_dir = r.parse("EMAIL_TEMPLATES_DIR", "give a folder", |text| {
            Some(PathBuf::from(text))
        });
        let sms = channels::sms(r, merchant.as_ref());
        let sms_countries = r.parse(
            "SMS_COUNTRIES",
            "give two-letter country codes, comma-separated",
            |text| values::list(text, values::country),
        );
        let limits = merchant::limits(r, target.as_ref().map(|target| target.mode));
        Self {
            listen,
            klarna,
            target,
            public,
            database,
            secret,
            workers,
            ca_file,
            log,
            operator_email,
            merchant,
            defaults,
            smtp,
            templates_dir,
            sms,
            sms_countries,
            limits,
        }
    }
}
