//! The conformance suite: what every store does. Each test gets a bench, and opens as many handles as it has hosts.

pub(crate) mod leases;
pub(crate) mod sizes;
pub(crate) mod transactions;
pub(crate) mod watches;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use netctl::store::{Change, Entry, Outcome, Revision, SharedStore, Txn, Watch};
use tokio::time::timeout;

/// A place with an empty store.
pub(crate) trait Bench {
    /// A further handle on the store, as another host would have it.
    fn open(&self) -> impl Future<Output = SharedStore>;

    /// Forgets the history up to and with a revision.
    fn compact(&self, through: Revision) -> impl Future<Output = ()>;
}

/// Makes one test of each function of the modules below for one kind of bench.
macro_rules! conformance {
    ($bench:expr) => {
        $crate::suite::conformance! { $bench;
            transactions {
                reads_what_was_written lists_in_order_below_a_prefix
                keys_are_found_one_by_one transactions_are_all_or_nothing
                guards_hold_or_conflict refuses_what_no_store_takes one_winner_of_each_contended_key
            }
            watches {
                watches_from_a_listing_miss_and_repeat_nothing watches_see_whole_revisions
                watches_see_only_their_prefix watches_can_be_given_up_on
                deletes_of_absent_keys_change_nothing compacted_revisions_are_told
                dropped_watches_leave_no_task
            }
            leases {
                leases_end_by_themselves leases_are_kept_alive leases_are_revoked ended_leases_are_lost
            }
            sizes { large_values_come_back many_keys_are_one_listing }
        }
    };
    ($bench:expr; $($part:ident { $($test:ident)+ })+) => {
        $($(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $test() {
            let bench = $bench.await;
            $crate::suite::$part::$test(&bench).await;
        })+)+
    };
}
pub(crate) use conformance;

/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) async fn put(store: &SharedStore, key: &str, value: &str) -> Revision {
    committed(store, Txn::new().put(key, value)).await
}

pub(crate) async fn committed(store: &SharedStore, txn: Txn) -> Revision {
    match store.commit(txn).await.unwrap() {
        Outcome::Committed(revision) => revision,
        Outcome::Conflict => panic!("unexpected conflict"),
    }
}

/// The next changes, past word that the connection is another.
pub(crate) async fn next(watch: &mut Box<dyn Watch>) -> Vec<Change> {
    loop {
        let changes = timeout(PATIENCE, watch.next()).await.expect("a change in time").unwrap();
        if !changes.is_empty() {
            return changes;
        }
    }
}

/// What a watch fails with, past word that the connection is another.
pub(crate) async fn failure(watch: &mut Box<dyn Watch>) -> Error {
    loop {
        match timeout(PATIENCE, watch.next()).await.expect("an end in time") {
            Ok(changes) => assert!(changes.is_empty(), "{changes:?}"),
            Err(error) => return error,
        }
    }
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
