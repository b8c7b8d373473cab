//! The embedded store: one SQLite file that all daemons of one machine share.
//!
//! Each process has one thread that owns its connection ([`engine`]); calls are jobs for it. A watch holds no changes
//! of its own: it waits until the store's revision reaches the one it wants, then reads from the log of changes in
//! the file. So a slow watch costs nothing, and one that is too slow gets [`Error::Compacted`].
//!
//! Other processes' changes are seen by ringing a [`bell`] after each commit. For those who could not ring it, and
//! where it cannot be heard, the file's version is looked at from time to time.
//!
//! Durability: write-ahead log with `synchronous=FULL`. What was answered survives a kill at any moment (it is in the
//! kernel), and the loss of power (it is on the disk): the rate of changes on one machine is that of containers
//! starting, and one flush to disk each is a small price for networks that are still there after a power cut.

mod bell;
mod db;
mod engine;
mod fault;
mod lease;
mod schema;

use std::{path::Path, sync::Arc, time::Duration};

use async_trait::async_trait;
use tokio::sync::watch;

use self::engine::Engine;
use super::{Change, Entry, Error, LeaseId, Listing, Outcome, Revision, Store, Txn, Watch};
use crate::crash;

/// A store in an SQLite file.
///
/// The file must be on a file system of this machine: processes of several machines cannot share it.
#[derive(Debug)]
pub struct FileStore {
    engine: Arc<Engine>,
}

impl FileStore {
    /// Opens the file, and makes it (mode 0600) and its directory (mode 0700) where they are not there.
    ///
    /// [`Error::Refused`] where it cannot be used: not writable, damaged, of another program, of a newer netctl.
    pub async fn open(path: &Path) -> Result<Self, Error> {
        Ok(Self { engine: Engine::start(path).await? })
    }

    /// Forgets the log of changes up to and with revision `through`.
    ///
    /// The store does so by itself for all but the last 10,000 revisions.
    pub async fn compact(&self, through: Revision) -> Result<(), Error> {
        self.engine.run(move |db| db.compact(through)).await
    }
}

#[async_trait]
impl Store for FileStore {
    async fn get(&self, key: &str) -> Result<Option<Entry>, Error> {
        let key = key.to_owned();
        self.engine.run(move |db| db.get(&key)).await
    }

    async fn list(&self, prefix: &str) -> Result<Listing, Error> {
        let prefix = prefix.to_owned();
        self.engine.run(move |db| db.list(&prefix)).await
    }

    async fn first_key(&self, from: &str, prefix: &str) -> Result<Option<String>, Error> {
        let (from, prefix) = (from.to_owned(), prefix.to_owned());
        self.engine.run(move |db| db.first_key(&from, &prefix)).await
    }

    async fn commit(&self, txn: Txn) -> Result<Outcome, Error> {
        if let Some(reason) = txn.flaw() {
            return Err(Error::Refused { place: self.place(), reason });
        }
        crash::step("before a transaction");
        let outcome = self.engine.run(move |db| db.commit(&txn)).await;
        crash::step("after a transaction");
        outcome
    }

    async fn watch(&self, prefix: &str, from: Revision) -> Result<Box<dyn Watch>, Error> {
        Ok(Box::new(FileWatch {
            revision: self.engine.revision(),
            engine: Arc::clone(&self.engine),
            prefix: prefix.to_owned(),
            from: from.max(Revision(1)),
        }))
    }

    async fn grant(&self, ttl: Duration) -> Result<LeaseId, Error> {
        self.engine.run(move |db| db.grant(ttl)).await
    }

    async fn keep_alive(&self, lease: LeaseId) -> Result<(), Error> {
        self.engine.run(move |db| db.keep_alive(lease)).await
    }

    async fn revoke(&self, lease: LeaseId) -> Result<(), Error> {
        self.engine.run(move |db| db.revoke(lease)).await
    }

    fn place(&self) -> String {
        self.engine.place().to_owned()
    }
}

struct FileWatch {
    engine: Arc<Engine>,
    revision: watch::Receiver<Revision>,
    prefix: String,
    /// The first revision that was not yet looked at.
    from: Revision,
}

#[async_trait]
impl Watch for FileWatch {
    async fn next(&mut self) -> Result<Vec<Change>, Error> {
        let mut checked = false;
        loop {
            let (prefix, from) = (self.prefix.clone(), self.from);
            // The first look is made in any case: it finds a revision that is no longer kept.
            if !checked || *self.revision.borrow_and_update() >= from {
                let found = self.engine.run(move |db| db.changes(&prefix, from)).await;
                match found {
                    Ok((changes, through)) => {
                        checked = true;
                        self.from = from.max(Revision(through.0 + 1));
                        if !changes.is_empty() {
                            return Ok(changes);
                        }
                    }
                    // While the file is locked for too long, a watch waits like it does for changes.
                    Err(Error::Unavailable { .. }) => tokio::time::sleep(engine::TICK).await,
                    Err(error) => return Err(error),
                }
            } else if self.revision.changed().await.is_err() {
                return Err(self.engine.gone());
            }
        }
    }
}
