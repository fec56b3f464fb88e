//! Words for people: messages and pages in the buyer's language, amounts and dates in the locale's
//! form. It must not know of channels, HTTP or the database: what goes in is a link, what comes
//! out is text.
//!
//! Templates are an operator's files: the built-in ones are in the binary, those in
//! `EMAIL_TEMPLATES_DIR` replace them by name. Values are data: escaped, kept on one line, and
//! printed so that nothing but the payment link becomes a link.

mod facts;
mod form;
mod language;
mod load;
mod moment;
mod money;
mod page;
mod segments;
mod source;
#[cfg(test)]
mod tests;
mod words;

use std::collections::BTreeMap;
use std::fmt;

use handlebars::Handlebars;
use jiff::tz::TimeZone;

pub use facts::Facts;
pub use moment::moment;
pub use money::money;
pub use page::{Landing, PageFacts};
pub use segments::{Encoding, Segments, segments};

use form::Form;
use language::Language;
use words::Words;

/// Whose messages these are, from the settings.
#[derive(Clone, Debug)]
pub struct Brand {
    /// `MERCHANT_NAME`.
    pub merchant: String,
    /// `MERCHANT_SUPPORT`: an e-mail address or a phone number as people write it.
    pub support: Option<String>,
    /// `MERCHANT_TERMS_URL`.
    pub terms_url: String,
    /// `MERCHANT_LOGO_URL`. The built-in mail does not show it: many mail programs block remote
    /// pictures, a dark logo is lost on a dark card, and fetching one tells when a mail was opened.
    /// Overrides have it as `{{logo_url}}`.
    pub logo_url: Option<String>,
    /// `DEFAULT_TIME_ZONE`: whose clocks ends of validity are told by.
    pub time_zone: TimeZone,
}

/// One message, ready for a channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// One line without control characters, at most 78 characters.
    pub subject: String,
    /// The mail for readers without HTML; says all that `html` says. Lines end with `\n`.
    pub text: String,
    /// The mail; wants the QR picture at `cid:qr@paylink` unless the facts are without one.
    pub html: String,
    /// One line, GSM-7 as long as the values are; names cut where it took more than three messages.
    pub sms: String,
    /// BCP 47, of the words: `en-GB`, `nb-NO`, `en`.
    pub language: String,
}

/// What is wrong with a template, said so that the operator finds the place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TemplateFault {
    /// Path of the file, or name of the built-in one.
    pub file: String,
    /// From 1, where it is known.
    pub line: Option<usize>,
    /// What is wrong there.
    pub reason: String,
}

impl fmt::Display for TemplateFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "template {} line {line}: {}", self.file, self.reason),
            None => write!(f, "template {}: {}", self.file, self.reason),
        }
    }
}
impl std::error::Error for TemplateFault {}

/// All templates and words, checked. Made once at start by [`Templates::load`].
#[derive(Debug)]
pub struct Templates {
    brand: Brand,
    /// Escapes values.
    html: Handlebars<'static>,
    /// Leaves values as they are.
    text: Handlebars<'static>,
    words: BTreeMap<&'static str, Words>,
    /// Where each registered template came from.
    origins: BTreeMap<Name, Origin>,
    known: Vec<String>,
}

/// A registered template: whether in the registry that escapes, and its name there.
type Name = (bool, String);

#[derive(Debug)]
struct Origin {
    /// Path of the file, or name of the built-in one.
    file: String,
    /// Names of the partials that it includes.
    includes: Vec<String>,
}

/// The four files of a folder of templates.
const PARTS: [&str; 4] = ["subject.txt", "body.txt", HTML, "sms.txt"];

/// The part whose values are escaped.
const HTML: &str = "body.html";

/// The folder that is always there and lends its files to those that lack one.
const DEFAULT: &str = "link";

impl Templates {
    /// The folders that `send[].template` may name, `link` first.
    pub fn known(&self) -> Vec<String> {
        self.known.clone()
    }

    /// The message of folder `template` for these facts, in the sale's language.
    ///
    /// # Errors
    /// When there is no such folder, or when an override cannot be rendered with these facts though
    /// it could with the samples at start.
    pub fn message(&self, template: &str, facts: &Facts) -> Result<Message, TemplateFault> {
        if !self.known.iter().any(|it| it == template) {
            return Err(TemplateFault {
                file: template.into(),
                line: None,
                reason: "no such folder of templates".into(),
            });
        }
        let part = |part| self.part(&self.brand, template, part, facts);
        Ok(Message {
            subject: part("subject.txt")?,
            text: part("body.txt")?,
            html: part(HTML)?,
            sms: part("sms.txt")?,
            language: facts.locale.tag.clone(),
        })
    }

    /// One part of a message, finished.
    fn part(
        &self,
        brand: &Brand,
        folder: &str,
        part: &str,
        facts: &Facts,
    ) -> Result<String, TemplateFault> {
        let words = self.words(facts.locale.language);
        let render =
            |facts: &Facts, form| self.render(folder, part, &facts.context(brand, words, form));
        match part {
            "subject.txt" => {
                let subject = form::line(&render(facts, Form::Subject)?);
                if subject.chars().count() <= SUBJECT {
                    return Ok(subject);
                }
                let shorter = form::line(&render(&facts.elided(REFERENCE), Form::Subject)?);
                Ok(form::elide(&shorter, SUBJECT))
            }
            HTML => render(facts, Form::Html),
            "sms.txt" => {
                let mut sms = form::line(&render(facts, Form::Sms)?);
                // a reference of emoji costs more: what is left of it gets shorter until all fits
                for length in [REFERENCE, 12, 6] {
                    if segments(&sms).parts <= SMS_PARTS {
                        break;
                    }
                    sms = form::line(&render(&facts.elided(length), Form::Sms)?);
                }
                Ok(sms)
            }
            _ => render(facts, Form::Text).map(|text| form::paragraphs(&text)),
        }
    }

    /// The page that a returning buyer sees: a whole HTML document without scripts and without
    /// styles of its own, in the sale's language.
    ///
    /// # Errors
    /// None that the check at start has not already found.
    pub fn page(&self, landing: Landing, facts: &PageFacts) -> Result<String, TemplateFault> {
        let words = self.words(facts.locale.language);
        let context = page::context(landing, facts, &self.brand, words);
        self.html
            .render(page::NAME, &context)
            .map_err(|error| self.fault(true, page::NAME, &error))
    }

    fn words(&self, language: Language) -> &Words {
        // `load` puts one entry in for each language
        &self.words[language.code()]
    }

    fn render(
        &self,
        folder: &str,
        part: &str,
        context: &serde_json::Value,
    ) -> Result<String, TemplateFault> {
        let html = part == HTML;
        let registry = if html { &self.html } else { &self.text };
        let own = format!("{folder}/{part}");
        let name = if registry.has_template(&own) {
            own
        } else {
            format!("{DEFAULT}/{part}")
        };
        registry
            .render(&name, context)
            .map_err(|error| self.fault(html, &name, &error))
    }

    fn fault(&self, html: bool, name: &str, error: &handlebars::RenderError) -> TemplateFault {
        // a fault within a partial names the partial
        let name = error.template_name.as_deref().unwrap_or(name);
        TemplateFault {
            file: self.file(html, name).unwrap_or(name).into(),
            line: error.line_no,
            reason: error.reason().to_string(),
        }
    }

    fn file(&self, html: bool, name: &str) -> Option<&str> {
        let origin = self.origins.get(&(html, name.to_owned()))?;
        Some(&origin.file)
    }
}

/// What mail programs show of a subject, and RFC 5322's advice for a line.
const SUBJECT: usize = 78;

/// What a message may take, as the network counts and the gateway bills.
const SMS_PARTS: u32 = 3;
/// What is left of a long reference where room is short.
const REFERENCE: usize = 22;
