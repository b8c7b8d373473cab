//! What the servers did, in numbers.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::model::NamesView;

/// One count, changed from many tasks.
#[derive(Debug, Default)]
pub(super) struct Counter(AtomicU64);

impl Counter {
    /// Adds one.
    pub(super) fn add(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// The counts as they are kept.
#[derive(Debug, Default)]
pub struct Counters {
    pub(super) queries: Counter,
    pub(super) malformed: Counter,
    pub(super) forwarded: Counter,
    pub(super) failed: Counter,
    pub(super) refused: Counter,
}

impl Counters {
    /// What they are now.
    pub fn read(&self) -> NamesView {
        NamesView {
            queries: self.queries.get(),
            malformed: self.malformed.get(),
            forwarded: self.forwarded.get(),
            failed: self.failed.get(),
            refused: self.refused.get(),
        }
    }
}
