//! Keys that go with their lease.

use std::time::{Duration, Instant};

use netctl::store::{Change, Error, Guard, LeaseId, Outcome, SharedStore, Txn, Watch};

use super::{Bench, Replay, committed, keys, next, put, value};

/// The shortest lease that all backends grant as asked.
const TTL: Duration = Duration::from_secs(2);

async fn leased(store: &SharedStore, keys: &[&str]) -> LeaseId {
    let lease = store.grant(TTL).await.unwrap();
    let txn = keys.iter().fold(Txn::new(), |txn, key| txn.put_leased(*key, "leased", lease));
    committed(store, txn).await;
    lease
}

/// The keys that a watch sees go, until there are `count`.
async fn gone(watch: &mut Box<dyn Watch>, count: usize) -> Vec<String> {
    let mut keys = Vec::new();
    while keys.len() < count {
        for change in next(watch).await {
            match change {
                Change::Delete { key, .. } => keys.push(key),
                Change::Put(entry) => panic!("unexpected {entry:?}"),
            }
        }
    }
    keys
}

pub(crate) async fn leases_end_by_themselves(bench: &impl Bench) {
    let (here, there) = (bench.open().await, bench.open().await);
    put(&here, "a/stays", "").await;
    let began = Instant::now();
    let lease = leased(&here, &["a/1", "b/1", "a/2", "a/3"]).await;
    // A put without the lease takes the key out of it.
    put(&here, "a/3", "free").await;
    let (_, mut watch) = Replay::begin(&there, "a/").await;
    assert_eq!(gone(&mut watch, 2).await, ["a/1", "a/2"]);
    assert!(began.elapsed() >= TTL, "after {:?}", began.elapsed());
    assert_eq!(keys(&there, "").await, ["a/3", "a/stays"]);
    assert!(
        matches!(here.keep_alive(lease).await, Err(Error::LeaseLost { lease: it }) if it == lease)
    );
    here.revoke(lease).await.unwrap();
}

pub(crate) async fn leases_are_kept_alive(bench: &impl Bench) {
    let (here, there) = (bench.open().await, bench.open().await);
    let lease = leased(&here, &["a"]).await;
    let began = Instant::now();
    while began.elapsed() < TTL * 2 {
        // Any handle can keep it.
        there.keep_alive(lease).await.unwrap();
        assert_eq!(value(&there, "a").await.as_deref(), Some("leased"));
        tokio::time::sleep(TTL / 5).await;
    }
    let (_, mut watch) = Replay::begin(&there, "").await;
    assert_eq!(gone(&mut watch, 1).await, ["a"]);
}

pub(crate) async fn leases_are_revoked(bench: &impl Bench) {
    let (here, there) = (bench.open().await, bench.open().await);
    let (one, other) = (leased(&here, &["x", "m", "a"]).await, leased(&here, &["b"]).await);
    let (replay, mut watch) = Replay::begin(&there, "").await;
    here.revoke(one).await.unwrap();
    let changes = next(&mut watch).await;
    let revision = changes[0].revision();
    assert!(revision > replay.at);
    let expected = ["a", "m", "x"].map(|key| Change::Delete { key: key.into(), revision });
    assert_eq!(changes, expected, "all at once, in the order of their keys");
    assert_eq!(keys(&here, "").await, ["b"]);
    here.revoke(one).await.unwrap();
    there.keep_alive(other).await.unwrap();
}

pub(crate) async fn ended_leases_are_lost(bench: &impl Bench) {
    let store = bench.open().await;
    let lease = leased(&store, &["a"]).await;
    store.revoke(lease).await.unwrap();
    let txn = Txn::new().put("b", "").put_leased("a", "again", lease);
    assert!(
        matches!(store.commit(txn.clone()).await, Err(Error::LeaseLost { lease: it }) if it == lease)
    );
    assert!(keys(&store, "").await.is_empty(), "nothing of it happened");
    put(&store, "c", "").await;
    let conflict = txn.when(Guard::Absent("c".into()));
    assert_eq!(store.commit(conflict).await.unwrap(), Outcome::Conflict, "guards come first");
    assert!(matches!(store.keep_alive(LeaseId(987654321)).await, Err(Error::LeaseLost { .. })));
    store.revoke(LeaseId(987654321)).await.unwrap();
}
