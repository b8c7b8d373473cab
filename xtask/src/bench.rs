//! The overlay beside the kernel's own and beside none: every figure of all paths in one run, the
//! paths in turn, because the machine's mood changes from minute to minute.
//!
//! Each path has hosts and containers of its own, joined by one veth pair of MTU 1500; all are up
//! at once: see [`rig`]. All TCP goes by cubic: bbr, the default of some machines, paces by
//! timers that then decide the figure.

mod asker;
mod docker;
mod endpoints;
mod figure;
mod generator;
mod names;
mod picture;
mod program;
mod quiet;
mod report;
mod rig;
mod sampling;
mod scale;
mod sync;
mod table;
mod times;
mod watch;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use clap::{Args, Subcommand, ValueEnum};
use testbed::Run;

use self::figure::{Figure, Load, Measured};
use self::report::Report;
pub(crate) use self::rig::container_of;
use self::rig::{Column, Ground, Rig, Scene};
use self::sampling::Sampling;
use crate::{say, setup, shell};

#[derive(Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Options {
    #[command(subcommand)]
    other: Option<Other>,
    #[command(flatten)]
    sampling: Sampling,
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
    /// What a host takes in a large cluster, and how soon it has what changes there
    Scale(scale::Options),
    /// How fast names are answered
    Names(names::Options),
    /// What it takes to make and to remove an endpoint, beside what the kernel alone takes
    Endpoints(endpoints::Options),
    /// Docker's containers on netctl beside those on Docker's own networks: to start, and how fast they are
    Docker(docker::Options),
    /// What it costs packets that somebody looks: metrics, the page, monitors and captures
    Watch(watch::Options),
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
        Some(Other::Scale(options)) => return scale::run(options),
        Some(Other::Names(options)) => return names::run(options),
        Some(Other::Endpoints(options)) => return endpoints::run(options),
        Some(Other::Docker(options)) => return docker::run(options),
        Some(Other::Watch(options)) => return watch::run(options),
        None => {}
    }
    if options.format == Format::Json {
        say::aside();
    }
    ensure!(testbed::is_root(), "the rig is made of network namespaces and needs root: use sudo");
    options.sampling.check()?;
    let figures = figure::chosen(&options.only)?;
    testbed::clean_on_interrupt(|| ())?;
    setup::ensure()?;
    let binary = shell::build_release()?;
    let report = compare(&figures, options.sampling, &binary)?;
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

/// Takes all the figures.
fn compare(figures: &[&'static Figure], sampling: Sampling, binary: &Path) -> Result<Report> {
    let run = Run::new()?;
    let ground = Ground { dir: run.dir(), binary };
    let mut report = Report::new(figures, sampling);
    let rigs = Rigs::build(&ground, &mut report)?;
    measure(&rigs, &mut report)?;
    rigs.end()?;
    run.end()?;
    Ok(report)
}

/// The paths that are up.
struct Rigs(Vec<(Scene, Rig)>);

impl Rigs {
    /// Builds those that the figures need.
    fn build(ground: &Ground<'_>, report: &mut Report) -> Result<Self> {
        let loads = report.loads();
        let mut rigs = Vec::new();
        for scene in Scene::ALL {
            let needed = |column: &&Column| {
                loads.iter().any(|load| load.scene() == scene && load.runs_on(column.name))
            };
            for column in scene.columns().iter().filter(needed) {
                match column.build(ground) {
                    Ok(rig) => rigs.push((scene, rig)),
                    Err(error) if column.optional => {
                        report.note(format!("{}: {error:#}", column.name));
                    }
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(Self(rigs))
    }

    /// Those that a load runs on.
    fn of(&self, load: Load) -> impl Iterator<Item = &Rig> {
        let runs =
            move |(scene, rig): &&(Scene, Rig)| *scene == load.scene() && load.runs_on(rig.name);
        self.0.iter().filter(runs).map(|(_, rig)| rig)
    }

    fn end(self) -> Result<()> {
        self.0.into_iter().try_for_each(|(_, rig)| rig.end())
    }
}

fn measure(rigs: &Rigs, report: &mut Report) -> Result<()> {
    let Sampling { rounds, .. } = report.sampling;
    let loads = report.loads();
    for round in 0..rounds {
        say::remark(&format!("round {} of {}", round + 1, rounds));
        for load in &loads {
            if !quiet::wait()? {
                report.disturbed += 1;
            }
            // Every other round backwards: no path always follows the same other.
            let mut order: Vec<&Rig> = rigs.of(*load).collect();
            if round % 2 == 1 {
                order.reverse();
            }
            for rig in order {
                let measured = one(rig, *load, report.sampling.time())?;
                report.add(*load, rig.name, measured);
            }
        }
    }
    Ok(())
}

fn one(rig: &Rig, load: Load, time: Duration) -> Result<Measured> {
    Ok(match load {
        Load::Across(traffic) | Load::Local(traffic) | Load::Engines(traffic) => {
            Measured::Traffic(rig.run(traffic, time)?)
        }
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
