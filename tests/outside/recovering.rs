//! A copy of the ledger, made while it is served under load, and what becomes of it when it is
//! served instead: nothing is sent twice, nobody is shown a second page, and what happened in between
//! comes to light.

use std::path::Path;

use serde_json::{Value, json};

use super::harness::process::{Ended, run};
use super::harness::world::id;
use super::harness::{
    Caller, Reply, World, WorldPlan, email, eventually, phone, reference, sale, sale_of, stories,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_of_sqlite_is_made_and_served() {
    super::harness::told(
        WorldPlan::new().on_sqlite(),
        vec![
            ("a_backup_refuses_what_it_must", |w| {
                Box::pin(a_backup_refuses_what_it_must(w))
            }),
            ("a_full_disk_leaves_nothing", |w| {
                Box::pin(a_full_disk_leaves_nothing(w))
            }),
            ("a_copy_learns_what_happened_since", |w| {
                Box::pin(a_copy_learns_what_happened_since(w))
            }),
            ("money_that_moved_since_is_not_called_twice", |w| {
                Box::pin(money_that_moved_since_is_not_called_twice(w))
            }),
            ("a_refund_that_waited_is_not_paid_again", |w| {
                Box::pin(a_refund_that_waited_is_not_paid_again(w))
            }),
        ],
    )
    .await;
}

stories!(
    restored_otherwise,
    WorldPlan::new(),
    [a_copy_made_otherwise_is_said_to_be_one]
);

stories!(
    restored_while_klarna_is_away,
    WorldPlan::new(),
    [a_recovery_outlives_a_crash_and_waits_for_klarna]
);

/// Also the mode of the file is looked at.
fn is_private(file: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    let mode = file.metadata().expect("the file is there").permissions();
    mode.mode() & 0o777 == 0o600
}

fn backs_up(w: &World, name: &str) -> Ended {
    // only the database is configured: a cron job knows nothing else
    let env = w
        .env
        .iter()
        .filter(|(name, _)| name == "DATABASE_URL")
        .cloned()
        .collect();
    run(&["backup", name], &env, &w.dir)
}

async fn a_backup_refuses_what_it_must(w: &World) {
    w.agent().creates(&sale()).await;
    std::fs::write(w.path("there.db"), "mine").expect("a file");
    let ended = backs_up(w, "there.db");
    assert_eq!(ended.code, Some(2), "{}", ended.stderr);
    assert!(ended.stderr.contains("there already"), "{}", ended.stderr);
    assert_eq!(
        std::fs::read(w.path("there.db")).expect("the file"),
        b"mine"
    );
    let ended = backs_up(w, "no-such-folder/copy.db");
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    let elsewhere = vec![(
        "DATABASE_URL".to_owned(),
        format!("sqlite://{}", w.path("none.db").display()),
    )];
    for args in [vec!["backup", "copy.db"], vec!["restored"], vec!["jobs"]] {
        let ended = run(&args, &elsewhere, &w.dir);
        assert_eq!(ended.code, Some(2), "{args:?} {}", ended.stderr);
        assert!(!w.path("none.db").exists(), "{args:?} makes no database");
    }
    let postgres = vec![(
        "DATABASE_URL".to_owned(),
        "postgres://u@127.0.0.1:1/none".to_owned(),
    )];
    let ended = run(&["backup", "copy.db"], &postgres, &w.dir);
    assert_eq!(ended.code, Some(2), "{}", ended.stderr);
    for words in ["pg_dump", "pg_basebackup", "paylink restored"] {
        assert!(ended.stderr.contains(words), "{words}: {}", ended.stderr);
    }
    // what a killed backup left is in nobody's way
    std::fs::write(w.path("copy.db.partial"), vec![1; 5000]).expect("a file");
    let ended = backs_up(w, "copy.db");
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(ended.stderr.contains(".key"), "{}", ended.stderr);
    assert!(is_private(&w.path("copy.db")));
    for left in ["copy.db.partial", "copy.db-journal", "copy.db-wal"] {
        assert!(!w.path(left).exists(), "{left}");
    }
    // a copy without its key is served by nobody, and gets none that would be in its way
    let mut env = w.env.clone();
    env.retain(|(name, _)| name != "DATABASE_URL" && name != "PAYLINK_LISTEN");
    let copy = format!("sqlite://{}", w.path("copy.db").display());
    env.push(("DATABASE_URL".to_owned(), copy));
    env.push(("PAYLINK_LISTEN".to_owned(), "127.0.0.1:0".to_owned()));
    let ended = run(&["serve"], &env, &w.dir);
    assert_eq!(ended.code, Some(2), "{}", ended.stderr);
    assert!(ended.stderr.contains("copy.db.key"), "{}", ended.stderr);
    assert!(!w.path("copy.db.key").exists(), "no key is made");
    let ended = run(&["backup", "json.db", "--json"], &w.env, &w.dir);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let said: Value = serde_json::from_str(&ended.stdout).expect("one JSON object");
    assert_eq!(
        (&said["file"], &said["key_included"]),
        (&json!("json.db"), &json!(false))
    );
    let bytes = w.path("json.db").metadata().expect("the copy").len();
    assert_eq!(said["bytes"], bytes);
}

async fn a_full_disk_leaves_nothing(w: &World) {
    w.agent().creates(&sale()).await;
    let url = w
        .env
        .iter()
        .find(|(name, _)| name == "DATABASE_URL")
        .map(|(_, url)| url.clone())
        .expect("a database");
    // no file may grow beyond 40 KiB; the signal that says so is turned into an error
    let ended = std::process::Command::new("sh")
        .args([
            "-c",
            "trap '' XFSZ; ulimit -f 40; exec \"$0\" backup full.db",
        ])
        .arg(env!("CARGO_BIN_EXE_paylink"))
        .env("DATABASE_URL", url)
        .current_dir(&w.dir)
        .output()
        .expect("a shell");
    let said = String::from_utf8_lossy(&ended.stderr);
    assert_eq!(ended.status.code(), Some(1), "{said}");
    for left in ["full.db", "full.db.partial", "full.db.partial-journal"] {
        assert!(!w.path(left).exists(), "{left} is left: {said}");
    }
}

/// Clients that make links until they are told that it is enough.
async fn load(who: &Caller, stop: &std::sync::atomic::AtomicBool) -> Vec<Value> {
    let mut made = Vec::new();
    while !stop.load(std::sync::atomic::Ordering::Relaxed) {
        let answer = who.sends(&sale()).await;
        if matches!(answer.status, 201 | 202) {
            made.push(answer.json());
        }
    }
    made
}

async fn ready(w: &World) {
    eventually("it is ready", async || {
        let answer = w.stranger().get("/readyz").await;
        (answer.status == 200).then_some(())
    })
    .await;
}

fn sent(sale: &mut Value, channel: &str, to: &str) {
    sale["send"] = json!([{"channel": channel, "to": to}]);
}

#[allow(clippy::too_many_lines)] // one story, told from its beginning to its end
async fn a_copy_learns_what_happened_since(w: &World) {
    let who = w.agent();
    // told to come later for hours: queued at the backup, sent after it
    let (busy, mut texted) = (phone(), sale());
    w.sms.replies(&busy, &[Reply::Busy(4)]);
    sent(&mut texted, "sms", &busy);
    let texted = who.creates(&texted).await;
    eventually("the gateway puts it off", async || {
        (w.sms.to(&busy).len() == 1).then_some(())
    })
    .await;
    let (closed, paid, shut, alone) = (
        who.creates(&sale()).await,
        who.creates(&sale()).await,
        who.creates(&sale()).await,
        who.creates(&sale()).await,
    );
    who.disables(id(&shut)).await.expect(200);
    // without a page at the backup; it gets one afterwards
    w.klarna.breaks("create_order", "status:503", 0).await;
    let waiting = who.sends(&sale()).await.expect(202).json();
    let stop = std::sync::atomic::AtomicBool::new(false);
    let told = async {
        // other people's clients go on while the copy is made
        tokio::time::timeout(
            std::time::Duration::from_secs(1),
            std::future::pending::<()>(),
        )
        .await
        .unwrap_err();
        let ended = tokio::task::block_in_place(|| backs_up(w, "copy.db.2"));
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        ended
    };
    let (ended, made, more) = tokio::join!(told, load(&who, &stop), load(&who, &stop));
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(!made.is_empty() && !more.is_empty());
    // and now the world goes on
    w.klarna.mends().await;
    let waiting = who.until_within(id(&waiting), "open", 90).await;
    eventually("the message leaves", async || {
        (w.sms.to(&busy).len() == 2).then_some(())
    })
    .await;
    who.disables(id(&closed)).await.expect(200);
    w.klarna.buyer(&paid, "pay").await;
    who.until(id(&paid), "completed").await;
    let late = sale_of(&reference());
    let lost = who.creates(&late).await;
    restores(w, "copy.db.2").await;
    let alerted = w.stderr();
    assert!(alerted.contains("restored from a copy"), "{alerted}");

    // one message: it left once before and once after the copy, and not a third time
    let delivery = id(&texted["deliveries"][0]).to_owned();
    let now = who
        .until_delivery(id(&texted), &delivery, "unknown", 5)
        .await;
    assert_eq!(now["reason"]["code"], "unknown_outcome");
    assert!(
        now["reason"]["detail"]
            .as_str()
            .is_some_and(|it| it.contains("restored from a copy")),
        "{now:#}"
    );
    let events = who.timeline(id(&texted)).await;
    assert_eq!(events.last().expect("events")["type"], "delivery.unknown");
    // what was open is as Klarna has it
    for (link, status) in [
        (&closed, "disabled"),
        (&paid, "completed"),
        (&shut, "disabled"),
        (&alone, "open"),
    ] {
        assert_eq!(who.link(id(link)).await["status"], status, "{link:#}");
    }
    // the page that it got after the copy was made is somebody's: it gets no second one
    let now = who.link(id(&waiting)).await;
    assert_eq!(
        (&now["status"], &now["url"]),
        (&json!("failed"), &Value::Null)
    );
    assert_eq!(w.klarna.sessions_for(&waiting["reference"]).await.len(), 1);
    // who uses it all the same is told of
    w.klarna.buyer(&waiting, "pay").await;
    eventually("a person is told", async || {
        w.stderr().contains("unknown_page").then_some(())
    })
    .await;
    // what was made after the copy is not known here, and says so
    who.get(&format!("/v1/links/{}", id(&lost)))
        .await
        .problem(404, "not_found");
    // all that was acknowledged before the copy was begun is there; the service works on
    let new = who.creates(&sale()).await;
    let (to, mut mailed) = (email(), sale());
    sent(&mut mailed, "email", &to);
    who.creates(&mailed).await;
    eventually("mail leaves again", async || {
        (w.mail.to(&to).len() == 1).then_some(())
    })
    .await;
    w.klarna.buyer(&new, "pay").await;
    who.until(id(&new), "completed").await;
    assert_eq!(w.sms.to(&busy).len(), 2, "never again by itself");
    // the mark is gone: the next start is an ordinary one
    let alerts = w.stderr().matches("restored from a copy").count();
    w.stops();
    w.comes_back();
    ready(w).await;
    assert_eq!(w.stderr().matches("restored from a copy").count(), alerts);
}

/// The service dies, and the copy takes the place of its database, without what lay beside that.
async fn restores(w: &World, copy: &str) {
    restores_with(w, copy, &[]).await;
}

async fn restores_with(w: &World, copy: &str, changes: &[(&str, &str)]) {
    w.crashes();
    for ending in ["", "-wal", "-shm"] {
        let _ = std::fs::remove_file(w.path(&format!("paylink.db{ending}")));
    }
    std::fs::copy(w.path(copy), w.path("paylink.db")).expect("the copy is put there");
    w.comes_back_with(changes);
    ready(w).await;
}

/// What was captured after the copy was made is in Klarna's books once: the copy does not know it, and
/// that is what a person is told.
async fn money_that_moved_since_is_not_called_twice(w: &World) {
    let who = w.integrator();
    let link = who.creates(&sale()).await;
    w.klarna.buyer(&link, "pay").await;
    who.until(id(&link), "completed").await;
    let ended = backs_up(w, "copy.db.3");
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    // the second by another key: two that the copy lacks, and each is named
    let mut captures = Vec::new();
    for amount in [4_000, 5_000] {
        let path = format!("/v1/links/{}/capture", id(&link));
        let body = json!({"amount": amount});
        let capture = eventually("the amounts are known", async || {
            let answer = who.post(&path, &body).await;
            (answer.status == 201).then(|| answer.json())
        });
        captures.push(capture.await);
    }
    restores(w, "copy.db.3").await;
    eventually("the copy knows of them", async || {
        let now = who.link(id(&link)).await;
        (now["payment"]["captured_amount"] == 9_000).then_some(())
    })
    .await;
    let told = w.stderr();
    for capture in &captures {
        let of = |it: &&str| it.contains(id(capture));
        let told: Vec<_> = told.lines().filter(of).collect();
        let says = |word: &str| told.iter().any(|it| it.contains(word));
        assert!(says("operation_unknown"), "{told:#?}");
        assert!(!says("operation_twice"), "{told:#?}");
    }
}

/// A refund that Klarna put off, was done after the copy was made, and waits in the copy. When that is
/// served Klarna has forgotten the key.
async fn a_refund_that_waited_is_not_paid_again(w: &World) {
    let who = w.integrator();
    let link = who.creates(&sale()).await;
    w.klarna.buyer(&link, "pay").await;
    who.until(id(&link), "completed").await;
    let call = |what: &str| format!("/v1/links/{}/{what}", id(&link));
    eventually("all is captured", async || {
        let answer = who.post(&call("capture"), &json!({})).await;
        (answer.status == 201).then_some(())
    })
    .await;
    w.klarna.breaks("refund", "status:429", 0).await;
    let refund = who.post(&call("refunds"), &json!({"amount": 4_000})).await;
    let refund = refund.expect(202).json();
    let ended = backs_up(w, "copy.db.4");
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    w.klarna.mends().await;
    let done = async || {
        let all = who.get(&call("refunds")).await.expect(200).json();
        (all["data"][0]["status"] == "done").then(|| all["data"][0].clone())
    };
    eventually("the original pays it", done).await;
    let (hours, file) = (30 * 3_600, w.path("clock"));
    std::fs::write(&file, hours.to_string()).expect("the clock is set");
    w.klarna.passes(hours).await;
    let clock = file.display().to_string();
    restores_with(w, "copy.db.4", &[("PAYLINK_CHAOS_CLOCK", &clock)]).await;
    let now = eventually("the copy knows of it", done).await;
    assert_eq!(now["id"], refund["id"]);
    let om = &w.klarna.order(&link).await["om"];
    assert_eq!(om["refunded_amount"], 4_000, "{om:#}");
}

async fn a_copy_made_otherwise_is_said_to_be_one(w: &World) {
    let who = w.agent();
    let (open, paid) = (who.creates(&sale()).await, who.creates(&sale()).await);
    let (busy, mut texted) = (phone(), sale());
    w.sms.replies(&busy, &[Reply::Busy(600)]);
    sent(&mut texted, "sms", &busy);
    let texted = who.creates(&texted).await;
    eventually("the gateway puts it off", async || {
        (w.sms.to(&busy).len() == 1).then_some(())
    })
    .await;
    w.crashes();
    w.klarna.buyer(&paid, "pay").await;
    let ended = w.runs(&["restored"]);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    w.comes_back();
    ready(w).await;
    let delivery = id(&texted["deliveries"][0]).to_owned();
    who.until_delivery(id(&texted), &delivery, "unknown", 5)
        .await;
    assert_eq!(who.link(id(&paid)).await["status"], "completed");
    assert_eq!(who.link(id(&open)).await["status"], "open");
    assert_eq!(w.sms.to(&busy).len(), 1);
}

async fn a_recovery_outlives_a_crash_and_waits_for_klarna(w: &World) {
    let who = w.agent();
    let link = who.creates(&sale()).await;
    let till = w.integrator();
    let paid = till.creates(&sale()).await;
    w.klarna.buyer(&paid, "pay").await;
    till.until(id(&paid), "completed").await;
    w.crashes();
    w.klarna.breaks("read_session", "status:503", 0).await;
    assert_eq!(w.runs(&["restored"]).code, Some(0));
    w.comes_back();
    let held = eventually("Klarna is asked", async || {
        let asked = w.klarna.calls_of("read_session", id(&link)).await;
        let session = link["klarna"]["session_id"].as_str().expect("a session");
        let asked = asked.len() + w.klarna.calls_of("read_session", session).await.len();
        (asked > 0).then(|| w.stranger().get("/readyz"))
    })
    .await;
    let held = held.await;
    assert_eq!(held.status, 503, "{}", held.text());
    assert_eq!(held.json()["worker"], "recovering");
    // no money moves by a ledger that may not know what moved
    let capture = format!("/v1/links/{}/capture", id(&paid));
    let early = till.post(&capture, &json!({"amount": 1})).await;
    early.problem(409, "busy");
    assert!(early.retry_after() > 0);
    // people work on meanwhile, and what they ask for waits
    let (to, mut mailed) = (email(), sale());
    sent(&mut mailed, "email", &to);
    let mailed = who.creates(&mailed).await;
    w.crashes();
    w.leases_end().await;
    w.comes_back();
    let held = w.stranger().get("/readyz").await;
    assert_eq!(held.status, 503, "{}", held.text());
    assert!(w.mail.to(&to).is_empty(), "no job runs before");
    w.klarna.mends().await;
    ready(w).await;
    eventually("the mail leaves", async || {
        (w.mail.to(&to).len() == 1).then_some(())
    })
    .await;
    let delivery = id(&mailed["deliveries"][0]).to_owned();
    who.until_delivery(id(&mailed), &delivery, "sent", 5).await;
    assert_eq!(who.link(id(&link)).await["status"], "open");
    let now = till.post(&capture, &json!({"amount": 1})).await;
    now.expect(201);
}
