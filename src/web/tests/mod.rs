mod document;
mod reading;
mod stream;
