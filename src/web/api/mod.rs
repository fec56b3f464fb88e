//! The calls under `/v1`. A handler reads the request, asks, and answers: what is done and in which
//! order is `flow`'s.

pub(super) mod deliveries;
pub(super) mod events;
pub(super) mod links;
pub(super) mod listing;
pub(super) mod money;
pub(super) mod qr;
pub(super) mod writes;

use actix_web::http::StatusCode;
use actix_web::http::header::{ETAG, RETRY_AFTER};
use actix_web::{HttpResponse, HttpResponseBuilder};
use base64::Engine;

use super::State;
use super::headers::etag;
use super::live;
use super::problem::{Problem, ProblemCode, REPLAYED};
use super::refusal::storage;
use super::route::{Address, at};
use crate::access::Caller;
use crate::channel::qr as picture;
use crate::flow;
use crate::link::{Delivery, Link, LinkId};
use crate::store::StoreError;
use crate::view::{Detail, LinkView};

/// Every address under `/v1`.
pub(super) fn addresses() -> Vec<Address> {
    vec![
        at("/links").get(listing::list).post(writes::create),
        at("/links/{id}").get(links::read).delete(writes::delete),
        at("/links/{id}/events").get(events::timeline),
        at("/links/{id}/qr.png").get(qr::png),
        at("/links/{id}/qr.svg").get(qr::svg),
        at("/links/{id}/deliveries")
            .get(deliveries::list)
            .post(deliveries::send),
        at("/links/{id}/renew").post(writes::renew),
        at("/links/{id}/refresh").post(writes::refresh),
        at("/links/{id}/disable").post(writes::disable),
        at("/links/{id}/capture").post(money::capture),
        at("/links/{id}/captures").get(money::captures),
        at("/links/{id}/refunds")
            .get(money::refunds)
            .post(money::refund),
        at("/links/{id}/cancel").post(money::cancel),
        at("/links/{id}/release").post(money::release),
        at("/links/{id}/extend").post(money::extend),
        at("/links/{id}/operations").get(money::operations),
        at("/events").get(events::list),
        at("/events/stream").get(live::stream),
    ]
}

/// The id in a path. What is no id names nothing: 404.
fn id(text: &str) -> Result<LinkId, Problem> {
    text.parse()
        .map_err(|_| Problem::new(ProblemCode::NotFound))
}

/// A link with its deliveries, where the caller may know of it.
async fn visible(
    state: &State,
    caller: &Caller,
    id: &str,
) -> Result<(Link, Vec<Delivery>), Problem> {
    let id = self::id(id)?;
    let found = state
        .house
        .store
        .read(move |tx| {
            let link = tx.link(id)?;
            let deliveries = tx.deliveries(id)?;
            Ok::<_, StoreError>(link.map(|link| (link, deliveries)))
        })
        .await
        .map_err(|error| storage(&error))?;
    found
        .filter(|(link, _)| link.mode == caller.mode && caller.sees_link(link))
        .ok_or(Problem::new(ProblemCode::NotFound))
}

/// A link as the body of an answer.
struct Answer<'a> {
    state: &'a State,
    link: &'a Link,
    deliveries: &'a [Delivery],
    detail: Detail,
    /// `?expand=qr`
    with_qr: bool,
}

/// The head of an answer to a verb that may repeat or go on by itself: the first request's status,
/// and when to look again at what still goes on.
fn head(
    answer: flow::Answer,
    finished: StatusCode,
    replayed: bool,
    goes_on: bool,
) -> HttpResponseBuilder {
    let mut response = match answer {
        flow::Answer::Done | flow::Answer::Refused => HttpResponse::build(finished),
        flow::Answer::Accepted => HttpResponse::Accepted(),
    };
    if goes_on {
        response.insert_header((RETRY_AFTER, writes::LOOK_AGAIN));
    }
    if replayed {
        response.insert_header((REPLAYED, "true"));
    }
    response
}

impl Answer<'_> {
    fn view(&self) -> Result<LinkView, Problem> {
        let now = self.state.house.clock.now();
        let mut view = LinkView::new(self.link, self.deliveries, now, self.detail);
        if self.with_qr {
            let url = view.url.as_deref().filter(|_| view.payable);
            let png = url
                .map(|url| picture::png(url, &picture::Look::default()))
                .transpose()
                .map_err(|error| qr::undrawn(&error))?;
            let base64 = base64::engine::general_purpose::STANDARD;
            view.qr.png_base64 = Some(png.map(|png| base64.encode(png)));
        }
        Ok(view)
    }

    fn with(&self, status: StatusCode) -> Result<HttpResponse, Problem> {
        Ok(HttpResponse::build(status)
            .insert_header((ETAG, etag(self.link.version)))
            .json(self.view()?))
    }
}
