//! When a link is to end: `expires_in` or `expires_at`, one minute to 47 hours from now
//! (`contract.md`, Expiry). KCO orders live 48 hours; the last one is kept for closing in order.

use jiff::fmt::temporal::SpanParser;
use jiff::{SignedDuration, SpanRelativeTo, Timestamp, Unit};

use super::fault::Code;
use super::tree::Tree;
use super::walk::Walk;

const LEAST: SignedDuration = SignedDuration::from_mins(1);
const MOST: SignedDuration = SignedDuration::from_hours(47);
const LIMITS: &str = "must be from one minute to 47 hours from now";

/// The end that `body` asks for; faults go to `walk`. The types were checked before.
pub(super) fn end(body: &Tree, now: Timestamp, walk: &mut Walk) -> Option<Timestamp> {
    let (within, at) = (body.text("expires_in"), body.text("expires_at"));
    if body.get("expires_in").is_some() && body.get("expires_at").is_some() {
        for name in ["expires_in", "expires_at"] {
            walk.at(name, |walk| {
                walk.fault(
                    Code::Conflict,
                    "give one of expires_in and expires_at, not both",
                );
            });
        }
    }
    let within = within.and_then(|text| {
        walk.at("expires_in", |walk| match lasting(text) {
            Err(code) => {
                walk.fault(
                    code,
                    match code {
                        Code::OutOfRange => LIMITS,
                        _ => "must be an ISO 8601 duration such as PT24H",
                    },
                );
                None
            }
            Ok(lasting) => allowed(now.checked_add(lasting).ok(), now, walk),
        })
    });
    let at = at.and_then(|text| {
        walk.at("expires_at", |walk| match instant(text) {
            None => {
                walk.fault(
                    Code::InvalidFormat,
                    "must be an RFC 3339 time such as 2026-11-24T12:00:00Z",
                );
                None
            }
            Some(end) => allowed(Some(end), now, walk),
        })
    });
    within.or(at)
}

fn allowed(end: Option<Timestamp>, now: Timestamp, walk: &mut Walk) -> Option<Timestamp> {
    let end = end.filter(|end| {
        let lasting = end.duration_since(now);
        (LEAST..=MOST).contains(&lasting)
    });
    if end.is_none() {
        walk.fault(Code::OutOfRange, LIMITS);
    }
    // the database keeps microseconds
    end.and_then(|end| Timestamp::from_microsecond(end.as_microsecond()).ok())
}

/// An ISO 8601 duration; days are 24 hours, and longer units are beyond every limit.
fn lasting(text: &str) -> Result<SignedDuration, Code> {
    static PARSER: SpanParser = SpanParser::new();
    // jiff also takes signs and small letters, which ISO 8601 does not have
    if !text.starts_with('P') || text.bytes().any(|b| b.is_ascii_lowercase()) {
        return Err(Code::InvalidFormat);
    }
    let span = PARSER.parse_span(text).map_err(|_| Code::InvalidFormat)?;
    if span.get_weeks() != 0 || span.get_months() != 0 || span.get_years() != 0 {
        return Err(Code::OutOfRange);
    }
    let seconds = span
        .total((Unit::Second, SpanRelativeTo::days_are_24_hours()))
        .map_err(|_| Code::OutOfRange)?;
    SignedDuration::try_from_secs_f64(seconds).map_err(|_| Code::OutOfRange)
}

/// RFC 3339 and nothing else: jiff by itself also takes a blank for the `T`, a bracketed zone and
/// an offset without minutes.
fn instant(text: &str) -> Option<Timestamp> {
    let (b, zone) = text.as_bytes().split_at_checked(19)?;
    let shape = b.iter().enumerate().all(|(at, byte)| match at {
        4 | 7 => *byte == b'-',
        10 => matches!(byte, b'T' | b't'),
        13 | 16 => *byte == b':',
        _ => byte.is_ascii_digit(),
    });
    let zone = match zone.strip_prefix(b".") {
        Some(fraction) => {
            let digits = fraction.iter().take_while(|b| b.is_ascii_digit()).count();
            if digits == 0 {
                return None;
            }
            &fraction[digits..]
        }
        None => zone,
    };
    let zoned = match zone {
        [b'Z' | b'z'] => true,
        [b'+' | b'-', h1, h2, b':', m1, m2] => [h1, h2, m1, m2].iter().all(|b| b.is_ascii_digit()),
        _ => false,
    };
    (shape && zoned).then(|| text.parse().ok()).flatten()
}
