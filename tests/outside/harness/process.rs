//! One started program: its first line, its log, and its end. Knows no HTTP. Whatever is started
//! here is ended by its own handle, also when a test fails half way.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

pub type Env = Vec<(String, String)>;

/// A started `paylink`.
pub struct Process {
    name: String,
    child: Child,
    out: Arc<Mutex<String>>,
    err: Arc<Mutex<String>>,
    first: Receiver<String>,
    readers: Vec<JoinHandle<()>>,
    done: bool,
}

/// How a process ended.
#[derive(Debug)]
pub struct Ended {
    /// `None`: by a signal.
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
    pub took: Duration,
}

impl Process {
    /// Starts `paylink ARGS` with exactly `env` (and `PATH`) in `dir`, so that no `.env` of the
    /// developer reaches it.
    pub fn start(args: &[&str], env: &Env, dir: &Path) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_paylink"));
        command.args(args).env_clear().current_dir(dir);
        if let Some(path) = std::env::var_os("PATH") {
            command.env("PATH", path);
        }
        command.envs(env.iter().map(|(name, value)| (name, value)));
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().expect("paylink starts");
        let (tell, first) = channel();
        let (out, err) = (
            Arc::new(Mutex::new(String::new())),
            Arc::new(Mutex::new(String::new())),
        );
        let stdout = child.stdout.take().expect("stdout is piped");
        let stderr = child.stderr.take().expect("stderr is piped");
        let lines = Arc::clone(&out);
        let reader = std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                // the receiver may be gone: only the first line is waited for
                let _ = tell.send(line.clone());
                let mut lines = lines.lock().unwrap();
                lines.push_str(&line);
                lines.push('\n');
            }
        });
        let log = Arc::clone(&err);
        let logger = std::thread::spawn(move || {
            let mut stderr = BufReader::new(stderr);
            let mut line = Vec::new();
            while stderr.read_until(b'\n', &mut line).is_ok_and(|n| n > 0) {
                log.lock()
                    .unwrap()
                    .push_str(&String::from_utf8_lossy(&line));
                line.clear();
            }
            let _ = stderr.read_to_end(&mut line);
        });
        Self {
            name: args.join(" "),
            child,
            out,
            err,
            first,
            readers: vec![reader, logger],
            done: false,
        }
    }

    /// The base URL out of the first line on stdout, `listening on http://ADDR:PORT`.
    pub fn listening(&mut self) -> String {
        let line = match self.first.recv_timeout(Duration::from_secs(30)) {
            Ok(line) => line,
            Err(RecvTimeoutError::Timeout) => {
                panic!("`{}` said nothing in 30 s: {}", self.name, self.stderr())
            }
            Err(RecvTimeoutError::Disconnected) => {
                let status = self.child.wait();
                panic!(
                    "`{}` ended ({status:?}) before it listened: {}",
                    self.name,
                    self.stderr()
                )
            }
        };
        let base = line
            .strip_prefix("listening on ")
            .unwrap_or_else(|| panic!("first line of `{}` is `{line}`", self.name));
        assert!(
            base.starts_with("http://") && !base.ends_with(":0"),
            "{line}"
        );
        base.trim_end_matches('/').to_owned()
    }

    /// As [`Process::listening`], of one that may be meant to end before it listens.
    pub fn tries_to_listen(&mut self) -> Option<String> {
        match self.first.recv_timeout(Duration::from_secs(30)) {
            Ok(line) => line.strip_prefix("listening on ").map(str::to_owned),
            Err(RecvTimeoutError::Disconnected) => None,
            Err(RecvTimeoutError::Timeout) => {
                panic!("`{}` said nothing in 30 s: {}", self.name, self.stderr())
            }
        }
    }

    pub fn stderr(&self) -> String {
        self.err.lock().unwrap().clone()
    }

    pub fn is_alive(&mut self) -> bool {
        self.child
            .try_wait()
            .expect("the child can be asked")
            .is_none()
    }

    /// Whether it was stopped (SIGSTOP), and stands.
    pub fn is_stopped(&self) -> bool {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id()));
        // the name of the program, in brackets, may have any letters
        stat.is_ok_and(|it| it.rsplit(") ").next().is_some_and(|it| it.starts_with('T')))
    }

    /// Sends a signal: `-TERM`, `-STOP`, `-CONT`. One that was told to stop stands when this returns.
    pub fn signal(&self, signal: &str) {
        let sent = Command::new("kill")
            .args([signal, &self.child.id().to_string()])
            .status();
        assert!(
            sent.is_ok_and(|status| status.success()),
            "{signal} to `{}`",
            self.name
        );
        while signal == "-STOP" && !self.is_stopped() {
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// SIGTERM, then waits for the end.
    pub fn terminate(self, limit: Duration) -> Ended {
        self.signal("-TERM");
        self.wait(limit)
    }

    /// SIGKILL: the crash.
    pub fn crash(mut self) -> Ended {
        self.child.kill().expect("the child can be killed");
        self.wait(Duration::from_secs(10))
    }

    /// Waits until the process ends by itself.
    pub fn wait(mut self, limit: Duration) -> Ended {
        let begun = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().expect("the child can be asked") {
                break status;
            }
            assert!(
                begun.elapsed() < limit,
                "`{}` still runs after {limit:?}: {}",
                self.name,
                self.stderr()
            );
            std::thread::sleep(Duration::from_millis(10));
        };
        self.done = true;
        for reader in self.readers.drain(..) {
            reader.join().expect("a reader ends with its pipe");
        }
        Ended {
            code: status.code(),
            stdout: self.out.lock().unwrap().clone(),
            stderr: self.err.lock().unwrap().clone(),
            took: begun.elapsed(),
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if !self.done {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// Runs a command of the program to its end.
pub fn run(args: &[&str], env: &Env, dir: &Path) -> Ended {
    Process::start(args, env, dir).wait(Duration::from_secs(30))
}
