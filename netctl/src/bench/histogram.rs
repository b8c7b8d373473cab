//! How long each of many things took, in little memory: nothing is allocated while things are timed.

use std::time::Duration;

/// Steps to which each power of two is divided, as a power of two: the error is below one part in 128.
const STEPS: u32 = 7;

/// Times in nanoseconds by size; what took longer than 4 s counts as that.
#[derive(Debug)]
pub(super) struct Histogram {
    counts: Vec<u64>,
    total: u64,
}

impl Histogram {
    pub(super) fn new() -> Self {
        Self { counts: vec![0; slot(u32::MAX) + 1], total: 0 }
    }

    #[inline(always)]
    pub(super) fn add(&mut self, time: Duration) {
        let nanoseconds = u32::try_from(time.as_nanos()).unwrap_or(u32::MAX);
        if let Some(count) = self.counts.get_mut(slot(nanoseconds)) {
            *count += 1;
        }
        self.total += 1;
    }

    pub(super) fn total(&self) -> u64 {
        self.total
    }

    /// The time in microseconds within which `share` (0 to 1) of all things were done; 0 where there was nothing.
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a count of things far below 2^52, and a share of it"
    )]
    pub(super) fn quantile(&self, share: f64) -> f64 {
        let rank = ((self.total as f64 * share).ceil() as u64).max(1);
        let mut seen = 0;
        for (index, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= rank {
                return middle(index) / 1000.0;
            }
        }
        0.0
    }
}

/// Exact below 2^STEPS; above, the power of two and the next STEPS bits.
#[inline(always)]
fn slot(nanoseconds: u32) -> usize {
    let power = (u32::BITS - nanoseconds.leading_zeros()).saturating_sub(STEPS + 1);
    ((power << STEPS) + (nanoseconds >> power)) as usize
}

/// The middle of what falls into a slot, in nanoseconds.
#[expect(clippy::cast_precision_loss, reason = "at most 2^32")]
fn middle(index: usize) -> f64 {
    let steps = 1_usize << STEPS;
    let power = (index >> STEPS).saturating_sub(1);
    let lowest = (index - power * steps) << power;
    lowest as f64 + ((1_usize << power) - 1) as f64 / 2.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_in_order_and_their_middle_is_near() {
        let mut last = 0;
        for shift in 0..32 {
            for offset in [0_u32, 1, 3] {
                let value = (1_u32 << shift).saturating_add(offset << shift.max(2) >> 2);
                let index = slot(value);
                assert!(index >= last || offset == 0, "{value}");
                last = index;
                let error = (middle(index) - f64::from(value)).abs() / f64::from(value);
                assert!(error <= 1.0 / 128.0, "{value}: {}", middle(index));
            }
        }
        assert_eq!(slot(0), 0);
    }

    #[test]
    fn the_median_and_the_tail_of_a_thousand() {
        let mut histogram = Histogram::new();
        for microseconds in 1..=1000 {
            histogram.add(Duration::from_micros(microseconds));
        }
        assert_eq!(histogram.total(), 1000);
        for (share, expected) in [(0.5, 500.0), (0.99, 990.0), (0.001, 1.0), (1.0, 1000.0)] {
            let found = histogram.quantile(share);
            assert!((found - expected).abs() / expected < 0.01, "{share}: {found}");
        }
        assert!(Histogram::new().quantile(0.5).abs() < 1e-9);
    }

    #[test]
    fn what_takes_too_long_is_counted_as_the_longest() {
        let mut histogram = Histogram::new();
        histogram.add(Duration::from_secs(100));
        assert!(histogram.quantile(0.5) > 4.2e6);
    }
}
