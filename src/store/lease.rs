//! In whose name a process claims, and for how long (failure-model R2). Whoever writes the end of a
//! lease, watches it or renews it in time asks here. Knows no SQL and no job.

use std::time::Duration;

/// In whose name a process claims.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    owner: String,
}

impl Lease {
    /// The lease of a process that calls itself `owner`: unique for each start.
    pub fn of(owner: impl Into<String>) -> Self {
        Self {
            owner: owner.into(),
        }
    }

    /// The name.
    pub fn owner(&self) -> &str {
        &self.owner
    }

    /// How long a lease lasts on PostgreSQL, by the database's clock, from its claim or its last
    /// renewal.
    #[cfg(not(feature = "chaos"))]
    pub const fn length() -> Duration {
        LENGTH
    }

    /// The same; a test that waits for the end of many leases may make them shorter.
    #[cfg(feature = "chaos")]
    pub fn length() -> Duration {
        *hurried::LENGTH
    }
}

/// failure-model R2.
const LENGTH: Duration = Duration::from_mins(1);

#[cfg(feature = "chaos")]
mod hurried {
    use std::sync::LazyLock;
    use std::time::Duration;

    /// `PAYLINK_CHAOS_LEASE_MS`. Work stops 3 s before the end of its lease, and a busy machine may
    /// miss a beat or two: below ten seconds leases get lost that nobody took.
    pub(super) static LENGTH: LazyLock<Duration> = LazyLock::new(|| {
        let millis = std::env::var("PAYLINK_CHAOS_LEASE_MS").ok();
        let millis = millis.and_then(|text| text.parse().ok());
        millis.map_or(super::LENGTH, Duration::from_millis)
    });
}
