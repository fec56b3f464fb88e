//! Any gateway that takes one HTTP request per message (`contract.md`, Settings: SMS `http`).
//!
//! How far a request was written cannot be learned from the HTTP client. So it goes out on a
//! connection that is new or idle for less than 4 s: a server that closes an idle one must not
//! make unknowns.

mod settings;

pub use settings::{DEFAULT_BODY, HttpSettings};

use std::time::Duration;

use futures_util::future::BoxFuture;
use handlebars::Handlebars;
use reqwest::header::{DATE, HeaderMap, RETRY_AFTER};
use reqwest::{Client, Method, Response, StatusCode, Url};
use serde_json::{Value, json};

use super::super::outcome::masked;
use super::{Abilities, Outcome, Sms, SmsGateway};
use crate::chaos::{self, Bug};
use crate::link::ReasonCode;
use crate::templates::segments;

/// Answers are read up to this length; what a gateway says about one message is shorter.
const ANSWER: usize = 64 * 1024;

/// How long an id is trusted where the operator says that it may be posted again
/// (`SMS_HTTP_IDEMPOTENT`). The field's usual least; retries end long before.
const IDEMPOTENT_FOR: Duration = Duration::from_hours(24);

/// Posts each message as the settings say.
pub struct HttpGateway {
    client: Client,
    method: Method,
    url: Url,
    headers: HeaderMap,
    /// Strict, unescaped; holds the one template `body`.
    templates: Handlebars<'static>,
    message_id: Option<String>,
    success: Option<Success>,
    idempotent: bool,
}

/// `SMS_HTTP_SUCCESS`: what the answer must hold to be a success.
struct Success {
    pointer: String,
    value: String,
}

impl HttpGateway {
    fn body(&self, sms: &Sms) -> Result<String, handlebars::RenderError> {
        self.templates.render(
            "body",
            &json!({"to": sms.to.as_str(), "from": sms.from, "text": sms.text, "id": sms.id}),
        )
    }

    async fn post(&self, sms: &Sms) -> Outcome {
        let body = match self.body(sms) {
            Ok(body) => body,
            Err(cause) => {
                let cause = format!("SMS_HTTP_BODY could not be filled in: {}", cause.reason());
                return Outcome::refused(ReasonCode::Rejected, cause);
            }
        };
        let request = self
            .client
            .request(self.method.clone(), self.url.clone())
            .headers(self.headers.clone())
            .body(body);
        match request.send().await {
            Ok(answer) => self.judge(sms, answer).await,
            // DNS, refused, TLS: nothing was written, which reqwest proves by this flag alone
            Err(cause) if cause.is_connect() => Outcome::unreached(told(&cause)),
            Err(cause) if cause.is_builder() => {
                Outcome::refused(ReasonCode::Rejected, told(&cause))
            }
            Err(cause) => Outcome::unknown(told(&cause)),
        }
    }

    async fn judge(&self, sms: &Sms, answer: Response) -> Outcome {
        let status = answer.status();
        let wait = asked_wait(answer.headers());
        // absent where the answer broke off or is over the limit
        let body = bounded(answer).await;
        let words = |head: &str| {
            let text = body.as_deref().map(String::from_utf8_lossy);
            let text = masked(
                text.as_deref().unwrap_or(""),
                sms.to.as_str(),
                &sms.to.to_string(),
            );
            let digits = sms.to.as_str().trim_start_matches('+');
            format!("{head} {}", masked(&text, digits, &sms.to.to_string()))
        };
        let said = words(&format!("HTTP {}", status.as_u16()));
        match status {
            StatusCode::TOO_MANY_REQUESTS => Outcome::after(wait, ReasonCode::Rejected, said),
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                Outcome::refused(ReasonCode::GatewayAuth, said)
            }
            status if status.is_redirection() || status.is_client_error() => {
                Outcome::refused(ReasonCode::Rejected, said)
            }
            status if status.is_success() => {
                let parsed = body
                    .as_deref()
                    .and_then(|body| serde_json::from_slice(body).ok());
                match &self.success {
                    Some(success) if !success.met(parsed.as_ref()) => Outcome::unknown(words(
                        &format!("HTTP {}, but without {}", status.as_u16(), success.pointer),
                    )),
                    _ => Outcome::Sent {
                        gateway: self.name().into(),
                        message_id: self.named(parsed.as_ref()),
                        segments: Some(segments(&sms.text).parts),
                        detail: format!("HTTP {}", status.as_u16()),
                    },
                }
            }
            _ if chaos::planted(Bug::RetrySms5xx) => {
                Outcome::after(wait, ReasonCode::Rejected, said)
            }
            _ => Outcome::unknown(said),
        }
    }

    fn named(&self, answer: Option<&Value>) -> Option<String> {
        let found = answer?.pointer(self.message_id.as_deref()?)?;
        plain(found).map(|name| name.chars().take(255).collect())
    }
}

impl Success {
    fn met(&self, answer: Option<&Value>) -> bool {
        answer
            .and_then(|answer| answer.pointer(&self.pointer))
            .and_then(plain)
            .is_some_and(|found| found == self.value)
    }
}

/// A scalar as a person would write it in a setting: `"0"` and `0` are both `0`.
fn plain(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(_) | Value::Bool(_) => Some(value.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// `Retry-After` in seconds, or as a date: measured from the answer's own `Date`, so that the clocks
/// of the two sides need not agree.
fn asked_wait(headers: &HeaderMap) -> Option<Duration> {
    let text = |name| headers.get(name)?.to_str().ok().map(str::trim);
    let after = text(RETRY_AFTER)?;
    if let Ok(seconds) = after.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = |text| {
        jiff::fmt::rfc2822::DateTimeParser::new()
            .parse_timestamp(text)
            .ok()
    };
    let wait = date(after)?.duration_since(date(text(DATE)?)?);
    // a date that has passed asks for nothing
    Duration::try_from(wait).ok()
}

async fn bounded(mut answer: Response) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await.ok()? {
        if body.len() + chunk.len() > ANSWER {
            return None;
        }
        body.extend_from_slice(&chunk);
    }
    Some(body)
}

/// The whole chain in one line, without the URL: it may hold a password.
fn told(cause: &reqwest::Error) -> String {
    let mut words = if cause.is_timeout() {
        String::from("the gateway did not answer in time")
    } else if cause.is_connect() {
        String::from("could not connect to the gateway")
    } else {
        String::from("the connection to the gateway broke")
    };
    let mut source = std::error::Error::source(cause);
    while let Some(inner) = source {
        words = format!("{words}: {inner}");
        source = inner.source();
    }
    words
}

impl SmsGateway for HttpGateway {
    fn name(&self) -> &'static str {
        "http"
    }

    fn abilities(&self) -> Abilities {
        Abilities {
            idempotency_window: self.idempotent.then_some(IDEMPOTENT_FOR),
            ..Abilities::default()
        }
    }

    fn submit<'a>(&'a self, sms: &'a Sms) -> BoxFuture<'a, Outcome> {
        Box::pin(self.post(sms))
    }

    fn probe(&self) -> BoxFuture<'_, Result<String, String>> {
        Box::pin(async {
            let host = self.url.host_str().unwrap_or_default();
            // every http(s) URL has a known port
            let port = self.url.port_or_known_default().unwrap_or(443);
            let reach = async {
                let bare = host.trim_start_matches('[').trim_end_matches(']');
                tokio::net::TcpStream::connect((bare, port)).await
            };
            match tokio::time::timeout(CONNECT, reach).await {
                Ok(Ok(_)) => Ok(format!(
                    "{host}:{port} accepts connections; nothing was sent"
                )),
                Ok(Err(cause)) => Err(format!("cannot connect to {host}:{port}: {cause}")),
                Err(_) => Err(format!("{host}:{port} does not accept connections in time")),
            }
        })
    }
}

/// R12: connect 3 s.
const CONNECT: Duration = Duration::from_secs(3);
/// From the first byte of the request to the last of the answer.
const PATIENCE: Duration = Duration::from_secs(15);
