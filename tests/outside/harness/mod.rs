//! What the tests from outside stand on: real processes, real sockets, a domain's verbs.

pub mod database;
pub mod gateway;
pub mod http;
pub mod law;
pub mod mail;
pub mod process;
pub mod sale;
pub mod simulator;
pub mod world;

pub use gateway::Reply;
pub use http::{Caller, eventually, within};
pub use mail::Ailment;
pub use sale::{email, phone, reference, sale, sale_of};
pub use world::{Story, World, WorldPlan, told};

/// Two tests of one group of stories: on SQLite, and on the PostgreSQL of `PAYLINK_TEST_POSTGRES`.
/// The stories of a group share a world and are told one after the other; each that fails is
/// reported.
macro_rules! stories {
    ($(#[$mark:meta])* $group:ident, $plan:expr, [$($story:ident),+ $(,)?]) => {
        mod $group {
            use super::*;
            use $crate::outside::harness::{Story, told};

            fn all() -> Vec<(&'static str, Story)> {
                vec![$((stringify!($story), |world| Box::pin($story(world)))),+]
            }

            $(#[$mark])*
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn on_sqlite() {
                told($plan.on_sqlite(), all()).await;
            }

            $(#[$mark])*
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn on_postgres() {
                match $plan.on_postgres() {
                    Some(plan) => told(plan, all()).await,
                    None => eprintln!("skipped: PAYLINK_TEST_POSTGRES names no server"),
                }
            }
        }
    };
}
pub(crate) use stories;
