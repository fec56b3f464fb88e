//! SQLite's writer: `store.md`'s table of what happens, row by row.

use std::fs::File;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Barrier, Mutex};

use diesel::prelude::*;
use diesel::sql_types::BigInt;
use futures_util::FutureExt;

use super::*;

#[derive(QueryableByName)]
struct Count {
    #[diesel(sql_type = BigInt)]
    it: i64,
}

/// What another process sees in the file.
fn alerts(file: &Path) -> i64 {
    let mut conn = crate::store::lite::connect(file).unwrap();
    diesel::sql_query("SELECT count(*) AS it FROM alert")
        .get_result::<Count>(&mut conn)
        .unwrap()
        .it
}

fn alert(tx: &mut Tx, kind: &str) -> Res<bool> {
    tx.alert(kind, "words", None, start())
}

type Closure = Box<dyn Fn(&mut Tx) -> Res<bool> + Send>;

/// Keeps the writer busy until all of `closures` wait, so that they make one group.
async fn grouped(store: &Store, closures: Vec<Closure>) -> Vec<Res<bool>> {
    let gate = Arc::new(Barrier::new(2));
    let busy = {
        let (store, gate) = (store.clone(), Arc::clone(&gate));
        tokio::spawn(async move {
            store
                .write(move |_| -> Res<()> {
                    gate.wait();
                    gate.wait();
                    Ok(())
                })
                .await
        })
    };
    let entered = Arc::clone(&gate);
    tokio::task::spawn_blocking(move || entered.wait())
        .await
        .unwrap();
    let mut answers = Vec::new();
    for closure in closures {
        let mut write = Box::pin(store.write(closure));
        assert!((&mut write).now_or_never().is_none(), "it waits");
        answers.push(write);
    }
    tokio::task::spawn_blocking(move || gate.wait())
        .await
        .unwrap();
    busy.await.unwrap().unwrap();
    futures_util::future::join_all(answers).await
}

#[tokio::test(flavor = "multi_thread")]
async fn waiting_closures_share_a_commit() {
    let f = lite().await;
    let file = f.store.file().unwrap();
    let seen = Arc::new(Mutex::new(None));
    let (note, path) = (Arc::clone(&seen), file.clone());
    let answers = grouped(
        &f.store,
        vec![
            Box::new(|tx| alert(tx, "one")),
            Box::new(|tx| alert(tx, "two")),
            Box::new(move |tx| {
                *note.lock().unwrap() = Some(alerts(&path));
                alert(tx, "three")
            }),
        ],
    )
    .await;
    assert_eq!(answers, [Ok(true), Ok(true), Ok(true)]);
    assert_eq!(*seen.lock().unwrap(), Some(0), "nothing was committed yet");
    assert_eq!(alerts(&file), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_undoes_its_closure_alone() {
    let f = lite().await;
    let answers = grouped(
        &f.store,
        vec![
            Box::new(|tx| alert(tx, "one")),
            Box::new(|tx| {
                alert(tx, "two")?;
                Err(StoreError::Closed)
            }),
            Box::new(|tx| alert(tx, "two")),
        ],
    )
    .await;
    assert_eq!(answers, [Ok(true), Err(StoreError::Closed), Ok(true)]);
    assert_eq!(alerts(&f.store.file().unwrap()), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_panic_later_writes_are_durable() {
    let f = lite().await;
    let answers = grouped(
        &f.store,
        vec![
            Box::new(|tx| alert(tx, "one")),
            Box::new(|tx| {
                alert(tx, "two")?;
                panic!("on purpose")
            }),
            Box::new(|tx| alert(tx, "three")),
        ],
    )
    .await;
    assert_eq!(answers, [Ok(true), Err(StoreError::Panicked), Ok(true)]);
    f.write(|tx| alert(tx, "four")).await;
    assert_eq!(alerts(&f.store.file().unwrap()), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_within_a_closure_fails_the_culprit_only() {
    for silent in [false, true] {
        let f = lite().await;
        let answers = grouped(
            &f.store,
            vec![
                Box::new(|tx| alert(tx, "one")),
                Box::new(move |tx| {
                    let fill = "PRAGMA max_page_count = 1; INSERT INTO alert (kind, hour, detail, at, count) \
                                VALUES ('big', 0, hex(zeroblob(9000000)), 0, 1)";
                    let refused = tx.sql(|conn| conn.batch_execute(fill));
                    if silent { Ok(true) } else { refused.map(|()| true) }
                }),
                Box::new(|tx| alert(tx, "three")),
            ],
        )
        .await;
        assert_eq!(answers, [Ok(true), Err(StoreError::Full), Ok(true)]);
        assert_eq!(alerts(&f.store.file().unwrap()), 2);
        f.write(|tx| alert(tx, "four")).await;
        assert_eq!(alerts(&f.store.file().unwrap()), 3);
    }
}

/// Begins with what SQLite does then: the whole transaction is gone, and what comes next would run
/// in autocommit.
#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_that_was_undone_under_a_closure_is_run_again_without_it() {
    let f = lite().await;
    let answers = grouped(
        &f.store,
        vec![
            Box::new(|tx| alert(tx, "one")),
            Box::new(|tx| tx.sql(|conn| conn.batch_execute("ROLLBACK")).map(|()| true)),
            Box::new(|tx| alert(tx, "three")),
        ],
    )
    .await;
    assert!(
        matches!(answers[1], Err(StoreError::Fatal(_))),
        "{answers:?}"
    );
    assert_eq!([&answers[0], &answers[2]], [&Ok(true), &Ok(true)]);
    assert_eq!(alerts(&f.store.file().unwrap()), 2);
}

/// The write-ahead log is a device that is always full: nothing is written before COMMIT. (To make
/// one takes a privilege; SQLite does not follow a link to the system's.)
#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_is_full_at_commit_stores_nothing() {
    let dir = scratch();
    let file = dir.join("paylink.db");
    let mut conn = crate::store::lite::connect(&file).unwrap();
    conn.batch_execute(include_str!(
        "../../../migrations/sqlite/20261124000000_start/up.sql"
    ))
    .unwrap();
    drop(conn);
    let log = dir.join("paylink.db-wal");
    let made = Command::new("mknod")
        .arg(&log)
        .args(["c", "1", "7"])
        .status();
    if !made.is_ok_and(|it| it.success()) || File::options().write(true).open(&log).is_err() {
        eprintln!("skipped: no device can be made here");
        return;
    }
    let store = Store::open(
        &Database {
            url: format!("sqlite://{}", file.display()),
            connections: 1,
        },
        Holding::Beside,
        vault(),
        Clock::manual(start()),
        Random::seeded(1),
    )
    .await
    .unwrap();
    let closures: Vec<Closure> = vec![
        Box::new(|tx| alert(tx, "one")),
        Box::new(|tx| alert(tx, "two")),
    ];
    let answers = grouped(&store, closures).await;
    assert_eq!(answers, [Err(StoreError::Full), Err(StoreError::Full)]);
    std::fs::remove_file(log).unwrap();
    assert_eq!(alerts(&file), 0);
    std::fs::remove_dir_all(dir).unwrap();
}

/// A process whose files may not grow gets an I/O error at some COMMIT, and leaves with 70.
#[test]
fn an_io_error_at_commit_answers_nobody_and_leaves() {
    let dir = scratch();
    let left = Command::new("sh")
        .args(["-c", "trap '' XFSZ; ulimit -f 1000; exec \"$0\" \"$@\""])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "store::tests::lite::writes_until_it_cannot"])
        .args(["--ignored", "--nocapture"])
        .env("PAYLINK_TEST_DIR", &dir)
        .output()
        .unwrap();
    let words = String::from_utf8_lossy(&left.stderr);
    assert_eq!(left.status.code(), Some(70), "{words}");
    let acknowledged = words.lines().filter(|it| it.starts_with("stored ")).count();
    assert!(acknowledged > 1, "{words}");
    let durable = usize::try_from(alerts(&dir.join("paylink.db"))).unwrap();
    assert!(durable >= acknowledged, "{durable} of {acknowledged}");
    std::fs::remove_dir_all(dir).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a process of its own: run by an_io_error_at_commit_answers_nobody_and_leaves"]
async fn writes_until_it_cannot() {
    let dir = PathBuf::from(std::env::var_os("PAYLINK_TEST_DIR").unwrap());
    let url = format!("sqlite://{}", dir.join("paylink.db").display());
    let f = opened(url, Holding::Beside).await;
    for n in 0..1000 {
        f.write(move |tx| tx.alert(&n.to_string(), &"x".repeat(10_000), None, start()))
            .await;
        eprintln!("stored {n}");
    }
}

/// The same within a process: the callers are told only that the store is gone.
#[tokio::test(flavor = "multi_thread")]
async fn a_writer_that_cannot_know_answers_nobody() {
    let f = lite().await;
    let left = Arc::new(AtomicBool::new(false));
    let leaving = Arc::clone(&left);
    let store = Store::open_with(
        &f.database,
        Holding::Beside,
        vault(),
        f.clock.clone(),
        f.random.clone(),
        Box::new(move |_| leaving.store(true, Ordering::SeqCst)),
    )
    .await
    .unwrap();
    // COMMIT fails, and not because the disk is full: a deferred constraint, which no table of ours has
    let answer: Res<()> = store
        .write(|tx| {
            tx.sql(|conn| {
                conn.batch_execute(
                    "CREATE TABLE child (parent TEXT REFERENCES link (id) DEFERRABLE INITIALLY DEFERRED)",
                )
            })?;
            tx.sql(|conn| conn.batch_execute("PRAGMA defer_foreign_keys = ON; INSERT INTO child VALUES ('nobody')"))
        })
        .await;
    assert_eq!(answer, Err(StoreError::Closed));
    assert!(left.load(Ordering::SeqCst));
    let later = store.write(|tx| alert(tx, "two")).await;
    assert_eq!(later, Err(StoreError::Closed));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_another_process_writes_is_busy_and_then_not() {
    let f = lite().await;
    f.raw("PRAGMA busy_timeout = 0").await;
    let mut other = crate::store::lite::connect(&f.store.file().unwrap()).unwrap();
    other.batch_execute("BEGIN IMMEDIATE").unwrap();
    let answer = f.store.write(|tx| alert(tx, "one")).await;
    assert_eq!(answer, Err(StoreError::Busy));
    other.batch_execute("ROLLBACK").unwrap();
    assert!(f.write(|tx| alert(tx, "one")).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn more_waiting_writers_than_the_queue_holds_are_refused() {
    let f = lite().await;
    let gate = Arc::new(Barrier::new(2));
    let held = Arc::clone(&gate);
    let mut busy = Box::pin(f.store.write(move |_| -> Res<()> {
        held.wait();
        Ok(())
    }));
    assert!((&mut busy).now_or_never().is_none());
    let mut refused = 0;
    for _ in 0..5000 {
        if let Some(answer) = f.store.write(|_| -> Res<()> { Ok(()) }).now_or_never() {
            assert_eq!(answer, Err(StoreError::Overloaded));
            refused += 1;
        }
    }
    // the queue holds 4096; how many the writer took out of it before it was held up is its affair
    assert!((800..=905).contains(&refused), "{refused}");
    tokio::task::spawn_blocking(move || gate.wait())
        .await
        .unwrap();
    busy.await.unwrap();
}

#[test]
fn one_process_serves_a_file() {
    let dir = scratch();
    let file = dir.join("paylink.db");
    let first = crate::store::lite::lock(&file).unwrap();
    let second = crate::store::lite::lock(&file);
    assert_eq!(
        second.err(),
        Some(OpenError::Held(file.display().to_string()))
    );
    drop(first);
    crate::store::lite::lock(&file).unwrap();
    std::fs::remove_dir_all(dir).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_another_process_appends_is_followed() {
    let f = lite().await;
    let beside = Store::open(
        &f.database,
        Holding::Beside,
        vault(),
        f.clock.clone(),
        f.random.clone(),
    )
    .await
    .unwrap();
    let mut head = f.store.head_watch();
    let (link, event) = (f.new_link("SO-1"), f.event());
    let written: Res<()> = beside
        .write(move |tx| {
            let mut link = link.clone();
            tx.insert_link(&link, &[1; 32], true)?;
            tx.append(&mut link, EventKind::LinkCreated, event, None, start())
        })
        .await;
    written.unwrap();
    head.wait_for(|it| *it == 1).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn no_personal_data_lies_open_in_the_file() {
    let f = lite().await;
    let link = f.born("SO-1").await;
    let delivery = f.delivery(&link, sms("+447700900123"));
    f.write(move |tx| tx.insert_delivery(&delivery)).await;
    let dir = f.dir.clone().unwrap();
    let mut bytes = Vec::new();
    for name in ["paylink.db", "paylink.db-wal"] {
        bytes.extend(std::fs::read(dir.join(name)).unwrap());
    }
    let holds = |text: &str| bytes.windows(text.len()).any(|it| it == text.as_bytes());
    assert!(holds("SO-1"), "the file is not what was read");
    for personal in [
        "jo@example.com",
        "bloggs",
        "Bloggs",
        "7700900123",
        "Lombard",
        "1980-01-01",
    ] {
        assert!(!holds(personal), "{personal}");
    }
    let mode = std::fs::metadata(dir.join("paylink.db"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o077, 0, "the file is its owner's alone");
}

#[tokio::test]
async fn a_url_that_names_no_file_is_refused() {
    for url in [
        "mysql://x",
        "sqlite://",
        "sqlite://:memory:",
        "sqlite://x?mode=ro",
    ] {
        let refused = crate::store::url::Place::parse(url).err();
        assert!(matches!(refused, Some(OpenError::Unsupported(_))), "{url}");
    }
}
