//! What went wrong, as RFC 9457 says it. One closed catalogue: a code has one status, one title,
//! and a page that says what to do. Whether a text is shown is decided here, never a value of the
//! request: `detail` does not echo.

use std::fmt;
use std::time::Duration;

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::http::header::{
    ALLOW, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE,
};
use serde::Serialize;
use utoipa::ToSchema;

use crate::link::{Fault, LinkId, MOST_FAULTS};
use crate::view::{KlarnaRefusalView, LinkView};

macro_rules! catalogue {
    ($($name:ident = $word:literal $status:literal $title:literal $advice:literal)+) => {
        /// Every problem that this program answers with.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[allow(missing_docs)]
        pub enum ProblemCode { $($name),+ }
        impl ProblemCode {
            /// The whole catalogue.
            pub const ALL: &'static [ProblemCode] = &[$(ProblemCode::$name),+];
            /// The word on the wire; also the last part of the `type` URL.
            pub fn as_str(self) -> &'static str { match self { $(Self::$name => $word),+ } }
            /// HTTP status.
            pub fn status(self) -> StatusCode {
                let status = match self { $(Self::$name => $status),+ };
                StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
            }
            /// A few words, the same each time.
            pub fn title(self) -> &'static str { match self { $(Self::$name => $title),+ } }
            /// What the caller can do about it.
            pub fn advice(self) -> &'static str { match self { $(Self::$name => $advice),+ } }
            /// The meaning of a word, where it is one of ours.
            pub fn from_word(word: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|it| it.as_str() == word)
            }
        }
    };
}
catalogue! {
    ValidationFailed = "validation_failed" 422 "The request is not valid"
        "Nothing was created, sent or booked. `errors` lists every fault, up to 100: mend them and send the request again, under the same idempotency key if you like."
    MalformedJson = "malformed_json" 400 "The body is not one JSON object"
        "The body must be UTF-8 and one JSON object: no member twice, at most 32 levels deep, nothing after it."
    PayloadTooLarge = "payload_too_large" 413 "The body is too large"
        "A body may have at most 1 MiB. Send fewer order lines."
    HeadersTooLarge = "headers_too_large" 431 "The headers are too large"
        "All headers together may have at most 32 KiB."
    UnsupportedMediaType = "unsupported_media_type" 415 "The body's type is not supported"
        "Send `Content-Type: application/json` and no `Content-Encoding`."
    Unauthorized = "unauthorized" 401 "No valid API key"
        "Send the API key as `Authorization: Bearer plk_…`. The key must not be revoked or past its end, and a test key does not open a live installation."
    Forbidden = "forbidden" 403 "The key's role lacks this call"
        "Use a key of a role that has it, or ask your administrator for one."
    NotFound = "not_found" 404 "No such thing"
        "Check the address and the id. What belongs to another store is not shown either."
    MethodNotAllowed = "method_not_allowed" 405 "This address does not take that method"
        "`Allow` names those that it takes."
    IdempotencyMismatch = "idempotency_mismatch" 422 "The idempotency key came with another body before"
        "Repeat the first body unchanged, or take a new key for a new request."
    IdempotencyInProgress = "idempotency_in_progress" 409 "The first request of this idempotency key is still at work"
        "Repeat after `Retry-After`."
    ReferenceInUse = "reference_in_use" 409 "A live link with this reference exists"
        "`link_id` names it. Use that one, or say `on_duplicate`: `replace` closes it first, `allow` makes a second one."
    ReferencePaid = "reference_paid" 409 "This reference was paid already"
        "`link_id` names the paid link. If it is another sale, give it another reference or say `on_duplicate: allow`."
    NotPayable = "not_payable" 409 "The link cannot be paid now"
        "While it is being created, try again after `Retry-After`. If it is closed, renew it."
    AlreadyCompleted = "already_completed" 409 "The buyer has paid"
        "`link` is the paid link. Nothing was closed and nothing is refunded by itself."
    NotCompleted = "not_completed" 409 "The link is not paid"
        "This call needs a completed link."
    KlarnaNotAllowed = "klarna_not_allowed" 409 "Klarna does not allow this in the order's present state"
        "`klarna` has Klarna's own words. Read the link again before you decide."
    Busy = "busy" 409 "Something on the way must end first"
        "Repeat after `Retry-After`; what is under way goes on by itself."
    VersionMismatch = "version_mismatch" 412 "The link has changed since that version"
        "Read it again and decide anew."
    Gone = "gone" 410 "It is no longer there"
        "A QR code of a link that cannot be paid any more is not shown: renew the link. A cursor outside of what is kept: read the list of events from its beginning."
    RateLimited = "rate_limited" 429 "Too many links"
        "Try again after `Retry-After`."
    SendRateLimited = "send_rate_limited" 429 "Too many messages to this recipient"
        "Try again after `Retry-After`, or show the QR code."
    KlarnaRefused = "klarna_refused" 422 "Klarna refused it"
        "`klarna` has Klarna's own words and the correlation id for its support. `link_id` names the link: one that could not be made is kept as `failed`, a paid one stays as it was."
    KlarnaUnavailable = "klarna_unavailable" 503 "Klarna cannot be used now"
        "Try again after `Retry-After`. Where `link_id` is given, that link says what it came to: one that could not be made is kept as `failed`."
    StorageUnavailable = "storage_unavailable" 503 "It could not be stored"
        "Nothing was acknowledged. Repeat with the same idempotency key after `Retry-After`."
    Overloaded = "overloaded" 503 "Too much at once"
        "Nothing was done. Repeat with the same idempotency key after `Retry-After`."
    InternalError = "internal_error" 500 "paylink failed"
        "This is a defect: tell your operator the `request_id`. Repeating with the same idempotency key is safe."
}

/// Marks the answer to a repeat under an idempotency key.
pub const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");

/// A problem on its way out. The edge (`edge.rs`) adds the request's id and writes it.
#[derive(Debug)]
pub struct Problem(Box<Parts>);

#[derive(Debug)]
struct Parts {
    code: ProblemCode,
    detail: Option<String>,
    errors: Vec<FaultView>,
    klarna: Option<KlarnaRefusalView>,
    link_id: Option<LinkId>,
    link: Option<LinkView>,
    retry_after: Option<u64>,
    allow: Option<String>,
    /// The answer of an earlier request, told again.
    replayed: bool,
    challenge: Option<&'static str>,
}

/// One fault of the request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = Fault)]
pub struct FaultView {
    /// RFC 6901 pointer into the body.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "/order_lines/0/tax_rate")]
    pub pointer: Option<String>,
    /// Name of the query parameter or header, where the fault is not in the body.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parameter: Option<String>,
    /// What kind of fault, for machines.
    #[schema(schema_with = fault_codes)]
    pub code: &'static str,
    /// What is wrong and what would be right; never the value.
    pub detail: String,
}

fn fault_codes() -> utoipa::openapi::schema::Object {
    utoipa::openapi::schema::ObjectBuilder::new()
        .schema_type(utoipa::openapi::schema::Type::String)
        .enum_values(Some(crate::link::Code::ALL.iter().map(|it| it.as_str())))
        .build()
}

fn problem_codes() -> utoipa::openapi::schema::Object {
    utoipa::openapi::schema::ObjectBuilder::new()
        .schema_type(utoipa::openapi::schema::Type::String)
        .enum_values(Some(ProblemCode::ALL.iter().map(|it| it.as_str())))
        .build()
}

impl FaultView {
    /// A fault of the body.
    pub fn at(fault: &Fault) -> Self {
        Self {
            pointer: Some(fault.pointer.clone()),
            parameter: None,
            code: fault.code.as_str(),
            detail: fault.detail.clone(),
        }
    }

    /// A fault of a query parameter or a header.
    pub fn of_parameter(name: &str, code: crate::link::Code, detail: &str) -> Self {
        Self {
            pointer: None,
            parameter: Some(name.into()),
            code: code.as_str(),
            detail: detail.into(),
        }
    }
}

/// `application/problem+json`.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Problem)]
pub struct ProblemView<'a> {
    /// Page of the catalogue.
    #[serde(rename = "type")]
    #[schema(example = "https://pay.example.com/problems/validation_failed")]
    pub kind: String,
    /// The same for each problem of this code.
    pub title: &'static str,
    /// HTTP status.
    #[schema(example = 422)]
    pub status: u16,
    /// What can be done about it.
    pub detail: &'a str,
    /// For machines.
    #[schema(schema_with = problem_codes)]
    pub code: &'static str,
    /// For support; also `X-Request-Id`.
    pub request_id: &'a str,
    /// All faults of the request.
    pub errors: &'a [FaultView],
    /// Klarna's own words, where it refused.
    pub klarna: Option<&'a KlarnaRefusalView>,
    /// The link that this is about.
    pub link_id: Option<String>,
    /// That link as a whole, where the contract says so.
    pub link: Option<&'a LinkView>,
}

impl Problem {
    /// A problem that needs no more words than its catalogue entry has.
    pub fn new(code: ProblemCode) -> Self {
        Self(Box::new(Parts {
            code,
            detail: None,
            errors: Vec::new(),
            klarna: None,
            link_id: None,
            link: None,
            retry_after: None,
            allow: None,
            replayed: false,
            challenge: None,
        }))
    }

    /// 422 with these faults, [`MOST_FAULTS`] at most; the last one then says that there are more.
    pub fn faults(mut errors: Vec<FaultView>) -> Self {
        // R12: a hostile body of 1 MiB must not make an answer of many
        if errors.len() > MOST_FAULTS {
            errors.truncate(MOST_FAULTS - 1);
            errors.push(FaultView::at(&Fault::new(
                String::new(),
                crate::link::Code::TooMany,
                "There are more faults than are told; mend these first.",
            )));
        }
        let mut problem = Self::new(ProblemCode::ValidationFailed);
        problem.0.errors = errors;
        problem
    }

    /// 401; `challenge` is the value of `WWW-Authenticate`.
    pub fn unauthorized(challenge: &'static str) -> Self {
        let mut problem = Self::new(ProblemCode::Unauthorized);
        problem.0.challenge = Some(challenge);
        problem
    }

    /// 405 where only `methods` are taken.
    pub fn not_allowed(methods: &str) -> Self {
        let mut problem = Self::new(ProblemCode::MethodNotAllowed);
        problem.0.allow = Some(methods.into());
        problem
    }

    /// More words on this one occurrence.
    #[must_use]
    pub fn detail(mut self, detail: impl Into<String>) -> Self {
        self.0.detail = Some(detail.into());
        self
    }

    /// The link's id.
    #[must_use]
    pub fn link_id(mut self, id: LinkId) -> Self {
        self.0.link_id = Some(id);
        self
    }

    /// The link, whole.
    #[must_use]
    pub fn link(mut self, link: LinkView) -> Self {
        self.0.link = Some(link);
        self
    }

    /// Klarna's own words.
    #[must_use]
    pub fn klarna(mut self, refusal: &crate::link::Refusal) -> Self {
        self.0.klarna = Some(refusal.into());
        self
    }

    /// When to try again; a part of a second counts as one.
    #[must_use]
    pub fn retry_after(mut self, wait: Duration) -> Self {
        self.0.retry_after = Some(wait.as_secs() + u64::from(wait.subsec_nanos() > 0));
        self
    }

    /// The first request of this idempotency key was answered so.
    #[must_use]
    pub fn replayed(mut self) -> Self {
        self.0.replayed = true;
        self
    }

    /// Which problem.
    pub fn code(&self) -> ProblemCode {
        self.0.code
    }

    /// The document (RFC 9457) for the request `request_id`; `base` is the public URL.
    pub fn render(&self, base: &str, request_id: &str) -> HttpResponse {
        let Parts {
            code,
            detail,
            errors,
            klarna,
            link_id,
            link,
            retry_after,
            allow,
            replayed,
            challenge,
        } = &*self.0;
        let view = ProblemView {
            kind: format!("{base}/problems/{}", code.as_str()),
            title: code.title(),
            status: code.status().as_u16(),
            detail: detail.as_deref().unwrap_or(code.advice()),
            code: code.as_str(),
            request_id,
            errors,
            klarna: klarna.as_ref(),
            link_id: link_id.map(|id| id.to_string()),
            link: link.as_ref(),
        };
        let body = serde_json::to_string(&view).unwrap_or_default();
        let mut response = HttpResponse::new(code.status());
        let headers = response.headers_mut();
        headers.insert(
            CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        if let Some(seconds) = retry_after {
            headers.insert(RETRY_AFTER, HeaderValue::from(*seconds));
        }
        if let Some(methods) = allow.as_deref().and_then(|it| it.parse().ok()) {
            headers.insert(ALLOW, methods);
        }
        if *replayed {
            headers.insert(REPLAYED, HeaderValue::from_static("true"));
        }
        if let Some(challenge) = challenge {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
        }
        response.set_body(body).map_into_boxed_body()
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.code.as_str())
    }
}
impl std::error::Error for Problem {}

impl actix_web::ResponseError for Problem {
    fn status_code(&self) -> StatusCode {
        self.0.code.status()
    }
    /// Only the status: the edge knows the request's id and writes the rest.
    fn error_response(&self) -> HttpResponse {
        HttpResponse::new(self.status_code())
    }
}

/// An answer that another layer gave by status alone (404 of the router, a body that broke off).
impl From<StatusCode> for Problem {
    fn from(status: StatusCode) -> Self {
        Problem::new(match status.as_u16() {
            400 => ProblemCode::MalformedJson,
            401 => ProblemCode::Unauthorized,
            403 => ProblemCode::Forbidden,
            404 => ProblemCode::NotFound,
            405 => ProblemCode::MethodNotAllowed,
            413 => ProblemCode::PayloadTooLarge,
            415 => ProblemCode::UnsupportedMediaType,
            431 => ProblemCode::HeadersTooLarge,
            503 => ProblemCode::Overloaded,
            _ => ProblemCode::InternalError,
        })
    }
}
