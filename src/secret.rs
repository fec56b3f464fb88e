//! Seal, open, blind index, tokens: pure functions of bytes under keys derived from one secret.
