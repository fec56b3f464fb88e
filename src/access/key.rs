//! API keys: `plk_{live|test}_{id}_{secret}{crc}`. The id finds the row, the secret proves the
//! holder, the checksum tells a mistyped key without asking the database, and the words in front
//! let scanners find a leaked one.

use std::fmt;

use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::{Caller, Role};
use crate::link::{Actor, KeyId, Mode};
use crate::random::Random;
use crate::secret::Vault;

/// Letters and digits only, so that a double click selects the whole key.
const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/// 62^43 > 2^256.
const SECRET_LENGTH: usize = 43;
/// 62^6 > 2^32.
const CRC_LENGTH: usize = 6;

/// An API key as it is kept: everything but its secret.
#[derive(Clone, PartialEq, Eq)]
pub struct ApiKey {
    /// Its public name, `key_…`.
    pub id: KeyId,
    /// What people call it.
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// The store that it is bound to; an admin's key creates there and sees all.
    pub store: String,
    /// Live or test: a process of the other mode answers 401.
    pub mode: Mode,
    /// From then on it admits nobody.
    pub expires_at: Option<Timestamp>,
    /// Since then it admits nobody.
    pub revoked_at: Option<Timestamp>,
    /// When it was made.
    pub created_at: Timestamp,
    /// [`Vault::key_hash`] of the secret.
    pub hash: [u8; 32],
}

/// The hash is left out: a log is no place for it.
impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiKey")
            .field("id", &self.id)
            .field("name", &self.name)
            .field("role", &self.role)
            .field("store", &self.store)
            .field("mode", &self.mode)
            .field("expires_at", &self.expires_at)
            .field("revoked_at", &self.revoked_at)
            .finish_non_exhaustive()
    }
}

/// What is decided about a key before it is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewKey {
    /// What people call it.
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// The store, checked by [`super::store_name`].
    pub store: String,
    /// The mode of the configuration that it is made under.
    pub mode: Mode,
    /// Its end, where it has one.
    pub expires_at: Option<Timestamp>,
}

impl ApiKey {
    /// Makes a key. The second value is the only copy of it that is ever seen: show it once.
    pub fn mint(
        new: NewKey,
        vault: &Vault,
        now: Timestamp,
        random: &Random,
    ) -> (Self, SecretString) {
        let id = KeyId::new(now, random);
        let secret = Zeroizing::new(draw(random));
        let mut text = Zeroizing::new(format!(
            "plk_{}_{}_{}",
            new.mode.as_str(),
            id.uuid().simple(),
            *secret
        ));
        let crc = checksum(text.as_bytes());
        text.push_str(&crc);
        let key = Self {
            id,
            name: new.name,
            role: new.role,
            store: new.store,
            mode: new.mode,
            expires_at: new.expires_at,
            revoked_at: None,
            created_at: now,
            hash: vault.key_hash(&secret),
        };
        (key, SecretString::from(text.as_str()))
    }

    /// Whether the holder of `presented` is let in by this key at `now`. The hashes are compared
    /// in constant time, and before the rest: a revoked key and a wrong secret take equally long.
    pub fn admits(&self, presented: &Presented, vault: &Vault, now: Timestamp) -> bool {
        let hash = vault.key_hash(presented.secret.expose_secret());
        let proved = bool::from(hash.ct_eq(&self.hash));
        proved && presented.id == self.id && presented.mode == self.mode && self.valid(now)
    }

    /// Neither revoked nor past its end.
    pub fn valid(&self, now: Timestamp) -> bool {
        self.revoked_at.is_none() && self.expires_at.is_none_or(|end| now < end)
    }

    /// Who its holder is.
    pub fn caller(&self) -> Caller {
        Caller {
            actor: Actor::Key(self.id),
            role: self.role,
            store: match self.role {
                Role::Admin => None,
                Role::Agent
                | Role::Supervisor
                | Role::Integrator
                | Role::Tablet
                | Role::Auditor => Some(self.store.clone()),
            },
            home: self.store.clone(),
            mode: self.mode,
            name: self.name.clone(),
        }
    }
}

/// A key as somebody presents it: well formed, nothing proved.
#[derive(Clone, Debug)]
pub struct Presented {
    /// The row to look for.
    pub id: KeyId,
    /// The mode that it claims.
    pub mode: Mode,
    secret: SecretString,
}

impl Presented {
    /// Takes a key apart. `None`: no such form, or its checksum is not its own (a typing error).
    pub fn parse(text: &str) -> Option<Self> {
        // every byte below is one character, so that cutting by length cannot cut one in two
        if !text.is_ascii() {
            return None;
        }
        let (body, crc) = text.split_at_checked(text.len().checked_sub(CRC_LENGTH)?)?;
        if checksum(body.as_bytes()) != crc {
            return None;
        }
        let mut parts = body.strip_prefix("plk_")?.split('_');
        let (mode, id, secret) = (parts.next()?, parts.next()?, parts.next()?);
        let plain = secret.bytes().all(|b| b.is_ascii_alphanumeric());
        if parts.next().is_some() || secret.len() != SECRET_LENGTH || !plain {
            return None;
        }
        Some(Self {
            id: format!("key_{id}").parse().ok()?,
            mode: Mode::from_word(mode)?,
            secret: SecretString::from(secret),
        })
    }
}

/// 43 digits of base 62, each equally likely: 256 bits.
fn draw(random: &Random) -> String {
    let mut secret = String::with_capacity(SECRET_LENGTH);
    while secret.len() < SECRET_LENGTH {
        let bytes = Zeroizing::new(random.bytes::<64>());
        // 248 = 4 · 62: what lies above would make the first digits likelier
        let fair = bytes.iter().filter(|&&byte| byte < 248);
        for byte in fair.take(SECRET_LENGTH - secret.len()) {
            secret.push(char::from(DIGITS[usize::from(byte % 62)]));
        }
    }
    secret
}

fn checksum(bytes: &[u8]) -> String {
    let mut rest = crc32(bytes);
    let mut digits = [b'0'; CRC_LENGTH];
    for digit in digits.iter_mut().rev() {
        *digit = DIGITS[(rest % 62) as usize];
        rest /= 62;
    }
    digits.iter().copied().map(char::from).collect()
}

/// CRC-32 as in zip and Ethernet (polynomial 0xEDB88320, reflected). Bit by bit: it runs over a
/// hundred bytes a request, and a table would be longer than the rest of this file.
pub(super) fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = (crc >> 1) ^ if crc & 1 == 1 { 0xEDB8_8320 } else { 0 };
        }
    }
    !crc
}
