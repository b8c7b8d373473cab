//! The shared state: a small ordered key-value store with transactions, watches and leases.
//!
//! Keys are UTF-8 paths without a leading slash (`networks/<id>`); a backend puts its own prefix before them where it
//! shares its place with others.
//!
//! # Adding a backend
//!
//! One file that implements [`Store`], one variant of [`StoreSpec`] with its word, and one arm in [`open`]. The
//! conformance suite in `tests/tests/store/suite.rs` is what a backend must pass: give it a factory, as `memory.rs`
//! beside it does. [`MemoryStore`], which no daemon uses, is the reference where a sentence here leaves room.
//!
//! What the suite cannot show, and a backend must hold all the same:
//! - a change that was answered survives the end of every process that uses the store;
//! - every call answers or fails within three seconds, also where the store is away, and works again with no restart
//!   when it is back;
//! - a [`Watch`] that is not asked holds no unbounded memory, and a dropped one leaves nothing running;
//! - errors name the place, and say in one sentence what to do about it where something can be done.

mod etcd;
mod file;
mod measured;
mod memory;
mod spec;

pub use self::{
    etcd::{EtcdOptions, EtcdStore},
    file::FileStore,
    measured::{Connection, Measured, Measures},
    memory::MemoryStore,
    spec::{InvalidSpec, StoreSpec},
};

use std::{collections::BTreeSet, fmt, path::PathBuf, sync::Arc, time::Duration};

use async_trait::async_trait;

/// The most guards, and the most changes, that one transaction may have: what etcd takes by default (`--max-txn-ops`).
pub const MAX_OPS: usize = 128;

/// The most bytes of keys and values that one transaction may carry: below etcd's default of 1.5 MiB for a request
/// (`--max-request-bytes`).
pub const MAX_BYTES: usize = 1 << 20;

/// The store's logical clock: it moves by at least one with each transaction that changes something.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Revision(pub u64);

/// A claim on liveness: keys put under it vanish when it is not kept alive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LeaseId(pub i64);

/// A key with its value.
#[derive(Clone, PartialEq, Eq)]
pub struct Entry {
    /// The key, without the backend's prefix.
    pub key: String,
    /// The value.
    pub value: Vec<u8>,
    /// The revision of the transaction that last put it.
    pub modified: Revision,
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}={}", self.key, self.modified.0, String::from_utf8_lossy(&self.value))
    }
}

/// All entries below a prefix, as they were at one revision.
#[derive(Clone, Debug)]
pub struct Listing {
    /// In the order of their keys.
    pub entries: Vec<Entry>,
    /// A watch from the revision after this one misses nothing and repeats nothing.
    pub revision: Revision,
}

/// What must hold for a transaction to happen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Guard {
    /// The key is not there.
    Absent(String),
    /// The key is there, and was last put by the transaction of this revision.
    Unchanged(String, Revision),
    /// No key begins with this prefix.
    Empty(String),
}

/// A change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    /// Puts a value, under a lease where one is given.
    Put {
        /// The key.
        key: String,
        /// The value.
        value: Vec<u8>,
        /// The lease whose end removes the key.
        lease: Option<LeaseId>,
    },
    /// Removes a key; removing one that is not there is no error and no change.
    Delete(String),
}

/// Changes that happen together, or not at all.
///
/// At most [`MAX_OPS`] guards and [`MAX_OPS`] changes, and [`MAX_BYTES`] bytes: every backend refuses more, so that
/// what works on one works on all. Where guards do not hold, that comes before a lease that has ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Txn {
    /// All must hold.
    pub guards: Vec<Guard>,
    /// All are done, in one revision. No key may occur twice.
    pub ops: Vec<Op>,
}

impl Txn {
    /// A transaction without guards or changes, to add to.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a guard.
    #[must_use]
    pub fn when(mut self, guard: Guard) -> Self {
        self.guards.push(guard);
        self
    }

    /// Adds a put.
    #[must_use]
    pub fn put(mut self, key: impl Into<String>, value: impl Into<Vec<u8>>) -> Self {
        self.ops.push(Op::Put { key: key.into(), value: value.into(), lease: None });
        self
    }

    /// Adds a put under a lease.
    #[must_use]
    pub fn put_leased(
        mut self,
        key: impl Into<String>,
        value: impl Into<Vec<u8>>,
        lease: LeaseId,
    ) -> Self {
        self.ops.push(Op::Put { key: key.into(), value: value.into(), lease: Some(lease) });
        self
    }

    /// Adds all guards and changes of another.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        self.guards.extend(other.guards);
        self.ops.extend(other.ops);
        self
    }

    /// Adds a removal.
    #[must_use]
    pub fn delete(mut self, key: impl Into<String>) -> Self {
        self.ops.push(Op::Delete(key.into()));
        self
    }

    /// Why no backend will have this transaction, where that is so.
    fn flaw(&self) -> Option<String> {
        let most = self.guards.len().max(self.ops.len());
        if most > MAX_OPS {
            return Some(format!(
                "a transaction may have {MAX_OPS} guards and changes, this one has {most}"
            ));
        }
        let mut bytes = 0;
        let mut keys = BTreeSet::new();
        for op in &self.ops {
            let (key, size) = match op {
                Op::Put { key, value, .. } => (key, value.len()),
                Op::Delete(key) => (key, 0),
            };
            if key.is_empty() {
                return Some("a key may not be empty".to_owned());
            }
            if !keys.insert(key) {
                return Some(format!(
                    "a transaction may change a key once, this one changes {key} twice"
                ));
            }
            bytes += key.len() + size;
        }
        (bytes > MAX_BYTES)
            .then(|| format!("a transaction may carry {MAX_BYTES} bytes, this one carries {bytes}"))
    }

    /// The first lease that a change names.
    fn first_lease(&self) -> Option<LeaseId> {
        self.ops.iter().find_map(|op| match op {
            Op::Put { lease, .. } => *lease,
            Op::Delete(_) => None,
        })
    }
}

/// How a transaction ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// All changes happened, in this revision; where there was nothing to change, the revision the store is at.
    Committed(Revision),
    /// A guard did not hold; nothing happened.
    Conflict,
}

/// What a watch saw.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A key was put.
    Put(Entry),
    /// A key was removed, by a transaction, or by the end of its lease.
    Delete {
        /// The key.
        key: String,
        /// The revision in which it went.
        revision: Revision,
    },
}

impl Change {
    /// The key that was put or removed.
    pub fn key(&self) -> &str {
        match self {
            Self::Put(entry) => &entry.key,
            Self::Delete { key, .. } => key,
        }
    }

    /// The revision in which that was.
    pub fn revision(&self) -> Revision {
        match self {
            Self::Put(entry) => entry.modified,
            Self::Delete { revision, .. } => *revision,
        }
    }
}

/// Why a call to the store failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The store cannot be reached, or does not answer in time. Nothing is known of whether a change happened.
    #[error("the store at {place} cannot be reached: {reason}")]
    Unavailable {
        /// Where it was sought.
        place: String,
        /// What went wrong.
        reason: String,
    },
    /// The wanted revision is no longer kept: list again.
    #[error("the store no longer keeps revision {wanted}", wanted = .wanted.0)]
    Compacted {
        /// What was wanted.
        wanted: Revision,
    },
    /// The lease has ended.
    #[error("lease {lease} has ended", lease = .lease.0)]
    LeaseLost {
        /// Which.
        lease: LeaseId,
    },
    /// The store will not have it: wrong credentials, a call that is not allowed, a damaged file.
    #[error("the store at {place} refuses: {reason}")]
    Refused {
        /// Where it is.
        place: String,
        /// What it said.
        reason: String,
    },
}

/// A running watch. Dropping it ends it.
#[async_trait]
pub trait Watch: Send {
    /// The next changes, of one or more whole revisions, in order.
    ///
    /// A backend survives lost connections by itself and goes on where it was; it returns an error only where it
    /// cannot: [`Error::Compacted`] (list again), or a refusal. While the store is away it waits. Cancel safe.
    ///
    /// No changes at all say that a connection was lost and there is another. Nothing is missing unless the store was put
    /// back to an earlier state meanwhile, and has come past the revision that was waited for by other changes: who has to
    /// be sure of that lists again.
    async fn next(&mut self) -> Result<Vec<Change>, Error>;
}

/// The seam to the shared state.
///
/// Reads are linearizable: a read that begins after a transaction was answered, on any host, sees it.
#[async_trait]
pub trait Store: Send + Sync + fmt::Debug {
    /// The entry of one key.
    async fn get(&self, key: &str) -> Result<Option<Entry>, Error>;

    /// All entries whose keys begin with `prefix`, at one revision however many there are.
    async fn list(&self, prefix: &str) -> Result<Listing, Error>;

    /// The first key from `from` on that begins with `prefix`, in the order of keys.
    async fn first_key(&self, from: &str, prefix: &str) -> Result<Option<String>, Error>;

    /// Does all changes of `txn` in one revision if all its guards hold.
    async fn commit(&self, txn: Txn) -> Result<Outcome, Error>;

    /// Watches the keys that begin with `prefix`, beginning with the changes of revision `from`.
    ///
    /// Whether that revision is still kept, and whether the store is there, is for [`Watch::next`] to tell.
    async fn watch(&self, prefix: &str, from: Revision) -> Result<Box<dyn Watch>, Error>;

    /// Makes a lease that ends `ttl` after it was last kept alive, or somewhat later: etcd counts whole seconds, and at
    /// least two.
    async fn grant(&self, ttl: Duration) -> Result<LeaseId, Error>;

    /// Keeps a lease alive for its time to live from now on; [`Error::LeaseLost`] where it has ended.
    async fn keep_alive(&self, lease: LeaseId) -> Result<(), Error>;

    /// Ends a lease now; its keys vanish. Ending one that has ended is no error.
    async fn revoke(&self, lease: LeaseId) -> Result<(), Error>;

    /// Where it is, for people: `file /var/lib/netctl/store.db`, `etcd http://10.0.0.1:2379`.
    fn place(&self) -> String;
}

/// What stands between `prefix`, which ends in a slash, and the next slash of the keys that have one: each once, in the
/// order of keys.
///
/// It costs as many calls as there are, however many keys: who has to look through a part of the store that may be large
/// does so piece by piece.
pub async fn children(store: &dyn Store, prefix: &str) -> Result<Vec<String>, Error> {
    let (mut children, mut from) = (Vec::new(), prefix.to_owned());
    while let Some(key) = store.first_key(&from, prefix).await? {
        let rest = key.strip_prefix(prefix).unwrap_or_default();
        if let Some((child, _)) = rest.split_once('/') {
            // The character after a slash: behind all keys below it.
            from = format!("{prefix}{child}0");
            children.push(child.to_owned());
        } else {
            from = key + "\0";
        }
    }
    Ok(children)
}

/// A store that several tasks share.
pub type SharedStore = Arc<dyn Store>;

/// What the backends need to know beyond the [`StoreSpec`].
#[derive(Clone, Debug)]
pub struct OpenOptions {
    /// The file of [`StoreSpec::File`] where the text names none.
    pub file: PathBuf,
    /// For [`StoreSpec::Etcd`].
    pub etcd: EtcdOptions,
}

/// Opens the store that `spec` names.
///
/// A file must be usable now; an etcd that is away is no error here, its calls fail until it is there.
pub async fn open(spec: &StoreSpec, options: &OpenOptions) -> Result<SharedStore, Error> {
    Ok(match spec {
        StoreSpec::File(path) => {
            Arc::new(FileStore::open(path.as_ref().unwrap_or(&options.file)).await?)
        }
        StoreSpec::Etcd(endpoints) => Arc::new(EtcdStore::open(endpoints, &options.etcd).await?),
    })
}
