//! The store in this process: for tests, and the reference for what the other backends do.

use std::{
    collections::{BTreeMap, VecDeque},
    ops::Bound,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};

use super::{
    Change, Entry, Error, Guard, LeaseId, Listing, Op, Outcome, Revision, Store, Txn, Watch,
};

/// How many revisions are kept for watches.
const HISTORY: usize = 10_000;

/// A store in this process. Clones share it.
#[derive(Clone, Debug)]
pub struct MemoryStore {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    /// Told whenever a watch should look again: after a change, and after a new lease, whose end it must not miss.
    bell: watch::Sender<()>,
}

#[derive(Debug, Default)]
struct State {
    revision: Revision,
    entries: BTreeMap<String, Row>,
    history: VecDeque<(Revision, Vec<Change>)>,
    /// The last revision that is no longer in the history.
    compacted: Revision,
    leases: BTreeMap<LeaseId, Lease>,
    last_lease: i64,
}

#[derive(Debug)]
struct Row {
    entry: Entry,
    lease: Option<LeaseId>,
}

#[derive(Debug)]
struct Lease {
    ttl: Duration,
    ends: Instant,
}

impl MemoryStore {
    /// An empty store, at revision 1.
    pub fn new() -> Self {
        let state = State { revision: Revision(1), ..State::default() };
        Self { shared: Arc::new(Shared { state: Mutex::new(state), bell: watch::Sender::new(()) }) }
    }

    /// Forgets the history up to and with revision `through`.
    pub fn compact(&self, through: Revision) {
        self.shared.state().compact(through);
    }
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

impl Shared {
    /// The state, with the leases gone that have ended by now.
    fn state(&self) -> MutexGuard<'_, State> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let ended: Vec<_> =
            state.leases.iter().filter(|(_, it)| it.ends <= now).map(|(id, _)| *id).collect();
        for lease in ended {
            self.end(&mut state, lease);
        }
        state
    }

    fn end(&self, state: &mut State, lease: LeaseId) {
        if state.leases.remove(&lease).is_some() {
            let keys: Vec<_> = state
                .entries
                .values()
                .filter(|row| row.lease == Some(lease))
                .map(|row| Op::Delete(row.entry.key.clone()))
                .collect();
            state.apply(keys);
            self.bell.send_replace(());
        }
    }
}

impl State {
    fn below<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = &'a Row> {
        self.entries
            .range::<str, _>((Bound::Included(prefix), Bound::Unbounded))
            .map(|(_, row)| row)
            .take_while(move |row| row.entry.key.starts_with(prefix))
    }

    fn holds(&self, guard: &Guard) -> bool {
        match guard {
            Guard::Absent(key) => !self.entries.contains_key(key),
            Guard::Unchanged(key, revision) => {
                self.entries.get(key).is_some_and(|row| row.entry.modified == *revision)
            }
            Guard::Empty(prefix) => self.below(prefix).next().is_none(),
        }
    }

    /// Does the changes in the next revision; none is used up where they change nothing.
    fn apply(&mut self, ops: Vec<Op>) {
        let revision = Revision(self.revision.0 + 1);
        let mut changes = Vec::new();
        for op in ops {
            match op {
                Op::Put { key, value, lease } => {
                    let entry = Entry { key: key.clone(), value, modified: revision };
                    changes.push(Change::Put(entry.clone()));
                    self.entries.insert(key, Row { entry, lease });
                }
                Op::Delete(key) => {
                    if self.entries.remove(&key).is_some() {
                        changes.push(Change::Delete { key, revision });
                    }
                }
            }
        }
        if !changes.is_empty() {
            self.revision = revision;
            self.history.push_back((revision, changes));
            if self.history.len() > HISTORY {
                self.compact(self.history[0].0);
            }
        }
    }

    fn compact(&mut self, through: Revision) {
        self.compacted = self.compacted.max(through.min(self.revision));
        while self.history.front().is_some_and(|(revision, _)| *revision <= self.compacted) {
            self.history.pop_front();
        }
    }

    fn changes(&self, prefix: &str, from: Revision) -> Result<Vec<Change>, Error> {
        if from <= self.compacted {
            return Err(Error::Compacted { wanted: from });
        }
        let begin = self.history.partition_point(|(revision, _)| *revision < from);
        let begins = |change: &&Change| change.key().starts_with(prefix);
        let all = self.history.range(begin..).flat_map(|(_, changes)| changes);
        Ok(all.filter(begins).cloned().collect())
    }
}

#[async_trait]
impl Store for MemoryStore {
    async fn get(&self, key: &str) -> Result<Option<Entry>, Error> {
        Ok(self.shared.state().entries.get(key).map(|row| row.entry.clone()))
    }

    async fn list(&self, prefix: &str) -> Result<Listing, Error> {
        let state = self.shared.state();
        let entries = state.below(prefix).map(|row| row.entry.clone()).collect();
        Ok(Listing { entries, revision: state.revision })
    }

    async fn first_key(&self, from: &str, prefix: &str) -> Result<Option<String>, Error> {
        let from = from.max(prefix);
        let state = self.shared.state();
        let mut keys = state.entries.range::<str, _>((Bound::Included(from), Bound::Unbounded));
        Ok(keys.next().map(|(key, _)| key.clone()).filter(|key| key.starts_with(prefix)))
    }

    async fn commit(&self, txn: Txn) -> Result<Outcome, Error> {
        if let Some(reason) = txn.flaw() {
            return Err(Error::Refused { place: self.place(), reason });
        }
        let mut state = self.shared.state();
        if !txn.guards.iter().all(|guard| state.holds(guard)) {
            return Ok(Outcome::Conflict);
        }
        for op in &txn.ops {
            if let Op::Put { lease: Some(lease), .. } = op
                && !state.leases.contains_key(lease)
            {
                return Err(Error::LeaseLost { lease: *lease });
            }
        }
        state.apply(txn.ops);
        self.shared.bell.send_replace(());
        Ok(Outcome::Committed(state.revision))
    }

    async fn watch(&self, prefix: &str, from: Revision) -> Result<Box<dyn Watch>, Error> {
        Ok(Box::new(MemoryWatch {
            bell: self.shared.bell.subscribe(),
            shared: Arc::clone(&self.shared),
            prefix: prefix.to_owned(),
            from: from.max(Revision(1)),
        }))
    }

    async fn grant(&self, ttl: Duration) -> Result<LeaseId, Error> {
        let mut state = self.shared.state();
        state.last_lease += 1;
        let id = LeaseId(state.last_lease);
        state.leases.insert(id, Lease { ttl, ends: Instant::now() + ttl });
        self.shared.bell.send_replace(());
        Ok(id)
    }

    async fn keep_alive(&self, lease: LeaseId) -> Result<(), Error> {
        let mut state = self.shared.state();
        let kept = state.leases.get_mut(&lease).ok_or(Error::LeaseLost { lease })?;
        kept.ends = Instant::now() + kept.ttl;
        Ok(())
    }

    async fn revoke(&self, lease: LeaseId) -> Result<(), Error> {
        let mut state = self.shared.state();
        self.shared.end(&mut state, lease);
        Ok(())
    }

    fn place(&self) -> String {
        "memory".to_owned()
    }
}

struct MemoryWatch {
    shared: Arc<Shared>,
    bell: watch::Receiver<()>,
    prefix: String,
    from: Revision,
}

#[async_trait]
impl Watch for MemoryWatch {
    async fn next(&mut self) -> Result<Vec<Change>, Error> {
        loop {
            self.bell.mark_unchanged();
            let ends = {
                let state = self.shared.state();
                let changes = state.changes(&self.prefix, self.from)?;
                self.from = self.from.max(Revision(state.revision.0 + 1));
                if !changes.is_empty() {
                    return Ok(changes);
                }
                state.leases.values().map(|lease| lease.ends).min()
            };
            match ends {
                // The sender lives in `shared`, so `changed` cannot fail while this watch lives.
                None => drop(self.bell.changed().await),
                Some(ends) => tokio::select! {
                    _ = self.bell.changed() => {}
                    () = sleep_until(ends) => {}
                },
            }
        }
    }
}
