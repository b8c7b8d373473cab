//! Pauses between tries: each about twice as long as the one before, up to a ceiling, and never two hosts' alike, so that
//! those who lost the same thing at the same moment do not all come back for it at the same moment.

use std::time::Duration;

/// The pauses of one who tries again and again.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Backoff {
    first: Duration,
    ceiling: Duration,
    next: Duration,
}

impl Backoff {
    /// Pauses of about `first` to begin with, and of `ceiling` at most.
    pub(crate) const fn new(first: Duration, ceiling: Duration) -> Self {
        Self { first, ceiling, next: first }
    }

    /// How long to pause now: from half of what it has come to up to all of it.
    pub(crate) fn pause(&mut self) -> Duration {
        let pause = self.next;
        self.next = (self.next * 2).min(self.ceiling);
        pause / 2 + spread(pause / 2)
    }

    /// Begins anew, after a success.
    pub(crate) const fn reset(&mut self) {
        self.next = self.first;
    }
}

/// A time by chance, up to `most`.
pub(crate) fn spread(most: Duration) -> Duration {
    let mut byte = [0];
    getrandom::fill(&mut byte).expect("the kernel gives random numbers");
    most * u32::from(byte[0]) / u32::from(u8::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_the_ceiling_and_differ() {
        let (first, ceiling) = (Duration::from_millis(100), Duration::from_millis(350));
        let mut backoff = Backoff::new(first, ceiling);
        for whole in [100, 200, 350, 350].map(Duration::from_millis) {
            let pause = backoff.pause();
            assert!((whole / 2..=whole).contains(&pause), "{pause:?} of {whole:?}");
        }
        backoff.reset();
        let pauses: std::collections::BTreeSet<_> = (0..20)
            .map(|_| {
                backoff.reset();
                backoff.pause()
            })
            .collect();
        assert!(pauses.len() > 1 && pauses.iter().all(|pause| *pause <= first), "{pauses:?}");
    }
}
