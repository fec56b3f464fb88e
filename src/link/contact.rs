//! Who a message goes to. Both types print masked: an address reaches a log or a screen in full
//! only where somebody wrote `.as_str()` and meant it.

use std::fmt;

/// An e-mail address as `contract.md` (Contacts) allows it: dot-atom, at least two labels, no
/// quotes, no literal, no display name.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Email(pub(super) String);

/// A phone number in E.164 (`+447700900123`).
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Phone {
    pub(super) e164: String,
    /// The calling code, for masking: `44`.
    pub(super) calling_code: u16,
}

impl Email {
    /// The address in full.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// An address from a row of ours, which was parsed before it was sealed.
    pub fn trusted(address: String) -> Option<Self> {
        address.contains('@').then_some(Self(address))
    }
}

impl Phone {
    /// A number from a row of ours, which was parsed before it was sealed.
    pub fn trusted(e164: String) -> Option<Self> {
        let calling_code = phonenumber::parse(None, &e164).ok()?.country().code();
        Some(Self { e164, calling_code })
    }

    /// The number in E.164, in full.
    pub fn as_str(&self) -> &str {
        &self.e164
    }

    /// The country's calling code, without `+`.
    pub fn calling_code(&self) -> u16 {
        self.calling_code
    }
}

impl fmt::Display for Email {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&super::mask::email(&self.0))
    }
}
impl fmt::Debug for Email {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
impl fmt::Display for Phone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&super::mask::phone(self.calling_code, &self.e164))
    }
}
impl fmt::Debug for Phone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
