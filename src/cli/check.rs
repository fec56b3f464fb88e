//! `paylink check`: tries everything that is configured and prints a table.

use serde_json::json;

use super::out::say;
use super::{Failure, environment, log, rooms};
use crate::check::{self, Seen};
use crate::clock::Clock;
use crate::random::Random;
use crate::store::Holding;

pub(super) async fn check(session: bool, as_json: bool) -> Result<(), Failure> {
    let config = rooms::configured(&environment)?;
    log::begin(&config.base.log);
    let (clock, random) = (Clock::system(), Random::os());
    let mut table = Table {
        as_json,
        good: true,
    };
    let vault = rooms::vault(&config.base, &random).await?;
    let store = rooms::open_store(
        &config.base,
        Some(vault.clone()),
        Holding::Beside,
        clock.clone(),
    )
    .await;
    table.row(
        "database",
        match &store {
            Ok(store) => check::database(store).await,
            Err(failure) => Err(failure.line()),
        },
    )?;
    let klarna = rooms::client(&config, &clock, &random)?;
    table.row("klarna", check::klarna(&klarna).await)?;
    match rooms::mailer(config.smtp.as_ref())? {
        Some(mailer) => table.row("mail", check::mail(&mailer).await)?,
        None => table.row("mail", Ok("not configured (SMTP_URL)".into()))?,
    }
    match rooms::gateway(&config.sms)? {
        Some(gateway) => table.row("sms", check::sms(gateway.as_ref()).await)?,
        None => table.row("sms", Ok("not configured (SMS_GATEWAY)".into()))?,
    }
    let http = rooms::http_client()?;
    table.row(
        "public url",
        check::public_url(&http, &config.public_url).await,
    )?;
    if session {
        let seen = check::session(&klarna, &http, &vault, &config, clock.now(), &random).await;
        table.row("session", seen)?;
    }
    if table.good {
        Ok(())
    } else {
        Err(Failure::Said)
    }
}

struct Table {
    as_json: bool,
    good: bool,
}

impl Table {
    fn row(&mut self, what: &str, seen: Seen) -> Result<(), Failure> {
        let ok = seen.is_ok();
        self.good &= ok;
        let saw = seen.unwrap_or_else(|missing| missing);
        if self.as_json {
            say!("{}", json!({"what": what, "ok": ok, "saw": saw}))
        } else {
            say!("{:<4}  {what:<10}  {saw}", if ok { "ok" } else { "FAIL" })
        }
    }
}
