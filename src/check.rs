//! Tries every configured thing: `paylink check` and /readyz.
