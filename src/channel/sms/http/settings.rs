//! The `SMS_HTTP_*` settings as a client, headers and a template; all faults together.

use std::fmt::Write as _;
use std::time::Duration;

use handlebars::{Context, Handlebars, Helper, Output, RenderContext, RenderErrorReason};
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, Method, Url};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::json;

use super::{CONNECT, HttpGateway, PATIENCE, Success};

/// What the settings say of an HTTP gateway, parsed.
#[derive(Clone, Debug)]
pub struct HttpSettings {
    /// `SMS_HTTP_URL`; a secret, since gateways put tokens there.
    pub url: SecretString,
    /// `SMS_HTTP_METHOD`
    pub method: String,
    /// `SMS_HTTP_HEADERS`: names and values.
    pub headers: Vec<(String, SecretString)>,
    /// `SMS_HTTP_BODY`, Handlebars; see [`DEFAULT_BODY`].
    pub body: String,
    /// `SMS_HTTP_MESSAGE_ID`: JSON pointer to the gateway's name for a message.
    pub message_id: Option<String>,
    /// `SMS_HTTP_SUCCESS`: JSON pointer and the value that means success.
    pub success: Option<(String, String)>,
    /// `SMS_HTTP_IDEMPOTENT`
    pub idempotent: bool,
}

/// The body where the settings name none (`contract.md`, Settings).
pub const DEFAULT_BODY: &str =
    r#"{"to":{{json to}},"from":{{json from}},"text":{{json text}},"id":{{json id}}}"#;

impl HttpGateway {
    /// A gateway as the settings describe it. Each fault is a setting's name and a sentence on what
    /// would be right; never a secret.
    pub fn new(settings: HttpSettings) -> Result<Self, Vec<(&'static str, String)>> {
        Self::with_patience(settings, PATIENCE)
    }

    /// As [`HttpGateway::new`], waiting `patience` for an answer.
    pub(in super::super) fn with_patience(
        settings: HttpSettings,
        patience: Duration,
    ) -> Result<Self, Vec<(&'static str, String)>> {
        let mut faults = Vec::new();
        let mut or_fault = |name, sentence| faults.push((name, sentence));
        let url = Url::parse(settings.url.expose_secret())
            .map_err(|cause| or_fault("SMS_HTTP_URL", format!("is not a URL: {cause}")));
        let method = Method::from_bytes(settings.method.as_bytes())
            .map_err(|_| or_fault("SMS_HTTP_METHOD", "must be POST or PUT".into()));
        let headers =
            headers(&settings.headers).map_err(|sentence| or_fault("SMS_HTTP_HEADERS", sentence));
        let templates =
            templates(&settings.body).map_err(|sentence| or_fault("SMS_HTTP_BODY", sentence));
        let client = client(patience).map_err(|cause| {
            or_fault(
                "SMS_HTTP_URL",
                format!("no HTTP client could be made: {cause}"),
            );
        });
        let (Ok(url), Ok(method), Ok(headers), Ok(templates), Ok(client)) =
            (url, method, headers, templates, client)
        else {
            return Err(faults);
        };
        Ok(Self {
            client,
            method,
            url,
            headers,
            templates,
            message_id: settings.message_id,
            success: settings
                .success
                .map(|(pointer, value)| Success { pointer, value }),
            idempotent: settings.idempotent,
        })
    }
}

fn client(patience: Duration) -> Result<Client, reqwest::Error> {
    Client::builder()
        .connect_timeout(CONNECT)
        .timeout(patience)
        .pool_idle_timeout(Duration::from_secs(4))
        // a redirect would send the message to a host that nobody configured
        .redirect(reqwest::redirect::Policy::none())
        // not even the repeats that reqwest thinks safe: whether to repeat is decided in `flow`
        .retry(reqwest::retry::never())
        // what leaves the house is what the settings say, not what the environment suggests
        .no_proxy()
        .build()
}

fn headers(lines: &[(String, SecretString)]) -> Result<HeaderMap, String> {
    let mut headers = HeaderMap::new();
    for (name, value) in lines {
        // the value is not repeated in the sentence: it is often a password
        let wrong = || "must be `Name: value` on each line".to_owned();
        let name: HeaderName = name.parse().map_err(|_| wrong())?;
        let mut value = HeaderValue::from_str(value.expose_secret()).map_err(|_| wrong())?;
        value.set_sensitive(true);
        headers.append(name, value);
    }
    headers
        .entry(CONTENT_TYPE)
        .or_insert(HeaderValue::from_static("application/json"));
    Ok(headers)
}

fn templates(body: &str) -> Result<Handlebars<'static>, String> {
    let mut templates = Handlebars::new();
    templates.set_strict_mode(true);
    // the helpers escape; what has no helper is meant to be printed as it is
    templates.register_escape_fn(handlebars::no_escape);
    templates.register_helper("json", Box::new(json_helper));
    templates.register_helper("url", Box::new(url_helper));
    templates
        .register_template_string("body", body)
        .map_err(|cause| format!("is not a template: {}", cause.reason()))?;
    let sample = json!({"to": "+447700900123", "from": "Shop", "text": "\"ä\n", "id": "dlv_1"});
    templates.render("body", &sample).map_err(|cause| {
        let cause = cause.reason();
        format!("knows only to, from, text, id and the helpers json and url: {cause}")
    })?;
    Ok(templates)
}

fn argument(helper: &Helper) -> Result<String, RenderErrorReason> {
    let value = helper
        .param(0)
        .filter(|param| !param.is_value_missing())
        .ok_or(RenderErrorReason::ParamNotFoundForIndex("json or url", 0))?
        .value();
    Ok(value.as_str().map_or_else(|| value.to_string(), Into::into))
}

fn json_helper(
    helper: &Helper,
    _: &Handlebars,
    _: &Context,
    _: &mut RenderContext,
    out: &mut dyn Output,
) -> Result<(), handlebars::RenderError> {
    out.write(&json!(argument(helper)?).to_string())?;
    Ok(())
}

fn url_helper(
    helper: &Helper,
    _: &Handlebars,
    _: &Context,
    _: &mut RenderContext,
    out: &mut dyn Output,
) -> Result<(), handlebars::RenderError> {
    let mut encoded = String::new();
    for byte in argument(helper)?.bytes() {
        // RFC 3986, 2.3: unreserved characters stay
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            // writing to a String cannot fail
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    out.write(&encoded)?;
    Ok(())
}
