//! Every API call with its answer, for tests and for people. Bytes are kept as they came and
//! made readable only for the reader, so that logging costs a call next to nothing.

use std::collections::VecDeque;

use actix_web::web::Bytes;
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::world::millis;

/// Bounds of what is kept; the oldest entries go first.
const MOST_ENTRIES: usize = 10_000;
const MOST_BYTES: usize = 64 << 20;

pub(super) struct Entry {
    pub at: Timestamp,
    pub op: &'static str,
    pub method: String,
    pub path: String,
    pub query: String,
    pub headers: Vec<(String, String)>,
    pub body: Bytes,
    /// What was answered, or would have been but for the fault; `None` where nothing was done.
    pub status: Option<u16>,
    pub answer: Bytes,
    pub fault: Option<String>,
}

#[derive(Default)]
pub(super) struct Log {
    entries: VecDeque<Entry>,
    /// Entries that are gone already.
    gone: u64,
    bytes: usize,
}

impl Entry {
    fn weight(&self) -> usize {
        self.body.len() + self.answer.len()
    }

    fn body(&self, seq: u64) -> Value {
        let (body, raw) = readable(&self.body);
        let (answer, garbage) = readable(&self.answer);
        let headers: Map<String, Value> = self
            .headers
            .iter()
            .map(|(name, value)| (name.clone(), value.clone().into()))
            .collect();
        json!({
            "seq": seq,
            "at": millis(self.at),
            "op": self.op,
            "method": self.method,
            "path": self.path,
            "query": self.query,
            "headers": headers,
            "body": body,
            "raw": raw,
            "status": self.status,
            "answer": if answer.is_null() { garbage } else { answer },
            "fault": self.fault,
        })
    }
}

impl Log {
    pub(super) fn push(&mut self, entry: Entry) {
        self.bytes += entry.weight();
        self.entries.push_back(entry);
        while self.entries.len() > MOST_ENTRIES || self.bytes > MOST_BYTES {
            let Some(oldest) = self.entries.pop_front() else {
                break;
            };
            self.bytes -= oldest.weight();
            self.gone += 1;
        }
    }

    /// The entries numbered above `after`, oldest first. Numbers begin at 1.
    pub(super) fn after(&self, after: u64) -> Vec<Value> {
        let skip = usize::try_from(after.saturating_sub(self.gone)).unwrap_or(usize::MAX);
        let first = self.gone + 1;
        (first..)
            .zip(&self.entries)
            .skip(skip)
            .map(|(seq, entry)| entry.body(seq))
            .collect()
    }
}

/// Bytes as (JSON, `null`) or (`null`, text); both `null` where there are none.
fn readable(bytes: &[u8]) -> (Value, Value) {
    if bytes.is_empty() {
        return (Value::Null, Value::Null);
    }
    match serde_json::from_slice(bytes) {
        Ok(json) => (json, Value::Null),
        Err(_) => (
            Value::Null,
            String::from_utf8_lossy(bytes).into_owned().into(),
        ),
    }
}
