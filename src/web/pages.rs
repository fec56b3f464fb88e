//! Pages for people: the buyer who comes back, and the catalogue of problems.

use actix_web::http::StatusCode;
use actix_web::http::header::{ACCEPT_LANGUAGE, CACHE_CONTROL, CONTENT_SECURITY_POLICY};
use actix_web::{HttpRequest, HttpResponse, web};

use super::State;
use super::callbacks::{checked, named};
use super::problem::{Problem, ProblemCode};
use crate::flow::{self, Refusal};
use crate::link::Status;
use crate::templates::{Landing, PageFacts};

/// What a page of ours may do: show our style sheet and pictures.
const POLICY: &str = "default-src 'none'; style-src 'self'; img-src 'self' data:; \
                      frame-ancestors 'none'; base-uri 'none'; form-action 'none'";

/// What the program is called.
const NAME: &str = "paylink";

/// No such address.
pub async fn nowhere() -> Result<HttpResponse, Problem> {
    Err(Problem::new(ProblemCode::NotFound))
}

/// The page for a buyer who comes back from Klarna's. It tells what a read-back said, whichever
/// address Klarna chose (`contract.md`, Merchant URLs).
#[utoipa::path(get, path = "/return/{outcome}/{token}", tag = "klarna", security(()),
    params(("outcome" = String, Path,
            description = "`checkout`, `confirmation`, `success`, `back`, `cancel`, `failure` or `error`"),
           ("token" = String, Path, description = "Secret of one pair of one link")),
    responses((status = 200, description = "What became of the payment.", body = String, content_type = "text/html"),
              (status = 404, description = "Unknown address.", body = String, content_type = "text/html"),
              (status = 410, description = "The link is closed.", body = String, content_type = "text/html"),
              (status = 503, description = "Nothing can be looked up now; the page looks again by itself.", body = String, content_type = "text/html")))]
pub async fn returned(
    state: web::Data<State>,
    request: HttpRequest,
    path: web::Path<(String, String)>,
) -> Result<HttpResponse, Problem> {
    let (outcome, token) = path.into_inner();
    let hopeful = match outcome.as_str() {
        "success" | "confirmation" => true,
        "checkout" | "back" | "cancel" | "failure" | "error" => false,
        _ => return unknown(&state, &request),
    };
    if checked(&token).is_err() {
        return unknown(&state, &request);
    }
    let link = match flow::returning(&state.house, &token, &named(&request)).await {
        Ok(link) => link,
        Err(Refusal::NotFound) => return unknown(&state, &request),
        Err(error @ (Refusal::Overloaded | Refusal::Storage(_))) => {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "a buyer who came back could not be told"
            );
            return later(&state, &request);
        }
        Err(refusal) => return Err(refusal.into()),
    };
    let landing = match Landing::of(&link) {
        // Klarna says it is paid and the read-back does not yet: saying "you have not paid" would
        // make the buyer pay twice
        Landing::Back if hopeful && link.stage.status() == Status::Open => Landing::Asking,
        landing => landing,
    };
    page(&state, landing, &PageFacts::of(&link))
}

fn unknown(state: &State, request: &HttpRequest) -> Result<HttpResponse, Problem> {
    page(state, Landing::NotFound, &strangers(state, request))
}

/// Nothing can be looked up now: the page that says so looks again by itself.
fn later(state: &State, request: &HttpRequest) -> Result<HttpResponse, Problem> {
    let mut answer = page(state, Landing::Asking, &strangers(state, request))?;
    *answer.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    Ok(answer)
}

/// What a page says without a link, in the language that its reader asked for.
fn strangers(state: &State, request: &HttpRequest) -> PageFacts {
    let asked = request
        .headers()
        .get(ACCEPT_LANGUAGE)
        .and_then(|it| it.to_str().ok())
        .and_then(|it| it.split([',', ';']).next())
        .map(str::trim)
        .filter(|it| !it.is_empty() && *it != "*");
    let usual = state.house.settings.defaults.locale.as_deref();
    PageFacts::unknown(asked.or(usual).unwrap_or("en"))
}

fn page(state: &State, landing: Landing, facts: &PageFacts) -> Result<HttpResponse, Problem> {
    let status = match landing {
        Landing::NotFound => StatusCode::NOT_FOUND,
        Landing::Closed => StatusCode::GONE,
        Landing::Success
        | Landing::Pending
        | Landing::Asking
        | Landing::Back
        | Landing::Cancelled
        | Landing::Declined
        | Landing::Error => StatusCode::OK,
    };
    let text = state
        .house
        .templates
        .page(landing, facts)
        .map_err(|fault| {
            tracing::error!(%fault, "a page could not be rendered");
            Problem::new(ProblemCode::InternalError)
        })?;
    Ok(html(status, text))
}

fn html(status: StatusCode, text: String) -> HttpResponse {
    HttpResponse::build(status)
        .content_type("text/html; charset=utf-8")
        .insert_header((CONTENT_SECURITY_POLICY, POLICY))
        .body(text)
}

/// The front door: what this is, and where a stranger can read on.
pub async fn front() -> HttpResponse {
    let version = env!("CARGO_PKG_VERSION");
    lasting(document(
        NAME,
        &format!(
            "<p>Sends Klarna payment links to buyers and tells what became of them. Version {version}.</p>\n\
             <nav aria-label=\"Read on\">\n<ul>\n\
             <li><a href=\"/docs/\">API documentation</a></li>\n\
             <li><a href=\"/openapi.json\">OpenAPI document</a></li>\n\
             <li><a href=\"/problems\">Problems and what to do about them</a></li>\n\
             <li><a href=\"/readyz\">Health</a></li>\n\
             </ul>\n</nav>\n"
        ),
    ))
}

/// The catalogue of problems.
pub async fn problems() -> HttpResponse {
    let items: Vec<String> = ProblemCode::ALL
        .iter()
        .map(|code| {
            let (word, status) = (code.as_str(), code.status().as_u16());
            let title = code.title();
            format!(
                "<li><a href=\"/problems/{word}\"><code>{word}</code></a> {status}: {title}</li>\n"
            )
        })
        .collect();
    let items = items.concat();
    lasting(document("Problems", &format!("<ul>\n{items}</ul>\n")))
}

/// One entry of it: where `type` of a problem leads.
pub async fn problem(code: web::Path<String>) -> Result<HttpResponse, Problem> {
    let code = ProblemCode::from_word(&code).ok_or(Problem::new(ProblemCode::NotFound))?;
    let text = format!(
        "<p><code>{}</code>, HTTP status {}</p>\n<p>{}</p>\n<p><a href=\"/problems\">All problems</a></p>\n",
        code.as_str(),
        code.status().as_u16(),
        spans(code.advice())
    );
    Ok(lasting(document(code.title(), &text)))
}

/// Our own words, `code` within them as HTML has it.
fn spans(words: &str) -> String {
    let mut parts = words.split('`');
    let mut text = parts.next().unwrap_or_default().to_owned();
    while let (Some(code), rest) = (parts.next(), parts.next()) {
        text.push_str("<code>");
        text.push_str(code);
        text.push_str("</code>");
        text.push_str(rest.unwrap_or_default());
    }
    text
}

/// `title` and `content` are our own words, which hold nothing to escape.
fn document(title: &str, content: &str) -> String {
    let about = if title == NAME {
        NAME.to_owned()
    } else {
        format!("{title} · {NAME}")
    };
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>{about}</title>\n<link rel=\"stylesheet\" href=\"/assets/paylink.css\">\n\
         <main class=\"page is-bare\">\n<h1>{title}</h1>\n{content}</main>\n</html>\n"
    )
}

fn lasting(text: String) -> HttpResponse {
    let mut response = html(StatusCode::OK, text);
    response.headers_mut().insert(
        CACHE_CONTROL,
        actix_web::http::header::HeaderValue::from_static("public, max-age=3600"),
    );
    response
}
