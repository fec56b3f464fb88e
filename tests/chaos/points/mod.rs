//! Every fail point of the path, crashed at twice in a row, on both databases: the process dies at
//! the point, is started again under the same curse, dies there again (in the recovery or in a
//! second story), is started without it, and then everything heals and the laws hold.

mod tale;

use std::collections::VecDeque;
use std::sync::Mutex;
use std::time::Instant;

use paylink::chaos::Point;

use super::Run;
use super::lives::{LONG, Place, Stop};
use crate::outside::harness::WorldPlan;
use tale::{Scene, Tale};

/// Worlds in which points are tried side by side: a crash waits more than it works.
const LANES: usize = 4;
/// Of the points that every write passes, the passes at which to crash: at the start, in the first
/// requests, in the work behind them.
const WRITES: [u32; 3] = [1, 5, 10];

#[derive(Clone, Copy)]
struct Case {
    point: Point,
    pass: u32,
}

/// The story that passes a point. Exhaustive: a new point asks for its story.
fn scene(point: Point) -> Scene {
    match point {
        Point::StartFreed
        | Point::StoreUncommitted
        | Point::StoreCommitted
        | Point::RelayStamped
        | Point::CreateWanted
        | Point::CreateWeighed
        | Point::CreateAccepted
        | Point::IdempotencySettled
        | Point::OpenBegun
        | Point::OpenOrdered
        | Point::OpenPaired
        | Point::OpenWritten
        | Point::WorkerClaimed
        | Point::WorkerDone
        | Point::DeliverDecided
        | Point::DeliverBegun
        | Point::DeliverLeft
        | Point::DeliverWritten
        | Point::HintRecorded
        | Point::ObserveRead
        | Point::ObserveWritten
        | Point::SettleRead
        | Point::SettleWritten
        | Point::SettleUnacknowledged
        | Point::SettleAcknowledged
        | Point::SettleNoted
        | Point::OperateIntended
        | Point::OperateCalled
        | Point::OperateWritten => Scene::Sale,
        Point::SendQueued => Scene::Resend,
        Point::DisableIntended
        | Point::DisableDeleted
        | Point::DisableRead
        | Point::DisableWritten
        | Point::AbortBegun
        | Point::AbortDone => Scene::Closing,
        Point::CreateMadeWay => Scene::Replacing,
        Point::RenewMadeWay => Scene::Renewal,
        Point::OpenPutOff => Scene::Outage,
        Point::OpenFailed => Scene::Refusal,
        Point::ExpireWritten => Scene::End,
        Point::RemindWritten => Scene::Reminder,
    }
}

/// The cases of one database: all points, those of every write at several passes. SQLite has no
/// relay: an event gets its place in its own transaction.
fn cases(postgres: bool) -> VecDeque<Case> {
    let wanted = std::env::var("PAYLINK_CHAOS_POINT").ok();
    let all = Point::ALL.iter().flat_map(|point| {
        let passes: &[u32] = match point {
            Point::StoreUncommitted | Point::StoreCommitted => &WRITES,
            _ => &[1],
        };
        passes.iter().map(|pass| Case {
            point: *point,
            pass: *pass,
        })
    });
    all.filter(|it| postgres || it.point != Point::RelayStamped)
        .filter(|it| wanted.as_ref().is_none_or(|name| it.point.as_str() == name))
        .collect()
}

/// What came of one case.
struct Outcome {
    case: Case,
    crashes: usize,
    wrong: Vec<String>,
    seconds: f32,
}

/// Tells `tale` until it is told or the service dies; `true`: it died, and at the point.
async fn dies(place: &Place, tale: &Tale<'_>, case: Case, wrong: &mut Vec<String>) -> bool {
    match tale.is_told().await {
        Ok(()) => false,
        Err(Stop::Dead) => {
            died_there(place, case, wrong);
            true
        }
        Err(Stop::Wrong(what)) => {
            wrong.push(what);
            false
        }
    }
}

fn died_there(place: &Place, case: Case, wrong: &mut Vec<String>) {
    // `asks` may have seen the end already; either way it stands in the log
    place.ended();
    let said = format!("chaos: crashes at {}\n", case.point.as_str());
    let words = place.last_words();
    if !words.contains(&said) {
        let tail: Vec<_> = words.lines().rev().take(5).collect();
        wrong.push(format!("it died elsewhere: {tail:?}"));
    }
}

/// One life under the curse: an unfinished tale is told on, then a new one; the service must die.
async fn cursed<'a>(
    place: &'a Place,
    case: Case,
    tales: &mut Vec<Tale<'a>>,
    wrong: &mut Vec<String>,
) -> bool {
    let curse = format!("{}:{}", case.point.as_str(), case.pass);
    if !place.starts(&[("PAYLINK_CRASH_AT", &curse)]) {
        died_there(place, case, wrong);
        return true;
    }
    if let Some(tale) = tales.last()
        && dies(place, tale, case, wrong).await
    {
        return true;
    }
    // a count that one story does not reach may be reached by the next
    for _ in 0..3 {
        let tale = Tale::of(place, scene(case.point));
        let died = dies(place, &tale, case, wrong).await;
        tales.push(tale);
        if died || !wrong.is_empty() {
            return died;
        }
        // what the story left to be done in the background may still pass it
        let begun = Instant::now();
        while begun.elapsed().as_millis() < 1_500 {
            if tokio::task::block_in_place(|| place.ended()).is_some() {
                died_there(place, case, wrong);
                return true;
            }
        }
    }
    false
}

async fn tried(place: &Place, case: Case) -> Outcome {
    let begun = Instant::now();
    let mut wrong = Vec::new();
    let mut tales = Vec::new();
    let mut crashes = 0;
    for life in ["first", "second"] {
        if cursed(place, case, &mut tales, &mut wrong).await {
            crashes += 1;
        } else {
            wrong.push(format!("in its {life} life it was never passed"));
            place.is_killed();
        }
        place.leases_end().await;
    }
    place.world.klarna.mends().await;
    if !place.starts(&[]) {
        wrong.push("it does not start any more".to_owned());
    }
    if tales.is_empty() {
        tales.push(Tale::of(place, scene(case.point)));
    }
    for tale in tales {
        if let Err(stop) = tale.is_told().await {
            wrong.push(format!("it does not heal: {stop:?}"));
        }
        wrong.extend(tale.judged().await);
    }
    // no mercy at the end of a case either
    place.is_killed();
    place.leases_end().await;
    Outcome {
        case,
        crashes,
        wrong,
        seconds: begun.elapsed().as_secs_f32(),
    }
}

/// One world that takes case after case.
fn lane(plan: WorldPlan, left: &Mutex<VecDeque<Case>>, over: &Mutex<Vec<Outcome>>) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        // only panics and last words are looked for: the rest would be work for nothing
        let place = Place::of(plan.with("LOG", "warn")).await;
        loop {
            let next = left.lock().unwrap().pop_front();
            let Some(case) = next else { break };
            let outcome = tokio::time::timeout(LONG * 6, tried(&place, case)).await;
            let outcome = outcome.unwrap_or_else(|_| Outcome {
                case,
                crashes: 0,
                wrong: vec!["it takes for ever".to_owned()],
                seconds: 0.0,
            });
            let Case { point, pass } = outcome.case;
            eprintln!(
                "{} {}:{pass}: {} crashes, {} violations, {:.1} s",
                if place.world.is_postgres() {
                    "PostgreSQL"
                } else {
                    "SQLite"
                },
                point.as_str(),
                outcome.crashes,
                outcome.wrong.len(),
                outcome.seconds
            );
            over.lock().unwrap().push(outcome);
        }
        let log = place.log();
        if let Some(at) = log.find("panicked") {
            let around: String = log[at.saturating_sub(200)..].chars().take(600).collect();
            over.lock().unwrap().push(Outcome {
                case: Case {
                    point: Point::StartFreed,
                    pass: 0,
                },
                crashes: 0,
                wrong: vec![format!("something panicked: {around}")],
                seconds: 0.0,
            });
        }
        place.ends().await;
    });
}

fn every_point_crashes_twice(database: &str, plan: &WorldPlan) {
    let cases = cases(database == "PostgreSQL");
    let count = u32::try_from(cases.len()).expect("few");
    let mut run = Run::begin("crash at every fail point", database, count, count);
    let (left, over) = (Mutex::new(cases), Mutex::default());
    std::thread::scope(|scope| {
        for _ in 0..LANES {
            scope.spawn(|| lane(plan.clone(), &left, &over));
        }
    });
    let mut over: Vec<Outcome> = over.into_inner().unwrap();
    over.sort_by_key(|it| {
        let place = Point::ALL.iter().position(|point| *point == it.case.point);
        (place, it.case.pass)
    });
    for outcome in over {
        let Case { point, pass } = outcome.case;
        run.count("crashes", outcome.crashes);
        for wrong in outcome.wrong {
            run.violated(format!("{}:{pass}: {wrong}", point.as_str()));
        }
    }
    run.end();
}

#[test]
fn on_sqlite() {
    every_point_crashes_twice("SQLite", &WorldPlan::new().on_sqlite());
}

#[test]
fn on_postgres() {
    match WorldPlan::new().on_postgres() {
        Some(plan) => every_point_crashes_twice("PostgreSQL", &plan),
        None => eprintln!("skipped: PAYLINK_TEST_POSTGRES names no server"),
    }
}

/// A curse that names nothing would prove nothing.
#[test]
fn a_word_that_names_no_point_ends_the_process() {
    use crate::outside::harness::process::run;
    let dir = std::env::temp_dir().join(format!("paylink_curse_{}", std::process::id()));
    std::fs::create_dir_all(&dir).expect("a directory");
    for (name, word) in [
        ("PAYLINK_CRASH_AT", "create.acepted"),
        ("PAYLINK_CRASH_AT", "create.accepted:often"),
        ("PAYLINK_PLANT", "no_fences"),
    ] {
        let env = vec![(name.to_owned(), word.to_owned())];
        let ended = run(&["migrate"], &env, &dir);
        assert_eq!(ended.code, Some(2), "{word}: {}", ended.stderr);
        assert!(ended.stderr.contains(name), "{word}: {}", ended.stderr);
    }
    let _ = std::fs::remove_dir_all(&dir);
}
