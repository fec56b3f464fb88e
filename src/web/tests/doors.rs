//! What needs no API key, and how the server ends.

use std::time::Duration;

use actix_web::test::TestRequest;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::ask::{post, sale};
use super::house::Home;
use crate::access::Role;
use crate::link::Mode;

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

/// A buyer who comes back in an outage gets a page that looks again, not a machine's answer.
#[actix_web::test]
async fn a_buyer_is_told_that_it_cannot_be_looked_up_now() {
    let home = Home::new().await;
    let app = served!(home);
    home.raw("ALTER TABLE token RENAME TO gone");
    let back = TestRequest::get().uri(&format!("/return/success/{}", "A".repeat(43)));
    let seen = ask!(&app, back).await;
    assert_eq!(seen.status, 503);
    assert!(seen.header("content-type").starts_with("text/html"));
    let page = String::from_utf8_lossy(&seen.body);
    assert!(page.contains("Do not pay again"), "{page}");
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
        let page = ask!(&app, TestRequest::get().uri(&path)).await;
        assert_eq!(page.status, 200, "{path}");
        let text = String::from_utf8(page.body).unwrap();
        assert!(!text.contains('`'), "{text}");
    }
    let front = ask!(&app, TestRequest::get().uri("/")).await;
    assert_eq!(
        (front.status, front.header("content-type")),
        (200, "text/html; charset=utf-8")
    );
    let text = String::from_utf8(front.body).unwrap();
    assert!(text.contains(env!("CARGO_PKG_VERSION")), "{text}");
    let links: Vec<&str> = text.split("href=\"").skip(1).collect();
    assert!(links.len() > 4, "{text}");
    for link in links {
        let path = link.split('"').next().unwrap();
        let seen = ask!(&app, TestRequest::get().uri(path)).await;
        assert_eq!(seen.status, 200, "{path}");
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
