#[macro_use]
mod ask;
mod answers;
mod document;
mod doors;
pub(crate) mod house;
mod reading;
mod service;
mod stream;
