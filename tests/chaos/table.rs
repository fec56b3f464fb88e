//! The table of a run: one row per scenario and database, written as soon as the scenario is over.
//! `PAYLINK_CHAOS_TABLE` names its file; the default lies in the build's directory for tests.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;

use super::seed;

const HEAD: &str = "| scenario | database | rounds | seed | what was counted | violations |\n\
                    |---|---|---|---|---|---|\n";
/// A long run says this often how far it is.
const PROGRESS: Duration = Duration::from_secs(15);

/// One scenario on one database, under way.
pub struct Run {
    scenario: String,
    database: String,
    rounds: u32,
    begun: Instant,
    said: Instant,
    counted: Vec<(String, u64)>,
    measured: Vec<(String, String)>,
    violations: Vec<String>,
}

impl Run {
    /// Says the seed and how many rounds there will be.
    pub fn begin(scenario: &str, database: &str, short: u32, long: u32) -> Self {
        let rounds = seed::rounds(&format!("{scenario} on {database}"), short, long);
        Self {
            scenario: scenario.to_owned(),
            database: database.to_owned(),
            rounds,
            begun: Instant::now(),
            said: Instant::now(),
            counted: Vec::new(),
            measured: Vec::new(),
            violations: Vec::new(),
        }
    }

    pub fn rounds(&self) -> u32 {
        self.rounds
    }

    /// The chance of one round: the same for the same seed, whatever happened in earlier rounds.
    pub fn rng(&self, round: u32) -> StdRng {
        seed::rng(&format!("{} {} {round}", self.scenario, self.database))
    }

    /// Adds to what is counted under that name.
    pub fn count(&mut self, what: &str, more: impl TryInto<u64>) {
        let more = more.try_into().ok().expect("a count fits 64 bits");
        match self.counted.iter_mut().find(|(name, _)| name == what) {
            Some((_, count)) => *count += more,
            None => self.counted.push((what.to_owned(), more)),
        }
    }

    /// A measured value for the row, unit included; a second one of that name replaces the first.
    pub fn measured(&mut self, what: &str, value: impl Into<String>) {
        self.measured.retain(|(name, _)| name != what);
        self.measured.push((what.to_owned(), value.into()));
    }

    /// A law was broken. The scenario goes on, to see what else there is.
    pub fn violated(&mut self, what: impl Into<String>) {
        let what = what.into();
        eprintln!("{} on {}: VIOLATED: {what}", self.scenario, self.database);
        self.violations.push(what);
    }

    pub fn holds(&mut self, law: bool, what: impl FnOnce() -> String) {
        if !law {
            self.violated(what());
        }
    }

    /// Said at the end of each round; a long run prints it now and then.
    pub fn progress(&mut self, round: u32) {
        if self.said.elapsed() > PROGRESS {
            self.said = Instant::now();
            eprintln!(
                "{} on {}: {} of {} rounds, {} s, {} violations",
                self.scenario,
                self.database,
                round + 1,
                self.rounds,
                self.begun.elapsed().as_secs(),
                self.violations.len()
            );
        }
    }

    /// Writes the row; fails the test where a law was broken.
    #[track_caller]
    pub fn end(self) {
        let mut seen: Vec<_> = self
            .counted
            .iter()
            .map(|(what, count)| format!("{count} {what}"))
            .collect();
        seen.extend(
            self.measured
                .iter()
                .map(|(what, value)| format!("{what} {value}")),
        );
        seen.push(format!("took {} s", self.begun.elapsed().as_secs()));
        row(
            &self.scenario,
            &self.database,
            self.rounds,
            &seen.join(", "),
            self.violations.len(),
        );
        assert!(
            self.violations.is_empty(),
            "{} on {}, seed {}: {} violations:\n{}",
            self.scenario,
            self.database,
            seed::seed(),
            self.violations.len(),
            self.violations.join("\n")
        );
    }
}

/// Appends one row to the table's file and prints it.
pub fn row(scenario: &str, database: &str, rounds: u32, counted: &str, violations: usize) {
    let line = format!(
        "| {scenario} | {database} | {rounds} | {} | {counted} | {violations} |\n",
        seed::seed()
    );
    eprint!("{line}");
    let file = file();
    std::fs::create_dir_all(file.parent().expect("a file lies in a directory"))
        .expect("the table's directory can be made");
    let mut table = OpenOptions::new()
        .create(true)
        .append(true)
        .open(&file)
        .unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let is_new = table.metadata().is_ok_and(|it| it.len() == 0);
    let text = if is_new {
        HEAD.to_owned() + &line
    } else {
        line
    };
    // one write: rows of scenarios that end at the same time don't mix
    table
        .write_all(text.as_bytes())
        .expect("the row is written");
}

fn file() -> PathBuf {
    std::env::var_os("PAYLINK_CHAOS_TABLE").map_or_else(
        || PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("chaos/table.md"),
        PathBuf::from,
    )
}
