//! What is wrong with an input, said so that its sender can mend it.

use std::fmt;

/// One fault of a request. All faults of a request are reported together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// RFC 6901 pointer of the member, or of the would-be member where one is missing.
    pub pointer: String,
    /// What kind of fault: a closed set, for machines.
    pub code: Code,
    /// One sentence for people: what is wrong and what would be right. Never the value itself.
    pub detail: String,
}

/// As many faults of one request are told; the last place may go to the news that there are more.
pub const MOST_FAULTS: usize = 100;

impl Fault {
    /// A fault at `pointer`.
    pub fn new(pointer: impl Into<String>, code: Code, detail: impl Into<String>) -> Self {
        Self {
            pointer: pointer.into(),
            code,
            detail: detail.into(),
        }
    }
}

macro_rules! codes {
    ($($variant:ident = $word:literal),+ $(,)?) => {
        /// The closed set of fault codes (`contract.md`, Errors).
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[allow(missing_docs)]
        pub enum Code { $($variant),+ }
        impl Code {
            /// Every code, for the catalogue.
            pub const ALL: &'static [Code] = &[$(Code::$variant),+];
            /// The word on the wire.
            pub fn as_str(self) -> &'static str {
                match self { $(Code::$variant => $word),+ }
            }
        }
    };
}
codes! {
    Required = "required",
    UnknownField = "unknown_field",
    Managed = "managed",
    ReadOnly = "read_only",
    WrongType = "wrong_type",
    OutOfRange = "out_of_range",
    TooShort = "too_short",
    TooLong = "too_long",
    TooMany = "too_many",
    TooFew = "too_few",
    InvalidFormat = "invalid_format",
    InvalidValue = "invalid_value",
    ControlCharacter = "control_character",
    Conflict = "conflict",
    SumMismatch = "sum_mismatch",
    TaxMismatch = "tax_mismatch",
    UnsupportedCountry = "unsupported_country",
    UnsupportedCurrency = "unsupported_currency",
    UnsupportedLocale = "unsupported_locale",
    NotDeliverable = "not_deliverable",
    ChannelNotConfigured = "channel_not_configured",
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
