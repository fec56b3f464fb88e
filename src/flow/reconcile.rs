//! *Reconcile*: our ledger of completed links against Order Management, link by link. What differs
//! is reported, and what only a read was missing for is written down.

use std::time::Duration;

use futures_util::StreamExt;
use jiff::{SignedDuration, Timestamp};

use super::book::{self, Begun};
use super::{House, Refusal, observe};
use crate::klarna::KlarnaError;
use crate::link::{EventId, EventKind, Link, LinkId, Operation, PaymentNews, Stage};

/// Links that are read at a time: quick, and far below Klarna's limit of reads.
const AT_ONCE: usize = 4;
/// Links that are listed at a time.
const PAGE: u32 = 200;
/// A payment that was not read so long after the link was completed is a difference.
const SETTLED: SignedDuration = SignedDuration::from_mins(15);
/// A link whose money moves while it is compared shows differences that are none: it is compared
/// again, so often and so much later.
const TRIES: usize = 5;
const A_MOMENT: Duration = Duration::from_secs(1);
/// An operation is on its way for so long before its being pending means anything.
const YOUNG: SignedDuration = SignedDuration::from_mins(1);

/// One thing that differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Drift {
    /// Whose money.
    pub link: LinkId,
    /// What differs, in the contract's names.
    pub what: String,
    /// What our ledger says.
    pub ours: String,
    /// What Order Management says.
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

/// Compares all links that were completed at or after `since` and before `until`. `progress` hears
/// how many are compared so far.
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
    let mut last = None;
    loop {
        let page = house
            .store
            .read(move |tx| tx.completed_links(since, until, last, PAGE))
            .await?;
        let Some(end) = page.last() else { break };
        last = Some(*end);
        let links = page.into_iter().map(|(_, id)| compare(house, id));
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
    metrics::counter!("paylink_reconcile_drifts_total").increment(whole.drifts.len() as u64);
    if let Some(first) = whole.drifts.first() {
        tell(house).await?;
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

async fn compare(house: &House, id: LinkId) -> Result<Compared, Refusal> {
    for _ in 0..TRIES {
        let (link, operations) = known(house, id).await?;
        let Some(pair) = link.stage.pair() else {
            return Ok(Compared::Same);
        };
        let news = match house.klarna.read_payment(&pair.order).await {
            Ok(news) => news,
            Err(KlarnaError::NotFound(_)) => {
                let drift = Drift {
                    link: id,
                    what: "status".into(),
                    ours: "completed".into(),
                    klarna: "no such order".into(),
                };
                return Ok(Compared::Differs(vec![drift]));
            }
            Err(error) => {
                drop(observe::unavailable(&error));
                return Ok(Compared::Unread(id, error.to_string()));
            }
        };
        let now = house.clock.now();
        let young = |it: &Operation| it.is_pending() && now.duration_since(it.created_at) < YOUNG;
        let moving =
            operations.iter().any(young) || known(house, id).await?.0.version != link.version;
        if moving {
            tokio::time::sleep(A_MOMENT).await;
            continue;
        }
        let drifts = differences(&link, &operations, &news, now);
        // heals what only a read was missing for; what contradicts stays for a person
        let begun = Begun::with(&operations);
        book::write_down(house, id, begun, news).await?;
        return Ok(if drifts.is_empty() {
            Compared::Same
        } else {
            Compared::Differs(drifts)
        });
    }
    Ok(Compared::Unread(id, "its money is moving just now".into()))
}

async fn known(house: &House, id: LinkId) -> Result<(Link, Vec<Operation>), Refusal> {
    house
        .store
        .read(move |tx| {
            let link = tx.link(id)?.ok_or(Refusal::NotFound)?;
            Ok((link, tx.operations(id)?))
        })
        .await
}

fn differences(
    link: &Link,
    operations: &[Operation],
    news: &PaymentNews,
    now: Timestamp,
) -> Vec<Drift> {
    let Stage::Completed { at, payment, .. } = &link.stage else {
        return Vec::new();
    };
    let mut drifts = Vec::new();
    let mut differs = |what: &str, ours: &str, klarna: &str| {
        if ours != klarna {
            drifts.push(Drift {
                link: link.id,
                what: what.to_owned(),
                ours: ours.to_owned(),
                klarna: klarna.to_owned(),
            });
        }
    };
    let number = |amount: Option<i64>| amount.map_or("unknown".to_owned(), |it| it.to_string());
    if let Some(amount) = news.amount {
        let ours = link.sale.order_amount.to_string();
        differs("order_amount", &ours, &amount.to_string());
    }
    if let Some(currency) = &news.currency {
        differs("purchase_currency", &link.sale.currency, currency);
    }
    if let Some(reference) = &news.merchant_reference2 {
        differs("merchant_reference2", &link.id.to_string(), reference);
    }
    let young = now.duration_since(*at) < SETTLED;
    if payment.remaining_amount.is_some() || !young {
        let theirs = &news.payment;
        differs(
            "payment.status",
            payment.status.as_str(),
            theirs.status.as_str(),
        );
        for (what, ours, klarna) in [
            (
                "payment.captured_amount",
                payment.captured_amount,
                theirs.captured_amount,
            ),
            (
                "payment.refunded_amount",
                payment.refunded_amount,
                theirs.refunded_amount,
            ),
            (
                "payment.remaining_amount",
                payment.remaining_amount,
                theirs.remaining_amount,
            ),
        ] {
            differs(what, &number(ours), &number(klarna));
        }
    }
    for (what, ours, klarna) in book::entries(operations, payment, news, link.id, now) {
        differs(&what, ours, klarna);
    }
    drifts
}

/// Appends `reconcile.drift`, which is about no single link.
async fn tell(house: &House) -> Result<(), Refusal> {
    let now = house.clock.now();
    let id = EventId::new(now, &house.random);
    house
        .store
        .write(move |tx| tx.append_general(EventKind::ReconcileDrift, id, now))
        .await?;
    Ok(())
}
