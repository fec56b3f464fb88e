//! Everything the simulator remembers, and its clock. All of it lives in memory and ends with the
//! process.
//!
//! One mutex guards the orders and sessions, held for microseconds and never across a wait; the
//! log and the faults have their own, so that no request waits for a reader of the log.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::{SignedDuration, Timestamp};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::callbacks::Calls;
use super::faults::Armed;
use super::log::Log;
use super::order::Order;
use super::session::Session;
use crate::clock::Clock;
use crate::random::Random;

/// Orders kept; over it the oldest goes, with its sessions, so that a long benchmark does not end
/// for want of memory.
const MOST_ORDERS: usize = 100_000;

pub(super) struct World {
    /// Scheme, host and port of every URL that is given out, without a slash at the end.
    pub base: String,
    /// What must stand after `Basic` to be admitted.
    pub credentials: String,
    pub random: Random,
    pub log: Mutex<Log>,
    pub faults: Mutex<Vec<Armed>>,
    pub calls: Calls,
    /// Cancelled when the simulator stops: whoever waits for longer than a moment watches it.
    pub stopping: CancellationToken,
    state: Mutex<State>,
    clock: Clock,
    /// Microseconds that the simulator is ahead of the clock it was given.
    ahead: AtomicI64,
}

/// What may only change together.
#[derive(Default)]
pub(super) struct State {
    pub orders: HashMap<Uuid, Order>,
    pub sessions: HashMap<Uuid, Session>,
    /// In order of creation; ids of sessions may outlive their session.
    pub order_ids: VecDeque<Uuid>,
    pub session_ids: VecDeque<Uuid>,
    /// Last part of the page's URL → session.
    pub pages: HashMap<String, Uuid>,
}

impl World {
    pub(super) fn new(
        base: String,
        credentials: String,
        callback_delay_scale: f64,
        clock: Clock,
        random: Random,
    ) -> Self {
        Self {
            base,
            credentials,
            random,
            log: Mutex::default(),
            faults: Mutex::default(),
            calls: Calls::new(callback_delay_scale),
            stopping: CancellationToken::new(),
            state: Mutex::default(),
            clock,
            ahead: AtomicI64::new(0),
        }
    }

    /// The simulator's time.
    pub(super) fn now(&self) -> Timestamp {
        let ahead = SignedDuration::from_micros(self.ahead.load(Ordering::SeqCst));
        self.clock
            .now()
            .saturating_add(ahead)
            .unwrap_or(Timestamp::MAX)
    }

    /// Moves the simulator's clock forward, and wakes the calls that are due by it.
    pub(super) fn advance(&self, seconds: u32) {
        self.ahead
            .fetch_add(i64::from(seconds) * 1_000_000, Ordering::SeqCst);
        self.calls.wake();
    }

    pub(super) fn ahead(&self) -> SignedDuration {
        SignedDuration::from_micros(self.ahead.load(Ordering::SeqCst))
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    /// Forgets everything, the clock's lead and the armed faults too.
    pub(super) fn reset(&self) {
        *self.state() = State::default();
        *lock(&self.log) = Log::default();
        lock(&self.faults).clear();
        self.calls.clear();
        self.ahead.store(0, Ordering::SeqCst);
    }
}

impl State {
    pub(super) fn keep_order(&mut self, order: Order) {
        if self.order_ids.len() >= MOST_ORDERS
            && let Some(oldest) = self.order_ids.pop_front()
            && let Some(order) = self.orders.remove(&oldest)
        {
            for id in order.sessions {
                if let Some(session) = self.sessions.remove(&id) {
                    self.pages.remove(&session.page);
                }
            }
            while self
                .session_ids
                .front()
                .is_some_and(|id| !self.sessions.contains_key(id))
            {
                self.session_ids.pop_front();
            }
        }
        self.order_ids.push_back(order.id);
        self.orders.insert(order.id, order);
    }

    pub(super) fn keep_session(&mut self, session: Session) {
        if let Some(order) = self.orders.get_mut(&session.order) {
            order.sessions.push(session.id);
        }
        self.session_ids.push_back(session.id);
        self.pages.insert(session.page.clone(), session.id);
        self.sessions.insert(session.id, session);
    }

    /// A session and its order, both to be changed.
    pub(super) fn pair(&mut self, session: Uuid) -> Option<(&mut Session, &mut Order)> {
        let session = self.sessions.get_mut(&session)?;
        let order = self.orders.get_mut(&session.order)?;
        Some((session, order))
    }
}

/// A poisoned lock is still a lock: every change here is whole before anything can panic.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// RFC 3339 in UTC with milliseconds, as HPP and Order Management write times.
pub(super) fn millis(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string()
}

/// RFC 3339 in UTC, whole seconds, as Checkout writes times.
pub(super) fn seconds(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}
