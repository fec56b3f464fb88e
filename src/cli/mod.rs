//! The command line: parse the subcommand, build, run, report. Exit codes: 0 done, 1 it failed,
//! 2 wrong usage or wrong configuration. Errors go to stderr, one line each, saying what to do.

mod backup;
mod check;
mod demo;
mod jobs;
mod keys;
mod log;
mod migrate;
mod out;
mod reconcile;
mod restored;
mod rooms;
mod serve;
mod simulate;
mod usage;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::access::Role;
use crate::config::ConfigFault;

use out::note;

pub use serve::{Options, Service, start};

/// Distributes Klarna payment links by e-mail, SMS and QR code, follows each to its end, and can
/// revoke it.
#[derive(Debug, Parser)]
#[command(
    name = "paylink",
    version,
    max_term_width = 100,
    arg_required_else_help = true
)]
#[command(
    after_help = "Settings are environment variables, or lines of a file .env in the working \
    directory; .env.example lists them all.\nA first look, without any account: paylink demo"
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve the API, Klarna's callbacks and the buyers' return pages, and do the background work
    #[command(
        after_help = "Prints `listening on http://ADDR:PORT` once it accepts. Stops on SIGTERM or \
        Ctrl-C: takes nothing new and finishes what is under way, at most 25 s."
    )]
    Serve {
        /// Leave the background work to other processes (PostgreSQL only)
        #[arg(long)]
        no_worker: bool,
        /// Do not bring the database's schema up to date first
        #[arg(long)]
        no_migrate: bool,
    },
    /// Do only the background work, beside processes that serve (PostgreSQL only)
    Worker {
        /// Do not bring the database's schema up to date first
        #[arg(long)]
        no_migrate: bool,
    },
    /// Bring the database's schema up to date and say from what to what; serve does it by itself at
    /// start
    Migrate,
    /// Run the Klarna simulator alone: KCO, HPP, Order Management and the payment page
    #[command(
        after_help = "Its controls are under /_sim/ on the same port, for this machine only: list \
        orders and sessions, act as the buyer, inject faults, move its clock, read its log."
    )]
    Simulate {
        /// Address and port; port 0 takes a free one
        #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8090")]
        listen: SocketAddr,
        /// User name that the API asks for
        #[arg(long, value_name = "NAME", default_value = "sim")]
        username: String,
        /// Password that the API asks for
        #[arg(long, value_name = "WORD", default_value = "sim")]
        password: String,
        /// Multiplies the waits before and between callbacks; 0.01 makes two minutes 1.2 s
        #[arg(long, value_name = "FACTOR", default_value_t = 1.0, value_parser = factor)]
        callback_delay_scale: f64,
    },
    /// Try it: Klarna's simulator, a mail and SMS catcher and paylink in one process
    #[command(
        after_help = "Needs no configuration and no account; nothing leaves this machine.\n\
        Without --once it stays up and prints where to click."
    )]
    Demo {
        /// Play the whole story, print each step with what was seen, and exit; 0 only if all is well
        #[arg(long)]
        once: bool,
        /// With --once: one JSON object per step
        #[arg(long, requires = "once")]
        json: bool,
        /// Address and port of paylink; the shop's page takes the next port [default: 127.0.0.1:8080,
        /// with --once a free port]
        #[arg(long, value_name = "ADDR")]
        listen: Option<SocketAddr>,
        /// Folder for the database, kept afterwards [default: a temporary one, removed]
        #[arg(long, value_name = "DIR")]
        data: Option<PathBuf>,
    },
    /// Make, list and revoke API keys
    #[command(subcommand)]
    Keys(KeysCommand),
    /// Try the database, Klarna's credentials, the mail server, the SMS gateway and the public URL,
    /// without sending anything; print a table, exit 1 if anything fails
    Check {
        /// Also make an order and a session in the configured Klarna account, say what each of its
        /// URLs answers, and remove both again
        #[arg(long)]
        session: bool,
        /// One JSON object per line
        #[arg(long)]
        json: bool,
    },
    /// Compare a day's links with Klarna and report what differs; exit 1 if anything does
    #[command(
        after_help = "Works beside a running service. Links that were paid on that day are compared \
        with Order Management, entry by entry; links that were made on it and are not paid with \
        their page and their order. What Klarna shows and the ledger lacks is written down, and a page \
        that can be paid though its link is closed is closed again; the event reconcile.drift, a \
        metric and an alert say that something differed."
    )]
    Reconcile {
        /// The day, UTC, such as 2026-11-23 [default: yesterday]
        #[arg(long, value_name = "DAY")]
        day: Option<jiff::civil::Date>,
        /// One JSON object per line
        #[arg(long)]
        json: bool,
    },
    /// Copy the SQLite database into a new file, also while it is served
    #[command(
        after_help = "The copy is one consistent file, readable to its owner alone, checked and durable \
        when the command ends; a file that is there already is never written over.\n\
        The key file (<database file>.key, or PAYLINK_SECRET) is not in it: without the key nobody reads \
        personal data in the copy, and nobody who has the copy alone does. Keep a copy of the key \
        elsewhere.\n\
        To restore: stop the service, put the copy where DATABASE_URL points, without any old -wal or -shm \
        file beside it, and its key file with it, and start paylink serve. The copy knows that it is one: \
        before any job runs, messages that had not left read `unknown`, and all links that could be paid \
        are read at Klarna."
    )]
    Backup {
        /// The file to make
        file: PathBuf,
        /// The result as one JSON object
        #[arg(long)]
        json: bool,
    },
    /// Say that this database was restored from a copy that paylink backup did not make
    #[command(
        after_help = "Run it after restoring a dump, a base backup or a copied file, before anything serves \
        it. (A copy of paylink backup says so by itself.) It marks the database; whoever serves it next \
        finds out first what happened after the copy was made: messages that had not left read \
        `unknown` and are not sent again, links without a page fail, and all links that could be paid are \
        read at Klarna before any job runs.\nOn a database that was not restored it does the same, which \
        stops messages that are just leaving: do not run it without need."
    )]
    Restored,
    /// List the jobs that are parked because they panicked five times in a row
    #[command(
        after_help = "Works beside a running service. A parked job is not tried again until it is sent \
        on: paylink jobs retry ID, or --all. The log says why it panicked; an alert told of it.",
        args_conflicts_with_subcommands = true
    )]
    Jobs {
        #[command(subcommand)]
        command: Option<JobsCommand>,
        /// One JSON object per line
        #[arg(long)]
        json: bool,
    },
}

#[derive(Debug, Subcommand)]
enum JobsCommand {
    /// Send parked jobs on: they are tried again at once, five times
    Retry {
        /// The job's id, as the list shows it
        #[arg(required_unless_present = "all", conflicts_with = "all")]
        id: Option<String>,
        /// All of them
        #[arg(long)]
        all: bool,
    },
}

#[derive(Debug, Subcommand)]
enum KeysCommand {
    /// Make a key and print it, alone, on stdout: it is shown once
    Create {
        /// What people call it, such as till-3 or crm
        #[arg(long)]
        name: String,
        /// agent (sends links), supervisor (also money and export), integrator (a CRM), tablet (its
        /// own links only), auditor (reads), admin (all)
        #[arg(long, value_parser = role)]
        role: Role,
        /// The store that it belongs to
        #[arg(long, default_value = "default", value_parser = store)]
        store: String,
        /// When it ends: a time such as 2027-01-01T00:00:00Z or a duration such as P90D [default: never]
        #[arg(long, value_name = "WHEN")]
        expires: Option<String>,
    },
    /// List the keys, without their secrets
    List {
        /// One JSON object per line
        #[arg(long)]
        json: bool,
    },
    /// End a key; no process takes it after 5 s
    Revoke {
        /// The key's id, key_…
        id: crate::link::KeyId,
    },
}

fn role(word: &str) -> Result<Role, String> {
    Role::from_word(word)
        .ok_or_else(|| "use agent, supervisor, integrator, tablet, auditor or admin".to_owned())
}

fn store(name: &str) -> Result<String, String> {
    crate::access::store_name(name).map_err(|error| error.to_string())
}

fn factor(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(factor) if factor.is_finite() && (0.0..=1_000.0).contains(&factor) => Ok(factor),
        _ => Err("give a number from 0 to 1000".to_owned()),
    }
}

/// Why a command ended badly: what stderr gets, and the exit code.
#[derive(Debug)]
pub enum Failure {
    /// Wrong configuration or usage: exit 2. All faults, a line each.
    Usage(Vec<String>),
    /// It was tried and failed: exit 1.
    Failed(String),
    /// It was said already, by a table or a transcript: exit 1.
    Said,
}

impl From<Vec<ConfigFault>> for Failure {
    fn from(faults: Vec<ConfigFault>) -> Self {
        Failure::Usage(faults.iter().map(ToString::to_string).collect())
    }
}

impl Failure {
    /// All of it in one line.
    fn line(&self) -> String {
        match self {
            Failure::Usage(lines) => lines.join("; "),
            Failure::Failed(line) => line.clone(),
            Failure::Said => String::new(),
        }
    }

    fn failed(what: &str, error: &dyn std::error::Error) -> Self {
        let mut line = format!("{what}: {error}");
        let mut cause = error.source();
        while let Some(inner) = cause {
            line.push_str(": ");
            line.push_str(&inner.to_string());
            cause = inner.source();
        }
        Failure::Failed(line)
    }
}

/// Runs the program and answers its exit code.
pub fn main() -> ExitCode {
    // a file .env in the working directory; what is set already wins
    if let Err(error) = dotenvy::dotenv()
        && !error.not_found()
    {
        note!("paylink: .env cannot be read: {error}");
        return ExitCode::from(2);
    }
    let args: Vec<_> = std::env::args_os().collect();
    let cli = match Cli::try_parse_from(&args) {
        Ok(cli) => cli,
        Err(error) => {
            let args: Vec<_> = args.iter().map(|it| it.to_string_lossy().into()).collect();
            return usage::answer(&error, &<Cli as clap::CommandFactory>::command(), &args);
        }
    };
    choose_cryptography();
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            note!("paylink: the runtime cannot start: {error}");
            return ExitCode::FAILURE;
        }
    };
    let result = runtime.block_on(run(cli.command));
    // whatever still blocks a thread (a look-up in the DNS, say) must not hold the exit
    runtime.shutdown_timeout(std::time::Duration::from_secs(1));
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Said) => ExitCode::FAILURE,
        Err(Failure::Failed(line)) => {
            note!("paylink: {line}");
            ExitCode::FAILURE
        }
        Err(Failure::Usage(lines)) => {
            for line in lines {
                note!("paylink: {line}");
            }
            ExitCode::from(2)
        }
    }
}

/// Clients that are not handed a provider of cryptography ask for the process's. Chosen once; a
/// second choice (tests put several services into one process) changes nothing.
fn choose_cryptography() {
    drop(rustls::crypto::ring::default_provider().install_default());
}

/// The environment, as the configuration reads it.
fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

async fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::Serve {
            no_worker,
            no_migrate,
        } => serve::serve(!no_worker, !no_migrate).await,
        Command::Worker { no_migrate } => serve::worker(!no_migrate).await,
        Command::Migrate => migrate::migrate().await,
        Command::Simulate {
            listen,
            username,
            password,
            callback_delay_scale,
        } => simulate::simulate(listen, username, password, callback_delay_scale).await,
        Command::Demo {
            once,
            json,
            listen,
            data,
        } => demo::demo(once, json, listen, data).await,
        Command::Keys(command) => keys::keys(command).await,
        Command::Check { session, json } => check::check(session, json).await,
        Command::Reconcile { day, json } => reconcile::reconcile(day, json).await,
        Command::Backup { file, json } => backup::backup(&file, json).await,
        Command::Restored => restored::restored().await,
        Command::Jobs { command, json } => jobs::jobs(command, json).await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        <Cli as clap::CommandFactory>::command().debug_assert();
        let _: Cli = Cli::try_parse_from([
            "paylink", "keys", "create", "--name", "till", "--role", "agent",
        ])
        .unwrap();
        assert!(
            Cli::try_parse_from(["paylink", "keys", "create", "--name", "x", "--role", "boss"])
                .is_err()
        );
        assert!(Cli::try_parse_from(["paylink", "demo", "--json"]).is_err());
        let jobs = |args: &[&str]| {
            Cli::try_parse_from(["paylink", "jobs"].iter().chain(args).copied()).is_ok()
        };
        assert!(jobs(&[]) && jobs(&["--json"]) && jobs(&["retry", "--all"]));
        assert!(jobs(&["retry", "watch:lnk_0"]));
        assert!(!jobs(&["retry"]) && !jobs(&["retry", "watch:lnk_0", "--all"]));
    }
}
