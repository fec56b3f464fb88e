//! What callers may ask of links, with everything checked: [`Request`] for a new link,
//! [`RenewRequest`], [`SendRequest`] and [`DisableRequest`]. All faults of a body are reported
//! together, each where it is.

use jiff::Timestamp;

use super::delivery::Recipient;
use super::draft::{country, sale};
use super::fault::{Code, Fault};
use super::grammar;
use super::sale::{LineKind, Page, Sale, words};
use super::send::{self, Billing};
use super::shape::said;
use super::stage::Closing;
use super::tree::Tree;
use super::walk::Walk;
use super::{Link, expiry};

/// What the settings say where a request is silent, and what this installation can do.
#[derive(Clone, Debug)]
pub struct Defaults {
    /// `DEFAULT_COUNTRY`.
    pub country: Option<String>,
    /// `DEFAULT_CURRENCY`.
    pub currency: Option<String>,
    /// `DEFAULT_LOCALE`.
    pub locale: Option<String>,
    /// `DEFAULT_LINE_TYPE`: for the line made from an amount.
    pub line_kind: LineKind,
    /// `DEFAULT_LINE_NAME`; absent = the reference.
    pub line_name: Option<String>,
    /// `DEFAULT_TAX_RATE`, percent with two implied decimals.
    pub tax_rate: Option<i64>,
    /// `KLARNA_MARKETS` as (country, currency), upper case.
    pub markets: Vec<(String, String)>,
    /// `SMS_COUNTRIES`, upper case.
    pub sms_countries: Vec<String>,
    /// Mail is configured.
    pub email: bool,
    /// SMS is configured.
    pub sms: bool,
    /// `http` URLs on loopback hosts are taken.
    pub loopback: bool,
    /// Known template folders; `link` is always among them.
    pub templates: Vec<String>,
}

/// A checked body of `POST /v1/links`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// What is sold.
    pub sale: Sale,
    /// How Klarna's page looks.
    pub page: Page,
    /// Whether Klarna captures at once: as asked, else by use case.
    pub auto_capture: bool,
    /// The integrator's own pairs.
    pub metadata: Vec<(String, String)>,
    /// On whose behalf.
    pub agent: Option<String>,
    /// Messages to send, ≤ 10, no two equal.
    pub send: Vec<Send>,
    /// The link's own end, as asked for; absent = the session's end at Klarna.
    pub wanted_end: Option<Timestamp>,
    /// What to do when the reference is taken.
    pub on_duplicate: OnDuplicate,
}

/// One message that is asked for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Send {
    /// Where it goes.
    pub to: Recipient,
    /// Folder of templates.
    pub template: String,
}

impl Send {
    /// Whether both put the same message into the same inbox. No mail provider of note tells
    /// `A@x.com` from `a@x.com`, and the limits per recipient do not either.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        self.template == other.template
            && self.to.channel() == other.to.channel()
            && self.to.as_str().eq_ignore_ascii_case(other.to.as_str())
    }
}

/// `contract.md`, Duplicates.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum OnDuplicate {
    #[default]
    Refuse,
    Allow,
    Replace,
}
words!(OnDuplicate { Refuse = "refuse", Allow = "allow", Replace = "replace" });

/// A checked body of `POST /v1/links/{id}/deliveries`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SendRequest {
    /// The message.
    pub send: Send,
    /// On whose behalf.
    pub agent: Option<String>,
}

/// A checked body of `POST /v1/links/{id}/disable`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DisableRequest {
    /// One of the five words that a caller may say.
    pub reason: Option<Closing>,
    /// Free words, ≤ 255.
    pub note: Option<String>,
}

/// The body of `POST /v1/links/{id}/renew`; see [`RenewRequest::parse`].
#[derive(Clone, Copy, Debug)]
pub struct RenewRequest;

/// The body of a call that takes none; see [`NoRequest::parse`].
#[derive(Clone, Copy, Debug)]
pub struct NoRequest;

impl Request {
    /// Checks a body of `POST /v1/links` against every rule of `contract.md`.
    ///
    /// # Errors
    /// All faults, never none.
    pub fn parse(body: &Tree, defaults: &Defaults, now: Timestamp) -> Result<Self, Vec<Fault>> {
        let country = country(body, defaults);
        let mut walk = Walk::new(country.as_deref(), defaults.loopback);
        walk.members(body, grammar::CREATE);
        let sale = sale(
            body,
            grammar::CREATE,
            country.as_deref(),
            defaults,
            &mut walk,
        );
        born(body, now, &mut walk);
        let billing = Billing::read(body, &walk);
        let send = send::sends(body, &billing, defaults, &mut walk);
        let wanted_end = expiry::end(body, now, &mut walk);
        let whole = sale.and_then(|sale| {
            let page = match body.get("page") {
                Some(page) => Page::from_tree(page)?,
                None => Page::default(),
            };
            Some(Self {
                auto_capture: body
                    .flag("auto_capture")
                    .unwrap_or_else(|| sale.use_case.auto_capture()),
                page,
                metadata: body.get("metadata").map(pairs).unwrap_or_default(),
                agent: body.text("agent").map(str::to_owned),
                send,
                wanted_end,
                on_duplicate: body
                    .text("on_duplicate")
                    .and_then(OnDuplicate::from_word)
                    .unwrap_or_default(),
                sale,
            })
        });
        walk.finish(whole)
    }
}

impl SendRequest {
    /// Checks `{channel, to?, template?, agent?}`; a missing `to` is the sale's billing address.
    ///
    /// # Errors
    /// All faults, never none.
    pub fn parse(body: &Tree, sale: &Sale, defaults: &Defaults) -> Result<Self, Vec<Fault>> {
        let mut walk = Walk::new(Some(&sale.country), defaults.loopback);
        walk.members(body, grammar::DELIVER);
        let billing = Billing::of(sale.billing.as_ref());
        let send = send::send(body, &billing, defaults, &mut walk);
        walk.finish(send.map(|send| Self {
            send,
            agent: body.text("agent").map(str::to_owned),
        }))
    }
}

impl NoRequest {
    /// Checks that an object says nothing.
    ///
    /// # Errors
    /// All faults, never none.
    pub fn parse(body: &Tree) -> Result<(), Vec<Fault>> {
        let mut walk = Walk::new(None, false);
        walk.members(body, &[]);
        walk.finish(Some(()))
    }
}

impl DisableRequest {
    /// Checks `{reason?, note?}`. A request without a body is an empty map.
    ///
    /// # Errors
    /// All faults, never none.
    pub fn parse(body: &Tree) -> Result<Self, Vec<Fault>> {
        let mut walk = Walk::new(None, false);
        walk.members(body, grammar::DISABLE);
        walk.finish(Some(Self {
            reason: body.text("reason").and_then(Closing::from_word),
            note: said(body, "note"),
        }))
    }
}

impl RenewRequest {
    /// Checks `{expires_in?, expires_at?, send?, sale?}` and makes of it and of the old link the
    /// whole request for the new one. A given `sale` takes the place of the old one whole; only
    /// reference, use case, country, currency and locale come from the old one where it is silent.
    /// Page, metadata, agent and capture are the old link's.
    ///
    /// # Errors
    /// All faults, never none.
    pub fn parse(
        body: &Tree,
        old: &Link,
        defaults: &Defaults,
        now: Timestamp,
    ) -> Result<Request, Vec<Fault>> {
        let defaults = Defaults {
            country: Some(old.sale.country.clone()),
            currency: Some(old.sale.currency.clone()),
            locale: Some(old.sale.locale.clone()),
            ..defaults.clone()
        };
        let given = body.get("sale").map(|given| with_old(given, &old.sale));
        let country = match &given {
            Some(given) => country(given, &defaults),
            None => Some(old.sale.country.clone()),
        };
        let mut walk = Walk::new(country.as_deref(), defaults.loopback);
        walk.members(body, grammar::RENEW);
        let (sale, billing) = match &given {
            None => (
                Some(old.sale.clone()),
                Billing::of(old.sale.billing.as_ref()),
            ),
            Some(given) => walk.at("sale", |walk| {
                let sale = sale(given, grammar::SALE, country.as_deref(), &defaults, walk);
                born(given, now, walk);
                (sale, Billing::read(given, walk))
            }),
        };
        let send = send::sends(body, &billing, &defaults, &mut walk);
        let wanted_end = expiry::end(body, now, &mut walk);
        walk.finish(sale.map(|sale| Request {
            sale,
            page: old.page.clone(),
            auto_capture: old.auto_capture,
            metadata: old.metadata.clone(),
            agent: old.agent.clone(),
            send,
            wanted_end,
            on_duplicate: OnDuplicate::Refuse,
        }))
    }
}

/// A customer who is not born yet is refused here, as Klarna would, and not after a link was made.
fn born(sale: &Tree, now: Timestamp, walk: &mut Walk) {
    let Some(customer) = sale.get("customer") else {
        return;
    };
    let today = jiff::tz::Offset::UTC.to_datetime(now).date();
    let day = customer.text("date_of_birth");
    let day = day.and_then(|day| day.parse::<jiff::civil::Date>().ok());
    if day.is_some_and(|day| day > today) {
        walk.at("customer", |walk| {
            walk.fault_at(
                "date_of_birth",
                Code::OutOfRange,
                "must not be in the future",
            );
        });
    }
}

/// A given sale with the old one's reference and use case, where it does not say its own.
fn with_old(given: &Tree, old: &Sale) -> Tree {
    let Tree::Map(members) = given else {
        return given.clone();
    };
    let mut members = members.clone();
    let mut fill = |names: &[&str], word: &str| {
        if names.iter().all(|name| given.get(name).is_none())
            && let Some(name) = names.first()
        {
            members.retain(|(it, _)| it != name);
            members.push(((*name).to_owned(), Tree::Text(word.to_owned())));
        }
    };
    fill(&["reference", "merchant_reference1"], &old.reference);
    fill(&["use_case"], old.use_case.as_str());
    Tree::Map(members)
}

fn pairs(metadata: &Tree) -> Vec<(String, String)> {
    metadata
        .members()
        .iter()
        .filter_map(|(name, value)| match value {
            Tree::Text(value) => Some((name.clone(), value.clone())),
            _ => None,
        })
        .collect()
}
