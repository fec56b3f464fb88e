//! Who may use whom. A room that reaches for another one that it should not know fails here, with
//! the line that does it.

use std::fs;
use std::path::{Path, PathBuf};

/// A room, the rooms it may use, and the foreign crates that it may never name.
struct Room {
    name: &'static str,
    may_use: &'static [&'static str],
    never: &'static [&'static str],
}

const fn room(
    name: &'static str,
    may_use: &'static [&'static str],
    never: &'static [&'static str],
) -> Room {
    Room {
        name,
        may_use,
        never,
    }
}

const DATABASE: &str = "diesel";
const WEB: &str = "actix_web";
const HTTP_CLIENT: &str = "reqwest";

/// The table of the house. `link` is pure; `klarna`, `channel`, `store` are strangers to each
/// other; only `flow` introduces them.
const ROOMS: &[Room] = &[
    room("chaos", &[], &[DATABASE, WEB, HTTP_CLIENT]),
    room("clock", &[], &[DATABASE, WEB, HTTP_CLIENT]),
    room("random", &[], &[DATABASE, WEB, HTTP_CLIENT]),
    room(
        "link",
        &["random"],
        &[DATABASE, WEB, HTTP_CLIENT, "serde", "serde_json", "tokio"],
    ),
    room("json", &["link"], &[DATABASE, WEB, HTTP_CLIENT]),
    room("secret", &["link", "random"], &[DATABASE, WEB, HTTP_CLIENT]),
    room(
        "config",
        &["link", "random", "secret"],
        &[DATABASE, WEB, HTTP_CLIENT],
    ),
    room(
        "klarna",
        &["chaos", "link", "json", "clock", "random", "secret"],
        &[DATABASE, WEB],
    ),
    room(
        "channel",
        &["chaos", "link", "templates", "clock", "random", "secret"],
        &[DATABASE, WEB],
    ),
    room(
        "access",
        &["link", "secret", "random", "clock"],
        &[DATABASE, WEB, HTTP_CLIENT],
    ),
    room(
        "templates",
        &["link", "secret"],
        &[DATABASE, WEB, HTTP_CLIENT],
    ),
    room("view", &["link", "json"], &[DATABASE, WEB, HTTP_CLIENT]),
    room(
        "store",
        &[
            "chaos", "link", "access", "secret", "json", "view", "clock", "random",
        ],
        &[WEB, HTTP_CLIENT],
    ),
    room(
        "flow",
        &[
            "chaos",
            "link",
            "access",
            "store",
            "klarna",
            "channel",
            "templates",
            "clock",
            "random",
            "secret",
        ],
        &[DATABASE, WEB, HTTP_CLIENT, "serde", "serde_json"],
    ),
    room(
        "worker",
        &["chaos", "flow", "store", "clock"],
        &[DATABASE, WEB, HTTP_CLIENT, "serde_json"],
    ),
    room(
        "web",
        &[
            "chaos",
            "flow",
            "link",
            "access",
            "templates",
            "channel",
            "store",
            "view",
            "json",
            "secret",
            "clock",
            "random",
        ],
        &[DATABASE, HTTP_CLIENT],
    ),
    room("simulator", &["clock", "random"], &[DATABASE]),
    room("demo", &["clock", "random", "channel"], &[DATABASE]),
];

fn sources(dir: &Path, into: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).expect("a room can be listed") {
        let path = entry.expect("an entry can be read").path();
        if path.is_dir() {
            sources(&path, into);
        } else if path.extension().is_some_and(|ext| ext == "rs") {
            into.push(path);
        }
    }
}

fn files_of(room: &str) -> Vec<PathBuf> {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    let single = src.join(format!("{room}.rs"));
    if single.exists() {
        files.push(single);
    }
    let folder = src.join(room);
    if folder.is_dir() {
        sources(&folder, &mut files);
    }
    files
}

/// The rooms that a line names as `crate::room`, in a path or in a `use` tree.
fn rooms_named(line: &str) -> Vec<&str> {
    line.match_indices("crate::")
        .flat_map(|(at, prefix)| {
            let rest = &line[at + prefix.len()..];
            let names = rest
                .strip_prefix('{')
                .map_or(rest, |tree| tree.split('}').next().unwrap_or(""));
            let all = rest.starts_with('{');
            names
                .split(',')
                .take(if all { usize::MAX } else { 1 })
                .map(|name| {
                    name.trim()
                        .split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
                        .next()
                        .unwrap_or("")
                })
                .collect::<Vec<_>>()
        })
        .collect()
}

fn names_crate(line: &str, krate: &str) -> bool {
    line.match_indices(krate).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let after = line[at + krate.len()..].chars().next();
        let starts = before.is_none_or(|c| !c.is_ascii_alphanumeric() && c != '_' && c != '-');
        starts && line[at + krate.len()..].starts_with("::") && after.is_some()
    })
}

#[test]
fn rooms_know_only_whom_they_may() {
    let known: Vec<&str> = ROOMS.iter().map(|room| room.name).collect();
    let mut found = Vec::new();
    for room in ROOMS {
        for file in files_of(room.name) {
            // tests may stand on anything of ours
            if file.to_string_lossy().contains("tests") {
                continue;
            }
            let text = fs::read_to_string(&file).expect("a source is text");
            let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or("");
            for (number, line) in code.lines().enumerate() {
                if line.trim_start().starts_with("//") {
                    continue;
                }
                for other in rooms_named(line) {
                    if known.contains(&other)
                        && other != room.name
                        && !room.may_use.contains(&other)
                    {
                        found.push(format!("{}:{} uses `{other}`", file.display(), number + 1));
                    }
                }
                for krate in room.never {
                    if names_crate(line, krate) {
                        found.push(format!("{}:{} names `{krate}`", file.display(), number + 1));
                    }
                }
            }
        }
    }
    assert!(found.is_empty(), "walls are broken:\n{}", found.join("\n"));
}

#[test]
fn every_room_is_in_the_table() {
    let lib = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/lib.rs"))
        .expect("lib.rs is there");
    let outside = ["cli", "check"]; // they put the rooms together, so they know all of them
    for line in lib.lines() {
        let Some(name) = line
            .strip_prefix("pub mod ")
            .and_then(|l| l.strip_suffix(';'))
        else {
            continue;
        };
        let listed = ROOMS.iter().any(|room| room.name == name) || outside.contains(&name);
        assert!(listed, "`{name}` has no row in the table of rooms");
    }
}

#[test]
fn the_walls_would_be_seen_to_break() {
    assert_eq!(rooms_named("use crate::store::Tx;"), ["store"]);
    assert_eq!(
        rooms_named("use crate::{link::Link, web};"),
        ["link", "web"]
    );
    assert!(names_crate("use diesel::prelude::*;", "diesel"));
    assert!(!names_crate("the word diesel alone", "diesel"));
}

/// Of the room that breaks things, the program says two verbs, a line each, and none of them is in a
/// release build; no point and no bug is without a place in the program.
#[test]
fn failure_is_asked_for_in_two_words_and_never_released() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let room = fs::read_to_string(src.join("chaos.rs")).expect("src/chaos.rs");
    assert!(
        room.contains("#[cfg(all(feature = \"chaos\", not(debug_assertions)))]\ncompile_error!"),
        "a release build must refuse the feature"
    );
    let mut files = Vec::new();
    sources(&src, &mut files);
    let mut said = String::new();
    for file in files.iter().filter(|it| !it.ends_with("chaos.rs")) {
        let text = fs::read_to_string(file).expect("a source can be read");
        for line in text.lines().filter(|it| !it.trim_start().starts_with("//")) {
            let mut rest = line;
            while let Some(at) = rest.find("chaos::") {
                rest = &rest[at + "chaos::".len()..];
                let known = ["at(Point::", "planted(Bug::", "{self", "{Bug", "{Point"];
                assert!(
                    known.iter().any(|it| rest.starts_with(it)),
                    "{}: {line}",
                    file.display()
                );
            }
            said.push_str(line);
            said.push('\n');
        }
    }
    let variants = |declared: &str| {
        let at = room.find(declared).expect("the room declares it");
        let list = room[at..].split("\n    }\n").next().unwrap_or_default();
        let lines = list
            .lines()
            .filter_map(|line| line.trim().split_once(" = \""));
        lines.map(|(name, _)| name.to_owned()).collect::<Vec<_>>()
    };
    for (kind, call) in [("Point", "at(Point::"), ("Bug", "planted(Bug::")] {
        let names = variants(&format!("    {kind} {{"));
        assert!(names.len() >= 15, "{kind}: {names:?}");
        for name in names {
            assert!(
                said.contains(&format!("{call}{name})")),
                "{kind}::{name} is declared and has no place"
            );
        }
    }
}
