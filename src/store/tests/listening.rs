//! What a process hears of others on PostgreSQL. The listeners here have no relay beside them, so
//! nothing is polled.

use std::time::Duration;

use super::*;
use crate::store::listen::listening;

/// Another process on the same database, which only listens.
struct Listener {
    store: Store,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Listener {
    async fn beside(f: &Fixture) -> Self {
        let (clock, random) = (f.clock.clone(), Random::seeded(2));
        let store = Store::open(&f.database, Holding::Beside, vault(), clock, random)
            .await
            .unwrap();
        let task = tokio::spawn(listening(Arc::downgrade(&store.0)));
        Self { store, task }
    }

    async fn is_woken(&self) {
        let woken = self.store.woken_elsewhere();
        let soon = Duration::from_secs(20);
        tokio::time::timeout(soon, woken.notified()).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_of_another_process_is_heard() {
    let Some(f) = postgres().await else { return };
    let listener = Listener::beside(&f).await;
    // once when it begins: what was committed before may have been missed
    listener.is_woken().await;
    assert!(listener.store.0.shared.ear.hears());
    f.born("SO-1").await;
    f.store.relay_once().await.unwrap();
    listener.is_woken().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_ear_hears_again() {
    let Some(f) = postgres().await else { return };
    let listener = Listener::beside(&f).await;
    listener.is_woken().await;
    let channel = format!("%paylink_{}%", listener.store.lease().owner());
    let cut = format!(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
         WHERE query LIKE 'LISTEN {channel}' AND pid <> pg_backend_pid()"
    );
    f.raw(&cut).await;
    listener.is_woken().await;
    f.born("SO-1").await;
    f.store.relay_once().await.unwrap();
    listener.is_woken().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_listener_ends_with_the_store() {
    let Some(f) = postgres().await else { return };
    let store = Store::open(
        &f.database,
        Holding::Serving,
        vault(),
        f.clock.clone(),
        Random::seeded(3),
    )
    .await
    .unwrap();
    let followers = store.0.followers.get().unwrap().clone();
    assert_eq!(followers.len(), 2, "relay and listener");
    drop(store);
    let gone = async {
        while !followers.iter().all(tokio::task::AbortHandle::is_finished) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), gone)
        .await
        .unwrap();
}
