//! What was measured: for a person as medians and ratios, for a program as all raw figures.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result};
use serde::Serialize;

use crate::measure::median;
use crate::say;

/// The figures of one path, in the order in which they were taken.
#[derive(Serialize)]
pub(super) struct Series {
    path: String,
    pub(super) values: Vec<f64>,
}

#[derive(Serialize)]
struct Figure {
    name: String,
    title: String,
    unit: String,
    series: Vec<Series>,
}

#[derive(Serialize)]
pub(super) struct Report {
    /// Seconds since 1970.
    time: u64,
    kernel: String,
    cpus: usize,
    congestion_control: &'static str,
    rounds: usize,
    seconds: u32,
    /// Rounds before which the machine did not become quiet.
    pub(super) disturbed: usize,
    figures: Vec<Figure>,
}

impl Series {
    pub(super) fn new(path: &str) -> Self {
        Self { path: path.to_owned(), values: Vec::new() }
    }

    fn median(&self) -> f64 {
        median(self.values.iter().copied())
    }

    /// The last value of each.
    pub(super) fn latest(all: &[Self]) -> String {
        let one = |series: &Self| {
            let value = series.values.last().copied().unwrap_or(f64::NAN);
            format!("{} {value:.1}", series.path)
        };
        all.iter().map(one).collect::<Vec<_>>().join(", ")
    }
}

impl Report {
    pub(super) fn new(rounds: usize, seconds: u32) -> Self {
        let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        Self {
            time: SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()),
            kernel: release.trim().to_owned(),
            cpus: std::thread::available_parallelism().map_or(1, usize::from),
            congestion_control: "cubic",
            rounds,
            seconds,
            disturbed: 0,
            figures: Vec::new(),
        }
    }

    pub(super) fn add(&mut self, name: &str, title: &str, unit: &str, series: Vec<Series>) {
        let [name, title, unit] = [name, title, unit].map(str::to_owned);
        self.figures.push(Figure { name, title, unit, series });
    }

    /// A table for each figure; the first path is the one that the others are compared with.
    pub(super) fn show(&self) {
        if self.disturbed > 0 {
            let rounds = self.rounds * self.figures.len();
            out!(
                "\n{} other work kept the machine busy in {} of {rounds} rounds: do not trust these",
                say::bad("warning:"),
                self.disturbed
            );
        }
        for figure in &self.figures {
            out!("\n{}", say::strong(&figure.title));
            let own = figure.series.first().map_or(f64::NAN, Series::median);
            for (index, series) in figure.series.iter().enumerate() {
                let middle = series.median();
                let low = series.values.iter().copied().fold(f64::INFINITY, f64::min);
                let high = series.values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                let ratio = if index == 0 {
                    String::new()
                } else {
                    format!("overlay / {} = {:.2}", series.path, own / middle)
                };
                out!(
                    "  {:<8} median {middle:>6.1} {}  ({low:.1} to {high:.1})  {ratio}",
                    series.path,
                    figure.unit
                );
            }
        }
    }

    /// Writes it below `dir`, under a name that tells when it was.
    pub(super) fn write(&self, dir: &Path) -> Result<PathBuf> {
        fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))?;
        let path = dir.join(format!("{}.json", self.time));
        fs::write(&path, serde_json::to_string_pretty(self)? + "\n")
            .with_context(|| format!("cannot write {}", path.display()))?;
        Ok(path)
    }
}
