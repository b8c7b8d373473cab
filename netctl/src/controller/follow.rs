//! Keeping a copy of a part of the store: list at a revision, watch from the next, list again where that is lost.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use serde::de::DeserializeOwned;
use tokio::{sync::watch, task::JoinHandle};
use tokio_util::sync::CancellationToken;

use super::{keys::Stored, pulse::Bell};
use crate::store::{self, Change, Entry, Revision, SharedStore};

/// How long to wait before the store is asked again after a failure, at first and at most.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));

/// A part of the store as it was at one revision.
#[derive(Debug)]
pub(super) struct Mirror<T> {
    /// Whether it was ever listed whole. Nothing may be concluded from what is missing before.
    pub(super) complete: bool,
    /// Whether something could not be read, as from a later version. It is there, so that nothing may be concluded from
    /// what is missing either.
    pub(super) damaged: bool,
    /// What it shows is not older than this.
    pub(super) revision: Revision,
    /// Moves whenever it changes, as the revision may not where a store was put back to an earlier state.
    pub(super) version: u64,
    /// By key without the prefix, each with the revision that last put it.
    pub(super) entries: BTreeMap<String, (Arc<T>, Revision)>,
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
        let empty = Mirror {
            complete: false,
            damaged: false,
            revision: Revision(0),
            version: 0,
            entries: BTreeMap::new(),
        };
        let (sender, mirror) = watch::channel(empty);
        let cancel = CancellationToken::new();
        let feed = Feed { store, prefix, bell, mirror: sender };
        let token = cancel.clone();
        let task = tokio::spawn(async move {
            token.run_until_cancelled(feed.run()).await;
        });
        Self { mirror, cancel, task: Some(task) }
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
        let mut pause = BACKOFF.0;
        loop {
            let listed = self.mirror.borrow().revision;
            let error = self.follow().await;
            if matches!(error, store::Error::Compacted { .. }) {
                tracing::debug!(prefix = self.prefix, %error, "listing again");
            } else {
                tracing::warn!(prefix = self.prefix, %error, "cannot follow the store; trying again");
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(BACKOFF.1);
            }
            if self.mirror.borrow().revision > listed {
                pause = BACKOFF.0;
            }
        }
    }

    /// Follows until it cannot go on, and says why.
    async fn follow(&self) -> store::Error {
        let listing = match self.store.list(&self.prefix).await {
            Ok(listing) => listing,
            Err(error) => return error,
        };
        self.replace(listing.entries, listing.revision);
        let mut watch = match self.store.watch(&self.prefix, Revision(listing.revision.0 + 1)).await
        {
            Ok(watch) => watch,
            Err(error) => return error,
        };
        loop {
            match watch.next().await {
                Ok(changes) => self.apply(changes),
                Err(error) => return error,
            }
        }
    }

    fn replace(&self, entries: Vec<Entry>, revision: Revision) {
        let all = entries.len();
        let entries: BTreeMap<_, _> =
            entries.into_iter().filter_map(|entry| self.read(entry)).collect();
        let damaged = entries.len() < all;
        self.mirror.send_modify(|mirror| {
            let version = mirror.version + 1;
            *mirror = Mirror { complete: true, damaged, revision, version, entries };
        });
        self.bell.ring();
    }

    fn apply(&self, changes: Vec<Change>) {
        self.mirror.send_modify(|mirror| {
            // What comes once more is older than what is known, and must not take its place.
            let known = mirror.revision;
            mirror.version += 1;
            for change in changes.into_iter().filter(|change| change.revision() > known) {
                let revision = match change {
                    Change::Put(entry) => {
                        let (key, revision) = (self.short(&entry.key), entry.modified);
                        if let Some((key, value)) = self.read(entry) {
                            mirror.entries.insert(key, value);
                        } else {
                            mirror.damaged = true;
                            mirror.entries.remove(&key);
                        }
                        revision
                    }
                    Change::Delete { key, revision } => {
                        mirror.entries.remove(&self.short(&key));
                        revision
                    }
                };
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
