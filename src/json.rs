//! JSON text to [`crate::link::Tree`] and back, strictly.
