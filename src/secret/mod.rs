//! Keys, and what is done with them: seal, open, blind index, tokens, peppers. Everything is
//! derived from the 32 bytes of `PAYLINK_SECRET`, so that a database or a backup without it tells
//! nobody anything, and every replica that holds it derives the same. Pure functions of bytes: this
//! room must not know what a row, a link's stage or a request is. ([`key_file`] is the exception:
//! it reads and makes the one file that holds the secret beside an SQLite database.)
//!
//! The derivations are part of the stored format: a change makes every sealed column unreadable
//! and every key and printed link dead. `tests.rs` pins them by known answers.

pub mod key_file;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;

use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{Key, XChaCha20Poly1305, XNonce};
use hkdf::Hkdf;
use hmac::{Hmac, Mac};
use sha2::{Digest, Sha256};
use zeroize::{Zeroize, Zeroizing};

use crate::link::LinkId;
use crate::random::Random;

/// The first byte of everything sealed: algorithm and key. A second key or algorithm gets the next
/// number, and both can be opened while rows are sealed anew.
const SEAL_V1: u8 = 1;
const NONCE: usize = 24;
const TAG: usize = 16;

/// The secret itself: 32 random bytes, wiped when dropped, never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct MasterKey(Zeroizing<[u8; 32]>);

impl MasterKey {
    /// A new one.
    pub fn random(random: &Random) -> Self {
        Self(Zeroizing::new(random.bytes()))
    }

    /// Reads base64, standard or URL-safe alphabet, padding optional, white space around it ignored.
    pub fn parse(text: &str) -> Result<Self, KeyFault> {
        let text = text.trim();
        let alphabet = if text.contains(['-', '_']) {
            &alphabet::URL_SAFE
        } else {
            &alphabet::STANDARD
        };
        let config = GeneralPurposeConfig::new()
            .with_decode_padding_mode(DecodePaddingMode::Indifferent)
            // 43 characters carry two bits more than 32 bytes; what tools print there is noise
            .with_decode_allow_trailing_bits(true);
        let mut bytes = GeneralPurpose::new(alphabet, config)
            .decode(text)
            .map_err(|_| KeyFault::NotBase64)?;
        let key = <[u8; 32]>::try_from(bytes.as_slice());
        let length = bytes.len();
        bytes.zeroize();
        key.map(|key| Self(Zeroizing::new(key)))
            .map_err(|_| KeyFault::Length(length))
    }

    /// As `PAYLINK_SECRET` and the key file hold it: standard base64, 44 characters.
    pub fn to_base64(&self) -> Zeroizing<String> {
        Zeroizing::new(BASE64_STANDARD.encode(self.0.as_slice()))
    }

    /// The bytes, for [`Vault::new`].
    pub fn bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MasterKey(***)")
    }
}

/// Why a text is no [`MasterKey`]. Never quotes the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyFault {
    /// A character that base64 does not have, or cut in the middle.
    NotBase64,
    /// It decodes to so many bytes instead of 32.
    Length(usize),
}

impl fmt::Display for KeyFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            KeyFault::NotBase64 => f.write_str("not base64"),
            KeyFault::Length(bytes) => write!(f, "{bytes} bytes long instead of 32"),
        }
    }
}
impl std::error::Error for KeyFault {}

/// Sealed bytes that do not open: cut, changed, moved from another row or column, or sealed under
/// another secret. Which of these it was cannot be told, by design of the cipher.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unsealed;

impl fmt::Display for Unsealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("sealed bytes do not open: they were changed, or PAYLINK_SECRET is another one")
    }
}
impl std::error::Error for Unsealed {}

struct Keys {
    pepper: Zeroizing<[u8; 32]>,
    seal: Zeroizing<[u8; 32]>,
    index: Zeroizing<[u8; 32]>,
    tokens: Zeroizing<[u8; 32]>,
    cookies: Zeroizing<[u8; 32]>,
    fingerprint: [u8; 8],
}

/// The keys derived from one secret. Cheap to clone; wiped when the last clone is dropped.
#[derive(Clone)]
pub struct Vault(Arc<Keys>);

impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Vault(***)")
    }
}

impl Vault {
    /// Derives the keys by HKDF-SHA-256, each under a label of its own, so that what one of them
    /// gives away says nothing about another.
    pub fn new(secret: &[u8; 32]) -> Self {
        let hkdf = Hkdf::<Sha256>::new(None, secret);
        let mut fingerprint = [0; 8];
        fingerprint.copy_from_slice(&expand(&hkdf, &[b"paylink/v1/fingerprint"])[..8]);
        Self(Arc::new(Keys {
            pepper: expand(&hkdf, &[b"paylink/v1/pepper"]),
            seal: expand(&hkdf, &[b"paylink/v1/seal"]),
            index: expand(&hkdf, &[b"paylink/v1/index"]),
            tokens: expand(&hkdf, &[b"paylink/v1/tokens"]),
            cookies: expand(&hkdf, &[b"paylink/v1/cookies"]),
            fingerprint,
        }))
    }

    /// Tells two secrets apart without telling anything about them: kept in the database, it lets
    /// a start under the wrong secret be refused before it seals a single row.
    pub fn fingerprint(&self) -> [u8; 8] {
        self.0.fingerprint
    }

    /// Encrypts by XChaCha20-Poly1305 under a random nonce. `context` names the place that the
    /// bytes are kept at (table, column, row id): opened at another place they are refused, so that
    /// nobody with the database alone can swap two customers. 41 bytes longer than `plain`.
    pub fn seal(&self, plain: &[u8], context: &str, random: &Random) -> Vec<u8> {
        let nonce: [u8; NONCE] = random.bytes();
        let aad = aad(SEAL_V1, context);
        let body = self
            .cipher()
            .encrypt(
                &XNonce::from(nonce),
                Payload {
                    msg: plain,
                    aad: &aad,
                },
            )
            .expect("the cipher refuses nothing shorter than 256 GiB");
        let mut sealed = Vec::with_capacity(1 + NONCE + body.len());
        sealed.push(SEAL_V1);
        sealed.extend_from_slice(&nonce);
        sealed.extend_from_slice(&body);
        sealed
    }

    /// Opens what [`Vault::seal`] made in the same `context`.
    pub fn open(&self, sealed: &[u8], context: &str) -> Result<Vec<u8>, Unsealed> {
        let (&version, rest) = sealed.split_first().ok_or(Unsealed)?;
        if version != SEAL_V1 || rest.len() < NONCE + TAG {
            return Err(Unsealed);
        }
        let (nonce, body) = rest.split_first_chunk::<NONCE>().ok_or(Unsealed)?;
        let aad = aad(version, context);
        self.cipher()
            .decrypt(
                &XNonce::from(*nonce),
                Payload {
                    msg: body,
                    aad: &aad,
                },
            )
            .map_err(|_| Unsealed)
    }

    /// The blind index of `value`: HMAC-SHA-256 over the field's name and the value, so that a
    /// sealed column can be looked up by equality, and equal values in two fields do not show. The
    /// caller normalises (lower case, E.164).
    pub fn blind(&self, field: &str, value: &str) -> [u8; 32] {
        mac(&self.0.index, &[field.as_bytes(), &[0], value.as_bytes()])
    }

    /// The token in the URLs of one pair of one link: 256 bits, 43 characters of base64url.
    /// Derived, so that any worker can build the URLs and nothing secret is stored.
    pub fn token(&self, link: LinkId, pair: u8) -> String {
        let hkdf = Hkdf::<Sha256>::from_prk(self.0.tokens.as_slice())
            .expect("a pseudo-random key of 32 bytes is as long as SHA-256 wants it");
        let token = expand(&hkdf, &[b"link", link.uuid().as_bytes(), &[pair]]);
        BASE64_URL_SAFE_NO_PAD.encode(token.as_slice())
    }

    /// What is stored of an API key's secret: HMAC-SHA-256 under the pepper, which is not in the
    /// database. (The secret has 256 bits, so a slow hash would buy nothing.)
    pub fn key_hash(&self, secret: &str) -> [u8; 32] {
        mac(&self.0.pepper, &[secret.as_bytes()])
    }

    /// Signs what a browser holds for us (form tokens). `purpose` keeps one kind of token from
    /// passing as another.
    pub fn cookie_mac(&self, purpose: &str, value: &[u8]) -> [u8; 32] {
        mac(&self.0.cookies, &[purpose.as_bytes(), &[0], value])
    }

    fn cipher(&self) -> XChaCha20Poly1305 {
        XChaCha20Poly1305::new(&Key::from(*self.0.seal))
    }
}

/// What a token is looked up by: SHA-256. (It has 256 bits of its own, so no pepper is needed.)
pub fn token_hash(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}

fn aad(version: u8, context: &str) -> Vec<u8> {
    let mut aad = vec![version];
    aad.extend_from_slice(context.as_bytes());
    aad
}

fn expand(hkdf: &Hkdf<Sha256>, info: &[&[u8]]) -> Zeroizing<[u8; 32]> {
    let mut key = Zeroizing::new([0; 32]);
    hkdf.expand_multi_info(info, key.as_mut_slice())
        .expect("HKDF-SHA-256 gives up to 255 blocks and one is asked for");
    key
}

fn mac(key: &[u8; 32], parts: &[&[u8]]) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes a key of any length");
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}
