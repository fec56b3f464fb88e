//! What Klarna tells the merchant by itself: `status_update` of a session, `push` of a paid order,
//! `notification` of the fraud desk, each on Klarna's own schedule.
//!
//! A call is due by the simulator's clock, so that the clock's advance brings it; the waits are
//! scaled, the time-outs are not. Calls run on the runtime that started the simulator and end with
//! it.

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use actix_web::web::Bytes;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value, json};
use tokio::sync::{Notify, Semaphore};
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use super::order::{Order, later};
use super::payment::Fraud;
use super::session::{Called, Session};
use super::world::{World, lock};

/// A merchant that has not answered by then has not answered.
const PATIENCE: Duration = Duration::from_secs(3);
/// A push is waited for a little longer (a receiver's log showed a time-out at 5.1 s).
const PUSH_PATIENCE: Duration = Duration::from_secs(5);
/// Waits between the calls of one `status_update`, in seconds: four calls at most.
const REPEATS: [i64; 3] = [3, 10, 30];
/// Minutes from the payment to the first pushes; then one every four hours, to 48 hours.
const PUSHES: [i64; 5] = [2, 5, 15, 30, 60];
/// The clock that the simulator was given may be moved by another hand: look again at least so
/// often while a call is waiting.
const GLANCE: Duration = Duration::from_millis(50);
/// Calls in flight at once.
const MOST_CALLS: usize = 256;

/// The calls that are not due yet.
pub(super) struct Calls {
    scale: f64,
    waiting: Mutex<Waiting>,
    woken: Notify,
}

#[derive(Default)]
struct Waiting {
    heap: BinaryHeap<Call>,
    counted: u64,
}

struct Call {
    due: Timestamp,
    /// Calls that are due together begin in the order in which they were made.
    number: u64,
    url: String,
    /// JSON, or empty for a push.
    body: Bytes,
    about: About,
    /// Calls of this kind and subject that were made before.
    made: usize,
}

#[derive(Clone, Copy)]
enum About {
    Status {
        session: Uuid,
        event: Uuid,
        status: &'static str,
    },
    Push {
        order: Uuid,
        paid_at: Timestamp,
    },
    Notification {
        order: Uuid,
    },
}

impl Calls {
    pub(super) fn new(scale: f64) -> Self {
        let scale = if scale.is_finite() {
            scale.clamp(0.0, 1000.0)
        } else {
            1.0
        };
        Self {
            scale,
            waiting: Mutex::default(),
            woken: Notify::new(),
        }
    }

    /// Something may be due now.
    pub(super) fn wake(&self) {
        self.woken.notify_one();
    }

    pub(super) fn clear(&self) {
        lock(&self.waiting).heap.clear();
    }

    /// The session changed: the merchant is told at once. `status` may be a word that a session
    /// never has (`TIMEOUT`).
    pub(super) fn status(
        &self,
        session: &Session,
        status: &'static str,
        event: Uuid,
        now: Timestamp,
    ) {
        let Some(url) = session.url("status_update") else {
            return;
        };
        let mut told = session.body();
        told.insert("status".to_owned(), status.into());
        let body = json!({ "event_id": event.to_string(), "session": told });
        let about = About::Status {
            session: session.id,
            event,
            status,
        };
        self.add(now, url, Bytes::from(body.to_string()), about, 0);
    }

    /// The order is paid: pushes begin.
    pub(super) fn push(&self, order: &Order, body: &Map<String, Value>, now: Timestamp) {
        if let Some(url) = order.url(body, "push") {
            let about = About::Push {
                order: order.id,
                paid_at: now,
            };
            self.add_push(url, about, now, 0);
        }
    }

    /// The fraud desk decided. While it is still looking there is nothing to tell.
    pub(super) fn notification(&self, order: &Order, now: Timestamp) {
        let event = match order.fraud {
            Fraud::Pending => return,
            Fraud::Accepted => "FRAUD_RISK_ACCEPTED",
            Fraud::Rejected => "FRAUD_RISK_REJECTED",
            Fraud::Stopped => "FRAUD_RISK_STOPPED",
        };
        if let Some(url) = order.url(&order.body(), "notification") {
            let about = About::Notification { order: order.id };
            let body = json!({ "order_id": order.id.to_string(), "event_type": event });
            self.add(now, url, Bytes::from(body.to_string()), about, 0);
        }
    }

    fn add_push(&self, url: String, about: About, paid_at: Timestamp, made: usize) {
        if let Some(wait) = push_after(made) {
            self.add(
                later(paid_at, self.scaled(wait)),
                url,
                Bytes::new(),
                about,
                made,
            );
        }
    }

    fn add(&self, due: Timestamp, url: String, body: Bytes, about: About, made: usize) {
        let mut waiting = lock(&self.waiting);
        waiting.counted += 1;
        let number = waiting.counted;
        waiting.heap.push(Call {
            due,
            number,
            url,
            body,
            about,
            made,
        });
        drop(waiting);
        self.wake();
    }

    /// The calls that are due, and when the next one will be.
    fn due(&self, now: Timestamp) -> (Vec<Call>, Option<Timestamp>) {
        let mut waiting = lock(&self.waiting);
        let mut due = Vec::new();
        while waiting.heap.peek().is_some_and(|call| call.due <= now) {
            due.extend(waiting.heap.pop());
        }
        (due, waiting.heap.peek().map(|call| call.due))
    }

    /// When the next call is due.
    #[cfg(test)]
    pub(super) fn next(&self) -> Option<Timestamp> {
        lock(&self.waiting).heap.peek().map(|call| call.due)
    }

    fn scaled(&self, wait: SignedDuration) -> SignedDuration {
        wait.mul_f64(self.scale)
    }
}

/// From the payment to the push after `made` others; `None` after 48 hours.
pub(super) fn push_after(made: usize) -> Option<SignedDuration> {
    let minutes = PUSHES.get(made).copied().or_else(|| {
        let rounds = i64::try_from(made - PUSHES.len() + 1).ok()?;
        Some(60 + 240 * rounds).filter(|minutes| *minutes <= 48 * 60)
    })?;
    Some(SignedDuration::from_mins(minutes))
}

/// Makes the calls as they become due, until the simulator stops.
pub(super) async fn run(world: Arc<World>, client: reqwest::Client, tasks: TaskTracker) {
    let slots = Arc::new(Semaphore::new(MOST_CALLS));
    loop {
        let now = world.now();
        let (due, next) = world.calls.due(now);
        for call in due {
            if let Some(entry) = begin(&world, &call, now) {
                let (world, client, slots) = (world.clone(), client.clone(), slots.clone());
                tasks.spawn(async move {
                    // never closed: the semaphore lives as long as this task
                    let _slot = slots.acquire().await;
                    let answer = tokio::select! {
                        () = world.stopping.cancelled() => return,
                        answer = make(&client, &call) => answer,
                    };
                    end(&world, call, entry, answer);
                });
            }
        }
        let wait = next.map_or(Duration::MAX, |next| {
            let wait = next.duration_since(world.now());
            Duration::try_from(wait)
                .unwrap_or(Duration::ZERO)
                .min(GLANCE)
        });
        tokio::select! {
            () = world.stopping.cancelled() => return,
            () = world.calls.woken.notified() => {}
            () = tokio::time::sleep(wait), if next.is_some() => {}
        }
    }
}

/// Notes the call where it is shown, and answers its place there. `None`: there is no reason to
/// call any more.
fn begin(world: &World, call: &Call, now: Timestamp) -> Option<usize> {
    let mut state = world.state();
    match call.about {
        About::Status {
            session,
            event: event_id,
            status,
        } => {
            let callbacks = &mut state.sessions.get_mut(&session)?.callbacks;
            callbacks.push(Called {
                event_id,
                status,
                url: call.url.clone(),
                at: now,
                answer: None,
            });
            Some(callbacks.len() - 1)
        }
        About::Push { order, .. } => {
            let payment = state.orders.get(&order)?.payment.as_ref()?;
            (!payment.is_settled()).then_some(0)
        }
        // everything may have been reset since the call was planned
        About::Notification { order } => state.orders.contains_key(&order).then_some(0),
    }
}

/// The merchant's status; `None` where none came in time.
async fn make(client: &reqwest::Client, call: &Call) -> Option<u16> {
    let patience = match call.about {
        About::Push { .. } => PUSH_PATIENCE,
        _ => PATIENCE,
    };
    let mut request = client.post(&call.url).timeout(patience);
    if call.body.is_empty() {
        request = request.header("content-length", "0");
    } else {
        request = request
            .header("content-type", "application/json")
            .body(call.body.clone());
    }
    match request.send().await {
        Ok(answer) => Some(answer.status().as_u16()),
        Err(error) => {
            tracing::debug!(
                error = &error as &dyn std::error::Error,
                "callback was not answered"
            );
            None
        }
    }
}

/// Notes the answer and plans what follows: a repeat where it was not 2xx, the next push anyway.
fn end(world: &World, call: Call, entry: usize, answer: Option<u16>) {
    let calls = &world.calls;
    let made = call.made + 1;
    match call.about {
        About::Push { paid_at, .. } => {
            return calls.add_push(call.url, call.about, paid_at, made);
        }
        About::Status { session, .. } => {
            let mut state = world.state();
            let session = state.sessions.get_mut(&session);
            match session.and_then(|session| session.callbacks.get_mut(entry)) {
                Some(called) => called.answer = answer,
                None => return, // everything was reset meanwhile
            }
        }
        About::Notification { .. } => {}
    }
    let taken = answer.is_some_and(|status| (200..300).contains(&status));
    if let Some(seconds) = REPEATS.get(call.made).filter(|_| !taken) {
        let wait = calls.scaled(SignedDuration::from_secs(*seconds));
        calls.add(
            later(world.now(), wait),
            call.url,
            call.body,
            call.about,
            made,
        );
    }
}

// The heap gives the greatest first: the earliest call is the greatest.
impl Ord for Call {
    fn cmp(&self, other: &Self) -> Ordering {
        (other.due, other.number).cmp(&(self.due, self.number))
    }
}

impl PartialOrd for Call {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Call {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Call {}
