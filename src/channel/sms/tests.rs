use std::collections::HashMap;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::*;
use crate::link::{ReasonCode, sample};

fn message() -> Sms {
    Sms {
        to: sample::phone(),
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

fn configured(
    url: &str,
    extra: &[(&str, &str)],
) -> Result<HttpGateway, Vec<(&'static str, String)>> {
    // reqwest asks for the process's provider; a second test finds it installed
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut settings: HashMap<&str, &str> = extra.iter().copied().collect();
    settings.insert("SMS_HTTP_URL", url);
    HttpGateway::with_patience(
        |name| settings.get(name).map(ToString::to_string),
        Duration::from_secs(10),
    )
}

async fn submit(extra: &[(&str, &str)], answer: Vec<u8>) -> (Outcome, String) {
    let (url, requests) = gateway(vec![answer]).await;
    let outcome = configured(&url, extra).unwrap().submit(&message()).await;
    (outcome, requests.await.unwrap().remove(0))
}

#[tokio::test]
async fn the_default_request() {
    let (outcome, request) = submit(
        &[("SMS_HTTP_MESSAGE_ID", "/messages/0/id")],
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
    let extra = [
        ("SMS_HTTP_METHOD", "PUT"),
        (
            "SMS_HTTP_HEADERS",
            "Authorization: Bearer a:b\n\nContent-Type: application/x-www-form-urlencoded",
        ),
        (
            "SMS_HTTP_BODY",
            "to={{url to}}&text={{url text}}&raw={{from}}&id={{id}}",
        ),
    ];
    let (outcome, request) = submit(&extra, answer("200 OK", "fine")).await;
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
        } => ("unreached", Some(reason.code)),
        Outcome::Later {
            reason,
            connection: false,
        } => ("later", Some(reason.code)),
        Outcome::Unknown { .. } => ("unknown", None),
    }
}

/// Settings, answer, what comes of it.
type Row<'a> = (
    &'a [(&'a str, &'a str)],
    Vec<u8>,
    (&'a str, Option<ReasonCode>),
);

#[tokio::test]
async fn every_answer_has_its_outcome() {
    use ReasonCode::{GatewayAuth, Rejected};
    let huge = format!("{{\"ok\":true,\"x\":\"{}\"}}", "x".repeat(70_000));
    let ok: &[(&str, &str)] = &[("SMS_HTTP_SUCCESS", "/ok=true")];
    let rows: &[Row] = &[
        (&[], answer("200 OK", ""), ("sent", None)),
        (&[], answer("202 Accepted", "not json"), ("sent", None)),
        (&[], answer("200 OK", &huge), ("sent", None)),
        (ok, answer("200 OK", r#"{"ok":true}"#), ("sent", None)),
        (ok, answer("200 OK", r#"{"ok":"true"}"#), ("sent", None)),
        (
            ok,
            answer("200 OK", r#"{"ok":false,"error":"no credit"}"#),
            ("unknown", None),
        ),
        (ok, answer("200 OK", "not json"), ("unknown", None)),
        (ok, answer("200 OK", &huge), ("unknown", None)),
        // the status alone decides where nothing else is asked for
        (
            &[],
            b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{".to_vec(),
            ("sent", None),
        ),
        // the answer breaks off behind its head
        (
            ok,
            b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{".to_vec(),
            ("unknown", None),
        ),
        (
            ok,
            answer("400 Bad Request", r#"{"ok":true}"#),
            ("refused", Some(Rejected)),
        ),
        (
            &[],
            answer("302 Found\r\nLocation: http://127.0.0.1:1/", ""),
            ("refused", Some(Rejected)),
        ),
        (
            &[],
            answer("400 Bad Request", "no"),
            ("refused", Some(Rejected)),
        ),
        (
            &[],
            answer("401 Unauthorized", ""),
            ("refused", Some(GatewayAuth)),
        ),
        (
            &[],
            answer("403 Forbidden", ""),
            ("refused", Some(GatewayAuth)),
        ),
        (
            &[],
            answer("404 Not Found", ""),
            ("refused", Some(Rejected)),
        ),
        (
            &[],
            answer("429 Too Many Requests", ""),
            ("later", Some(Rejected)),
        ),
        (&[], answer("500 Oops", ""), ("unknown", None)),
        (&[], answer("503 Busy", ""), ("unknown", None)),
        (&[], vec![], ("unknown", None)),
        (&[], b"what?\r\n\r\n".to_vec(), ("unknown", None)),
    ];
    for (extra, answer, expected) in rows {
        let (outcome, _) = submit(extra, answer.clone()).await;
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
    let _ = configured(&url, &[]).unwrap();
    let settings = |name: &str| (name == "SMS_HTTP_URL").then(|| url.clone());
    let patient = HttpGateway::with_patience(settings, Duration::from_millis(50)).unwrap();
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
        &[],
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

fn faults(url: &str, extra: &[(&str, &str)]) -> Vec<&'static str> {
    let faults = configured(url, extra).err().unwrap_or_default();
    faults.into_iter().map(|(name, _)| name).collect()
}

#[test]
fn faults_of_the_settings_come_together() {
    let all = [
        ("SMS_HTTP_METHOD", "SEND"),
        ("SMS_HTTP_HEADERS", "no colon"),
        ("SMS_HTTP_BODY", "{{json nothing}}"),
        ("SMS_HTTP_MESSAGE_ID", "id"),
        ("SMS_HTTP_SUCCESS", "/ok"),
        ("SMS_HTTP_IDEMPOTENT", "maybe"),
    ];
    assert_eq!(
        faults("ftp://x", &all),
        [
            "SMS_HTTP_URL",
            "SMS_HTTP_METHOD",
            "SMS_HTTP_HEADERS",
            "SMS_HTTP_BODY",
            "SMS_HTTP_MESSAGE_ID",
            "SMS_HTTP_SUCCESS",
            "SMS_HTTP_IDEMPOTENT"
        ]
    );
    assert_eq!(faults("http://sms.example.com", &[]), ["SMS_HTTP_URL"]);
    assert_eq!(faults("https://u:p@sms.example.com", &[]), ["SMS_HTTP_URL"]);
    assert_eq!(faults("", &[]), ["SMS_HTTP_URL"]);
    for body in ["{{#if to}}", "{{too}}", "{{json}}", "{{nohelper to}}"] {
        assert_eq!(
            faults("https://sms.example.com", &[("SMS_HTTP_BODY", body)]),
            ["SMS_HTTP_BODY"],
            "{body}"
        );
    }
    assert!(faults("https://sms.example.com", &[]).is_empty());
}

#[test]
fn abilities_follow_the_setting() {
    let abilities = |value| {
        configured("https://sms.example.com", &[("SMS_HTTP_IDEMPOTENT", value)])
            .unwrap()
            .abilities()
    };
    assert!(abilities("1").idempotency_window.is_some());
    assert!(abilities("0").idempotency_window.is_none());
}

#[test]
fn senders() {
    for good in ["Shop", "My Shop", "+447700900123", "72020", "Shop-24"] {
        assert_eq!(sender(good), Ok(()), "{good}");
    }
    for bad in [
        "",
        "A very long name",
        "Käse",
        " Shop",
        "+1234567890123456",
        "a\nb",
    ] {
        assert!(sender(bad).is_err(), "{bad}");
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
