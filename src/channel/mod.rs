//! How a link reaches its buyer: mail, SMS, QR. Knows nothing of links' lives, of the database or of Klarna.
//!
//! Each attempt ends in one of three ways, never two (`failure-model.md`): done, proved not done,
//! or unknown. Which one is decided here, next to the wire; what follows from it is decided in
//! `flow`. Nothing here tries twice what may have left.

pub mod mail;
mod outcome;
pub mod qr;
pub mod sms;

pub use outcome::Outcome;
