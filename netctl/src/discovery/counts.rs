//! What the servers did, in numbers.

use std::sync::atomic::{AtomicU64, Ordering};

/// How many queries there were since the start, by what became of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// All that were received, malformed ones too.
    pub queries: u64,
    /// Those that were no query, or one that cannot be read.
    pub malformed: u64,
    /// Those that were sent on to another name server.
    pub forwarded: u64,
    /// Those of the forwarded that no name server answered.
    pub failed: u64,
    /// Those, and connections, that were turned away because too many were under way.
    pub refused: u64,
}

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
pub(super) struct Counters {
    pub(super) queries: Counter,
    pub(super) malformed: Counter,
    pub(super) forwarded: Counter,
    pub(super) failed: Counter,
    pub(super) refused: Counter,
}

impl Counters {
    pub(super) fn read(&self) -> Counts {
        Counts {
            queries: self.queries.get(),
            malformed: self.malformed.get(),
            forwarded: self.forwarded.get(),
            failed: self.failed.get(),
            refused: self.refused.get(),
        }
    }
}
