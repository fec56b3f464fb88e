//! The table of settings against what is read, and against `.env.example`.

use std::collections::BTreeSet;
use std::sync::Mutex;

use super::*;

#[test]
fn what_is_read_is_in_the_table_and_what_is_there_is_read() {
    let asked = Mutex::new(BTreeSet::new());
    let settings = env(SIMULATED, &[]);
    let get = |name: &str| {
        asked.lock().unwrap().insert(name.to_owned());
        settings.get(name).cloned()
    };
    Config::read(&get, &no_files).unwrap();
    let mut table = BTreeSet::new();
    for setting in table::settings() {
        assert!(
            table.insert(setting.name.to_owned()),
            "{} twice",
            setting.name
        );
        if setting.secret {
            table.insert(format!("{}_FILE", setting.name));
        }
    }
    assert_eq!(asked.into_inner().unwrap(), table);
}

#[test]
fn required_settings_are_those_of_the_table() {
    let mut required: Vec<_> = table::settings()
        .filter(|it| it.required)
        .map(|it| it.name.to_owned())
        .collect();
    // required unless Klarna's URL is loopback, as its own sentence says
    required.push("PAYLINK_PUBLIC_URL".into());
    required.sort();
    let mut missing = faults(&[], &[]);
    missing.sort();
    assert_eq!(missing, required);
}

/// `UPDATE_ENV_EXAMPLE=1 cargo test env_example` writes it anew.
#[test]
fn env_example_is_the_table() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(".env.example");
    let wanted = env_example();
    if std::env::var_os("UPDATE_ENV_EXAMPLE").is_some() {
        std::fs::write(&path, &wanted).unwrap();
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        found == wanted,
        ".env.example is not what the table of settings says: UPDATE_ENV_EXAMPLE=1 cargo test env_example"
    );
    assert!(wanted.lines().all(|line| line.chars().count() <= 120));
}

/// A value that is uncommented must mean what its default means, quotes and all.
#[test]
fn env_example_can_be_uncommented() {
    let mut text = String::new();
    for line in env_example().lines() {
        let bare = line.strip_prefix("# ").unwrap_or(line);
        let setting = bare
            .split_once('=')
            .is_some_and(|(name, _)| table::settings().any(|it| it.name == name));
        if setting {
            text.push_str(bare);
            text.push('\n');
        }
    }
    let read: Env = dotenvy::from_read_iter(text.as_bytes())
        .collect::<Result<_, _>>()
        .unwrap();
    assert_eq!(read.len(), table::settings().count());
    for setting in table::settings() {
        assert_eq!(read[setting.name], setting.default.unwrap_or(""));
    }
    let mut uncommented = read;
    uncommented.extend(env(LIVE, &[]));
    let config = self::read(&uncommented).unwrap();
    assert_eq!(format!("{config:?}"), format!("{:?}", good(LIVE, &[])));
}

#[test]
fn typos_are_found() {
    let names = [
        "PAYLINK_LISTNE",
        "KLARNA_USER_NAME",
        "KLARNA_PASSWORD_FILE",
        "MERCHANT_NAME_FILE",
        "SMS_SOMETHING_ELSE",
        "PATH",
        "LOG",
    ];
    let found = unknown(names);
    assert_eq!(
        found,
        [
            ("KLARNA_USER_NAME".to_owned(), Some("KLARNA_USERNAME")),
            ("MERCHANT_NAME_FILE".to_owned(), None),
            ("PAYLINK_LISTNE".to_owned(), Some("PAYLINK_LISTEN")),
            ("SMS_SOMETHING_ELSE".to_owned(), None),
        ]
    );
}
