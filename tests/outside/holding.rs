//! Who may serve a database: on SQLite one process, and whoever has the secret that it was written under.

use super::harness::process::{Process, run};
use super::harness::{World, WorldPlan, sale, stories};

stories!(
    holding,
    WorldPlan::new(),
    [
        a_second_process_is_refused_the_file,
        a_key_is_made_where_none_is_needed_yet,
        a_start_that_waits_can_be_stopped,
    ]
);

stories!(
    holding_with_another_secret,
    WorldPlan::new(),
    [another_secret_is_refused]
);

async fn a_second_process_is_refused_the_file(w: &World) {
    if w.is_postgres() {
        return;
    }
    let mut env = w.env.clone();
    env.retain(|(name, _)| name != "PAYLINK_LISTEN");
    env.push(("PAYLINK_LISTEN".to_owned(), "127.0.0.1:0".to_owned()));
    for command in ["serve", "worker", "migrate"] {
        let ended = run(&[command], &env, &w.dir);
        assert_eq!(ended.code, Some(2), "{command}: {}", ended.stderr);
        assert_eq!(ended.stdout, "", "{command}");
        assert!(!ended.stderr.trim().is_empty(), "{command} says why");
    }
    // nor by another name, which SQLite follows to the same file
    std::os::unix::fs::symlink("paylink.db", w.path("other.db")).expect("a link");
    std::fs::copy(w.path("paylink.db.key"), w.path("other.db.key")).expect("the same key");
    env.retain(|(name, _)| name != "DATABASE_URL");
    let other = format!("sqlite://{}", w.path("other.db").display());
    env.push(("DATABASE_URL".to_owned(), other));
    let ended = run(&["serve"], &env, &w.dir);
    assert_eq!(ended.code, Some(2), "{}", ended.stderr);
    std::fs::remove_file(w.path("other.db")).expect("the link");
    std::fs::hard_link(w.path("paylink.db"), w.path("other.db")).expect("a link");
    let ended = run(&["serve"], &env, &w.dir);
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    assert!(ended.stderr.contains("hard links"), "{}", ended.stderr);
    std::fs::remove_file(w.path("other.db")).expect("the link");
    // what lies beside the database was made for its owner alone
    for name in ["paylink.db.key", "paylink.db.lock"] {
        let file = std::fs::metadata(w.path(name)).expect("a file beside the database");
        let mode = std::os::unix::fs::PermissionsExt::mode(&file.permissions());
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
    assert!(w.stderr().contains("paylink.db.key"), "said on stderr");
    w.agent().creates(&sale()).await;
}

/// What `migrate` made holds nothing that a key could be missing for. (That a copy without its key gets
/// none is told in `recovering`.)
async fn a_key_is_made_where_none_is_needed_yet(w: &World) {
    if w.is_postgres() {
        return;
    }
    let mut env = w.env.clone();
    env.retain(|(name, _)| name != "PAYLINK_LISTEN" && name != "DATABASE_URL");
    env.push(("PAYLINK_LISTEN".to_owned(), "127.0.0.1:0".to_owned()));
    let url = format!("sqlite://{}", w.path("empty.db").display());
    env.push(("DATABASE_URL".to_owned(), url));
    let ended = run(&["migrate"], &env, &w.dir);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(!w.path("empty.db.key").exists(), "nothing is sealed yet");
    let mut serve = Process::start(&["serve"], &env, &w.dir);
    serve.listening();
    let ended = serve.terminate(std::time::Duration::from_secs(25));
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(w.path("empty.db.key").exists());
    // a key of the API is of no use without it: from here on it must be there
    let made = run(
        &["keys", "create", "--name", "till", "--role", "agent"],
        &env,
        &w.dir,
    );
    assert_eq!(made.code, Some(0), "{}", made.stderr);
    std::fs::remove_file(w.path("empty.db.key")).expect("the key");
    for command in [&["serve"][..], &["keys", "list"]] {
        let ended = run(command, &env, &w.dir);
        assert_eq!(ended.code, Some(2), "{command:?}: {}", ended.stderr);
        assert!(ended.stderr.contains("empty.db.key"), "{}", ended.stderr);
    }
    assert!(!w.path("empty.db.key").exists());
}

/// The database takes the connection and says nothing.
async fn a_start_that_waits_can_be_stopped(w: &World) {
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a port");
    let port = silent.local_addr().expect("an address").port();
    let mut env = w.env.clone();
    env.retain(|(name, _)| name != "PAYLINK_LISTEN" && name != "DATABASE_URL");
    env.push(("PAYLINK_LISTEN".to_owned(), "127.0.0.1:0".to_owned()));
    let url = format!("postgres://u@127.0.0.1:{port}/none?sslmode=disable");
    env.push(("DATABASE_URL".to_owned(), url));
    if !env.iter().any(|(name, _)| name == "PAYLINK_SECRET") {
        let secret = "YW5vdGhlciBzZWNyZXQgb2YgMzIgYnl0ZXMsIHllcyE=";
        env.push(("PAYLINK_SECRET".to_owned(), secret.to_owned()));
    }
    for command in ["serve", "worker"] {
        let process = Process::start(&[command], &env, &w.dir);
        let _waits = silent.accept().await.expect("it connects");
        let ended = process.terminate(std::time::Duration::from_secs(5));
        assert_eq!(ended.code, Some(0), "{command}: {}", ended.stderr);
    }
}

async fn another_secret_is_refused(w: &World) {
    w.agent().creates(&sale()).await;
    w.stops();
    let other = "YW5vdGhlciBzZWNyZXQgb2YgMzIgYnl0ZXMsIHllcyE=";
    let wrong = {
        let mut env = w.env.clone();
        env.retain(|(name, _)| name != "PAYLINK_SECRET");
        env.push(("PAYLINK_SECRET".to_owned(), other.to_owned()));
        env
    };
    for args in [
        &["serve"][..],
        &["worker"],
        &["keys", "create", "--name", "x", "--role", "agent"],
    ] {
        if args == ["worker"] && !w.is_postgres() {
            continue;
        }
        let ended = run(args, &wrong, &w.dir);
        assert_eq!(ended.code, Some(2), "{args:?}: {}", ended.stderr);
        assert!(
            ended.stderr.contains("another PAYLINK_SECRET"),
            "{args:?}: {}",
            ended.stderr
        );
        assert_eq!(ended.stdout, "", "{args:?}");
    }
    let checked = run(&["check"], &wrong, &w.dir);
    assert_eq!(checked.code, Some(1), "{}", checked.stderr);
    let row = checked.stdout.lines().find(|row| row.contains("database"));
    assert!(
        row.is_some_and(|row| row.starts_with("FAIL") && row.contains("another PAYLINK_SECRET")),
        "{}",
        checked.stdout
    );
    w.comes_back();
    w.agent().creates(&sale()).await;
}
