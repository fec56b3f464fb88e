//! Processes of the binary, each with the environment that it is given and no other.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::Fallible;

/// What is measured: built by the same profile as a release.
pub const BINARY: &str = env!("CARGO_BIN_EXE_paylink");

/// A folder that goes with its owner.
pub struct Folder(PathBuf);

impl Folder {
    /// Beside the build, which lies on a disk; a system's folder for temporary files is often
    /// memory, where making something durable costs nothing.
    pub fn new() -> Fallible<Self> {
        let path =
            Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("run-{}", std::process::id()));
        std::fs::create_dir_all(&path)?;
        Ok(Self(path))
    }

    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // what is left behind disturbs nothing
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A process that listens; killed with its owner.
pub struct Process {
    child: Child,
    /// Where it listens, without a slash at the end.
    pub url: String,
    /// From its start until it accepted.
    pub started_in: Duration,
    /// An API key, where it is a service.
    pub key: String,
}

fn command(folder: &Path, words: &[&str], settings: &HashMap<&str, String>) -> Command {
    let mut command = Command::new(BINARY);
    command
        .args(words)
        .env_clear()
        .envs(settings)
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        // the default log is written, as in a shop, and thrown away
        .stderr(Stdio::null());
    command
}

impl Process {
    fn start(mut command: Command, key: String) -> Fallible<Self> {
        let begun = Instant::now();
        let mut child = command.spawn()?;
        let stdout = child.stdout.take().ok_or("a child without stdout")?;
        let mut process = Self {
            child,
            url: String::new(),
            started_in: Duration::ZERO,
            key,
        };
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line)?;
        process.started_in = begun.elapsed();
        process.url = line
            .trim()
            .strip_prefix("listening on ")
            .ok_or_else(|| format!("{command:?} did not start"))?
            .into();
        Ok(process)
    }

    pub fn simulator(folder: &Path) -> Fallible<Self> {
        let words = ["simulate", "--listen", "127.0.0.1:0"];
        Self::start(command(folder, &words, &HashMap::new()), String::new())
    }

    /// A service as a shop would run it, but for where Klarna is.
    pub fn service(folder: &Path, database: &str, klarna: &str) -> Fallible<Self> {
        let settings: HashMap<&str, String> = [
            ("PAYLINK_LISTEN", "127.0.0.1:0"),
            ("PAYLINK_ALLOW_SIMULATOR", "1"),
            (
                "PAYLINK_SECRET",
                "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=",
            ),
            ("DATABASE_URL", database),
            ("KLARNA_API_URL", klarna),
            ("KLARNA_USERNAME", "sim"),
            ("KLARNA_PASSWORD", "sim"),
            ("MERCHANT_NAME", "Acme Shop"),
            ("MERCHANT_TERMS_URL", "https://shop.example.com/terms"),
        ]
        .map(|(name, value)| (name, value.to_owned()))
        .into();
        let words = ["keys", "create", "--name", "bench", "--role", "integrator"];
        let made = command(folder, &words, &settings)
            .stderr(Stdio::piped())
            .output()?;
        if !made.status.success() {
            return Err(String::from_utf8_lossy(&made.stderr).into_owned().into());
        }
        let key = String::from_utf8(made.stdout)?.trim().to_owned();
        Self::start(command(folder, &["serve"], &settings), key)
    }

    /// Memory that it holds now, KiB.
    pub fn resident(&self) -> Fallible<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|line| line.split_whitespace().next());
        Ok(kib.ok_or("the process has ended")?.parse()?)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
