//! May this actor do this to that: roles, stores and API keys (`contract.md`, Roles; security.md,
//! API keys). Pure: it must not know how a key is stored, nor which status code a refusal gets.

mod key;
mod role;
#[cfg(test)]
mod tests;

use std::fmt;

pub use key::{ApiKey, NewKey, Presented};
pub use role::{Reach, Role, Verb};

use crate::link::{Actor, Link, Mode};

/// The store of a key that names none.
pub const DEFAULT_STORE: &str = "default";

/// Who asks, after authentication.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// The key or the user.
    pub actor: Actor,
    /// What it may do.
    pub role: Role,
    /// The store that it is bound to; `None` = all of them (admin). Filters use this.
    pub store: Option<String>,
    /// The store that its links are created in; an admin's key has one too.
    pub home: String,
    /// Whether its key is for real money.
    pub mode: Mode,
    /// What people called it; for the audit log.
    pub name: String,
}

impl Caller {
    /// Whether the table of roles has this verb for it, in whatever reach. `false` is a 403.
    pub fn may(&self, verb: Verb) -> bool {
        self.reach(verb) != Reach::Nothing
    }

    /// How far this verb carries it.
    pub fn reach(&self, verb: Verb) -> Reach {
        self.role.reach(verb)
    }

    /// Whether it may know that anything of `store` exists. `false` is a 404.
    pub fn sees(&self, store: &str) -> bool {
        self.store.as_deref().is_none_or(|own| own == store)
    }

    /// Whether it may know that `link` exists: of its store, and for a tablet made by itself.
    /// `false` is a 404.
    pub fn sees_link(&self, link: &Link) -> bool {
        match self.reach(Verb::Read) {
            Reach::Nothing => false,
            Reach::Own => self.sees(&link.store) && link.created_by == self.actor,
            Reach::Store | Reach::All => self.sees(&link.store),
        }
    }
}

/// Checks a store's name: `[a-z0-9_-]{1,32}`.
pub fn store_name(text: &str) -> Result<String, NotAStore> {
    let allowed = |b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-');
    if (1..=32).contains(&text.len()) && text.bytes().all(allowed) {
        Ok(text.to_owned())
    } else {
        Err(NotAStore)
    }
}

/// Text that cannot name a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotAStore;

impl fmt::Display for NotAStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a store's name is 1 to 32 of a-z, 0-9, _ and -")
    }
}
impl std::error::Error for NotAStore {}
