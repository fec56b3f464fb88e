//! Checks a body against the [`super::grammar`], member by member, and collects every fault. It
//! knows kinds and limits; what members mean together is checked by those who read them.

use super::contact::{Email, Phone};
use super::fault::{Code, Fault, MOST_FAULTS};
use super::grammar::{BODY, Form, Kind, Member};
use super::tree::Tree;
use super::{place, text};

/// A walk through one body.
pub(super) struct Walk<'a> {
    /// For phones in national form: the purchase country, where it is known.
    country: Option<&'a str>,
    /// Whether http URLs on loopback are taken.
    loopback: bool,
    /// RFC 6901 pointer of where we are.
    path: String,
    faults: Vec<Fault>,
}

impl<'a> Walk<'a> {
    pub(super) fn new(country: Option<&'a str>, loopback: bool) -> Self {
        Self {
            country,
            loopback,
            path: String::new(),
            faults: Vec::new(),
        }
    }

    /// A fault where we are.
    pub(super) fn fault(&mut self, code: Code, detail: impl Into<String>) {
        // one more than is told, so that whoever tells them knows that there are more
        if self.faults.len() <= MOST_FAULTS {
            self.faults
                .push(Fault::new(self.path.clone(), code, detail));
        }
    }

    /// Does `work` one step further down.
    pub(super) fn at<R>(&mut self, step: &str, work: impl FnOnce(&mut Self) -> R) -> R {
        let back = self.path.len();
        self.path.push('/');
        for c in step.chars() {
            match c {
                '~' => self.path.push_str("~0"),
                '/' => self.path.push_str("~1"),
                c => self.path.push(c),
            }
        }
        let result = work(self);
        self.path.truncate(back);
        result
    }

    /// A fault at the member `step` of where we are.
    pub(super) fn fault_at(&mut self, step: &str, code: Code, detail: impl Into<String>) {
        self.at(step, |walk| walk.fault(code, detail));
    }

    /// All faults, or `whole` where there are none. What is neither whole nor faulty would be an
    /// error of ours; it is still not let through.
    pub(super) fn finish<T>(mut self, whole: Option<T>) -> Result<T, Vec<Fault>> {
        match whole {
            Some(whole) if self.faults.is_empty() => Ok(whole),
            whole => {
                if whole.is_none() && self.faults.is_empty() {
                    self.fault(Code::InvalidValue, "the request cannot be read");
                }
                Err(self.faults)
            }
        }
    }

    /// An object with `members` and no others.
    pub(super) fn members(&mut self, tree: &Tree, members: &[Member]) {
        let Tree::Map(given) = tree else {
            return self.wrong_type("an object");
        };
        for (name, value) in given {
            match members.iter().find(|member| member.name == name) {
                None => self.fault_at(name, Code::UnknownField, "no such member is known here"),
                Some(Member {
                    kind: kind @ (Kind::Managed | Kind::ReadOnly),
                    ..
                }) => self.at(name, |walk| walk.value(value, kind)),
                Some(member) if *value == Tree::Null && member.nullable => {}
                Some(member) => self.at(name, |walk| walk.value(value, &member.kind)),
            }
        }
        for member in members {
            if member.required && tree.get(member.name).is_none() {
                self.fault_at(member.name, Code::Required, "this member is required");
            }
        }
    }

    fn wrong_type(&mut self, right: &str) {
        self.fault(Code::WrongType, format!("must be {right}"));
    }

    fn value(&mut self, tree: &Tree, kind: &Kind) {
        match (kind, tree) {
            (Kind::Managed, _) => self.fault(
                Code::Managed,
                "this member is set by paylink and cannot be given",
            ),
            (Kind::ReadOnly, _) => self.fault(
                Code::ReadOnly,
                "this member is an answer of Klarna and cannot be given",
            ),
            (Kind::Map(members), tree) => self.members(tree, members),
            (Kind::Flag, Tree::Bool(_)) => {}
            (Kind::Flag, _) => self.wrong_type("true or false"),
            (Kind::Int { min, max }, Tree::Int(number)) => {
                if !(min..=max).contains(&number) {
                    self.fault(Code::OutOfRange, bounds(*min, *max));
                }
            }
            (Kind::Int { min, max }, Tree::Number(text)) if beyond(text) => {
                self.fault(Code::OutOfRange, bounds(*min, *max));
            }
            (Kind::Int { .. }, _) => self.wrong_type("a whole number, without quotes or fraction"),
            (Kind::Word(words), Tree::Text(word)) => {
                if !words.contains(&word.as_str()) {
                    self.fault(
                        Code::InvalidValue,
                        format!("must be one of {}", words.join(", ")),
                    );
                }
            }
            (Kind::Text { min, max, form }, Tree::Text(text)) => {
                self.text(text, *min, *max, *form);
            }
            (Kind::Word(_) | Kind::Text { .. }, _) => self.wrong_type("a string"),
            (Kind::List { of, min, max }, Tree::List(items)) => {
                self.list(items, of, *min, *max);
            }
            (Kind::List { .. }, _) => self.wrong_type("a list"),
            (Kind::Pairs { most, name, value }, Tree::Map(pairs)) => {
                self.pairs(pairs, *most, *name, *value);
            }
            (Kind::Pairs { .. }, _) => self.wrong_type("an object of strings"),
        }
    }

    fn list(&mut self, items: &[Tree], of: &Kind, min: usize, max: usize) {
        if items.len() < min {
            self.fault(Code::TooFew, format!("must have at least {min} items"));
        }
        if items.len() > max {
            // the items of a list that is too long anyway are not worth the walk
            return self.fault(Code::TooMany, format!("must have at most {max} items"));
        }
        for (index, item) in items.iter().enumerate() {
            self.at(&index.to_string(), |walk| walk.value(item, of));
        }
    }

    fn pairs(&mut self, pairs: &[(String, Tree)], most: usize, name_max: usize, max: usize) {
        if pairs.len() > most {
            return self.fault(Code::TooMany, format!("must have at most {most} members"));
        }
        for (name, value) in pairs {
            self.at(name, |walk| {
                for flaw in text::flaws(name, 1, name_max) {
                    walk.fault(flaw, format!("its name {}", length(flaw, 1, name_max)));
                }
                match value {
                    Tree::Text(value) => walk.text(value, 0, max, Form::Free),
                    _ => walk.wrong_type("a string"),
                }
            });
        }
    }

    fn text(&mut self, text: &str, min: usize, max: usize, form: Form) {
        let flaws = text::flaws(text, min, max);
        for flaw in &flaws {
            self.fault(*flaw, length(*flaw, min, max));
        }
        // one fault for one cause: what is blank, cut or tainted has no form
        if !flaws.is_empty() || text.is_empty() {
            return;
        }
        let (code, detail) = match form {
            // these two are checked by those who know now and the rest of the request
            Form::Free | Form::Duration | Form::Instant => return,
            Form::Person if text::has_url(text) => (
                Code::InvalidValue,
                "must be a person's name, without a web address in it",
            ),
            Form::Url if !text::is_url(text, self.loopback) => (
                Code::InvalidValue,
                "must be an https URL with a host and without user or password",
            ),
            Form::Color if !text::is_color(text) => {
                (Code::InvalidFormat, "must be a colour such as #FF9900")
            }
            Form::Date if !text::is_date(text) => {
                (Code::InvalidFormat, "must be a date as yyyy-mm-dd")
            }
            Form::Email => match Email::parse(text) {
                Ok(_) => return,
                Err(code) => (code, EMAIL),
            },
            Form::Phone => match self.phone(text) {
                Ok(_) => return,
                Err(code) => (code, PHONE),
            },
            Form::Country => match place::country(text) {
                Ok(_) => return,
                Err(code) => (code, "must be a country as ISO 3166-1 alpha-2, such as GB"),
            },
            Form::Market if !letters(text, 2) => (
                Code::InvalidFormat,
                "must be a country as ISO 3166-1 alpha-2, such as GB",
            ),
            Form::Currency if !letters(text, 3) => (
                Code::InvalidFormat,
                "must be a currency as ISO 4217, such as GBP",
            ),
            Form::Locale => match place::locale(text) {
                Ok(_) => return,
                Err(code) => (
                    code,
                    "must be an existing language, or language and country, such as en or en-GB",
                ),
            },
            Form::Person | Form::Url | Form::Color | Form::Date | Form::Market | Form::Currency => {
                return;
            }
        };
        self.fault(code, detail);
    }

    /// A phone number, in national form only where the purchase country is known: where it is
    /// faulty itself, `Ok(None)` avoids a second fault of the same cause.
    pub(super) fn phone(&self, text: &str) -> Result<Option<Phone>, Code> {
        match self.country {
            Some(country) => Phone::parse(text, country).map(Some),
            None if text.trim_start().starts_with('+') => Phone::parse(text, "").map(Some),
            None => Ok(None),
        }
    }
}

/// What is right of an e-mail address.
pub(super) const EMAIL: &str =
    "must be an e-mail address such as jo@example.com, without name, quotes or blanks";
/// What is right of a phone number.
pub(super) const PHONE: &str = "must be one phone number, such as +447700900123, without extension; national form is taken \
     with the purchase country";

fn letters(text: &str, count: usize) -> bool {
    text.len() == count && text.bytes().all(|b| b.is_ascii_alphabetic())
}

/// Whether a number is one that no 64-bit integer holds. So large a number has no fraction left,
/// and how it was written is lost.
fn beyond(number: &str) -> bool {
    // 2^63; the double nearest to i64::MAX
    let limit = 9_223_372_036_854_775_808.0;
    number
        .parse::<f64>()
        .is_ok_and(|number| number >= limit || number < -limit)
}

fn bounds(min: i64, max: i64) -> String {
    if max == i64::MAX {
        format!("must be at least {min}")
    } else {
        format!("must be from {min} to {max}")
    }
}

fn length(flaw: Code, min: usize, max: usize) -> String {
    match flaw {
        Code::ControlCharacter => {
            "must not have control characters or characters that change the direction of text"
                .into()
        }
        Code::TooShort if min > 1 => format!("must have at least {min} characters"),
        Code::TooShort => "must have at least one visible character".into(),
        _ if max == BODY => "is too long".into(),
        _ => format!("must have at most {max} characters"),
    }
}
