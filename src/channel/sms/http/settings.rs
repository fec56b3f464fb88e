//! The `SMS_HTTP_*` settings: parsed once, all faults together.

use std::fmt::Write as _;
use std::time::Duration;

use handlebars::{Context, Handlebars, Helper, Output, RenderContext, RenderErrorReason};
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, Method, Url};
use serde_json::json;

use super::{CONNECT, HttpGateway, PATIENCE, Success};

const DEFAULT_BODY: &str =
    r#"{"to":{{json to}},"from":{{json from}},"text":{{json text}},"id":{{json id}}}"#;

impl HttpGateway {
    /// Reads the gateway's settings through `setting` (an empty value counts as absent); each fault
    /// is a setting's name and a sentence that says what would be right.
    pub fn new(
        setting: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, Vec<(&'static str, String)>> {
        Self::with_patience(setting, PATIENCE)
    }

    /// As [`HttpGateway::new`], waiting `patience` for an answer.
    pub(in super::super) fn with_patience(
        setting: impl Fn(&str) -> Option<String>,
        patience: Duration,
    ) -> Result<Self, Vec<(&'static str, String)>> {
        let setting = |name: &str| setting(name).filter(|value| !value.trim().is_empty());
        let mut faults = Vec::new();
        let mut or_fault = Faults(&mut faults);
        let url = or_fault.take("SMS_HTTP_URL", url(setting("SMS_HTTP_URL")));
        let method = or_fault.take(
            "SMS_HTTP_METHOD",
            method(setting("SMS_HTTP_METHOD").as_deref()),
        );
        let headers = or_fault.take(
            "SMS_HTTP_HEADERS",
            headers(&setting("SMS_HTTP_HEADERS").unwrap_or_default()),
        );
        let body = setting("SMS_HTTP_BODY").unwrap_or_else(|| DEFAULT_BODY.into());
        let templates = or_fault.take("SMS_HTTP_BODY", templates(&body));
        let message_id = or_fault.take(
            "SMS_HTTP_MESSAGE_ID",
            setting("SMS_HTTP_MESSAGE_ID")
                .as_deref()
                .map(pointer)
                .transpose(),
        );
        let success = or_fault.take(
            "SMS_HTTP_SUCCESS",
            setting("SMS_HTTP_SUCCESS")
                .as_deref()
                .map(success)
                .transpose(),
        );
        let idempotent = or_fault.take(
            "SMS_HTTP_IDEMPOTENT",
            switch(setting("SMS_HTTP_IDEMPOTENT").as_deref()),
        );
        let client = or_fault.take(
            "SMS_HTTP_URL",
            client(patience).map_err(|cause| format!("no HTTP client could be made: {cause}")),
        );
        match (
            url, method, headers, templates, message_id, success, idempotent, client,
        ) {
            (
                Some(url),
                Some(method),
                Some(headers),
                Some(templates),
                Some(message_id),
                Some(success),
                Some(idempotent),
                Some(client),
            ) => Ok(Self {
                client,
                method,
                url,
                headers,
                templates,
                message_id,
                success,
                idempotent,
            }),
            _ => Err(faults),
        }
    }
}

struct Faults<'a>(&'a mut Vec<(&'static str, String)>);

impl Faults<'_> {
    fn take<T>(&mut self, name: &'static str, read: Result<T, String>) -> Option<T> {
        read.map_err(|sentence| self.0.push((name, sentence))).ok()
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

fn url(value: Option<String>) -> Result<Url, String> {
    let value = value.ok_or("is required with SMS_GATEWAY=http")?;
    let url = Url::parse(value.trim()).map_err(|cause| format!("is not a URL: {cause}"))?;
    let loopback = match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost",
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    };
    match url.scheme() {
        "https" => {}
        "http" if loopback => {}
        _ => return Err("must be https (http only on loopback)".into()),
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("must not hold credentials; put them into SMS_HTTP_HEADERS".into());
    }
    Ok(url)
}

fn method(value: Option<&str>) -> Result<Method, String> {
    match value.map(str::trim) {
        None | Some("POST") => Ok(Method::POST),
        Some("PUT") => Ok(Method::PUT),
        Some("PATCH") => Ok(Method::PATCH),
        Some("GET") => Ok(Method::GET),
        Some(_) => Err("must be POST (default), PUT, PATCH or GET".into()),
    }
}

fn headers(lines: &str) -> Result<HeaderMap, String> {
    let mut headers = HeaderMap::new();
    for (line, number) in lines.lines().zip(1..) {
        if line.trim().is_empty() {
            continue;
        }
        // the value is not repeated in the sentence: it is often a password
        let wrong = || format!("line {number} must be `Name: value`");
        let (name, value) = line.split_once(':').ok_or_else(wrong)?;
        let name: HeaderName = name.trim().parse().map_err(|_| wrong())?;
        let mut value = HeaderValue::from_str(value.trim()).map_err(|_| wrong())?;
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

fn pointer(value: &str) -> Result<String, String> {
    let value = value.trim();
    if value.starts_with('/') {
        Ok(value.into())
    } else {
        Err("must be a JSON pointer, like /messages/0/id".into())
    }
}

fn success(value: &str) -> Result<Success, String> {
    value
        .trim()
        .split_once('=')
        .filter(|(pointer, _)| pointer.starts_with('/'))
        .map(|(pointer, value)| Success {
            pointer: pointer.into(),
            value: value.into(),
        })
        .ok_or_else(|| "must be /pointer=value, like /messages/0/status=0".into())
}

fn switch(value: Option<&str>) -> Result<bool, String> {
    match value.map(str::trim) {
        None | Some("0" | "false" | "no") => Ok(false),
        Some("1" | "true" | "yes") => Ok(true),
        Some(_) => Err("must be 1 (the same id may be posted again safely) or 0".into()),
    }
}
