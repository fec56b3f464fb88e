//! PostgreSQL: what is tried again, and how an unanswered COMMIT is settled.

use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering};

use diesel::prelude::*;
use diesel::sql_types::BigInt;

use super::jobs::job;
use super::*;
use crate::store::door::run;
use crate::store::pg::Pg;
use crate::store::url::{Place, Target, Tls};
use crate::store::witness::Witness;

#[derive(QueryableByName)]
struct Count {
    #[diesel(sql_type = BigInt)]
    it: i64,
}

impl Fixture {
    async fn ask(&self, query: &'static str) -> i64 {
        let count: Count = self
            .read(move |tx| tx.sql(|conn| diesel::sql_query(query).get_result(conn)))
            .await;
        count.it
    }

    fn pg(&self) -> &Pg {
        match &self.store.0.backend {
            Backend::Pg(pg) => pg,
            Backend::Lite(_) => unreachable!("made by postgres()"),
        }
    }

    /// A connection that is not the store's.
    async fn stranger(&self) -> tokio_postgres::Client {
        let (client, connection) =
            tokio_postgres::connect(&self.database.url, tokio_postgres::NoTls)
                .await
                .unwrap();
        tokio::spawn(connection);
        client
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deadlock_is_tried_again() {
    let Some(f) = postgres().await else { return };
    let ids = [f.born("SO-1").await.id, f.born("SO-2").await.id];
    let meeting = Arc::new(Barrier::new(2));
    let runs = Arc::new(AtomicUsize::new(0));
    let writers = [(0, 1), (1, 0)].map(|(first, second)| {
        let (store, meeting, runs) = (f.store.clone(), Arc::clone(&meeting), Arc::clone(&runs));
        tokio::spawn(async move {
            store
                .write(move |tx| -> Res<()> {
                    tx.touch(ids[first])?;
                    if runs.fetch_add(1, Ordering::SeqCst) < 2 {
                        meeting.wait();
                    }
                    tx.touch(ids[second])?;
                    Ok(())
                })
                .await
        })
    });
    for writer in writers {
        writer.await.unwrap().unwrap();
    }
    assert_eq!(runs.load(Ordering::SeqCst), 3, "one of the two ran again");
    for id in ids {
        assert_eq!(f.read(move |tx| tx.link(id)).await.unwrap().version, 3);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_cut_within_a_closure_is_tried_again() {
    let Some(f) = postgres().await else { return };
    let id = f.born("SO-1").await.id;
    let runs = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&runs);
    f.write(move |tx| {
        tx.touch(id)?;
        if counted.fetch_add(1, Ordering::SeqCst) == 0 {
            tx.sql(|conn| conn.batch_execute("SELECT pg_terminate_backend(pg_backend_pid())"))?;
        }
        tx.touch(id)
    })
    .await;
    assert_eq!(runs.load(Ordering::SeqCst), 2);
    assert_eq!(f.read(move |tx| tx.link(id)).await.unwrap().version, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_cut_while_they_lay_idle_are_not_noticed() {
    let Some(f) = postgres().await else { return };
    let link = f.born("SO-1").await;
    let cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
               WHERE application_name = 'paylink' AND query LIKE '%ROLLBACK%' AND pid <> pg_backend_pid() \
               AND state = 'idle'";
    // a read leaves its connection idle behind a ROLLBACK
    f.read(move |tx| tx.link(link.id)).await;
    f.stranger().await.batch_execute(cut).await.unwrap();
    f.born("SO-2").await;
}

/// A deferred trigger cuts the first COMMIT's connection. Nobody knows what became of it; its
/// witness says that it was not stored, and it is stored once.
#[tokio::test(flavor = "multi_thread")]
async fn an_unanswered_commit_is_settled_by_its_witness() {
    let Some(f) = postgres().await else { return };
    f.raw(
        "CREATE SEQUENCE cuts; \
         CREATE FUNCTION cut() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
         IF nextval('cuts') = 1 THEN PERFORM pg_terminate_backend(pg_backend_pid()); END IF; \
         RETURN NULL; END $$; \
         CREATE CONSTRAINT TRIGGER cut AFTER INSERT ON event DEFERRABLE INITIALLY DEFERRED \
         FOR EACH ROW WHEN (NEW.kind <> '') EXECUTE FUNCTION cut()",
    )
    .await;
    let link = f.born("SO-1").await;
    assert_eq!(f.ask("SELECT last_value AS it FROM cuts").await, 2);
    assert_eq!(f.ask("SELECT count(*) AS it FROM event").await, 1);
    assert_eq!(f.read(move |tx| tx.events_of(link.id)).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_witness_waits_for_the_old_backend() {
    let Some(f) = postgres().await else { return };
    for end in ["COMMIT", "ROLLBACK"] {
        let (old, watcher, witness) = (f.stranger().await, f.stranger().await, f.event());
        old.batch_execute(&format!(
            "BEGIN; INSERT INTO event (id, kind, created_at, json) VALUES ('{witness}', 'x', 0, '')"
        ))
        .await
        .unwrap();
        let pool = Arc::clone(&f.pg().pool);
        let asking =
            tokio::task::spawn_blocking(move || Witness::Event(witness).was_committed(&pool));
        let waits = format!(
            "SELECT 1 FROM pg_stat_activity AS a, pg_locks AS l, pg_stat_activity AS old \
             WHERE a.pid = l.pid AND NOT l.granted AND a.query LIKE '%ON CONFLICT (id) DO NOTHING%' \
             AND old.pid = ANY(pg_blocking_pids(a.pid)) AND old.query LIKE '%{witness}%'"
        );
        while watcher.query(&waits, &[]).await.unwrap().is_empty() {
            assert!(!asking.is_finished(), "it answered too early");
        }
        old.batch_execute(end).await.unwrap();
        assert_eq!(asking.await.unwrap(), Ok(end == "COMMIT"));
    }
}

/// Each kind of row that stands for its transaction is asked for before and after it is there. The
/// question leaves nothing behind.
#[tokio::test(flavor = "multi_thread")]
async fn every_witness_says_whether_its_row_is_there() {
    let Some(f) = postgres().await else { return };
    let link = f.born("SO-1").await;
    let delivery = f.delivery(&link, email("jo@example.com"));
    let copy = delivery.clone();
    f.write(move |tx| tx.insert_delivery(&copy)).await;
    f.promise(job(JobKind::Deliver, &delivery.id.to_string(), f.later(0)))
        .await;
    let claim = f.claims("one").await.remove(0);
    let operation = f.operation(&link);
    let key = f.key();
    let attempt = AttemptId {
        delivery: delivery.id,
        claim: claim.attempt,
    };
    let witnesses = [
        Witness::Operation(operation.id, link.id),
        Witness::Attempt(attempt),
        Witness::Key(key.id),
    ];
    let asked = |f: &Fixture| {
        let pool = Arc::clone(&f.pg().pool);
        tokio::task::spawn_blocking(move || witnesses.map(|it| it.was_committed(&pool)))
    };
    // twice: had the first question left a row, the second would find it
    for _ in 0..2 {
        assert_eq!(asked(&f).await.unwrap(), [Ok(false), Ok(false), Ok(false)]);
    }
    f.write(move |tx| {
        tx.insert_operation(&operation)?;
        tx.begin_attempt(&claim, delivery.id, start())?;
        tx.insert_key(&key)
    })
    .await;
    assert_eq!(asked(&f).await.unwrap(), [Ok(true), Ok(true), Ok(true)]);
}

/// What is wanted of a payment tells no event: its own row is the witness of a COMMIT that was cut
/// behind the server's back, and it is neither lost nor refused as a second one.
#[tokio::test(flavor = "multi_thread")]
async fn a_commit_without_an_event_is_settled_by_its_own_row() {
    let Some(f) = postgres().await else { return };
    let link = f.born("SO-1").await;
    let wanted = f.operation(&link);
    let copy = wanted.clone();
    let (pool, runs) = (Arc::clone(&f.pg().pool), AtomicUsize::new(0));
    let written = f
        .store
        .write(move |tx| -> Res<()> {
            // the first run's row is committed by somebody else's connection while ours is cut: to
            // the writer that is its own COMMIT, whose answer was lost
            if runs.fetch_add(1, Ordering::SeqCst) == 0 {
                let mut other = pool.begun("BEGIN").unwrap();
                let (_, ended) = run(&mut other, tx.shared, |tx| tx.insert_operation(&copy));
                assert!(ended.keep);
                other.batch_execute("COMMIT").unwrap();
                tx.noted.witness = Some(Witness::Operation(copy.id, copy.link));
                return tx.sql(|conn| {
                    conn.batch_execute(
                        "CREATE FUNCTION pg_temp.cut() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
                         PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NULL; END $$; \
                         CREATE TEMP TABLE cut (it INT); \
                         CREATE CONSTRAINT TRIGGER cut AFTER INSERT ON cut DEFERRABLE \
                         INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION pg_temp.cut(); \
                         INSERT INTO cut VALUES (1)",
                    )
                });
            }
            tx.insert_operation(&copy)
        })
        .await;
    assert_eq!(written, Ok(()));
    let id = wanted.id;
    assert_eq!(f.read(move |tx| tx.operation(id)).await, Some(wanted));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_finds_the_schema_up_to_date_waits_for_no_lock() {
    let Some(f) = postgres().await else { return };
    let migrating = f.stranger().await;
    let lock = format!("BEGIN; {}", crate::store::migrate::LOCK);
    migrating.batch_execute(&lock).await.unwrap();
    let migrated = tokio::time::timeout(Duration::from_secs(10), f.store.migrate()).await;
    let migrated = migrated.expect("it waits for the lock").unwrap();
    assert_eq!(migrated.from, Some(migrated.to));
}

/// A role that may not create anything can be told so too.
#[tokio::test(flavor = "multi_thread")]
async fn who_finds_the_schema_up_to_date_writes_nothing() {
    let Some(f) = postgres().await else { return };
    let mut database = f.database.clone();
    database.url += "%20-c%20default_transaction_read_only%3Don";
    let (clock, random) = (f.clock.clone(), f.random.clone());
    let reading = Store::open(&database, Holding::Beside, vault(), clock, random);
    let reading = reading.await.unwrap();
    assert!(reading.is_migrated().await.unwrap());
    let migrated = reading.migrate().await.unwrap();
    assert_eq!(migrated.from, Some(migrated.to));
}

#[tokio::test(flavor = "multi_thread")]
async fn leases_last_60_seconds_of_the_databases_time() {
    let Some(f) = postgres().await else { return };
    // this process's clock is wrong by years, which moves no lease
    let job = Job {
        kind: JobKind::Open,
        subject: "a".into(),
        link: LinkId::new(start(), &f.random),
        due_at: f.clock.now(),
    };
    let lease = Lease::of("one");
    f.write(move |tx| tx.enqueue_leased(&job, &lease)).await;
    let left = "SELECT (lease_until - (extract(epoch FROM clock_timestamp()) * 1000000)::bigint) / 1000000 AS it FROM job";
    assert!((50..=60).contains(&f.ask(left).await));
    f.raw("UPDATE job SET lease_until = lease_until - 30000000")
        .await;
    assert!((20..=30).contains(&f.ask(left).await));
    f.write(|tx| tx.renew(&Lease::of("one"))).await;
    assert!((50..=60).contains(&f.ask(left).await));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_relay_tells_listeners() {
    let Some(f) = postgres().await else { return };
    f.born("SO-1").await;
    let relays = [f.store.relay_once(), f.store.relay_once()];
    let heads = futures_util::future::join_all(relays).await;
    assert_eq!(heads, [Ok(1), Ok(1)], "two relays stamp nothing twice");
}

fn target(url: &str) -> Result<Target, OpenError> {
    match Place::parse(url)? {
        Place::Pg(target) => Ok(*target),
        Place::Lite(_) => panic!("not PostgreSQL"),
    }
}

#[test]
fn a_server_that_vanished_is_noticed() {
    let idle = |url: &str| target(url).unwrap().config.get_keepalives_idle().as_secs();
    assert_eq!(idle("postgres://u@localhost/d"), 5);
    assert_eq!(idle("postgres://u@localhost/d?keepalives_idle=60"), 60);
    let config = target("postgres://u@localhost/d").unwrap().config;
    assert!(config.get_keepalives());
    assert_eq!(config.get_tcp_user_timeout().unwrap().as_secs(), 20);
    let off = target("postgres://u@localhost/d?keepalives=0")
        .unwrap()
        .config;
    assert!(!off.get_keepalives());
}

#[test]
fn tls_is_verified_unless_the_server_is_here() {
    let full = |authorities| Tls::VerifyFull { authorities };
    let tls = |url: &str| target(url).unwrap().tls;
    assert_eq!(tls("postgres://u@localhost/d"), Tls::Disable);
    assert_eq!(tls("postgres://u@127.0.0.1/d"), Tls::Disable);
    assert_eq!(tls("postgres://u@[::1]/d?sslmode=verify-full"), full(None));
    assert_eq!(tls("postgresql://u:p@db.example.com/d"), full(None));
    assert_eq!(tls("postgres://u@localhost,db.example.com/d"), full(None));
    assert_eq!(
        tls("postgres://u@db.example.com/d?sslmode=disable"),
        Tls::Disable
    );
    let url =
        "postgres://u@a,b/d?sslrootcert=ca.pem&target_session_attrs=read-write&sslmode=verify-full";
    assert_eq!(tls(url), full(Some("ca.pem".into())));
    let attrs = target(url).unwrap().config.get_target_session_attrs();
    assert_eq!(attrs, tokio_postgres::config::TargetSessionAttrs::ReadWrite);
    for mode in ["require", "prefer", "verify-ca"] {
        let refused = target(&format!("postgres://u@localhost/d?sslmode={mode}")).err();
        assert!(matches!(refused, Some(OpenError::Unsupported(_))), "{mode}");
    }
    let secret = target("postgres://u:hush@localhost:x/d").err().unwrap();
    assert!(!secret.to_string().contains("hush"));
}
