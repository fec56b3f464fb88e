//! Chance as an argument: ids, nonces and jitter come from a [`Random`], so that a test can repeat
//! a run from its seed.

use std::sync::{Arc, Mutex, PoisonError};

use rand::rngs::{StdRng, SysRng};
use rand::{Rng, SeedableRng, TryRng};

/// A source of random bytes. Clones share one stream.
#[derive(Clone, Debug)]
pub struct Random(Source);

#[derive(Clone, Debug)]
enum Source {
    Os,
    Seeded(Arc<Mutex<StdRng>>),
}

impl Random {
    /// The operating system's generator: the only one fit for secrets.
    pub fn os() -> Self {
        Self(Source::Os)
    }

    /// A repeatable stream, for tests and for printing the seed of a failing run.
    pub fn seeded(seed: u64) -> Self {
        Self(Source::Seeded(Arc::new(Mutex::new(StdRng::seed_from_u64(
            seed,
        )))))
    }

    /// `N` random bytes.
    ///
    /// # Panics
    /// Where the operating system cannot give randomness: no id and no key could be made, and going
    /// on without would be worse than stopping.
    pub fn bytes<const N: usize>(&self) -> [u8; N] {
        let mut out = [0; N];
        match &self.0 {
            Source::Os => SysRng
                .try_fill_bytes(&mut out)
                .expect("the operating system gives random bytes"),
            Source::Seeded(rng) => rng
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .fill_bytes(&mut out),
        }
        out
    }

    /// A whole number below `bound`; 0 where `bound` is 0. Good for jitter, not for keys.
    pub fn below(&self, bound: u64) -> u64 {
        let draw = u128::from(u64::from_le_bytes(self.bytes()));
        u64::try_from((draw * u128::from(bound)) >> 64).unwrap_or(0)
    }

    /// A random (version 4) UUID.
    pub fn uuid(&self) -> uuid::Uuid {
        uuid::Builder::from_random_bytes(self.bytes()).into_uuid()
    }
}
