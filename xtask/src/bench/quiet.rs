//! Waiting until nothing else keeps the machine busy: figures taken beside other work say nothing.

use std::fs;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

/// Of all CPU time, the share above which the machine counts as busy.
const BUSY: f64 = 0.1;

/// Waits for a quiet half second, at most for 10 s; says whether there was one.
pub(super) fn wait() -> Result<bool> {
    let end = Instant::now() + Duration::from_secs(10);
    loop {
        let before = times()?;
        sleep(Duration::from_millis(500));
        let after = times()?;
        let idle = after.idle.saturating_sub(before.idle);
        let all = after.all.saturating_sub(before.all).max(1);
        #[expect(clippy::cast_precision_loss, reason = "a few hundred clock ticks")]
        let busy = 1.0 - idle as f64 / all as f64;
        if busy < BUSY {
            return Ok(true);
        }
        if Instant::now() > end {
            return Ok(false);
        }
    }
}

/// In clock ticks, over all CPUs.
struct Times {
    idle: u64,
    all: u64,
}

/// From `proc_stat(5)`: user, nice, system, idle, iowait, irq, softirq, steal.
fn times() -> Result<Times> {
    let text = fs::read_to_string("/proc/stat").context("cannot read /proc/stat")?;
    let line = text.lines().next().unwrap_or_default();
    let ticks: Vec<u64> =
        line.split_whitespace().skip(1).take(8).filter_map(|tick| tick.parse().ok()).collect();
    let idle = ticks.iter().skip(3).take(2).sum();
    Ok(Times { idle, all: ticks.iter().sum() })
}
