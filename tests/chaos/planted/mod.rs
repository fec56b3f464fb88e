//! Fifteen bugs that a program of this kind is known to have, each planted in ours and caught. A
//! scenario is told twice: to the program as it is, where it must see no law broken, and to the
//! program with the bug, where it must.

mod messages;
mod money;
mod storage;

use std::collections::BTreeSet;
use std::future::Future;
use std::pin::Pin;
use std::sync::Mutex;
use std::time::Duration;

use serde_json::{Value, json};

use super::lives::{Place, Stop};
use super::row;
use crate::outside::harness::http::Answer;
use crate::outside::harness::{WorldPlan, reference, sale_of};
use paylink::chaos::Bug;

/// What a scenario saw: the laws that were broken, or why it could not look.
type Seen = Result<Vec<String>, Stop>;
type Scenario = for<'a> fn(&'a Place) -> Pin<Box<dyn Future<Output = Seen> + 'a>>;

#[derive(Clone, Copy, PartialEq, Eq)]
enum On {
    Sqlite,
    Postgres,
}

static CAUGHT: Mutex<BTreeSet<&'static str>> = Mutex::new(BTreeSet::new());

/// Fifteen tests: the bug, where it lives, its scenario, words of the violation that it must show.
macro_rules! bugs {
    ($($bug:ident on $on:ident: $room:ident, $words:literal;)+) => {
        $(
            #[test]
            fn $bug() {
                caught(stringify!($bug), On::$on, |place| Box::pin($room::$bug(place)), $words);
            }
        )+

        /// Each planted bug has a test of its name.
        #[test]
        fn every_bug_has_its_test() {
            let tested: BTreeSet<_> = [$(stringify!($bug)),+].into();
            let known: BTreeSet<_> = Bug::ALL.iter().map(|it| it.as_str()).collect();
            assert_eq!(tested, known);
        }
    };
}

bugs! {
    no_attempt_row on Sqlite: messages, "double SMS";
    synchronous_normal on Sqlite: storage, "lost with the power";
    deferred_begin on Sqlite: storage, "refused because another process wrote";
    retry_sms_5xx on Sqlite: messages, "double SMS";
    believe_callback on Sqlite: money, "forged completion";
    no_fence on Postgres: messages, "wrote over its successor";
    no_confirmation on Postgres: messages, "double mail";
    disable_beats_paid on Sqlite: money, "has the money";
    send_before_commit on Sqlite: messages, "double SMS";
    key_unscoped on Sqlite: money, "another's key";
    follow_redirect on Sqlite: money, "nobody configured";
    plain_lookup on Postgres: storage, "is stored";
    events_by_id on Postgres: storage, "never seen";
    actix_runtime on Sqlite: money, "dropped by the stop";
    shared_savepoints on Sqlite: storage, "acknowledged and lost";
}

fn caught(bug: &'static str, on: On, scenario: Scenario, words: &str) {
    let plan = match on {
        On::Sqlite => Some(WorldPlan::new()),
        On::Postgres => WorldPlan::new().on_postgres(),
    };
    let Some(plan) = plan else {
        eprintln!("planted bug {bug}: skipped, PAYLINK_TEST_POSTGRES names no server");
        return;
    };
    if bug == Bug::SynchronousNormal.as_str() && !storage::power_can_fail() {
        eprintln!(
            "planted bug {bug}: skipped, a disk that loses power takes root and loop devices"
        );
        return;
    }
    let wrong = plan.clone().with("PAYLINK_PLANT", bug);
    let (right, wrong) = std::thread::scope(|scope| {
        let right = scope.spawn(|| told(plan, scenario));
        let wrong = scope.spawn(|| told(wrong, scenario));
        (right.join(), wrong.join())
    });
    let right = right.expect("the right program is told the scenario");
    assert!(right.is_empty(), "without the bug {bug}: {right:#?}");
    let wrong = wrong.expect("the wrong program is told the scenario");
    let shown = wrong.iter().find(|it| it.contains(words));
    let shown = shown.unwrap_or_else(|| panic!("the planted bug {bug} was not caught: {wrong:?}"));
    let database = if on == On::Sqlite {
        "SQLite"
    } else {
        "PostgreSQL"
    };
    row(
        &format!("planted bug {bug}"),
        database,
        1,
        &format!("caught: {shown}"),
        0,
    );
    let mut all = CAUGHT.lock().unwrap();
    all.insert(bug);
    eprintln!("planted bugs caught: {} of {}", all.len(), Bug::ALL.len());
}

fn told(plan: WorldPlan, scenario: Scenario) -> Vec<String> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let place = Place::of(plan).await;
        let seen = tokio::time::timeout(Duration::from_mins(3), scenario(&place)).await;
        let log = place.log();
        place.ends().await;
        match seen {
            Ok(Ok(violations)) => violations,
            Ok(Err(stop)) => vec![format!("{stop:?}: {}", tail(&log))],
            Err(_) => vec![format!("it takes for ever: {}", tail(&log))],
        }
    })
}

fn tail(log: &str) -> String {
    let lines: Vec<_> = log.lines().rev().take(12).collect();
    lines.into_iter().rev().collect::<Vec<_>>().join("\n")
}

fn wrong<T>(what: impl Into<String>) -> Result<T, Stop> {
    Err(Stop::Wrong(what.into()))
}

fn text<'a>(value: &'a Value, member: &str) -> &'a str {
    value[member].as_str().unwrap_or_default()
}

/// A sale that is sent to `sms`, with a reference of its own.
fn sale_to(channel: &str, to: &str) -> Value {
    let mut sale = sale_of(&reference());
    sale["send"] = json!([{"channel": channel, "to": to}]);
    sale
}

/// Asks every 40 ms until it is so; a scenario that never sees it has not seen anything.
async fn until(what: &str, mut is: impl AsyncFnMut() -> bool) -> Result<(), Stop> {
    let begun = std::time::Instant::now();
    while !is().await {
        if begun.elapsed() > super::lives::LONG {
            return wrong(format!("never: {what}"));
        }
        tokio::time::sleep(Duration::from_millis(40)).await;
    }
    Ok(())
}

/// Long enough for a program that would do it to have done it.
async fn a_while(millis: u64) {
    tokio::time::sleep(Duration::from_millis(millis)).await;
}

/// Posts a sale, and does not wait for the answer.
fn posted(place: &Place, sale: &Value) -> Posted {
    tokio::spawn(place.admin.sends(sale).attempt())
}

type Posted = tokio::task::JoinHandle<Result<Answer, reqwest::Error>>;

/// The process stops at the point where it was told to. Before it stands, it may still do a lot.
async fn pauses(place: &Place) -> Result<(), Stop> {
    until("it pauses", async || place.is_stopped()).await
}

/// The paused process comes to itself, does what it was about to do, and ends well.
fn wakes_and_ends(place: &Place) -> Result<(), Stop> {
    place.signal("-CONT");
    match place.stops() {
        Some(ended) if ended.code == Some(0) => Ok(()),
        ended => wrong(format!("it was woken and asked to end: {ended:?}")),
    }
}

/// Posts a sale under a key until it is created.
async fn created(place: &Place, sale: &Value) -> Result<Value, Stop> {
    let key = format!("create-{}", sale["reference"]).replace('"', "");
    let admin = &place.admin;
    let answer = place
        .asks(|| admin.post("/v1/links", sale).idempotent(&key))
        .await?;
    let link = answer.json();
    match answer.status {
        201 | 202 => Ok(link),
        status => wrong(format!("create: {status} {link}")),
    }
}

/// The link as it is now.
async fn link(place: &Place, id: &str) -> Result<Value, Stop> {
    let path = format!("/v1/links/{id}");
    let answer = place.asks(|| place.admin.get(&path)).await?;
    match answer.status {
        200 => Ok(answer.json()),
        status => wrong(format!("{path}: {status}")),
    }
}

/// The link's only delivery once it is over.
async fn delivered(place: &Place, id: &str) -> Result<Value, Stop> {
    let mut last = Value::Null;
    until("the delivery is over", async || {
        if let Ok(link) = link(place, id).await {
            last = link["deliveries"][0].clone();
        }
        !matches!(text(&last, "status"), "" | "queued" | "sending")
    })
    .await?;
    Ok(last)
}
