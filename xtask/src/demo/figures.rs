//! Container to container beside the bare underlay.

use anyhow::Result;
use testbed::Lab;

use crate::measure::{Container, Cpus, Path, median};
use crate::say;

/// Each path in turn, this often: what disturbs one round disturbs both.
const ROUNDS: usize = 3;

pub(super) fn show(lab: &Lab, box1: &Container<'_>, box2: &Container<'_>) -> Result<()> {
    let (h1, h2) = (lab.host(1), lab.host(2));
    say::remark("TCP: one stream of iperf3 for 1 s, both ends on one CPU, cubic on both paths;");
    say::remark(&format!("ping: 100, 5 ms apart; medians of {ROUNDS} rounds, the paths in turn"));
    let log = |name: &str| lab.dir().join(format!("iperf3-{name}.log"));
    let overlay = Path::new(box1, box2, &box2.address()?, &log("overlay"))?;
    let bare = Path::new(h1, h2, &h2.address(), &log("bare"))?;

    let (mut over, mut under) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        for (path, found) in [(&overlay, &mut over), (&bare, &mut under)] {
            found.push((path.tcp(Cpus::One, 1)?, path.ping(100)?));
        }
    }
    let middle = |found: &[(f64, f64)]| {
        (median(found.iter().map(|round| round.0)), median(found.iter().map(|round| round.1)))
    };
    let ((rate, time), (bare_rate, bare_time)) = (middle(&over), middle(&under));
    out!("");
    out!("   {:<24}{:>14}{:>14}", "", "TCP", "ping");
    out!("   {:<24}{rate:>9.1} Gb/s{time:>11.3} ms", "container to container");
    out!("   {:<24}{bare_rate:>9.1} Gb/s{bare_time:>11.3} ms", "bare underlay");
    out!("   {:<24}{:>9.2} x   {:>11.2} x", "ratio", rate / bare_rate, time / bare_time);
    Ok(())
}
