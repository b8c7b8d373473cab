//! Those who look, and whether the programs know of it.

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use aya::maps::{Array, MapData};
use nix::time::{ClockId, clock_gettime};
use testbed::{Host, Lab, Process, Signal, eventually};

use super::programs::Programs;
use super::{METRICS, PAGE};

/// How long one may take to begin, or to end.
const SOON: Duration = Duration::from_secs(20);

/// Who looks while a load runs: on both hosts, but for captures, which are of one endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Look {
    Nobody,
    /// Nobody once more.
    Again,
    /// Metrics are scraped once a second.
    Metrics,
    /// The page is open: it asks every two seconds.
    Page,
    /// A monitor whose filter lets nothing through.
    MonitorNothing,
    Monitor,
    /// Another endpoint of the host is captured.
    CaptureOther,
    /// The very endpoint that the load comes from is.
    Capture,
}

impl Look {
    pub(super) const ALL: [Self; 8] = [
        Self::Nobody,
        Self::Again,
        Self::Metrics,
        Self::Page,
        Self::MonitorNothing,
        Self::Monitor,
        Self::CaptureOther,
        Self::Capture,
    ];

    pub(super) fn title(self) -> &'static str {
        match self {
            Self::Nobody => "nobody",
            Self::Again => "again",
            Self::Metrics => "metrics",
            Self::Page => "page",
            Self::MonitorNothing => "monitor_nothing",
            Self::Monitor => "monitor",
            Self::CaptureOther => "capture_other",
            Self::Capture => "capture",
        }
    }

    /// Has it look; returns once it does.
    pub(super) fn begin(self, lab: &Lab, switches: &Switches) -> Result<Looking> {
        let mut all = Vec::new();
        match self {
            Self::Nobody | Self::Again => {}
            Self::Metrics => {
                for host in lab.hosts() {
                    // What stands behind # is not sent: it asks again and again.
                    let url = format!("http://{METRICS}/metrics#[1-100000]");
                    all.push(looker(host, self, &asking("1/s", &url), "200")?);
                }
            }
            Self::Page => {
                for host in lab.hosts() {
                    let url = format!("http://{PAGE}/scene.json#[1-100000]");
                    all.push(looker(host, self, &asking("30/m", &url), "200")?);
                }
            }
            Self::MonitorNothing | Self::Monitor => {
                let filter: &[&str] =
                    if self == Self::Monitor { &[] } else { &["--protocol", "ip-253"] };
                let words = [&["netctl", "monitor"], filter].concat();
                for host in lab.hosts() {
                    all.push(looker(host, self, &words, "REASON OR WAY")?);
                }
                switches.on()?;
            }
            Self::CaptureOther | Self::Capture => {
                let service = if self == Self::Capture { "near.bench" } else { "aside.bench" };
                let words = ["netctl", "capture", "--service", service, "-w", "/dev/null"];
                all.push(looker(lab.host(1), self, &words, "capturing at ")?);
            }
        }
        Ok(Looking(all))
    }
}

/// `curl`, so often.
fn asking<'a>(rate: &'a str, url: &'a str) -> [&'a str; 9] {
    let how = "%{stderr}%{http_code}\n";
    ["curl", "-s", "-o", "/dev/null", "-w", how, "--rate", rate, url]
}

/// Starts it on the last CPU; `said` is what it says once it looks.
fn looker(host: &Host, look: Look, words: &[&str], said: &str) -> Result<Process> {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let log = format!("{}-{}-{}", host.name(), look.title(), COUNT.fetch_add(1, Relaxed));
    let words = [&["taskset", "-c", last_cpu()], words].concat();
    let mut process = host.spawn(&log, words)?;
    eventually("it looks", SOON, || {
        ensure!(process.alive(), "it ended: {}", process.log());
        ensure!(process.log().contains(said), "it says: {}", process.log());
        Ok(())
    })?;
    Ok(process)
}

/// The CPU of those who look.
pub(super) fn last_cpu() -> &'static str {
    if std::thread::available_parallelism().is_ok_and(|count| count.get() == 1) { "0" } else { "1" }
}

/// Who looks now.
pub(super) struct Looking(Vec<Process>);

impl Looking {
    /// Ends it; fails where it has ended before.
    pub(super) fn end(self) -> Result<()> {
        self.0.into_iter().try_for_each(|mut each| each.stop(Signal::SIGINT, SOON))
    }
}

/// The words that have the programs of both hosts tell.
pub(super) struct Switches(Vec<Array<MapData, u64>>);

impl Switches {
    pub(super) fn of(programs: &Programs) -> Result<Self> {
        let maps = programs.maps("EVENTS_UNTIL")?.into_iter();
        Ok(Self(maps.map(Array::try_from).collect::<Result<_, _>>()?))
    }

    /// Waits until nothing is told.
    pub(super) fn rest(&self) -> Result<()> {
        eventually("the programs tell nothing", SOON, || {
            ensure!(self.count()? == 0, "they still do");
            Ok(())
        })
    }

    /// Waits until both hosts' tell all.
    fn on(&self) -> Result<()> {
        eventually("the programs tell", SOON, || {
            let count = self.count()?;
            ensure!(count == 4, "{count} of 4 words say so");
            Ok(())
        })
    }

    /// How many words say that something is told.
    fn count(&self) -> Result<usize> {
        let now = Duration::from(clock_gettime(ClockId::CLOCK_MONOTONIC)?);
        let mut count = 0;
        for words in &self.0 {
            for place in 0..words.len() {
                let until = words.get(&place, 0).context("cannot read a switch")?;
                count += usize::from(Duration::from_nanos(until) > now);
            }
        }
        Ok(count)
    }
}
