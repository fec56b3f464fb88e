//! The demo's page: the shop's links with live status on one side, the buyer's inbox on the other.
//! It talks to paylink as any stranger does, by its API.

use std::sync::Arc;

use actix_web::http::{StatusCode, header};
use actix_web::web::{Bytes, Data, Json, Path};
use actix_web::{HttpResponse, get, post, web};
use futures_util::{Stream, StreamExt};
use handlebars::Handlebars;
use serde_json::{Value, json};

use super::catcher::{CaughtSms, Inbox};
use super::story::{Places, sale};

const STYLE: &str = include_str!("../web/assets/paylink.css");
const SCRIPT: &str = include_str!("pages/demo.js");
const SPRITE: &str = include_str!("../web/assets/sprite.svg");

/// What the pages may do: run their one script, and frame a mail.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
                      img-src 'self' data:; connect-src 'self'; frame-src 'self'; \
                      frame-ancestors 'none'; base-uri 'none'; form-action 'self'";
/// A mail comes from outside: styles and pictures, nothing that runs, wherever it is opened.
const MAIL_POLICY: &str = "sandbox allow-top-navigation-by-user-activation; default-src 'none'; \
                           style-src 'unsafe-inline'; img-src 'self' data:; \
                           frame-ancestors 'self'; base-uri 'self'; form-action 'none'";

/// What the pages need.
pub struct Desk {
    places: Places,
    inbox: Arc<Inbox>,
    http: reqwest::Client,
    pages: Handlebars<'static>,
}

impl Desk {
    /// The page of this demo.
    ///
    /// # Errors
    /// Where a page is not a template; a test loads them all.
    pub fn new(
        places: Places,
        inbox: Arc<Inbox>,
        http: reqwest::Client,
    ) -> Result<Self, Box<handlebars::TemplateError>> {
        let mut pages = Handlebars::new();
        for (name, text) in [
            ("layout", include_str!("pages/layout.hbs")),
            ("links", include_str!("pages/links.hbs")),
            ("inbox", include_str!("pages/inbox.hbs")),
            ("mail", include_str!("pages/mail.hbs")),
            ("qr", include_str!("pages/qr.hbs")),
            ("fault", include_str!("pages/fault.hbs")),
        ] {
            pages
                .register_template_string(name, text)
                .map_err(Box::new)?;
        }
        Ok(Self {
            places,
            inbox,
            http,
            pages,
        })
    }

    fn page(&self, name: &str, facts: Value) -> HttpResponse {
        self.answer(StatusCode::OK, name, facts)
    }

    fn answer(&self, status: StatusCode, name: &str, mut facts: Value) -> HttpResponse {
        facts["api"] = json!(self.places.api);
        facts["sprite"] = json!(SPRITE);
        match self.pages.render(name, &facts) {
            Ok(page) => HttpResponse::build(status)
                .insert_header((header::CACHE_CONTROL, "no-store"))
                .insert_header((header::CONTENT_TYPE, "text/html; charset=utf-8"))
                .insert_header((header::CONTENT_SECURITY_POLICY, POLICY))
                .body(page),
            Err(error) => HttpResponse::InternalServerError().body(error.to_string()),
        }
    }

    /// Asks paylink. Where it refuses or is silent, a page that says so comes back.
    async fn ask(&self, call: reqwest::RequestBuilder) -> Result<Value, HttpResponse> {
        let answer = match call.bearer_auth(&self.places.key).send().await {
            Ok(answer) => answer,
            Err(error) => return Err(self.unanswered(&error)),
        };
        let refused = !answer.status().is_success();
        let status = answer.status().as_u16();
        match answer.json().await {
            Ok(problem) if refused => Err(self.refused(status, &problem)),
            Ok(said) => Ok(said),
            Err(error) => Err(self.unanswered(&error)),
        }
    }

    fn refused(&self, status: u16, problem: &Value) -> HttpResponse {
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY);
        let facts = json!({"title": problem["title"], "detail": problem["detail"], "more": problem["type"]});
        self.answer(status, "fault", facts)
    }

    fn unanswered(&self, error: &reqwest::Error) -> HttpResponse {
        let facts = json!({"title": "paylink did not answer", "detail": error.to_string()});
        self.answer(StatusCode::BAD_GATEWAY, "fault", facts)
    }

    fn nothing(&self, detail: &str) -> HttpResponse {
        let facts = json!({"title": "Nothing here", "detail": detail});
        self.answer(StatusCode::NOT_FOUND, "fault", facts)
    }
}

/// Everything that the demo's own port answers.
pub fn routes(config: &mut web::ServiceConfig) {
    config
        .service(links)
        .service(create)
        .service(disable)
        .service(qr)
        .service(qr_picture)
        .service(show_inbox)
        .service(show_mail)
        .service(show_html)
        .service(show_picture)
        .service(take_sms)
        .service(live)
        .route(
            "/paylink.css",
            web::get().to(|| async { asset(STYLE, "text/css; charset=utf-8") }),
        )
        .route(
            "/demo.js",
            web::get().to(|| async { asset(SCRIPT, "text/javascript; charset=utf-8") }),
        )
        .default_service(web::to(nowhere));
}

async fn nowhere(desk: Data<Desk>) -> HttpResponse {
    desk.nothing("The demo has its links, the buyer’s inbox, and the mails in it.")
}

fn asset(text: &'static str, kind: &'static str) -> HttpResponse {
    HttpResponse::Ok()
        .insert_header((header::CONTENT_TYPE, kind))
        .body(text)
}

#[get("/")]
async fn links(desk: Data<Desk>) -> HttpResponse {
    let call = desk
        .http
        .get(format!("{}/v1/links?limit=50", desk.places.api));
    match desk.ask(call).await {
        Ok(list) => {
            let rows: Vec<Value> = list["data"]
                .as_array()
                .map_or_else(Vec::new, |all| all.iter().map(row).collect());
            desk.page(
                "links",
                json!({"title": "Links", "on_links": true, "live": true, "links": rows, "key": desk.places.key}),
            )
        }
        Err(answer) => answer,
    }
}

/// A link as a row of the table. The words are those of the mock-up.
fn row(link: &Value) -> Value {
    let status = link["status"].as_str().unwrap_or("");
    let consumer = link["consumer"].as_str().unwrap_or("");
    let (chip, icon, words) = match (status, consumer) {
        ("creating", _) => ("pending", "clock", "Asking Klarna"),
        ("open", "in_progress") => ("in_progress", "eye", "Page opened"),
        ("open", "back") => ("in_progress", "eye", "Went back"),
        ("open", "id_check") => ("pending", "clock", "Identity check"),
        ("open", "declined") => ("declined", "alert", "Declined"),
        ("open", "error") => ("declined", "alert", "Error at Klarna"),
        ("open", _) => ("not_opened", "clock", "Not opened"),
        ("completed", _) if link["payment"]["fraud_status"] == "PENDING" => {
            ("pending", "clock", "Klarna checks")
        }
        ("completed", _) => ("completed", "check", "Paid"),
        ("disabling", _) => ("pending", "clock", "Being disabled"),
        ("disabled", _) => ("disabled", "stop", "Disabled"),
        ("expired", _) => ("expired", "clock", "Expired"),
        ("cancelled", _) => ("cancelled", "cross", "Cancelled"),
        _ => ("failed", "cross", "Failed"),
    };
    let mut deliveries: Vec<String> = link["deliveries"].as_array().map_or_else(Vec::new, |all| {
        all.iter()
            .map(|delivery| {
                format!(
                    "{} {}",
                    if delivery["channel"] == "sms" {
                        "SMS"
                    } else {
                        "E-mail"
                    },
                    delivery["status"].as_str().unwrap_or("")
                )
            })
            .collect()
    });
    // they are listed as they were taken up, which differs from link to link
    deliveries.sort();
    let buyer = &link["billing_address"];
    let minor = link["order_amount"].as_i64().unwrap_or(0);
    json!({
        "id": link["id"], "url": link["url"], "payable": link["payable"],
        "chip": chip, "icon": icon, "words": words,
        // the demo sells in pounds only
        "amount": format!("£{}.{:02}", minor / 100, minor % 100),
        "reference": link["reference"],
        "buyer": format!("{} {}", buyer["given_name"].as_str().unwrap_or(""), buyer["family_name"].as_str().unwrap_or("")),
        "deliveries": deliveries.join(", "),
        "created": link["created_at"].as_str().and_then(|at| at.get(11..19)).unwrap_or(""),
    })
}

#[post("/links")]
async fn create(desk: Data<Desk>) -> HttpResponse {
    let number = desk.inbox.next_reference();
    let mut sale = sale(&format!("SO-{number}"));
    sale["send"] = json!([{"channel": "email"}, {"channel": "sms"}]);
    let call = desk
        .http
        .post(format!("{}/v1/links", desk.places.api))
        .json(&sale);
    back(desk.ask(call).await)
}

#[post("/links/{id}/disable")]
async fn disable(desk: Data<Desk>, id: Path<String>) -> HttpResponse {
    let call = desk
        .http
        .post(format!("{}/v1/links/{id}/disable", desk.places.api))
        .json(&json!({"reason": "customer_request"}));
    back(desk.ask(call).await)
}

fn back(answer: Result<Value, HttpResponse>) -> HttpResponse {
    match answer {
        Ok(_) => HttpResponse::SeeOther()
            .insert_header((header::LOCATION, "/"))
            .finish(),
        Err(page) => page,
    }
}

#[get("/qr/{id}")]
async fn qr(desk: Data<Desk>, id: Path<String>) -> HttpResponse {
    desk.page(
        "qr",
        json!({"title": "QR code", "on_links": true, "id": *id}),
    )
}

#[get("/qr/{id}/picture")]
async fn qr_picture(desk: Data<Desk>, id: Path<String>) -> HttpResponse {
    let call = desk
        .http
        .get(format!("{}/v1/links/{id}/qr.png?size=600", desk.places.api))
        .bearer_auth(&desk.places.key);
    match call.send().await {
        Ok(answer) if answer.status().is_success() => match answer.bytes().await {
            Ok(png) => HttpResponse::Ok().content_type("image/png").body(png),
            Err(error) => desk.unanswered(&error),
        },
        Ok(answer) => {
            HttpResponse::Gone().body(format!("no QR code: paylink answered {}", answer.status()))
        }
        Err(error) => desk.unanswered(&error),
    }
}

#[get("/inbox")]
async fn show_inbox(desk: Data<Desk>) -> HttpResponse {
    let mails: Vec<Value> = desk.inbox.mails().iter().rev().map(|caught| {
        json!({"number": caught.number, "subject": caught.subject, "to": caught.to.join(", "), "at": clock(&caught.at)})
    }).collect();
    let messages: Vec<Value> = desk.inbox.messages().iter().rev().map(bubble).collect();
    desk.page(
        "inbox",
        json!({"title": "Buyer’s inbox", "on_inbox": true, "live": true, "mails": mails, "messages": messages}),
    )
}

/// An SMS with its one link made clickable, as a phone does it.
fn bubble(sms: &CaughtSms) -> Value {
    let at = clock(sms.at.as_deref().unwrap_or_default());
    let number = sms.number;
    let Some(start) = sms.text.find("http") else {
        return json!({"number": number, "to": sms.to, "at": at, "before": sms.text});
    };
    let (before, rest) = sms.text.split_at(start);
    let (url, after) = rest.split_at(rest.find(' ').unwrap_or(rest.len()));
    json!({"number": number, "to": sms.to, "at": at, "before": before, "url": url, "after": after})
}

/// `hh:mm:ss` of an RFC 3339 time.
fn clock(at: &str) -> String {
    at.get(11..19).unwrap_or("").to_owned()
}

#[get("/mails/{number}")]
async fn show_mail(desk: Data<Desk>, number: Path<usize>) -> HttpResponse {
    let Some(mail) = desk.inbox.mail(*number) else {
        return desk.nothing("No such mail. The newest are in the inbox.");
    };
    desk.page(
        "mail",
        json!({
            "title": mail.subject, "on_inbox": true, "number": mail.number, "subject": mail.subject,
            "from": mail.from, "to": mail.to.join(", "), "at": clock(&mail.at), "text": mail.text,
        }),
    )
}

#[get("/mails/{number}/html")]
async fn show_html(desk: Data<Desk>, number: Path<usize>) -> HttpResponse {
    let Some(mail) = desk.inbox.mail(*number) else {
        return desk.nothing("No such mail. The newest are in the inbox.");
    };
    let shown = mail
        .html
        .replace("cid:qr@paylink", &format!("/mails/{}/qr.png", mail.number))
        // links of a framed mail open in the whole window, as a mail program does it
        .replacen("<head>", "<head><base target=\"_top\">", 1);
    HttpResponse::Ok()
        .content_type("text/html; charset=utf-8")
        .insert_header((header::CONTENT_SECURITY_POLICY, MAIL_POLICY))
        .body(shown)
}

#[get("/mails/{number}/qr.png")]
async fn show_picture(desk: Data<Desk>, number: Path<usize>) -> HttpResponse {
    match desk.inbox.mail(*number).and_then(|mail| mail.picture) {
        Some(png) => HttpResponse::Ok().content_type("image/png").body(png),
        None => HttpResponse::NotFound().body("no picture"),
    }
}

/// The SMS gateway.
#[post("/sms")]
async fn take_sms(desk: Data<Desk>, sms: Json<CaughtSms>) -> HttpResponse {
    let number = desk.inbox.take_sms(sms.into_inner());
    HttpResponse::Ok().json(json!({"id": format!("sms-{number}")}))
}

/// The body of an answer, piece by piece.
fn chunks(answer: reqwest::Response) -> impl Stream<Item = reqwest::Result<Bytes>> {
    futures_util::stream::try_unfold(answer, |mut answer| async move {
        Ok(answer.chunk().await?.map(|bytes| (bytes, answer)))
    })
}

/// One line per event of paylink's stream; the page looks again.
#[get("/live")]
async fn live(desk: Data<Desk>) -> HttpResponse {
    let call = desk
        .http
        .get(format!("{}/v1/events/stream", desk.places.api))
        .bearer_auth(&desk.places.key)
        .header(header::ACCEPT.as_str(), "text/event-stream");
    match call.send().await {
        Ok(answer) if !answer.status().is_success() => HttpResponse::BadGateway().finish(),
        Ok(answer) => HttpResponse::Ok()
            .insert_header((header::CACHE_CONTROL, "no-store"))
            .insert_header((header::CONTENT_TYPE, "text/event-stream"))
            .streaming(chunks(answer).map(|chunk| {
                chunk.map(|bytes| {
                    // Any event means "look again"; comments keep the connection alive. A chunk may
                    // be a piece of an event: rather one look too many than one too few.
                    let news = bytes
                        .split(|byte| *byte == b'\n')
                        .any(|line| !line.is_empty() && !line.starts_with(b":"));
                    Bytes::from_static(if news {
                        b"data: news\n\n"
                    } else {
                        b": alive\n\n"
                    })
                })
            })),
        Err(error) => desk.unanswered(&error),
    }
}
