//! Names of things. An id is a prefix that says what it names and a UUID version 7 in lower-case
//! hex: sortable by birth, so that rows are appended to an index and not scattered over it.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use uuid::Uuid;

use super::operation::OperationKind;
use crate::random::Random;

/// Text that is not an id of the wanted kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotAnId;

impl fmt::Display for NotAnId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not an id of this kind")
    }
}
impl std::error::Error for NotAnId {}

fn version7(now: Timestamp, random: &Random) -> Uuid {
    let millis = u64::try_from(now.as_millisecond()).unwrap_or(0);
    uuid::Builder::from_unix_timestamp_millis(millis, &random.bytes()).into_uuid()
}

/// One spelling only: an id that is looked up must be the id that was given out.
fn simple(hex: &str) -> Result<Uuid, NotAnId> {
    if hex.len() != 32 || hex.bytes().any(|b| !matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
        return Err(NotAnId);
    }
    Uuid::try_parse(hex).map_err(|_| NotAnId)
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Uuid);
        impl $name {
            /// A new id, made before the transaction that stores it (failure-model R6).
            pub fn new(now: Timestamp, random: &Random) -> Self { Self(version7(now, random)) }
            /// The 128 bits, for deriving other names from it.
            pub fn uuid(self) -> Uuid { self.0 }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($prefix, "{}"), self.0.simple())
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { fmt::Display::fmt(self, f) }
        }
        impl FromStr for $name {
            type Err = NotAnId;
            fn from_str(text: &str) -> Result<Self, NotAnId> {
                let hex = text.strip_prefix($prefix).ok_or(NotAnId)?;
                simple(hex).map(Self)
            }
        }
    };
}
id!(/// A payment link.
    LinkId, "lnk_");
id!(/// One message to one recipient by one channel.
    DeliveryId, "dlv_");
id!(/// One entry of the event stream.
    EventId, "evt_");
id!(/// An API key.
    KeyId, "key_");
id!(/// A person with a console login.
    UserId, "usr_");

/// An operation on money: its prefix says which (`cap_`, `rfd_` …).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct OperationId {
    // first, so that ids of one link sort by birth
    uuid: Uuid,
    kind: OperationKind,
}

impl OperationId {
    /// A new id, made before the transaction that stores it (failure-model R6).
    pub fn new(kind: OperationKind, now: Timestamp, random: &Random) -> Self {
        Self {
            kind,
            uuid: version7(now, random),
        }
    }

    /// The one name of something that happens to a link once, or under a name of Klarna's: found
    /// twice, it is the same operation.
    pub fn derived(kind: OperationKind, link: LinkId, name: &str) -> Self {
        Self {
            kind,
            uuid: Uuid::new_v5(&link.0, format!("{} {name}", kind.as_str()).as_bytes()),
        }
    }

    /// What it does.
    pub fn kind(self) -> OperationKind {
        self.kind
    }

    /// `Klarna-Idempotency-Key` of all its calls.
    pub fn key(self) -> Uuid {
        Uuid::new_v5(&self.uuid, self.kind.as_str().as_bytes())
    }
}
impl fmt::Display for OperationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.kind.prefix(), self.uuid.simple())
    }
}
impl fmt::Debug for OperationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
impl FromStr for OperationId {
    type Err = NotAnId;
    fn from_str(text: &str) -> Result<Self, NotAnId> {
        let of = |kind: &OperationKind| Some((*kind, text.strip_prefix(kind.prefix())?));
        let (kind, hex) = OperationKind::ALL.iter().find_map(of).ok_or(NotAnId)?;
        Ok(Self {
            kind,
            uuid: simple(hex)?,
        })
    }
}

impl EventId {
    /// The `n`th id of a series that begins with this one. All events of one transaction are named
    /// before it from a single draw of chance, so that a repeat of the transaction repeats the names.
    #[must_use]
    pub fn nth(self, n: u16) -> Self {
        let series = self.0.as_u128();
        // only the low 16 bits move: neither the birth time nor the version bits are touched
        let low = u16::try_from(series & 0xffff).unwrap_or(0).wrapping_add(n);
        Self(Uuid::from_u128((series & !0xffff) | u128::from(low)))
    }
}
