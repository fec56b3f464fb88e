//! The calls under `/v1` over a real database.

use actix_web::http::StatusCode;
use actix_web::test::{TestRequest, call_service, read_body};
use serde_json::{Value, json};

use super::ask::{get, post, sale};
use super::house::Home;
use crate::access::Role;
use crate::link::Mode;

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
