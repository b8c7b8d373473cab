//! Which CPU a thread runs on, and how busy the CPUs are.

use std::{fs, io, time::Instant};

use nix::{
    sched::{CpuSet, sched_setaffinity},
    unistd::{Pid, SysconfVar, sysconf},
};
use serde::{Deserialize, Serialize};

use super::Error;

/// Binds the calling thread to `cpu`, counted from 0; to none where none is given.
pub(super) fn pin(cpu: Option<usize>) -> Result<(), Error> {
    let Some(cpu) = cpu else { return Ok(()) };
    let failed = |errno: nix::Error| Error::Cpu { cpu, source: errno.into() };
    let mut set = CpuSet::new();
    set.set(cpu).map_err(failed)?;
    sched_setaffinity(Pid::from_raw(0), &set).map_err(failed)
}

/// How busy the machine was over some time.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct Busy {
    /// CPU seconds that were not idle, over all CPUs.
    pub seconds: f64,
    /// Those of them that the kernel's soft interrupts took: where packets are received.
    pub softirq_seconds: f64,
    /// The share of its time that the busiest CPU was not idle, 0 to 1.
    pub busiest: f64,
}

/// The ticks of each CPU at one moment.
#[derive(Debug)]
pub(super) struct Sample {
    cpus: Vec<Ticks>,
    pub(super) taken: Instant,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Ticks {
    idle: u64,
    softirq: u64,
    all: u64,
}

impl Sample {
    /// Reads `/proc/stat`.
    pub(super) fn take() -> Result<Self, Error> {
        let text = fs::read_to_string("/proc/stat").map_err(Error::system("read /proc/stat"))?;
        Ok(Self { cpus: parse(&text), taken: Instant::now() })
    }

    /// The same of one CPU alone.
    pub(super) fn of(mut self, cpu: usize) -> Self {
        self.cpus = self.cpus.into_iter().skip(cpu).take(1).collect();
        self
    }

    /// What there was between `earlier` and this one.
    pub(super) fn since(&self, earlier: &Self) -> Result<Busy, Error> {
        let rate = sysconf(SysconfVar::CLK_TCK).ok().flatten().filter(|rate| *rate > 0);
        let rate = rate
            .ok_or_else(|| io::ErrorKind::Unsupported.into())
            .map_err(Error::system("ask for the length of a clock tick"))?;
        #[expect(clippy::cast_precision_loss, reason = "a few hundred ticks a second")]
        Ok(busy(&earlier.cpus, &self.cpus, rate as f64))
    }
}

/// From `proc_stat(5)`, the lines `cpu0`, `cpu1`, …: user, nice, system, idle, iowait, irq, softirq, steal.
fn parse(text: &str) -> Vec<Ticks> {
    let each = text.lines().filter(|line| {
        line.strip_prefix("cpu").is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
    });
    each.map(|line| {
        let ticks: Vec<u64> =
            line.split_whitespace().skip(1).take(8).map(|t| t.parse().unwrap_or(0)).collect();
        let at = |index: usize| ticks.get(index).copied().unwrap_or(0);
        Ticks { idle: at(3) + at(4), softirq: at(6), all: ticks.iter().sum() }
    })
    .collect()
}

#[expect(clippy::cast_precision_loss, reason = "differences of a few thousand ticks")]
fn busy(before: &[Ticks], after: &[Ticks], ticks_per_second: f64) -> Busy {
    let mut sum = Busy::default();
    for (before, after) in before.iter().zip(after) {
        let all = after.all.saturating_sub(before.all);
        let idle = after.idle.saturating_sub(before.idle).min(all);
        let softirq = after.softirq.saturating_sub(before.softirq);
        sum.seconds += (all - idle) as f64 / ticks_per_second;
        sum.softirq_seconds += softirq as f64 / ticks_per_second;
        sum.busiest = sum.busiest.max((all - idle) as f64 / all.max(1) as f64);
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEFORE: &str = "cpu  10 0 10 100 0 0 4 0 0 0\ncpu0 10 0 10 50 0 0 4 0 0 0\n\
                          cpu1 0 0 0 50 0 0 0 0 0 0\nintr 5 1\n";
    const AFTER: &str = "cpu  60 0 40 220 0 0 24 0 0 0\ncpu0 60 0 40 50 0 0 24 0 0 0\n\
                         cpu1 0 0 0 140 10 0 0 0 0 0\nintr 9 1\n";

    #[test]
    fn the_busy_time_is_what_was_not_idle_nor_waiting() {
        let busy = busy(&parse(BEFORE), &parse(AFTER), 100.0);
        assert_eq!(busy, Busy { seconds: 1.0, softirq_seconds: 0.2, busiest: 1.0 });
    }

    #[test]
    fn a_cpu_that_is_not_there_is_named() {
        let error = std::thread::spawn(|| pin(Some(1023))).join().expect("no panic");
        let error = error.expect_err("no such CPU").to_string();
        assert!(error.starts_with("cannot run on CPU 1023: "), "{error}");
    }

    #[test]
    fn a_thread_runs_where_it_is_bound() {
        let cpu = std::thread::spawn(|| {
            pin(Some(0)).expect("bound");
            nix::sched::sched_getcpu().expect("a CPU")
        });
        assert_eq!(cpu.join().expect("no panic"), 0);
    }
}
