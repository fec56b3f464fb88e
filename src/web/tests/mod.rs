mod answers;
mod document;
mod house;
mod reading;
mod service;
mod stream;
