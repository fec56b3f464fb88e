//! `paylink reconcile`.

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde_json::json;

use super::out::{note, say};
use super::{Failure, environment, log, rooms};
use crate::clock::Clock;
use crate::flow::{self, Reconciled};
use crate::random::Random;
use crate::store::Holding;

pub(super) async fn reconcile(day: Option<Date>, as_json: bool) -> Result<(), Failure> {
    let config = rooms::configured(&environment)?;
    log::begin(&config.base.log);
    let clock = Clock::system();
    let day = match day {
        Some(day) => day,
        None => yesterday(clock.now())?,
    };
    let (since, until) = bounds(day)?;
    let house = rooms::house(&config, clock, Random::os(), Holding::Beside, false).await?;
    let seen = flow::reconcile(&house, since, until, |compared| {
        note!("paylink: {compared} links compared");
    })
    .await
    .map_err(|error| Failure::failed("the day could not be reconciled", &error))?;
    print(day, &seen, as_json)?;
    if seen.is_clean() {
        Ok(())
    } else {
        Err(Failure::Said)
    }
}

fn print(day: Date, seen: &Reconciled, as_json: bool) -> Result<(), Failure> {
    let (compared, differ, unread) = (seen.compared, seen.drifts.len(), seen.unread.len());
    if as_json {
        for drift in &seen.drifts {
            say!(
                "{}",
                json!({"link": drift.link.to_string(), "what": drift.what, "ours": drift.ours, "klarna": drift.klarna})
            )?;
        }
        for (link, why) in &seen.unread {
            say!("{}", json!({"link": link.to_string(), "unread": why}))?;
        }
        say!(
            "{}",
            json!({"day": day.to_string(), "compared": compared, "differences": differ, "unread": unread})
        )?;
        return Ok(());
    }
    for drift in &seen.drifts {
        say!(
            "{}  {}: {} here, {} at Klarna",
            drift.link,
            drift.what,
            drift.ours,
            drift.klarna
        )?;
    }
    for (link, why) in &seen.unread {
        say!("{link}  not compared: {why}")?;
    }
    say!("{day}: {compared} compared, {differ} differences, {unread} not compared")
}

fn yesterday(now: Timestamp) -> Result<Date, Failure> {
    TimeZone::UTC
        .to_datetime(now)
        .date()
        .yesterday()
        .map_err(|error| Failure::failed("there is no yesterday", &error))
}

/// The day's first moment and the next day's.
fn bounds(day: Date) -> Result<(Timestamp, Timestamp), Failure> {
    let midnight = |date: Date| TimeZone::UTC.to_timestamp(date.at(0, 0, 0, 0));
    let bounds = midnight(day).and_then(|since| Ok((since, midnight(day.tomorrow()?)?)));
    bounds.map_err(|_| Failure::Usage(vec!["--day is outside of the calendar".into()]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_is_from_midnight_to_midnight_in_utc() {
        let (since, until) = bounds("2026-11-23".parse().unwrap()).unwrap();
        assert_eq!(since.to_string(), "2026-11-23T00:00:00Z");
        assert_eq!(until.to_string(), "2026-11-24T00:00:00Z");
        let now = "2026-11-24T00:00:01Z".parse().unwrap();
        assert_eq!(yesterday(now).unwrap().to_string(), "2026-11-23");
        assert!(bounds(Date::MAX).is_err());
    }
}
