//! The HTTP surface over a real database.

use std::time::Duration;

use actix_web::Error;
use actix_web::body::MessageBody;
use actix_web::dev::{Service, ServiceResponse};
use actix_web::http::StatusCode;
use actix_web::test::{TestRequest, call_service, read_body};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::house::Home;
use crate::access::Role;
use crate::link::Mode;

macro_rules! served {
    ($home:expr) => {
        ::actix_web::test::init_service(
            ::actix_web::App::new()
                .app_data($home.state.clone())
                .wrap(::actix_web::middleware::from_fn($crate::web::edge::edge))
                .configure($crate::web::routes),
        )
        .await
    };
}
pub(super) use served;

/// What came back.
pub(super) struct Seen {
    pub(super) status: u16,
    pub(super) headers: actix_web::http::header::HeaderMap,
    pub(super) body: Vec<u8>,
}

impl Seen {
    pub(super) fn header(&self, name: &str) -> &str {
        let value = self
            .headers
            .get(name)
            .unwrap_or_else(|| panic!("no {name}"));
        value.to_str().unwrap()
    }

    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// The problem's code, its status compared.
    pub(super) fn problem(&self) -> String {
        assert_eq!(self.header("content-type"), "application/problem+json");
        let seen = self.json();
        assert_eq!(seen["status"], json!(self.status));
        assert_eq!(seen["request_id"], json!(self.header("x-request-id")));
        seen["code"].as_str().unwrap().to_owned()
    }
}

// the type of a request has no name outside of actix: only inference can say it
macro_rules! ask {
    ($app:expr, $request:expr $(,)?) => {
        $crate::web::tests::service::seen($app, $request.to_request())
    };
}
pub(super) use ask;

pub(super) async fn seen<S, R, B>(app: &S, request: R) -> Seen
where
    S: Service<R, Response = ServiceResponse<B>, Error = Error>,
    B: MessageBody,
{
    let response = call_service(app, request).await;
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let body = read_body(response).await.to_vec();
    Seen {
        status,
        headers,
        body,
    }
}

pub(super) fn sale(reference: &str) -> Value {
    json!({"reference": reference, "order_amount": 50_000,
           "billing_address": {"given_name": "Jo", "family_name": "Bloggs", "email": "jo@example.com", "country": "GB"},
           "send": [{"channel": "email"}]})
}

pub(super) fn post(path: &str, key: &(&'static str, String), body: &Value) -> TestRequest {
    TestRequest::post()
        .uri(path)
        .insert_header(key.clone())
        .set_json(body)
}

pub(super) fn get(path: &str, key: &(&'static str, String)) -> TestRequest {
    TestRequest::get().uri(path).insert_header(key.clone())
}

#[actix_web::test]
async fn a_stranger_learns_nothing_but_that_a_key_is_wanted() {
    let home = Home::new().await;
    let app = served!(home);
    let live = home.key(Role::Admin, "default", Mode::Live).await;
    for path in ["/v1/links", "/v1/nowhere", "/v1/links/lnk_0/disable?x=1"] {
        for request in [
            TestRequest::get().uri(path),
            TestRequest::patch().uri(path),
            TestRequest::get()
                .uri(path)
                .insert_header(("Authorization", "Bearer plk_test_x")),
            // a key of the other mode
            TestRequest::get().uri(path).insert_header(live.clone()),
        ] {
            let seen = ask!(&app, request).await;
            assert_eq!(seen.problem(), "unauthorized", "{path}");
            assert!(seen.header("www-authenticate").starts_with("Bearer"));
        }
    }
}

#[actix_web::test]
async fn every_answer_has_its_headers() {
    let home = Home::new().await;
    let app = served!(home);
    for path in [
        "/healthz",
        "/v1/links",
        "/nowhere",
        "/openapi.json",
        "/docs/",
        "/problems/gone",
    ] {
        let asked = TestRequest::get()
            .uri(path)
            .insert_header(("X-Request-Id", "mine-1"));
        let seen = ask!(&app, asked).await;
        assert_eq!(seen.header("x-request-id"), "mine-1", "{path}");
        assert_eq!(seen.header("x-content-type-options"), "nosniff", "{path}");
        assert_eq!(seen.header("referrer-policy"), "no-referrer", "{path}");
        assert!(
            seen.header("content-security-policy")
                .contains("default-src 'none'"),
            "{path}"
        );
        assert!(
            seen.header("strict-transport-security").contains("max-age"),
            "{path}"
        );
        assert!(seen.headers.contains_key("cache-control"), "{path}");
    }
    let seen = ask!(&app, TestRequest::get().uri("/v1/links")).await;
    assert_eq!(seen.header("cache-control"), "no-store");
    assert_eq!(seen.header("x-request-id").len(), 32);
    let huge = TestRequest::get()
        .uri("/healthz")
        .insert_header(("X-Filler", "x".repeat(33_000)));
    assert_eq!(ask!(&app, huge).await.problem(), "headers_too_large");
}

#[actix_web::test]
async fn an_address_says_what_it_takes() {
    let home = Home::new().await;
    let app = served!(home);
    let key = home.key(Role::Agent, "default", Mode::Test).await;
    let asked = TestRequest::put()
        .uri("/v1/links")
        .insert_header(key.clone());
    let seen = ask!(&app, asked).await;
    assert_eq!(seen.problem(), "method_not_allowed");
    assert_eq!(seen.header("allow"), "GET, HEAD, POST");
    assert_eq!(
        ask!(&app, get("/v1/nowhere", &key)).await.problem(),
        "not_found"
    );
    assert_eq!(
        ask!(&app, get("/v1/links/lnk_0", &key)).await.problem(),
        "not_found"
    );
    let head = TestRequest::default()
        .method(actix_web::http::Method::HEAD)
        .uri("/healthz");
    assert_eq!(ask!(&app, head).await.status, 200);
}

#[actix_web::test]
async fn a_body_is_json_or_nothing_happens() {
    let home = Home::new().await;
    let app = served!(home);
    let key = home.key(Role::Agent, "default", Mode::Test).await;
    let sent = |kind: &'static str, body: Vec<u8>| {
        TestRequest::post()
            .uri("/v1/links")
            .insert_header(key.clone())
            .insert_header(("Content-Type", kind))
            .set_payload(body)
    };
    for (kind, body, code) in [
        ("text/plain", b"{}".to_vec(), "unsupported_media_type"),
        (
            "application/json",
            b"{\"a\":1,\"a\":2}".to_vec(),
            "malformed_json",
        ),
        ("application/json", b"[]".to_vec(), "malformed_json"),
        ("application/json", b"{} {}".to_vec(), "malformed_json"),
        (
            "application/json",
            vec![b' '; 1024 * 1024 + 1],
            "payload_too_large",
        ),
        (
            "application/json; charset=utf-8",
            b"{}".to_vec(),
            "validation_failed",
        ),
    ] {
        assert_eq!(ask!(&app, sent(kind, body)).await.problem(), code, "{kind}");
    }
    let wrong = post("/v1/links?expand=qr&expnad=qr", &key, &sale("SO-1"));
    let seen = ask!(&app, wrong).await;
    assert_eq!(seen.problem(), "validation_failed");
    assert_eq!(seen.json()["errors"][0]["parameter"], json!("expnad"));
}

#[actix_web::test]
async fn a_link_is_accepted_read_and_closed() {
    let home = Home::new().await;
    let app = served!(home);
    let key = home.key(Role::Agent, "default", Mode::Test).await;
    let once = post("/v1/links", &key, &sale("SO-2")).insert_header(("Idempotency-Key", "\"k\""));
    let made = ask!(&app, once).await;
    assert_eq!(made.status, 202);
    assert_eq!(made.header("retry-after"), "2");
    let link = made.json();
    let path = format!("/v1/links/{}", link["id"].as_str().unwrap());
    assert_eq!(made.header("location"), path);
    assert_eq!(link["status"], json!("creating"));
    assert_eq!(link["url"], Value::Null);
    assert_eq!(link["billing_address"]["family_name"], json!("B***"));
    assert_eq!(link["deliveries"][0]["to"], json!("j***@example.com"));

    let again = post("/v1/links", &key, &sale("SO-2")).insert_header(("Idempotency-Key", "k"));
    let again = ask!(&app, again).await;
    assert_eq!(
        (again.status, again.header("idempotent-replayed")),
        (202, "true")
    );
    assert_eq!(again.json()["id"], link["id"]);
    let other = post("/v1/links", &key, &sale("SO-3")).insert_header(("Idempotency-Key", "k"));
    assert_eq!(ask!(&app, other).await.problem(), "idempotency_mismatch");
    let same = ask!(&app, post("/v1/links", &key, &sale("SO-2"))).await;
    assert_eq!(same.problem(), "reference_in_use");
    assert_eq!(same.json()["link_id"], link["id"]);

    let read = ask!(&app, get(&path, &key)).await;
    let tag = read.header("etag").to_owned();
    assert_eq!(tag, format!("\"{}\"", read.json()["version"]));
    let had = ask!(&app, get(&path, &key).insert_header(("If-None-Match", tag))).await;
    assert_eq!((had.status, had.body.len()), (304, 0));

    let qr = ask!(&app, get(&format!("{path}/qr.png"), &key)).await;
    assert_eq!((qr.problem().as_str(), qr.status), ("not_payable", 409));
    assert_eq!(qr.header("retry-after"), "2");

    let stale =
        post(&format!("{path}/disable"), &key, &json!({})).insert_header(("If-Match", "\"99\""));
    assert_eq!(ask!(&app, stale).await.problem(), "version_mismatch");
    let closed = post(
        &format!("{path}/disable"),
        &key,
        &json!({"reason": "mistake"}),
    );
    let closed = ask!(&app, closed).await;
    assert!(matches!(closed.status, 200 | 202), "{}", closed.status);
    assert_eq!(closed.json()["closing_reason"], json!("mistake"));

    let events = ask!(&app, get(&format!("{path}/events"), &key))
        .await
        .json();
    assert_eq!(events["data"][0]["type"], json!("link.created"));
    assert_eq!(events["data"][0]["sequence"], json!(1));
    let all = ask!(&app, get("/v1/events?limit=1", &key)).await.json();
    assert_eq!(all["data"][0], events["data"][0]);
    assert_eq!(
        (&all["has_more"], &all["next_cursor"]),
        (&json!(true), &json!("1"))
    );
    let beyond = ask!(&app, get("/v1/events?after=9999", &key)).await;
    assert_eq!(beyond.problem(), "gone");
}

#[actix_web::test]
async fn personal_data_is_shown_on_the_record() {
    let home = Home::new().await;
    let app = served!(home);
    let key = home.key(Role::Supervisor, "default", Mode::Test).await;
    let made = ask!(&app, post("/v1/links", &key, &sale("SO-4")))
        .await
        .json();
    let path = format!("/v1/links/{}?reveal=true", made["id"].as_str().unwrap());
    assert_eq!(home.audited().await, 0);
    let seen = ask!(&app, get(&path, &key)).await.json();
    assert_eq!(seen["billing_address"]["family_name"], json!("Bloggs"));
    assert_eq!(seen["deliveries"][0]["to"], json!("jo@example.com"));
    assert_eq!(home.audited().await, 1);
    let auditor = home.key(Role::Auditor, "default", Mode::Test).await;
    assert_eq!(
        ask!(&app, get(&path, &auditor)).await.problem(),
        "forbidden"
    );
    assert_eq!(home.audited().await, 1);
}

#[actix_web::test]
async fn roles_and_stores_are_kept_apart() {
    let home = Home::new().await;
    let app = served!(home);
    let key = home.key(Role::Agent, "north", Mode::Test).await;
    let made = ask!(&app, post("/v1/links", &key, &sale("SO-5")))
        .await
        .json();
    let path = format!("/v1/links/{}", made["id"].as_str().unwrap());
    let foreign = home.key(Role::Agent, "south", Mode::Test).await;
    assert_eq!(
        ask!(&app, get(&path, &foreign)).await.problem(),
        "not_found"
    );
    let listed = ask!(&app, get("/v1/links?store=north", &foreign))
        .await
        .json();
    assert_eq!(listed["data"], json!([]));
    let tablet = home.key(Role::Tablet, "north", Mode::Test).await;
    assert_eq!(
        ask!(&app, get("/v1/links", &tablet)).await.problem(),
        "forbidden"
    );
    assert_eq!(ask!(&app, get(&path, &tablet)).await.problem(), "not_found");
    let auditor = home.key(Role::Auditor, "north", Mode::Test).await;
    let denied = post("/v1/links", &auditor, &sale("SO-6"));
    assert_eq!(ask!(&app, denied).await.problem(), "forbidden");
    let listed = ask!(
        &app,
        get("/v1/links?reference=SO-5&status=creating", &auditor),
    )
    .await
    .json();
    assert_eq!(listed["data"][0]["id"], made["id"]);
    assert!(listed["data"][0].get("order_lines").is_none());
    assert_eq!(listed["has_more"], json!(false));
}

#[actix_web::test]
async fn what_klarna_and_the_buyer_call_needs_a_token() {
    let home = Home::new().await;
    let app = served!(home);
    let key = home.key(Role::Agent, "default", Mode::Test).await;
    let made = ask!(&app, post("/v1/links", &key, &sale("SO-7")))
        .await
        .json();
    let id = made["id"].as_str().unwrap().parse().unwrap();
    let token = home.house.vault.token(id, 1);
    let call =
        |door: &str, token: &str| TestRequest::post().uri(&format!("/callbacks/{door}/{token}"));
    for door in ["hpp", "push", "notification"] {
        let body = "not json, and never read";
        let seen = ask!(&app, call(door, &token).set_payload(body)).await;
        assert_eq!((seen.status, seen.body.len()), (204, 0), "{door}");
        let stranger = ask!(&app, call(door, &"A".repeat(43))).await;
        assert_eq!(stranger.problem(), "not_found", "{door}");
    }
    assert_eq!(ask!(&app, call("validation", &token)).await.status, 200);
    assert_eq!(
        ask!(&app, call("other", &token)).await.problem(),
        "not_found"
    );

    let page = |path: String| {
        TestRequest::get()
            .uri(&path)
            .insert_header(("Accept-Language", "de-DE,de"))
    };
    let back = ask!(&app, page(format!("/return/success/{token}"))).await;
    assert_eq!(back.status, 200);
    assert!(back.header("content-type").starts_with("text/html"));
    let unknown = ask!(&app, page(format!("/return/success/{}", "A".repeat(43)))).await;
    assert_eq!(unknown.status, 404);
    assert!(unknown.header("content-type").starts_with("text/html"));
    assert_eq!(
        ask!(&app, page(format!("/return/other/{token}")))
            .await
            .status,
        404
    );
}

#[actix_web::test]
async fn a_stream_begins_where_it_is_told_and_ends_with_the_process() {
    let home = Home::new().await;
    let app = served!(home);
    let key = home.key(Role::Agent, "default", Mode::Test).await;
    ask!(&app, post("/v1/links", &key, &sale("SO-8"))).await;
    let beyond = get("/v1/events/stream", &key).insert_header(("Last-Event-ID", "9999"));
    assert_eq!(ask!(&app, beyond).await.problem(), "gone");
    let foreign = get("/v1/events/stream", &key).insert_header(("Last-Event-ID", "evt_1"));
    assert_eq!(ask!(&app, foreign).await.problem(), "validation_failed");

    let all = get("/v1/events/stream", &key).insert_header(("Last-Event-ID", "0"));
    let response = call_service(&app, all.to_request()).await;
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(
        response.headers().get("content-type").unwrap(),
        "text/event-stream"
    );
    // what is there is sent first, then the stream sees that the process stops
    home.state.stopping.cancel();
    let text = String::from_utf8(read_body(response).await.to_vec()).unwrap();
    assert!(
        text.starts_with("id: 1\nevent: link.created\ndata: {"),
        "{text}"
    );
    assert!(
        text.contains("\n\nid: 2\nevent: delivery.queued\n"),
        "{text}"
    );
    let ready = ask!(&app, TestRequest::get().uri("/readyz")).await;
    assert_eq!(
        (ready.status, &ready.json()["stopping"]),
        (503, &json!(true))
    );
    assert_eq!(ready.header("connection"), "close");
}

#[actix_web::test]
async fn probes_documents_and_assets_need_no_key() {
    let home = Home::new().await;
    let app = served!(home);
    let ready = ask!(&app, TestRequest::get().uri("/readyz")).await;
    assert_eq!(ready.status, 200, "{}", ready.json());
    ask!(&app, TestRequest::get().uri("/v1/links/lnk_secret")).await;
    let metrics = ask!(&app, TestRequest::get().uri("/metrics")).await;
    assert_eq!(metrics.status, 200);
    let text = String::from_utf8(metrics.body).unwrap();
    assert!(text.contains("paylink_http_requests_total"), "{text}");
    assert!(!text.contains("lnk_secret"));
    let docs = ask!(&app, TestRequest::get().uri("/docs/")).await;
    assert_eq!(
        (docs.status, docs.header("content-type")),
        (200, "text/html")
    );
    assert_eq!(
        ask!(&app, TestRequest::get().uri("/docs"))
            .await
            .header("location"),
        "/docs/"
    );
    let style = ask!(&app, TestRequest::get().uri("/assets/paylink.css")).await;
    assert_eq!(style.status, 200);
    let tag = style.header("etag").to_owned();
    let had = TestRequest::get()
        .uri("/assets/paylink.css")
        .insert_header(("If-None-Match", tag));
    assert_eq!(ask!(&app, had).await.status, 304);
    assert_eq!(
        ask!(&app, TestRequest::get().uri("/assets/..%2Fmod.rs"))
            .await
            .problem(),
        "not_found"
    );
    for code in crate::web::problem::ProblemCode::ALL {
        let path = format!("/problems/{}", code.as_str());
        assert_eq!(
            ask!(&app, TestRequest::get().uri(&path)).await.status,
            200,
            "{path}"
        );
    }
}

/// Long enough for any machine; a test that waits for it has failed.
const PATIENCE: Duration = Duration::from_mins(1);

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_ends_streams_and_idle_connections() {
    let home = Home::new().await;
    let (name, value) = home.key(Role::Agent, "default", Mode::Test).await;
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let settings = home.state.settings.clone();
    let running = crate::web::start(listener, settings, home.house.clone()).unwrap();
    let addr = running.addr();

    let mut idle = TcpStream::connect(addr).await.unwrap();
    let asked = b"GET /healthz HTTP/1.1\r\nHost: pay.example.com\r\n\r\n";
    idle.write_all(asked).await.unwrap();
    let mut first = [0; 15];
    idle.read_exact(&mut first).await.unwrap();
    assert_eq!(&first, b"HTTP/1.1 200 OK");

    let mut stream = TcpStream::connect(addr).await.unwrap();
    let asked = format!(
        "GET /v1/events/stream HTTP/1.1\r\nHost: pay.example.com\r\n{name}: {value}\r\n\r\n"
    );
    stream.write_all(asked.as_bytes()).await.unwrap();
    stream.read_exact(&mut first).await.unwrap();
    assert_eq!(&first, b"HTTP/1.1 200 OK");

    let stopped = tokio::time::timeout(PATIENCE, running.stop(PATIENCE));
    stopped.await.expect("it stops");
    let mut rest = Vec::new();
    let ended = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut rest)).await;
    ended.expect("the stream ends").unwrap();
    let text = String::from_utf8_lossy(&rest);
    assert!(text.contains("text/event-stream"), "{text}");
    // chunked to its proper end, not cut
    assert!(text.ends_with("0\r\n\r\n"), "{text}");
    assert!(TcpStream::connect(addr).await.is_err());
}
