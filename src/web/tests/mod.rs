#[macro_use]
mod ask;
mod document;
mod doors;
mod house;
mod reading;
mod service;
mod stream;
