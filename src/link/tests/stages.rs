use jiff::Timestamp;

use crate::link::{
    Actor, Closing, Consumer, Failure, FailureCode, Pair, Payment, PaymentStatus, Refused, Stage,
    Status,
};

fn at() -> Timestamp {
    super::now()
}

fn pair() -> Pair {
    Pair {
        number: 1,
        order: "order".into(),
        session: "session".into(),
        url: "https://pay.example.com/x".into(),
        id_check_url: None,
    }
}

fn why() -> Failure {
    Failure {
        code: FailureCode::GaveUp,
        detail: "tried three times".into(),
        klarna: None,
    }
}

fn disabling(pair: Option<Pair>, why: Closing) -> Stage {
    Stage::Disabling {
        pair,
        why,
        by: Actor::Paylink,
        since: at(),
    }
}

/// Every stage, with and without a pair where it may lack one, and *disabling* for the end's sake.
fn stages() -> Vec<(&'static str, Stage)> {
    let open = Stage::Open {
        pair: pair(),
        until: at(),
        consumer: Consumer::NotOpened,
    };
    let disabled = |pair| Stage::Disabled {
        pair,
        at: at(),
        by: Actor::Paylink,
        why: Closing::Mistake,
    };
    vec![
        ("creating", Stage::Creating { pairs_tried: 1 }),
        ("open", open),
        ("disabling", disabling(Some(pair()), Closing::Mistake)),
        ("disabling, no pair", disabling(None, Closing::Mistake)),
        ("ending", disabling(Some(pair()), Closing::Expired)),
        ("ending, no pair", disabling(None, Closing::Expired)),
        (
            "completed",
            Stage::Completed {
                pair: pair(),
                at: at(),
                payment: Box::new(Payment::authorized()),
            },
        ),
        (
            "cancelled",
            Stage::Cancelled {
                pair: pair(),
                at: at(),
            },
        ),
        ("disabled", disabled(Some(pair()))),
        ("disabled, no pair", disabled(None)),
        (
            "expired",
            Stage::Expired {
                pair: Some(pair()),
                at: at(),
            },
        ),
        (
            "expired, no pair",
            Stage::Expired {
                pair: None,
                at: at(),
            },
        ),
        (
            "failed",
            Stage::Failed {
                at: at(),
                why: why(),
            },
        ),
    ]
}

type Verb = fn(Stage) -> Result<Stage, Refused>;

/// Every verb, and where it leads from each stage, in the order of [`stages`]; `-` is refused.
// a table: one row per verb
#[allow(clippy::too_many_lines)]
fn table() -> Vec<(&'static str, Verb, [&'static str; 13])> {
    vec![
        (
            "tried",
            Stage::tried,
            [
                "creating", "-", "-", "-", "-", "-", "-", "-", "-", "-", "-", "-", "-",
            ],
        ),
        (
            "opened",
            |stage| stage.opened(pair(), at()),
            [
                "open", "-", "-", "-", "-", "-", "-", "-", "-", "-", "-", "-", "-",
            ],
        ),
        (
            "failed",
            |stage| stage.failed(at(), why()),
            [
                "failed", "-", "-", "-", "-", "-", "-", "-", "-", "-", "-", "-", "-",
            ],
        ),
        (
            "moved",
            |stage| stage.moved(Consumer::InProgress, at()),
            [
                "-", "open", "-", "-", "-", "-", "-", "-", "-", "-", "-", "-", "-",
            ],
        ),
        (
            "disabling",
            |stage| stage.disabling(Closing::Other, Actor::Paylink, at()),
            [
                "disabling",
                "disabling",
                "-",
                "-",
                "-",
                "-",
                "-",
                "-",
                "-",
                "-",
                "-",
                "-",
                "-",
            ],
        ),
        (
            "closed",
            |stage| stage.closed(at()),
            [
                "-", "-", "disabled", "disabled", "expired", "expired", "-", "-", "-", "-", "-",
                "-", "-",
            ],
        ),
        (
            "expired",
            |stage| stage.expired(at()),
            [
                "-", "expired", "expired", "expired", "expired", "expired", "-", "-", "-", "-",
                "-", "-", "-",
            ],
        ),
        (
            "disabled by Klarna",
            |stage| stage.disabled_by_klarna(at()),
            [
                "-", "disabled", "-", "-", "-", "-", "-", "-", "-", "-", "-", "-", "-",
            ],
        ),
        (
            "cancelled",
            |stage| stage.cancelled(at()),
            [
                "-",
                "cancelled",
                "cancelled",
                "-",
                "cancelled",
                "-",
                "-",
                "-",
                "-",
                "-",
                "-",
                "-",
                "-",
            ],
        ),
        (
            "completed",
            |stage| stage.completed(at(), Payment::authorized()),
            [
                "-",
                "completed",
                "completed",
                "-",
                "completed",
                "-",
                "-",
                "completed",
                "completed",
                "-",
                "completed",
                "-",
                "-",
            ],
        ),
        (
            "settled",
            |stage| {
                let status = PaymentStatus::Captured;
                stage.settled(Payment {
                    status,
                    ..Payment::authorized()
                })
            },
            [
                "-",
                "-",
                "-",
                "-",
                "-",
                "-",
                "completed",
                "-",
                "-",
                "-",
                "-",
                "-",
                "-",
            ],
        ),
    ]
}

/// The full square: every verb from every stage.
#[test]
fn the_table_of_stages_is_closed() {
    for (verb, act, row) in table() {
        for ((name, stage), expected) in stages().into_iter().zip(row) {
            let (from, had) = (stage.status(), stage.pair().cloned());
            let result = act(stage);
            let seen = result.as_ref().map_or("-", |next| next.status().as_str());
            assert_eq!(seen, expected, "{name} → {verb}");
            match result {
                Err(refused) => {
                    assert_eq!(refused.from, from, "{name} → {verb}");
                    assert!(refused.to_string().contains(from.as_str()), "{refused}");
                }
                // what anyone outside has seen is never forgotten, and never appears from nowhere
                Ok(next) if verb != "opened" => {
                    assert_eq!(next.pair().cloned(), had, "{name} → {verb}");
                }
                Ok(next) => assert_eq!(next.pair(), Some(&pair())),
            }
        }
    }
}

#[test]
fn every_status_is_in_the_square() {
    for status in Status::ALL {
        assert!(
            stages().iter().any(|(_, stage)| stage.status() == *status),
            "{}",
            status.as_str()
        );
    }
}

#[test]
fn a_transition_takes_its_facts_along() {
    let creating = Stage::Creating {
        pairs_tried: u8::MAX,
    };
    assert_eq!(
        creating.tried(),
        Ok(Stage::Creating {
            pairs_tried: u8::MAX
        })
    );
    let closing = disabling(Some(pair()), Closing::CustomerRequest);
    let closed = closing.closed(at());
    let expected = Stage::Disabled {
        pair: Some(pair()),
        at: at(),
        by: Actor::Paylink,
        why: Closing::CustomerRequest,
    };
    assert_eq!(closed, Ok(expected));
}
