//! The pen that writes events: all names that a transaction may need are made before it, because
//! it may run more than once (failure-model R6).

use jiff::Timestamp;

use super::House;
use crate::link::{Delivery, EventId, EventKind, Link};
use crate::store::{StoreError, Tx};

/// Names and time for one transaction's events. Copied into each run of the closure.
#[derive(Clone, Copy)]
pub(super) struct Pen {
    series: EventId,
    used: u16,
    pub at: Timestamp,
}

impl House {
    /// A pen for one transaction.
    pub(super) fn pen(&self) -> Pen {
        let at = self.clock.now();
        Pen {
            series: EventId::new(at, &self.random),
            used: 0,
            at,
        }
    }
}

impl Pen {
    /// Appends an event of `link` as it is now.
    pub fn tell(
        &mut self,
        tx: &mut Tx,
        link: &mut Link,
        kind: EventKind,
        delivery: Option<&Delivery>,
    ) -> Result<(), StoreError> {
        let id = self.series.nth(self.used);
        self.used += 1;
        tx.append(link, kind, id, delivery, self.at)
    }

    /// Stops what has not left: the link was closed first.
    pub fn skip_unsent(&mut self, tx: &mut Tx, link: &mut Link) -> Result<(), StoreError> {
        for delivery in tx.skip_queued(link.id)? {
            self.tell(tx, link, EventKind::DeliverySkipped, Some(&delivery))?;
        }
        Ok(())
    }
}
