//! An operator's own templates: taken where they are right, named where they are not.

use std::fs;
use std::path::PathBuf;

use super::*;

/// An override folder that goes when the test ends.
struct Overrides(PathBuf);

impl Overrides {
    fn new(name: &str, files: &[(&str, &str)]) -> Self {
        let folder = std::env::temp_dir().join(format!("paylink-{name}-{}", std::process::id()));
        for (file, text) in files {
            let path = folder.join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        Self(folder)
    }

    fn load(&self) -> Result<Templates, Vec<TemplateFault>> {
        Templates::load(Some(&self.0), brand())
    }

    /// Faults as `file:line reason`, files below the folder.
    fn faults(&self) -> Vec<String> {
        let faults = self.load().unwrap_err();
        let root = format!("{}/", self.0.display());
        faults
            .iter()
            .map(|it| {
                let line = it.line.map_or("-".into(), |line| line.to_string());
                format!("{}:{line} {}", it.file.replace(&root, ""), it.reason)
            })
            .collect()
    }
}

impl Drop for Overrides {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn an_operator_replaces_templates_words_and_adds_folders() {
    let overrides = Overrides::new(
        "good",
        &[
            ("link/subject.txt.hbs", "Your order {{reference}}\r\n"),
            ("reminder/sms.txt.hbs", "{{merchant}} reminds you: {{url}}"),
            ("words/en.json", r#"{"terms": "Conditions"}"#),
            ("README", "not a template"),
        ],
    );
    let templates = overrides.load().unwrap();
    assert_eq!(templates.known(), ["link", "reminder"]);
    let facts = Facts::of(&link("en-GB"), until()).unwrap();
    let message = templates.message("reminder", &facts).unwrap();
    assert_eq!(message.subject, "Your order SO-10442");
    assert_eq!(message.sms, format!("Acme Shop reminds you: {URL}"));
    assert!(message.html.contains(">Conditions</a>"));
    let unknown = templates.message("absent", &facts).unwrap_err();
    assert_eq!(
        unknown.to_string(),
        "template absent: no such folder of templates"
    );
}

#[test]
fn a_broken_override_is_named_with_file_line_and_reason() {
    let parse = Overrides::new(
        "parse",
        &[("link/body.txt.hbs", "one\n{{#if support}}\nthree")],
    );
    let faults = parse.faults();
    assert_eq!(faults.len(), 1, "{faults:?}");
    assert!(faults[0].starts_with("link/body.txt.hbs:"), "{faults:?}");
    assert!(!faults[0].contains(":- "), "{faults:?}");

    let missing = Overrides::new(
        "missing",
        &[
            ("link/body.txt.hbs", "{{url}}\n{{amuont}}"),
            (
                "_layout.html.hbs",
                "{{#if support}}\n{{suport}}{{/if}}{{> @partial-block}}",
            ),
        ],
    );
    let faults = missing.faults();
    assert_eq!(faults.len(), 2, "{faults:?}");
    assert!(
        faults
            .iter()
            .any(|it| it.starts_with("link/body.txt.hbs:2 ") && it.contains("amuont")),
        "{faults:?}"
    );
    assert!(
        faults
            .iter()
            .any(|it| it.starts_with("_layout.html.hbs:2 ") && it.contains("suport")),
        "{faults:?}"
    );
}

#[test]
fn an_override_that_would_send_no_usable_link_is_refused() {
    let overrides = Overrides::new(
        "links",
        &[
            ("link/sms.txt.hbs", "Pay at {{url}}."),
            ("link/body.html.hbs", "<p>{{amount}}</p>"),
            ("other/sms.txt.hbs", "Pay {{url}} terms {{terms_url}}"),
            ("other/body.txt.hbs", "nothing"),
        ],
    );
    let faults = overrides.faults();
    assert_eq!(faults.len(), 4, "{faults:?}");
    for wanted in [
        "link/sms.txt.hbs:- {{url}} must be followed by a space",
        "link/body.html.hbs:- the payment link",
        "other/sms.txt.hbs:- it must carry {{url}} once",
        "other/body.txt.hbs:- the payment link",
    ] {
        assert!(
            faults.iter().any(|it| it.starts_with(wanted)),
            "{wanted} in {faults:?}"
        );
    }
}

#[test]
fn misplaced_files_and_unknown_words_are_faults() {
    let overrides = Overrides::new(
        "misplaced",
        &[
            ("link/sbject.txt.hbs", "x"),
            ("Bad Folder/sms.txt.hbs", "{{url}}"),
            ("loose.hbs", "x"),
            ("words/xx.json", "{}"),
            ("words/sv.json", r#"{"termz": "x", "terms": "{amuont}"}"#),
            ("words/de.json", "{\"terms\":\n 1}"),
        ],
    );
    let faults = overrides.faults();
    assert_eq!(faults.len(), 7, "{faults:?}");
    assert!(
        faults.iter().any(|it| it.starts_with("words/de.json:2 ")),
        "{faults:?}"
    );
    let absent = Templates::load(Some(&overrides.0.join("absent")), brand()).unwrap_err();
    assert!(absent[0].reason.starts_with("cannot be read"), "{absent:?}");
}

#[test]
fn partials_that_include_each_other_are_a_fault_and_not_a_crash() {
    let overrides = Overrides::new(
        "circle",
        &[
            ("_a.html.hbs", "{{#if qr}}{{~>b}}{{/if}}"),
            ("_b.html.hbs", "{{#> a}}x{{/a}}"),
            ("_b.txt.hbs", "innocent {{amount}}"),
            ("link/body.html.hbs", "{{url}}{{> a}}"),
        ],
    );
    assert_eq!(
        overrides.faults(),
        [
            "_a.html.hbs:- includes itself",
            "_b.html.hbs:- includes itself"
        ]
    );
}
