//! Query strings, strictly: a parameter that the call does not have, one that comes twice, or one
//! that cannot be read is a 422 with its name. A typing error must not silently widen a list.

use actix_web::HttpRequest;
use jiff::Timestamp;
use url::form_urlencoded;

use super::problem::{FaultView, Problem};
use crate::link::Code;

/// The parameters of one call.
#[derive(Debug)]
pub struct Query {
    pairs: Vec<(String, String)>,
    faults: Vec<FaultView>,
}

/// What is wrong with a value.
pub type Wrong = (Code, &'static str);

impl Query {
    /// The parameters of `request`, of which the call has `known`.
    pub fn of(request: &HttpRequest, known: &[&str]) -> Self {
        Self::parse(request.query_string(), known)
    }

    /// A call without parameters.
    pub fn none(request: &HttpRequest) -> Result<(), Problem> {
        Self::of(request, &[]).finish()
    }

    /// As [`Query::of`], from text.
    pub fn parse(text: &str, known: &[&str]) -> Self {
        let mut query = Self {
            pairs: Vec::new(),
            faults: Vec::new(),
        };
        for (name, value) in form_urlencoded::parse(text.as_bytes()) {
            if !known.contains(&name.as_ref()) {
                // the name is the caller's own text: cut, so that it cannot fill a log
                let name: String = name.chars().take(64).collect();
                query.fault(
                    &name,
                    (Code::UnknownField, "this call has no such parameter"),
                );
            } else if query.pairs.iter().any(|(other, _)| *other == name) {
                query.fault(&name, (Code::UnknownField, "the parameter is there twice"));
            } else if value.contains(char::REPLACEMENT_CHARACTER) {
                query.fault(&name, (Code::InvalidFormat, "the value is not UTF-8"));
            } else if value.contains(char::is_control) {
                query.fault(
                    &name,
                    (
                        Code::ControlCharacter,
                        "a control character is in the value",
                    ),
                );
            } else {
                query.pairs.push((name.into_owned(), value.into_owned()));
            }
        }
        query
    }

    fn fault(&mut self, name: &str, (code, detail): Wrong) {
        self.faults
            .push(FaultView::of_parameter(name, code, detail));
    }

    /// A value as it is; empty counts as absent, as an HTML form sends it.
    pub fn text(&mut self, name: &str) -> Option<String> {
        self.pairs
            .iter()
            .find(|(other, value)| other == name && !value.is_empty())
            .map(|(_, value)| value.clone())
    }

    /// A value that `read` understands.
    pub fn value<T>(
        &mut self,
        name: &str,
        read: impl FnOnce(&str) -> Result<T, Wrong>,
    ) -> Option<T> {
        let text = self.text(name)?;
        match read(&text) {
            Ok(value) => Some(value),
            Err(wrong) => {
                self.fault(name, wrong);
                None
            }
        }
    }

    /// Words of a closed set, separated by commas; none where the parameter is absent.
    pub fn words<T>(&mut self, name: &str, read: impl Fn(&str) -> Option<T>) -> Vec<T> {
        self.value(name, |text| {
            text.split(',')
                .map(|word| read(word.trim()))
                .collect::<Option<Vec<T>>>()
                .ok_or((Code::InvalidValue, "not one of the words of the contract"))
        })
        .unwrap_or_default()
    }

    /// An RFC 3339 instant.
    pub fn instant(&mut self, name: &str) -> Option<Timestamp> {
        self.value(name, |text| {
            text.parse().map_err(|_| {
                (
                    Code::InvalidFormat,
                    "an instant is written as in 2026-11-24T09:30:00Z, a plus sign as %2B",
                )
            })
        })
    }

    /// A whole number within `range`, `or` where absent.
    pub fn number(&mut self, name: &str, range: std::ops::RangeInclusive<u32>, or: u32) -> u32 {
        self.value(name, |text| {
            let outside = (
                Code::OutOfRange,
                "the number is outside of what the call takes",
            );
            let digits = text.strip_prefix('-').unwrap_or(text);
            if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
                return Err((Code::InvalidFormat, "a whole number is wanted"));
            }
            // below zero, and longer than 32 bit, is a number too
            let number: u32 = text.parse().map_err(|_| outside)?;
            if range.contains(&number) {
                Ok(number)
            } else {
                Err(outside)
            }
        })
        .unwrap_or(or)
    }

    /// `true` or `false`; false where absent.
    pub fn flag(&mut self, name: &str) -> bool {
        self.value(name, |text| match text {
            "true" => Ok(true),
            "false" => Ok(false),
            _ => Err((Code::InvalidValue, "true or false is wanted")),
        })
        .unwrap_or(false)
    }

    /// All faults, or none.
    pub fn finish(self) -> Result<(), Problem> {
        if self.faults.is_empty() {
            Ok(())
        } else {
            Err(Problem::faults(self.faults))
        }
    }
}
