//! The only room that says diesel.
