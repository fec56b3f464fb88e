//! Where the chance of a run comes from, and how long it is. Knows no scenario.
//!
//! * `PAYLINK_CHAOS_SEED`: the number that a run printed; without it each test process draws one.
//! * `PAYLINK_CHAOS_ROUNDS`: so many rounds of every scenario, whatever its own counts are.
//! * `PAYLINK_CHAOS_LONG=1`: the long column of the table.

use std::sync::LazyLock;

use rand::SeedableRng;
use rand::rngs::StdRng;

static SEED: LazyLock<u64> = LazyLock::new(|| match number("PAYLINK_CHAOS_SEED") {
    Some(seed) => seed,
    // short enough to be read aloud, long enough that no two nights see the same
    None => u64::from(getrandom::u32().expect("the system has chance")),
});

fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok().filter(|text| !text.is_empty())?;
    let number = text.parse();
    Some(number.unwrap_or_else(|error| panic!("{name}={text}: {error}")))
}

/// The seed of this run, the same for all its scenarios.
pub fn seed() -> u64 {
    *SEED
}

/// Whether the long column is wanted.
pub fn is_long() -> bool {
    std::env::var("PAYLINK_CHAOS_LONG").is_ok_and(|text| text == "1")
}

/// How many rounds a scenario has: `short` in CI, `long` where the long column is wanted, or what
/// the caller of the run asked for. Says it together with the seed.
pub fn rounds(scenario: &str, short: u32, long: u32) -> u32 {
    let own = if is_long() { long } else { short };
    let rounds = number("PAYLINK_CHAOS_ROUNDS").map_or(own, |wanted| {
        u32::try_from(wanted).expect("PAYLINK_CHAOS_ROUNDS fits 32 bits")
    });
    eprintln!("{scenario}: {rounds} rounds, seed {}", seed());
    rounds
}

/// The chance of one scenario. Two scenarios of a run don't share theirs, so each can be repeated
/// alone. `rng("kills sqlite 7")` is a round's own: what a round does then depends on nothing that
/// earlier ones drew.
pub fn rng(scenario: &str) -> StdRng {
    // FNV-1a: stable over versions of Rust, which the standard hasher is not
    let name = scenario.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    StdRng::seed_from_u64(seed() ^ name)
}
