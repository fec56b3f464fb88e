//! Asking a service that is under more load than it was made for: who is told "too much at once,
//! nothing was done" asks again, and nobody asks more often than a person would look.

use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::time::sleep;

use crate::outside::harness::http::{Answer, Call, Caller};

const PAUSE: Duration = Duration::from_millis(250);
const MOST: Duration = Duration::from_mins(2);

/// The answer of a call that changes nothing, or that says "nothing was done" by its 503.
pub async fn answered(call: impl Fn() -> Call) -> Answer {
    let begun = Instant::now();
    loop {
        let answer = call().await;
        // 408: a connection that a starved client left unused for too long
        if answer.status == 408 {
            continue;
        }
        if answer.status != 503 || begun.elapsed() > MOST {
            return answer;
        }
        let text = answer.text();
        if !text.contains("\"overloaded\"") {
            return answer;
        }
        sleep(Duration::from_secs(1)).await;
    }
}

pub async fn get(caller: &Caller, path: &str) -> Value {
    answered(|| caller.get(path)).await.expect(200).json()
}

pub async fn link(caller: &Caller, id: &str) -> Value {
    get(caller, &format!("/v1/links/{id}")).await
}

pub async fn timeline(caller: &Caller, id: &str) -> Vec<Value> {
    let list = get(caller, &format!("/v1/links/{id}/events")).await;
    list["data"].as_array().expect("data is a list").clone()
}

/// Asks until there is an answer, at most so many seconds.
pub async fn within<T>(seconds: u64, mut ask: impl AsyncFnMut() -> Option<T>) -> Option<T> {
    let deadline = Instant::now() + Duration::from_secs(seconds);
    loop {
        if let Some(answer) = ask().await {
            return Some(answer);
        }
        if Instant::now() > deadline {
            return None;
        }
        sleep(PAUSE).await;
    }
}

/// The link once it has that status.
pub async fn until(caller: &Caller, id: &str, status: &str, seconds: u64) -> Value {
    let mut last = Value::Null;
    let found = within(seconds, async || {
        last = link(caller, id).await;
        (last["status"] == status).then(|| last.clone())
    });
    match found.await {
        Some(link) => link,
        None => panic!("{id} never became {status}; it is {last}"),
    }
}

/// A sale's link, once it is open.
pub async fn open(caller: &Caller, sale: &Value) -> Value {
    let key = sale["reference"].as_str().expect("a reference");
    let made = answered(|| caller.sends(sale).idempotent(key)).await;
    let made = made.expect_any(&[201, 202]).json();
    if made["status"] == "open" {
        return made;
    }
    let id = made["id"].as_str().expect("an id");
    until(caller, id, "open", 90).await
}
