//! The one room that speaks Klarna's language: KCO, HPP and Order Management over HTTP
//! (klarna.md). It makes one call at a time and says what it proved; repeating is the worker's
//! affair. It must not know of the database, of jobs, or of what a link does next.

mod error;
mod gate;
mod hosts;
mod money;
mod qr;
mod settings;
mod shared;
mod transport;
mod wire;

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine as _;
use jiff::{SignedDuration, Timestamp};
use reqwest::Method;
use reqwest::header::HeaderValue;
use secrecy::ExposeSecret;
use serde::Serialize;
use serde::de::DeserializeOwned;
use url::Url;
use uuid::Uuid;

use crate::clock::Clock;
use crate::link::{Email, Link, OrderNews, Pair, PaymentNews, Phone, Reading, SessionNews};
use crate::random::Random;
use error::clean;
use gate::Bucket;
use transport::{Answer, Call, Op, Setup, Transport};
use wire::{hpp, kco, om};

pub use error::KlarnaError;
pub use gate::{Circuit, Opening, Turned};
pub use hosts::AllowedHost;
pub use money::Movement;
pub use settings::{KlarnaSettings, LinkSource};
pub use shared::Limit;

/// The client could not be built from its settings.
#[derive(Debug)]
pub struct Unbuilt(Box<dyn std::error::Error + Send + Sync>);

impl fmt::Display for Unbuilt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the klarna client cannot be built: check KLARNA_USERNAME, KLARNA_PASSWORD and SSL_CERT_FILE")
    }
}
impl std::error::Error for Unbuilt {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&*self.0)
    }
}

/// A session that a buyer can pay at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opened {
    /// The order and its session.
    pub pair: Pair,
    /// The session's end.
    pub until: Timestamp,
    /// Klarna's own picture of a QR code, as it was answered; shown to an operator, never to a buyer.
    pub qr_code_url: Option<String>,
}

/// Klarna's own way to tell the buyer, where it is used instead of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Distribution {
    /// By e-mail.
    Email(Email),
    /// By SMS; `country` is the number's, ISO 3166-1 alpha-2.
    #[allow(missing_docs)]
    Sms { to: Phone, country: String },
    /// To the app whose QR code said this.
    Token(String),
}

/// How the client stands, for metrics and the console.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Vitals {
    /// Opens on repeated connection failures, timeouts and 5xx; holds back all calls but disables.
    pub outage: Circuit,
    /// Opens on 401 and 403 of a create; holds back creates.
    pub access: Circuit,
    /// Creates that may be made at once; `None` without a limit.
    pub creates_left: Option<u32>,
}

/// The client. Clones share connections, breakers and the token bucket.
#[derive(Clone, Debug)]
pub struct Klarna {
    settings: Arc<KlarnaSettings>,
    base: Arc<str>,
    transport: Transport,
    creates: Bucket,
    reads: Bucket,
    clock: Clock,
    /// Words of Klarna's that were logged as unknown; links are read often, once is enough.
    unheard: Arc<Mutex<BTreeSet<String>>>,
}

impl Klarna {
    /// A client that has not connected yet.
    pub fn new(settings: KlarnaSettings, clock: Clock, random: Random) -> Result<Self, Unbuilt> {
        let plain = format!(
            "{}:{}",
            settings.username,
            settings.password.expose_secret()
        );
        let plain = base64::engine::general_purpose::STANDARD.encode(plain);
        let mut authorization = HeaderValue::try_from(format!("Basic {plain}"))
            .map_err(|fault| Unbuilt(Box::new(fault)))?;
        authorization.set_sensitive(true);
        let setup = Setup {
            authorization,
            loopback: hosts::loopback(&settings.base),
            connect_timeout: settings.connect_timeout,
            timeout: settings.timeout,
        };
        Ok(Self {
            transport: Transport::new(setup, clock.clone(), random).map_err(Unbuilt)?,
            creates: Bucket::new(settings.creates_per_second, clock.clone()),
            reads: Bucket::new(settings.reads_per_second, clock.clone()),
            base: settings.base.as_str().trim_end_matches('/').into(),
            settings: Arc::new(settings),
            clock,
            unheard: Arc::default(),
        })
    }

    /// How breakers and bucket stand now.
    pub fn vitals(&self) -> Vitals {
        Vitals {
            outage: self.transport.outage.circuit(),
            access: self.transport.access.circuit(),
            creates_left: self.creates.left(),
        }
    }

    /// Creates the KCO order of a link; its id. Not idempotent: after `Unknown` a stray may exist,
    /// which nobody was shown. `token` names the link in the merchant URLs. Takes one token of the
    /// bucket for the whole pair, so that no order is made whose session would have to wait.
    pub async fn create_order(&self, link: &Link, token: &str) -> Result<String, KlarnaError> {
        if let Err(wait) = self.creates.take() {
            metrics::counter!("paylink_klarna_throttled_total").increment(1);
            return Err(KlarnaError::Busy {
                retry_after: Some(wait),
                refusal: None,
            });
        }
        let op = Op::CreateOrder;
        let body = kco::Order::of(link, token, &self.settings);
        let answer: kco::OrderAnswer = self.post(op, "/checkout/v3/orders", &body).await?;
        answer
            .order_id
            .filter(|id| safe(id))
            .ok_or_else(|| op.unknown("the answer names no order"))
    }

    /// Creates the HPP session of `order`, the `number`th pair of the link.
    pub async fn create_session(
        &self,
        link: &Link,
        order: &str,
        token: &str,
        number: u8,
    ) -> Result<Opened, KlarnaError> {
        let op = Op::CreateSession;
        let order_url = self.url(op, "/checkout/v3/orders/", order, "")?;
        let body = hpp::Session::of(link, order_url, token, &self.settings);
        let answer: hpp::SessionAnswer = self.post(op, "/hpp/v1/sessions", &body).await?;
        let session = answer
            .session_id
            .filter(|id| safe(id))
            .ok_or_else(|| op.unusable("the answer names no session"))?;
        let now = self.clock.now();
        // absent only in theory; a session lives 47 h, and the first read corrects us (klarna.md §1.6)
        let until = answer.expires_at.unwrap_or_else(|| {
            now.checked_add(SignedDuration::from_hours(47))
                .unwrap_or(now)
        });
        if until <= now {
            return Err(op.unusable("the session's end is in the past"));
        }
        let url = match self.settings.source {
            LinkSource::Redirect => answer.redirect_url,
            LinkSource::Qr => Some(self.read_qr(op, answer.qr_code_url.clone()).await?),
        };
        let url = self.own(op, url)?;
        Ok(Opened {
            pair: Pair {
                number,
                order: order.to_owned(),
                session,
                url,
                id_check_url: self.offered(answer.manual_identification_check_url),
            },
            until,
            qr_code_url: answer.qr_code_url,
        })
    }

    /// Reads an HPP session. `NotFound` means that its end came.
    pub async fn read_session(&self, session: &str) -> Result<SessionNews, KlarnaError> {
        let op = Op::ReadSession;
        let url = self.url(op, "/hpp/v1/sessions/", session, "")?;
        let answer: hpp::SessionAnswer = self.get(op, url).await?;
        if answer.session_id.is_some_and(|id| id != session) {
            return Err(op.unknown("the answer is about another session"));
        }
        let raw = answer
            .status
            .and_then(|word| clean(&word, 64))
            .ok_or_else(|| op.unknown("the answer has no status"))?;
        Ok(SessionNews {
            reading: hpp::reading(&raw).unwrap_or_else(|| {
                self.unheard(op, &raw);
                Reading::Unclear
            }),
            raw,
            order: answer.order_id.and_then(|it| clean(&it, 255)),
            klarna_reference: answer.klarna_reference.and_then(|it| clean(&it, 100)),
            updated_at: answer.updated_at,
            expires_at: answer.expires_at,
            id_check_url: self.offered(answer.manual_identification_check_url),
        })
    }

    /// Disables an HPP session for good. `Refused` (400): the buyer has paid, or is just paying:
    /// read back. `NotFound`: its end came. `Unknown` after any success but 204: a page of a proxy's
    /// closes nothing. Not held back by an open breaker.
    pub async fn disable_session(&self, session: &str) -> Result<(), KlarnaError> {
        let op = Op::DisableSession;
        let url = self.url(op, "/hpp/v1/sessions/", session, "")?;
        self.send(op, Method::DELETE, url, None, None)
            .await
            .map(drop)
    }

    /// Lets Klarna send the page's address.
    pub async fn distribute(&self, session: &str, by: &Distribution) -> Result<(), KlarnaError> {
        let op = Op::Distribute;
        let url = self.url(op, "/hpp/v1/sessions/", session, "/distribution")?;
        let body = written(op, &hpp::DistributionRequest::of(by))?;
        self.send(op, Method::POST, url, Some(body), None)
            .await
            .map(drop)
    }

    /// Reads a KCO order. `NotFound` may mean expired, or completed and already moved to Order
    /// Management (klarna.md §3.6).
    pub async fn read_order(&self, order: &str) -> Result<OrderNews, KlarnaError> {
        let op = Op::ReadOrder;
        let url = self.url(op, "/checkout/v3/orders/", order, "")?;
        let answer: kco::OrderAnswer = self.get(op, url).await?;
        let raw = answer
            .status
            .and_then(|word| clean(&word, 64))
            .ok_or_else(|| op.unknown("the answer has no status"))?;
        Ok(OrderNews {
            order: named(answer.order_id, order),
            complete: raw.eq_ignore_ascii_case("checkout_complete"),
            raw,
            amount: answer.order_amount,
            currency: answer.purchase_currency.and_then(|it| currency(&it)),
            merchant_reference2: answer.merchant_reference2.and_then(|it| clean(&it, 255)),
        })
    }

    /// Aborts a KCO order, so that it cannot be paid; done when the order comes back.
    /// `Forbidden` with status 403: it is read-only, perhaps paid.
    pub async fn abort_order(&self, order: &str) -> Result<(), KlarnaError> {
        let op = Op::AbortOrder;
        let url = self.url(op, "/checkout/v3/orders/", order, "/abort")?;
        let body = self.send(op, Method::POST, url, None, None).await?;
        understood::<kco::OrderAnswer>(op, &body).map(drop)
    }

    /// Reads the order in Order Management. That it answers proves the payment; `NotFound` proves
    /// nothing just after the completion.
    pub async fn read_payment(&self, order: &str) -> Result<PaymentNews, KlarnaError> {
        let op = Op::ReadPayment;
        let url = self.url(op, "/ordermanagement/v1/orders/", order, "")?;
        let answer: om::OrderAnswer = self.get(op, url).await?;
        if let Err(word) = answer.status() {
            self.unheard(op, &word);
        }
        Ok(PaymentNews {
            order: named(answer.order_id.clone(), order),
            amount: answer.authorised(),
            currency: answer.purchase_currency.as_deref().and_then(currency),
            merchant_reference2: answer
                .merchant_reference2
                .as_deref()
                .and_then(|it| clean(it, 255)),
            klarna_reference: answer
                .klarna_reference
                .as_ref()
                .and_then(|it| clean(it, 100)),
            captures: answer.captures(),
            refunds: answer.refunds(),
            payment: answer.payment(),
        })
    }

    /// Tells Order Management that we know of the order: no more pushes. Repeating it under the
    /// same key within 24 h does nothing twice.
    pub async fn acknowledge(&self, order: &str, key: Uuid) -> Result<(), KlarnaError> {
        let op = Op::Acknowledge;
        let url = self.url(op, "/ordermanagement/v1/orders/", order, "/acknowledge")?;
        self.send(op, Method::POST, url, None, Some(key))
            .await
            .map(drop)
    }

    /// A path of ours at the configured host. Ids come out of answers, so they are looked at before
    /// they become part of a path that our credentials go to.
    fn url(&self, op: Op, before: &str, id: &str, after: &str) -> Result<String, KlarnaError> {
        if !safe(id) {
            return Err(KlarnaError::NotDone {
                detail: format!("klarna {}: an id that is none of klarna's", op.as_str()),
            });
        }
        Ok(format!("{}{before}{id}{after}", self.base))
    }

    async fn send(
        &self,
        op: Op,
        method: Method,
        url: String,
        body: Option<Vec<u8>>,
        idempotency: Option<Uuid>,
    ) -> Result<Vec<u8>, KlarnaError> {
        let answer = self.exchange(op, method, url, body, idempotency).await?;
        Ok(answer.body)
    }

    async fn exchange(
        &self,
        op: Op,
        method: Method,
        url: String,
        body: Option<Vec<u8>>,
        idempotency: Option<Uuid>,
    ) -> Result<Answer, KlarnaError> {
        let call = Call {
            op,
            method,
            url,
            body,
            idempotency,
        };
        let answer = self.transport.call(call).await?;
        match op.done() {
            Some(done) if answer.status != done => Err(op.unknown(format_args!(
                "answered {} where only {done} means done",
                answer.status
            ))),
            _ => Ok(answer),
        }
    }

    async fn post<A: DeserializeOwned>(
        &self,
        op: Op,
        path: &str,
        body: &impl Serialize,
    ) -> Result<A, KlarnaError> {
        let body = written(op, body)?;
        let url = format!("{}{path}", self.base);
        understood(
            op,
            &self.send(op, Method::POST, url, Some(body), None).await?,
        )
    }

    async fn get<A: DeserializeOwned>(&self, op: Op, url: String) -> Result<A, KlarnaError> {
        understood(op, &self.send(op, Method::GET, url, None, None).await?)
    }

    async fn read_qr(&self, op: Op, url: Option<String>) -> Result<String, KlarnaError> {
        let url = self.own(op, url)?;
        let png = self
            .transport
            .fetch(&url)
            .await
            .map_err(|fault| match fault {
                // the session exists: that its picture was not fetched proves nothing "not done"
                KlarnaError::NotDone { .. } | KlarnaError::Busy { .. } => {
                    op.unknown("its QR picture could not be fetched")
                }
                KlarnaError::Unknown { detail } => KlarnaError::Unknown { detail },
                _ => op.unusable("its QR picture is refused"),
            })?;
        // a panic in the decoder would end here as a failed task
        let text = tokio::task::spawn_blocking(move || qr::read(&png)).await;
        text.ok()
            .flatten()
            .ok_or_else(|| op.unusable("its QR picture cannot be read"))
    }

    /// A URL that may be shown to a buyer.
    fn own(&self, op: Op, url: Option<String>) -> Result<String, KlarnaError> {
        let url = url.ok_or_else(|| op.unusable("the answer has no page URL"))?;
        if !hosts::allowed(&url, &self.settings.hosts) {
            let host = Url::parse(&url).ok();
            let host = host
                .as_ref()
                .and_then(Url::host_str)
                .and_then(|it| clean(it, 255));
            return Err(op.unusable(format_args!(
                "a page URL on a host that KLARNA_LINK_HOSTS does not name: {}",
                host.as_deref().unwrap_or("none")
            )));
        }
        Ok(url)
    }

    /// Logs an unknown status word, the first time it is met (failure-model R9).
    fn unheard(&self, op: Op, word: &str) {
        let mut met = self.unheard.lock().unwrap_or_else(PoisonError::into_inner);
        let word = clean(word, 64).unwrap_or_default();
        // bounded, should Klarna's side ever answer noise
        if met.len() < 100 && met.insert(word.clone()) {
            tracing::warn!(
                op = op.as_str(),
                word,
                "klarna has a status that paylink does not know"
            );
        }
    }

    /// A URL for the clerk; one that is not Klarna's is left out, the rest is still of use.
    fn offered(&self, url: Option<String>) -> Option<String> {
        url.filter(|it| hosts::allowed(it, &self.settings.hosts))
    }
}

/// The order that an answer is about: the one that was asked for, unless it names another.
fn named(answered: Option<String>, asked: &str) -> String {
    answered
        .and_then(|it| clean(&it, 255))
        .unwrap_or_else(|| asked.to_owned())
}

fn currency(word: &str) -> Option<String> {
    clean(word, 10).map(|it| it.to_ascii_uppercase())
}

/// Whether an id can stand in a path and mean nothing but itself.
fn safe(id: &str) -> bool {
    (1..=255).contains(&id.len())
        && id
            .bytes()
            .all(|it| it.is_ascii_alphanumeric() || matches!(it, b'-' | b'_'))
}

fn written(op: Op, body: &impl Serialize) -> Result<Vec<u8>, KlarnaError> {
    serde_json::to_vec(body).map_err(|fault| KlarnaError::NotDone {
        detail: format!(
            "klarna {}: the body cannot be written: {fault}",
            op.as_str()
        ),
    })
}

fn understood<A: DeserializeOwned>(op: Op, body: &[u8]) -> Result<A, KlarnaError> {
    // by way of a value: serde would take an array for a struct, and say of a duplicate member
    // that the whole is wrong
    match serde_json::from_slice::<serde_json::Value>(body) {
        Ok(value @ serde_json::Value::Object(_)) => {
            serde_json::from_value(value).map_err(|_| op.unknown("an answer that cannot be read"))
        }
        _ => Err(op.unknown("an answer that is no JSON object")),
    }
}
