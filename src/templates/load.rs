//! Reading templates once, at start, and proving them: every template is rendered in every
//! language with samples, so a misspelt name is found by the operator and not by a buyer.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use handlebars::Handlebars;
use jiff::Timestamp;

use crate::link::UseCase;

use super::facts::{Facts, Item};
use super::language::{Language, Locale};
use super::source::{Source, language, read};
use super::words::Words;
use super::{Brand, DEFAULT, HTML, Origin, PARTS, TemplateFault, Templates, form, page};

macro_rules! built_in {
    ($($name:literal),+ $(,)?) => {
        [$(($name, include_str!(concat!("../../email_templates/", $name)))),+]
    };
}

/// The templates inside the binary.
const BUILT_IN: [(&str, &str); 5] = built_in![
    "_layout.html.hbs",
    "link/subject.txt.hbs",
    "link/body.txt.hbs",
    "link/body.html.hbs",
    "link/sms.txt.hbs",
];

/// The words inside the binary.
const WORDS: [(&str, &str); 6] = built_in![
    "words/en.json",
    "words/sv.json",
    "words/de.json",
    "words/nb.json",
    "words/da.json",
    "words/fi.json",
];

/// The page address in samples. Rendered messages are searched for it.
const SAMPLE_URL: &str = "https://pay.example/s/7f3a9c2e51d84b06?a=1&b=2";

impl Templates {
    /// The built-in templates, with those in `overrides` in place of their namesakes.
    ///
    /// `overrides` may hold `{folder}/{subject.txt,body.txt,body.html,sms.txt}.hbs` (what a folder
    /// lacks is taken from `link`), partials `_{name}.html.hbs` and `_{name}.txt.hbs`, and
    /// `words/{language}.json` with the sentences to replace. Other files than `.hbs` and those
    /// words are left alone.
    ///
    /// # Errors
    /// All faults at once: what cannot be read, parsed or rendered with samples, and messages that
    /// do not carry the payment link as `contract.md` (Messages) wants it.
    pub fn load(overrides: Option<&Path>, brand: Brand) -> Result<Self, Vec<TemplateFault>> {
        let mut faults = Vec::new();
        let mut templates = Self::empty(brand);
        for (name, text) in WORDS {
            templates.take_built_in_words(name, text, &mut faults);
        }
        for (name, text) in BUILT_IN {
            templates.take(&Source::new(name, name, text), &mut faults);
        }
        let page = Source::new("page.html.hbs", "page.html.hbs", page::TEMPLATE);
        templates.register(page::NAME, &page, true, &mut faults);
        if let Some(folder) = overrides {
            for source in read(folder, &mut faults) {
                templates.take(&source, &mut faults);
            }
        }
        // what does not parse cannot be rendered: one fault is better than twenty of its echoes
        if faults.is_empty() {
            faults = templates.circles();
        }
        if faults.is_empty() {
            faults = templates.prove();
        }
        if faults.is_empty() {
            Ok(templates)
        } else {
            Err(faults)
        }
    }

    fn empty(brand: Brand) -> Self {
        let registry = || {
            let mut registry = Handlebars::new();
            registry.set_strict_mode(true);
            registry
        };
        let (mut html, mut text) = (registry(), registry());
        html.register_escape_fn(form::escape);
        text.register_escape_fn(handlebars::no_escape);
        Self {
            brand,
            html,
            text,
            words: Language::ALL
                .iter()
                .map(|it| (it.code(), Words::default()))
                .collect(),
            origins: BTreeMap::new(),
            known: vec![DEFAULT.into()],
        }
    }

    fn take_built_in_words(&mut self, name: &str, text: &str, faults: &mut Vec<TemplateFault>) {
        let code = language(name).unwrap_or_default();
        match (self.words.get_mut(code), Words::parse(text)) {
            (Some(words), Ok(read)) => *words = read,
            (_, Err(error)) => faults.push(words_fault(name, &error)),
            (None, Ok(_)) => {}
        }
    }

    /// Puts one file in its place, or says why it has none.
    fn take(&mut self, source: &Source, faults: &mut Vec<TemplateFault>) {
        let refuse = |reason: &str| TemplateFault {
            file: source.file.clone(),
            line: None,
            reason: reason.into(),
        };
        if let Some(code) = language(&source.name) {
            let Some(words) = self.words.get_mut(code) else {
                faults.push(refuse("no such language; there are en, sv, de, nb, da, fi"));
                return;
            };
            match Words::parse(&source.text) {
                Ok(read) => faults.extend(words.replace(read).iter().map(|it| refuse(it))),
                Err(error) => faults.push(words_fault(&source.file, &error)),
            }
            return;
        }
        let name = source.name.trim_end_matches(".hbs");
        match name.split_once('/') {
            None => {
                let partial = name.strip_prefix('_');
                if let Some(partial) = partial.and_then(|it| it.strip_suffix(".html")) {
                    self.register(partial, source, true, faults);
                } else if let Some(partial) = partial.and_then(|it| it.strip_suffix(".txt")) {
                    self.register(partial, source, false, faults);
                } else {
                    faults.push(refuse(
                        "a partial is named _name.html.hbs or _name.txt.hbs; a message has its folder",
                    ));
                }
            }
            Some((folder, part)) if PARTS.contains(&part) && is_folder(folder) => {
                if !self.known.iter().any(|it| it == folder) {
                    self.known.push(folder.into());
                }
                self.register(name, source, part == HTML, faults);
            }
            Some(_) => faults.push(refuse(
                "no message has such a part; parts are subject.txt, body.txt, body.html, sms.txt, \
                 in a folder of [a-z0-9_-]",
            )),
        }
    }

    fn register(
        &mut self,
        name: &str,
        source: &Source,
        html: bool,
        faults: &mut Vec<TemplateFault>,
    ) {
        let origin = Origin {
            file: source.file.clone(),
            includes: includes(&source.text),
        };
        self.origins.insert((html, name.into()), origin);
        let registry = if html { &mut self.html } else { &mut self.text };
        if let Err(error) = registry.register_template_string(name, &source.text) {
            faults.push(TemplateFault {
                file: source.file.clone(),
                line: error.pos().map(|(line, _)| line),
                reason: error.reason().to_string(),
            });
        }
    }

    /// Partials that include themselves by way of others: rendering them would overflow the stack,
    /// which no error handling catches.
    fn circles(&self) -> Vec<TemplateFault> {
        let mut faults = Vec::new();
        for (start, origin) in &self.origins {
            let mut seen = BTreeSet::new();
            let mut next: Vec<&String> = origin.includes.iter().collect();
            while let Some(name) = next.pop() {
                if seen.insert(name)
                    && let Some(origin) = self.origins.get(&(start.0, name.clone()))
                {
                    next.extend(&origin.includes);
                }
            }
            if seen.contains(&start.1) {
                faults.push(TemplateFault {
                    file: origin.file.clone(),
                    line: None,
                    reason: "includes itself".into(),
                });
            }
        }
        faults
    }

    /// Renders everything with samples. Each file's first fault is enough.
    fn prove(&self) -> Vec<TemplateFault> {
        let mut faults: Vec<TemplateFault> = Vec::new();
        let mut note = |fault: TemplateFault| {
            if !faults.iter().any(|it| it.file == fault.file) {
                faults.push(fault);
            }
        };
        let mut bare = self.brand.clone();
        (bare.support, bare.logo_url) = (None, None);
        let mut full = self.brand.clone();
        full.support.get_or_insert("+44 20 7946 0123".into());
        full.logo_url
            .get_or_insert("https://shop.example/logo.png".into());
        for language in Language::ALL {
            for (brand, facts) in [(&bare, plain(language)), (&full, rich(language))] {
                for folder in &self.known {
                    for part in PARTS {
                        let checked = self
                            .part(brand, folder, part, &facts)
                            .and_then(|text| self.weighed(folder, part, &text));
                        if let Err(fault) = checked {
                            note(fault);
                        }
                    }
                }
            }
        }
        faults
    }

    /// `contract.md`, Messages: every message carries the payment link, an SMS exactly one URL.
    fn weighed(&self, folder: &str, part: &str, text: &str) -> Result<(), TemplateFault> {
        let after = text.split_once(SAMPLE_URL).map(|(_, after)| after);
        let reason = match part {
            "subject.txt" if text.is_empty() => "the subject is empty",
            "body.txt" if after.is_none() => "the payment link {{url}} is missing",
            HTML if !text.contains(&form::escape(SAMPLE_URL)) => {
                "the payment link {{url}} is missing"
            }
            "sms.txt" if after.is_none() || text.matches("://").count() != 1 => {
                "it must carry {{url}} once and no other address"
            }
            // phones take a full stop behind an address into it
            "sms.txt" if after.is_some_and(|it| !it.is_empty() && !it.starts_with(' ')) => {
                "{{url}} must be followed by a space or the end"
            }
            _ => return Ok(()),
        };
        let own = format!("{folder}/{part}");
        let lent = format!("{DEFAULT}/{part}");
        let file = |name| self.file(part == HTML, name);
        Err(TemplateFault {
            file: file(&own).or_else(|| file(&lent)).unwrap_or(&own).into(),
            line: None,
            reason: reason.into(),
        })
    }
}

/// The partials that a template names: `{{> name}}`, `{{#> name}}`, with or without `~`.
fn includes(text: &str) -> Vec<String> {
    let expressions = text.split("{{").skip(1);
    let named = expressions.filter_map(|it| {
        let it = it.trim_start_matches(['~', '#']).trim_start();
        let name = it.strip_prefix('>')?.trim_start();
        let end = name.find(|c: char| c.is_whitespace() || c == '}' || c == '~');
        let name = name.get(..end?)?.trim_matches(['"', '\'']);
        Some(name.to_owned())
    });
    named.collect()
}

fn is_folder(name: &str) -> bool {
    let fits = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_' || b == b'-';
    (1..=32).contains(&name.len()) && name.bytes().all(fits)
}

fn words_fault(file: &str, error: &serde_json::Error) -> TemplateFault {
    TemplateFault {
        file: file.into(),
        line: Some(error.line()),
        reason: format!("words are one JSON object of strings: {error}"),
    }
}

/// A sale of one line with nothing that could be left out.
fn plain(language: Language) -> Facts {
    Facts {
        locale: Locale::of(language.code()),
        currency: "JPY".into(),
        use_case: UseCase::InStore,
        reference: "1".into(),
        amount: 500,
        tax: 0,
        sales_tax: false,
        lines: vec![item(1)],
        given_name: None,
        family_name: None,
        url: SAMPLE_URL.into(),
        until: Timestamp::UNIX_EPOCH,
        merchant_length: usize::MAX,
        qr: false,
    }
}

/// A sale with everything that a template can speak of.
fn rich(language: Language) -> Facts {
    Facts {
        currency: "EUR".into(),
        use_case: UseCase::Telesales,
        tax: 100,
        lines: (1..=30).map(item).collect(),
        given_name: Some("Jo".into()),
        family_name: Some("Bloggs".into()),
        qr: true,
        ..plain(language)
    }
}

fn item(quantity: i64) -> Item {
    Item {
        name: "Red T-Shirt".into(),
        quantity,
        unit: None,
        amount: 500,
    }
}

#[cfg(test)]
pub(super) fn built_in_words() -> Vec<(&'static str, Words)> {
    let read = |text| Words::parse(text).unwrap();
    WORDS
        .into_iter()
        .map(|(name, text)| (language(name).unwrap(), read(text)))
        .collect()
}
