//! *Send*: one more message for a link that can still be paid.

use super::idempotency::{self, Answer, Key, Made};
use super::{House, Refusal, create, sees};
use crate::access::Caller;
use crate::chaos::{self, Point};
use crate::link::{Delivery, DeliveryId, EventKind, LinkId, Send, Status};
use crate::store::{Job, JobKind};

/// What a send came to.
#[derive(Debug)]
pub struct Queued {
    /// The delivery as it is now.
    pub delivery: Delivery,
    /// The same request was answered before.
    pub replayed: bool,
}

/// Queues one message. Accepted while the link is being created (it waits) and while it is
/// payable.
pub async fn send(
    house: &House,
    caller: &Caller,
    id: LinkId,
    send: Send,
    agent: Option<String>,
    wanted_version: Option<i64>,
    key: Option<Key>,
) -> Result<Queued, Refusal> {
    let pen = house.pen();
    let delivery = create::queued(
        DeliveryId::new(pen.at, &house.random),
        id,
        send,
        agent,
        pen.at,
    );
    let (caller, limits) = (caller.clone(), house.settings.limits);
    let queued = house
        .store
        .write(move |tx| {
            let mut pen = pen;
            let now = pen.at;
            if let Some(kept) = idempotency::recall(tx, key.as_ref())? {
                let id: DeliveryId = kept
                    .resource
                    .as_deref()
                    .and_then(|id| id.parse().ok())
                    .ok_or(Refusal::NotFound)?;
                let delivery = tx.delivery(id)?.ok_or(Refusal::NotFound)?;
                return Ok(Queued {
                    delivery,
                    replayed: true,
                });
            }
            let visible = tx.link(id)?.filter(|link| sees(&caller, link));
            visible.ok_or(Refusal::NotFound)?;
            // before the link's lock: a parallel repeat waits here, and never meets the limits that
            // its twin has used up
            let made = Made {
                link: id,
                resource: Some(delivery.id.to_string()),
                answer: Some(Answer::Done),
            };
            idempotency::keep(tx, key.as_ref(), made, now)?;
            let mut link = tx.touch(id)?.ok_or(Refusal::NotFound)?;
            // touch has counted this change already
            if wanted_version.is_some_and(|wanted| wanted != link.version - 1) {
                return Err(Refusal::VersionMismatch);
            }
            let open = link.payable(now);
            if !open && link.stage.status() != Status::Creating {
                return Err(Refusal::NotPayable);
            }
            limits.recipient(tx, &delivery.to, now)?;
            link.updated_at = now;
            tx.insert_delivery(&delivery)?;
            pen.tell(tx, &mut link, EventKind::DeliveryQueued, Some(&delivery))?;
            tx.save(&link)?;
            if open {
                tx.enqueue(&Job {
                    kind: JobKind::Deliver,
                    subject: delivery.id.to_string(),
                    link: id,
                    due_at: now,
                })?;
            }
            Ok(Queued {
                delivery: delivery.clone(),
                replayed: false,
            })
        })
        .await?;
    chaos::at(Point::SendQueued);
    Ok(queued)
}
