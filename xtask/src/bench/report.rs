//! What was measured: for a person as medians and ratios, for a program as all raw figures.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result};
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::figure::{Better, Figure, Load};
use super::generator::Outcome;
use crate::measure::median;
use crate::say;

/// All that was measured, in the order in which it was.
pub(super) struct Report {
    figures: Vec<&'static Figure>,
    rounds: usize,
    seconds: u64,
    /// Loads before which the machine did not become quiet.
    pub(super) disturbed: usize,
    taken: Vec<Taken>,
    /// Seconds since 1970.
    time: u64,
}

/// One run of one load on one path.
#[derive(Serialize)]
struct Taken {
    #[serde(skip)]
    load: Load,
    path: &'static str,
    #[serde(flatten)]
    outcome: Outcome,
}

impl Report {
    pub(super) fn new(figures: &[&'static Figure], rounds: usize, seconds: u64) -> Self {
        let time = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let figures = figures.to_vec();
        Self { figures, rounds, seconds, disturbed: 0, taken: Vec::new(), time }
    }

    pub(super) fn add(&mut self, load: Load, path: &'static str, outcome: Outcome) {
        self.taken.push(Taken { load, path, outcome });
    }

    /// All values of a figure on a path.
    fn values(&self, figure: &Figure, path: &str) -> Vec<f64> {
        let of = self.taken.iter().filter(|taken| taken.load == figure.load && taken.path == path);
        of.map(|taken| (figure.value)(&taken.outcome)).collect()
    }

    /// The paths, in the order in which they were first measured.
    fn paths(&self) -> Vec<&'static str> {
        let mut paths = Vec::new();
        for taken in &self.taken {
            if !paths.contains(&taken.path) {
                paths.push(taken.path);
            }
        }
        paths
    }

    /// A block for each figure.
    pub(super) fn show(&self) {
        if self.disturbed > 0 {
            out!(
                "\n{} other work kept the machine busy before {} loads: do not trust these",
                say::bad("warning:"),
                self.disturbed
            );
        }
        for figure in &self.figures {
            let better = if figure.better == Better::Less { ", less is better" } else { "" };
            out!("\n{} ({}{better})", say::strong(figure.title), figure.name);
            let own = median(self.values(figure, "netctl"));
            for path in self.paths() {
                let values = self.values(figure, path);
                let middle = median(values.iter().copied());
                let low = values.iter().copied().fold(f64::INFINITY, f64::min);
                let high = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                let ratio = if path == "netctl" {
                    String::new()
                } else {
                    format!("netctl / {path} = {:.2}", own / middle)
                };
                out!(
                    "  {path:<14} {} {}  ({} to {})  {ratio}",
                    number(middle),
                    figure.unit,
                    number(low),
                    number(high)
                );
            }
        }
    }

    /// Medians, as programs read them.
    fn latest(&self) -> Value {
        let mut figures = Map::new();
        for figure in &self.figures {
            let mut columns = Map::new();
            for path in self.paths() {
                columns.insert(path.to_owned(), json!(median(self.values(figure, path))));
            }
            columns.insert("unit".to_owned(), json!(figure.unit));
            figures.insert(figure.name.to_owned(), Value::Object(columns));
        }
        json!({"rounds": self.rounds, "figures": figures})
    }

    /// Writes the medians to `latest.json` below `dir`, and all that was measured beside it under a
    /// name that tells when it was.
    pub(super) fn write(&self, dir: &Path) -> Result<PathBuf> {
        fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))?;
        let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        let raw = json!({
            "time": self.time,
            "kernel": release.trim(),
            "cpus": std::thread::available_parallelism().map_or(1, usize::from),
            "congestion_control": "cubic",
            "rounds": self.rounds,
            "seconds": self.seconds,
            "disturbed": self.disturbed,
            "figures": self.figures.iter().map(|figure| {
                let values = self.paths().into_iter().map(|p| (p.to_owned(), json!(self.values(figure, p))));
                (figure.name.to_owned(), Value::Object(values.collect()))
            }).collect::<Map<_, _>>(),
            "runs": self.taken,
        });
        put(&dir.join(format!("{}.json", self.time)), &raw)?;
        let latest = dir.join("latest.json");
        put(&latest, &self.latest())?;
        Ok(latest)
    }
}

fn put(path: &Path, value: &Value) -> Result<()> {
    fs::write(path, serde_json::to_string_pretty(value)? + "\n")
        .with_context(|| format!("cannot write {}", path.display()))
}

/// With as many digits as matter.
fn number(value: f64) -> String {
    match value.abs() {
        size if size >= 1000.0 => format!("{value:.0}"),
        size if size >= 1.0 => format!("{value:.1}"),
        _ => format!("{value:.4}"),
    }
}
