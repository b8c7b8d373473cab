//! Watches see every change once, in order.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use netctl::store::{Change, Entry, Error, Revision, SharedStore, Txn};
use tokio::time::timeout;

use super::{Bench, PATIENCE, Replay, committed, failure, next, put};

/// A small reproducible source of numbers (xorshift).
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }
}

/// Writes and deletes at random below `p/` and elsewhere, several keys at once.
async fn scribble(store: SharedStore, seed: u64, rounds: u32) {
    let mut dice = Dice(seed);
    for round in 0..rounds {
        let mut txn = Txn::new();
        let mut used = BTreeSet::new();
        for _ in 0..=dice.roll(4) {
            let side = if dice.roll(4) == 0 { "q" } else { "p" };
            let key = format!("{side}/{}", dice.roll(20));
            if used.insert(key.clone()) {
                txn = match dice.roll(3) {
                    0 => txn.delete(key),
                    _ => txn.put(key, format!("{seed} {round}")),
                };
            }
        }
        committed(&store, txn).await;
    }
}

pub(crate) async fn watches_from_a_listing_miss_and_repeat_nothing(bench: &impl Bench) {
    let mut writers = Vec::new();
    for seed in 1..=4 {
        writers.push(tokio::spawn(scribble(bench.open().await, seed * 7919, 150)));
    }
    let reader = bench.open().await;
    let mut replays = Vec::new();
    for _ in 0..6 {
        let (mut replay, mut watch) = Replay::begin(&reader, "p/").await;
        replays.push(tokio::spawn(async move {
            replay.until(&mut watch, "p/end").await;
            replay
        }));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    for writer in writers {
        writer.await.unwrap();
    }
    put(&bench.open().await, "p/end", "").await;
    for replay in replays {
        replay.await.unwrap().check(&reader, "p/").await;
    }
}

pub(crate) async fn watches_see_whole_revisions(bench: &impl Bench) {
    const WIDTH: usize = 10;
    const ROUNDS: usize = 300;
    let (here, there) = (bench.open().await, bench.open().await);
    let (_, mut live) = Replay::begin(&there, "").await;
    let first = Revision(there.list("").await.unwrap().revision.0 + 1);
    let writer = tokio::spawn(async move {
        for round in 0..ROUNDS {
            let txn = (0..WIDTH)
                .fold(Txn::new(), |txn, i| txn.put(format!("{i}"), vec![b'x'; 500 + round]));
            committed(&here, txn).await;
        }
    });
    let mut counts = [0; 2];
    for count in &mut counts {
        let mut last = Revision(0);
        while *count < WIDTH * ROUNDS {
            let changes = next(&mut live).await;
            for group in changes.chunk_by(|a, b| a.revision() == b.revision()) {
                assert!(group[0].revision() > last);
                assert_eq!(group.len(), WIDTH, "a revision came in parts");
                let order: Vec<_> = group.iter().map(|change| change.key().to_owned()).collect();
                assert_eq!(order, (0..WIDTH).map(|i| i.to_string()).collect::<Vec<_>>());
                last = group[0].revision();
            }
            *count += changes.len();
        }
        // The second time: from the past.
        live = there.watch("", first).await.unwrap();
    }
    writer.await.unwrap();
}

pub(crate) async fn watches_see_only_their_prefix(bench: &impl Bench) {
    let store = bench.open().await;
    let from = Revision(store.list("").await.unwrap().revision.0 + 1);
    let mut watch = store.watch("a/", from).await.unwrap();
    for key in ["a", "a0", "ab", "b/1"] {
        put(&store, key, "").await;
    }
    let at = committed(&store, Txn::new().put("b/2", "").put("a/1", "v").put("c", "")).await;
    let expected = Entry { key: "a/1".into(), value: b"v".to_vec(), modified: at };
    assert_eq!(next(&mut watch).await, [Change::Put(expected)]);
    let at = committed(&store, Txn::new().delete("b/2").delete("a/1")).await;
    assert_eq!(next(&mut watch).await, [Change::Delete { key: "a/1".into(), revision: at }]);
    let mut future = store.watch("a/", Revision(at.0 + 3)).await.unwrap();
    for key in ["a/2", "a/3", "a/4"] {
        put(&store, key, "").await;
    }
    assert_eq!(next(&mut future).await[0].key(), "a/4", "a watch can begin in the future");
}

pub(crate) async fn watches_can_be_given_up_on(bench: &impl Bench) {
    let store = bench.open().await;
    let (mut replay, mut watch) = Replay::begin(&store, "").await;
    let writer = tokio::spawn(scribble(bench.open().await, 4711, 200));
    let mut dice = Dice(99);
    let mut ended = false;
    while !replay.state.contains_key("end") {
        if writer.is_finished() && !ended {
            ended = true;
            put(&store, "end", "").await;
        }
        if let Ok(changes) = timeout(Duration::from_micros(dice.roll(3000)), watch.next()).await {
            replay.apply(changes.unwrap());
        }
    }
    writer.await.unwrap();
    replay.check(&store, "").await;
}

pub(crate) async fn deletes_of_absent_keys_change_nothing(bench: &impl Bench) {
    let store = bench.open().await;
    let at = put(&store, "a", "1").await;
    let mut watch = store.watch("", Revision(at.0 + 1)).await.unwrap();
    assert_eq!(committed(&store, Txn::new().delete("b")).await, at);
    let after = committed(&store, Txn::new().delete("b").delete("a")).await;
    assert_eq!(after, Revision(at.0 + 1));
    assert_eq!(next(&mut watch).await, [Change::Delete { key: "a".into(), revision: after }]);
}

pub(crate) async fn compacted_revisions_are_told(bench: &impl Bench) {
    let store = bench.open().await;
    let old = put(&store, "a", "0").await;
    let mut idle = store.watch("a", Revision(old.0 + 1)).await.unwrap();
    let mut at = old;
    for round in 1..=20 {
        at = put(&store, "a", &round.to_string()).await;
    }
    let kept = Revision(at.0 - 5);
    bench.compact(kept).await;
    let mut late = store.watch("a", old).await.unwrap();
    for watch in [&mut late, &mut idle] {
        for _ in 0..2 {
            let error = failure(watch).await;
            let Error::Compacted { wanted } = error else { panic!("{error}") };
            assert!(wanted <= Revision(old.0 + 1));
        }
    }
    let mut fresh = store.watch("a", Revision(kept.0 + 1)).await.unwrap();
    assert_eq!(next(&mut fresh).await[0].revision(), Revision(kept.0 + 1));
    let (mut replay, mut watch) = Replay::begin(&store, "a").await;
    assert_eq!(&*replay.state["a"].value, b"20", "what is there stays there");
    put(&store, "a/end", "").await;
    replay.until(&mut watch, "a/end").await;
    replay.check(&store, "a").await;
}

pub(crate) async fn dropped_watches_leave_no_task(bench: &impl Bench) {
    let store = bench.open().await;
    put(&store, "a", "").await;
    let alive = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
    let before = alive();
    let mut watches = Vec::new();
    for _ in 0..50 {
        let mut watch = store.watch("", Revision(1)).await.unwrap();
        assert!(timeout(PATIENCE, watch.next()).await.is_ok());
        watches.push(watch);
    }
    drop(watches);
    let until = Instant::now() + PATIENCE;
    while alive() > before {
        assert!(Instant::now() < until, "{} tasks, {before} before", alive());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
