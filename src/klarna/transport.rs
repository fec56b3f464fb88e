//! One HTTP exchange with Klarna and what it proves (failure-model.md, Three outcomes). It knows
//! statuses, headers and limits; it must not know what a body means.

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use jiff::SignedDuration;
use reqwest::header::{
    ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER,
};
use reqwest::{Client, Method, RequestBuilder, Response};
use tokio::sync::Notify;

use super::error::{KlarnaError, clean, refusal};
use super::gate::{Breaker, Pass};
use crate::chaos::{self, Bug};
use crate::clock::Clock;
use crate::random::Random;

/// The most that is read of an answer (failure-model R12).
pub(super) const ANSWER_LIMIT: usize = 1024 * 1024;

/// A wait that Klarna asks for is believed up to here; beyond it somebody mixed up units.
const LONGEST_WAIT: u64 = 3600;

/// Failures in a row after which Klarna counts as down.
pub(super) const OUTAGE_AFTER: u32 = 5;
const OUTAGE: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(30));
/// `contract.md`, Answers: 401 and 403 of a create.
const NO_ACCESS: Duration = Duration::from_mins(1);

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("klarna-idempotency-key");
const CORRELATION_ID: HeaderName = HeaderName::from_static("klarna-correlation-id");

/// The calls that there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Op {
    CreateOrder,
    ReadOrder,
    AbortOrder,
    CreateSession,
    ReadSession,
    DisableSession,
    Distribute,
    ReadPayment,
    Acknowledge,
    Capture,
    Refund,
    Cancel,
    Release,
    Extend,
    References,
    Authorization,
    FetchQr,
}

impl Op {
    /// The label of metrics and logs.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::CreateOrder => "create_order",
            Self::ReadOrder => "read_order",
            Self::AbortOrder => "abort_order",
            Self::CreateSession => "create_session",
            Self::ReadSession => "read_session",
            Self::DisableSession => "disable_session",
            Self::Distribute => "distribute",
            Self::ReadPayment => "om_get",
            Self::Acknowledge => "acknowledge",
            Self::Capture => "capture",
            Self::Refund => "refund",
            Self::Cancel => "cancel",
            Self::Release => "release",
            Self::Extend => "extend",
            Self::References => "merchant_references",
            Self::Authorization => "update_authorization",
            Self::FetchQr => "fetch_qr",
        }
    }

    fn creates(self) -> bool {
        matches!(self, Self::CreateOrder | Self::CreateSession)
    }

    /// Not put off by an open breaker: until a disable is done, the buyer may still pay.
    fn urgent(self) -> bool {
        self == Self::DisableSession
    }

    /// The one status that means "done" where an answer is believed for its status: with another
    /// success something between us answered, and may have kept the call to itself. `None` where
    /// the body is what is believed, and for *distribute*, whose success is told in three ways
    /// (klarna.md §1.4).
    pub(super) fn done(self) -> Option<u16> {
        match self {
            Self::AbortOrder => Some(200),
            Self::Capture | Self::Refund => Some(201),
            Self::DisableSession
            | Self::Acknowledge
            | Self::Cancel
            | Self::Release
            | Self::Extend
            | Self::References
            | Self::Authorization => Some(204),
            Self::CreateOrder
            | Self::ReadOrder
            | Self::CreateSession
            | Self::ReadSession
            | Self::Distribute
            | Self::ReadPayment
            | Self::FetchQr => None,
        }
    }

    /// An error of this call in words.
    pub(super) fn unknown(self, what: impl std::fmt::Display) -> KlarnaError {
        KlarnaError::Unknown {
            detail: format!("klarna {}: {what}", self.as_str()),
        }
    }

    /// An answer of this call that was of no use.
    pub(super) fn unusable(self, what: impl std::fmt::Display) -> KlarnaError {
        KlarnaError::Unusable {
            detail: format!("klarna {}: {what}", self.as_str()),
        }
    }
}

/// What is sent.
pub(super) struct Call {
    pub(super) op: Op,
    pub(super) method: Method,
    pub(super) url: String,
    pub(super) body: Option<Vec<u8>>,
    pub(super) idempotency: Option<uuid::Uuid>,
}

/// What came back with a 2xx.
pub(super) struct Answer {
    pub(super) status: u16,
    headers: HeaderMap,
    pub(super) body: Vec<u8>,
}

impl Answer {
    /// The first header of this name, where it is text.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

/// The connection pool with the breakers before it.
#[derive(Clone, Debug)]
pub(super) struct Transport {
    client: Client,
    authorization: HeaderValue,
    clock: Clock,
    random: Random,
    pub(super) outage: Breaker,
    pub(super) access: Breaker,
    /// Told when one of the breakers turned.
    pub(super) turned: Arc<Notify>,
    /// The process ends: no call begins.
    pub(super) closed: Arc<AtomicBool>,
}

/// How the client is set up.
pub(super) struct Setup {
    pub(super) authorization: HeaderValue,
    pub(super) loopback: bool,
    pub(super) connect_timeout: Duration,
    pub(super) timeout: Duration,
}

impl Transport {
    /// Builds the pool. The TLS provider is passed along, so that nothing depends on a
    /// process-wide one; trusted CAs are the system's, or those of `SSL_CERT_FILE`.
    pub(super) fn new(
        setup: Setup,
        clock: Clock,
        random: Random,
    ) -> Result<Self, Box<dyn Error + Send + Sync>> {
        let mut roots = rustls::RootCertStore::empty();
        let found = rustls_native_certs::load_native_certs();
        let (taken, _) = roots.add_parsable_certificates(found.certs);
        if taken == 0 && !setup.loopback {
            return Err(found.errors.into_iter().next().map_or_else(
                || "no trusted CA certificates found: set SSL_CERT_FILE".into(),
                |fault| Box::new(fault) as Box<dyn Error + Send + Sync>,
            ));
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        // An idle connection must be dropped before the server drops it, else a request meets the
        // server's FIN: actix closes after 5 s, the usual load balancers after 60 s.
        let idle = Duration::from_secs(if setup.loopback { 4 } else { 30 });
        let client = Client::builder()
            .tls_backend_preconfigured(tls)
            .redirect(if chaos::planted(Bug::FollowRedirect) {
                reqwest::redirect::Policy::default()
            } else {
                reqwest::redirect::Policy::none()
            })
            .referer(false)
            // a proxy out of the environment would see every buyer; it would have to be a setting
            .no_proxy()
            .user_agent(concat!(
                "paylink/",
                env!("CARGO_PKG_VERSION"),
                " Library/paylink_",
                env!("CARGO_PKG_VERSION"),
                " (reqwest; rustls) Language/Rust"
            ))
            .connect_timeout(setup.connect_timeout)
            .timeout(setup.timeout)
            .pool_idle_timeout(idle)
            .pool_max_idle_per_host(64)
            .tcp_nodelay(true)
            .build()?;
        let turned = Arc::<Notify>::default();
        let breaker =
            |name, threshold| Breaker::new(name, threshold, clock.clone(), Arc::clone(&turned));
        Ok(Self {
            client,
            authorization: setup.authorization,
            outage: breaker("outage", OUTAGE_AFTER),
            access: breaker("access", 1),
            turned,
            closed: Arc::default(),
            clock,
            random,
        })
    }

    /// Makes one call with our credentials. The answer, or what went wrong.
    pub(super) async fn call(&self, call: Call) -> Result<Answer, KlarnaError> {
        let op = call.op;
        let open = |until| KlarnaError::Open { until };
        if self.closed.load(Ordering::Acquire) {
            let soon = SignedDuration::from_secs(1);
            let now = self.clock.now();
            return Err(open(now.saturating_add(soon).unwrap_or(now)));
        }
        let outage = self.outage.enter(op.urgent()).map_err(open)?;
        let access = if op.creates() {
            Some(self.access.enter(false).map_err(open)?)
        } else {
            None
        };
        let mut request = self
            .client
            .request(call.method, call.url)
            .header(AUTHORIZATION, self.authorization.clone())
            .header(ACCEPT, "application/json");
        if let Some(key) = call.idempotency {
            request = request.header(IDEMPOTENCY_KEY, key.to_string());
        }
        if let Some(body) = call.body {
            request = request.header(CONTENT_TYPE, "application/json").body(body);
        }
        let answer = self.exchange(op, request).await;
        report(op, outage, access, &answer);
        answer
    }

    /// Fetches a public picture: without credentials, and without a say in the breakers, because
    /// it may come from another host.
    pub(super) async fn fetch(&self, url: &str) -> Result<Vec<u8>, KlarnaError> {
        let answer = self.exchange(Op::FetchQr, self.client.get(url)).await?;
        Ok(answer.body)
    }

    async fn exchange(&self, op: Op, request: RequestBuilder) -> Result<Answer, KlarnaError> {
        let begun = Instant::now();
        // ours, for the calls that no answer of Klarna's gives a name to
        let call = format!("{:016x}", u64::from_be_bytes(self.random.bytes()));
        tracing::trace!(op = op.as_str(), call, "klarna call begins");
        let mut correlation = None;
        let answer = match request.send().await {
            Ok(response) => {
                correlation = header(response.headers(), &CORRELATION_ID);
                self.read(op, response, correlation.as_deref()).await
            }
            // the one failure before which no byte of ours can have reached Klarna
            Err(fault) if fault.is_connect() => Err(KlarnaError::NotDone {
                detail: format!("klarna {}: no connection: {}", op.as_str(), chain(fault)),
            }),
            Err(fault) if fault.is_timeout() => Err(op.unknown("no answer in time")),
            Err(fault) => Err(op.unknown(chain(fault))),
        };
        let outcome = answer
            .as_ref()
            .map_or_else(KlarnaError::outcome, |_| "done");
        let took = begun.elapsed();
        metrics::histogram!("paylink_klarna_seconds", "op" => op.as_str(), "outcome" => outcome)
            .record(took.as_secs_f64());
        let (op, ms) = (op.as_str(), took.as_millis());
        match &answer {
            Ok(_) => tracing::debug!(op, call, outcome, ms, correlation, "klarna call"),
            Err(fault) => {
                tracing::info!(op, call, outcome, ms, correlation, %fault, "klarna call");
            }
        }
        answer
    }

    async fn read(
        &self,
        op: Op,
        mut response: Response,
        correlation: Option<&str>,
    ) -> Result<Answer, KlarnaError> {
        let status = response.status();
        let wait = (status.as_u16() == 429).then(|| self.wait(response.headers()));
        let mut body = Vec::new();
        let fault = loop {
            match response.chunk().await {
                Ok(Some(chunk)) if body.len() + chunk.len() > ANSWER_LIMIT => {
                    break Some(format!("an answer of more than {ANSWER_LIMIT} bytes"));
                }
                Ok(Some(chunk)) => body.extend_from_slice(&chunk),
                Ok(None) => break None,
                Err(fault) => break Some(format!("half an answer: {}", chain(fault))),
            }
        };
        let code = status.as_u16();
        // a 4xx proves by its status alone that nothing was done, however its body ends
        if status.is_client_error() {
            let refusal = refusal(code, &body, correlation);
            return Err(match code {
                // the one 4xx of which that is not sure: a gateway on the way says so, too, when
                // what is behind it was too slow
                408 => op.unknown("answered 408"),
                429 => KlarnaError::Busy {
                    retry_after: wait.flatten(),
                    refusal: Some(refusal),
                },
                401 | 403 => KlarnaError::Forbidden(refusal),
                404 => KlarnaError::NotFound(refusal),
                _ => KlarnaError::Refused(refusal),
            });
        }
        match fault {
            _ if !status.is_success() => Err(op.unknown(format_args!("answered {code}"))),
            Some(fault) => Err(op.unknown(fault)),
            None => Ok(Answer {
                status: code,
                headers: std::mem::take(response.headers_mut()),
                body,
            }),
        }
    }

    /// How long a 429 asks us to wait: `Retry-After` in seconds or as a date, else the reset of
    /// its rate-limit headers, in seconds or as a Unix time.
    fn wait(&self, headers: &HeaderMap) -> Option<Duration> {
        let now = self.clock.now().as_second();
        let after = header(headers, &RETRY_AFTER).and_then(|text| {
            text.parse::<i64>().ok().or_else(|| {
                let date = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(&text);
                Some(date.ok()?.as_second() - now)
            })
        });
        let reset = || {
            let (name, _) = headers.iter().find(|(name, _)| {
                let name = name.as_str().replace('-', "");
                name.ends_with("ratelimitreset")
            })?;
            let number = header(headers, name)?.parse::<f64>().ok()?;
            // seconds to go, Unix seconds, or Unix milliseconds, told apart by their size
            #[allow(clippy::cast_possible_truncation)] // bounded just below
            let number = number.clamp(0.0, 1e15).ceil() as i64;
            Some(match number {
                0..1_000_000_000 => number,
                1_000_000_000..1_000_000_000_000 => number - now,
                _ => number / 1000 - now,
            })
        };
        let seconds = u64::try_from(after.or_else(reset)?.max(0)).ok()?;
        Some(Duration::from_secs(seconds.min(LONGEST_WAIT)))
    }
}

/// Tells the breakers what a call proved about the other side.
fn report(
    op: Op,
    outage: Pass<'_>,
    access: Option<Pass<'_>>,
    answer: &Result<Answer, KlarnaError>,
) {
    match answer {
        Err(KlarnaError::NotDone { .. } | KlarnaError::Unknown { .. }) => {
            outage.fails(OUTAGE.0, OUTAGE.1);
            // nothing proved about access: its pass is dropped
        }
        Err(KlarnaError::Forbidden(_)) => {
            outage.works();
            if let Some(access) = access {
                tracing::error!(op = op.as_str(), "klarna refuses our credentials");
                access.fails(NO_ACCESS, NO_ACCESS);
            }
        }
        Err(KlarnaError::Busy { .. }) => outage.works(),
        _ => {
            outage.works();
            if let Some(access) = access {
                access.works();
            }
        }
    }
}

fn header(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    clean(headers.get(name)?.to_str().ok()?, 100)
}

/// The causes of a fault in one line, without the URL: it may hold a session's id.
fn chain(fault: reqwest::Error) -> String {
    let fault = fault.without_url();
    let mut text = fault.to_string();
    let mut source = fault.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    clean(&text, 500).unwrap_or_default()
}
