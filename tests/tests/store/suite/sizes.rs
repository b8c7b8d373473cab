//! Much at once.

use std::sync::Arc;

use netctl::store::{Change, Revision, Txn};

use super::{Bench, Replay, committed, next};

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
