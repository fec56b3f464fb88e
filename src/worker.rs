//! Background work: claim, run, done.
