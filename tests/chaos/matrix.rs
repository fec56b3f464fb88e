//! The fault matrix: every step that touches the outside, met by every fault that a network or the
//! other side can have, on both databases. A cell is what the agent saw, and what became of it; what
//! is right stands in [`expected`] (failure-model.md, Step by step; contract.md).
//!
//! A fault picks one link's request out of many, so all cells of a world run at once. Faults of the
//! connection itself (refuse, TLS, DNS) can't be for one request: those have a world each, beside the
//! first one (see [`scene`]).

macro_rules! words {
    ($name:ident { $($variant:ident = $word:literal),+ $(,)? }) => {
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $name { $($variant),+ }
        impl $name {
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];
            pub fn word(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }
        }
    };
}

mod cell;
mod expected;
mod scene;

use std::collections::{HashMap, HashSet};
use std::fmt::Write;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::time::sleep;

use self::cell::Cell;
use self::scene::Part;
use super::proxy::Fault;
use super::table::Run;
use crate::outside::harness::WorldPlan;

/// A run says this often how far it is.
const PROGRESS: Duration = Duration::from_secs(10);

words!(Step {
    CreateOrder = "KCO create order",
    CreateSession = "HPP create session",
    ReadSession = "HPP read",
    Disable = "HPP disable",
    Abort = "KCO abort",
    ReadPayment = "OM read",
    Acknowledge = "OM acknowledge",
    Capture = "OM capture",
    Refund = "OM refund",
    Sms = "SMS submit",
    SmtpEhlo = "SMTP connect, EHLO",
    SmtpMail = "SMTP MAIL",
    SmtpRcpt = "SMTP RCPT",
    SmtpData = "SMTP DATA",
    SmtpDot = "SMTP final dot",
});

words!(Ill {
    Refuse = "refuse",
    Dns = "DNS",
    Tls = "TLS",
    Hang = "hang",
    ResetBefore = "reset before",
    ResetAfter = "reset after",
    Half = "half answer",
    Garbage = "garbage",
    S400 = "400",
    S401 = "401",
    S404 = "404",
    S429 = "429",
    S500 = "500",
    S503 = "503",
    Drip = "drip",
});

impl Step {
    pub fn is_mail(self) -> bool {
        matches!(
            self,
            Self::SmtpEhlo | Self::SmtpMail | Self::SmtpRcpt | Self::SmtpData | Self::SmtpDot
        )
    }

    fn creates(self) -> bool {
        matches!(self, Self::CreateOrder | Self::CreateSession)
    }

    /// Nobody waits for its answer: it happens after the agent's call was answered.
    fn is_background(self) -> bool {
        matches!(self, Self::Abort | Self::ReadPayment | Self::Acknowledge)
    }
}

impl Ill {
    fn is_connection(self) -> bool {
        matches!(self, Self::Refuse | Self::Dns | Self::Tls)
    }

    /// What a proxy does for it at that step.
    fn fault(self, step: Step) -> Fault {
        // longer than a Klarna call (10 s), an SMS (15 s), and the hurried SMTP steps (5 s)
        let hang = if step == Step::Sms {
            20
        } else if step.is_mail() {
            10
        } else {
            13
        };
        // SMTP's nearest words for HTTP's
        let code = |http, smtp| Fault::Status(if step.is_mail() { smtp } else { http });
        match self {
            Self::Hang => Fault::Hang(Duration::from_secs(hang)),
            Self::ResetBefore => Fault::ResetBefore,
            Self::ResetAfter => Fault::ResetAfter,
            Self::Half => Fault::Half,
            Self::Garbage => Fault::Garbage,
            Self::S400 => code(400, 501),
            Self::S401 => code(401, 530),
            Self::S404 => code(404, 550),
            Self::S429 if step.is_mail() => Fault::Status(451),
            Self::S429 => Fault::Busy(1),
            Self::S500 => code(500, 554),
            Self::S503 => code(503, 421),
            Self::Drip => Fault::Drip(Duration::from_secs(1)),
            Self::Refuse | Self::Dns | Self::Tls => unreachable!("no proxy is reached then"),
        }
    }
}

/// Why there is no such cell; the table's footnotes.
fn no_cell(step: Step, ill: Ill) -> Option<&'static str> {
    if !ill.is_connection() {
        return None;
    }
    match step {
        Step::SmtpMail | Step::SmtpRcpt | Step::SmtpData | Step::SmtpDot => Some("–¹"),
        Step::CreateSession if ill != Ill::Refuse => Some("–²"),
        _ => None,
    }
}

const NOTES: &str = "\
¹ the connection stands by then: see SMTP connect.
² the order is asked for first and meets the same: see KCO create order.
SMTP's words for HTTP's: 400 = 501, 401 = 530, 404 = 550, 429 = 451, 500 = 554, 503 = 421.
A cell is `what the agent saw → what became of it (how often it was done)`; `late`: the service had
waited for Klarna for its four seconds when it answered.";

/// What the scenes of one database have seen so far, and how a person sees that it is alive.
pub struct Board {
    database: &'static str,
    begun: Instant,
    cells: Mutex<Vec<Cell>>,
}

impl Board {
    pub fn takes(&self, cell: Cell) {
        self.cells.lock().unwrap().push(cell);
    }

    pub fn says(&self, what: &str) {
        let (of, after) = (self.database, self.begun.elapsed().as_secs());
        eprintln!("fault matrix on {of}: {after} s: {what}");
    }

    /// Keeps what a world's service wrote, for whoever has to explain a cell.
    fn keeps(&self, part: Part, log: &str) {
        let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("chaos");
        let name = format!("matrix, {}, {}.log", self.database, part.word());
        std::fs::create_dir_all(&dir).expect("the directory can be made");
        std::fs::write(dir.join(name), log).expect("the log can be kept");
    }

    /// Says now and then how many cells there are, and which are still waited for when few are.
    async fn ticks(&self) {
        loop {
            sleep(PROGRESS).await;
            let cells = self.cells.lock().unwrap();
            let seen: HashSet<_> = cells.iter().map(|cell| (cell.step, cell.ill)).collect();
            drop(cells);
            let missing: Vec<_> = all()
                .filter(|which| !seen.contains(which))
                .map(|(step, ill)| format!("{} × {}", step.word(), ill.word()))
                .collect();
            let few = if missing.len() <= 12 {
                format!("; not yet: {}", missing.join(", "))
            } else {
                String::new()
            };
            let done = seen.len();
            self.says(&format!("{done} of {} cells{few}", done + missing.len()));
        }
    }
}

/// Every cell that there is, in the table's order.
fn all() -> impl Iterator<Item = (Step, Ill)> {
    let steps = Step::ALL.iter();
    steps
        .flat_map(|&step| Ill::ALL.iter().map(move |&ill| (step, ill)))
        .filter(|&(step, ill)| no_cell(step, ill).is_none())
}

async fn matrix(plan: WorldPlan, database: &'static str) {
    let mut run = Run::begin("fault matrix", database, 1, 1);
    let board = Arc::new(Board {
        database,
        begun: Instant::now(),
        cells: Mutex::default(),
    });
    let scenes = Part::ALL.iter().map(|&part| {
        let (plan, board) = (plan.clone(), Arc::clone(&board));
        // a thread each: to start and stop a process blocks
        tokio::task::spawn_blocking(move || {
            Handle::current().block_on(scene::played(part, plan, &board))
        })
    });
    let scenes = futures_util::future::join_all(scenes);
    let ended = tokio::select! {
        ended = scenes => ended,
        () = board.ticks() => unreachable!("it has no end"),
    };
    for (part, ended) in Part::ALL.iter().zip(ended) {
        match ended {
            Ok(seen) => {
                for (what, value) in seen.measured {
                    run.measured(&what, value);
                }
                for what in seen.broken {
                    run.violated(format!("{}: {what}", part.word()));
                }
            }
            // it was printed where it happened; what the others saw is not lost by it
            Err(panic) => run.violated(format!("{}: {panic}", part.word())),
        }
    }
    let board = Arc::into_inner(board).expect("the scenes are over");
    let done = board.cells.into_inner().unwrap();
    let cells: HashMap<_, _> = done
        .iter()
        .map(|cell| ((cell.step, cell.ill), cell))
        .collect();
    eprintln!("{}", table(database, &cells));
    for (step, ill) in all() {
        let Some(cell) = cells.get(&(step, ill)) else {
            run.violated(format!("{} × {}: no cell", step.word(), ill.word()));
            continue;
        };
        run.count("cells", 1_u32);
        for wrong in expected::wrong(cell) {
            run.violated(format!("{} × {}: {wrong}", step.word(), ill.word()));
        }
    }
    run.end();
}

fn table(database: &str, cells: &HashMap<(Step, Ill), &Cell>) -> String {
    let mut text = format!("\n### {database}\n\n| step |");
    for ill in Ill::ALL {
        let _ = write!(text, " {} |", ill.word());
    }
    text.push_str("\n|---|");
    text.push_str(&"---|".repeat(Ill::ALL.len()));
    for &step in Step::ALL {
        let _ = write!(text, "\n| {} |", step.word());
        for &ill in Ill::ALL {
            let said = match (no_cell(step, ill), cells.get(&(step, ill))) {
                (Some(note), _) => note.to_owned(),
                (None, Some(cell)) => cell.to_string(),
                (None, None) => "?".to_owned(),
            };
            let _ = write!(text, " {said} |");
        }
    }
    let _ = write!(text, "\n\n{NOTES}\n");
    text
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn on_sqlite() {
    matrix(WorldPlan::new().on_sqlite(), "SQLite").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn on_postgres() {
    match WorldPlan::new().on_postgres() {
        Some(plan) => matrix(plan, "PostgreSQL").await,
        None => eprintln!("skipped: PAYLINK_TEST_POSTGRES names no server"),
    }
}
