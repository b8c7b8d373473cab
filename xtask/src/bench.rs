//! The overlay beside the kernel's own and beside none: every figure of all paths in one run, the
//! paths in turn, because the machine's mood changes from minute to minute.
//!
//! ```text
//!   overlay   box1 ─ h1 ── eBPF VXLAN ── h2 ─ box2
//!   kernel    c1 ─ br0 ─ vxlan0 ─ k1 ──── k2 ─ vxlan0 ─ br0 ─ c2     as Docker's overlay is laid out
//!   bare      k1 ──────────────────────── k2
//! ```
//!
//! Each pair of hosts has a wire of its own: one veth pair, MTU 1500.

mod kernel;
mod quiet;
mod report;

use anyhow::{Result, ensure};
use clap::Args;
use testbed::{Lab, Options as LabOptions, Process, Wiring, eventually};

use self::report::{Report, Series};
use crate::measure::{Container, Cpus, Path};
use crate::{say, setup, shell};

#[derive(Args)]
pub(crate) struct Options {
    /// How often every figure is taken on every path
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// How long one stream runs
    #[arg(long, default_value_t = 2)]
    seconds: u32,
}

/// One thing that is measured on every path.
struct Figure {
    name: &'static str,
    title: &'static str,
    unit: &'static str,
    measure: fn(&Path<'_>, seconds: u32) -> Result<f64>,
}

/// A new figure is one more line here.
const FIGURES: &[Figure] = &[
    Figure {
        name: "tcp1",
        title: "TCP, 1 stream, a CPU for each end",
        unit: "Gb/s",
        measure: |path, seconds| path.tcp(Cpus::Two, seconds),
    },
    Figure {
        name: "tcp1_same_cpu",
        title: "TCP, 1 stream, both ends on one CPU",
        unit: "Gb/s",
        measure: |path, seconds| path.tcp(Cpus::One, seconds),
    },
];

pub(crate) fn run(options: &Options) -> Result<()> {
    ensure!(testbed::is_root(), "the rig is made of network namespaces and needs root: use sudo");
    ensure!(options.rounds > 0, "0 rounds measure nothing: ask for 5 or more");
    testbed::clean_on_interrupt(|| ())?;
    setup::ensure()?;
    shell::build_netctl()?;
    let wired = LabOptions { wiring: Wiring::Direct, ..LabOptions::default() };
    let lab = Lab::start(wired.clone())?;
    let bare = Lab::start(LabOptions { daemons: false, ..wired })?;
    let report = measure(&lab, &bare, options).map_err(|error| lab.explain(error))?;
    report.show();
    let path = report.write(&shell::target()?.join("bench"))?;
    out!("");
    say::done(&format!("all figures are in {}", path.display()));
    bare.end()?;
    lab.end()
}

fn measure(lab: &Lab, plain: &Lab, options: &Options) -> Result<Report> {
    let (h1, h2) = (lab.host(1), lab.host(2));
    h1.ok(["network", "create", "-d", "overlay", "--subnet", "10.1.0.0/24", "bench"])?;
    let _boxes = [contain(lab, 1)?, contain(lab, 2)?];
    let (box1, box2) = (Container { host: h1, name: "box1" }, Container { host: h2, name: "box2" });
    let [c1, c2] = kernel::overlay(plain)?;
    let (k1, k2) = (plain.host(1), plain.host(2));

    let target = box2.address()?;
    let log = |lab: &Lab, name: &str| lab.dir().join(name);
    let paths = [
        ("overlay", Path::new(&box1, &box2, &target, &log(lab, "overlay"))?),
        ("kernel", Path::new(&c1, &c2, kernel::TARGET, &log(plain, "kernel"))?),
        ("bare", Path::new(k1, k2, &k2.address(), &log(plain, "bare"))?),
    ];
    let mut report = Report::new(options.rounds, options.seconds);
    for figure in FIGURES {
        out!("{} ({} rounds of {} s)", figure.title, options.rounds, options.seconds);
        let mut series: Vec<Series> = paths.iter().map(|(name, _)| Series::new(name)).collect();
        for round in 0..options.rounds {
            if !quiet::wait()? {
                report.disturbed += 1;
            }
            // Every other round backwards: no path always follows the same other.
            let mut order: Vec<usize> = (0..paths.len()).collect();
            if round % 2 == 1 {
                order.reverse();
            }
            for index in order {
                let (Some((_, path)), Some(found)) = (paths.get(index), series.get_mut(index))
                else {
                    continue;
                };
                found.values.push((figure.measure)(path, options.seconds)?);
            }
            say::remark(&format!("round {}: {}", round + 1, Series::latest(&series)));
        }
        report.add(figure.name, figure.title, figure.unit, series);
    }
    Ok(report)
}

/// A container of the overlay on one host.
fn contain(lab: &Lab, number: usize) -> Result<Process> {
    let host = lab.host(number);
    let (name, service) = (format!("box{number}"), format!("svc{number}.bench"));
    let words = [
        "netctl",
        "run",
        "--rm",
        "--name",
        &name,
        "--publish-service",
        &service,
        "--",
        "sleep",
        "1d",
    ];
    let mut process = host.spawn(&name, words)?;
    eventually(&format!("{name} runs"), std::time::Duration::from_secs(20), || {
        ensure!(process.alive(), "it ended: {}", process.log());
        host.ok(["exec", &name, "--", "true"])
    })?;
    Ok(process)
}
