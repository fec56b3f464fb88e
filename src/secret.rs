//! Seal, open, blind index: pure functions of bytes.

use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use hkdf::Hkdf;
use hmac::{Hmac, Mac};
use sha2::Sha256;

use crate::random::Random;

/// Keys derived from `PAYLINK_SECRET`, one per purpose.
#[derive(Clone)]
pub struct Vault {
    seal: [u8; 32],
    index: [u8; 32],
}

/// Bytes that this vault did not seal, or sealed for another place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unsealed;

impl std::fmt::Display for Unsealed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("not sealed by this secret for this place")
    }
}
impl std::error::Error for Unsealed {}

impl Vault {
    /// The vault of a 32-byte secret.
    pub fn new(secret: &[u8; 32]) -> Self {
        let derive = |purpose: &str| {
            let mut key = [0; 32];
            Hkdf::<Sha256>::new(None, secret)
                .expand(purpose.as_bytes(), &mut key)
                .expect("HKDF-SHA-256 gives up to 8160 bytes");
            key
        };
        Self {
            seal: derive("paylink seal"),
            index: derive("paylink index"),
        }
    }

    /// Encrypts `plain` for one place, which `context` names.
    pub fn seal(&self, plain: &[u8], context: &str, random: &Random) -> Vec<u8> {
        let nonce: [u8; 24] = random.bytes();
        let payload = Payload {
            msg: plain,
            aad: context.as_bytes(),
        };
        let sealed = XChaCha20Poly1305::new(&self.seal.into())
            .encrypt(&XNonce::from(nonce), payload)
            .expect("only a plain text of 256 GiB is too long");
        [&nonce[..], &sealed].concat()
    }

    /// What was sealed for this place.
    pub fn open(&self, sealed: &[u8], context: &str) -> Result<Vec<u8>, Unsealed> {
        let (nonce, msg) = sealed.split_first_chunk::<24>().ok_or(Unsealed)?;
        let payload = Payload {
            msg,
            aad: context.as_bytes(),
        };
        XChaCha20Poly1305::new(&self.seal.into())
            .decrypt(&XNonce::from(*nonce), payload)
            .map_err(|_| Unsealed)
    }

    /// The keyed hash by which a value is found without being stored.
    pub fn blind(&self, field: &str, value: &str) -> [u8; 32] {
        let mut mac = <Hmac<Sha256> as KeyInit>::new_from_slice(&self.index)
            .expect("HMAC takes a key of any length");
        mac.update(field.as_bytes());
        mac.update(&[0]);
        mac.update(value.as_bytes());
        mac.finalize().into_bytes().into()
    }
}
