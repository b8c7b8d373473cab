//! A flood of drops while somebody listens.

use std::fs;

use anyhow::{Context as _, Result, ensure};
use testbed::{Host, Signal, frames::ethernet};

use crate::stage::{Running, played, wire};

const FLOOD: usize = 200_000;

/// What the daemon has in memory, in KiB.
fn resident(host: &Host) -> Result<u64> {
    let pid = host.daemon_pid().context("no daemon")?;
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).context("no memory")?;
    Ok(line.split_whitespace().nth(1).context("no number")?.parse()?)
}

#[test]
fn a_flood_of_drops_takes_no_memory_and_what_is_not_told_is_counted() -> Result<()> {
    played(1, |lab| {
        let host = lab.host(1);
        let wire = wire(lab, host, "a")?;
        let forged = ethernet([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 9], 0x0800, &[0; 50]);
        let monitor = Running::monitor(host, "monitor", "--drops --format table")?;
        let flood = |count| (0..count).try_for_each(|_| wire.send(&forged));
        flood(FLOOD / 10)?;
        let before = resident(host)?;
        flood(FLOOD)?;
        monitor.says(&[" lost: there were more than the programs may tell"])?;
        let after = resident(host)?;
        // The queue, and no more.
        ensure!(after < before + 4096, "{before} KiB before, {after} KiB after");
        let counters: serde_json::Value =
            serde_json::from_str(&host.ok(["counters", "--format", "json"])?)?;
        let counted = counters
            .as_array()
            .into_iter()
            .flatten()
            .find(|counter| counter["counter"] == "source-mac")
            .and_then(|counter| counter["packets"].as_u64());
        let dropped = counted.context("none")?;
        ensure!(dropped >= (FLOOD + FLOOD / 10) as u64, "{dropped}");
        // All that was dropped was told or is said to be lost.
        let told = testbed::eventually("all is told or lost", crate::stage::SOON, || {
            let said = monitor.said();
            let lost: u64 = said
                .lines()
                .filter(|line| line.contains(" lost: "))
                .filter_map(|line| line.split(' ').next()?.parse::<u64>().ok())
                .sum();
            let told = said.lines().filter(|line| line.contains(" source-mac ")).count() as u64;
            ensure!(told + lost == dropped, "{told} told, {lost} lost, {dropped} dropped");
            Ok(told)
        })?;
        ensure!(told < dropped / 2, "{told} of {dropped} were told");
        monitor.end(Signal::SIGINT).map(drop)
    })
}
