//! The store in etcd while etcd is killed, frozen, compacted, wiped, or was never there.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use etcd_client::Client;
use netctl::store::{Error, EtcdOptions, EtcdStore, Revision, SharedStore, Txn};
use nix::sys::signal::Signal;
use tokio::time::timeout;

use crate::{
    etcd_server::Etcd,
    suite::{Bench, Replay, failure, next, put},
};

/// How long a call may take to fail.
const AT_ONCE: Duration = Duration::from_secs(3);

/// Waits until calls work again, without making anything anew.
async fn back(store: &SharedStore) {
    let until = Instant::now() + Duration::from_secs(10);
    while let Err(error) = store.get("any").await {
        assert!(matches!(error, Error::Unavailable { .. }) && Instant::now() < until, "{error}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Every kind of call, while the store is away: each must fail soon, and say where and why.
async fn all_fail_at_once(store: &SharedStore, reason: &str) {
    let lease = netctl::store::LeaseId(1);
    let began = Instant::now();
    let (get, list, commit, grant, keep, revoke) = tokio::join!(
        store.get("a"),
        store.list(""),
        store.commit(Txn::new().put("lost", "1")),
        store.grant(Duration::from_secs(10)),
        store.keep_alive(lease),
        store.revoke(lease),
    );
    let took = began.elapsed();
    assert!(took < AT_ONCE, "{took:?}");
    let errors = [get.err(), list.err(), commit.err(), grant.err(), keep.err(), revoke.err()];
    for error in errors.map(Option::unwrap) {
        assert!(matches!(error, Error::Unavailable { .. }), "{error}");
        let text = error.to_string();
        assert!(text.contains(&store.place()) && text.contains(reason), "{text}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watch_goes_on_after_etcd_was_killed_and_started_again() {
    let mut etcd = Etcd::start();
    let (store, other) = (Bench::open(&etcd).await, Bench::open(&etcd).await);
    let (mut replay, mut watch) = Replay::begin(&store, "").await;
    put(&store, "before", "1").await;
    replay.until(&mut watch, "before").await;
    for round in 0..3 {
        // Some that the watch has not taken when its connection breaks.
        for i in 0..50 {
            put(&other, &format!("{round}/{i}"), "").await;
        }
        etcd.kill();
        // The first call may still be sent on the connection that breaks, and fails for that.
        assert!(matches!(store.get("a").await, Err(Error::Unavailable { .. })));
        all_fail_at_once(&store, "Connection refused").await;
        etcd.run();
        back(&store).await;
        back(&other).await;
        put(&other, &format!("{round}/end"), "").await;
        replay.until(&mut watch, &format!("{round}/end")).await;
        replay.check(&store, "").await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_etcd_is_unavailable_and_a_watch_goes_on_after() {
    let etcd = Etcd::start();
    let store = Bench::open(&etcd).await;
    let (mut replay, mut watch) = Replay::begin(&store, "").await;
    put(&store, "before", "1").await;
    replay.until(&mut watch, "before").await;
    etcd.signal(Signal::SIGSTOP);
    all_fail_at_once(&store, "does not answer in time").await;
    // Longer than the watch needs to find that its stream is dead.
    assert!(timeout(Duration::from_secs(6), watch.next()).await.is_err());
    etcd.signal(Signal::SIGCONT);
    let began = Instant::now();
    back(&store).await;
    put(&store, "after", "1").await;
    replay.until(&mut watch, "after").await;
    println!("a watch sees changes again {:?} after etcd goes on", began.elapsed());
    replay.check(&store, "").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_watch_keeps_its_stream() {
    let etcd = Etcd::start();
    let store = Bench::open(&etcd).await;
    let at = put(&store, "a", "1").await;
    let mut watch = store.watch("", Revision(at.0 + 1)).await.unwrap();
    assert!(timeout(Duration::from_secs(1), watch.next()).await.is_err());
    let streams = etcd.metric("etcd_network_client_grpc_received_bytes_total");
    assert!(timeout(Duration::from_secs(9), watch.next()).await.is_err());
    let cost = etcd.metric("etcd_network_client_grpc_received_bytes_total") - streams;
    assert!(cost < 100.0, "an idle watch was opened anew: etcd received {cost} bytes");
    put(&store, "a", "2").await;
    assert_eq!(next(&mut watch).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_compaction_while_away_is_told_and_listing_again_works() {
    let mut etcd = Etcd::start();
    let store = Bench::open(&etcd).await;
    let (_, mut watch) = Replay::begin(&store, "").await;
    put(&store, "a", "0").await;
    next(&mut watch).await;
    // The watch is not asked while all this happens, and its connection is lost before it could see it.
    etcd.kill();
    etcd.run();
    let mut client = Client::connect([etcd.url()], None).await.unwrap();
    let mut last = 0;
    for i in 1..=10 {
        last = client
            .put("/netctl/v1/a", i.to_string(), None)
            .await
            .unwrap()
            .header()
            .unwrap()
            .revision();
    }
    client.compact(last, None).await.unwrap();
    let error = failure(&mut watch).await;
    assert!(matches!(error, Error::Compacted { .. }), "{error}");
    let (mut replay, mut watch) = Replay::begin(&store, "").await;
    assert_eq!(&*replay.state["a"].value, b"10");
    put(&store, "b", "").await;
    replay.until(&mut watch, "b").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_etcd_that_lost_its_data_is_told_like_a_compaction() {
    let mut etcd = Etcd::start();
    let store = Bench::open(&etcd).await;
    for i in 0..20 {
        put(&store, "a", &i.to_string()).await;
    }
    let (_, mut watch) = Replay::begin(&store, "").await;
    put(&store, "b", "").await;
    next(&mut watch).await;
    etcd.wipe();
    etcd.run();
    let error = failure(&mut watch).await;
    assert!(matches!(error, Error::Compacted { .. }), "{error}");
    assert!(store.list("").await.unwrap().entries.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_etcd_that_comes_later_is_found_and_a_dead_member_passed_over() {
    let mut etcd = Etcd::start();
    etcd.kill();
    let store = Bench::open(&etcd).await;
    let mut watch = store.watch("", Revision(1)).await.unwrap();
    all_fail_at_once(&store, "Connection refused").await;
    assert!(timeout(Duration::from_millis(500), watch.next()).await.is_err());
    etcd.run();
    back(&store).await;
    put(&store, "a", "1").await;
    assert_eq!(next(&mut watch).await.len(), 1);

    // Port 1 is nobody's: each call must find the other member by itself, changes too.
    let members = ["http://127.0.0.1:1".to_owned(), etcd.url()];
    for _ in 0..5 {
        let store: SharedStore =
            Arc::new(EtcdStore::open(&members, &EtcdOptions::default()).await.unwrap());
        put(&store, "b", "1").await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_member_costs_one_call_some_time_and_the_others_none() {
    let (frozen, live) = (Etcd::start(), Etcd::start());
    frozen.signal(Signal::SIGSTOP);
    let members = [frozen.url(), live.url()];
    let store: SharedStore =
        Arc::new(EtcdStore::open(&members, &EtcdOptions::default()).await.unwrap());
    let began = Instant::now();
    store.get("a").await.unwrap();
    assert!(began.elapsed() < AT_ONCE, "{:?}", began.elapsed());
    let began = Instant::now();
    for i in 0..20 {
        put(&store, "a", &i.to_string()).await;
        store.get("a").await.unwrap();
    }
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
}
