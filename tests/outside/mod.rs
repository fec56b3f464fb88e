//! The service from outside: the real binary, its real simulator, real SMTP and HTTP. Written from
//! the contract alone; nothing in here knows how the service is made.

pub mod harness;

mod creating;
mod delivering;
mod disabling;
mod ending;
mod holding;
mod listing;
mod making_way;
mod minute;
mod money;
mod operating;
mod outages;
mod paying;
mod qr;
mod recovering;
mod refusing;
mod rejecting;
mod repeating;
mod replicas;
mod rescuing;
mod roles;
mod tls;
mod watching;
