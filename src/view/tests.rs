use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::*;
use crate::link::{
    Actor, Address, Channel, Closing, Consumer, Customer, Delivery, DeliveryId, DeliveryStatus,
    EventId, EventKind, Failure, FailureCode, KeyId, Line, LineKind, Link, LinkId, Mode, Page,
    Pair, Payment, Reason, ReasonCode, Recipient, Refusal, Sale, Stage, Tree, UseCase,
};
use crate::random::Random;

fn now() -> Timestamp {
    Timestamp::from_microsecond(1_764_000_000_123_456).unwrap()
}

fn pair() -> Pair {
    Pair {
        number: 1,
        order: "f3392f8b".into(),
        session: "a94e7760".into(),
        url: "https://pay.example.com/a94e7760".into(),
        id_check_url: None,
    }
}

fn open() -> Stage {
    Stage::Open {
        pair: pair(),
        until: now() + SignedDuration::from_hours(1),
        consumer: Consumer::NotOpened,
    }
}

fn link(stage: Stage) -> Link {
    let random = Random::seeded(7);
    Link {
        id: LinkId::new(now(), &random),
        version: 3,
        sequence: 2,
        store: "default".into(),
        mode: Mode::Test,
        agent: Some("anna".into()),
        created_by: Actor::Key(KeyId::new(now(), &random)),
        sale: Sale {
            reference: "SO-10442".into(),
            use_case: UseCase::Telesales,
            country: "GB".into(),
            currency: "GBP".into(),
            locale: "en-GB".into(),
            order_amount: 50_000,
            order_tax_amount: 4_545,
            lines: vec![Line {
                kind: LineKind::Physical,
                reference: None,
                name: "Red T-Shirt".into(),
                quantity: 5,
                quantity_unit: None,
                unit_price: 10_000,
                tax_rate: 1_000,
                total_discount_amount: 0,
                total_amount: 50_000,
                total_tax_amount: 4_545,
                extras: Tree::Map(vec![]),
            }],
            billing: Some(Address {
                given_name: Some("Jo".into()),
                family_name: Some("Bloggs".into()),
                street_address: Some("1 Safeway".into()),
                postal_code: Some("W13 3BG".into()),
                city: Some("London".into()),
                country: Some("GB".into()),
                ..Address::default()
            }),
            shipping: None,
            customer: Some(Customer {
                kind: Some("person".into()),
                date_of_birth: Some("1980-02-03".into()),
                ..Customer::default()
            }),
            extras: Tree::Map(vec![(
                "options".into(),
                Tree::Map(vec![(
                    "allow_separate_shipping_address".into(),
                    Tree::Bool(true),
                )]),
            )]),
        },
        page: Page::default(),
        auto_capture: false,
        metadata: vec![("deal".into(), "42".into())],
        stage,
        wanted_end: None,
        klarna: crate::link::KlarnaView::default(),
        closing_reason: None,
        closing_note: None,
        renewed_from: None,
        renewed_by: None,
        viewed: false,
        mismatch: false,
        acknowledged: false,
        created_at: now(),
        updated_at: now(),
    }
}

fn shown(link: &Link, detail: Detail) -> Value {
    serde_json::to_value(LinkView::new(link, &[], now(), detail)).unwrap()
}

#[test]
fn every_member_of_the_contract_is_there_and_null_when_unknown() {
    let seen = shown(&link(Stage::Creating { pairs_tried: 0 }), Detail::Full);
    let members: Vec<&str> = seen
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    for name in [
        "id",
        "object",
        "mode",
        "version",
        "store",
        "reference",
        "status",
        "payable",
        "consumer",
        "use_case",
        "purchase_country",
        "purchase_currency",
        "locale",
        "order_amount",
        "order_tax_amount",
        "order_lines",
        "billing_address",
        "shipping_address",
        "customer",
        "options",
        "merchant_data",
        "attachment",
        "gui",
        "tags",
        "billing_countries",
        "shipping_countries",
        "page",
        "auto_capture",
        "url",
        "qr",
        "klarna",
        "payment",
        "deliveries",
        "agent",
        "created_by",
        "created_at",
        "updated_at",
        "expires_at",
        "closing_reason",
        "failure",
        "renewed_from",
        "renewed_by",
        "metadata",
    ] {
        assert!(members.contains(&name), "{name} is missing");
    }
    assert_eq!(seen["url"], Value::Null);
    assert_eq!(seen["payment"], Value::Null);
    assert_eq!(seen["klarna"]["order_id"], Value::Null);
    assert_eq!(seen["expires_at"], Value::Null);
    assert_eq!(seen["payable"], json!(false));
    assert_eq!(seen["metadata"], json!({"deal": "42"}));
    assert_eq!(
        seen["options"],
        json!({"allow_separate_shipping_address": true})
    );
    assert_eq!(seen["order_lines"][0]["type"], json!("physical"));
    assert_eq!(seen["order_lines"][0]["quantity_unit"], Value::Null);
    assert!(seen["qr"].get("png_base64").is_none());
}

#[test]
fn times_have_milliseconds_and_z() {
    let seen = shown(&link(open()), Detail::Full);
    assert_eq!(seen["created_at"], json!("2025-11-24T16:00:00.123Z"));
    assert_eq!(seen["expires_at"], json!("2025-11-24T17:00:00.123Z"));
    assert_eq!(
        Instant(Timestamp::UNIX_EPOCH).to_string(),
        "1970-01-01T00:00:00.000Z"
    );
}

#[test]
fn payable_ends_with_the_end() {
    let link = link(open());
    let at = |moment| LinkView::new(&link, &[], moment, Detail::Full).payable;
    assert!(at(now()));
    assert!(!at(now() + SignedDuration::from_hours(1)));
}

#[test]
fn personal_data_is_masked_unless_revealed() {
    let link = link(open());
    let masked = shown(&link, Detail::Full);
    assert_eq!(masked["billing_address"]["given_name"], json!("J***"));
    assert_eq!(masked["billing_address"]["street_address"], json!("***"));
    assert_eq!(masked["billing_address"]["country"], json!("GB"));
    assert_eq!(masked["billing_address"]["care_of"], Value::Null);
    assert_eq!(masked["customer"]["date_of_birth"], json!("***"));
    let text = masked.to_string();
    for personal in ["Bloggs", "Safeway", "W13", "London", "1980"] {
        assert!(!text.contains(personal), "{personal} is shown");
    }
    let revealed = shown(&link, Detail::Revealed);
    assert_eq!(revealed["billing_address"]["family_name"], json!("Bloggs"));
    assert_eq!(revealed["customer"]["date_of_birth"], json!("1980-02-03"));
}

#[test]
fn an_item_of_a_list_has_no_order_lines() {
    assert!(
        shown(&link(open()), Detail::Item)
            .get("order_lines")
            .is_none()
    );
}

#[test]
fn a_reason_that_nobody_gave_is_null() {
    let mut disabled = link(Stage::Disabled {
        pair: Some(pair()),
        at: now(),
        by: Actor::Paylink,
        why: Closing::Unsaid,
    });
    disabled.closing_reason = Some(Closing::Unsaid);
    assert_eq!(
        shown(&disabled, Detail::Full)["closing_reason"],
        Value::Null
    );
    disabled.closing_reason = Some(Closing::Mistake);
    let seen = shown(&disabled, Detail::Full);
    assert_eq!(seen["closing_reason"], json!("mistake"));
    assert_eq!(seen["consumer"], Value::Null);
}

#[test]
fn a_failure_carries_klarnas_words() {
    let seen = shown(
        &link(Stage::Failed {
            at: now(),
            why: Failure {
                code: FailureCode::KlarnaRefused,
                detail: "Klarna refused the order.".into(),
                klarna: Some(Refusal {
                    status: 400,
                    code: Some("BAD_VALUE".into()),
                    messages: vec!["Bad value: locale".into()],
                    correlation_id: Some("6b6c".into()),
                }),
            },
        }),
        Detail::Full,
    );
    assert_eq!(
        seen["failure"],
        json!({"code": "klarna_refused", "detail": "Klarna refused the order.",
               "klarna": {"status": 400, "code": "BAD_VALUE", "messages": ["Bad value: locale"],
                          "correlation_id": "6b6c"}})
    );
}

#[test]
fn a_completed_link_always_has_a_payment() {
    let paid = link(Stage::Completed {
        pair: pair(),
        at: now(),
        payment: Box::new(Payment::authorized()),
    });
    let seen = shown(&paid, Detail::Full);
    assert_eq!(
        seen["payment"],
        json!({"status": "authorized", "fraud_status": null, "captured_amount": null,
               "refunded_amount": null, "remaining_amount": null, "expires_at": null, "buyer": null})
    );
    let event = |kind| -> Value {
        let id = EventId::new(now(), &Random::seeded(1));
        serde_json::from_str(&event::freeze(id, kind, now(), &paid, &[], None)).unwrap()
    };
    assert_eq!(
        event(EventKind::LinkCompleted)["data"]["payment"],
        Value::Null
    );
    assert_eq!(
        event(EventKind::PaymentAuthorized)["data"]["payment"]["status"],
        json!("authorized")
    );
}

fn delivery(link: &Link, to: Recipient, words: &str) -> Delivery {
    Delivery {
        id: DeliveryId::new(now(), &Random::seeded(9)),
        link: link.id,
        to,
        template: "link".into(),
        agent: Some("bo".into()),
        status: DeliveryStatus::Failed,
        attempts: 1,
        reason: Some(Reason {
            code: ReasonCode::Rejected,
            detail: words.into(),
        }),
        sent_at: None,
        next_attempt_at: None,
        gateway: None,
        gateway_message_id: None,
        segments: None,
        created_at: now(),
    }
}

fn email() -> Recipient {
    Recipient::Email(crate::link::Email::trusted("jo@example.com".into()))
}

#[test]
fn a_servers_words_do_not_leak_the_recipient() {
    let link = link(open());
    let refused = delivery(&link, email(), "550 5.1.1 <JO@Example.com>: no such user");
    assert_eq!(refused.to.channel(), Channel::Email);
    let seen = serde_json::to_value(DeliveryView::new(&refused, Detail::Full)).unwrap();
    assert_eq!(seen["to"], json!("j***@example.com"));
    assert_eq!(
        seen["reason"],
        json!({"code": "rejected", "detail": "550 5.1.1 <j***@example.com>: no such user"})
    );
    let seen = serde_json::to_value(DeliveryView::new(&refused, Detail::Revealed)).unwrap();
    assert_eq!(seen["to"], json!("jo@example.com"));
}

#[test]
fn an_event_is_one_line_with_the_contracts_members_in_order() {
    let link = link(open());
    let sent = delivery(&link, email(), "no");
    let id = EventId::new(now(), &Random::seeded(1));
    let text = event::freeze(
        id,
        EventKind::DeliveryFailed,
        now(),
        &link,
        std::slice::from_ref(&sent),
        Some(&sent),
    );
    assert!(!text.contains('\n'));
    let seen: Value = serde_json::from_str(&text).unwrap();
    let members: Vec<&String> = seen.as_object().unwrap().keys().collect();
    assert_eq!(
        members,
        [
            "id",
            "object",
            "type",
            "created_at",
            "timestamp",
            "link",
            "sequence",
            "agent",
            "data"
        ]
    );
    assert_eq!(seen["type"], json!("delivery.failed"));
    assert_eq!(seen["sequence"], json!(2));
    assert_eq!(seen["agent"], json!("bo"));
    assert_eq!(seen["timestamp"], seen["created_at"]);
    assert_eq!(
        seen["data"]["delivery"],
        seen["data"]["link"]["deliveries"][0]
    );
    assert_eq!(seen["data"]["payment"], Value::Null);
}
