//! What becomes of calls to a store, whichever it is: how long they take, how they fail, and whether it is there.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use async_trait::async_trait;

use super::{Entry, Error, LeaseId, Listing, Outcome, Revision, SharedStore, Store, Txn, Watch};
use crate::{
    counts::{Counter, Distribution, Histogram},
    moment::Moment,
};

/// From a file in memory to what [`Store`] allows at most.
const BOUNDS: &[Duration] = &[
    Duration::from_micros(500),
    Duration::from_millis(1),
    Duration::from_micros(2_500),
    Duration::from_millis(5),
    Duration::from_millis(10),
    Duration::from_millis(25),
    Duration::from_millis(50),
    Duration::from_millis(100),
    Duration::from_millis(250),
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_millis(2_500),
];

/// A verb of [`Store`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verb {
    Get,
    List,
    Commit,
    Grant,
    KeepAlive,
    Revoke,
}

impl Verb {
    const ALL: [Self; 6] =
        [Self::Get, Self::List, Self::Commit, Self::Grant, Self::KeepAlive, Self::Revoke];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::List => "list",
            Self::Commit => "commit",
            Self::Grant => "grant",
            Self::KeepAlive => "keep-alive",
            Self::Revoke => "revoke",
        }
    }
}

/// The sorts of [`Error`], by their labels.
const KINDS: [&str; 4] = ["unavailable", "compacted", "lease-lost", "refused"];

/// The place in [`KINDS`].
const fn kind(error: &Error) -> usize {
    match error {
        Error::Unavailable { .. } => 0,
        Error::Compacted { .. } => 1,
        Error::LeaseLost { .. } => 2,
        Error::Refused { .. } => 3,
    }
}

/// What became of the calls since the start.
#[derive(Debug)]
pub struct Measures {
    durations: [Histogram; Verb::ALL.len()],
    errors: [Counter; KINDS.len()],
    connection: Mutex<Option<Connection>>,
    /// Since when nothing was read, and nothing changed, that was asked for; `None` where the last call of that sort did
    /// what it was to do.
    failing: [Mutex<Option<Moment>>; 2],
}

/// Whether the store answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Connection {
    /// It answered the last call, be it with an error.
    pub connected: bool,
    /// Since when that is so.
    pub since: Moment,
}

impl Default for Measures {
    fn default() -> Self {
        Self {
            durations: Verb::ALL.map(|_| Histogram::new(BOUNDS)),
            errors: KINDS.map(|_| Counter::default()),
            connection: Mutex::default(),
            failing: [const { Mutex::new(None) }; 2],
        }
    }
}

impl Measures {
    /// How long the calls took, those that failed too, by verb.
    pub fn durations(&self) -> impl Iterator<Item = (&'static str, Distribution)> {
        Verb::ALL.iter().map(|verb| verb.as_str()).zip(self.durations.iter().map(Histogram::read))
    }

    /// How many calls failed, by sort.
    pub fn errors(&self) -> impl Iterator<Item = (&'static str, u64)> {
        KINDS.into_iter().zip(self.errors.iter().map(Counter::get))
    }

    /// Whether the store answers; `None` before it was asked.
    pub fn connection(&self) -> Option<Connection> {
        *lock(&self.connection)
    }

    /// Since when all that was to be read could not be; `None` where the last was.
    pub fn unread_since(&self) -> Option<Moment> {
        *lock(&self.failing[0])
    }

    /// Since when all that was to be changed could not be; `None` where the last was.
    pub fn unchanged_since(&self) -> Option<Moment> {
        *lock(&self.failing[1])
    }

    /// Takes notice of how a call of a sort ended. That a guard did not hold, or a lease has ended, is no failure.
    fn note_sort<T>(&self, verb: Verb, result: &Result<T, Error>) {
        let sort = match verb {
            Verb::Get | Verb::List => 0,
            Verb::Commit | Verb::Grant => 1,
            // Neither reads what somebody asks for nor changes it.
            Verb::KeepAlive | Verb::Revoke => return,
        };
        let mut since = lock(&self.failing[sort]);
        match result {
            Err(Error::Unavailable { .. } | Error::Refused { .. }) => {
                since.get_or_insert_with(Moment::now);
            }
            Ok(_) => *since = None,
            Err(Error::Compacted { .. } | Error::LeaseLost { .. }) => {}
        }
    }

    fn note<T>(&self, result: &Result<T, Error>) {
        let mut connected = true;
        if let Err(error) = result {
            connected = !matches!(error, Error::Unavailable { .. });
            self.errors[kind(error)].add();
        }
        let mut connection = lock(&self.connection);
        if connection.is_none_or(|known| known.connected != connected) {
            *connection = Some(Connection { connected, since: Moment::now() });
        }
    }

    async fn call<T>(
        &self,
        verb: Verb,
        call: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        let begun = Instant::now();
        let result = call.await;
        self.durations[verb as usize].add(begun.elapsed());
        self.note_sort(verb, &result);
        self.note(&result);
        result
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A store whose calls are measured.
#[derive(Debug)]
pub struct Measured {
    inner: SharedStore,
    measures: Arc<Measures>,
}

impl Measured {
    /// The same store, and what becomes of the calls that are made by it.
    pub fn wrap(inner: SharedStore) -> (SharedStore, Arc<Measures>) {
        let measures = Arc::<Measures>::default();
        (Arc::new(Self { inner, measures: Arc::clone(&measures) }), measures)
    }
}

#[async_trait]
impl Store for Measured {
    async fn get(&self, key: &str) -> Result<Option<Entry>, Error> {
        self.measures.call(Verb::Get, self.inner.get(key)).await
    }

    async fn list(&self, prefix: &str) -> Result<Listing, Error> {
        self.measures.call(Verb::List, self.inner.list(prefix)).await
    }

    async fn first_key(&self, from: &str, prefix: &str) -> Result<Option<String>, Error> {
        self.measures.call(Verb::List, self.inner.first_key(from, prefix)).await
    }

    async fn commit(&self, txn: Txn) -> Result<Outcome, Error> {
        self.measures.call(Verb::Commit, self.inner.commit(txn)).await
    }

    async fn watch(&self, prefix: &str, from: Revision) -> Result<Box<dyn Watch>, Error> {
        let inner = self.inner.watch(prefix, from).await?;
        Ok(Box::new(MeasuredWatch { inner, measures: Arc::clone(&self.measures) }))
    }

    async fn grant(&self, ttl: Duration) -> Result<LeaseId, Error> {
        self.measures.call(Verb::Grant, self.inner.grant(ttl)).await
    }

    async fn keep_alive(&self, lease: LeaseId) -> Result<(), Error> {
        self.measures.call(Verb::KeepAlive, self.inner.keep_alive(lease)).await
    }

    async fn revoke(&self, lease: LeaseId) -> Result<(), Error> {
        self.measures.call(Verb::Revoke, self.inner.revoke(lease)).await
    }

    fn place(&self) -> String {
        self.inner.place()
    }
}

/// A watch takes as long as nothing changes: only what it fails with is of interest.
struct MeasuredWatch {
    inner: Box<dyn Watch>,
    measures: Arc<Measures>,
}

#[async_trait]
impl Watch for MeasuredWatch {
    async fn next(&mut self) -> Result<Vec<super::Change>, Error> {
        let changes = self.inner.next().await;
        self.measures.note(&changes);
        changes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::MemoryStore;

    #[tokio::test]
    async fn calls_are_counted_by_verb_and_failures_by_sort() {
        let (store, measures) = Measured::wrap(Arc::new(MemoryStore::default()));
        assert_eq!(measures.connection(), None);
        store.get("a").await.expect("an answer");
        store.keep_alive(LeaseId(7)).await.expect_err("there is no such lease");
        let count = |verb| measures.durations().find(|(own, _)| *own == verb).map(|(_, d)| d.count);
        assert_eq!(["get", "keep-alive", "commit"].map(count), [Some(1), Some(1), Some(0)]);
        let failed: Vec<_> = measures.errors().filter(|(_, count)| *count > 0).collect();
        assert_eq!(failed, [("lease-lost", 1)]);
        assert!(measures.connection().is_some_and(|connection| connection.connected));
    }

    #[test]
    fn what_cannot_be_read_and_what_cannot_be_changed_are_told_apart() {
        let measures = Measures::default();
        let refused =
            || Err::<(), _>(Error::Refused { place: "x".to_owned(), reason: "full".to_owned() });
        measures.note_sort(Verb::Commit, &refused());
        let since = measures.unchanged_since().expect("it failed");
        measures.note_sort(Verb::Grant, &refused());
        measures.note_sort(Verb::Get, &Ok(()));
        measures.note_sort(Verb::KeepAlive, &Ok(()));
        measures.note_sort(Verb::Commit, &Err::<(), _>(Error::LeaseLost { lease: LeaseId(1) }));
        assert_eq!((measures.unread_since(), measures.unchanged_since()), (None, Some(since)));
        measures.note_sort(Verb::Commit, &Ok(()));
        assert_eq!(measures.unchanged_since(), None);
        measures.note_sort(Verb::List, &refused());
        assert!(measures.unread_since().is_some());
    }

    #[test]
    fn since_when_moves_only_with_the_state() {
        let measures = Measures::default();
        let away = || {
            Err::<(), _>(Error::Unavailable { place: "etcd x".to_owned(), reason: "y".to_owned() })
        };
        measures.note(&away());
        let first = measures.connection().expect("known");
        assert!(!first.connected);
        measures.note(&away());
        assert_eq!(measures.connection(), Some(first));
        measures.note(&Ok(()));
        assert!(measures.connection().is_some_and(|connection| connection.connected));
    }
}
