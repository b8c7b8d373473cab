//! How well the reconcile loop keeps up with the store, in numbers.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use tokio::sync::Notify;

use crate::counts::{Counter, Distribution, Histogram};

/// From a wake that finds little to do to a pass that waits for others.
const BOUNDS: &[Duration] = &[
    Duration::from_millis(1),
    Duration::from_micros(2_500),
    Duration::from_millis(5),
    Duration::from_millis(10),
    Duration::from_millis(20),
    Duration::from_millis(50),
    Duration::from_millis(100),
    Duration::from_millis(250),
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_millis(2_500),
    Duration::from_secs(5),
    Duration::from_secs(10),
    Duration::from_secs(30),
];

/// What the loop has done since the start.
#[derive(Debug)]
pub(super) struct Pulse {
    wakes: Histogram,
    full: Histogram,
    failures: Counter,
    /// From a change being heard of to the maps holding what follows from it.
    syncs: Histogram,
    heard: Mutex<Heard>,
    /// What the present pass is at, for people.
    stage: Mutex<&'static str>,
}

/// Since when changes are known that the maps do not hold yet.
#[derive(Clone, Copy, Debug, Default)]
struct Heard {
    /// The oldest that no pass has looked at.
    waiting: Option<Instant>,
    /// The oldest that the present pass looks at, or the last ones that failed.
    looked: Option<Instant>,
}

/// [`Pulse`] at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sync {
    /// How long passes took that looked at what is new.
    pub wakes: Distribution,
    /// How long passes took that looked at all.
    pub full: Distribution,
    /// How many passes could not do all.
    pub failures: u64,
    /// How long changes took from being heard of to the maps.
    pub syncs: Distribution,
    /// How old the oldest change is that was heard of and is not in the maps; zero where there is none.
    pub lag: Duration,
}

impl Default for Pulse {
    fn default() -> Self {
        Self {
            wakes: Histogram::new(BOUNDS),
            full: Histogram::new(BOUNDS),
            failures: Counter::default(),
            syncs: Histogram::new(BOUNDS),
            heard: Mutex::default(),
            stage: Mutex::default(),
        }
    }
}

impl Pulse {
    fn heard(&self) -> MutexGuard<'_, Heard> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A pass is at this from now on.
    pub(super) fn does(&self, stage: &'static str) {
        *self.stage.lock().unwrap_or_else(PoisonError::into_inner) = stage;
    }

    /// What the present pass is at, or the last one was at its end.
    pub(super) fn stage(&self) -> &'static str {
        *self.stage.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A pass looks at all that was heard until now.
    pub(super) fn looks(&self) {
        let mut heard = self.heard();
        // What waits is younger than what was looked at before.
        let waiting = heard.waiting.take();
        heard.looked = heard.looked.or(waiting);
    }

    /// The maps hold what it looked at.
    pub(super) fn applied(&self) {
        let looked = self.heard().looked.take();
        if let Some(looked) = looked {
            self.syncs.add(looked.elapsed());
        }
    }

    /// A pass has ended.
    pub(super) fn passed(&self, full: bool, took: Duration, done: bool) {
        if full { &self.full } else { &self.wakes }.add(took);
        if !done {
            self.failures.add();
        }
    }

    /// What it is now.
    pub(super) fn read(&self) -> Sync {
        let Heard { waiting, looked } = *self.heard();
        Sync {
            wakes: self.wakes.read(),
            full: self.full.read(),
            failures: self.failures.get(),
            syncs: self.syncs.read(),
            lag: looked.or(waiting).map_or(Duration::ZERO, |since| since.elapsed()),
        }
    }
}

/// What those who hear of changes wake the loop by.
#[derive(Clone, Debug, Default)]
pub(super) struct Bell {
    wake: Arc<Notify>,
    pulse: Arc<Pulse>,
}

impl Bell {
    pub(super) fn new(wake: Arc<Notify>, pulse: Arc<Pulse>) -> Self {
        Self { wake, pulse }
    }

    /// There is something new.
    pub(super) fn ring(&self) {
        self.pulse.heard().waiting.get_or_insert_with(Instant::now);
        self.wake.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_late_until_the_maps_hold_it() {
        let pulse = Arc::<Pulse>::default();
        let bell = Bell::new(Arc::default(), Arc::clone(&pulse));
        assert_eq!(pulse.read().lag, Duration::ZERO);
        bell.ring();
        let first = pulse.read().lag;
        assert!(first > Duration::ZERO);
        pulse.looks();
        bell.ring();
        // The pass fails, and the next looks again: the older one counts.
        pulse.looks();
        assert!(pulse.read().lag > first);
        assert_eq!(pulse.read().syncs.count, 0);
        pulse.applied();
        let read = pulse.read();
        assert_eq!((read.lag, read.syncs.count), (Duration::ZERO, 1));
        // What is heard while the maps are written waits for the next pass.
        pulse.looks();
        bell.ring();
        pulse.applied();
        assert!(pulse.read().lag > Duration::ZERO);
    }

    #[test]
    fn passes_are_counted_by_kind_and_end() {
        let pulse = Pulse::default();
        pulse.passed(true, Duration::from_millis(3), true);
        pulse.passed(false, Duration::from_millis(3), false);
        let read = pulse.read();
        assert_eq!((read.full.count, read.wakes.count, read.failures), (1, 1, 1));
    }
}
