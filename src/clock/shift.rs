//! A wall clock that leaps, for tests: `PAYLINK_CHAOS_CLOCK` names a file that says by how many
//! seconds it is wrong now. The monotonic clock is not touched, as in the world.

use std::path::PathBuf;
use std::sync::LazyLock;

static HAND: LazyLock<Option<PathBuf>> =
    LazyLock::new(|| std::env::var_os("PAYLINK_CHAOS_CLOCK").map(PathBuf::from));

/// The time that the wrong clock shows, microseconds since the epoch.
pub(super) fn shifted(micros: i64) -> i64 {
    let Some(hand) = HAND.as_ref() else {
        return micros;
    };
    let text = std::fs::read_to_string(hand).unwrap_or_default();
    let seconds: i64 = text.trim().parse().unwrap_or(0);
    micros.saturating_add(seconds.saturating_mul(1_000_000))
}
