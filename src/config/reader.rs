//! Takes settings out of an environment and collects what is wrong with them.

use std::fmt;
use std::io;
use std::path::Path;

use super::table;

/// One thing that is wrong with the configuration. Never holds a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigFault {
    /// The environment variable.
    pub setting: String,
    /// What is wrong, as a predicate: "is missing".
    pub wrong: String,
    /// What would be right, as an order: "give …".
    pub right: String,
}

impl fmt::Display for ConfigFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.setting, self.wrong, self.right)
    }
}
impl std::error::Error for ConfigFault {}

pub(super) type Get<'a> = &'a dyn Fn(&str) -> Option<String>;
pub(super) type File<'a> = &'a dyn Fn(&Path) -> io::Result<Vec<u8>>;

pub(super) struct Reader<'a> {
    get: Get<'a>,
    file: File<'a>,
    pub(super) faults: Vec<ConfigFault>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(get: Get<'a>, file: File<'a>) -> Self {
        Self {
            get,
            file,
            faults: Vec::new(),
        }
    }

    pub(super) fn fault(
        &mut self,
        setting: &str,
        wrong: impl Into<String>,
        right: impl Into<String>,
    ) {
        let fault = ConfigFault {
            setting: setting.into(),
            wrong: wrong.into(),
            right: right.into(),
        };
        // a setting that is asked for twice is wrong once
        if !self.faults.contains(&fault) {
            self.faults.push(fault);
        }
    }

    /// What was given, without its default. Empty counts as absent; a secret may come from a file.
    pub(super) fn given(&mut self, name: &str) -> Option<String> {
        let secret = table::settings().any(|it| it.name == name && it.secret);
        let value = (self.get)(name)
            // a password may begin or end with a space; nothing else does on purpose
            .map(|value| {
                if secret {
                    value
                } else {
                    value.trim().to_owned()
                }
            })
            .filter(|value| !value.is_empty());
        if !secret {
            return value;
        }
        let file_name = format!("{name}_FILE");
        let Some(path) = (self.get)(&file_name).filter(|path| !path.is_empty()) else {
            return value;
        };
        if value.is_some() {
            self.fault(
                &file_name,
                format!("is given beside {name}"),
                "give one of the two",
            );
            return value;
        }
        let text = self.bytes(Path::new(&path)).and_then(|bytes| {
            String::from_utf8(bytes).map_err(|_| io::ErrorKind::InvalidData.into())
        });
        match text {
            // editors and `echo` end a file with a line break that is no part of the secret
            Ok(text) => match text.trim_end_matches(['\r', '\n']) {
                "" => {
                    self.fault(&file_name, "names an empty file", "write the secret to it");
                    None
                }
                text => Some(text.to_owned()),
            },
            Err(cause) => {
                self.fault(
                    &file_name,
                    format!("names a file that cannot be read ({})", cause.kind()),
                    "name a text file that this user can read",
                );
                None
            }
        }
    }

    /// The content of a file that a setting names.
    pub(super) fn bytes(&self, path: &Path) -> io::Result<Vec<u8>> {
        (self.file)(path)
    }

    /// What was given, or the table's default.
    pub(super) fn text(&mut self, name: &str) -> Option<String> {
        self.given(name).or_else(|| {
            table::settings()
                .find(|it| it.name == name)
                .and_then(|it| it.default)
                .map(str::to_owned)
        })
    }

    /// The value or default as a `T`; a fault where it is none. `None`: absent, or a fault was told.
    pub(super) fn parse<T>(
        &mut self,
        name: &str,
        right: &str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Option<T> {
        let text = self.text(name)?;
        let parsed = parse(&text);
        if parsed.is_none() {
            self.fault(name, "has a wrong value", right);
        }
        parsed
    }

    /// As [`Reader::parse`], and a fault where it is absent.
    pub(super) fn need<T>(
        &mut self,
        name: &str,
        right: &str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Option<T> {
        // a file that could not be read was told of already
        let before = self.faults.len();
        if self.text(name).is_none() && self.faults.len() == before {
            self.fault(name, "is missing", right);
        }
        self.parse(name, right, parse)
    }

    pub(super) fn number(
        &mut self,
        name: &str,
        range: std::ops::RangeInclusive<u32>,
    ) -> Option<u32> {
        let right = format!(
            "give a whole number from {} to {}",
            range.start(),
            range.end()
        );
        self.parse(name, &right, |text| {
            text.parse().ok().filter(|number| range.contains(number))
        })
    }

    pub(super) fn flag(&mut self, name: &str) -> bool {
        self.parse(name, "give 1 or 0", |text| match text {
            "1" | "true" => Some(true),
            "0" | "false" => Some(false),
            _ => None,
        })
        .unwrap_or(false)
    }
}
