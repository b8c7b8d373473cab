//! Trying a transaction again that lost against another.

use std::{fmt, time::Duration};

use super::{Error, Kind, Result};

/// How often one operation may lose before it gives up; a cluster where it comes to that is overloaded.
const LIMIT: u32 = 200;

/// How one try ended.
pub(super) enum Tried<T> {
    /// It happened.
    Done(T),
    /// Another was faster; what was read is out of date.
    Lost,
}

/// Counts the tries of one operation.
pub(super) struct Attempts {
    what: String,
    lost: u32,
}

impl Attempts {
    pub(super) fn new(verb: &str, object: impl fmt::Display) -> Self {
        Self { what: format!("{verb} {object}"), lost: 0 }
    }

    /// How many tries were lost so far.
    pub(super) const fn lost(&self) -> u32 {
        self.lost
    }

    /// Notes a lost try; waits a little, the longer the more were lost, so that all come through in the end.
    pub(super) async fn again(&mut self) -> Result<()> {
        self.lost += 1;
        if self.lost > LIMIT {
            return Err(Error::new(
                Kind::Unavailable,
                format!(
                    "cannot {}: others change the same objects all the time; try again",
                    self.what
                ),
            ));
        }
        let mut byte = [0];
        getrandom::fill(&mut byte).expect("the kernel gives random numbers");
        let micros = u64::from(byte[0]) * 20 * u64::from(self.lost.min(16));
        tokio::time::sleep(Duration::from_micros(micros)).await;
        Ok(())
    }
}
