//! Breaking on purpose, for tests only. With the cargo feature `chaos` a process crashes at a named
//! point of the path when told so, or has one known bug planted in it, so that the tests prove that
//! they would notice. Without the feature nothing of this is in the program; a build that is
//! optimised refuses the feature.
//!
//! * `PAYLINK_CRASH_AT=create.accepted`: abort at that [`Point`]; `PAYLINK_CRASH_AT=create.accepted:3`
//!   the third time that it is passed.
//! * `PAYLINK_PLANT=no_fence`: behave as if the program had that [`Bug`].

#[cfg(all(feature = "chaos", not(debug_assertions)))]
compile_error!("the feature `chaos` is for tests: it may not be in a release build");

/// Declares an enum of plain words with the list of all of them.
macro_rules! words {
    ($(#[$meta:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name {
            $($(#[$doc])* $variant,)+
        }

        impl $name {
            /// All of them, in the order of the path.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The word by which a test names it.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)+
                }
            }
        }
    };
}

words! {
    /// A boundary of the path: directly before or after something became durable or left.
    Point {
        /// The sale is stored; Klarna has not been asked.
        CreateAccepted = "create.accepted",
    }
}

words! {
    /// A mistake that the tests must notice.
    Bug {
        /// Later writes about a job do not ask whether the claim still stands.
        NoFence = "no_fence",
    }
}

/// Passes a point; crashes there if a test wants it.
#[cfg(not(feature = "chaos"))]
#[inline(always)]
pub const fn at(_: Point) {}

/// Whether a test has planted this bug.
#[cfg(not(feature = "chaos"))]
#[inline(always)]
pub const fn planted(_: Bug) -> bool {
    false
}

#[cfg(feature = "chaos")]
pub use active::{at, planted};

#[cfg(feature = "chaos")]
mod active {
    use std::sync::LazyLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::{Bug, Point};

    struct Crash {
        point: Point,
        /// Passes that are left, this one included.
        passes: AtomicU64,
    }

    static CRASH: LazyLock<Option<Crash>> = LazyLock::new(|| {
        let wanted = std::env::var("PAYLINK_CRASH_AT").ok()?;
        let (word, passes) = match wanted.split_once(':') {
            Some((word, passes)) => (word, passes.parse().ok()?),
            None => (wanted.as_str(), 1),
        };
        let point = Point::ALL.iter().find(|it| it.as_str() == word)?;
        Some(Crash {
            point: *point,
            passes: AtomicU64::new(passes),
        })
    });

    static PLANTED: LazyLock<Option<Bug>> = LazyLock::new(|| {
        let wanted = std::env::var("PAYLINK_PLANT").ok()?;
        Bug::ALL.iter().find(|it| it.as_str() == wanted).copied()
    });

    /// Passes a point; crashes there if a test wants it. Nothing is unwound or flushed: to the
    /// outside it is `kill -9`.
    pub fn at(point: Point) {
        if let Some(crash) = CRASH.as_ref()
            && crash.point == point
            && crash.passes.fetch_sub(1, Ordering::SeqCst) == 1
        {
            std::process::abort();
        }
    }

    /// Whether a test has planted this bug.
    pub fn planted(bug: Bug) -> bool {
        *PLANTED == Some(bug)
    }
}
