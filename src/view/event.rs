//! An event: frozen to text once, in the transaction of the change that it tells of, and never
//! rendered again. So list, stream and webhook send the same bytes (`contract.md`, Shapes).

use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use super::{DeliveryView, Detail, Instant, LinkView, PaymentView, words};
use crate::link::{Delivery, EventId, EventKind, Link, Stage};

/// News of a link.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = Event)]
pub struct EventView {
    /// For de-duplication; not a cursor.
    #[schema(example = "evt_019ab3f0c6d77b0e8f4a2f6d5c1b9a71")]
    pub id: String,
    /// Always `event`.
    #[schema(schema_with = words::event_object)]
    pub object: &'static str,
    /// What happened.
    #[serde(rename = "type")]
    #[schema(schema_with = words::event_kind)]
    pub kind: &'static str,
    /// When it happened.
    pub created_at: Instant,
    /// The same, under the name that Standard Webhooks uses.
    pub timestamp: Instant,
    /// The link that it is about; `null` where it is about none.
    pub link: Option<String>,
    /// Counts the events of one link from 1 without gaps; `null` where `link` is.
    pub sequence: Option<i64>,
    /// On whose behalf: the delivery's or the link's agent.
    pub agent: Option<String>,
    /// What it is about, as it was just after.
    pub data: EventData,
}

/// What an event is about; `null` where it is about none of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct EventData {
    /// The link, masked.
    pub link: Option<LinkView>,
    /// The delivery, in `delivery.*`.
    pub delivery: Option<DeliveryView>,
    /// The payment, in `payment.*`.
    pub payment: Option<PaymentView>,
}

/// The JSON of an event of `link` at `created_at`. `link.sequence` is already this event's own
/// number, and `deliveries` are all deliveries of the link.
pub fn freeze(
    id: EventId,
    kind: EventKind,
    created_at: Timestamp,
    link: &Link,
    deliveries: &[Delivery],
    delivery: Option<&Delivery>,
) -> String {
    let event = view(id, kind, created_at, link, deliveries, delivery);
    written(&event)
}

/// The JSON of an event that is about no link.
pub fn freeze_general(id: EventId, kind: EventKind, created_at: Timestamp) -> String {
    let event = EventView {
        id: id.to_string(),
        object: "event",
        kind: kind.as_str(),
        created_at: Instant(created_at),
        timestamp: Instant(created_at),
        link: None,
        sequence: None,
        agent: None,
        data: EventData {
            link: None,
            delivery: None,
            payment: None,
        },
    };
    written(&event)
}

fn written(event: &EventView) -> String {
    serde_json::to_string(event)
        .expect("views hold strings, integers and lists with string keys: all of it is JSON")
}

fn view(
    id: EventId,
    kind: EventKind,
    created_at: Timestamp,
    link: &Link,
    deliveries: &[Delivery],
    delivery: Option<&Delivery>,
) -> EventView {
    let payment = match &link.stage {
        Stage::Completed { payment, .. } if kind.as_str().starts_with("payment.") => {
            Some(PaymentView::new(payment, Detail::Full))
        }
        _ => None,
    };
    EventView {
        id: id.to_string(),
        object: "event",
        kind: kind.as_str(),
        created_at: Instant(created_at),
        timestamp: Instant(created_at),
        link: Some(link.id.to_string()),
        sequence: Some(link.sequence),
        agent: delivery
            .and_then(|it| it.agent.clone())
            .or_else(|| link.agent.clone()),
        data: EventData {
            link: Some(LinkView::new(link, deliveries, created_at, Detail::Full)),
            delivery: delivery.map(|it| DeliveryView::new(it, Detail::Full)),
            payment,
        },
    }
}
