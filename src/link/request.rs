//! What callers may ask of links, with everything checked: [`Request`] for a new link,
//! [`RenewRequest`], [`SendRequest`] and [`DisableRequest`]. All faults of a body are reported
//! together, each where it is.

use jiff::Timestamp;

use super::delivery::Recipient;
use super::fault::Fault;
use super::sale::{LineKind, Page, Sale};
use super::stage::Closing;
use super::tree::Tree;
use super::{Link, sale::words};

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

impl Request {
    /// Checks a body of `POST /v1/links` against every rule of `contract.md`.
    ///
    /// # Errors
    /// All faults, never none.
    pub fn parse(body: &Tree, defaults: &Defaults, now: Timestamp) -> Result<Self, Vec<Fault>> {
        let _ = (body, defaults, now);
        unimplemented!("follows")
    }
}

impl SendRequest {
    /// Checks `{channel, to?, template?, agent?}`; a missing `to` is the sale's billing address.
    ///
    /// # Errors
    /// All faults, never none.
    pub fn parse(body: &Tree, sale: &Sale, defaults: &Defaults) -> Result<Self, Vec<Fault>> {
        let _ = (body, sale, defaults);
        unimplemented!("follows")
    }
}

impl DisableRequest {
    /// Checks `{reason?, note?}`. A request without a body is an empty map.
    ///
    /// # Errors
    /// All faults, never none.
    pub fn parse(body: &Tree) -> Result<Self, Vec<Fault>> {
        let _ = body;
        unimplemented!("follows")
    }
}

impl RenewRequest {
    /// Checks `{expires_in?, expires_at?, send?, sale?}` and makes of it and of the old link the
    /// whole request for the new one.
    ///
    /// # Errors
    /// All faults, never none.
    pub fn parse(
        body: &Tree,
        old: &Link,
        defaults: &Defaults,
        now: Timestamp,
    ) -> Result<Request, Vec<Fault>> {
        let _ = (body, old, defaults, now);
        unimplemented!("follows")
    }
}
