//! Looks at races that were run, many at a time, and says which broke a law.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use serde_json::Value;
use tokio::sync::mpsc;
use tokio::time::sleep;

use super::{BATCH, Raced, text};
use crate::chaos::patient;
use crate::chaos::table::Run;
use crate::outside::harness::http::Caller;
use crate::outside::harness::simulator::Klarna;
use crate::outside::harness::world::id;

/// Links, sessions and orders of one look: a batch, those left over before, those that race meanwhile.
const NEWEST: usize = BATCH + BATCH / 2;
/// A race is looked at this long after its end at the earliest: most are over by then, and what is
/// over need not be asked about again.
const RIPE: Duration = Duration::from_secs(1);
/// A link and Klarna must agree within this time.
const AGREED: Duration = Duration::from_secs(40);
/// Each side wins at least so many of a hundred races. Else they race in name only.
const FAIR: u32 = 30;

/// How one race ended, on both sides.
#[derive(Clone, Debug)]
struct Seen {
    /// The disable's answer, and the status in it.
    answered: u16,
    said: String,
    /// The link's end.
    ended: String,
    /// Klarna's session at the end: COMPLETED or DISABLED.
    session: String,
    /// Klarna holds an authorisation.
    taken: bool,
    /// Whether anybody was told that it was paid after all.
    told_late: bool,
}

impl Seen {
    /// Nothing of it changes any more, unless a law is broken.
    fn is_over(&self) -> bool {
        let paid = self.ended == "completed";
        let agrees = (self.session == "COMPLETED") == paid && self.taken == paid;
        let must_tell = paid && self.answered == 200;
        agrees && (paid || self.ended == "disabled") && (!must_tell || self.told_late)
    }
}

/// What is wrong with it: one side says what the other does not.
fn wrong(seen: &Seen) -> Vec<&'static str> {
    let mut wrong = Vec::new();
    let mut law = |holds: bool, what: &'static str| {
        if !holds {
            wrong.push(what);
        }
    };
    let paid = seen.ended == "completed";
    law(
        paid || seen.ended == "disabled",
        "the link has no end, or another one",
    );
    law(
        paid == seen.taken,
        "the link's end and Klarna's money differ",
    );
    law(
        (seen.session == "COMPLETED") == seen.taken,
        "Klarna's session and its order differ: the simulator is wrong",
    );
    law(
        seen.session == if paid { "COMPLETED" } else { "DISABLED" },
        "the session's end is not the link's",
    );
    match (seen.answered, seen.said.as_str()) {
        // said to be dead and paid all the same: somebody must be told
        (200, "disabled") => law(!paid || seen.told_late, "money on a dead link, unnoticed"),
        (202, "disabling") => {}
        (409, "already_completed") => law(paid, "called completed, and is not"),
        _ => law(false, "the disable's answer is none of the three"),
    }
    law(
        !seen.told_late || paid,
        "told to be paid after all, and is not",
    );
    wrong
}

/// Looks at races that were run, and judges those that are over.
pub(super) struct Judge {
    agent: Caller,
    klarna: Klarna,
    waiting: Vec<Raced>,
    /// Links of which it was told that they were paid after all, and how far the events are read.
    told_late: HashSet<String>,
    read_to: Option<String>,
    run: Run,
    judged: u32,
    paid: u32,
}

impl Judge {
    pub(super) fn new(agent: Caller, klarna: Klarna, run: Run) -> Self {
        Self {
            agent,
            klarna,
            waiting: Vec::new(),
            told_late: HashSet::new(),
            read_to: None,
            run,
            judged: 0,
            paid: 0,
        }
    }

    /// Until the last race is judged.
    pub(super) async fn sits(mut self, mut races: mpsc::Receiver<Raced>) -> Run {
        let mut fresh = 0;
        loop {
            let more = races.recv_many(&mut self.waiting, BATCH).await;
            fresh += more;
            if more > 0 && fresh < BATCH {
                continue;
            }
            fresh = 0;
            for (raced, seen) in self.looks().await {
                self.judges(&raced, &seen);
            }
            if more == 0 {
                if self.waiting.is_empty() {
                    break;
                }
                sleep(RIPE).await;
            }
        }
        self.holds_fairness();
        self.run
    }

    fn judges(&mut self, raced: &Raced, seen: &Seen) {
        let run = &mut self.run;
        for what in wrong(seen) {
            run.violated(format!("{raced}: {what}: {seen:?}"));
        }
        run.count(&seen.ended, 1_u32);
        run.count(&format!("answered {}", seen.answered), 1_u32);
        run.count("told late", u32::from(seen.told_late));
        run.progress(self.judged);
        self.judged += 1;
        self.paid += u32::from(seen.ended == "completed");
    }

    fn holds_fairness(&mut self) {
        // a few rounds go by until the tie is known
        if self.judged < 300 {
            return;
        }
        let (paid, judged) = (self.paid, self.judged);
        let fair = judged * FAIR / 100;
        self.run.holds((fair..=judged - fair).contains(&paid), || {
            format!("{paid} of {judged} were won by the buyer: the race is none")
        });
    }

    /// Takes those out that are over, or should be.
    async fn looks(&mut self) -> Vec<(Raced, Seen)> {
        let (ripe, green): (Vec<_>, Vec<_>) = std::mem::take(&mut self.waiting)
            .into_iter()
            .partition(|raced| raced.over.elapsed() >= RIPE);
        self.waiting = green;
        // ours first and Klarna afterwards: an end that was read stays
        let ends = self.ends().await;
        self.hears().await;
        let (sessions, orders) = (
            self.klarna.last_sessions(NEWEST),
            self.klarna.last_orders(NEWEST),
        );
        let (sessions, orders) = tokio::join!(sessions, orders);
        let statuses = by_id(&sessions, "session_id", |session| text(&session["status"]));
        let taken = by_id(&orders, "order_id", |order| order["om"].is_object());
        let mut over = Vec::new();
        for raced in ripe {
            // one that has taken longer than those after it is asked about alone
            let ended = match ends.get(&raced.link) {
                Some(ended) => ended.clone(),
                None => text(&patient::link(&self.agent, &raced.link).await["status"]),
            };
            let session = match statuses.get(&raced.session) {
                Some(status) => status.clone(),
                None => {
                    text(&self.klarna.one_session(&raced.session.clone().into()).await["status"])
                }
            };
            let taken = match taken.get(&raced.order) {
                Some(taken) => *taken,
                None => self.klarna.one_order(&raced.order.clone().into()).await["om"].is_object(),
            };
            let seen = Seen {
                answered: raced.answered,
                said: raced.said.clone(),
                ended,
                session,
                taken,
                told_late: self.told_late.contains(&raced.link),
            };
            if seen.is_over() || raced.over.elapsed() > AGREED {
                over.push((raced, seen));
            } else {
                self.waiting.push(raced);
            }
        }
        over
    }

    /// The status of the newest links.
    async fn ends(&self) -> HashMap<String, String> {
        let mut ends = HashMap::new();
        let mut from = String::new();
        while ends.len() < NEWEST {
            let list = patient::get(&self.agent, &format!("/v1/links?limit=100{from}")).await;
            for link in list["data"].as_array().expect("data is a list") {
                ends.insert(id(link).to_owned(), text(&link["status"]));
            }
            let Some(next) = list["next_cursor"].as_str() else {
                break;
            };
            from = format!("&cursor={next}");
        }
        ends
    }

    /// Who was told that a dead link was paid, since the last look.
    async fn hears(&mut self) {
        loop {
            let from = self.read_to.as_ref().map(|to| format!("&after={to}"));
            let path = format!(
                "/v1/events?type=link.paid_after_disable&limit=100{}",
                from.unwrap_or_default()
            );
            let list = patient::get(&self.agent, &path).await;
            let events = list["data"].as_array().expect("data is a list");
            self.told_late
                .extend(events.iter().map(|event| text(&event["link"])));
            self.read_to = list["next_cursor"].as_str().map(str::to_owned);
            if events.is_empty() {
                return;
            }
        }
    }
}

fn by_id<T>(list: &[Value], name: &str, what: impl Fn(&Value) -> T) -> HashMap<String, T> {
    let pairs = list.iter().map(|one| (text(&one[name]), what(one)));
    pairs.collect()
}

#[test]
fn each_law_can_be_broken() {
    let seen = |answered, said: &str, ended: &str, session: &str, taken, told_late| Seen {
        answered,
        said: said.to_owned(),
        ended: ended.to_owned(),
        session: session.to_owned(),
        taken,
        told_late,
    };
    assert!(wrong(&seen(200, "disabled", "disabled", "DISABLED", false, false)).is_empty());
    assert!(
        wrong(&seen(
            202,
            "disabling",
            "completed",
            "COMPLETED",
            true,
            false
        ))
        .is_empty()
    );
    assert!(wrong(&seen(200, "disabled", "completed", "COMPLETED", true, true)).is_empty());
    for broken in [
        seen(200, "disabled", "disabled", "COMPLETED", true, false),
        seen(200, "disabled", "completed", "COMPLETED", true, false),
        seen(200, "disabled", "completed", "DISABLED", false, true),
        seen(
            409,
            "already_completed",
            "disabled",
            "DISABLED",
            false,
            false,
        ),
        seen(202, "disabling", "disabling", "DISABLED", false, false),
        seen(500, "", "disabled", "DISABLED", false, false),
        seen(200, "disabled", "disabled", "DISABLED", false, true),
    ] {
        assert!(!wrong(&broken).is_empty(), "{broken:?}");
    }
}
