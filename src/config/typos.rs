//! Finds the names in an environment that were perhaps meant as settings: a typo in an optional
//! setting is silent otherwise.

use super::table::settings;

/// Names among `names` that look like settings and are none, each with the setting that was
/// perhaps meant. For a warning at start.
pub fn unknown<'a>(
    names: impl IntoIterator<Item = &'a str>,
) -> Vec<(String, Option<&'static str>)> {
    const PREFIXES: &[&str] = &[
        "PAYLINK_",
        "KLARNA_",
        "MERCHANT_",
        "DEFAULT_",
        "SMTP_",
        "MAIL_",
        "SMS_",
        "LIMIT_",
    ];
    let known = |name: &str| {
        settings()
            .any(|it| name == it.name || (it.secret && name.strip_suffix("_FILE") == Some(it.name)))
    };
    let mut found: Vec<_> = names
        .into_iter()
        .filter(|name| PREFIXES.iter().any(|prefix| name.starts_with(prefix)))
        .filter(|name| !known(name))
        .map(|name| (name.to_owned(), nearest(name)))
        .collect();
    found.sort();
    found
}

fn nearest(name: &str) -> Option<&'static str> {
    settings()
        .map(|it| (distance(name, it.name), it.name))
        .min()
        .filter(|(distance, _)| *distance <= 3)
        .map(|(_, name)| name)
}

/// Edits between two names (Levenshtein).
fn distance(one: &str, two: &str) -> usize {
    let mut row: Vec<usize> = (0..=two.len()).collect();
    for (i, a) in one.bytes().enumerate() {
        let mut corner = i;
        row[0] = i + 1;
        for (j, b) in two.bytes().enumerate() {
            let change = corner + usize::from(a != b);
            corner = row[j + 1];
            row[j + 1] = change.min(corner + 1).min(row[j] + 1);
        }
    }
    row[two.len()]
}
