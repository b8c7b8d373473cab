//! How often figures are taken, and for how long.

use std::time::Duration;

use anyhow::{Result, ensure};
use clap::Args;

/// What benchmarks of loads are told alike.
#[derive(Clone, Copy, Args)]
pub(super) struct Sampling {
    /// How often every figure is taken
    #[arg(long, default_value_t = 5)]
    pub(super) rounds: usize,
    /// For how many seconds each load runs
    #[arg(long, default_value_t = 1)]
    pub(super) seconds: u64,
}

impl Sampling {
    pub(super) fn check(self) -> Result<()> {
        let Self { rounds, seconds } = self;
        ensure!(rounds > 0, "0 rounds measure nothing: ask for 5 or more");
        ensure!((1..=60).contains(&seconds), "{seconds} s are not from 1 to 60");
        Ok(())
    }

    /// How long each load runs.
    pub(super) fn time(self) -> Duration {
        Duration::from_secs(self.seconds)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use clap::Command;

    use super::*;

    /// What a benchmark is told by these words.
    pub(in crate::bench) fn told<O: Args>(words: &str) -> O {
        let line = O::augment_args(Command::new("bench").no_binary_name(true));
        let matches = line.try_get_matches_from(words.split_whitespace()).expect("its words");
        O::from_arg_matches(&matches).expect("its words")
    }

    #[test]
    fn what_measures_nothing_or_takes_for_ever_is_refused_with_what_to_ask_for() {
        for (words, sentence) in [
            ("--rounds 0", "0 rounds measure nothing: ask for 5 or more"),
            ("--seconds 61", "61 s are not from 1 to 60"),
        ] {
            let error = told::<Sampling>(words).check().expect_err(words);
            assert_eq!(error.to_string(), sentence);
        }
        told::<Sampling>("").check().expect("defaults");
    }
}
