//! Which of the six languages a locale is answered in, and the conventions that go with it.

/// A language that paylink has words for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Language {
    English,
    Swedish,
    German,
    Norwegian,
    Danish,
    Finnish,
}

impl Language {
    pub(super) const ALL: [Language; 6] = [
        Language::English,
        Language::Swedish,
        Language::German,
        Language::Norwegian,
        Language::Danish,
        Language::Finnish,
    ];

    /// ISO 639-1, and the name of its words file.
    pub(super) fn code(self) -> &'static str {
        match self {
            Language::English => "en",
            Language::Swedish => "sv",
            Language::German => "de",
            Language::Norwegian => "nb",
            Language::Danish => "da",
            Language::Finnish => "fi",
        }
    }
}

/// A locale as its reader will be served: the language that there are words for, and the region,
/// which decides on details (`de-CH` groups digits by ’).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Locale {
    pub(super) language: Language,
    /// ISO 3166-1, upper case, or empty.
    pub(super) region: String,
    /// What goes into `lang="…"`: the text's language, so `en` where we have no words for the
    /// buyer's.
    pub(super) tag: String,
}

impl Locale {
    /// Reads `en-GB`, `en_gb`, `en`, and the first of a browser's list. What is unknown is answered
    /// in English.
    pub(super) fn of(locale: &str) -> Self {
        let first = locale.split([',', ';']).next().unwrap_or("").trim();
        let mut parts = first.split(['-', '_']);
        let code = parts.next().unwrap_or("").to_ascii_lowercase();
        let region = parts
            .find(|part| part.len() == 2 && part.bytes().all(|b| b.is_ascii_alphabetic()))
            .unwrap_or("")
            .to_ascii_uppercase();
        let code = match code.as_str() {
            // Bokmål is read by everybody who writes Nynorsk
            "no" | "nn" => "nb",
            other => other,
        };
        let known = Language::ALL.into_iter().find(|it| it.code() == code);
        let language = known.unwrap_or(Language::English);
        let tag = match known {
            Some(_) if !region.is_empty() => format!("{code}-{region}"),
            _ => language.code().to_owned(),
        };
        Self {
            language,
            region,
            tag,
        }
    }
}
