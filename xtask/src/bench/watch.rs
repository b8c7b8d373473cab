//! What it costs the packets of containers that somebody looks: beside the same path with nobody looking, in the same run.
//!
//! ```text
//!   h1: near, aside ── eth0 ── eth0 ── h2: far, beyond
//! ```
//!
//! Loads go from `near` to `far`; `aside` pings `beyond` all the while, and is who a capture of another is of. Loads on one
//! CPU have the first to themselves; daemons and whoever looks have the last. So these figures are what the path itself
//! loses, and those of two CPUs what it loses to work beside it. *again* is nobody looking once more: what lies between it
//! and 1 is noise.

mod looks;
mod programs;
mod tally;

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use aya::sys::{Stats, enable_stats};
use clap::Args;
use serde_json::json;
use testbed::{Lab, Netns, Process, Run, Store, Wiring};

use self::looks::{Look, Switches};
use self::programs::Programs;
use self::tally::{Figure, Tally};
use super::generator::{Cpus, Generator, Outcome, Traffic};
use super::rig::container;
use super::sampling::Sampling;
use super::{quiet, times};
use crate::measure::use_cubic;
use crate::{say, setup, shell};

/// Where `far` is.
const FAR: &str = "10.1.0.12";
/// Where `beyond` is.
const BEYOND: &str = "10.1.0.22";
/// Where each daemon has its metrics, and its page.
const METRICS: &str = "127.0.0.1:9469";
const PAGE: &str = "127.0.0.1:9470";

#[derive(Args)]
pub(crate) struct Options {
    #[command(flatten)]
    sampling: Sampling,
    /// Only what packets cost in the programs, by themselves
    #[arg(long)]
    programs: bool,
}

pub(super) fn run(options: &Options) -> Result<()> {
    options.sampling.check()?;
    ensure!(testbed::is_root(), "the rig is made of network namespaces and needs root: use sudo");
    testbed::clean_on_interrupt(|| ())?;
    setup::ensure()?;
    let how = testbed::Options {
        store: Store::File,
        wiring: Wiring::Direct,
        binary: Some(shell::build_release()?),
        arguments: ["--metrics-listen", METRICS, "--web-listen", PAGE].map(str::to_owned).into(),
        ..testbed::Options::default()
    };
    let lab = Lab::start_in(Run::new()?, how)?;
    let measured = measure(&lab, options).map_err(|error| lab.explain(error))?;
    lab.end()?;
    let Measured { tally, disturbed } = measured;
    if disturbed > 0 {
        let warning = say::bad("warning:");
        out!(
            "\n{warning} other work kept the machine busy before {disturbed} loads: do not trust these"
        );
    }
    let Sampling { rounds, seconds } = options.sampling;
    tally.show(&format!("medians of {rounds} rounds"));
    let values = json!({
        "rounds": rounds, "seconds": seconds, "disturbed": disturbed,
        "figures": tally.raw(),
    });
    times::keep("watch", &values)
}

struct Measured {
    tally: Tally,
    /// Loads before which the machine did not become quiet.
    disturbed: usize,
}

/// What is up.
struct Stage<'a> {
    lab: &'a Lab,
    generator: Generator,
    near: Netns,
    switches: Switches,
    programs: Programs,
    /// What answers the loads, and the light traffic beside.
    _running: [Process; 2],
}

fn measure(lab: &Lab, options: &Options) -> Result<Measured> {
    let stage = Stage::build(lab)?;
    let Options { sampling, programs } = options;
    let (mut tally, mut disturbed) = (Tally::default(), 0);
    let loads: &[Load] = if *programs { &[Load::Alone] } else { &Load::ALL };
    for round in 0..sampling.rounds {
        say::remark(&format!("round {} of {}", round + 1, sampling.rounds));
        for load in loads {
            if !quiet::wait()? {
                disturbed += 1;
            }
            let mut order = Look::ALL;
            // None always follows the same other.
            if round % 2 == 1 {
                order.reverse();
            }
            for look in order {
                stage
                    .one(look, *load, sampling.time(), &mut tally)
                    .with_context(|| look.title())?;
            }
        }
    }
    Ok(Measured { tally, disturbed })
}

/// What runs while somebody looks.
#[derive(Clone, Copy)]
enum Load {
    Traffic(&'static str, Cpus),
    /// Packets on one CPU, while the kernel counts how long programs run, which costs something itself.
    Counted,
    /// The programs on packets that are not sent.
    Alone,
}

impl Load {
    const ALL: [Self; 6] = [
        Self::Traffic("udp_pps", Cpus::One),
        Self::Traffic("udp_pps", Cpus::Two),
        Self::Traffic("tcp_stream", Cpus::Two),
        Self::Traffic("tcp_crr", Cpus::One),
        Self::Counted,
        Self::Alone,
    ];
}

impl<'a> Stage<'a> {
    fn build(lab: &'a Lab) -> Result<Self> {
        let (h1, h2) = (lab.host(1), lab.host(2));
        h1.ok(["network", "create", "-d", "overlay", "--subnet", "10.1.0.0/24", "bench"])?;
        let near = container(lab, h1, "near", "10.1.0.11")?;
        let far = container(lab, h2, "far", FAR)?;
        let aside = container(lab, h1, "aside", "10.1.0.21")?;
        let beyond = container(lab, h2, "beyond", BEYOND)?;
        for end in [&near, &far, &aside, &beyond] {
            use_cubic(end)?;
        }
        for host in [h1, h2] {
            let daemon = host.daemon_pid().context("the daemon is gone")?.to_string();
            host.run(["taskset", "-a", "-p", "-c", looks::last_cpu(), &daemon])?.ok()?;
        }
        let binary = lab.options().binary.as_deref().context("no binary")?;
        let generator = Generator::new(binary);
        let server = generator.serve(&far, FAR, "server")?;
        let ping = ["ping", "-q", "-n", "-i", "0.01", "-w", "3600", BEYOND];
        let light =
            aside.spawn("light", ["taskset", "-c", looks::last_cpu()].iter().chain(&ping))?;
        let programs = Programs::find(lab, &near, &far, &aside)?;
        let switches = Switches::of(&programs)?;
        Ok(Self { lab, generator, near, switches, programs, _running: [server, light] })
    }

    /// One load while one looks.
    fn one(&self, look: Look, load: Load, time: Duration, tally: &mut Tally) -> Result<()> {
        self.switches.rest()?;
        let looking = look.begin(self.lab, &self.switches)?;
        match load {
            Load::Traffic(kind, cpus) => {
                let outcome = self.load(kind, cpus, time)?;
                tally.add(Figure::rate(kind, cpus), look, outcome.rate);
                if (kind, cpus) == ("udp_pps", Cpus::One) {
                    #[expect(clippy::cast_precision_loss, reason = "some million packets")]
                    let each = outcome.server.seconds / outcome.count as f64;
                    tally.add(Figure::Machine, look, each * 1e9);
                }
            }
            Load::Counted => {
                let counting = enable_stats(Stats::RunTime)?;
                let before = self.programs.counted()?;
                self.load("udp_pps", Cpus::One, time)?;
                let after = self.programs.counted()?;
                drop(counting);
                tally.add(Figure::CountedOut, look, after[0].since(before[0])?);
                tally.add(Figure::CountedIn, look, after[1].since(before[1])?);
            }
            Load::Alone => {
                for (figure, value) in self.programs.costs(self.lab)? {
                    tally.add(figure, look, value);
                }
            }
        }
        looking.end()
    }

    fn load(&self, kind: &'static str, cpus: Cpus, time: Duration) -> Result<Outcome> {
        self.generator.run(&self.near, FAR, Traffic { kind, streams: 1, cpus }, time)
    }
}
