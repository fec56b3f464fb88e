//! Live events (SSE). One task of the process follows the stream and hands each event to all open
//! connections; a connection asks the database only to catch up. Ten thousand tills that idle cost
//! a channel and a timer each, and no query.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use actix_web::http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName};
use actix_web::web::Bytes;
use actix_web::{HttpRequest, HttpResponse, web};
use futures_util::stream::{Stream, unfold};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{broadcast, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::State;
use super::api::events::{is_kept, own, position};
use super::auth::{Admitted, require};
use super::problem::{FaultView, Problem, ProblemCode, ProblemView};
use super::query::Query;
use super::refusal::storage;
use crate::access::Verb;
use crate::flow::House;
use crate::store::{EventFilter, Store, StoreError, StoredEvent};

/// `api.md`: heartbeat.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// A key that was revoked ends its streams within 5 s, as it ends its requests.
const RECHECK: Duration = Duration::from_secs(4);
/// Events read at once.
const BATCH: u32 = 256;
/// Events that a slow connection may lag behind before it goes back to the database.
const BACKLOG: usize = 1024;
/// A stream is not kept waiting longer for its first byte.
const PATIENCE: Duration = Duration::from_secs(2);
/// Waiting for a database that does not answer.
const PAUSE: Duration = Duration::from_secs(1);

/// An event on its way to the connections, rendered once.
struct Told {
    position: i64,
    event: StoredEvent,
    frame: Bytes,
}

/// Where all connections hear of new events.
pub struct Hub {
    news: broadcast::Sender<Arc<Told>>,
    /// It knows where the stream is and misses nothing from then on.
    follows: watch::Receiver<bool>,
    open: Arc<AtomicUsize>,
    most: usize,
}

impl Hub {
    /// Follows the stream on the main runtime until `stopping`.
    pub fn start(house: &House, most: usize, stopping: CancellationToken) -> Self {
        let (news, _) = broadcast::channel(BACKLOG);
        let (follows_now, follows) = watch::channel(false);
        let follower = follow(house.store.clone(), news.clone(), follows_now);
        house.runtime.spawn(async move {
            stopping.run_until_cancelled(follower).await;
        });
        Self {
            news,
            follows,
            open: Arc::default(),
            most,
        }
    }

    /// A seat for one more connection, where there is one.
    fn seat(&self) -> Option<Seat> {
        let before = self.open.fetch_add(1, Ordering::AcqRel);
        let seat = Seat(Arc::clone(&self.open));
        (before < self.most).then_some(seat)
    }
}

struct Seat(Arc<AtomicUsize>);

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

async fn follow(
    store: Store,
    news: broadcast::Sender<Arc<Told>>,
    follows_now: watch::Sender<bool>,
) {
    let mut head = store.head_watch();
    // From the database: the watch begins at 0, and nobody wants to hear all of the past.
    let mut position = loop {
        // a path to the method has one lifetime only, and the store wants it for any
        #[allow(clippy::redundant_closure_for_method_calls)]
        let read = store.read(|tx| tx.head());
        match read.await {
            Ok(head) => break head,
            Err(error) => {
                tracing::warn!(%error, "the event stream cannot be read");
                tokio::time::sleep(PAUSE).await;
            }
        }
    };
    follows_now.send_replace(true);
    loop {
        // Nobody listens: nothing to read. The head is taken before the look, because whoever comes
        // after it first subscribes and then asks the database, which is never behind this head.
        let seen = *head.borrow_and_update();
        if news.receiver_count() == 0 {
            position = position.max(seen);
            if head.changed().await.is_err() {
                return;
            }
            continue;
        }
        let after = position;
        let read = store.read(move |tx| tx.events_after(after, &EventFilter::default(), BATCH));
        match read.await {
            Ok(events) => {
                let full = events.len() >= BATCH as usize;
                for event in events {
                    if let Some(told) = Told::of(event) {
                        position = told.position;
                        // nobody listens: nothing to do
                        let _ = news.send(Arc::new(told));
                    }
                }
                // what changed during the read wakes at once: nothing is slept through
                if !full && head.changed().await.is_err() {
                    return;
                }
            }
            Err(error) => {
                tracing::warn!(%error, "the event stream cannot be read");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

impl Told {
    fn of(event: StoredEvent) -> Option<Self> {
        let position = event.position?;
        Some(Self {
            position,
            frame: frame(position, event.kind.as_str(), &event.json),
            event,
        })
    }
}

/// One event as it goes over the wire. The JSON is one line by construction.
pub(super) fn frame(position: i64, kind: &str, json: &str) -> Bytes {
    Bytes::from(format!("id: {position}\nevent: {kind}\ndata: {json}\n\n"))
}

/// Events as they happen (server-sent events): `id` is a cursor, `event` the type, `data` one line.
#[utoipa::path(get, path = "/v1/events/stream", operation_id = "stream_events", tag = "events",
    params(("Last-Event-ID" = Option<String>, Header, description = "Go on after this; without it from now.")),
    responses((status = 200, description = "The stream; a comment each 15 s.", body = String, content_type = "text/event-stream"),
              (status = 410, description = "`gone`: that id is outside of what is kept", body = ProblemView),
              (status = 503, description = "`overloaded`: too many streams", body = ProblemView)))]
pub async fn stream(
    state: web::Data<State>,
    admitted: Admitted,
    request: HttpRequest,
) -> Result<HttpResponse, Problem> {
    require(&admitted.caller, Verb::Read)?;
    Query::none(&request)?;
    let asked = last_event_id(&request)?;
    let seat = state
        .hub
        .seat()
        .ok_or_else(|| Problem::new(ProblemCode::Overloaded).retry_after(PAUSE))?;
    // an event between a look at the head and a hub that begins behind it would reach nobody
    let mut follows = state.hub.follows.clone();
    match tokio::time::timeout(PATIENCE, follows.wait_for(|it| *it)).await {
        Ok(Ok(_)) => {}
        Ok(Err(_)) | Err(_) => {
            return Err(Problem::new(ProblemCode::StorageUnavailable).retry_after(PAUSE));
        }
    }
    // Listen first, then look where the stream is: what comes in between is heard twice and told
    // once. The other way round it would be lost.
    let news = state.hub.news.subscribe();
    let (head, oldest) = state
        .house
        .store
        .read(|tx| Ok::<_, StoreError>((tx.head()?, tx.oldest()?)))
        .await
        .map_err(|error| storage(&error))?;
    if asked.is_some_and(|after| !is_kept(after, head, oldest)) {
        return Err(Problem::new(ProblemCode::Gone));
    }
    let filter = own(&admitted.caller);
    let now = Instant::now();
    let line = Line {
        state,
        admitted,
        filter,
        news,
        position: asked.unwrap_or(head),
        behind: asked.is_some_and(|after| after < head),
        beat_at: now,
        check_at: now + RECHECK,
        _seat: seat,
    };
    Ok(HttpResponse::Ok()
        .insert_header((CONTENT_TYPE, "text/event-stream"))
        .insert_header((CACHE_CONTROL, "no-store"))
        // proxies of nginx's family would hold the stream back
        .insert_header((HeaderName::from_static("x-accel-buffering"), "no"))
        .streaming(line.frames()))
}

fn last_event_id(request: &HttpRequest) -> Result<Option<i64>, Problem> {
    let Some(value) = request.headers().get("Last-Event-ID") else {
        return Ok(None);
    };
    let read = position(value.to_str().unwrap_or_default());
    read.map(Some).map_err(|(code, detail)| {
        Problem::faults(vec![FaultView::of_parameter("Last-Event-ID", code, detail)])
    })
}

/// One connection.
struct Line {
    state: web::Data<State>,
    admitted: Admitted,
    filter: EventFilter,
    news: broadcast::Receiver<Arc<Told>>,
    /// Everything up to here was told.
    position: i64,
    /// What is missing is in the database.
    behind: bool,
    beat_at: Instant,
    check_at: Instant,
    _seat: Seat,
}

type Frames = Pin<Box<dyn Stream<Item = Result<Bytes, actix_web::Error>>>>;

impl Line {
    fn frames(self) -> Frames {
        Box::pin(unfold(self, |mut line| async move {
            let bytes = line.next().await?;
            Some((Ok(bytes), line))
        }))
    }

    /// The next bytes; `None` ends the stream.
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if self.behind {
                let frames = self.catch_up().await?;
                if !frames.is_empty() {
                    return Some(frames);
                }
                continue;
            }
            let wake_at = self.beat_at.min(self.check_at);
            let stopping = self.state.stopping.clone();
            tokio::select! {
                () = stopping.cancelled() => return None,
                () = tokio::time::sleep_until(wake_at) => {
                    let now = Instant::now();
                    if now >= self.check_at {
                        self.check_at = now + RECHECK;
                        if !self.admitted.still(&self.state).await {
                            return None;
                        }
                    }
                    if now >= self.beat_at {
                        self.beat_at = now + HEARTBEAT;
                        return Some(Bytes::from_static(b": paylink\n\n"));
                    }
                }
                heard = self.news.recv() => match heard {
                    Ok(told) if told.position <= self.position => {}
                    Ok(told) => {
                        self.position = told.position;
                        if may_see(&self.filter, &told.event) {
                            return Some(told.frame.clone());
                        }
                    }
                    Err(RecvError::Lagged(_)) => self.behind = true,
                    Err(RecvError::Closed) => return None,
                }
            }
        }
    }

    /// A batch from the database. Not behind any more where it was the last one: what came since
    /// waits in the channel.
    async fn catch_up(&mut self) -> Option<Bytes> {
        let (after, filter) = (self.position, self.filter.clone());
        let read = self.state.house.store.read(move |tx| {
            let head = tx.head()?;
            Ok::<_, StoreError>((head, tx.events_after(after, &filter, BATCH)?))
        });
        // a client whose stream broke off comes back with the last id that it saw
        let (head, events) = read.await.ok()?;
        let mut bytes = Vec::new();
        self.behind = events.len() >= BATCH as usize;
        for told in events.into_iter().filter_map(Told::of) {
            self.position = told.position;
            bytes.extend_from_slice(&told.frame);
        }
        if !self.behind {
            self.position = self.position.max(head);
        }
        Some(Bytes::from(bytes))
    }
}

/// The same rule that the database applies when it is asked.
pub(super) fn may_see(filter: &EventFilter, event: &StoredEvent) -> bool {
    let store = filter
        .store
        .as_ref()
        .is_none_or(|own| event.store.as_ref() == Some(own));
    let actor = filter.actor.is_none_or(|own| event.created_by == Some(own));
    store && actor
}
