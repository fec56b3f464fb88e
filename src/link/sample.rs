//! Recipients for the tests of rooms that only pass them on.

use super::{Email, Phone};

pub(crate) fn email(address: &str) -> Email {
    Email(address.into())
}

pub(crate) fn phone() -> Phone {
    Phone {
        e164: "+447700900123".into(),
        calling_code: 44,
    }
}
