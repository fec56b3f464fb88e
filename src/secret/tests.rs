//! known answers
