//! The client against small real servers: each way that a call can end, and what it proves.

mod answers;
mod contract;
mod ends;
mod gates;
mod money;
mod sample;
mod stub;
