//! What one host takes in a cluster of 100,000 endpoints, and how soon it has what changes there: one real daemon, a
//! real etcd, and a fleet of hosts that exist in etcd alone (`tests/bin/fleet.rs`), from which all the endpoints are.
//!
//! ```text
//!   h1: the daemon, a sandbox in each of the local networks      external: the fleet, and what its tunnels lead to
//! ```
//!
//! A daemon is in sync when its forwarding database says of each endpoint of the local networks where it is, and of none
//! besides that it is elsewhere. Before each start the fleet changes: what is pinned is not enough.

mod daemon;
mod fleet;

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use clap::Args;
use serde_json::json;
use testbed::{Host, Lab, Run, Signal, Store};

use self::daemon::{Passes, Process};
use self::fleet::Fleet;
use super::times::{self, Times};
use crate::{say, setup, shell};

/// How many endpoints move while the daemon is away.
const SHUFFLED: u32 = 200;

#[derive(Args)]
pub(crate) struct Options {
    /// How many endpoints the cluster has
    #[arg(long, default_value_t = 100_000)]
    endpoints: u32,
    /// How many networks they are in
    #[arg(long, default_value_t = 200)]
    networks: u32,
    /// In how many of those the host has an endpoint of its own
    #[arg(long, default_value_t = 10)]
    local: u32,
    /// How many hosts they are on
    #[arg(long, default_value_t = 500)]
    hosts: u32,
    /// How many changes are made in the local networks
    #[arg(long, default_value_t = 1000)]
    changes: u32,
    /// How many of them in a second
    #[arg(long, default_value_t = 100)]
    rate: u32,
    /// For how many seconds the daemon is watched at rest
    #[arg(long, default_value_t = 60)]
    rest: u64,
    /// How often the daemon is started, with what it pinned and without, in turn
    #[arg(long, default_value_t = 3)]
    starts: u32,
}

pub(super) fn run(options: &Options) -> Result<()> {
    ensure!(testbed::is_root(), "the rig is made of network namespaces and needs root: use sudo");
    ensure!(
        (1..=250).contains(&options.networks),
        "{} networks: ask for 1 to 250",
        options.networks
    );
    ensure!(
        (1..=options.networks).contains(&options.local),
        "{} local networks: ask for 1 to {}",
        options.local,
        options.networks
    );
    ensure!((2..=10_000).contains(&options.hosts), "{} hosts: ask for 2 to 10000", options.hosts);
    ensure!(
        (options.networks..=1_000_000).contains(&options.endpoints),
        "{} endpoints: ask for one for each network at least, and 1000000 at most",
        options.endpoints
    );
    ensure!((1..=1000).contains(&options.rate), "{} a second: ask for 1 to 1000", options.rate);
    testbed::clean_on_interrupt(|| ())?;
    setup::ensure()?;
    let (binary, fleet) = (Some(shell::build_release()?), shell::build_fleet()?);
    let how = testbed::Options {
        hosts: 1,
        store: Store::Etcd,
        daemons: false,
        binary,
        ..testbed::Options::default()
    };
    let lab = Lab::start_in(Run::new()?, how)?;
    let measured = measure(&lab, &fleet, options).map_err(|error| lab.explain(error))?;
    lab.end()?;
    measured.show(options)
}

/// How much memory the daemon has, in KiB: now, and at most since it started.
#[derive(Clone, Copy, serde::Serialize)]
struct Memory {
    resident: u64,
    most: u64,
}

struct Measured {
    /// Where maps and links were pinned, and where nothing was.
    pinned: Times,
    bare: Times,
    memory: Vec<Memory>,
    /// Processor time, in seconds, and over how many.
    rest: (f64, u64),
    busy: (f64, f64),
    commit: Times,
    whole: Times,
    after: Times,
    /// How many passes of the loop there were meanwhile, and how long they took.
    passes: Passes,
}

fn measure(lab: &Lab, fleet: &std::path::Path, options: &Options) -> Result<Measured> {
    let (host, outside) = (lab.host(1), lab.external());
    host.run(["ip", "route", "add", "100.64.0.0/10", "via", &outside.address()])?.ok()?;
    say::remark(&format!("{} endpoints are written to etcd", options.endpoints));
    let mut fleet = Fleet::start(lab, fleet, options)?;
    lab.start_daemon(host)?;
    for number in 0..options.local {
        let (name, service) = (format!("box{number}"), format!("here.fleet{number}"));
        host.ok(["sandbox", "create", &name])?;
        host.ok(["service", "publish", &service])?;
        host.ok(["service", "attach", &name, &service])?;
    }
    fleet.complete()?;
    let (mut pinned, mut bare) = (
        Times::new("from the start to in sync, with pins"),
        Times::new("from the start to in sync, without"),
    );
    let mut memory = Vec::new();
    for round in 0..options.starts * 2 {
        say::remark(&format!("start {} of {}", round + 1, options.starts * 2));
        host.stop_daemon(Signal::SIGTERM)?;
        let with_pins = round.is_multiple_of(2);
        if !with_pins {
            host.run(["umount", &host.dir("bpf").display().to_string()])?.ok()?;
        }
        fleet.shuffle(SHUFFLED)?;
        let took = start(lab, host, &mut fleet)?;
        if with_pins { &mut pinned } else { &mut bare }.add(took);
        // What it does besides, once it is in sync, has its share of the memory.
        std::thread::sleep(Duration::from_secs(5));
        memory.push(Process::of(host)?.memory()?);
    }
    say::remark(&format!("{} s at rest", options.rest));
    let process = Process::of(host)?;
    let before = process.busy()?;
    std::thread::sleep(Duration::from_secs(options.rest));
    let rest = (process.busy()? - before, options.rest);
    say::remark(&format!("{} changes, {} a second", options.changes, options.rate));
    let (before, passes, began) = (process.busy()?, Passes::read(host)?, Instant::now());
    let rows = fleet.change(options.changes, options.rate)?;
    let busy = (process.busy()? - before, began.elapsed().as_secs_f64());
    let passes = Passes::read(host)?.since(passes);
    memory.push(process.memory()?);
    fleet.complete()?;
    fleet.end()?;
    let of = |title, field: &str| {
        let mut times = Times::new(title);
        for micros in rows.iter().filter_map(|row| row.get(field)?.as_f64()) {
            times.add(Duration::from_secs_f64(micros / 1e6));
        }
        times
    };
    Ok(Measured {
        pinned,
        bare,
        memory,
        rest,
        busy,
        commit: of("a host's change takes etcd", "commit"),
        whole: of("from before it to the map", "whole"),
        after: of("from etcd's answer to the map", "after"),
        passes,
    })
}

/// Starts the daemon, and says how long it took until all is in the maps.
fn start(lab: &Lab, host: &Host, fleet: &mut Fleet) -> Result<Duration> {
    std::thread::scope(|scope| {
        let began = Instant::now();
        let synced = scope.spawn(move || fleet.complete().map(|()| began.elapsed()));
        lab.start_daemon(host)?;
        synced.join().map_err(|_panic| anyhow::anyhow!("who waits for the maps panicked"))?
    })
}

impl Measured {
    fn show(&self, options: &Options) -> Result<()> {
        let Self { pinned, bare, memory, rest, busy, commit, whole, after, passes } = self;
        let all = [pinned, bare, commit, whole, after];
        times::show(&all);
        let mib = |value: Option<u64>| value.map_or(0, |kib| kib.div_ceil(1024));
        out!(
            "resident: {} MiB, at most {} MiB",
            mib(memory.iter().map(|memory| memory.resident).max()),
            mib(memory.iter().map(|memory| memory.most).max()),
        );
        #[expect(clippy::cast_precision_loss, reason = "seconds")]
        let share = rest.0 / rest.1 as f64 * 100.0;
        out!("at rest: {share:.2} % of a CPU, over {} s", rest.1);
        out!(
            "during the changes: {:.1} % of a CPU; {} passes of {:.3} ms",
            busy.0 / busy.1 * 100.0,
            passes.count,
            passes.mean_ms(),
        );
        let values: serde_json::Map<_, _> =
            all.iter().map(|times| (times.title().to_owned(), times.raw())).collect();
        times::keep(
            "scale",
            &json!({
                "endpoints": options.endpoints, "networks": options.networks, "local": options.local,
                "hosts": options.hosts, "rate": options.rate, "unit": "us", "values": values,
                "memory_kib": memory,
                "rest": { "cpu_s": rest.0, "s": rest.1 },
                "changing": { "cpu_s": busy.0, "s": busy.1 },
                "passes": { "count": passes.count, "s": passes.seconds },
            }),
        )
    }
}
