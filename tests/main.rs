//! The one integration binary: what can be seen from outside, and what holds for the whole tree.

mod architecture;
mod browser;
#[cfg(feature = "chaos")]
mod chaos;
mod ledger;
mod outside;
