//! Captures, refunds and the other changes: what is sent, and what each answer proves.

use proptest::prelude::*;
use serde_json::{Value, json};
use uuid::Uuid;

use super::contract::{faults, schema};
use super::sample::{line, link};
use super::stub::{Part, Stub, client, clock, say};
use crate::klarna::wire::om;
use crate::klarna::{Circuit, Klarna, KlarnaError, Movement};
use crate::link::{Line, Tree};

const KEY: Uuid = Uuid::from_u128(0x8a0c_2c1e_5d0f_4f0b_9a2e_6c1d_2e3f_4a5b);

/// A capture or refund of 24.00 for a line.
fn movement(lines: &[Line]) -> Movement<'_> {
    Movement {
        amount: 2400,
        reference: "cap_1",
        description: Some("Shipped"),
        lines,
        shipments: &[],
    }
}

/// Each of the seven changes, its name, and the success that its document knows.
const CHANGES: [(&str, u16); 7] = [
    ("capture", 201),
    ("refund", 201),
    ("cancel", 204),
    ("release", 204),
    ("extend", 204),
    ("set_references", 204),
    ("update_authorization", 204),
];

async fn made(klarna: &Klarna, change: &str, order: &str) -> Result<(), KlarnaError> {
    let lines = link().sale.lines;
    match change {
        "capture" => klarna
            .capture(order, &movement(&lines), KEY)
            .await
            .map(drop),
        "refund" => klarna.refund(order, &movement(&lines), KEY).await.map(drop),
        "cancel" => klarna.cancel(order, KEY).await,
        "release" => klarna.release(order, KEY).await,
        "extend" => klarna.extend(order, KEY).await,
        "set_references" => klarna.set_references(order, Some("A"), None, KEY).await,
        _ => {
            klarna
                .update_authorization(order, 4800, &lines, Some("One more"), KEY)
                .await
        }
    }
}

/// How a change ends at a server that plays `part`.
async fn end(change: &str, part: Part) -> Result<(), KlarnaError> {
    let stub = Stub::new(vec![part]).await;
    made(&stub.client(), change, "o-1").await
}

#[tokio::test]
async fn a_change_goes_where_klarna_expects_it_under_its_key() {
    let base = "/ordermanagement/v1/orders/o-1";
    let expected = [
        ("POST", "/captures"),
        ("POST", "/refunds"),
        ("POST", "/cancel"),
        ("POST", "/release-remaining-authorization"),
        ("POST", "/extend-authorization-time"),
        ("PATCH", "/merchant-references"),
        ("PATCH", "/authorization"),
    ];
    for ((change, good), (method, path)) in CHANGES.into_iter().zip(expected) {
        let stub = Stub::saying(good, "").await;
        made(&stub.client(), change, "o-1").await.unwrap();
        let request = &stub.requests()[0];
        let (head, body) = request.split_once("\r\n\r\n").unwrap();
        assert!(
            head.starts_with(&format!("{method} {base}{path} HTTP/1.1\r\n")),
            "{head}"
        );
        let key = format!("klarna-idempotency-key: {KEY}");
        assert!(head.lines().any(|it| it == key), "{change}: {head}");
        let bodiless = matches!(change, "cancel" | "release" | "extend");
        assert_eq!(body.is_empty(), bodiless, "{change}: {body}");
    }
}

#[tokio::test]
async fn a_movement_says_amount_reference_and_lines() {
    let lines = link().sale.lines;
    let stub = Stub::saying(201, "").await;
    stub.client()
        .capture("o-1", &movement(&lines), KEY)
        .await
        .unwrap();
    let body = stub.body();
    assert_eq!(body["captured_amount"], 2400);
    assert_eq!(body["reference"], "cap_1");
    assert_eq!(body["description"], "Shipped");
    assert_eq!(body["order_lines"][0]["total_amount"], 4800);
    assert_eq!(
        body["order_lines"][0]["product_identifiers"],
        json!({ "brand": "Kiln" })
    );
    assert_eq!(body["order_lines"][0].get("shipping_attributes"), None);
    assert_eq!(body.get("shipping_info"), None);

    let stub = Stub::saying(201, "").await;
    let bare = Movement {
        description: None,
        ..movement(&[])
    };
    stub.client().refund("o-1", &bare, KEY).await.unwrap();
    assert_eq!(
        stub.body(),
        json!({ "refunded_amount": 2400, "reference": "cap_1" })
    );
}

#[tokio::test]
async fn references_that_stay_and_lines_that_stay_are_not_sent() {
    let stub = Stub::saying(204, "").await;
    let klarna = stub.client();
    klarna
        .set_references("o-1", None, Some("B"), KEY)
        .await
        .unwrap();
    assert_eq!(stub.body(), json!({ "merchant_reference2": "B" }));
    let stub = Stub::saying(204, "").await;
    let klarna = stub.client();
    klarna
        .update_authorization("o-1", 7, &[], None, KEY)
        .await
        .unwrap();
    assert_eq!(stub.body(), json!({ "order_amount": 7 }));
}

#[tokio::test]
async fn the_id_is_the_headers_else_the_last_part_of_the_location() {
    for (headers, captured, refunded) in [
        (
            "Capture-Id: c-1\r\nRefund-Id: r-1\r\n",
            Some("c-1"),
            Some("r-1"),
        ),
        (
            "location: https://a.example/x/captures/c-2\r\n",
            Some("c-2"),
            None,
        ),
        ("location: /x/refunds/r-2/?a=b/c#d\r\n", None, Some("r-2")),
        (
            "capture-id: ../x\r\nlocation: /x/captures/c-3\r\n",
            Some("c-3"),
            None,
        ),
        ("location: https://a.example/x/captures\r\n", None, None),
        (
            "location: https://a.example/x/captures/..%2f\r\n",
            None,
            None,
        ),
        ("capture-id: \r\n", None, None),
        ("", None, None),
    ] {
        let stub = Stub::new(vec![say(201, headers, "")]).await;
        let klarna = stub.client();
        let id = klarna.capture("o-1", &movement(&[]), KEY).await.unwrap();
        assert_eq!(id.as_deref(), captured, "{headers}");
        let id = klarna.refund("o-1", &movement(&[]), KEY).await.unwrap();
        assert_eq!(id.as_deref(), refunded, "{headers}");
    }
}

#[tokio::test]
async fn a_state_that_does_not_allow_it_is_told_and_holds_back_no_create() {
    let body = r#"{"error_code":"CAPTURE_NOT_ALLOWED","error_messages":["Capture not allowed"],"correlation_id":"c-1"}"#;
    for (change, _) in CHANGES {
        let stub = Stub::new(vec![say(403, "", body)]).await;
        let klarna = client(stub.settings(), &clock());
        let end = made(&klarna, change, "o-1").await.unwrap_err();
        let KlarnaError::Forbidden(refusal) = &end else {
            panic!("{change}: {end:?}")
        };
        assert_eq!(refusal.status, 403);
        assert_eq!(refusal.code.as_deref(), Some("CAPTURE_NOT_ALLOWED"));
        assert!(end.proved_not_done());
        assert!(!end.to_string().contains("credentials"), "{end}");
        assert_eq!(klarna.vitals().access, Circuit::Closed, "{change}");
        assert_eq!(klarna.vitals().outage, Circuit::Closed, "{change}");
    }
    let end = end("capture", say(401, "", "")).await.unwrap_err();
    assert!(end.to_string().contains("credentials"), "{end}");
}

/// Our own first call, given up after its time-out, may still be under way at Klarna.
#[tokio::test]
async fn a_conflict_proves_nothing_and_is_no_outage() {
    let body = r#"{"error_code":"CONFLICT","error_messages":["Conflict"]}"#;
    for (change, _) in CHANGES {
        let stub = Stub::new(vec![say(409, "", body)]).await;
        let klarna = stub.client();
        for _ in 0..super::super::transport::OUTAGE_AFTER {
            let end = made(&klarna, change, "o-1").await.unwrap_err();
            let KlarnaError::Unknown { detail } = &end else {
                panic!("{change}: {end:?}")
            };
            assert!(detail.contains("409 CONFLICT"), "{detail}");
            assert!(!end.proved_not_done());
        }
        assert_eq!(klarna.vitals().outage, Circuit::Closed, "{change}");
    }
}

#[tokio::test]
async fn every_other_end_proves_what_it_proves_elsewhere() {
    for (change, good) in CHANGES {
        let other = if good == 201 { 204 } else { 201 };
        for part in [
            Part::Reset,
            Part::Close,
            say(500, "", ""),
            say(503, "", ""),
            say(302, "location: /x/captures/c\r\n", ""),
            say(200, "", "<html>sign in to the guest network</html>"),
            say(other, "", ""),
        ] {
            let end = end(change, part).await.unwrap_err();
            assert!(
                matches!(end, KlarnaError::Unknown { .. }),
                "{change}: {end:?}"
            );
        }
        for status in [400, 413, 422] {
            let end = end(change, say(status, "", "")).await.unwrap_err();
            assert!(matches!(end, KlarnaError::Refused(_)), "{change}: {end:?}");
        }
        let missing = end(change, say(404, "", "")).await;
        assert!(
            matches!(missing, Err(KlarnaError::NotFound(_))),
            "{missing:?}"
        );
        let busy = end(change, say(429, "retry-after: 3\r\n", "")).await;
        assert!(matches!(busy, Err(KlarnaError::Busy { .. })), "{busy:?}");
    }
    // an id that is none never becomes a path
    let stub = Stub::saying(201, "").await;
    let end = made(&stub.client(), "cancel", "../o").await;
    assert!(matches!(end, Err(KlarnaError::NotDone { .. })), "{end:?}");
    assert_eq!(stub.requests().len(), 0);
}

fn sent(body: impl serde::Serialize) -> Value {
    serde_json::to_value(body).unwrap()
}

#[test]
fn every_change_is_as_klarna_specifies() {
    let file = "order-management-api-openapi.json";
    let names = [
        "CaptureObject",
        "RefundObject",
        "Update authorization",
        "Update merchant references",
    ];
    let mut documents = Vec::new();
    for name in names {
        let Some(document) = schema(file, name) else {
            return;
        };
        documents.push(document);
    }
    let [captures, refunds, authorizations, references] = documents.as_slice() else {
        panic!("four documents")
    };
    let none: Vec<String> = Vec::new();
    let lines = proptest::collection::vec(line(), 0..4);
    let shipments = [Tree::Map(vec![
        ("shipping_method".into(), Tree::Text("Home".into())),
        ("tracking_number".into(), Tree::Text("63456415".into())),
    ])];
    proptest!(ProptestConfig::with_cases(64), |(lines in lines, bare in any::<bool>())| {
        let movement = Movement {
            description: (!bare).then_some("Shipped"),
            shipments: if bare { &[] } else { &shipments },
            ..movement(&lines)
        };
        prop_assert_eq!(&faults(captures, &sent(om::Capture::of(&movement))), &none);
        prop_assert_eq!(&faults(refunds, &sent(om::Refund::of(&movement))), &none);
        let body = om::Authorization::of(2400, &lines, movement.description);
        prop_assert_eq!(&faults(authorizations, &sent(body)), &none);
    });
    for (merchant_reference1, merchant_reference2) in
        [(None, None), (Some("A"), None), (Some(""), Some("B"))]
    {
        let body = om::References {
            merchant_reference1,
            merchant_reference2,
        };
        assert_eq!(faults(references, &sent(body)), none);
    }
    // each validator can say no
    let wrong = json!({ "order_amount": "1", "captured_amount": -1, "refunded_amount": 200_000_001,
        "merchant_reference1": 7, "order_lines": [{ "shipping_attributes": {} }] });
    for document in &documents {
        assert!(!faults(document, &wrong).is_empty());
    }
}
