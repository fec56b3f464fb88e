//! What is right in each cell. Three outcomes and never two: *not done* is tried again or refused,
//! *unknown* follows its step's own rule, and a slow answer is an answer.

use super::cell::Cell;
use super::{Ill, Step};

/// What a fault proves at an HTTP step.
enum Class {
    /// The connection never stood: not done.
    Connect,
    Unknown,
    /// 400.
    Refused,
    /// 401.
    Forbidden,
    /// 404.
    Missing,
    /// 429.
    Busy,
    Fine,
}

fn class(ill: Ill) -> Class {
    match ill {
        Ill::Refuse | Ill::Dns | Ill::Tls => Class::Connect,
        Ill::Hang
        | Ill::ResetBefore
        | Ill::ResetAfter
        | Ill::Half
        | Ill::Garbage
        | Ill::S500
        | Ill::S503 => Class::Unknown,
        Ill::S400 => Class::Refused,
        Ill::S401 => Class::Forbidden,
        Ill::S404 => Class::Missing,
        Ill::S429 => Class::Busy,
        Ill::Drip => Class::Fine,
    }
}

/// What the agent must have seen, what must have become of it, and how often it may have been done.
fn right(step: Step, ill: Ill) -> (&'static str, &'static str, Option<(usize, usize)>) {
    use Class::{Busy, Connect, Fine, Forbidden, Missing, Refused, Unknown};
    let once = Some((1, 1));
    let at_most_once = Some((0, 1));
    let never = Some((0, 0));
    match (step, class(ill)) {
        (Step::CreateOrder, Refused | Missing) | (Step::CreateSession, Refused) => {
            ("422", "failed", None)
        }
        (Step::CreateOrder | Step::CreateSession, Forbidden) => ("503", "failed", None),
        (Step::CreateOrder | Step::CreateSession, Fine) => ("201", "open", None),
        (Step::CreateOrder | Step::CreateSession, _) => ("202", "open", None),
        // the session's end came, says 404: the order tells how it ended
        (Step::ReadSession, Fine | Missing) => ("200 completed", "completed", None),
        (Step::ReadSession, _) => ("200 open", "completed", None),
        (Step::Disable, Fine) => ("200 disabled", "disabled", None),
        (Step::Disable, Missing) => ("200 expired", "expired", None),
        (Step::Disable, _) => ("202 disabling", "disabled", None),
        // until 200, 403 or 404
        (Step::Abort, Missing) => ("200 disabled", "checkout_incomplete", None),
        (Step::Abort, _) => ("200 disabled", "aborted", None),
        (Step::ReadPayment, _) => ("completed", "authorized", None),
        // a refusal of the content is none that a repeat could heal
        (Step::Acknowledge, Refused) => ("completed", "not told", None),
        (Step::Acknowledge, _) => ("completed", "told", None),
        (Step::Capture | Step::Refund, Fine) => ("201", "done", once),
        (Step::Capture | Step::Refund, Refused | Missing) => ("422", "failed", never),
        (Step::Capture | Step::Refund, _) => ("202", "done", once),
        (Step::Sms, Connect | Busy | Fine) => ("201", "sent", once),
        (Step::Sms, Unknown) => ("201", "unknown", at_most_once),
        // of a mail: 5xx replies for good, 4xx for now
        (Step::Sms, _) | (_, Refused | Forbidden | Missing) => ("201", "failed", never),
        _ if ill == Ill::S500 => ("201", "failed", never),
        _ if ill == Ill::S503 => ("201", "sent", once),
        (Step::SmtpDot, Unknown) => ("201", "unknown", at_most_once),
        _ => ("201", "sent", once),
    }
}

/// What the agent sees in place of that where the service's patience was over first: it is told what
/// is known by then (contract.md, Answers; Captures and refunds; Disable).
fn when_late(step: Step, saw: &'static str) -> &'static str {
    match step {
        Step::CreateOrder | Step::CreateSession | Step::Capture | Step::Refund => "202",
        Step::ReadSession => "200 open",
        Step::Disable | Step::Abort => "202 disabling",
        _ => saw,
    }
}

/// How a cell differs from what is right, in sentences.
pub fn wrong(cell: &Cell) -> Vec<String> {
    let (saw, became, times) = right(cell.step, cell.ill);
    let mut wrong = cell.broken.clone();
    if cell.saw != saw && !(cell.late && cell.saw == when_late(cell.step, saw)) {
        wrong.push(format!("the agent saw {}, right is {saw}", cell.saw));
    }
    if cell.became != became {
        wrong.push(format!("it became {}, right is {became}", cell.became));
    }
    if let (Some((least, most)), Some(seen)) = (times, cell.times)
        && !(least..=most).contains(&seen)
    {
        wrong.push(format!("done {seen} times, right is {least} to {most}"));
    }
    wrong
}

#[test]
fn a_wrong_cell_is_seen() {
    let cell = |saw: &str, became: &str, times| Cell {
        step: Step::Sms,
        ill: Ill::S503,
        saw: saw.to_owned(),
        late: false,
        became: became.to_owned(),
        times: Some(times),
        broken: Vec::new(),
    };
    assert!(wrong(&cell("201", "unknown", 1)).is_empty());
    // sent again after a 5xx: the double SMS
    assert_eq!(wrong(&cell("201", "sent", 2)).len(), 2);
    assert_eq!(wrong(&cell("202", "unknown", 0)).len(), 1);
}

#[test]
fn a_late_answer_is_none_that_knows_more() {
    let cell = |saw: &str, late| Cell {
        step: Step::Capture,
        ill: Ill::Drip,
        saw: saw.to_owned(),
        late,
        became: "done".to_owned(),
        times: Some(1),
        broken: Vec::new(),
    };
    assert!(wrong(&cell("202", true)).is_empty());
    assert_eq!(wrong(&cell("202", false)).len(), 1);
    assert_eq!(wrong(&cell("422", true)).len(), 1);
}
