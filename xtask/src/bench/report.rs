//! What was measured: medians for whoever compares, and all raw values in a file.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result};
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::figure::{Figure, Load, Measured};
use super::sampling::Sampling;
use crate::measure::median;

/// All that was measured, in the order in which it was.
pub(super) struct Report {
    pub(super) figures: Vec<&'static Figure>,
    pub(super) sampling: Sampling,
    /// Loads before which the machine did not become quiet.
    pub(super) disturbed: usize,
    /// What a reader has to know of paths that are missing.
    pub(super) notes: Vec<String>,
    taken: Vec<Taken>,
    /// Seconds since 1970.
    time: u64,
}

/// One run of one load on one path.
#[derive(Serialize)]
struct Taken {
    #[serde(skip)]
    load: Load,
    #[serde(rename = "load")]
    name: String,
    path: &'static str,
    #[serde(flatten)]
    measured: Measured,
}

/// The values of one figure on one path.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Spread {
    pub(super) median: f64,
    pub(super) low: f64,
    pub(super) high: f64,
}

impl Spread {
    /// Of some values; none where there are none.
    pub(super) fn of(values: &[f64]) -> Option<Self> {
        let low = values.iter().copied().reduce(f64::min)?;
        let high = values.iter().copied().reduce(f64::max)?;
        Some(Self { median: median(values.iter().copied()), low, high })
    }

    /// Half of what lies between the lowest and the highest, as a share of the median.
    pub(super) fn relative(self) -> f64 {
        (self.high - self.low) / 2.0 / self.median
    }
}

impl Report {
    pub(super) fn new(figures: &[&'static Figure], sampling: Sampling) -> Self {
        let time = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let (figures, taken, notes) = (figures.to_vec(), Vec::new(), Vec::new());
        Self { figures, sampling, disturbed: 0, notes, taken, time }
    }

    pub(super) fn add(&mut self, load: Load, path: &'static str, measured: Measured) {
        self.taken.push(Taken { load, name: format!("{load:?}"), path, measured });
    }

    pub(super) fn note(&mut self, note: String) {
        self.notes.push(note);
    }

    /// The loads of the figures, each once.
    pub(super) fn loads(&self) -> Vec<Load> {
        let mut loads = Vec::new();
        for figure in &self.figures {
            if !loads.contains(&figure.load) {
                loads.push(figure.load);
            }
        }
        loads
    }

    /// All values of a figure on a path, in the order in which they were taken.
    fn values(&self, figure: &Figure, path: &str) -> Vec<f64> {
        let of = self.taken.iter().filter(|taken| taken.load == figure.load && taken.path == path);
        of.filter_map(|taken| (figure.value)(&taken.measured)).collect()
    }

    /// A figure on a path; none where that was not measured.
    pub(super) fn spread(&self, figure: &Figure, path: &str) -> Option<Spread> {
        Spread::of(&self.values(figure, path))
    }

    /// A figure on netctl's path as a share of that on another.
    pub(super) fn ratio(&self, figure: &Figure, path: &str) -> Option<f64> {
        let (own, other) = (self.spread(figure, "netctl")?, self.spread(figure, path)?);
        Some(own.median / other.median)
    }

    /// The medians, as programs read them.
    pub(super) fn json(&self) -> Result<String> {
        Ok(serde_json::to_string_pretty(&self.medians())? + "\n")
    }

    fn medians(&self) -> Value {
        let figure = |figure: &&'static Figure| {
            let mut columns: Map<String, Value> = columns(figure.load)
                .map(|path| (path.to_owned(), json!(self.spread(figure, path).map(|s| s.median))))
                .collect();
            columns.insert("unit".to_owned(), json!(figure.unit));
            (figure.name.to_owned(), Value::Object(columns))
        };
        let figures: Map<String, Value> = self.figures.iter().map(figure).collect();
        json!({"rounds": self.sampling.rounds, "figures": figures})
    }

    /// Every value of every round.
    pub(super) fn raw(&self) -> Value {
        let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        let figure = |figure: &&'static Figure| {
            let values = columns(figure.load)
                .map(|path| (path.to_owned(), json!(self.values(figure, path))))
                .collect();
            (figure.name.to_owned(), Value::Object(values))
        };
        json!({
            "time": self.time,
            "kernel": release.trim(),
            "cpus": std::thread::available_parallelism().map_or(1, usize::from),
            "congestion_control": "cubic",
            "rounds": self.sampling.rounds,
            "seconds": self.sampling.seconds,
            "disturbed": self.disturbed,
            "notes": self.notes,
            "figures": self.figures.iter().map(figure).collect::<Map<_, _>>(),
            "runs": self.taken,
        })
    }

    /// Writes the medians to `latest.json` below `dir`, whose path it gives, and all values beside
    /// it under a name that tells when they were taken.
    pub(super) fn write(&self, dir: &Path) -> Result<PathBuf> {
        fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))?;
        let raw = serde_json::to_string_pretty(&self.raw())? + "\n";
        put(&dir.join(format!("{}.json", self.time)), &raw)?;
        let latest = dir.join("latest.json");
        put(&latest, &self.json()?)?;
        Ok(latest)
    }
}

/// The paths on which a load is measured.
pub(super) fn columns(load: Load) -> impl Iterator<Item = &'static str> {
    load.scene().columns().iter().map(|column| column.name)
}

fn put(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::figure::chosen;
    use super::super::generator::{Busy, Outcome};
    use super::*;

    /// Two rounds of request/response and of a stream; no engine was there.
    pub(in crate::bench) fn sample() -> Report {
        let names = ["tcp_stream_1", "cpu_s_per_gbit", "tcp_rr", "local_tcp_rr"].map(str::to_owned);
        let figures = chosen(&names).expect("known");
        let mut report = Report::new(&figures, Sampling { rounds: 2, seconds: 1 });
        report.note("docker_overlay: no engine is installed".to_owned());
        let loads = report.loads();
        let rounds = (0..2_u8).flat_map(|round| loads.iter().map(move |load| (round, *load)));
        for (round, load) in rounds {
            for path in columns(load).filter(|path| *path != "docker_overlay") {
                let factor = if path == "netctl" { 1.5 } else { 1.0 } + f64::from(round) * 0.1;
                let outcome = Outcome {
                    seconds: 1.0,
                    count: 1,
                    rate: 1e10 * factor,
                    p50_us: None,
                    p99_us: None,
                    lost: None,
                    sent: None,
                    retransmits: None,
                    congestion: None,
                    server: Busy { seconds: 2.0, softirq_seconds: 1.0 },
                };
                report.add(load, path, Measured::Traffic(outcome));
            }
        }
        report
    }

    #[test]
    fn medians_are_in_the_form_that_programs_read() {
        let value = sample().medians();
        assert_eq!(value["rounds"], 2);
        let figure = &value["figures"]["tcp_stream_1"];
        assert_eq!(figure["unit"], "Gb/s");
        assert_eq!(figure["docker_overlay"], Value::Null);
        assert!((figure["kernel_vxlan"].as_f64().expect("a number") - 10.5).abs() < 1e-9);
        assert!((figure["netctl"].as_f64().expect("a number") - 15.5).abs() < 1e-9);
        let names: Vec<_> = value["figures"].as_object().expect("figures").keys().collect();
        assert_eq!(names.len(), 4);
        let local = value["figures"]["local_tcp_rr"].as_object().expect("a figure");
        assert_eq!(local.keys().collect::<Vec<_>>(), ["linux_bridge", "netctl", "unit"]);
    }

    #[test]
    fn one_run_gives_the_figures_of_its_load() {
        let report = sample();
        assert_eq!(report.loads().len(), 3);
        let cpu = report.figures.iter().find(|figure| figure.name == "cpu_s_per_gbit");
        let spread = report.spread(cpu.expect("chosen"), "routed").expect("measured");
        assert!((spread.high - 0.2).abs() < 1e-9, "{spread:?}");
    }

    #[test]
    fn the_spread_is_half_the_range() {
        let spread = Spread::of(&[9.0, 10.0, 12.0]).expect("values");
        assert_eq!(spread, Spread { median: 10.0, low: 9.0, high: 12.0 });
        assert!((spread.relative() - 0.15).abs() < 1e-9);
        assert_eq!(Spread::of(&[]), None);
    }
}
