//! *Watch*: the outcome of an open link is asked for on a falling schedule, because callbacks get
//! lost (failure-model, outcome: callback lost). A hint only makes the next read come sooner.
//! Where Klarna's limit leaves too few reads for all, and callbacks are known to arrive, links go on
//! by the schedule's last step: so there are as many quick reads as there is room for.

use jiff::{SignedDuration, Timestamp};

use super::observe;
use super::{House, Refusal, after};
use crate::link::{Link, Status};
use crate::store::{Claim, Job};

/// The first read after a link became payable.
pub(super) const FIRST: SignedDuration = SignedDuration::from_secs(15);
/// The last step of the schedule.
const SLOW: SignedDuration = SignedDuration::from_mins(10);
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
        return postpone(house, claim, due).await;
    }
    let pace = pace(&claim.job, house.reads.callbacks_arrive(now), now);
    match observe::read_back(house, &link).await {
        Ok(learned) => {
            if learned.is_move {
                house.reads.found(claim.hinted, now);
            }
            let due = if learned.is_final {
                last_look(&link, now)
            } else {
                Some(next(&link, pace, now))
            };
            match due {
                Some(due) => house.retry(claim, due).await,
                None => house.finish(claim).await,
            }
        }
        Err(Refusal::KlarnaUnavailable(..)) => {
            let due = next(&link, pace, now).max(after(now, FIRST));
            house.retry(claim, due).await
        }
        Err(refusal) => Err(refusal),
    }
}

/// The read comes later, and is still the one that Klarna called for.
async fn postpone(house: &House, claim: Claim, due_at: Timestamp) -> Result<(), Refusal> {
    house
        .store
        .write(move |tx| {
            if tx.again(&claim, due_at, false)? && claim.hinted {
                tx.hint(&Job {
                    due_at,
                    ..claim.job.clone()
                })?;
            }
            Ok::<_, Refusal>(())
        })
        .await
}

/// How a link's schedule goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pace {
    /// By its age.
    Falling,
    /// By the last step.
    Slow,
}

/// A read that begins a whole step after it was due says that there are more links than reads. (Or
/// that nothing was read for a while; then nothing is known of callbacks either.)
fn pace(job: &Job, callbacks_arrive: bool, now: Timestamp) -> Pace {
    let is_short = now.duration_since(job.due_at) > FIRST;
    if is_short && callbacks_arrive {
        Pace::Slow
    } else {
        Pace::Falling
    }
}

/// 15 s for 10 min, 1 min to 1 h, 10 min to the end, then 5 min after the end.
fn next(link: &Link, pace: Pace, now: Timestamp) -> Timestamp {
    let age = now.duration_since(link.created_at);
    let step = if pace == Pace::Slow {
        SLOW
    } else if age < SignedDuration::from_mins(10) {
        FIRST
    } else if age < SignedDuration::from_hours(1) {
        SignedDuration::from_mins(1)
    } else {
        SLOW
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
            let wait = |pace| next(&link, pace, now).duration_since(now).as_secs();
            assert_eq!(wait(Pace::Falling), step, "{age} minutes old");
            assert_eq!(wait(Pace::Slow), 600, "{age} minutes old");
        }
    }

    #[test]
    fn reads_are_spared_where_they_come_late_and_callbacks_come() {
        let due_at: Timestamp = "2026-11-24T12:00:00Z".parse().unwrap();
        let link = crate::flow::tests::link(due_at).id;
        let job = Job {
            kind: crate::store::JobKind::Watch,
            subject: link.to_string(),
            link,
            due_at,
        };
        let at = |seconds| due_at + SignedDuration::from_secs(seconds);
        for (late, callbacks_arrive, expected) in [
            (0, true, Pace::Falling),
            (15, true, Pace::Falling),
            (16, true, Pace::Slow),
            (16, false, Pace::Falling),
            (3_600, false, Pace::Falling),
        ] {
            assert_eq!(
                pace(&job, callbacks_arrive, at(late)),
                expected,
                "{late} s late"
            );
        }
    }
}
