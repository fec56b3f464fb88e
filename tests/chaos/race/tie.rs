//! Where a race is even, learned from the races themselves.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use super::{Start, micros};

/// The lead of the agent at which both win as often. It goes a step towards whoever lost: large ones
/// at first, small ones later (Robbins and Monro), by the measure of what a disable takes just now.
#[derive(Default)]
pub(super) struct Tie {
    lead: AtomicI64,
    raced: AtomicI64,
    /// What a disable takes, a sliding mean: the step must not depend on who won.
    takes: AtomicI64,
}

impl Tie {
    /// Parts of a disable's time that a step has.
    const FIRST_STEP: i64 = 16;
    const LAST_STEP: i64 = 256;

    pub(super) fn learns(&self, buyer_won: bool, took: Duration) {
        let raced = self.raced.fetch_add(1, Ordering::Relaxed);
        let before = self.takes.load(Ordering::Relaxed);
        let takes = before + (micros(took) - before) / (1 + raced).min(Self::FIRST_STEP);
        self.takes.store(takes, Ordering::Relaxed);
        let step = takes / (Self::FIRST_STEP + raced).min(Self::LAST_STEP);
        let step = if buyer_won { step } else { -step };
        self.lead.fetch_add(step, Ordering::Relaxed);
    }

    /// The lead at the tie, as far as it is known, microseconds.
    pub(super) fn learned(&self) -> i64 {
        self.lead.load(Ordering::Relaxed)
    }

    /// How far the agent is to be ahead, microseconds.
    pub(super) fn lead(&self, start: &Start) -> i64 {
        let apart = micros(start.apart);
        let apart = if start.agent_first { apart } else { -apart };
        self.learned() + apart
    }
}

#[test]
fn the_tie_is_found_wherever_it_is() {
    for behind in [-200_000, 0, 40_000, 900_000] {
        let (tie, mut rng) = (Tie::default(), super::super::rng("the tie"));
        let mut bought = 0;
        for round in 0..1_000 {
            let start = Start::drawn(round, &mut rng);
            let buyer_won = tie.lead(&start) < behind;
            bought += u32::from(buyer_won);
            // a disable that loses takes longer
            tie.learns(
                buyer_won,
                Duration::from_millis(if buyer_won { 1_500 } else { 800 }),
            );
        }
        assert!(
            (400..=600).contains(&bought),
            "{bought} of 1000 with the buyer {behind} µs behind"
        );
    }
}
