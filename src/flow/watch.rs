//! *Watch*: the outcome of an open link is asked for on a falling schedule, because callbacks get
//! lost (failure-model, outcome: callback lost). A hint only makes the next read come sooner.

use jiff::{SignedDuration, Timestamp};

use super::observe::{self, Learned};
use super::{House, Refusal, after};
use crate::link::{Link, Status};
use crate::store::Claim;

/// The first read after a link became payable.
pub(super) const FIRST: SignedDuration = SignedDuration::from_secs(15);
/// After Klarna's end the session is read once more.
const AFTER_END: SignedDuration = SignedDuration::from_mins(5);
/// When a KCO order is gone for certain; a closed link's order is read once more then.
const ORDER_LIFE: SignedDuration = SignedDuration::from_hours(48);

/// Reads Klarna about one link and says when to read again.
pub(super) async fn watch(house: &House, claim: Claim) -> Result<(), Refusal> {
    let id = claim.job.link;
    let Some(link) = house.store.read(move |tx| tx.link(id)).await? else {
        return house.finish(claim).await;
    };
    let now = house.clock.now();
    // hints come in bursts, and each makes this job due
    if let Err(due) = house.reads.begin(id, now) {
        return house.retry(claim, due).await;
    }
    match observe::read_back(house, &link).await {
        Ok(Learned::Open) => house.retry(claim, next(&link, now)).await,
        Ok(Learned::Final) => match last_look(&link, now) {
            Some(due) => house.retry(claim, due).await,
            None => house.finish(claim).await,
        },
        Err(Refusal::KlarnaUnavailable(..)) => {
            let due = next(&link, now).max(after(now, FIRST));
            house.retry(claim, due).await
        }
        Err(refusal) => Err(refusal),
    }
}

/// 15 s for 10 min, 1 min to 1 h, 10 min to the end, then 5 min after the end.
fn next(link: &Link, now: Timestamp) -> Timestamp {
    let age = now.duration_since(link.created_at);
    let step = if age < SignedDuration::from_mins(10) {
        FIRST
    } else if age < SignedDuration::from_hours(1) {
        SignedDuration::from_mins(1)
    } else {
        SignedDuration::from_mins(10)
    };
    let due = after(now, step);
    match link.klarna.expires_at {
        Some(end) if now < end && due > end => after(end, AFTER_END),
        _ => due,
    }
}

/// A link that was closed while its order still lives is looked at once more when it cannot be
/// paid any longer: a payment that slipped through must come to light.
fn last_look(link: &Link, now: Timestamp) -> Option<Timestamp> {
    let closed = matches!(
        link.stage.status(),
        Status::Open | Status::Disabling | Status::Cancelled | Status::Disabled | Status::Expired
    );
    let end = after(link.created_at, ORDER_LIFE);
    (closed && link.stage.pair().is_some() && now < end).then_some(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schedule_falls() {
        let start: Timestamp = "2026-11-24T12:00:00Z".parse().unwrap();
        let link = crate::flow::tests::link(start);
        for (age, step) in [
            (0, 15),
            (9, 15),
            (10, 60),
            (59, 60),
            (60, 600),
            (2_000, 600),
        ] {
            let now = after(start, SignedDuration::from_mins(age));
            let wait = next(&link, now).duration_since(now);
            assert_eq!(wait.as_secs(), step, "{age} minutes old");
        }
    }
}
