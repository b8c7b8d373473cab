//! `netctl bench generate`, the load generator, at both ends of a path.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde::{Deserialize, Serialize};
use testbed::{Netns, Process, eventually, output};

/// The port on which the far end is asked for a load.
const PORT: u16 = 5280;

/// A load as the generator takes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Traffic {
    /// The generator's word for its kind.
    pub(super) kind: &'static str,
    pub(super) streams: u8,
    pub(super) cpus: Cpus,
}

/// Which CPUs the two ends run on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cpus {
    /// One for each end, as on two machines.
    Two,
    /// The same for both: then the figure is the whole cost of the path, and the steadiest.
    One,
    /// The same for both, and another than that.
    Other,
}

impl Cpus {
    /// Those of the client and the server.
    fn both(self) -> [&'static str; 2] {
        if std::thread::available_parallelism().is_ok_and(|count| count.get() == 1) {
            return ["0", "0"];
        }
        match self {
            Self::Two => ["0", "1"],
            Self::One => ["0", "0"],
            Self::Other => ["1", "1"],
        }
    }
}

/// What the generator says came of a load.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct Outcome {
    pub(super) seconds: f64,
    pub(super) count: u64,
    /// Bits, packets or turns a second.
    pub(super) rate: f64,
    pub(super) p50_us: Option<f64>,
    pub(super) p99_us: Option<f64>,
    pub(super) lost: Option<u64>,
    pub(super) sent: Option<u64>,
    pub(super) retransmits: Option<u64>,
    pub(super) congestion: Option<String>,
    /// How busy this machine was while it was counted, as the far end saw it.
    pub(super) server: Busy,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct Busy {
    /// CPU seconds over all CPUs.
    pub(super) seconds: f64,
    pub(super) softirq_seconds: f64,
}

/// The generator's program.
#[derive(Clone, Debug)]
pub(super) struct Generator(PathBuf);

impl Generator {
    pub(super) fn new(binary: &Path) -> Self {
        Self(binary.to_owned())
    }

    /// Its path.
    pub(super) fn program(&self) -> String {
        self.0.display().to_string()
    }

    /// Starts the end that answers, and waits until it listens.
    pub(super) fn serve(&self, at: &Netns, address: &str, log: &str) -> Result<Process> {
        let program = self.0.to_string_lossy();
        let at_port = with_port(address);
        let words = [&*program, "bench", "generate", "serve", &at_port];
        let mut process = at.spawn(log, words)?;
        eventually("the load generator listens", Duration::from_secs(10), || {
            ensure!(process.alive(), "it ended: {}", process.log());
            ensure!(process.log().contains("listening"), "it says: {}", process.log());
            Ok(())
        })?;
        Ok(process)
    }

    /// Has a load from `at` to the server at `address`.
    pub(super) fn run(
        &self,
        at: &Netns,
        address: &str,
        traffic: Traffic,
        time: Duration,
    ) -> Result<Outcome> {
        let program = self.0.to_string_lossy();
        let (milliseconds, streams) = (time.as_millis().to_string(), traffic.streams.to_string());
        let words = [&*program, "bench", "generate", "run", traffic.kind, &with_port(address)];
        let [client, server] = traffic.cpus.both();
        let pinned = ["--cpu", client, "--server-cpu", server];
        let bounds = ["--milliseconds", &milliseconds, "--streams", &streams];
        let words = words.iter().chain(&pinned).chain(&bounds);
        let text = output(at.command(words), time + Duration::from_secs(20))?.ok()?;
        let [outcome]: [Outcome; 1] = serde_json::from_str(&text)
            .with_context(|| format!("the generator says something unexpected: {text}"))?;
        if let Some(congestion) = &outcome.congestion {
            ensure!(congestion == "cubic", "the stream ran under {congestion} and says nothing");
        }
        Ok(outcome)
    }
}

fn with_port(address: &str) -> String {
    if address.contains(':') { format!("[{address}]:{PORT}") } else { format!("{address}:{PORT}") }
}
