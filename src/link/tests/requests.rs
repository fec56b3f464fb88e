//! Whole requests: what they come to, and the rules between their members.

use super::*;
use crate::link::{
    Actor, Channel, Closing, DisableRequest, Exit, KlarnaView, Link, LinkId, Mode, OnDuplicate,
    Recipient, RenewRequest, SendRequest, Stage, UseCase,
};
use crate::random::Random;

#[test]
fn the_example_of_the_contract_is_taken() {
    let request = taken(&body());
    assert_eq!(request.sale.reference, "SO-10442");
    assert_eq!(request.sale.use_case, UseCase::Telesales);
    assert_eq!(
        (request.sale.order_amount, request.sale.order_tax_amount),
        (50_000, 4545)
    );
    assert_eq!(request.page.title.as_deref(), Some("Order SO-10442"));
    assert_eq!(request.metadata, [("deal".to_owned(), "42".to_owned())]);
    assert_eq!(
        request.wanted_end,
        Some("2026-11-25T08:00:00Z".parse().unwrap())
    );
    assert_eq!(request.on_duplicate, OnDuplicate::Refuse);
    assert!(!request.auto_capture);
    let to: Vec<_> = request
        .send
        .iter()
        .map(|it| (it.to.channel(), it.to.as_str()))
        .collect();
    assert_eq!(
        to,
        [
            (Channel::Email, "jo@example.com"),
            (Channel::Sms, "+447700900124")
        ]
    );
    assert_eq!(request.send[0].template, "link");
}

#[test]
fn silence_takes_the_settings() {
    let least = tree!({"reference": "R", "order_amount": 100});
    let request = taken(&least);
    assert_eq!(request.sale.country, "GB");
    assert_eq!(request.sale.locale, "en-GB");
    assert_eq!((request.send.len(), request.wanted_end), (0, None));
    let silent = Defaults {
        country: None,
        currency: None,
        locale: None,
        ..defaults()
    };
    same(
        &Request::parse(&least, &silent, now()).unwrap_err(),
        &[
            ("/purchase_country", Code::Required),
            ("/purchase_currency", Code::Required),
            ("/locale", Code::Required),
        ],
    );
    // null is silence
    let nulls = tree!({"reference": "R", "order_amount": 100, "locale": null, "send": null,
                       "billing_address": null, "expires_in": null, "page": null});
    assert_eq!(taken(&nulls), request);
}

#[test]
fn use_cases_decide_capture_and_exit() {
    for (word, capture, exit) in [
        ("telesales", false, Exit::Cancel),
        ("in_store", true, Exit::Cancel),
        ("ecommerce", false, Exit::Back),
    ] {
        let mut body = with("/use_case", word.into());
        set(&mut body, "/auto_capture", Tree::Null);
        let request = taken(&body);
        assert_eq!(
            (request.auto_capture, request.sale.use_case.exit()),
            (capture, exit)
        );
        set(&mut body, "/auto_capture", (!capture).into());
        assert_eq!(taken(&body).auto_capture, !capture);
    }
    let back = taken(&with("/page/exit", "back".into()));
    assert_eq!(back.page.exit, Some(Exit::Back));
    let replace = taken(&with("/on_duplicate", "replace".into()));
    assert_eq!(replace.on_duplicate, OnDuplicate::Replace);
}

#[test]
fn a_reference_has_two_names() {
    let kcos = |value: &str| with("/merchant_reference1", value.into());
    assert_eq!(taken(&kcos("SO-10442")).sale.reference, "SO-10442");
    refused(&kcos("SO-1"), &[("/merchant_reference1", Code::Conflict)]);
    let mut alone = kcos("SO-1");
    set(&mut alone, "/reference", Tree::Null);
    assert_eq!(taken(&alone).sale.reference, "SO-1");
    refused(&without("/reference"), &[("/reference", Code::Required)]);
}

#[test]
fn all_faults_come_at_once() {
    let mut body = body();
    for (pointer, value) in [
        ("/reference", Tree::Null),
        ("/colour", "red".into()),
        ("/merchant_urls", tree!({})),
        ("/locale", "english".into()),
        ("/order_amount", 1.into()),
        ("/order_lines/0/name", Tree::Null),
        ("/order_lines/0/total_tax_amount", 9000.into()),
        ("/billing_address/email", "jo".into()),
        ("/send/1/to", "12345".into()),
        ("/expires_at", "2026-11-24T09:00:00Z".into()),
        ("/metadata/deal", 1.into()),
    ] {
        set(&mut body, pointer, value);
    }
    refused(
        &body,
        &[
            ("/reference", Code::Required),
            ("/colour", Code::UnknownField),
            ("/merchant_urls", Code::Managed),
            ("/locale", Code::InvalidFormat),
            ("/order_amount", Code::SumMismatch),
            ("/order_tax_amount", Code::SumMismatch),
            ("/order_lines/0/name", Code::Required),
            ("/order_lines/0/total_tax_amount", Code::TaxMismatch),
            ("/billing_address/email", Code::InvalidFormat),
            ("/send/1/to", Code::NotDeliverable),
            ("/expires_at", Code::Conflict),
            ("/expires_in", Code::Conflict),
            ("/metadata/deal", Code::WrongType),
        ],
    );
    for root in [tree!([]), tree!("x"), Tree::Null] {
        refused(&root, &[("", Code::WrongType)]);
    }
}

#[test]
fn a_customer_is_born_by_now() {
    let born = |day: &str| with("/customer/date_of_birth", day.into());
    for day in ["1980-02-03", "2026-11-24"] {
        assert!(parse(&born(day)).is_ok(), "{day}");
    }
    for day in ["2026-11-25", "2999-01-01"] {
        refused(&born(day), &[("/customer/date_of_birth", Code::OutOfRange)]);
    }
}

#[test]
fn an_end_is_a_minute_to_47_hours_away() {
    let until = |name: &str, value: &str| {
        let mut body = without("/expires_in");
        set(&mut body, &format!("/{name}"), value.into());
        parse(&body)
            .map(|it| it.wanted_end.unwrap().to_string())
            .map_err(|it| it[0].code)
    };
    for (text, expected) in [
        ("PT1M", Ok("2026-11-24T08:01:00Z")),
        ("PT60S", Ok("2026-11-24T08:01:00Z")),
        ("PT47H", Ok("2026-11-26T07:00:00Z")),
        ("P1D", Ok("2026-11-25T08:00:00Z")),
        ("P1DT23H", Ok("2026-11-26T07:00:00Z")),
        ("PT59S", Err(Code::OutOfRange)),
        ("PT0S", Err(Code::OutOfRange)),
        ("PT47H1S", Err(Code::OutOfRange)),
        ("P2D", Err(Code::OutOfRange)),
        ("P1W", Err(Code::OutOfRange)),
        ("P1M", Err(Code::OutOfRange)),
        ("P9999Y", Err(Code::OutOfRange)),
        ("PT175307616H", Err(Code::OutOfRange)),
        ("24h", Err(Code::InvalidFormat)),
        ("pt24h", Err(Code::InvalidFormat)),
        ("-PT1H", Err(Code::InvalidFormat)),
        ("PT", Err(Code::InvalidFormat)),
        ("P", Err(Code::InvalidFormat)),
        ("PT1X", Err(Code::InvalidFormat)),
        ("24", Err(Code::InvalidFormat)),
    ] {
        assert_eq!(
            until("expires_in", text),
            expected.map(str::to_owned),
            "{text}"
        );
    }
    for (text, expected) in [
        ("2026-11-24T08:01:00Z", Ok("2026-11-24T08:01:00Z")),
        ("2026-11-26T07:00:00Z", Ok("2026-11-26T07:00:00Z")),
        ("2026-11-24T10:30:00+01:00", Ok("2026-11-24T09:30:00Z")),
        ("2026-11-24T09:30:00.5Z", Ok("2026-11-24T09:30:00.5Z")),
        ("2026-11-24T08:00:59Z", Err(Code::OutOfRange)),
        ("2026-11-26T07:00:00.000001Z", Err(Code::OutOfRange)),
        ("2025-11-24T09:00:00Z", Err(Code::OutOfRange)),
        ("9999-12-30T00:00:00Z", Err(Code::OutOfRange)),
        ("2026-11-24", Err(Code::InvalidFormat)),
        ("2026-11-24T09:00:00", Err(Code::InvalidFormat)),
        ("2026-11-24 09:00:00Z", Err(Code::InvalidFormat)),
        ("2026-11-24T09:00Z", Err(Code::InvalidFormat)),
        ("2026-11-24T09:00:00+01", Err(Code::InvalidFormat)),
        ("2026-11-24T09:00:00Z[UTC]", Err(Code::InvalidFormat)),
        ("2026-02-30T09:00:00Z", Err(Code::InvalidFormat)),
        ("2026-11-24T25:00:00Z", Err(Code::InvalidFormat)),
        ("2026-11-24T09:00:00.Z", Err(Code::InvalidFormat)),
        ("tomorrow", Err(Code::InvalidFormat)),
        ("2026-11-24T09:00:0é", Err(Code::InvalidFormat)),
    ] {
        assert_eq!(
            until("expires_at", text),
            expected.map(str::to_owned),
            "{text}"
        );
    }
}

#[test]
fn messages_need_a_recipient_a_channel_and_a_template() {
    let without_email = without("/billing_address/email");
    refused(&without_email, &[("/send/0/to", Code::Required)]);
    // one cause, one fault: the billing address says it
    let faulty = with("/billing_address/email", "jo".into());
    refused(&faulty, &[("/billing_address/email", Code::InvalidFormat)]);
    let send = |send| with("/send", send);
    refused(
        &send(tree!([{"channel": "email"}, {"channel": "email", "to": "Jo@EXAMPLE.com"}])),
        &[("/send/1", Code::Conflict)],
    );
    refused(
        &send(tree!([{"channel": "sms"}, {"channel": "sms", "to": "07700 900 123"}])),
        &[("/send/1", Code::Conflict)],
    );
    let two = tree!([{"channel": "email"}, {"channel": "email", "template": "reminder"}]);
    assert_eq!(taken(&send(two)).send[1].template, "reminder");
    refused(
        &send(tree!([{"to": "jo@example.com"}])),
        &[("/send/0/channel", Code::Required)],
    );
    refused(
        &send(
            tree!([{"channel": "email", "to": "+447700900123"}, {"channel": "sms", "to": "jo@example.com"}]),
        ),
        &[
            ("/send/0/to", Code::InvalidFormat),
            ("/send/1/to", Code::InvalidFormat),
        ],
    );
    refused(
        &send(tree!([{"channel": "sms", "to": "+18765550123"}, {"channel": "sms", "to": "82228"}])),
        &[
            ("/send/0/to", Code::NotDeliverable),
            ("/send/1/to", Code::NotDeliverable),
        ],
    );
    let mut ireland = send(tree!([{"channel": "sms"}]));
    set(
        &mut ireland,
        "/billing_address/phone",
        "+353850123456".into(),
    );
    refused(&ireland, &[("/send/0/to", Code::NotDeliverable)]);

    let mute = Defaults {
        email: false,
        sms: false,
        ..defaults()
    };
    same(
        &Request::parse(&body(), &mute, now()).unwrap_err(),
        &[
            ("/send/0/channel", Code::ChannelNotConfigured),
            ("/send/1/channel", Code::ChannelNotConfigured),
        ],
    );
}

#[test]
fn a_later_message_is_checked_as_the_first_ones() {
    let sale = taken(&body()).sale;
    let ask = |body: &Tree| SendRequest::parse(body, &sale, &defaults());
    let sent = ask(&tree!({"channel": "sms", "agent": "kim"})).unwrap();
    assert_eq!(sent.agent.as_deref(), Some("kim"));
    let Recipient::Sms(phone) = &sent.send.to else {
        panic!("an SMS was asked for");
    };
    assert_eq!(phone.as_str(), "+447700900123");
    let faults = ask(&tree!({"channel": "fax", "cc": "x", "agent": ""})).unwrap_err();
    same(
        &faults,
        &[
            ("/channel", Code::InvalidValue),
            ("/cc", Code::UnknownField),
            ("/agent", Code::TooShort),
        ],
    );
    same(
        &ask(&tree!({})).unwrap_err(),
        &[("/channel", Code::Required)],
    );
}

#[test]
fn a_disable_may_say_why() {
    let asked = DisableRequest::parse(&tree!({"reason": "mistake", "note": "typed twice"}));
    let asked = asked.unwrap();
    assert_eq!(
        (asked.reason, asked.note.as_deref()),
        (Some(Closing::Mistake), Some("typed twice"))
    );
    assert_eq!(
        DisableRequest::parse(&tree!({})),
        Ok(DisableRequest::default())
    );
    // the words that only paylink says are not for callers
    for word in ["unsaid", "expired", "replaced", "klarna", "x"] {
        let faults = DisableRequest::parse(&tree!({"reason": (word)})).unwrap_err();
        same(&faults, &[("/reason", Code::InvalidValue)]);
    }
    let long = "x".repeat(256);
    let faults = DisableRequest::parse(&tree!({"note": (long.as_str()), "x": 1})).unwrap_err();
    same(
        &faults,
        &[("/note", Code::TooLong), ("/x", Code::UnknownField)],
    );
}

fn link() -> Link {
    let request = taken(&with("/agent", "kim".into()));
    Link {
        id: LinkId::new(now(), &Random::seeded(1)),
        version: 1,
        sequence: 1,
        store: "default".into(),
        mode: Mode::Test,
        agent: request.agent,
        created_by: Actor::Paylink,
        sale: request.sale,
        page: request.page,
        auto_capture: request.auto_capture,
        metadata: request.metadata,
        stage: Stage::Creating { pairs_tried: 0 },
        wanted_end: request.wanted_end,
        klarna: KlarnaView::default(),
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

#[test]
fn a_renewal_repeats_the_sale_or_takes_a_new_one() {
    let old = link();
    let ask = |body: &Tree| RenewRequest::parse(body, &old, &defaults(), now());
    let same_sale = ask(&tree!({})).unwrap();
    assert_eq!(same_sale.sale, old.sale);
    assert_eq!(
        (&same_sale.page, &same_sale.metadata),
        (&old.page, &old.metadata)
    );
    assert_eq!((same_sale.send.len(), same_sale.wanted_end), (0, None));
    assert_eq!(same_sale.agent.as_deref(), Some("kim"));

    let ends = ask(&tree!({"expires_in": "PT1H", "send": [{"channel": "email"}]})).unwrap();
    assert_eq!(ends.send[0].to.as_str(), "jo@example.com");
    assert_eq!(ends.wanted_end.unwrap().to_string(), "2026-11-24T09:00:00Z");

    let other = ask(&tree!({"sale": {"order_amount": 4800}})).unwrap();
    assert_eq!(
        (other.sale.reference.as_str(), other.sale.order_amount),
        ("SO-10442", 4800)
    );
    assert_eq!(other.sale.billing, None);

    let faults = ask(&tree!({
        "sale": {"order_amount": 0, "send": [], "locale": "english"}, "metadata": {},
        "send": [{"channel": "email"}],
    }));
    same(
        &faults.unwrap_err(),
        &[
            ("/sale/order_amount", Code::OutOfRange),
            ("/sale/send", Code::UnknownField),
            ("/sale/locale", Code::InvalidFormat),
            ("/metadata", Code::UnknownField),
            ("/send/0/to", Code::Required),
        ],
    );
    same(
        &ask(&tree!({"sale": 1})).unwrap_err(),
        &[("/sale", Code::WrongType)],
    );
}
