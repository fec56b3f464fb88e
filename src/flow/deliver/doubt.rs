//! Messages that may have left: what is known of the attempts before, and whether the other side
//! promises that the same name twice is one message (failure-model R3, R4).

use jiff::{SignedDuration, Timestamp};

use crate::flow::{House, MailUnknown, Refusal, after};
use crate::link::{Channel, DeliveryId};
use crate::store::Tx;

/// After this time a text message of unknown outcome stays so, for a person (failure-model R4).
const PERSONS: SignedDuration = SignedDuration::from_mins(30);

/// Attempts of which nobody can tell whether the message left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Doubt {
    /// When the first of them began.
    since: Timestamp,
    times: usize,
}

impl Doubt {
    pub(super) fn of(tx: &mut Tx, id: DeliveryId) -> Result<Option<Self>, Refusal> {
        let begun = tx.doubtful_attempts(id)?;
        Ok(begun.first().map(|since| Self {
            since: *since,
            times: begun.len(),
        }))
    }

    /// With one more that began at `now`.
    pub(super) fn more(before: Option<Self>, now: Timestamp) -> Self {
        before.map_or(
            Self {
                since: now,
                times: 1,
            },
            |it| Self {
                times: it.times + 1,
                ..it
            },
        )
    }
}

/// Where the other side promises that the same name twice is one message: a gateway's idempotency
/// window, or the operator's word for mail. Else a message of unknown outcome is not sent again.
#[derive(Clone, Copy, Debug)]
pub(super) struct Repeats {
    mail: MailUnknown,
    sms: Option<SignedDuration>,
}

impl Repeats {
    pub(super) fn of(house: &House) -> Self {
        let window = house
            .sms
            .as_ref()
            .and_then(|gateway| gateway.abilities().idempotency_window);
        Self {
            mail: house.settings.mail_unknown,
            sms: window.and_then(|it| SignedDuration::try_from(it).ok()),
        }
    }

    /// Whether a message in doubt may be sent at `due`. A mail once more, with the same Message-ID; a
    /// text under the same id for as long as the gateway knows it, and within 30 minutes.
    pub(super) fn allow(self, channel: Channel, doubt: Doubt, due: Timestamp) -> bool {
        match channel {
            Channel::Email => self.mail == MailUnknown::ResendOnce && doubt.times < 2,
            Channel::Sms => self
                .sms
                .is_some_and(|window| due < after(doubt.since, window.min(PERSONS))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_have_left_is_sent_again_only_under_a_promise() {
        let start: Timestamp = "2026-11-24T12:00:00Z".parse().unwrap();
        let at = |seconds| after(start, SignedDuration::from_secs(seconds));
        let doubt = |times| Doubt {
            since: start,
            times,
        };
        let repeats = |mail, sms: Option<i64>| Repeats {
            mail,
            sms: sms.map(SignedDuration::from_secs),
        };
        let none = repeats(MailUnknown::Ask, None);
        assert!(!none.allow(Channel::Email, doubt(1), at(1)));
        assert!(!none.allow(Channel::Sms, doubt(1), at(1)));
        let once = repeats(MailUnknown::ResendOnce, None);
        assert!(once.allow(Channel::Email, doubt(1), at(9_000)));
        assert!(!once.allow(Channel::Email, doubt(2), at(1)));
        assert!(!once.allow(Channel::Sms, doubt(1), at(1)));
        let day = repeats(MailUnknown::Ask, Some(86_400));
        assert!(day.allow(Channel::Sms, doubt(7), at(1_799)));
        assert!(!day.allow(Channel::Sms, doubt(1), at(1_800)), "a person's");
        let minute = repeats(MailUnknown::Ask, Some(60));
        assert!(minute.allow(Channel::Sms, doubt(1), at(59)));
        assert!(!minute.allow(Channel::Sms, doubt(1), at(60)));
        let first = Doubt::more(None, at(5));
        assert_eq!((first.since, first.times), (at(5), 1));
        let second = Doubt::more(Some(first), at(9));
        assert_eq!((second.since, second.times), (at(5), 2));
    }
}
