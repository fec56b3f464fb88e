//! What goes wrong on demand: the next call of an operation answers an error, hangs, drops the
//! connection before or after the work, answers garbage, or takes its time.

use std::fmt;
use std::time::Duration;

use serde_json::{Value, json};

/// The longest wait that can be asked for.
const SLOWEST: Duration = Duration::from_mins(10);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// Answers this status with Klarna's error body, and does nothing.
    Status(u16),
    /// Does nothing and keeps silent for a minute, then closes.
    Hang,
    /// Closes the connection instead of doing anything.
    DropBefore,
    /// Does it, then closes without an answer.
    DropAfter,
    /// Does it, then answers 200 with what is no JSON.
    Garbage,
    /// Does it, and answers after so long.
    Slow(Duration),
}

impl Fault {
    fn of(word: &str) -> Option<Self> {
        Some(match word.split_once(':') {
            None => match word {
                "hang" => Self::Hang,
                "drop_before" => Self::DropBefore,
                "drop_after" => Self::DropAfter,
                "garbage" => Self::Garbage,
                _ => return None,
            },
            Some(("status", status)) => Self::Status(
                status
                    .parse()
                    .ok()
                    .filter(|status| (200..600).contains(status))?,
            ),
            Some(("slow", millis)) => {
                let wait = Duration::from_millis(millis.parse().ok()?);
                Self::Slow(Some(wait).filter(|wait| *wait <= SLOWEST)?)
            }
            Some(_) => return None,
        })
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(status) => write!(f, "status:{status}"),
            Self::Hang => f.write_str("hang"),
            Self::DropBefore => f.write_str("drop_before"),
            Self::DropAfter => f.write_str("drop_after"),
            Self::Garbage => f.write_str("garbage"),
            Self::Slow(wait) => write!(f, "slow:{}", wait.as_millis()),
        }
    }
}

/// A fault that waits for its operation.
pub(super) struct Armed {
    op: String,
    fault: Fault,
    /// Calls still to be met; 0 = all until cleared.
    times: u64,
}

impl Armed {
    /// Reads `{"op","fault","times"}`; the error says what was expected.
    pub(super) fn of(asked: &Value, ops: &[&str]) -> Result<Self, String> {
        let op = asked.get("op").and_then(Value::as_str).unwrap_or_default();
        if op != "*" && !ops.contains(&op) {
            return Err(format!("op must be one of *, {}", ops.join(", ")));
        }
        let fault = asked
            .get("fault")
            .and_then(Value::as_str)
            .and_then(Fault::of)
            .ok_or(
                "fault must be one of status:200..599, hang, drop_before, drop_after, garbage, \
             slow:0..600000",
            )?;
        let times = match asked.get("times") {
            None | Some(Value::Null) => 1,
            Some(times) => times
                .as_u64()
                .ok_or("times must be a whole number, 0 = until cleared")?,
        };
        Ok(Self {
            op: op.to_owned(),
            fault,
            times,
        })
    }

    pub(super) fn body(&self) -> Value {
        json!({ "op": self.op, "fault": self.fault.to_string(), "times": self.times })
    }
}

/// The fault that meets this call, if one is armed; the one that was armed first comes first.
pub(super) fn next(armed: &mut Vec<Armed>, op: &str) -> Option<Fault> {
    let index = armed.iter().position(|one| one.op == "*" || one.op == op)?;
    let fault = armed[index].fault;
    match armed[index].times {
        0 => {}
        1 => {
            armed.remove(index);
        }
        _ => armed[index].times -= 1,
    }
    Some(fault)
}
