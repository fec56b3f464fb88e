//! Spend and abuse: how much one caller and one recipient may cost in a time (`contract.md`,
//! Settings: default limits). Asked inside a verb's transaction, counted from the ledger itself,
//! so that replicas share them and a restart forgets nothing.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::{Refusal, after};
use crate::access::{Caller, Role};
use crate::link::{Channel, Recipient};
use crate::store::Tx;

/// The limits; 0 = none.
#[derive(Clone, Copy, Debug, Default)]
pub struct Limits {
    /// Links of one agent (or agent's key) in an hour.
    pub agent_links_per_hour: u32,
    /// Links of one tablet in an hour.
    pub tablet_links_per_hour: u32,
    /// Links of one integrator's key in an hour.
    pub integrator_links_per_hour: u32,
    /// SMS to one number in a minute.
    pub sms_per_minute: u32,
    /// SMS to one number in a day.
    pub sms_per_day: u32,
    /// Mails to one address in a day.
    pub mails_per_day: u32,
}

const MINUTE: i64 = 60;
const HOUR: i64 = 3_600;
const DAY: i64 = 86_400;

fn since(now: Timestamp, seconds: i64) -> Timestamp {
    after(now, SignedDuration::from_secs(-seconds))
}

/// How long until `at` has left the window that now begins at `begin`: whole seconds, at least one.
fn until_passed(at: Timestamp, begin: Timestamp) -> Duration {
    let millis = at.duration_since(begin).as_millis().max(0);
    let seconds = u64::try_from(millis).unwrap_or(0) / 1_000 + 1;
    Duration::from_secs(seconds)
}

impl Limits {
    /// May this caller create one more link now?
    pub(super) fn link(
        &self,
        tx: &mut Tx,
        caller: &Caller,
        agent: Option<&str>,
        now: Timestamp,
    ) -> Result<(), Refusal> {
        // on whose behalf counts, where it was said; an agent's own key else
        let agents = match (agent, caller.role) {
            (Some(_), _) | (None, Role::Agent) => self.agent_links_per_hour,
            (None, _) => 0,
        };
        let keys = match caller.role {
            Role::Tablet => self.tablet_links_per_hour,
            Role::Integrator => self.integrator_links_per_hour,
            Role::Agent | Role::Supervisor | Role::Auditor | Role::Admin => 0,
        };
        for (most, whose) in [(agents, agent), (keys, None)] {
            if most == 0 {
                continue;
            }
            let within = since(now, HOUR);
            if let Some(oldest) = tx.nth_link_since(caller.actor, whose, within, most)? {
                return Err(Refusal::RateLimited(until_passed(oldest, within)));
            }
        }
        Ok(())
    }

    /// May one more message go to `to` now?
    pub(super) fn recipient(
        &self,
        tx: &mut Tx,
        to: &Recipient,
        now: Timestamp,
    ) -> Result<(), Refusal> {
        let windows: &[(u32, i64)] = match to.channel() {
            Channel::Sms => &[(self.sms_per_minute, MINUTE), (self.sms_per_day, DAY)],
            Channel::Email => &[(self.mails_per_day, DAY)],
        };
        for (most, seconds) in windows {
            if *most == 0 {
                continue;
            }
            let count = tx.count_deliveries_to(to, since(now, *seconds))?;
            if count >= i64::from(*most) {
                // the oldest message of the window leaves it at the latest when the window has passed
                let wait = u64::try_from(*seconds).unwrap_or(60).min(3_600);
                return Err(Refusal::SendRateLimited(Duration::from_secs(wait)));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_ends_when_the_oldest_has_left_the_window() {
        let now: Timestamp = "2026-11-24T12:00:00Z".parse().unwrap();
        let begin = since(now, HOUR);
        for (made, wait) in [
            ("2026-11-24T11:00:00Z", 1),
            ("2026-11-24T11:00:00.500Z", 1),
            ("2026-11-24T11:10:00Z", 601),
            ("2026-11-24T12:00:00Z", 3_601),
        ] {
            let wait = Duration::from_secs(wait);
            assert_eq!(until_passed(made.parse().unwrap(), begin), wait, "{made}");
        }
    }
}
