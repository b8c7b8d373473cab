//! How long things took: all of it to a file, and its spread for people.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result};
use serde_json::Value;

use crate::{say, shell};

/// Times of one kind.
pub(super) struct Times {
    title: &'static str,
    all: Vec<Duration>,
}

impl Times {
    pub(super) fn new(title: &'static str) -> Self {
        Self { title, all: Vec::new() }
    }

    pub(super) fn title(&self) -> &'static str {
        self.title
    }

    pub(super) fn add(&mut self, time: Duration) {
        self.all.push(time);
    }

    /// Within which `share` (0 to 1) of all were done; nothing where there is none.
    pub(super) fn quantile(&self, share: f64) -> Option<Duration> {
        let mut sorted = self.all.clone();
        sorted.sort_unstable();
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a count of things far below 2^52, and a share of it"
        )]
        let rank = (sorted.len() as f64 * share).ceil() as usize;
        sorted.get(rank.max(1) - 1).copied()
    }

    /// In the order in which they were taken, in microseconds.
    pub(super) fn raw(&self) -> Value {
        self.all.iter().map(|time| time.as_secs_f64() * 1e6).collect()
    }
}

/// Shows the spread of each, in milliseconds.
pub(super) fn show(all: &[&Times]) {
    out!("");
    let heads = ["least", "median", "p90", "p99", "most"];
    let line = |title: &str, cells: [String; 5]| {
        let [least, median, p90, p99, most] = cells;
        out!("{title:<46}{least:>10}{median:>10}{p90:>10}{p99:>10}{most:>10}");
    };
    line("milliseconds", heads.map(str::to_owned));
    for times in all {
        let cells = [0.0, 0.5, 0.9, 0.99, 1.0].map(|share| {
            times
                .quantile(share)
                .map_or_else(|| "-".to_owned(), |time| format!("{:.3}", time.as_secs_f64() * 1e3))
        });
        line(times.title, cells);
    }
    out!("");
}

/// Keeps all values below `target/bench`, in a file of that name that tells when they were taken.
pub(super) fn keep(name: &str, values: &Value) -> Result<()> {
    let dir = shell::target()?.join("bench");
    fs::create_dir_all(&dir).with_context(|| format!("cannot make {}", dir.display()))?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let path: PathBuf = dir.join(format!("{name}-{now}.json"));
    let text = serde_json::to_string_pretty(values)? + "\n";
    fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    say::done(&format!("all values are in {}", path.display()));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_is_one_of_the_values() {
        let mut times = Times::new("any");
        assert_eq!(times.quantile(0.5), None);
        for millis in (1..=100).rev() {
            times.add(Duration::from_millis(millis));
        }
        for (share, millis) in [(0.0, 1), (0.5, 50), (0.99, 99), (1.0, 100)] {
            assert_eq!(times.quantile(share), Some(Duration::from_millis(millis)));
        }
    }
}
