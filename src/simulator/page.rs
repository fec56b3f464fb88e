//! The page that the buyer sees, on which a person can do all that a buyer may do. It says in its
//! first line that it is a simulator.
//!
//! A GET opens the session, a HEAD does not. A link that is closed says so (410); who still has the
//! page open meets "not found" at the next press, as Klarna does it.

use std::fmt::Write;

use actix_web::http::StatusCode;
use actix_web::web::{Data, Path};
use actix_web::{HttpRequest, HttpResponse};
use serde_json::{Map, Value};
use uuid::Uuid;

use super::acts::{Act, Done, Impossible, act};
use super::grammar::text;
use super::qr;
use super::session::{Session, Status};
use super::world::World;

const STYLE: &str = include_str!("assets/page.css");
const STYLE_PATH: &str = "/eu/hpp/assets/page.css";

/// What the buyer meets at the page's URL.
enum Met {
    Unknown,
    Closed,
    Paid(Option<String>),
    Open(Uuid),
}

fn met(world: &World, page: &str) -> Met {
    let now = world.now();
    let mut state = world.state();
    let Some(id) = state.pages.get(page).copied() else {
        return Met::Unknown;
    };
    let Some((session, order)) = state.pair(id) else {
        return Met::Unknown;
    };
    match session.status {
        Status::Completed => Met::Paid(session.url("success")),
        status if status.is_final() || !session.alive(now) || !order.payable(now) => Met::Closed,
        _ => Met::Open(id),
    }
}

/// `GET /eu/hpp/payments/{page}`: opens the session.
pub(super) async fn show(
    page: Path<String>,
    world: Data<World>,
    client: Data<reqwest::Client>,
) -> HttpResponse {
    if let Met::Open(id) = met(&world, &page) {
        match act(&world, &client, id, Act::Open).await {
            Ok(_) => return form(&world, id),
            Err(Impossible::Unknown) => return not_found(),
            Err(Impossible::Ended) => {} // it ended between two looks
        }
    }
    ended(met(&world, &page))
}

/// `HEAD`: what a GET would answer, and nothing happens.
pub(super) async fn look(page: Path<String>, world: Data<World>) -> HttpResponse {
    match met(&world, &page) {
        Met::Open(_) => html(StatusCode::OK, "", ""),
        other => ended(other),
    }
}

/// `POST /eu/hpp/payments/{page}/{act}`: the buyer pressed a button.
pub(super) async fn press(
    path: Path<(String, String)>,
    world: Data<World>,
    client: Data<reqwest::Client>,
) -> HttpResponse {
    let (page, button) = path.into_inner();
    let pressed = Act::of(&button).filter(|pressed| {
        matches!(
            pressed,
            Act::Pay | Act::Back | Act::Cancel | Act::Decline | Act::Error
        )
    });
    let (id, pressed) = match (met(&world, &page), pressed) {
        (Met::Open(id), Some(pressed)) => (id, pressed),
        (Met::Paid(success), Some(Act::Pay)) => return paid(success),
        _ => return not_found(),
    };
    match act(&world, &client, id, pressed).await {
        Ok(Done::Now(status)) => outcome(&world, id, status),
        Ok(Done::Denied { location, text, .. }) => denied(&page, location, text),
        // another tab was faster
        Err(_) => match met(&world, &page) {
            Met::Paid(success) => paid(success),
            _ => not_found(),
        },
    }
}

/// `GET /eu/hpp/payments/{session}/qr`: public, as the page is.
pub(super) async fn picture(id: Path<String>, world: Data<World>) -> HttpResponse {
    let url = {
        let state = world.state();
        let session = Uuid::try_parse(&id)
            .ok()
            .and_then(|id| state.sessions.get(&id));
        session.map(|session| session.redirect_url(&world.base))
    };
    match url.and_then(|url| qr::png(&url)) {
        Some(png) => HttpResponse::Ok()
            .content_type("image/png")
            .insert_header(("cache-control", "no-store"))
            .body(png),
        None => not_found(),
    }
}

pub(super) async fn style() -> HttpResponse {
    HttpResponse::Ok()
        .content_type("text/css; charset=utf-8")
        .body(STYLE)
}

/// Any other path below the page's.
pub(super) async fn nothing(_: HttpRequest) -> HttpResponse {
    not_found()
}

/// Where the buyer goes from here: to the merchant, or to a page of ours where there is no URL.
fn outcome(world: &World, id: Uuid, status: Status) -> HttpResponse {
    let state = world.state();
    let Some(session) = state.sessions.get(&id) else {
        return not_found();
    };
    let (name, heading, words) = match status {
        Status::Completed => (
            "success",
            "Paid",
            "The payment went through. You can close this page.",
        ),
        Status::Back => (
            "back",
            "Not paid yet",
            "You left the payment. The link still works.",
        ),
        Status::Cancelled => (
            "cancel",
            "Cancelled",
            "Nothing was paid, and this link is closed.",
        ),
        Status::Failed => (
            "failure",
            "Declined",
            "Nothing was paid. The link still works.",
        ),
        _ => (
            "error",
            "Something broke",
            "Nothing was paid. The link still works.",
        ),
    };
    let url = session.url(name).or_else(|| {
        // the merchant who has no page for errors gets them on the page for refusals
        (name == "error").then(|| session.url("failure")).flatten()
    });
    match url {
        Some(url) => see_other(&url),
        None => notice(StatusCode::OK, heading, words, ""),
    }
}

fn paid(success: Option<String>) -> HttpResponse {
    match success {
        Some(url) => see_other(&url),
        None => ended(Met::Paid(None)),
    }
}

fn see_other(url: &str) -> HttpResponse {
    // a header holds ASCII only; every other URL is sent as it was given
    let escaped = if url.is_ascii() {
        None
    } else {
        reqwest::Url::parse(url).ok()
    };
    let url = escaped.as_ref().map_or(url, reqwest::Url::as_str);
    HttpResponse::SeeOther()
        .insert_header(("location", url))
        .insert_header(("cache-control", "no-store"))
        .finish()
}

fn ended(met: Met) -> HttpResponse {
    match met {
        Met::Paid(success) => {
            let on = success
                .map(|url| link(&url, "Back to the shop"))
                .unwrap_or_default();
            notice(
                StatusCode::OK,
                "Paid",
                "This order is paid. Nothing is left to do here.",
                &on,
            )
        }
        Met::Closed => notice(
            StatusCode::GONE,
            "This payment link is closed",
            "It was withdrawn, cancelled, or its time is over. Nothing can be paid here any more.",
            "",
        ),
        Met::Unknown | Met::Open(_) => not_found(),
    }
}

fn not_found() -> HttpResponse {
    notice(
        StatusCode::NOT_FOUND,
        "Page not found",
        "There is no payment here. The link may be incomplete, or closed since it was opened.",
        "",
    )
}

fn denied(page: &str, location: Option<String>, text: Option<String>) -> HttpResponse {
    let words = text.unwrap_or_else(|| "The merchant did not accept this purchase.".to_owned());
    let mut on = String::new();
    if let Some(url) = location {
        on += &link(&url, "See why at the merchant");
    }
    on += &link(&format!("/eu/hpp/payments/{page}"), "Return to the payment");
    let words = format!("{words} Nothing was paid.");
    notice(StatusCode::OK, "The purchase was refused", &words, &on)
}

fn link(url: &str, words: &str) -> String {
    format!(
        "<p><a class=\"button quiet\" href=\"{}\">{}</a></p>",
        escaped(url),
        escaped(words)
    )
}

fn notice(status: StatusCode, heading: &str, words: &str, on: &str) -> HttpResponse {
    let main = format!("<h1>{}</h1><p>{}</p>{on}", escaped(heading), escaped(words));
    html(status, heading, &main)
}

/// The payment itself.
fn form(world: &World, id: Uuid) -> HttpResponse {
    let mut state = world.state();
    let Some((session, order)) = state.pair(id) else {
        return not_found();
    };
    let body = order.body();
    let title = text(&session.options, "page_title").filter(|title| !title.is_empty());
    let title = title.unwrap_or("Complete your purchase");
    let currency = text(&body, "purchase_currency").unwrap_or_default();
    let total = money(body.get("order_amount"), currency);
    let mut main = String::new();
    if let Some(logo) = text(&session.options, "logo_url").filter(|url| !url.is_empty()) {
        let _ = write!(
            main,
            "<img class=\"logo\" src=\"{}\" alt=\"\">",
            escaped(logo)
        );
    }
    let _ = write!(
        main,
        "<p class=\"merchant\">{}</p><h1>{}</h1><p class=\"total\">{total}</p>",
        escaped(&merchant(&body)),
        escaped(title),
    );
    let reference = text(&body, "merchant_reference1");
    if let Some(reference) = reference.filter(|reference| !title.contains(reference)) {
        let _ = write!(main, "<p class=\"quiet\">Order {}</p>", escaped(reference));
    }
    if text(&session.options, "show_subtotal_detail") != Some("HIDE") {
        main += &lines(&body, currency, &total);
    }
    main += &buttons(session, &total);
    html(StatusCode::OK, title, &main)
}

fn lines(order: &Map<String, Value>, currency: &str, total: &str) -> String {
    let mut rows = String::new();
    for line in order
        .get("order_lines")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
    {
        let name = line.get("name").and_then(Value::as_str).unwrap_or_default();
        let quantity = line
            .get("quantity")
            .and_then(Value::as_i64)
            .unwrap_or_default();
        let _ = write!(
            rows,
            "<tr><th scope=\"row\">{}</th><td>{quantity}</td><td>{}</td></tr>",
            escaped(name),
            money(line.get("total_amount"), currency),
        );
    }
    let tax = money(order.get("order_tax_amount"), currency);
    format!(
        "<table><caption>Your order</caption><thead><tr><th scope=\"col\">Item</th>\
         <th scope=\"col\">Quantity</th><th scope=\"col\">Price</th></tr></thead><tbody>{rows}</tbody>\
         <tfoot><tr><th scope=\"row\" colspan=\"2\">Total</th><td>{total}</td></tr>\
         <tr class=\"quiet\"><th scope=\"row\" colspan=\"2\">Tax</th><td>{tax}</td></tr></tfoot></table>"
    )
}

/// Back and cancel exclude each other: a session with a URL for cancelling is cancelled for good.
fn buttons(session: &Session, total: &str) -> String {
    let (leave, words) = match session.url("cancel") {
        Some(_) => ("cancel", "Cancel the payment"),
        None => ("back", "Back to the shop"),
    };
    let button = |act: &str, class: &str, words: &str| {
        format!(
            "<form method=\"post\" action=\"/eu/hpp/payments/{}/{act}\">\
             <button class=\"button {class}\">{}</button></form>",
            session.page,
            escaped(words),
        )
    };
    format!(
        "<div class=\"buttons\">{}{}</div>\
         <section aria-labelledby=\"else\"><h2 id=\"else\">Or let something else happen</h2>\
         <div class=\"buttons\">{}{}</div></section>",
        button("pay", "strong", &format!("Pay {total}")),
        button(leave, "quiet", words),
        button("decline", "quiet", "Be declined"),
        button("error", "quiet", "Meet an error"),
    )
}

/// Orders do not name their merchant; the host of the terms comes nearest.
fn merchant(order: &Map<String, Value>) -> String {
    let terms = order
        .get("merchant_urls")
        .and_then(|urls| urls.get("terms"));
    let terms = terms
        .and_then(Value::as_str)
        .and_then(|url| reqwest::Url::parse(url).ok());
    let host = terms.as_ref().and_then(reqwest::Url::host_str);
    host.map_or_else(
        || "The merchant".to_owned(),
        |host| host.trim_start_matches("www.").to_owned(),
    )
}

/// An amount with its currency. Every market's currency has two decimals.
fn money(minor: Option<&Value>, currency: &str) -> String {
    let minor = minor.and_then(Value::as_i64).unwrap_or_default();
    let sign = if minor < 0 { "\u{2212}" } else { "" };
    let whole = minor.unsigned_abs();
    format!(
        "{sign}{}.{:02}\u{a0}{}",
        whole / 100,
        whole % 100,
        escaped(currency)
    )
}

fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out += "&amp;",
            '<' => out += "&lt;",
            '>' => out += "&gt;",
            '"' => out += "&quot;",
            '\'' => out += "&#39;",
            c => out.push(c),
        }
    }
    out
}

fn html(status: StatusCode, title: &str, main: &str) -> HttpResponse {
    let page = format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <meta name=\"robots\" content=\"noindex\"><title>{} · Klarna simulator</title>\
         <link rel=\"icon\" href=\"data:,\"><link rel=\"stylesheet\" href=\"{STYLE_PATH}\"></head>\
         <body><header><strong>Klarna simulator</strong> <span>No money moves on this page.</span>\
         </header><main>{main}</main></body></html>",
        escaped(title),
    );
    HttpResponse::build(status)
        .content_type("text/html; charset=utf-8")
        .insert_header(("cache-control", "no-store"))
        .insert_header(("referrer-policy", "no-referrer"))
        .insert_header(("x-content-type-options", "nosniff"))
        .insert_header((
            "content-security-policy",
            // no form-action: browsers would also hold it against the redirect to the merchant
            "default-src 'none'; style-src 'self'; img-src https: http: data:; base-uri 'none'; \
             frame-ancestors 'none'",
        ))
        .body(page)
}
