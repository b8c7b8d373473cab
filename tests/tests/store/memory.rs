//! The store in memory.

use std::sync::Arc;

use netctl::store::{MemoryStore, Revision, SharedStore};

use crate::suite::{Bench, conformance};

impl Bench for MemoryStore {
    async fn open(&self) -> SharedStore {
        Arc::new(self.clone())
    }

    async fn compact(&self, through: Revision) {
        Self::compact(self, through);
    }
}

conformance!(async { MemoryStore::new() });
