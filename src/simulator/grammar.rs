//! The shape of a request, as a table: member, kind, limits. Klarna names every faulty member as
//! `order_lines[0].total_tax_amount`, so a fault here is nothing but such a path.
//!
//! Unknown members are no fault (Klarna tolerates them), and `null` counts as absent. It must not
//! know what any member means.

use std::collections::HashSet;
use std::fmt;

use serde_json::{Map, Value};

/// One member of an object.
pub(super) struct Field {
    pub name: &'static str,
    pub kind: Kind,
    pub required: bool,
}

/// What a member may hold. Lengths count Unicode scalar values; all limits are inclusive.
pub(super) enum Kind {
    Text(usize, usize),
    Int(i64, i64),
    Flag,
    /// One of these words, exactly.
    Word(&'static [&'static str]),
    /// Text that passes a test.
    Like(fn(&str) -> bool),
    /// At least so many, at most so many of a kind.
    List(usize, usize, &'static Kind),
    Object(&'static [Field]),
}

pub(super) const fn must(name: &'static str, kind: Kind) -> Field {
    Field {
        name,
        kind,
        required: true,
    }
}

pub(super) const fn may(name: &'static str, kind: Kind) -> Field {
    Field {
        name,
        kind,
        required: false,
    }
}

/// Where a value stands; written out only when it is at fault, so that a good request allocates
/// nothing here.
#[derive(Clone, Copy)]
pub(super) enum Path<'a> {
    Root,
    Member(&'a Path<'a>, &'a str),
    Index(&'a Path<'a>, usize),
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root => Ok(()),
            Self::Member(Self::Root, name) => f.write_str(name),
            Self::Member(parent, name) => write!(f, "{parent}.{name}"),
            Self::Index(parent, index) => write!(f, "{parent}[{index}]"),
        }
    }
}

/// The paths of all faulty members, in the order in which they were found.
#[derive(Debug, Default)]
pub(super) struct Faults(Vec<String>);

impl Faults {
    pub(super) fn add(&mut self, path: Path<'_>) {
        self.0.push(path.to_string());
    }

    /// The paths, none twice: shape and sums may both have met the same member.
    pub(super) fn paths(mut self) -> Vec<String> {
        let mut seen = HashSet::new();
        self.0.retain(|path| seen.insert(path.clone()));
        self.0
    }
}

/// Checks the members of `object` against the table.
pub(super) fn check(
    object: &Map<String, Value>,
    fields: &[Field],
    at: Path<'_>,
    faults: &mut Faults,
) {
    for field in fields {
        let here = Path::Member(&at, field.name);
        match object.get(field.name) {
            None | Some(Value::Null) if field.required => faults.add(here),
            None | Some(Value::Null) => {}
            Some(value) => check_value(value, &field.kind, here, faults),
        }
    }
}

fn check_value(value: &Value, kind: &Kind, at: Path<'_>, faults: &mut Faults) {
    let good = match (kind, value) {
        (Kind::Text(min, max), Value::String(text)) => {
            // bytes bound characters from above and save the count for nearly every text
            let short = *min <= 1 && text.len() >= *min && text.len() <= *max;
            short || (*min..=*max).contains(&text.chars().count())
        }
        (Kind::Int(min, max), Value::Number(number)) => {
            number.as_i64().is_some_and(|n| (*min..=*max).contains(&n))
        }
        (Kind::Flag, Value::Bool(_)) => true,
        (Kind::Word(words), Value::String(text)) => words.contains(&text.as_str()),
        (Kind::Like(fits), Value::String(text)) => fits(text),
        (Kind::List(min, max, of), Value::Array(items)) => {
            // the items of an endless list are not looked at: its answer would be endless too
            let counted = (*min..=*max).contains(&items.len());
            if counted {
                for (index, item) in items.iter().enumerate() {
                    check_value(item, of, Path::Index(&at, index), faults);
                }
            }
            counted
        }
        (Kind::Object(fields), Value::Object(object)) => {
            check(object, fields, at, faults);
            true
        }
        _ => false,
    };
    if !good {
        faults.add(at);
    }
}

/// Takes every `null` away, at any depth: what is absent is not echoed.
pub(super) fn without_nulls(value: &mut Value) {
    match value {
        Value::Object(object) => {
            object.retain(|_, member| !member.is_null());
            object.values_mut().for_each(without_nulls);
        }
        Value::Array(items) => items.iter_mut().for_each(without_nulls),
        _ => {}
    }
}

/// The text at `name`; absent, `null` and every other kind are `None`.
pub(super) fn text<'a>(object: &'a Map<String, Value>, name: &str) -> Option<&'a str> {
    object.get(name).and_then(Value::as_str)
}

/// Is it an absolute URL over http or https with a host? Klarna's placeholders in braces may stand
/// in it.
pub(super) fn is_url(text: &str) -> bool {
    url(text).is_some()
}

/// The same, and https, but for hosts that lead back to this machine (a merchant under test has no
/// certificate there).
pub(super) fn is_safe_url(text: &str) -> bool {
    url(text).is_some_and(|url| url.scheme() == "https" || is_loopback(&url))
}

fn url(text: &str) -> Option<reqwest::Url> {
    // a control character or a blank is dropped or escaped by the parser, and would be a fault
    if text.len() > 2000 || text.chars().any(|c| c.is_control() || c == ' ') {
        return None;
    }
    let url = reqwest::Url::parse(text).ok()?;
    (matches!(url.scheme(), "http" | "https") && url.has_host()).then_some(url)
}

fn is_loopback(url: &reqwest::Url) -> bool {
    let Some(host) = url.host_str() else {
        return false;
    };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost"
        || host
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.to_canonical().is_loopback())
}
