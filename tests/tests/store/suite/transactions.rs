//! What is written is read, all or nothing of it.

use std::collections::{BTreeMap, BTreeSet};

use netctl::store::{Error, Guard, MAX_BYTES, MAX_OPS, Outcome, Revision, Txn, children};

use super::{Bench, committed, keys, put, value};

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

pub(crate) async fn keys_are_found_one_by_one(bench: &impl Bench) {
    let store = bench.open().await;
    assert_eq!(store.first_key("", "").await.unwrap(), None);
    for key in ["a/h/1", "a/h/2", "a/h-1/1", "a/h.1/1", "a/h0/1", "a/leaf", "a/ü/1", "b/x/1"] {
        put(&store, key, key).await;
    }
    for (from, prefix, found) in [
        ("", "", Some("a/h-1/1")),
        ("", "b/", Some("b/x/1")),
        ("a/h/1", "a/h/", Some("a/h/1")),
        ("a/h/1\0", "a/h/", Some("a/h/2")),
        ("a/h/3", "a/h/", None),
        ("c", "b/", None),
        ("a/v", "a/", Some("a/ü/1")),
    ] {
        let first = store.first_key(from, prefix).await.unwrap();
        assert_eq!(first.as_deref(), found, "from {from:?} below {prefix:?}");
    }
    // What comes before the slash in the order of keys comes before it here.
    assert_eq!(children(&*store, "a/").await.unwrap(), ["h-1", "h.1", "h", "h0", "ü"]);
    assert_eq!(children(&*store, "c/").await.unwrap(), [""; 0]);
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
