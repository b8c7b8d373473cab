//! What the servers did, in numbers.

use std::time::Duration;

use crate::{
    counts::{Counter, Distribution, Histogram},
    model::NamesView,
};

/// Answers of our own are made in a few microseconds; what takes milliseconds was kept waiting.
const BOUNDS: &[Duration] = &[
    Duration::from_micros(5),
    Duration::from_micros(10),
    Duration::from_micros(20),
    Duration::from_micros(50),
    Duration::from_micros(100),
    Duration::from_micros(200),
    Duration::from_micros(500),
    Duration::from_millis(1),
    Duration::from_millis(5),
    Duration::from_millis(20),
];

/// The counts as they are kept.
#[derive(Debug)]
pub struct Counters {
    pub(super) queries: Counter,
    pub(super) answered: Counter,
    pub(super) relayed: Counter,
    pub(super) malformed: Counter,
    pub(super) forwarded: Counter,
    pub(super) failed: Counter,
    pub(super) refused: Counter,
    /// How long an answer takes that nobody else is asked for.
    pub(super) answering: Histogram,
}

impl Default for Counters {
    fn default() -> Self {
        Self {
            queries: Counter::default(),
            answered: Counter::default(),
            relayed: Counter::default(),
            malformed: Counter::default(),
            forwarded: Counter::default(),
            failed: Counter::default(),
            refused: Counter::default(),
            answering: Histogram::new(BOUNDS),
        }
    }
}

impl Counters {
    /// How many queries came to which end; those that are still out with other name servers came to none yet.
    pub fn ends(&self) -> [(&'static str, u64); 5] {
        [
            ("answered", self.answered.get()),
            ("relayed", self.relayed.get()),
            ("failed", self.failed.get()),
            ("refused", self.refused.get()),
            ("malformed", self.malformed.get()),
        ]
    }

    /// How long answers took that nobody else was asked for.
    pub fn answering(&self) -> Distribution {
        self.answering.read()
    }

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
