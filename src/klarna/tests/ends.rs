//! How a call can end, and what each end proves.

use std::time::Duration;

use super::sample::link;
use super::stub::{Part, Stub, client, clock, raw, say};
use crate::klarna::{KlarnaError, KlarnaSettings};

/// The error of creating an order at a server that plays `part`.
async fn end(part: Part) -> KlarnaError {
    let stub = Stub::new(vec![part]).await;
    stub.client().create_order(&link(), "t").await.unwrap_err()
}

#[tokio::test]
async fn refused_connection_is_proved_not_done() {
    let stub = Stub::saying(200, "{}").await;
    let mut settings = stub.settings();
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    settings
        .base
        .set_port(Some(free.local_addr().unwrap().port()))
        .unwrap();
    drop(free);
    let end = client(settings, &clock())
        .create_order(&link(), "t")
        .await
        .unwrap_err();
    assert!(matches!(end, KlarnaError::NotDone { .. }), "{end:?}");
    assert!(end.proved_not_done());
}

#[tokio::test]
async fn failed_handshake_is_proved_not_done() {
    let stub = Stub::new(vec![Part::Reset]).await;
    let mut settings: KlarnaSettings = stub.settings();
    settings.base = stub
        .url
        .as_str()
        .replace("http:", "https:")
        .parse()
        .unwrap();
    let end = client(settings, &clock())
        .read_order("o")
        .await
        .unwrap_err();
    assert!(matches!(end, KlarnaError::NotDone { .. }), "{end:?}");
}

#[tokio::test]
async fn silence_is_unknown() {
    let stub = Stub::new(vec![Part::Hang]).await;
    let mut settings = stub.settings();
    settings.timeout = Duration::from_millis(100);
    let end = client(settings, &clock())
        .create_order(&link(), "t")
        .await
        .unwrap_err();
    let KlarnaError::Unknown { detail } = &end else {
        panic!("{end:?}")
    };
    assert!(detail.contains("no answer in time"), "{detail}");
    assert!(!end.proved_not_done());
}

#[tokio::test]
async fn what_breaks_after_the_connection_is_unknown() {
    let half = b"HTTP/1.1 201 X\r\ncontent-length: 100\r\n\r\n{\"order_id\":".to_vec();
    for part in [
        Part::Reset,
        Part::Close,
        Part::Say(half),
        Part::Say(b"SSH-2.0-OpenSSH_9.9\r\n".to_vec()),
        say(200, "", "<html>ok</html>"),
        say(201, "", "[\"order_id\"]"),
        say(201, "", ""),
        say(201, "", "{\"status\":\"checkout_incomplete\"}"),
        say(201, "", "{\"order_id\":\"../../evil\"}"),
        say(201, "", "{\"order_id\":7}"),
        say(500, "", ""),
        say(503, "", "{\"error_code\":\"TEMPORARILY_UNAVAILABLE\"}"),
        raw(
            201,
            "",
            &vec![b' '; super::super::transport::ANSWER_LIMIT + 1],
        ),
    ] {
        let end = end(part).await;
        assert!(matches!(end, KlarnaError::Unknown { .. }), "{end:?}");
    }
}

#[tokio::test]
async fn redirect_is_not_followed() {
    let other = Stub::saying(201, "{\"order_id\":\"o\"}").await;
    let end = end(say(307, &format!("location: {}\r\n", other.url), "")).await;
    assert!(matches!(end, KlarnaError::Unknown { .. }), "{end:?}");
    assert_eq!(other.requests().len(), 0);
}

#[tokio::test]
async fn bad_value_carries_klarnas_words() {
    let body = r#"{"error_code":"BAD_VALUE","error_messages":["Bad value: order_lines[0]\u001b[31m"],"correlation_id":"c-1"}"#;
    let KlarnaError::Refused(refusal) = end(say(400, "", body)).await else {
        panic!()
    };
    assert_eq!(refusal.status, 400);
    assert_eq!(refusal.code.as_deref(), Some("BAD_VALUE"));
    assert_eq!(refusal.messages, ["Bad value: order_lines[0][31m"]);
    assert_eq!(refusal.correlation_id.as_deref(), Some("c-1"));
}

#[tokio::test]
async fn refusals_are_read_in_every_spelling() {
    for body in [
        r#"{"error_text":["no"]}"#,
        r#"{"error_text":"no"}"#,
        r#"{"error_message":"no"}"#,
        r#"{"error_code":7,"error_messages":["no",3]}"#,
    ] {
        let end = end(say(422, "klarna-correlation-id: h-1\r\n", body)).await;
        let KlarnaError::Refused(refusal) = end else {
            panic!("{end:?}")
        };
        assert_eq!(refusal.messages, ["no"], "{body}");
        assert_eq!(refusal.code, None);
        assert_eq!(refusal.correlation_id.as_deref(), Some("h-1"));
    }
}

#[tokio::test]
async fn a_4xx_proves_by_its_status_alone() {
    let half = b"HTTP/1.1 400 X\r\ncontent-length: 100\r\n\r\n{".to_vec();
    let huge = raw(400, "", &vec![b' '; 2 * 1024 * 1024]);
    for part in [Part::Say(half), huge, say(400, "", "")] {
        let end = end(part).await;
        assert!(
            matches!(&end, KlarnaError::Refused(it) if it.messages.is_empty()),
            "{end:?}"
        );
    }
    for status in [401, 403] {
        let end = end(say(status, "", "")).await;
        assert!(
            matches!(&end, KlarnaError::Forbidden(it) if it.status == status),
            "{end:?}"
        );
    }
    assert!(matches!(
        end(say(404, "", "")).await,
        KlarnaError::NotFound(_)
    ));
    // but for this one, which a gateway may say of a call that goes on behind it
    assert!(matches!(
        end(say(408, "", "")).await,
        KlarnaError::Unknown { .. }
    ));
}

#[tokio::test]
async fn a_429_says_how_long() {
    let soon = clock().now().as_second() + 9;
    for (headers, seconds) in [
        ("retry-after: 7\r\n".to_owned(), Some(7)),
        (
            "retry-after: Mon, 23 Nov 2026 09:00:30 GMT\r\n".into(),
            Some(30),
        ),
        ("retry-after: 99999999\r\n".into(), Some(3600)),
        ("retry-after: -4\r\n".into(), Some(0)),
        ("RateLimit-Reset: 5\r\n".into(), Some(5)),
        (format!("X-RateLimit-Reset: {soon}\r\n"), Some(9)),
        (format!("X-Rate-Limit-Reset: {soon}000\r\n"), Some(9)),
        ("retry-after: soon\r\n".into(), None),
        (String::new(), None),
    ] {
        let end = end(say(429, &headers, "")).await;
        let KlarnaError::Busy {
            retry_after,
            refusal: Some(_),
        } = end
        else {
            panic!("{end:?}")
        };
        assert_eq!(retry_after, seconds.map(Duration::from_secs), "{headers}");
    }
}

#[tokio::test]
async fn a_connection_is_used_again() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    // one connection only is ever accepted: a second one would wait in vain
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut chunk = [0; 4096];
        while stream.read(&mut chunk).await.is_ok_and(|read| read > 0) {
            let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 14\r\n\r\n{\"status\":\"x\"}";
            stream.write_all(answer).await.unwrap();
        }
    });
    let settings = KlarnaSettings::new(base.parse().unwrap(), "u".into(), "p".to_owned().into());
    let klarna = client(settings, &clock());
    for _ in 0..3 {
        klarna.clone().read_order("o").await.unwrap();
    }
}
