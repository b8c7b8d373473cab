//! The overlay beside the kernel's own and beside none: every figure of all paths in one run, the
//! paths in turn, because the machine's mood changes from minute to minute.
//!
//! Each path has hosts and containers of its own, joined by one veth pair of MTU 1500; all are up
//! at once: see [`rig`]. All TCP goes by cubic: bbr, the default of some machines, paces by
//! timers that then decide the figure.

mod asker;
mod endpoints;
mod figure;
mod generator;
mod names;
mod picture;
mod program;
mod quiet;
mod report;
mod rig;
mod sync;
mod table;
mod times;

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use clap::{Args, Subcommand, ValueEnum};
use testbed::Run;

use self::figure::{Figure, Load, Measured};
use self::report::Report;
use self::rig::{ACROSS, Column, Ground, LOCAL, Rig};
use crate::{say, setup, shell};

#[derive(Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Options {
    #[command(subcommand)]
    other: Option<Other>,
    /// How often every figure is taken on every path
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// For how many seconds each load runs
    #[arg(long, default_value_t = 1)]
    seconds: u64,
    /// Only these figures; an unknown one has those there are listed
    #[arg(long, value_name = "FIGURE,…", value_delimiter = ',')]
    only: Vec<String>,
    /// How to print the results
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
    /// Also draw them, to this file
    #[arg(long, value_name = "PATH")]
    svg: Option<PathBuf>,
}

/// What is measured by itself, on hosts of its own.
#[derive(Subcommand)]
enum Other {
    /// How soon a service is known on another host, by etcd
    Sync(sync::Options),
    /// How fast names are answered
    Names(names::Options),
    /// What it takes to make and to remove an endpoint, beside what the kernel alone takes
    Endpoints(endpoints::Options),
}

/// How results are printed.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people
    Table,
    /// For programs: the medians, and nothing else on standard output
    Json,
}

pub(crate) fn run(options: &Options) -> Result<()> {
    match &options.other {
        Some(Other::Sync(options)) => return sync::run(options),
        Some(Other::Names(options)) => return names::run(options),
        Some(Other::Endpoints(options)) => return endpoints::run(options),
        None => {}
    }
    if options.format == Format::Json {
        say::aside();
    }
    ensure!(testbed::is_root(), "the rig is made of network namespaces and needs root: use sudo");
    ensure!(options.rounds > 0, "0 rounds measure nothing: ask for 5 or more");
    ensure!((1..=60).contains(&options.seconds), "{} s are not from 1 to 60", options.seconds);
    let figures = figure::chosen(&options.only)?;
    testbed::clean_on_interrupt(|| ())?;
    setup::ensure()?;
    let binary = shell::build_release()?;
    let run = Run::new()?;
    let ground = Ground { dir: run.dir(), binary: &binary };
    let mut report = Report::new(&figures, options.rounds, options.seconds);
    let rigs = Rigs::build(&ground, &figures, &mut report)?;
    measure(&rigs, &mut report, options)?;
    rigs.end()?;
    run.end()?;
    let path = report.write(&shell::target()?.join("bench"))?;
    if let Some(path) = &options.svg {
        fs::write(path, picture::draw(&report))
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    match options.format {
        Format::Json => say::result(&report.json()?),
        Format::Table => {
            table::show(&report);
            out!("");
            say::done(&format!("all figures are in {}", path.display()));
        }
    }
    Ok(())
}

/// The paths that are up.
struct Rigs {
    across: Vec<Rig>,
    local: Vec<Rig>,
}

impl Rigs {
    /// Builds those that the figures need.
    fn build(ground: &Ground<'_>, figures: &[&Figure], report: &mut Report) -> Result<Self> {
        let needed = |local: bool, column: &Column| {
            let mut loads = figures.iter().map(|figure| figure.load);
            loads.any(|load| load.is_local() == local && load.runs_on(column.name))
        };
        let mut build = |local: bool, columns: &[Column]| -> Result<Vec<Rig>> {
            let mut rigs = Vec::new();
            for column in columns.iter().filter(|column| needed(local, column)) {
                match column.build(ground) {
                    Ok(rig) => rigs.push(rig),
                    Err(error) if column.optional => {
                        report.note(format!("{}: {error:#}", column.name));
                    }
                    Err(error) => return Err(error),
                }
            }
            Ok(rigs)
        };
        Ok(Self { across: build(false, ACROSS)?, local: build(true, LOCAL)? })
    }

    fn of(&self, load: Load) -> &[Rig] {
        if load.is_local() { &self.local } else { &self.across }
    }

    fn end(self) -> Result<()> {
        self.across.into_iter().chain(self.local).try_for_each(Rig::end)
    }
}

fn measure(rigs: &Rigs, report: &mut Report, options: &Options) -> Result<()> {
    let time = Duration::from_secs(options.seconds);
    let loads = report.loads();
    for round in 0..options.rounds {
        say::remark(&format!("round {} of {}", round + 1, options.rounds));
        for load in &loads {
            if !quiet::wait()? {
                report.disturbed += 1;
            }
            // Every other round backwards: no path always follows the same other.
            let mut order: Vec<&Rig> =
                rigs.of(*load).iter().filter(|rig| load.runs_on(rig.name)).collect();
            if round % 2 == 1 {
                order.reverse();
            }
            for rig in order {
                let measured = one(rig, *load, time)?;
                report.add(*load, rig.name, measured);
            }
        }
    }
    Ok(())
}

fn one(rig: &Rig, load: Load, time: Duration) -> Result<Measured> {
    Ok(match load {
        Load::Across(traffic) | Load::Local(traffic) => Measured::Traffic(rig.run(traffic, time)?),
        Load::Segmented(traffic) => {
            rig.segment(true)?;
            let outcome = rig.run(traffic, time);
            rig.segment(false)?;
            Measured::Traffic(outcome?)
        }
        Load::Programs(stations) => Measured::Programs(rig.costs(stations)?),
        Load::Flood(forged) => Measured::Flood(rig.flood(forged, time)?),
        Load::Beside(forged) => Measured::Beside { share: rig.beside(forged, "tcp_rr", time)? },
    })
}
