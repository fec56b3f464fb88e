//! *Reconcile*: our ledger of a day against Klarna, link by link: the money of what was paid on it, and
//! the pages of what was made on it and is not paid. What differs is reported, and what only a read
//! was missing for is written down.

mod money;
mod page;

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::StreamExt;
use jiff::{SignedDuration, Timestamp};

use super::{House, Refusal};
use crate::link::{EventId, EventKind, LinkId, OperationId};

/// Links that are read at a time: quick, and far below Klarna's limit of reads.
const AT_ONCE: usize = 4;
/// Links that are listed at a time.
const PAGE: u32 = 200;
/// A payment that was not read so long after the link was completed is a difference, and so is a
/// disable that is insisted on for so long.
const SETTLED: SignedDuration = SignedDuration::from_mins(15);
/// A link that changes while it is compared shows differences that are none: it is compared again, so
/// often and so much later.
const TRIES: usize = 5;
const A_MOMENT: Duration = Duration::from_secs(1);

/// One thing that differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Drift {
    /// Whose money.
    pub link: LinkId,
    /// What differs, in the contract's names.
    pub what: String,
    /// What our ledger says.
    pub ours: String,
    /// What Klarna says.
    pub klarna: String,
}

/// What a reconciliation saw.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reconciled {
    /// Links that were compared.
    pub compared: usize,
    /// All differences.
    pub drifts: Vec<Drift>,
    /// Links that Klarna did not answer about, and its words.
    pub unread: Vec<(LinkId, String)>,
}

impl Reconciled {
    /// Everything was compared and nothing differs.
    pub fn is_clean(&self) -> bool {
        self.drifts.is_empty() && self.unread.is_empty()
    }
}

/// The day's links, in two walks: no link is in both.
#[derive(Clone, Copy)]
enum Walk {
    /// What was paid, by when it was.
    Paid,
    /// What was made and is not paid.
    Unpaid,
}

/// Compares all links that were completed at or after `since` and before `until`, and those that
/// were made then, have a page and are not completed. `progress` hears how many are compared so far.
///
/// # Errors
/// Where the store cannot be read or written.
pub async fn reconcile(
    house: &House,
    since: Timestamp,
    until: Timestamp,
    mut progress: impl FnMut(usize),
) -> Result<Reconciled, Refusal> {
    let mut whole = Reconciled::default();
    for walk in [Walk::Paid, Walk::Unpaid] {
        let mut last = None;
        loop {
            let page = house
                .store
                .read(move |tx| match walk {
                    Walk::Paid => tx.completed_links(since, until, last, PAGE),
                    Walk::Unpaid => tx.unpaid_links(since, until, last, PAGE),
                })
                .await?;
            let Some(end) = page.last() else { break };
            last = Some(*end);
            let links = page.into_iter().map(async |(_, id)| match walk {
                Walk::Paid => money::compare(house, id).await,
                Walk::Unpaid => page::compare(house, id).await,
            });
            let mut compared = futures_util::stream::iter(links).buffered(AT_ONCE);
            while let Some(one) = compared.next().await {
                match one? {
                    Compared::Same => whole.compared += 1,
                    Compared::Differs(drifts) => {
                        whole.compared += 1;
                        whole.drifts.extend(drifts);
                    }
                    Compared::Unread(id, why) => whole.unread.push((id, why)),
                }
            }
            progress(whole.compared);
        }
    }
    if let Some(first) = whole.drifts.first() {
        tell(house, &whole.drifts).await?;
        let words = format!(
            "{} differences from Klarna, the first: {} of {} is {} here and {} there",
            whole.drifts.len(),
            first.what,
            first.link,
            first.ours,
            first.klarna
        );
        house
            .alert("reconcile_drift", &words, Some(first.link))
            .await;
    }
    Ok(whole)
}

enum Compared {
    Same,
    Differs(Vec<Drift>),
    Unread(LinkId, String),
}

/// Appends `reconcile.drift`, which is about no single link, and counts what differed: this process
/// ends, and those that serve have the metrics.
async fn tell(house: &House, drifts: &[Drift]) -> Result<(), Refusal> {
    let now = house.clock.now();
    let id = EventId::new(now, &house.random);
    let mut kinds: BTreeMap<String, i64> = BTreeMap::new();
    for drift in drifts {
        // an entry of a payment is named by its id: one kind all the same
        let entry = drift.what.parse::<OperationId>();
        let kind = match &entry {
            Ok(id) => id.kind().as_str(),
            Err(_) => drift.what.split(' ').next().unwrap_or_default(),
        };
        *kinds.entry(kind.to_owned()).or_default() += 1;
    }
    house
        .store
        .write(move |tx| {
            for (kind, number) in &kinds {
                tx.count_drift(kind, *number)?;
            }
            tx.append_general(EventKind::ReconcileDrift, id, now)
        })
        .await?;
    Ok(())
}
