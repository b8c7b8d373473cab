//! Whatever a watch does on the way, a follower shows the store as it was at one revision, and in the end as it is.

use std::{
    collections::{BTreeMap, VecDeque},
    ops::RangeInclusive,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use proptest::prelude::*;
use tokio::time::timeout;

use super::Follower;
use crate::{
    controller::pulse::Bell,
    store::{
        Change, Entry, Error, LeaseId, Listing, MemoryStore, Outcome, Revision, Store, Txn, Watch,
    },
};

const PREFIX: &str = "endpoints/";
/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(20);

/// What is done to the store, and what happens on the way to who follows it.
#[derive(Clone, Debug)]
enum Step {
    /// Some keys are put and others removed, in one transaction; what is put as 0 cannot be read.
    Commit(BTreeMap<u8, Option<u8>>),
    /// The history is forgotten, but for the last revisions of so many.
    Compact(u64),
    Fault(Fault),
    /// Who follows has time.
    Turn,
}

/// What becomes of what a watch is to tell next.
#[derive(Clone, Copy, Debug)]
enum Fault {
    /// It breaks: some of it was compacted.
    Compacted,
    /// It breaks: the store is away.
    Away,
    /// The changes of the last revision but so many come once more, before it goes on.
    Repeated(usize),
    /// The changes of one revision come in another order.
    Reordered,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    const KEYS: RangeInclusive<u8> = 0..=5;
    let value = prop_oneof![3 => (0..4_u8).prop_map(Some), 1 => Just(None)];
    let commit = prop::collection::btree_map(KEYS, value, 1..4).prop_map(Step::Commit);
    let fault = prop_oneof![
        2 => Just(Fault::Compacted),
        1 => Just(Fault::Away),
        4 => (1..6_usize).prop_map(Fault::Repeated),
        4 => Just(Fault::Reordered),
    ];
    let step = prop_oneof![
        8 => commit,
        1 => (0..4_u64).prop_map(Step::Compact),
        4 => fault.prop_map(Step::Fault),
        6 => Just(Step::Turn),
    ];
    prop::collection::vec(step, 0..40)
}

/// A store whose watches do what they are told.
#[derive(Debug, Default)]
struct Unsteady {
    store: MemoryStore,
    faults: Arc<Mutex<VecDeque<Fault>>>,
}

#[async_trait]
impl Store for Unsteady {
    async fn get(&self, key: &str) -> Result<Option<Entry>, Error> {
        self.store.get(key).await
    }

    async fn list(&self, prefix: &str) -> Result<Listing, Error> {
        // So that changes come between the list and the watch.
        let listing = self.store.list(prefix).await;
        tokio::task::yield_now().await;
        listing
    }

    async fn first_key(&self, from: &str, prefix: &str) -> Result<Option<String>, Error> {
        self.store.first_key(from, prefix).await
    }

    async fn commit(&self, txn: Txn) -> Result<Outcome, Error> {
        self.store.commit(txn).await
    }

    async fn watch(&self, prefix: &str, from: Revision) -> Result<Box<dyn Watch>, Error> {
        let inner = self.store.watch(prefix, from).await?;
        let faults = Arc::clone(&self.faults);
        Ok(Box::new(UnsteadyWatch { inner, faults, told: Vec::new(), reorders: false }))
    }

    async fn grant(&self, ttl: Duration) -> Result<LeaseId, Error> {
        self.store.grant(ttl).await
    }

    async fn keep_alive(&self, lease: LeaseId) -> Result<(), Error> {
        self.store.keep_alive(lease).await
    }

    async fn revoke(&self, lease: LeaseId) -> Result<(), Error> {
        self.store.revoke(lease).await
    }

    fn place(&self) -> String {
        self.store.place()
    }
}

struct UnsteadyWatch {
    inner: Box<dyn Watch>,
    faults: Arc<Mutex<VecDeque<Fault>>>,
    /// What it has told, by revision.
    told: Vec<Vec<Change>>,
    reorders: bool,
}

#[async_trait]
impl Watch for UnsteadyWatch {
    async fn next(&mut self) -> Result<Vec<Change>, Error> {
        loop {
            let fault = self.faults.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
            match fault {
                None => break,
                Some(Fault::Compacted) => return Err(Error::Compacted { wanted: Revision(0) }),
                Some(Fault::Away) => {
                    let (place, reason) = ("memory".to_owned(), "it is a test".to_owned());
                    return Err(Error::Unavailable { place, reason });
                }
                Some(Fault::Reordered) => self.reorders = true,
                Some(Fault::Repeated(count)) => {
                    let again = self.told.len().checked_sub(count).map(|at| &self.told[at]);
                    if let Some(again) = again {
                        return Ok(again.clone());
                    }
                }
            }
        }
        let changes = self.inner.next().await?;
        let mut revisions: Vec<Vec<Change>> =
            changes.chunk_by(|a, b| a.revision() == b.revision()).map(<[_]>::to_vec).collect();
        if std::mem::take(&mut self.reorders) {
            for changes in &mut revisions {
                changes.reverse();
            }
        }
        self.told.extend(revisions.iter().cloned());
        Ok(revisions.concat())
    }
}

/// What a follower shows: by key, the value and when it was put.
type Shown = BTreeMap<String, (u8, Revision)>;

/// What the store had, by the revisions at which that changed.
type History = BTreeMap<Revision, Shown>;

fn shown(entries: Vec<Entry>) -> Shown {
    let read = |entry: Entry| {
        let value = serde_json::from_slice(&entry.value).ok()?;
        Some((entry.key.strip_prefix(PREFIX)?.to_owned(), (value, entry.modified)))
    };
    entries.into_iter().filter_map(read).collect()
}

/// Checks that what is shown was so at the revision that is shown, and gives that.
fn check(follower: &Follower<u8>, history: &History) -> Revision {
    let mirror = follower.borrow();
    let of = |(key, (value, at)): (&String, &(Arc<u8>, Revision))| (key.clone(), (**value, *at));
    let now: Shown = mirror.entries.iter().map(of).collect();
    if !mirror.complete {
        assert_eq!(now, Shown::new());
        return Revision(0);
    }
    let was = history.range(..=mirror.revision).next_back().map(|(_, was)| was.clone());
    assert_eq!(now, was.unwrap_or_default(), "at {:?}", mirror.revision);
    mirror.revision
}

/// A copy of what a follower shows, by one who looks at what changed since it last did.
#[derive(Default)]
struct Copied {
    version: u64,
    entries: BTreeMap<String, (Arc<u8>, Revision)>,
}

impl Copied {
    fn update(&mut self, follower: &Follower<u8>) {
        let mirror = follower.borrow();
        match mirror.changed_since(self.version) {
            Some(keys) => {
                for key in keys {
                    self.entries.remove(key);
                    let now = mirror.entries.get_key_value(key);
                    self.entries.extend(now.map(|(key, value)| (key.clone(), value.clone())));
                }
            }
            None => self.entries.clone_from(&mirror.entries),
        }
        self.version = mirror.version;
        assert_eq!(self.entries, mirror.entries);
    }
}

async fn follows(steps: Vec<Step>) {
    let unsteady = Unsteady::default();
    let (store, faults) = (unsteady.store.clone(), Arc::clone(&unsteady.faults));
    let mut history = History::new();
    let follower = Follower::<u8>::start(Arc::new(unsteady), PREFIX.to_owned(), Bell::default());
    let mut copied = Copied::default();
    for step in steps {
        match step {
            Step::Commit(changes) => {
                let change = |txn: Txn, (key, value): (u8, Option<u8>)| {
                    let key = format!("{PREFIX}{key}");
                    match value {
                        Some(0) => txn.put(key, "{"),
                        Some(value) => txn.put(key, value.to_string()),
                        None => txn.delete(key),
                    }
                };
                // Beside others that are none of its business.
                let txn = Txn::new().put("networks/1", "1");
                let txn = changes.into_iter().fold(txn, change);
                store.commit(txn).await.expect("no store is nearer");
                let listing = store.list(PREFIX).await.expect("no store is nearer");
                history.insert(listing.revision, shown(listing.entries));
            }
            Step::Compact(but) => {
                let now = store.list(PREFIX).await.expect("no store is nearer").revision;
                store.compact(Revision(now.0.saturating_sub(but)));
            }
            Step::Fault(fault) => {
                faults.lock().unwrap_or_else(PoisonError::into_inner).push_back(fault);
            }
            Step::Turn => {
                tokio::task::yield_now().await;
                copied.update(&follower);
            }
        }
        check(&follower, &history);
    }
    // What is told last is not lost.
    let last = store.commit(Txn::new().put(format!("{PREFIX}last"), "9")).await;
    let Ok(Outcome::Committed(last)) = last else { panic!("{last:?}") };
    let listing = store.list(PREFIX).await.expect("no store is nearer");
    history.insert(listing.revision, shown(listing.entries));
    let mut mirror = follower.receiver();
    while check(&follower, &history) < last {
        let changed = timeout(PATIENCE, mirror.changed()).await;
        assert!(matches!(changed, Ok(Ok(()))), "it shows {:?} for ever", follower.borrow().entries);
    }
    copied.update(&follower);
    follower.stop().await;
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn a_follower_comes_to_show_what_the_store_says(steps in steps()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("a runtime").block_on(follows(steps));
    }
}
