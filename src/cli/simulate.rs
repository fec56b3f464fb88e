//! `paylink simulate`.

use std::net::SocketAddr;

use super::out::say;
use super::{Failure, environment, log, serve};
use crate::clock::Clock;
use crate::config::{Base, Needs};
use crate::random::Random;
use crate::simulator;

pub(super) async fn simulate(
    listen: SocketAddr,
    username: String,
    password: String,
    callback_delay_scale: f64,
) -> Result<(), Failure> {
    log::begin(&Base::from_env(&environment, Needs::Nothing)?.log);
    let settings = simulator::Settings {
        listen,
        username,
        password,
        callback_delay_scale,
        public_base: None,
    };
    let told = serve::Told::listen()?;
    let running = simulator::start(settings, Clock::system(), Random::os())
        .map_err(|error| Failure::failed(&format!("cannot listen on {listen}"), &error))?;
    say!("listening on http://{}", running.addr())?;
    told.wait().await;
    running.stop().await;
    Ok(())
}
