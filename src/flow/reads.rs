//! What this process remembers of its reads at Klarna: when it read which link, so that hints cause
//! no burst of them, and whether callbacks had announced what the polls found, so that polling may
//! be sparing. It is lost with the process; without it everything is read, and nothing is known.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::{SignedDuration, Timestamp};

use super::after;
use crate::link::LinkId;

/// Two reads of one link within this time would tell the same (failure-model, outcome:
/// duplicated, reordered, forged).
pub(super) const APART: SignedDuration = SignedDuration::from_secs(2);
/// With so many reads in memory, those that are too old to matter are forgotten.
const REMEMBERED: usize = 1024;
/// Callbacks are known to arrive where so many changes were found within [`RECENTLY`] and not more
/// than [`UNANNOUNCED`] of the last so many by a read that no callback had caused. Some are: a poll
/// that is as quick as the callback wins now and then.
const JUDGED: usize = 32;
const UNANNOUNCED: usize = 4;
const RECENTLY: SignedDuration = SignedDuration::from_hours(1);

/// See the module.
#[derive(Debug, Default)]
pub struct Reads {
    /// When each link was last read because somebody called or came back. (The row knows only of
    /// reads that had something to say.)
    last: Mutex<HashMap<LinkId, Timestamp>>,
    /// The last changes that were found, oldest first.
    found: Mutex<VecDeque<Found>>,
}

#[derive(Clone, Copy, Debug)]
struct Found {
    at: Timestamp,
    announced: bool,
}

impl Reads {
    /// Leave to read this link, or the time before which it would tell the same.
    pub(super) fn begin(&self, link: LinkId, now: Timestamp) -> Result<(), Timestamp> {
        let mut all = lock(&self.last);
        if let Some(last) = all.get(&link)
            && *last <= now
            && now < after(*last, APART)
        {
            return Err(after(*last, APART));
        }
        if all.len() >= REMEMBERED {
            all.retain(|_, last| now < after(*last, APART));
        }
        all.insert(link, now);
        Ok(())
    }

    /// A read of the watch found something that Klarna calls about; `announced` says that it had
    /// called.
    pub(super) fn found(&self, announced: bool, now: Timestamp) {
        let by = if announced { "callback" } else { "poll" };
        metrics::counter!("paylink_changes_found_total", "by" => by).increment(1);
        let mut found = lock(&self.found);
        if found.len() == JUDGED {
            found.pop_front();
        }
        found.push_back(Found { at: now, announced });
    }

    /// Whether callbacks are known to arrive.
    pub(super) fn callbacks_arrive(&self, now: Timestamp) -> bool {
        let found = lock(&self.found);
        // a clock that was set makes nothing recent
        let recent = |found: &&Found| {
            (SignedDuration::ZERO..RECENTLY).contains(&now.duration_since(found.at))
        };
        let missed = found.iter().filter(|found| !found.announced).count();
        found.iter().filter(recent).count() == JUDGED && missed <= UNANNOUNCED
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_is_read_once_in_two_seconds() {
        let reads = Reads::default();
        let start = Timestamp::UNIX_EPOCH;
        let link = super::super::tests::link(start).id;
        let at = |millis| start + SignedDuration::from_millis(millis);
        assert_eq!(reads.begin(link, at(0)), Ok(()));
        assert_eq!(reads.begin(link, at(1_999)), Err(at(2_000)));
        assert_eq!(reads.begin(link, at(2_000)), Ok(()));
        // a clock that was set back does not lock it out
        assert_eq!(reads.begin(link, at(0)), Ok(()));
        let other = LinkId::new(at(1), &crate::random::Random::seeded(8));
        assert_eq!(reads.begin(other, at(1)), Ok(()));
    }

    #[test]
    fn callbacks_are_known_to_arrive_by_what_they_announced() {
        let reads = Reads::default();
        let at = |minutes| Timestamp::UNIX_EPOCH + SignedDuration::from_mins(minutes);
        let find = |announced: bool, times: usize| {
            for _ in 0..times {
                reads.found(announced, at(0));
            }
        };
        assert!(!reads.callbacks_arrive(at(0)), "nothing is known at start");
        find(true, JUDGED - 1);
        assert!(!reads.callbacks_arrive(at(0)), "too few to judge by");
        find(true, 1);
        assert!(reads.callbacks_arrive(at(0)));
        assert!(reads.callbacks_arrive(at(59)));
        assert!(!reads.callbacks_arrive(at(60)), "long ago");
        assert!(!reads.callbacks_arrive(at(-1)), "the clock was set back");
        find(false, UNANNOUNCED);
        assert!(
            reads.callbacks_arrive(at(0)),
            "polls are quick now and then"
        );
        find(false, 1);
        assert!(!reads.callbacks_arrive(at(0)), "callbacks get lost");
        find(true, JUDGED - UNANNOUNCED - 1);
        assert!(!reads.callbacks_arrive(at(0)));
        find(true, 1);
        assert!(reads.callbacks_arrive(at(0)), "and come again");
    }
}
