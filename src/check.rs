//! Tries what is configured, one thing at a time, without leaving anything behind: the rows of
//! `paylink check`. Each answers what was seen, or what is missing and what to do.

use std::time::Duration;

use jiff::Timestamp;

use crate::channel::mail::Mailer;
use crate::channel::qr;
use crate::channel::sms::SmsGateway;
use crate::config::Config;
use crate::klarna::{Klarna, KlarnaError, Opened};
use crate::link::{Actor, Defaults, LineKind, Link, LinkId, Request, Tree};
use crate::random::Random;
use crate::secret::Vault;
use crate::store::{Store, StoreError};

/// What was seen, or what is missing.
pub type Seen = Result<String, String>;

/// An order that nobody has: reading it tells whether the credentials are taken.
const NOBODYS: &str = "00000000-0000-4000-8000-000000000000";

/// Said of a database that another secret has sealed.
pub const FOREIGN_SECRET: &str = "the database was written under another PAYLINK_SECRET: give that one back (with SQLite, the key file beside the database); without it the personal data in it cannot be read";

/// Whether the database was written under this secret: under another one, what is stored would not
/// open, and what is added would open for nobody else.
///
/// # Errors
/// Where it cannot be read.
pub async fn same_secret(store: &Store) -> Result<bool, StoreError> {
    // the method alone is not general over a transaction's lifetime
    #[allow(clippy::redundant_closure_for_method_calls)]
    store.read(|tx| tx.is_of_this_secret()).await
}

/// The database answers, its secret is ours, and its schema is this program's.
pub async fn database(store: &Store) -> Seen {
    let current = store
        .is_migrated()
        .await
        .map_err(|error| format!("{error}; is DATABASE_URL right?"))?;
    if !current {
        return Err("answers, but its schema is not up to date; run: paylink migrate".into());
    }
    match same_secret(store).await {
        Ok(true) => Ok("answers, schema up to date".into()),
        Ok(false) => Err(FOREIGN_SECRET.into()),
        Err(error) => Err(format!("{error}; is it a database of paylink's?")),
    }
}

/// Klarna answers and takes the credentials.
pub async fn klarna(klarna: &Klarna) -> Seen {
    match klarna.read_order(NOBODYS).await {
        Ok(_) | Err(KlarnaError::NotFound(_)) => Ok("answers, credentials taken".into()),
        Err(KlarnaError::Forbidden(refusal)) => Err(format!(
            "credentials refused ({}); KLARNA_USERNAME and KLARNA_PASSWORD must be of the environment that KLARNA_API_URL names",
            refusal.status
        )),
        Err(error) => Err(format!("{error}; is KLARNA_API_URL right and reachable?")),
    }
}

/// The mail server lets us in.
pub async fn mail(mailer: &Mailer) -> Seen {
    mailer
        .probe()
        .await
        .map_err(|fault| format!("{fault}; see SMTP_URL"))
}

/// The SMS gateway can be reached. No message is sent.
pub async fn sms(gateway: &dyn SmsGateway) -> Seen {
    gateway
        .probe()
        .await
        .map_err(|missing| format!("{missing}; see the settings of this gateway"))
}

/// The public URL leads here. Klarna may reach it where this machine cannot, and the reverse.
pub async fn public_url(http: &reqwest::Client, url: &str) -> Seen {
    let answer = http
        .get(format!("{url}/healthz"))
        .timeout(Duration::from_secs(10))
        .send()
        .await
        .map_err(|_| {
            format!("{url} did not answer; is paylink serve running, and PAYLINK_PUBLIC_URL right?")
        })?;
    if answer.status().is_success() {
        Ok(format!("{url} answers"))
    } else {
        Err(format!(
            "{url}/healthz answered {}; does the proxy lead to paylink?",
            answer.status()
        ))
    }
}

/// Makes a real order and session, says what each of its URLs is, and removes both.
pub async fn session(
    klarna: &Klarna,
    http: &reqwest::Client,
    vault: &Vault,
    config: &Config,
    now: Timestamp,
    random: &Random,
) -> Seen {
    let link = sample(config, now, random)?;
    let token = vault.token(link.id, 1);
    let order = klarna
        .create_order(&link, &token)
        .await
        .map_err(|error| format!("no order: {error}"))?;
    let opened = klarna.create_session(&link, &order, &token, 1).await;
    let seen = match &opened {
        Ok(opened) => Ok(urls(http, opened).await),
        Err(error) => Err(format!("no session for order {order}: {error}")),
    };
    if let Ok(opened) = &opened
        && let Err(error) = klarna.disable_session(&opened.pair.session).await
    {
        return Err(format!(
            "session {} could not be disabled: {error}",
            opened.pair.session
        ));
    }
    if let Err(error) = klarna.abort_order(&order).await {
        return Err(format!("order {order} could not be aborted: {error}"));
    }
    seen
}

/// The smallest sale that Klarna takes, in the first market that is configured.
fn sample(config: &Config, now: Timestamp, random: &Random) -> Result<Link, String> {
    let (country, currency) = config
        .klarna
        .markets
        .first()
        .ok_or("KLARNA_MARKETS names no market")?;
    let sale = Tree::Map(vec![
        ("reference".into(), Tree::Text("paylink-check".into())),
        ("purchase_country".into(), Tree::Text(country.clone())),
        ("purchase_currency".into(), Tree::Text(currency.clone())),
        ("locale".into(), Tree::Text("en".into())),
        ("order_amount".into(), Tree::Int(100)),
    ]);
    let defaults = Defaults {
        country: None,
        currency: None,
        locale: None,
        line_kind: LineKind::Digital,
        line_name: None,
        tax_rate: Some(0),
        markets: config.klarna.markets.clone(),
        sms_countries: Vec::new(),
        email: false,
        sms: false,
        loopback: config.klarna.loopback,
        templates: Vec::new(),
    };
    let request = Request::parse(&sale, &defaults, now)
        .map_err(|faults| format!("the sample sale is refused by ourselves: {faults:?}"))?;
    Ok(Link::accepted(
        LinkId::new(now, random),
        crate::access::DEFAULT_STORE.to_owned(),
        config.mode,
        Actor::Paylink,
        request,
        now,
    ))
}

async fn urls(http: &reqwest::Client, opened: &Opened) -> String {
    let url = &opened.pair.url;
    let page = match http.head(url).send().await {
        Ok(answer) => format!("answers {}", answer.status().as_u16()),
        Err(_) => "does not answer".into(),
    };
    let code = match &opened.qr_code_url {
        None => "it has no QR".to_owned(),
        Some(picture) => match picture_at(http, picture)
            .await
            .as_deref()
            .and_then(qr::read)
        {
            Some(text) if text == *url => format!("{picture} says the same"),
            Some(text) => format!("{picture} says {text}"),
            None => format!("{picture} cannot be read"),
        },
    };
    format!("{url} {page}, {code}; both removed again")
}

async fn picture_at(http: &reqwest::Client, url: &str) -> Option<Vec<u8>> {
    let answer = http.get(url).send().await.ok()?;
    answer.bytes().await.ok().map(Into::into)
}
