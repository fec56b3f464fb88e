//! Breaking on purpose, for tests only. With the cargo feature `chaos` a process crashes at a named
//! point of the path when told so, or has one known bug planted in it, so that the tests prove that
//! they would notice. Without the feature nothing of this is in the program; a build that is
//! optimised refuses the feature.
//!
//! * `PAYLINK_CRASH_AT=create.accepted`: abort at that [`Point`]; `PAYLINK_CRASH_AT=create.accepted:3`
//!   the third time that it is passed.
//! * `PAYLINK_PAUSE_AT`, `PAYLINK_PANIC_AT`, in the same words: stop there until somebody sends
//!   SIGCONT, panic there.
//! * `PAYLINK_PLANT=no_fence`: behave as if the program had that [`Bug`].
//!
//! Of three waits and clocks their own rooms make another under the same feature:
//! `PAYLINK_CHAOS_LEASE_MS` (`store`), `PAYLINK_CHAOS_SMTP_MS` (`channel`), `PAYLINK_CHAOS_CLOCK`
//! (`clock`).
//!
//! A word that names nothing ends the process with exit code 2.

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
        /// What a dead process of this file held is free; nothing is claimed yet.
        StartFreed = "start.freed",
        /// A write is whole and not committed. Of every write of the process: count.
        StoreUncommitted = "store.uncommitted",
        /// A write is durable and its caller does not know. Of every write of the process: count.
        StoreCommitted = "store.committed",
        /// Events of others have their places, uncommitted (PostgreSQL).
        RelayStamped = "relay.stamped",
        /// The sale is understood; nothing is stored.
        CreateWanted = "create.wanted",
        /// The old link of the reference is closed; the new sale is not stored.
        CreateMadeWay = "create.made_way",
        /// Everything speaks for the sale; of a request without a key nothing is written.
        CreateWeighed = "create.weighed",
        /// The sale is stored; Klarna has not been asked.
        CreateAccepted = "create.accepted",
        /// How a keyed request is answered is written, uncommitted.
        IdempotencySettled = "idempotency.settled",
        /// A pair is about to be asked for.
        OpenBegun = "open.begun",
        /// Klarna has the order, and no session of it.
        OpenOrdered = "open.ordered",
        /// Klarna has the pair; we have written nothing of it.
        OpenPaired = "open.paired",
        /// The link is payable; the caller has no answer.
        OpenWritten = "open.written",
        /// Klarna gave no pair, and it is written when it is asked again.
        OpenPutOff = "open.put_off",
        /// Klarna refused for good, and it is written so.
        OpenFailed = "open.failed",
        /// Another message is wanted, durably; the caller has no answer.
        SendQueued = "send.queued",
        /// A job is claimed and not begun.
        WorkerClaimed = "worker.claimed",
        /// A job has come to its end.
        WorkerDone = "worker.done",
        /// The attempt's row is written, uncommitted; no byte has left.
        DeliverDecided = "deliver.decided",
        /// The attempt's row is durable; no byte has left.
        DeliverBegun = "deliver.begun",
        /// The message has left; nothing is written of it.
        DeliverLeft = "deliver.left",
        /// What the message came to is durable.
        DeliverWritten = "deliver.written",
        /// The link is being closed, durably; Klarna has not been asked.
        DisableIntended = "disable.intended",
        /// Klarna has answered the DELETE; nothing was read.
        DisableDeleted = "disable.deleted",
        /// The payment was read back; nothing is written of it.
        DisableRead = "disable.read",
        /// The link is closed, durably.
        DisableWritten = "disable.written",
        /// The order of a closed link is about to be aborted.
        AbortBegun = "abort.begun",
        /// The order is aborted; nothing is written of it.
        AbortDone = "abort.done",
        /// The end of a link has come, and it is being closed, durably.
        ExpireWritten = "expire.written",
        /// Klarna's call is noted, durably; it has no answer.
        HintRecorded = "hint.recorded",
        /// Klarna was read; nothing is written of it.
        ObserveRead = "observe.read",
        /// What Klarna said is durable.
        ObserveWritten = "observe.written",
        /// Order Management was read; nothing is written of it.
        SettleRead = "settle.read",
        /// What Order Management said is durable.
        SettleWritten = "settle.written",
        /// The order is about to be acknowledged.
        SettleUnacknowledged = "settle.unacknowledged",
        /// The order is acknowledged; nothing is written of it.
        SettleAcknowledged = "settle.acknowledged",
        /// That the order is acknowledged is durable.
        SettleNoted = "settle.noted",
        /// The old link is closed; the one that takes its place is not stored.
        RenewMadeWay = "renew.made_way",
        /// An operation on money is wanted, durably; Klarna has not been asked.
        OperateIntended = "operate.intended",
        /// Klarna has answered an operation; nothing is written of it.
        OperateCalled = "operate.called",
        /// What an operation came to is durable.
        OperateWritten = "operate.written",
        /// That a payment is about to end is told, durably.
        RemindWritten = "remind.written",
    }
}

words! {
    /// A mistake that the tests must notice.
    Bug {
        /// A message leaves without evidence that it was about to.
        NoAttemptRow = "no_attempt_row",
        /// SQLite acknowledges what is not on the disk.
        SynchronousNormal = "synchronous_normal",
        /// SQLite's writer takes its lock at the first write, after it has read.
        DeferredBegin = "deferred_begin",
        /// A gateway's 5xx is taken for "it did not leave".
        RetrySms5xx = "retry_sms_5xx",
        /// Whoever calls as Klarna is believed.
        BelieveCallback = "believe_callback",
        /// Later writes about a job do not ask whether the claim still stands.
        NoFence = "no_fence",
        /// An old claim is not confirmed before the first byte.
        NoConfirmation = "no_confirmation",
        /// A link is closed without a look at whether it was paid.
        DisableBeatsPaid = "disable_beats_paid",
        /// A message leaves before its attempt's row is committed.
        SendBeforeCommit = "send_before_commit",
        /// An idempotency key is everybody's.
        KeyUnscoped = "key_unscoped",
        /// A redirect of Klarna's is followed.
        FollowRedirect = "follow_redirect",
        /// After an unknown COMMIT the witness is looked up, not waited for.
        PlainLookup = "plain_lookup",
        /// The stream is read on from an event's id, not from its position.
        EventsById = "events_by_id",
        /// Work that outlives its request runs on the runtime of an actix worker.
        ActixRuntime = "actix_runtime",
        /// Transactions are counted by a manager that a panic passes through.
        SharedSavepoints = "shared_savepoints",
    }
}

/// Passes a point; crashes there if a test wants it.
#[cfg(not(feature = "chaos"))]
#[inline]
pub const fn at(_: Point) {}

/// Whether a test has planted this bug.
#[cfg(not(feature = "chaos"))]
#[inline]
pub const fn planted(_: Bug) -> bool {
    false
}

#[cfg(feature = "chaos")]
pub use active::{at, planted};

#[cfg(feature = "chaos")]
mod active {
    use std::process::{Command, abort, exit, id};
    use std::sync::LazyLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::{Bug, Point};

    /// Something that is to happen when a point is passed.
    pub(super) struct Wish {
        pub point: Point,
        /// Passes that are left, this one included.
        pub passes: AtomicU64,
    }

    impl Wish {
        fn comes(&self, point: Point) -> bool {
            self.point == point && self.passes.fetch_sub(1, Ordering::SeqCst) == 1
        }
    }

    /// What the test wants of this process.
    #[derive(Default)]
    pub(super) struct Wanted {
        pub crash: Option<Wish>,
        pub pause: Option<Wish>,
        pub panic: Option<Wish>,
        pub plant: Option<Bug>,
    }

    impl Wanted {
        /// Reads the settings. A word that names nothing is an error: a test that breaks nothing
        /// would prove nothing.
        pub fn of(setting: impl Fn(&str) -> Option<String>) -> Result<Self, String> {
            let wish = |name: &str| {
                let Some(text) = setting(name) else {
                    return Ok(None);
                };
                let (word, passes) = text.split_once(':').unwrap_or((&text, "1"));
                let point = Point::ALL.iter().find(|it| it.as_str() == word);
                let point = *point.ok_or(format!("{name}: there is no point `{word}`"))?;
                match passes.parse() {
                    Ok(passes @ 1..) => Ok(Some(Wish {
                        point,
                        passes: AtomicU64::new(passes),
                    })),
                    _ => Err(format!("{name}: `{passes}` is no number of passes from 1")),
                }
            };
            let plant = setting("PAYLINK_PLANT").map(|word| {
                let bug = Bug::ALL.iter().find(|it| it.as_str() == word);
                bug.copied()
                    .ok_or(format!("PAYLINK_PLANT: there is no bug `{word}`"))
            });
            Ok(Self {
                crash: wish("PAYLINK_CRASH_AT")?,
                pause: wish("PAYLINK_PAUSE_AT")?,
                panic: wish("PAYLINK_PANIC_AT")?,
                plant: plant.transpose()?,
            })
        }
    }

    static WANTED: LazyLock<Wanted> = LazyLock::new(|| {
        Wanted::of(|name| std::env::var(name).ok()).unwrap_or_else(|fault| {
            eprintln!("chaos: {fault}");
            exit(2)
        })
    });

    /// Passes a point; crashes, pauses or panics there if a test wants it. A crash unwinds and
    /// flushes nothing: to the outside it is `kill -9`.
    pub fn at(point: Point) {
        let comes = |wish: &Option<Wish>| wish.as_ref().is_some_and(|it| it.comes(point));
        if comes(&WANTED.crash) {
            eprintln!("chaos: crashes at {}", point.as_str());
            abort();
        }
        if comes(&WANTED.pause) {
            eprintln!("chaos: pauses at {}", point.as_str());
            pause();
        }
        assert!(!comes(&WANTED.panic), "chaos: panics at {}", point.as_str());
    }

    /// Stops the whole process, as a laptop's lid or a hypervisor would.
    fn pause() {
        let stopped = Command::new("kill")
            .args(["-STOP", &id().to_string()])
            .status();
        assert!(stopped.is_ok_and(|it| it.success()), "chaos: cannot pause");
        // Any thread may be the one that takes the signal, and on a busy machine that takes a while;
        // this one would pass the point meanwhile. Once it is taken, none returns from the kernel.
        while is_stop_pending() {}
    }

    /// Whether no thread has taken SIGSTOP yet: 19, the bit of 1 << 18.
    fn is_stop_pending() -> bool {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let pending = status.lines().find_map(|it| it.strip_prefix("ShdPnd:"));
        pending
            .is_some_and(|it| u64::from_str_radix(it.trim(), 16).is_ok_and(|it| it >> 18 & 1 == 1))
    }

    /// Whether a test has planted this bug.
    pub fn planted(bug: Bug) -> bool {
        WANTED.plant == Some(bug)
    }
}

#[cfg(all(test, feature = "chaos"))]
mod tests {
    use super::active::Wanted;
    use super::{Bug, Point};

    fn wanted(name: &str, value: &str) -> Result<Wanted, String> {
        Wanted::of(|it| (it == name).then(|| value.to_owned()))
    }

    #[test]
    fn every_point_and_every_bug_can_be_named_once() {
        for point in Point::ALL {
            let crash = wanted("PAYLINK_CRASH_AT", point.as_str()).unwrap().crash;
            assert_eq!(crash.unwrap().point, *point);
        }
        for bug in Bug::ALL {
            let plant = wanted("PAYLINK_PLANT", bug.as_str()).unwrap().plant;
            assert_eq!(plant, Some(*bug));
        }
        assert_eq!(Bug::ALL.len(), 15);
    }

    #[test]
    fn what_names_nothing_is_a_fault() {
        for (name, value, fault) in [
            (
                "PAYLINK_CRASH_AT",
                "create.acepted",
                "no point `create.acepted`",
            ),
            ("PAYLINK_CRASH_AT", "", "no point ``"),
            ("PAYLINK_PAUSE_AT", "start.freed:", "`` is no number"),
            ("PAYLINK_PANIC_AT", "start.freed:0", "`0` is no number"),
            ("PAYLINK_CRASH_AT", "start.freed:x", "`x` is no number"),
            ("PAYLINK_PLANT", "no_fences", "no bug `no_fences`"),
        ] {
            let said = wanted(name, value).err().unwrap_or_default();
            assert!(
                said.starts_with(name) && said.contains(fault),
                "{value}: {said}"
            );
        }
    }
}
