//! The word that has the programs tell: it is on while somebody listens, whoever dies.

use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};
use aya::maps::{Array, Map, MapData};
use netctl_common::{
    ABI_VERSION,
    event::{EVENTS_UNTIL, EventKind},
};
use testbed::{Host, Signal, eventually};

use crate::stage::{Running, SOON, played, within};

/// Which kinds of events the programs are to tell.
fn wanted(host: &Host) -> Result<[bool; 2]> {
    let pin: PathBuf = host.dir("bpf").join(format!("v{ABI_VERSION}/maps")).join(EVENTS_UNTIL);
    let map = Map::Array(MapData::from_pin(&pin).context("no pin")?);
    let until: Array<_, u64> = map.try_into()?;
    let is_wanted = |kind| anyhow::Ok(until.get(&(kind as u32), 0)? != 0);
    Ok([is_wanted(EventKind::Drop)?, is_wanted(EventKind::Flow)?])
}

fn becomes(host: &Host, drops: bool, flows: bool) -> Result<()> {
    eventually(&format!("drops {drops}, flows {flows}"), SOON, || {
        let wanted = wanted(host)?;
        ensure!(wanted == [drops, flows], "{wanted:?}");
        Ok(())
    })
}

#[test]
fn it_is_on_while_somebody_listens() -> Result<()> {
    played(1, |lab| {
        let host = lab.host(1);
        becomes(host, false, false)?;
        let drops = Running::monitor(host, "drops", "--drops")?;
        ensure!(wanted(host)? == [true, false]);
        let killed = Running::monitor(host, "killed", "--flows")?;
        ensure!(wanted(host)? == [true, true]);
        killed.end(Signal::SIGKILL)?;
        becomes(host, true, false)?;
        drops.end(Signal::SIGINT)?;
        becomes(host, false, false)
    })
}

/// ```text
///   monitor ── h1's daemon ✗ killed ── the next one
/// ```
#[test]
fn a_daemon_that_dies_while_somebody_listens_leaves_nothing_on() -> Result<()> {
    played(1, |lab| {
        let host = lab.host(1);
        let bereft = Running::monitor(host, "bereft", "")?;
        host.stop_daemon(Signal::SIGKILL)?;
        let said = bereft.ends()?;
        ensure!(said.contains("error: netctl daemon cannot be reached at "), "{said}");
        // Nobody has switched it off yet, though what it says is over within seconds.
        ensure!(wanted(host)? == [true, true]);
        lab.start_daemon(host)?;
        ensure!(wanted(host)? == [false, false]);

        // One that ends well ends what it tells, and switches it off itself.
        let told = Running::monitor(host, "told", "")?;
        host.stop_daemon(Signal::SIGTERM)?;
        let said = told.ends()?;
        ensure!(
            said.contains("cannot be reached at ") && said.contains(": it has ended;"),
            "{said}"
        );
        ensure!(wanted(host)? == [false, false]);
        lab.start_daemon(host)?;
        eventually("it knows again who is there", SOON, || {
            let top = host.ok(["top", "--once"])?;
            ensure!(top.lines().any(|line| line.starts_with("a ")), "{top}");
            Ok(())
        })?;
        let again = Running::monitor(host, "again", "--flows")?;
        within(host, "a", "ping -n -c 1 -W 2 10.92.0.1")?;
        again.says(&[" flow ", " a -> gateway icmp echo request"])?;
        again.end(Signal::SIGINT).map(drop)
    })
}

#[test]
fn a_monitor_of_a_dead_daemon_ends_with_three() -> Result<()> {
    played(1, |lab| {
        let host = lab.host(1);
        let code = std::thread::scope(|scope| {
            let ended = scope.spawn(|| host.netctl(["monitor"]));
            eventually("it listens", SOON, || {
                ensure!(wanted(host)? == [true, true]);
                Ok(())
            })?;
            host.stop_daemon(Signal::SIGKILL)?;
            anyhow::Ok(ended.join().expect("no panic")?.code())
        })?;
        ensure!(code == 3, "{code}");
        lab.start_daemon(host)
    })
}
