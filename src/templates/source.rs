//! The override folder: which of its files are templates or words, and their text.

use std::path::Path;
use std::{fs, io};

use super::TemplateFault;

/// One file of the override folder.
pub(super) struct Source {
    /// Path below the folder: `link/body.html.hbs`.
    pub(super) name: String,
    /// Path for people.
    pub(super) file: String,
    pub(super) text: String,
}

impl Source {
    pub(super) fn new(name: &str, file: &str, text: &str) -> Self {
        Self {
            name: name.into(),
            file: file.into(),
            // a bare CR in a mail's body is a way to smuggle SMTP commands (security.md, Messages)
            text: text.replace('\r', ""),
        }
    }
}

/// `words/sv.json` → `sv`.
pub(super) fn language(name: &str) -> Option<&str> {
    name.strip_prefix("words/")?.strip_suffix(".json")
}

/// The files of the override folder, sorted, so that faults come in the same order each time.
pub(super) fn read(folder: &Path, faults: &mut Vec<TemplateFault>) -> Vec<Source> {
    let mut sources = Vec::new();
    read_into(folder, folder, &mut sources, faults);
    sources.sort_by(|a, b| a.name.cmp(&b.name));
    sources
}

fn read_into(
    root: &Path,
    folder: &Path,
    sources: &mut Vec<Source>,
    faults: &mut Vec<TemplateFault>,
) {
    let unreadable = |path: &Path, error: &io::Error| TemplateFault {
        file: path.display().to_string(),
        line: None,
        reason: format!("cannot be read: {error}"),
    };
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) => {
            faults.push(unreadable(folder, &error));
            return;
        }
    };
    for entry in entries {
        let path = match entry {
            Ok(entry) => entry.path(),
            Err(error) => {
                faults.push(unreadable(folder, &error));
                continue;
            }
        };
        if path.is_dir() {
            // one level: folders of messages, and words
            if folder == root {
                read_into(root, &path, sources, faults);
            }
            continue;
        }
        let below = path.strip_prefix(root).unwrap_or(&path);
        let parts: Vec<_> = below.iter().map(|it| it.to_string_lossy()).collect();
        let name = parts.join("/");
        let hbs = Path::new(&name).extension().is_some_and(|it| it == "hbs");
        if !hbs && language(&name).is_none() {
            continue;
        }
        match fs::read_to_string(&path) {
            Ok(text) => sources.push(Source::new(&name, &path.display().to_string(), &text)),
            Err(error) => faults.push(unreadable(&path, &error)),
        }
    }
}
