//! May this actor do this to that: keys, roles, stores. Pure but for the chance that keys are made of.

use jiff::Timestamp;

use crate::link::{KeyId, Mode};

/// What a key or user may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum Role {
    Agent,
    Supervisor,
    Integrator,
    Tablet,
    Auditor,
    Admin,
}

impl Role {
    /// All of them.
    pub const ALL: &'static [Role] = &[
        Role::Agent,
        Role::Supervisor,
        Role::Integrator,
        Role::Tablet,
        Role::Auditor,
        Role::Admin,
    ];

    /// The word in rows.
    pub fn as_str(self) -> &'static str {
        match self {
            Role::Agent => "agent",
            Role::Supervisor => "supervisor",
            Role::Integrator => "integrator",
            Role::Tablet => "tablet",
            Role::Auditor => "auditor",
            Role::Admin => "admin",
        }
    }

    /// The meaning of a word.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|it| it.as_str() == word)
    }
}

/// An API key as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct ApiKey {
    pub id: KeyId,
    pub name: String,
    pub role: Role,
    pub store: Option<String>,
    pub mode: Mode,
    pub expires_at: Option<Timestamp>,
    pub revoked_at: Option<Timestamp>,
    pub created_at: Timestamp,
    pub hash: [u8; 32],
}
