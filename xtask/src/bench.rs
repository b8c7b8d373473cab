//! The overlay beside the kernel's own and beside none: every figure of all paths in one run, the
//! paths in turn, because the machine's mood changes from minute to minute.
//!
//! Each path has hosts and containers of its own, joined by one veth pair of MTU 1500; all are up
//! at once: see [`rig`]. All TCP goes by cubic: bbr, the default of some machines, paces by
//! timers that then decide the figure.

mod figure;
mod generator;
mod quiet;
mod report;
mod rig;

use std::time::Duration;

use anyhow::{Result, ensure};
use clap::Args;
use testbed::Run;

use self::figure::{Figure, Load};
use self::report::Report;
use self::rig::{COLUMNS, Ground, Rig};
use crate::{say, setup, shell};

#[derive(Args)]
pub(crate) struct Options {
    /// How often every figure is taken on every path
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// For how many seconds each load runs
    #[arg(long, default_value_t = 1)]
    seconds: u64,
    /// Only these figures; an unknown one has those there are listed
    #[arg(long, value_name = "FIGURE,…", value_delimiter = ',')]
    only: Vec<String>,
}

pub(crate) fn run(options: &Options) -> Result<()> {
    ensure!(testbed::is_root(), "the rig is made of network namespaces and needs root: use sudo");
    ensure!(options.rounds > 0, "0 rounds measure nothing: ask for 5 or more");
    ensure!((1..=60).contains(&options.seconds), "{} s are not from 1 to 60", options.seconds);
    let figures = figure::chosen(&options.only)?;
    testbed::clean_on_interrupt(|| ())?;
    setup::ensure()?;
    let binary = shell::build_release()?;
    let run = Run::new()?;
    let ground = Ground { dir: run.dir(), binary: &binary };
    let rigs = COLUMNS.iter().map(|column| column.build(&ground)).collect::<Result<Vec<_>>>()?;
    let report = measure(&rigs, &figures, options)?;
    rigs.into_iter().try_for_each(Rig::end)?;
    run.end()?;
    report.show();
    let path = report.write(&shell::target()?.join("bench"))?;
    out!("");
    say::done(&format!("all figures are in {}", path.display()));
    Ok(())
}

/// The loads of the figures, each once.
fn loads(figures: &[&Figure]) -> Vec<Load> {
    let mut loads = Vec::new();
    for figure in figures {
        if !loads.contains(&figure.load) {
            loads.push(figure.load);
        }
    }
    loads
}

fn measure(rigs: &[Rig], figures: &[&'static Figure], options: &Options) -> Result<Report> {
    let time = Duration::from_secs(options.seconds);
    let mut report = Report::new(figures, options.rounds, options.seconds);
    for round in 0..options.rounds {
        say::remark(&format!("round {} of {}", round + 1, options.rounds));
        for load in loads(figures) {
            if !quiet::wait()? {
                report.disturbed += 1;
            }
            // Every other round backwards: no path always follows the same other.
            let mut order: Vec<&Rig> = rigs.iter().collect();
            if round % 2 == 1 {
                order.reverse();
            }
            let Load::Across(traffic) = load;
            for rig in order {
                let outcome = rig.run(traffic, time)?;
                report.add(load, rig.name, outcome);
            }
        }
    }
    Ok(report)
}
