//! What the hosts hold, beside what the store says.

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use testbed::{Host, Lab, eventually};

/// How much more memory a daemon may hold in the end, in KiB: what allocators keep, and a longer life.
const MEMORY: u64 = 32 * 1024;
/// How many more descriptors.
const DESCRIPTORS: usize = 16;

/// Waits until each host's forwarding database has the stations of all services that are attached, each where it is.
pub(super) fn converged(lab: &Lab, patience: Duration) -> Result<()> {
    eventually("the hosts hold what the store says", patience, || {
        let services = rows(lab.host(1), &["service", "ls"])?;
        lab.hosts().iter().try_for_each(|host| {
            let expected: BTreeSet<(String, bool)> = services
                .iter()
                .filter_map(|service| {
                    let owner = service.pointer("/owner/host")?.as_str()?;
                    Some((service.get("mac")?.as_str()?.to_owned(), owner == host.name()))
                })
                .collect();
            let held: BTreeSet<(String, bool)> = rows(host, &["fdb"])?
                .iter()
                .filter(|row| row.get("service").and_then(Value::as_str) != Some("gateway"))
                .filter_map(|row| {
                    let here = row.get("vtep").is_none_or(Value::is_null);
                    Some((row.get("mac")?.as_str()?.to_owned(), here))
                })
                .collect();
            ensure!(held == expected, "{} has {held:?}, not {expected:?}", host.name());
            Ok(())
        })
    })
}

fn rows(host: &Host, words: &[&str]) -> Result<Vec<Value>> {
    let text = host.ok(["--format", "json"].iter().chain(words))?;
    serde_json::from_str(&text).with_context(|| text)
}

/// What a daemon takes: memory, in KiB, and descriptors.
pub(super) fn used(lab: &Lab) -> Result<Vec<(u64, usize)>> {
    let of = |host: &Host| {
        let process = format!("/proc/{}", host.daemon_pid().context("the daemon is dead")?);
        let status = fs::read_to_string(format!("{process}/status"))?;
        let memory = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let memory = memory.and_then(|text| text.split_whitespace().next());
        let descriptors = fs::read_dir(format!("{process}/fd"))?.count();
        Ok((memory.context("no VmRSS")?.parse()?, descriptors))
    };
    lab.hosts().iter().map(of).collect()
}

/// Fails where daemons take more than they did.
pub(super) fn compare(before: &[(u64, usize)], after: &[(u64, usize)]) -> Result<()> {
    for (number, (before, after)) in (1..).zip(before.iter().zip(after)) {
        out!(
            "h{number}: {} KiB, {} descriptors; at first {} and {}",
            after.0,
            after.1,
            before.0,
            before.1
        );
        ensure!(after.0 <= before.0 + MEMORY, "the daemon of h{number} holds ever more memory");
        ensure!(
            after.1 <= before.1 + DESCRIPTORS,
            "the daemon of h{number} has ever more descriptors"
        );
    }
    Ok(())
}
