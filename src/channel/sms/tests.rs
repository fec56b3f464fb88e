use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::*;
use crate::link::ReasonCode;

fn message() -> Sms {
    Sms {
        to: Phone::trusted("+447700900123".into()).unwrap(),
        from: "Shop".into(),
        text: "Pay \"now\":\nhttps://pay.example.com/1".into(),
        id: "dlv_1".into(),
    }
}

/// A gateway on loopback: answers each connection with the next of `answers` and closes it; an
/// empty answer closes without one. Gives the requests.
async fn gateway(answers: Vec<Vec<u8>>) -> (String, JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/send", listener.local_addr().unwrap());
    let requests = tokio::spawn(async move {
        let mut requests = Vec::new();
        for answer in answers {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = Vec::new();
            loop {
                stream.read_buf(&mut request).await.unwrap();
                let text = String::from_utf8_lossy(&request).to_ascii_lowercase();
                let Some((head, body)) = text.split_once("\r\n\r\n") else {
                    continue;
                };
                let length = head
                    .split("content-length: ")
                    .nth(1)
                    .map_or(0, |rest| rest.lines().next().unwrap().parse().unwrap());
                if body.len() >= length {
                    break;
                }
            }
            stream.write_all(&answer).await.unwrap_or(());
            stream.shutdown().await.unwrap_or(());
            requests.push(String::from_utf8(request).unwrap());
        }
        requests
    });
    (url, requests)
}

fn answer(status: &str, body: &str) -> Vec<u8> {
    format!(
        "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

fn settings(url: &str) -> HttpSettings {
    HttpSettings {
        url: url.into(),
        method: "POST".into(),
        headers: vec![],
        body: DEFAULT_BODY.into(),
        message_id: None,
        success: None,
        idempotent: false,
    }
}

fn configured(
    settings: HttpSettings,
    patience: Duration,
) -> Result<HttpGateway, Vec<(&'static str, String)>> {
    // reqwest asks for the process's provider; a second test finds it installed
    let _ = rustls::crypto::ring::default_provider().install_default();
    HttpGateway::with_patience(settings, patience)
}

async fn submit(change: impl FnOnce(&mut HttpSettings), answer: Vec<u8>) -> (Outcome, String) {
    let (url, requests) = gateway(vec![answer]).await;
    let mut settings = settings(&url);
    change(&mut settings);
    let gateway = configured(settings, Duration::from_secs(10)).unwrap();
    let outcome = gateway.submit(&message()).await;
    (outcome, requests.await.unwrap().remove(0))
}

#[tokio::test]
async fn the_default_request() {
    let (outcome, request) = submit(
        |it| it.message_id = Some("/messages/0/id".into()),
        answer("201 Created", r#"{"messages":[{"id":17}]}"#),
    )
    .await;
    assert_eq!(
        outcome,
        Outcome::Sent {
            gateway: "http".into(),
            message_id: Some("17".into()),
            segments: Some(1),
            detail: "HTTP 201".into()
        }
    );
    let (head, body) = request.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("POST /send HTTP/1.1\r\n"));
    assert!(
        head.to_ascii_lowercase()
            .contains("content-type: application/json")
    );
    assert_eq!(
        body,
        r#"{"to":"+447700900123","from":"Shop","text":"Pay \"now\":\nhttps://pay.example.com/1","id":"dlv_1"}"#
    );
}

#[tokio::test]
async fn a_form_with_own_headers() {
    let change = |it: &mut HttpSettings| {
        it.method = "PUT".into();
        it.headers = vec![
            ("Authorization".into(), "Bearer a:b".into()),
            (
                "Content-Type".into(),
                "application/x-www-form-urlencoded".into(),
            ),
        ];
        it.body = "to={{url to}}&text={{url text}}&raw={{from}}&id={{id}}".into();
    };
    let (outcome, request) = submit(change, answer("200 OK", "fine")).await;
    assert!(
        matches!(
            outcome,
            Outcome::Sent {
                message_id: None,
                ..
            }
        ),
        "{outcome:?}"
    );
    let (head, body) = request.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("PUT "));
    let head = head.to_ascii_lowercase();
    assert!(
        head.contains("authorization: bearer a:b")
            && head.contains("x-www-form-urlencoded")
            && !head.contains("json")
    );
    assert_eq!(
        body,
        "to=%2B447700900123&text=Pay%20%22now%22%3A%0Ahttps%3A%2F%2Fpay.example.com%2F1&raw=Shop&id=dlv_1"
    );
}

fn told(outcome: &Outcome) -> (&'static str, Option<ReasonCode>) {
    match outcome {
        Outcome::Sent { .. } => ("sent", None),
        Outcome::Refused(reason) => ("refused", Some(reason.code)),
        Outcome::Later {
            reason,
            connection: true,
            ..
        } => ("unreached", Some(reason.code)),
        Outcome::Later {
            reason,
            connection: false,
            ..
        } => ("later", Some(reason.code)),
        Outcome::Unknown { .. } => ("unknown", None),
    }
}

#[tokio::test]
async fn a_429_may_say_when() {
    for (headers, right) in [
        ("", None),
        ("Retry-After: 42\r\n", Some(42)),
        ("Retry-After: soon\r\n", None),
        (
            "Date: Tue, 24 Nov 2026 12:00:00 GMT\r\nRetry-After: Tue, 24 Nov 2026 12:01:30 GMT\r\n",
            Some(90),
        ),
        (
            "Date: Tue, 24 Nov 2026 12:00:00 GMT\r\nRetry-After: Tue, 24 Nov 2026 11:59:00 GMT\r\n",
            None,
        ),
        ("Retry-After: Tue, 24 Nov 2026 12:01:30 GMT\r\n", None),
    ] {
        let said = format!(
            "HTTP/1.1 429 Too Many Requests\r\n{headers}Content-Length: 0\r\nConnection: close\r\n\r\n"
        );
        let (outcome, _) = submit(|_| {}, said.into_bytes()).await;
        let Outcome::Later { wait, .. } = outcome else {
            panic!("{outcome:?}");
        };
        assert_eq!(wait, right.map(Duration::from_secs), "{headers}");
    }
}

/// Whether `/ok` must be `true`, the answer, what comes of it.
type Row<'a> = (bool, Vec<u8>, (&'a str, Option<ReasonCode>));

#[tokio::test]
async fn every_answer_has_its_outcome() {
    use ReasonCode::{GatewayAuth, Rejected};
    let huge = format!("{{\"ok\":true,\"x\":\"{}\"}}", "x".repeat(70_000));
    let rows: &[Row] = &[
        (false, answer("200 OK", ""), ("sent", None)),
        (false, answer("202 Accepted", "not json"), ("sent", None)),
        (false, answer("200 OK", &huge), ("sent", None)),
        (true, answer("200 OK", r#"{"ok":true}"#), ("sent", None)),
        (true, answer("200 OK", r#"{"ok":"true"}"#), ("sent", None)),
        (
            true,
            answer("200 OK", r#"{"ok":false,"error":"no credit"}"#),
            ("unknown", None),
        ),
        (true, answer("200 OK", "not json"), ("unknown", None)),
        (true, answer("200 OK", &huge), ("unknown", None)),
        // the status alone decides where nothing else is asked for
        (
            false,
            b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{".to_vec(),
            ("sent", None),
        ),
        // the answer breaks off behind its head
        (
            true,
            b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{".to_vec(),
            ("unknown", None),
        ),
        (
            true,
            answer("400 Bad Request", r#"{"ok":true}"#),
            ("refused", Some(Rejected)),
        ),
        (
            false,
            answer("302 Found\r\nLocation: http://127.0.0.1:1/", ""),
            ("refused", Some(Rejected)),
        ),
        (
            false,
            answer("400 Bad Request", "no"),
            ("refused", Some(Rejected)),
        ),
        (
            false,
            answer("401 Unauthorized", ""),
            ("refused", Some(GatewayAuth)),
        ),
        (
            false,
            answer("403 Forbidden", ""),
            ("refused", Some(GatewayAuth)),
        ),
        (
            false,
            answer("404 Not Found", ""),
            ("refused", Some(Rejected)),
        ),
        (
            false,
            answer("429 Too Many Requests", ""),
            ("later", Some(Rejected)),
        ),
        (false, answer("500 Oops", ""), ("unknown", None)),
        (false, answer("503 Busy", ""), ("unknown", None)),
        (false, vec![], ("unknown", None)),
        (false, b"what?\r\n\r\n".to_vec(), ("unknown", None)),
    ];
    for (strict, answer, expected) in rows {
        let success = strict.then(|| ("/ok".into(), "true".into()));
        let (outcome, _) = submit(|it| it.success = success, answer.clone()).await;
        assert_eq!(
            told(&outcome),
            *expected,
            "{} {outcome:?}",
            String::from_utf8_lossy(&answer[..answer.len().min(80)])
        );
    }
}

#[tokio::test]
async fn silence_is_unknown_and_a_closed_door_is_not() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let patient = configured(settings(&url), Duration::from_millis(50)).unwrap();
    let outcome = patient.submit(&message()).await;
    assert_eq!(told(&outcome).0, "unknown", "{outcome:?}");
    assert!(patient.probe().await.unwrap().contains("nothing was sent"));
    drop(listener);
    let outcome = patient.submit(&message()).await;
    assert_eq!(told(&outcome).0, "unreached", "{outcome:?}");
    assert!(patient.probe().await.is_err());
}

#[tokio::test]
async fn the_number_is_masked_in_the_gateways_words() {
    let (outcome, _) = submit(
        |_| (),
        answer(
            "400 Bad Request",
            "+447700900123 (447700900123) is\nno mobile",
        ),
    )
    .await;
    let Outcome::Refused(reason) = outcome else {
        panic!()
    };
    assert_eq!(reason.detail, "HTTP 400 +44***123 (+44***123) is no mobile");
}

fn faults(change: impl FnOnce(&mut HttpSettings)) -> Vec<&'static str> {
    let mut settings = settings("https://sms.example.com");
    change(&mut settings);
    let faults = configured(settings, Duration::from_secs(1)).err();
    let names = faults.unwrap_or_default().into_iter().map(|(name, _)| name);
    names.collect()
}

#[test]
fn faults_of_the_settings_come_together() {
    let all = faults(|it| {
        it.url = "sms.example.com".into();
        it.method = "PO ST".into();
        it.headers = vec![("X".into(), "a\nb".into())];
        it.body = "{{json nothing}}".into();
    });
    let expected = [
        "SMS_HTTP_URL",
        "SMS_HTTP_METHOD",
        "SMS_HTTP_HEADERS",
        "SMS_HTTP_BODY",
    ];
    assert_eq!(all, expected);
    for body in ["{{#if to}}", "{{too}}", "{{json}}", "{{nohelper to}}"] {
        assert_eq!(
            faults(|it| it.body = body.into()),
            ["SMS_HTTP_BODY"],
            "{body}"
        );
    }
    assert!(faults(|_| ()).is_empty());
}

#[test]
fn abilities_follow_the_setting() {
    for idempotent in [true, false] {
        let mut settings = settings("https://sms.example.com");
        settings.idempotent = idempotent;
        let gateway = configured(settings, Duration::from_secs(1)).unwrap();
        assert_eq!(gateway.abilities().idempotency_window.is_some(), idempotent);
    }
}

#[tokio::test]
async fn the_log_gateway_sends_nothing() {
    let outcome = LogGateway.submit(&message()).await;
    assert!(matches!(
        outcome,
        Outcome::Sent {
            segments: Some(1),
            message_id: None,
            ..
        }
    ));
}
