//! The public JSON shapes of the contract, made from the nouns: `web` answers with them, `store` freezes events with them.

pub mod event {
    //! The frozen form of an event.

    use jiff::Timestamp;

    use crate::link::{Delivery, EventId, EventKind, Link};

    /// The event's JSON: the same bytes in list, stream and webhook.
    pub fn freeze(
        id: EventId,
        kind: EventKind,
        created_at: Timestamp,
        link: &Link,
        deliveries: &[Delivery],
        delivery: Option<&Delivery>,
    ) -> String {
        serde_json::json!({
            "id": id.to_string(), "object": "event", "type": kind.as_str(),
            "created_at": created_at.to_string(), "link": link.id.to_string(),
            "sequence": link.sequence,
            "data": {
                "link": {"id": link.id.to_string(), "status": link.stage.status().as_str(), "deliveries": deliveries.len()},
                "delivery": delivery.map(|it| it.id.to_string()),
            },
        })
        .to_string()
    }
}
