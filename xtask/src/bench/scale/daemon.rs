//! What the daemon takes of the machine.

use std::fs;

use anyhow::{Context as _, Result};
use testbed::Host;

use super::Memory;

/// Clock ticks in a second, as `/proc` counts them (`USER_HZ`).
const TICKS: f64 = 100.0;

/// The daemon's process.
pub(super) struct Process(String);

impl Process {
    pub(super) fn of(host: &Host) -> Result<Self> {
        Ok(Self(format!("/proc/{}", host.daemon_pid().context("the daemon is gone")?)))
    }

    pub(super) fn memory(&self) -> Result<Memory> {
        let status = fs::read_to_string(format!("{}/status", self.0))?;
        let field = |name: &str| {
            let line =
                status.lines().find_map(|line| line.strip_prefix(name)?.split_whitespace().next());
            line.and_then(|text| text.parse().ok()).with_context(|| format!("no {name}"))
        };
        Ok(Memory { resident: field("VmRSS:")?, most: field("VmHWM:")? })
    }

    /// How much processor time it has had, in seconds.
    pub(super) fn busy(&self) -> Result<f64> {
        let stat = fs::read_to_string(format!("{}/stat", self.0))?;
        // proc_pid_stat(5): the name is in brackets; fields 14 and 15 are user and system time.
        let rest = stat.rsplit_once(") ").context("no stat")?.1;
        let ticks = rest.split(' ').skip(11).take(2).map(str::parse::<f64>);
        Ok(ticks.sum::<Result<f64, _>>()? / TICKS)
    }
}

/// Passes of the reconcile loop that looked at what is new.
#[derive(Clone, Copy, Default)]
pub(super) struct Passes {
    pub(super) count: f64,
    pub(super) seconds: f64,
}

impl Passes {
    pub(super) fn read(host: &Host) -> Result<Self> {
        let socket = host.socket().display().to_string();
        let text =
            host.run(["curl", "-sS", "--unix-socket", &socket, "http://netctl/metrics"])?.ok()?;
        let value = |kind: &str| {
            let name = format!("netctl_reconcile_duration_seconds_{kind}{{scope=\"new\"}} ");
            let line = text.lines().find_map(|line| line.strip_prefix(&name));
            line.and_then(|text| text.parse().ok()).with_context(|| format!("no {name}"))
        };
        Ok(Self { count: value("count")?, seconds: value("sum")? })
    }

    pub(super) fn since(self, before: Self) -> Self {
        Self { count: self.count - before.count, seconds: self.seconds - before.seconds }
    }

    pub(super) fn mean_ms(self) -> f64 {
        self.seconds / self.count * 1e3
    }
}
