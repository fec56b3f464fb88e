//! The one integration binary: what can be seen from outside, and what holds for the whole tree.

mod architecture;
mod browser;
mod ledger;
mod outside;
