//! Keeping a copy of a part of the store: list at a revision, watch from the next, list again where that is lost.

mod recent;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use serde::de::DeserializeOwned;
use tokio::{sync::watch, task::JoinHandle};
use tokio_util::sync::CancellationToken;

use self::recent::Recent;
use super::{keys::Stored, pulse::Bell};
use crate::{
    backoff::{self, Backoff},
    store::{self, Change, Entry, Revision, SharedStore},
};

/// How long to wait before the store is asked again after a failure, at first and at most.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(1));
/// Who lost their connections at one moment list again within so long, and not all at once.
const SPREAD: Duration = Duration::from_millis(200);

/// A part of the store as it was at one revision.
#[derive(Debug)]
pub(super) struct Mirror<T> {
    /// Whether it was ever listed whole. Nothing may be concluded from what is missing before.
    pub(super) complete: bool,
    /// Whether something could not be read, as from a later version. It is there, so that nothing may be concluded from
    /// what is missing either.
    pub(super) damaged: bool,
    /// What it shows is not older than this. It goes back where the store was put back to an earlier state.
    pub(super) revision: Revision,
    /// Moves whenever it changes, as the revision may not where a store was put back to an earlier state.
    pub(super) version: u64,
    /// By key without the prefix, each with the revision that last put it.
    pub(super) entries: BTreeMap<String, (Arc<T>, Revision)>,
    recent: Recent,
}

impl<T> Mirror<T> {
    const fn empty() -> Self {
        Self {
            complete: false,
            damaged: false,
            revision: Revision(0),
            version: 0,
            entries: BTreeMap::new(),
            recent: Recent::new(),
        }
    }

    /// The keys of entries that came, changed or went after a version; nothing where that is too long ago to be known.
    pub(super) fn changed_since(&self, version: u64) -> Option<BTreeSet<&str>> {
        self.recent.since(version)
    }
}

/// Keeps a [`Mirror`] of one prefix until it is dropped.
#[derive(Debug)]
pub(super) struct Follower<T> {
    mirror: watch::Receiver<Mirror<T>>,
    cancel: CancellationToken,
    task: Option<JoinHandle<()>>,
}

impl<T: DeserializeOwned + Send + Sync + 'static> Follower<T> {
    /// Begins to follow; `bell` is rung at each change.
    pub(super) fn start(store: SharedStore, prefix: String, bell: Bell) -> Self {
        let (sender, mirror) = watch::channel(Mirror::empty());
        let cancel = CancellationToken::new();
        let feed = Feed { store, prefix, bell, mirror: sender };
        let token = cancel.clone();
        let task = tokio::spawn(async move {
            token.run_until_cancelled(feed.run()).await;
        });
        Self { mirror, cancel, task: Some(task) }
    }

    /// What was known before, and is not asked for: it is not complete, whatever there is.
    pub(super) fn kept(entries: BTreeMap<String, Arc<T>>) -> Self {
        let entries = entries.into_iter().map(|(key, value)| (key, (value, Revision(0)))).collect();
        let mut mirror = Mirror { entries, version: 1, ..Mirror::empty() };
        mirror.recent.forget(mirror.version);
        let (_, mirror) = watch::channel(mirror);
        Self { mirror, cancel: CancellationToken::new(), task: None }
    }

    /// The copy as it is now. Hold it briefly: changes wait for it.
    pub(super) fn borrow(&self) -> watch::Ref<'_, Mirror<T>> {
        self.mirror.borrow()
    }

    /// The copy as it is and will be.
    pub(super) fn receiver(&self) -> watch::Receiver<Mirror<T>> {
        self.mirror.clone()
    }

    /// Ends following and waits until it has ended.
    pub(super) async fn stop(mut self) {
        self.cancel.cancel();
        if let Some(task) = self.task.take()
            && let Err(error) = task.await
        {
            tracing::error!(%error, "a follower panicked");
        }
    }
}

impl<T> Drop for Follower<T> {
    fn drop(&mut self) {
        self.cancel.cancel();
    }
}

struct Feed<T> {
    store: SharedStore,
    prefix: String,
    bell: Bell,
    mirror: watch::Sender<Mirror<T>>,
}

impl<T: DeserializeOwned> Feed<T> {
    async fn run(self) -> ! {
        let mut backoff = Backoff::new(PAUSES.0, PAUSES.1);
        loop {
            let listed = self.mirror.borrow().version;
            match self.follow().await {
                Ok(()) => {
                    tracing::debug!(
                        prefix = self.prefix,
                        "the store is there again: listing again"
                    );
                    tokio::time::sleep(backoff::spread(SPREAD)).await;
                }
                Err(error @ store::Error::Compacted { .. }) => {
                    tracing::debug!(prefix = self.prefix, %error, "listing again");
                }
                Err(error) => {
                    if self.mirror.borrow().version > listed {
                        backoff.reset();
                    }
                    tracing::warn!(prefix = self.prefix, %error, "cannot follow the store; trying again");
                    tokio::time::sleep(backoff.pause()).await;
                }
            }
        }
    }

    /// Follows until it cannot go on, or has to list again since the connection was lost: what was put back to an earlier
    /// state may be past what is waited for by then.
    async fn follow(&self) -> Result<(), store::Error> {
        let listing = self.store.list(&self.prefix).await?;
        self.replace(listing.entries, listing.revision);
        let from = Revision(listing.revision.0 + 1);
        let mut watch = self.store.watch(&self.prefix, from).await?;
        loop {
            let changes = watch.next().await?;
            if changes.is_empty() {
                return Ok(());
            }
            self.apply(changes);
        }
    }

    fn replace(&self, entries: Vec<Entry>, revision: Revision) {
        let all = entries.len();
        let entries: BTreeMap<_, _> =
            entries.into_iter().filter_map(|entry| self.read(entry)).collect();
        let damaged = entries.len() < all;
        self.mirror.send_modify(|mirror| {
            let version = mirror.version + 1;
            let mut recent = std::mem::take(&mut mirror.recent);
            recent.forget(version);
            *mirror = Mirror { complete: true, damaged, revision, version, entries, recent };
        });
        self.bell.ring();
    }

    fn apply(&self, changes: Vec<Change>) {
        self.mirror.send_modify(|mirror| {
            // What comes once more is older than what is known, and must not take its place.
            let known = mirror.revision;
            mirror.version += 1;
            for change in changes.into_iter().filter(|change| change.revision() > known) {
                let (key, revision) = match change {
                    Change::Put(entry) => {
                        let (key, revision) = (self.short(&entry.key), entry.modified);
                        if let Some((key, value)) = self.read(entry) {
                            mirror.entries.insert(key, value);
                        } else {
                            mirror.damaged = true;
                            mirror.entries.remove(&key);
                        }
                        (key, revision)
                    }
                    Change::Delete { key, revision } => {
                        let key = self.short(&key);
                        mirror.entries.remove(&key);
                        (key, revision)
                    }
                };
                mirror.recent.note(mirror.version, key);
                mirror.revision = mirror.revision.max(revision);
            }
        });
        self.bell.ring();
    }

    fn short(&self, key: &str) -> String {
        key.strip_prefix(&self.prefix).unwrap_or(key).to_owned()
    }

    fn read(&self, entry: Entry) -> Option<(String, (Arc<T>, Revision))> {
        let key = self.short(&entry.key);
        match Stored::read(entry) {
            Ok(Stored { value, modified, .. }) => Some((key, (Arc::new(value), modified))),
            Err(error) => {
                tracing::warn!(%error, "ignored; nothing is taken down meanwhile");
                None
            }
        }
    }
}

#[cfg(test)]
mod tests;
