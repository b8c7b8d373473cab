//! Counts and durations that many tasks add to and a scrape reads: an atomic addition each, without a lock.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

/// One count since the start.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    /// Adds one.
    pub(crate) fn add(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// What it is now.
    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// How often something took how long.
#[derive(Debug)]
pub(crate) struct Histogram {
    /// The longest that falls into each bucket, in rising order; what takes longer falls into a last one.
    bounds: &'static [Duration],
    buckets: Vec<AtomicU64>,
    /// In nanoseconds: 584 years.
    sum: AtomicU64,
}

impl Histogram {
    pub(crate) fn new(bounds: &'static [Duration]) -> Self {
        let buckets = (0..=bounds.len()).map(|_| AtomicU64::new(0)).collect();
        Self { bounds, buckets, sum: AtomicU64::new(0) }
    }

    /// Adds one that took so long.
    pub(crate) fn add(&self, took: Duration) {
        let place = self.bounds.partition_point(|bound| *bound < took);
        if let Some(bucket) = self.buckets.get(place) {
            bucket.fetch_add(1, Ordering::Relaxed);
        }
        let nanoseconds = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        self.sum.fetch_add(nanoseconds, Ordering::Relaxed);
    }

    /// What it is now.
    pub(crate) fn read(&self) -> Distribution {
        let mut count = 0;
        let mut buckets = Vec::with_capacity(self.bounds.len());
        let mut counts = self.buckets.iter().map(|bucket| bucket.load(Ordering::Relaxed));
        for (&bound, own) in self.bounds.iter().zip(&mut counts) {
            count += own;
            buckets.push((bound, count));
        }
        count += counts.sum::<u64>();
        Distribution { buckets, count, sum: Duration::from_nanos(self.sum.load(Ordering::Relaxed)) }
    }
}

/// A [`Histogram`] at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Distribution {
    /// For each bound, in rising order, how many took so long or less.
    pub buckets: Vec<(Duration, u64)>,
    /// How many there were.
    pub count: u64,
    /// How long all of them took together.
    pub sum: Duration,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_falls_into_the_first_bucket_that_it_fits() {
        const BOUNDS: &[Duration] = &[Duration::from_millis(1), Duration::from_millis(10)];
        let histogram = Histogram::new(BOUNDS);
        for micros in [0, 1_000, 1_001, 10_000, 10_001, 1_000_000] {
            histogram.add(Duration::from_micros(micros));
        }
        assert_eq!(
            histogram.read(),
            Distribution {
                buckets: vec![(BOUNDS[0], 2), (BOUNDS[1], 4)],
                count: 6,
                sum: Duration::from_micros(1_022_002),
            }
        );
    }
}
