//! A paid link's money, entry by entry, against Order Management.

use jiff::{SignedDuration, Timestamp};

use super::{A_MOMENT, Compared, Drift, SETTLED, TRIES};
use crate::flow::book::{self, Begun};
use crate::flow::{House, Refusal, observe};
use crate::klarna::KlarnaError;
use crate::link::{Link, LinkId, Operation, PaymentNews, Stage};

/// An operation is on its way for so long before its being pending means anything.
const YOUNG: SignedDuration = SignedDuration::from_mins(1);

/// Compares one paid link; again where its money moves meanwhile: such differences are none.
pub(super) async fn compare(house: &House, id: LinkId) -> Result<Compared, Refusal> {
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
