//! Figures and the table that they are printed in.

use std::fmt;
use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use paylink::clock::Clock;

use super::Fallible;

/// Rows in the order in which they were measured.
pub struct Table {
    heading: String,
    rows: Vec<[String; 3]>,
}

impl Table {
    pub fn new() -> Fallible<Self> {
        let cores = std::thread::available_parallelism()?;
        // who else was at work is part of the result
        let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
        let load: Vec<_> = load.split(' ').take(3).collect();
        Ok(Self {
            heading: format!(
                "paylink {}, {}, {cores} cores, load average before: {}",
                env!("CARGO_PKG_VERSION"),
                Clock::system().now().strftime("%Y-%m-%d %H:%M UTC"),
                load.join(" "),
            ),
            rows: Vec::new(),
        })
    }

    /// Adds a row, and says so to whoever waits.
    pub fn row(&mut self, what: &str, figure: String, note: &str) {
        eprintln!("  {what}: {figure} {note}");
        self.rows.push([what.into(), figure, note.into()]);
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = |column: usize| {
            let cells = self.rows.iter().map(|row| row[column].chars().count());
            cells.max().unwrap_or(0)
        };
        let (first, second) = (width(0), width(1));
        writeln!(f, "{}\n", self.heading)?;
        for [what, figure, note] in &self.rows {
            let line = format!("{what:first$}  {figure:>second$}  {note}");
            writeln!(f, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

/// The value below which `share` (0 to 1) of all values lie.
pub fn quantile<T: Copy + PartialOrd>(values: &mut [T], share: f64) -> T {
    values.sort_by(|a, b| a.partial_cmp(b).unwrap_or(std::cmp::Ordering::Equal));
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss
    )]
    let index = (values.len() as f64 * share) as usize;
    values[index.min(values.len() - 1)]
}

/// How often per second something happened.
pub fn per_second(count: usize, took: Duration) -> f64 {
    #[allow(clippy::cast_precision_loss)]
    let count = count as f64;
    count / took.as_secs_f64()
}

pub fn micros(seconds: f64) -> String {
    if seconds.abs() < 1e-3 {
        format!("{:.0} µs", seconds * 1e6)
    } else {
        format!("{:.2} ms", seconds * 1e3)
    }
}

pub fn rate(per_second: f64) -> String {
    format!("{per_second:.0}/s")
}

pub fn kib(kib: u64) -> String {
    #[allow(clippy::cast_precision_loss)]
    let mib = kib as f64 / 1024.0;
    format!("{mib:.1} MiB")
}

/// How long this disk takes to make a page durable, median: what no database can do without.
pub fn fdatasync(folder: &Path) -> Fallible<f64> {
    let path = folder.join("fdatasync");
    let mut file = File::create(&path)?;
    let mut times = Vec::new();
    for _ in 0..200 {
        file.write_all(&[7; 4096])?;
        let begun = Instant::now();
        file.sync_data()?;
        times.push(begun.elapsed().as_secs_f64());
    }
    std::fs::remove_file(path)?;
    Ok(quantile(&mut times, 0.5))
}
