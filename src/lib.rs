#![forbid(unsafe_code)]
//! The rooms of paylink. Who may use whom is checked by `tests/architecture.rs`.

pub mod access;
pub mod channel;
pub mod chaos;
pub mod check;
pub mod cli;
pub mod clock;
pub mod config;
pub mod demo;
pub mod flow;
pub mod json;
pub mod klarna;
pub mod link;
pub mod random;
pub mod secret;
pub mod simulator;
pub mod store;
pub mod templates;
pub mod view;
pub mod web;
pub mod worker;
