//! The conformance suite: what every store does. Each test gets a bench, and opens as many handles as it has hosts.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, Instant},
};

use netctl::store::{
    Change, Entry, Error, Guard, LeaseId, MAX_BYTES, MAX_OPS, Outcome, Revision, SharedStore, Txn,
    Watch,
};
use tokio::time::timeout;

/// A place with an empty store.
pub(crate) trait Bench {
    /// A further handle on the store, as another host would have it.
    fn open(&self) -> impl Future<Output = SharedStore>;

    /// Forgets the history up to and with a revision.
    fn compact(&self, through: Revision) -> impl Future<Output = ()>;
}

/// Makes one test of each function of this file for one kind of bench.
macro_rules! conformance {
    ($bench:expr) => {
        $crate::suite::conformance!($bench; reads_what_was_written; lists_in_order_below_a_prefix;
            transactions_are_all_or_nothing; guards_hold_or_conflict; refuses_what_no_store_takes;
            one_winner_of_each_contended_key; watches_from_a_listing_miss_and_repeat_nothing;
            watches_see_whole_revisions; watches_see_only_their_prefix; watches_can_be_given_up_on;
            deletes_of_absent_keys_change_nothing; leases_end_by_themselves; leases_are_kept_alive;
            leases_are_revoked; ended_leases_are_lost; compacted_revisions_are_told;
            large_values_come_back; many_keys_are_one_listing; dropped_watches_leave_no_task);
    };
    ($bench:expr; $($test:ident);+) => {
        $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $test() {
            let bench = $bench.await;
            $crate::suite::$test(&bench).await;
        })+
    };
}
pub(crate) use conformance;

/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(20);

/// The shortest lease that all backends grant as asked.
const TTL: Duration = Duration::from_secs(2);

pub(crate) async fn put(store: &SharedStore, key: &str, value: &str) -> Revision {
    committed(store, Txn::new().put(key, value)).await
}

pub(crate) async fn committed(store: &SharedStore, txn: Txn) -> Revision {
    match store.commit(txn).await.unwrap() {
        Outcome::Committed(revision) => revision,
        Outcome::Conflict => panic!("unexpected conflict"),
    }
}

pub(crate) async fn next(watch: &mut Box<dyn Watch>) -> Vec<Change> {
    timeout(PATIENCE, watch.next()).await.expect("a change in time").unwrap()
}

async fn value(store: &SharedStore, key: &str) -> Option<String> {
    store.get(key).await.unwrap().map(|entry| String::from_utf8(entry.value).unwrap())
}

async fn keys(store: &SharedStore, prefix: &str) -> Vec<String> {
    store.list(prefix).await.unwrap().entries.into_iter().map(|entry| entry.key).collect()
}

/// Applies what a watch saw to what a listing had, and checks on the way that each revision comes once, whole, in
/// order.
pub(crate) struct Replay {
    pub(crate) state: BTreeMap<String, Entry>,
    pub(crate) at: Revision,
}

impl Replay {
    pub(crate) async fn begin(store: &SharedStore, prefix: &str) -> (Self, Box<dyn Watch>) {
        let listing = store.list(prefix).await.unwrap();
        let state = listing.entries.into_iter().map(|entry| (entry.key.clone(), entry)).collect();
        let watch = store.watch(prefix, Revision(listing.revision.0 + 1)).await.unwrap();
        (Self { state, at: listing.revision }, watch)
    }

    pub(crate) fn apply(&mut self, changes: Vec<Change>) {
        assert!(!changes.is_empty());
        let before = self.at;
        let mut seen = BTreeSet::new();
        for change in changes {
            let revision = change.revision();
            assert!(revision > before, "{change:?} is of a revision that was seen, {before:?}");
            assert!(revision >= self.at, "{change:?} after {:?}", self.at);
            assert!(seen.insert((revision, change.key().to_owned())), "{change:?} twice");
            self.at = revision;
            match change {
                Change::Put(entry) => drop(self.state.insert(entry.key.clone(), entry)),
                Change::Delete { key, .. } => {
                    assert!(self.state.remove(&key).is_some(), "{key} deleted, and was not there");
                }
            }
        }
    }

    pub(crate) async fn until(&mut self, watch: &mut Box<dyn Watch>, key: &str) {
        while !self.state.contains_key(key) {
            self.apply(next(watch).await);
        }
    }

    pub(crate) async fn check(&self, store: &SharedStore, prefix: &str) {
        let listing = store.list(prefix).await.unwrap();
        assert_eq!(self.state.values().cloned().collect::<Vec<_>>(), listing.entries);
    }
}

pub(crate) async fn reads_what_was_written(bench: &impl Bench) {
    let (here, there) = (bench.open().await, bench.open().await);
    assert_eq!(here.get("a").await.unwrap(), None);
    let first = put(&here, "a", "1").await;
    let entry = there.get("a").await.unwrap().unwrap();
    assert_eq!((entry.key.as_str(), &*entry.value, entry.modified), ("a", &b"1"[..], first));
    let second = put(&there, "a", "2").await;
    assert!(second > first);
    assert_eq!(here.get("a").await.unwrap().unwrap().modified, second);
    assert!(committed(&here, Txn::new().delete("a")).await > second);
    assert_eq!(there.get("a").await.unwrap(), None);
    for odd in ["ü/€/字", "with space", "a\"'`;--", "tail/"] {
        put(&here, odd, odd).await;
        assert_eq!(value(&there, odd).await.as_deref(), Some(odd));
    }
    put(&here, "empty", "").await;
    assert_eq!(value(&there, "empty").await.as_deref(), Some(""));
}

pub(crate) async fn lists_in_order_below_a_prefix(bench: &impl Bench) {
    let store = bench.open().await;
    assert!(store.list("").await.unwrap().entries.is_empty());
    for key in ["b", "a/b", "ab", "a", "a/", "a0", "ä", "a/\u{10ffff}"] {
        put(&store, key, key).await;
    }
    let all = ["a", "a/", "a/b", "a/\u{10ffff}", "a0", "ab", "b", "ä"];
    assert_eq!(keys(&store, "").await, all);
    assert_eq!(keys(&store, "a").await, ["a", "a/", "a/b", "a/\u{10ffff}", "a0", "ab"]);
    assert_eq!(keys(&store, "a/").await, ["a/", "a/b", "a/\u{10ffff}"]);
    assert_eq!(keys(&store, "ab").await, ["ab"]);
    assert_eq!(keys(&store, "a/\u{10ffff}").await, ["a/\u{10ffff}"]);
    assert_eq!(keys(&store, "c").await, [""; 0]);
    let at = put(&store, "b", "2").await;
    assert!(store.list("a").await.unwrap().revision >= at, "a listing's revision is the store's");
}

pub(crate) async fn transactions_are_all_or_nothing(bench: &impl Bench) {
    let (here, there) = (bench.open().await, bench.open().await);
    put(&here, "old", "1").await;
    let txn = Txn::new()
        .when(Guard::Absent("new".into()))
        .put("new", "1")
        .put("other", "1")
        .delete("old");
    let at = committed(&here, txn.clone()).await;
    let listing = there.list("").await.unwrap();
    let found: Vec<_> = listing.entries.iter().map(|it| (it.key.as_str(), it.modified)).collect();
    assert_eq!(found, [("new", at), ("other", at)]);
    let txn = Txn::new().when(Guard::Absent("fresh".into())).when(Guard::Absent("new".into()));
    let txn = txn.put("fresh", "2").put("other", "2").delete("new");
    assert_eq!(here.commit(txn).await.unwrap(), Outcome::Conflict);
    assert_eq!(there.list("").await.unwrap().entries, listing.entries);
    assert_eq!(
        here.commit(Txn::new().when(Guard::Absent("old".into()))).await.unwrap(),
        Outcome::Committed(at)
    );
}

pub(crate) async fn guards_hold_or_conflict(bench: &impl Bench) {
    let store = bench.open().await;
    let first = put(&store, "a", "1").await;
    let at = put(&store, "a", "2").await;
    put(&store, "nets/1", "1").await;
    let absent = |key: &str| Guard::Absent(key.to_owned());
    let unchanged = |key: &str, at| Guard::Unchanged(key.to_owned(), at);
    let empty = |prefix: &str| Guard::Empty(prefix.to_owned());
    for (guard, holds) in [
        (absent("b"), true),
        (absent("a"), false),
        (absent("nets"), true),
        (unchanged("a", at), true),
        (unchanged("a", first), false),
        (unchanged("a", Revision(at.0 + 1)), false),
        (unchanged("b", at), false),
        (unchanged("b", Revision(0)), false),
        (empty("b"), true),
        (empty("nets/"), false),
        (empty("nets"), false),
        (empty("nets/1"), false),
        (empty("nets/1/"), true),
        (empty("nets/2"), true),
        (empty(""), false),
    ] {
        let outcome = store.commit(Txn::new().when(guard.clone()).put("x", "1")).await.unwrap();
        assert_eq!(matches!(outcome, Outcome::Committed(_)), holds, "{guard:?}");
        committed(&store, Txn::new().delete("x")).await;
    }
    committed(&store, Txn::new().delete("a").delete("nets/1")).await;
    committed(&store, Txn::new().when(empty("")).when(absent("a")).put("a", "3")).await;
    let gone = Txn::new().when(unchanged("a", at)).put("a", "4");
    assert_eq!(store.commit(gone).await.unwrap(), Outcome::Conflict, "made anew is not unchanged");
}

pub(crate) async fn refuses_what_no_store_takes(bench: &impl Bench) {
    let store = bench.open().await;
    let many = (0..=MAX_OPS).fold(Txn::new(), |txn, i| txn.put(format!("{i}"), "1"));
    for (txn, word) in [
        (Txn::new().put("a", "1").delete("a"), "twice"),
        (Txn::new().put("a", "1").put("a", "2"), "twice"),
        (Txn::new().put("", "1"), "empty"),
        (many, "128"),
        (Txn::new().put("a", vec![0; MAX_BYTES]), "bytes"),
    ] {
        match store.commit(txn).await {
            Err(Error::Refused { place, reason }) => {
                assert!(reason.contains(word), "{reason}");
                assert_eq!(place, store.place());
            }
            other => panic!("{other:?}"),
        }
    }
    assert!(store.list("").await.unwrap().entries.is_empty());
    let most = (0..MAX_OPS).fold(Txn::new(), |txn, i| {
        let key = format!("{i}");
        txn.when(Guard::Absent(key.clone())).put(key, "1")
    });
    committed(&store, most).await;
    assert_eq!(store.list("").await.unwrap().entries.len(), MAX_OPS);
}

pub(crate) async fn one_winner_of_each_contended_key(bench: &impl Bench) {
    const KEYS: usize = 1000;
    let mut tasks = Vec::new();
    for task in 0..8 {
        let store = bench.open().await;
        tasks.push(tokio::spawn(async move {
            let mut won = Vec::new();
            for i in 0..KEYS {
                let key = format!("key/{i}");
                let txn = Txn::new().when(Guard::Absent(key.clone())).put(&key, format!("{task}"));
                if let Outcome::Committed(revision) = store.commit(txn).await.unwrap() {
                    won.push((key, (task, revision)));
                }
            }
            won
        }));
    }
    let mut winners = BTreeMap::new();
    for task in tasks {
        for (key, winner) in task.await.unwrap() {
            assert_eq!(winners.insert(key.clone(), winner), None, "{key} was won twice");
        }
    }
    assert_eq!(winners.len(), KEYS);
    let revisions: BTreeSet<_> = winners.values().map(|(_, revision)| *revision).collect();
    assert_eq!(revisions.len(), KEYS, "each in a revision of its own");
    for entry in bench.open().await.list("key/").await.unwrap().entries {
        let (task, revision) = winners[&entry.key];
        assert_eq!((entry.value, entry.modified), (format!("{task}").into_bytes(), revision));
    }
}

/// A small reproducible source of numbers (xorshift).
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn roll(&mut self, sides: u64) -> u64 {
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
            match timeout(PATIENCE, watch.next()).await.unwrap() {
                Err(Error::Compacted { wanted }) => assert!(wanted <= Revision(old.0 + 1)),
                other => panic!("{other:?}"),
            }
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

pub(crate) async fn large_values_come_back(bench: &impl Bench) {
    let store = bench.open().await;
    let (_, mut watch) = Replay::begin(&store, "").await;
    let value: Vec<u8> = (0..1_000_000_u32).map(|i| ((i * 31) >> 3).to_le_bytes()[0]).collect();
    for i in 0..12 {
        committed(&store, Txn::new().put(format!("{i:02}"), value.clone())).await;
    }
    let listing = store.list("").await.unwrap();
    assert_eq!(listing.entries.len(), 12);
    assert!(listing.entries.iter().all(|entry| entry.value == value));
    let mut seen = 0;
    while seen < 12 {
        for change in next(&mut watch).await {
            assert!(matches!(change, Change::Put(entry) if entry.value == value));
            seen += 1;
        }
    }
}

pub(crate) async fn many_keys_are_one_listing(bench: &impl Bench) {
    const KEYS: usize = 5000;
    let store = bench.open().await;
    for block in 0..KEYS / 100 {
        let txn = (0..100)
            .fold(Txn::new(), |txn, i| txn.put(format!("many/{:05}", block * 100 + i), "0"));
        committed(&store, txn).await;
    }
    // While it is listed, all keys are moved from one value to the next, the first and the last of them at once: no
    // listing may see a mixture of those two.
    let writer = Arc::clone(&store);
    let writer = tokio::spawn(async move {
        for round in 1..50 {
            let value = round.to_string();
            committed(&writer, Txn::new().put("many/00000", &*value).put("many/04999", &*value))
                .await;
        }
    });
    let mut at = Revision(0);
    while !writer.is_finished() {
        let listing = store.list("many/").await.unwrap();
        assert_eq!(listing.entries.len(), KEYS);
        assert!(listing.entries.is_sorted_by(|a, b| a.key < b.key));
        assert_eq!(listing.entries[0].value, listing.entries[KEYS - 1].value);
        assert!(listing.entries.iter().all(|entry| entry.modified <= listing.revision));
        assert!(listing.revision >= at);
        at = listing.revision;
    }
    writer.await.unwrap();
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
