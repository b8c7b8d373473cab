//! When something was, by a clock that nobody sets.
//!
//! The machine's wall clock may be wrong by years when a daemon starts, as on a board without a battery, and is put right
//! under it. What was noted by it is told in ages that never were. A [`Moment`] is kept by the monotonic clock, and told
//! in the words of the wall clock only when somebody asks.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A moment of this process' life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment(Instant);

impl Moment {
    /// Now.
    pub(crate) fn now() -> Self {
        Self(Instant::now())
    }

    /// How long ago it was.
    pub(crate) fn elapsed(self) -> Duration {
        self.0.elapsed()
    }

    /// When it was, by what the wall clock says now; the epoch where that clock says that it was before.
    pub fn by_wall(self) -> SystemTime {
        SystemTime::now().checked_sub(self.elapsed()).map_or(UNIX_EPOCH, |was| was.max(UNIX_EPOCH))
    }

    /// The same in seconds since the epoch, to the nearest.
    pub(crate) fn unix(self) -> u64 {
        let half = Duration::from_millis(500);
        self.by_wall().duration_since(UNIX_EPOCH).map_or(0, |since| (since + half).as_secs())
    }
}

/// Now, by the wall clock, in seconds since the epoch; 0 where that clock says that it is before.
pub(crate) fn unix_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_told_by_the_wall_clock_of_now() {
        let before = SystemTime::now();
        let moment = Moment::now();
        let told = moment.by_wall();
        let apart = told.duration_since(before).unwrap_or_else(|early| early.duration());
        assert!(apart < Duration::from_secs(10), "{apart:?}");
        assert!(
            moment.unix().abs_diff(before.duration_since(UNIX_EPOCH).expect("after").as_secs())
                < 10
        );
    }
}
