//! Paths between two containers, or two hosts, each with hosts of its own.

mod docker_host;
mod engine;
mod flow;
mod forged;
mod kernel;
mod local;
mod overlay;
mod pair;
mod plugin;
mod routed;

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};
use aya::Ebpf;
use testbed::{Engine, Lab, Netns, Process};

use self::pair::Pair;
use super::generator::{Generator, Outcome, Traffic};
use super::program::{self, Costs};
use crate::measure::use_cubic;

pub(crate) use self::overlay::container_of;
pub(super) use self::overlay::{container, sandbox};

/// A way that is measured: its two ends, and what it is made of.
pub(super) struct Rig {
    /// The column's name.
    pub(super) name: &'static str,
    near: Netns,
    address: String,
    generator: Generator,
    server: Process,
    far: Netns,
    parts: Parts,
}

/// What goes when the path goes.
enum Parts {
    Host(Netns),
    Pair(Pair),
    Programs(Pair, Vec<Ebpf>),
    Engines(Pair, Box<[Engine; 2]>),
    Lab(Box<Lab>),
    /// Engines go before the daemons that they call.
    Plugged(Box<[Engine; 2]>, Box<Lab>),
}

/// The two ends of a path, before anything runs there.
struct Ends {
    near: Netns,
    far: Netns,
    /// Of the far end.
    address: String,
    parts: Parts,
}

/// One column of the results.
pub(super) struct Column {
    pub(super) name: &'static str,
    /// Whether a machine may lack what it needs.
    pub(super) optional: bool,
    build: fn(&Ground<'_>) -> Result<Ends>,
}

/// What paths are built on.
pub(super) struct Ground<'a> {
    /// The directory of the run, in which all namespaces are.
    pub(super) dir: &'a Path,
    /// `netctl`.
    pub(super) binary: &'a Path,
}

const fn column(name: &'static str, build: fn(&Ground<'_>) -> Result<Ends>) -> Column {
    Column { name, optional: false, build }
}

/// What is measured together: the same loads on all of its paths.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scene {
    Hosts,
    OneHost,
    Engines,
}

impl Scene {
    pub(super) const ALL: [Self; 3] = [Self::Hosts, Self::OneHost, Self::Engines];

    pub(super) fn title(self) -> &'static str {
        match self {
            Self::Hosts => "Between two hosts, container to container",
            Self::OneHost => "On one host, container to container",
            Self::Engines => "Between two of Docker's engines, container to container",
        }
    }

    pub(super) fn columns(self) -> &'static [Column] {
        match self {
            Self::Hosts => ACROSS,
            Self::OneHost => LOCAL,
            Self::Engines => ENGINES,
        }
    }

    /// The paths that netctl's is shown as a share of.
    pub(super) fn beside(self) -> &'static [&'static str] {
        match self {
            Self::Hosts => &["kernel_vxlan", "routed"],
            Self::OneHost => &["linux_bridge"],
            Self::Engines => &["docker_overlay", "underlay"],
        }
    }
}

/// Between two hosts. A new path is one more line here.
const ACROSS: &[Column] = &[
    column("underlay", |ground| pair::hosts(ground.dir)),
    column("routed", |ground| routed::containers(ground.dir)),
    column("kernel_vxlan", |ground| kernel::containers(ground.dir)),
    column("docker_host", |ground| docker_host::containers(ground.dir)),
    column("flow_vxlan", |ground| flow::containers(ground.dir)),
    Column {
        name: "docker_overlay",
        optional: true,
        build: |ground| engine::containers(ground.dir),
    },
    column("netctl", overlay::containers),
];

/// On one host.
const LOCAL: &[Column] =
    &[column("linux_bridge", |ground| local::bridge(ground.dir)), column("netctl", local::netctl)];

/// Between containers of two engines, and between their hosts.
const ENGINES: &[Column] = &[
    column("underlay", |ground| pair::hosts(ground.dir)),
    column("docker_overlay", |ground| engine::containers(ground.dir)),
    column("netctl", plugin::containers),
];

impl Column {
    /// Builds the path, and starts what answers at its far end. All that is sent goes by cubic.
    pub(super) fn build(&self, ground: &Ground<'_>) -> Result<Rig> {
        let doing = || format!("cannot build {}", self.name);
        let Ends { near, far, address, parts } = (self.build)(ground).with_context(doing)?;
        use_cubic(&near)?;
        use_cubic(&far)?;
        let generator = Generator::new(ground.binary);
        let log = format!("{}-{}", self.name, if near_to(&parts) { "local" } else { "server" });
        let server = generator.serve(&far, &address, &log).with_context(doing)?;
        Ok(Rig { name: self.name, near, address, generator, server, far, parts })
    }
}

/// Whether both ends are on one host.
fn near_to(parts: &Parts) -> bool {
    match parts {
        Parts::Host(_) => true,
        Parts::Lab(lab) => lab.hosts().len() == 1,
        Parts::Pair(_) | Parts::Programs(..) | Parts::Engines(..) | Parts::Plugged(..) => false,
    }
}

impl Rig {
    /// Has a load on it.
    pub(super) fn run(&self, traffic: Traffic, time: Duration) -> Result<Outcome> {
        self.generator
            .run(&self.near, &self.address, traffic, time)
            .with_context(|| format!("{} on {}", traffic.kind, self.name))
    }

    /// What a packet costs in the programs of netctl, with so many stations known; only its path has
    /// any.
    pub(super) fn costs(&self, stations: u32) -> Result<Costs> {
        let Parts::Lab(lab) = &self.parts else {
            anyhow::bail!("{} has no programs of netctl", self.name);
        };
        program::measure(lab, &self.near, &self.far, stations)
    }

    /// Its hosts, on whose `eth0` the underlay is.
    fn hosts(&self) -> Vec<&Netns> {
        match &self.parts {
            Parts::Host(host) => vec![host],
            Parts::Pair(pair) | Parts::Programs(pair, _) | Parts::Engines(pair, _) => {
                pair.hosts.iter().collect()
            }
            Parts::Lab(lab) | Parts::Plugged(_, lab) => {
                lab.hosts().iter().map(testbed::Host::netns).collect()
            }
        }
    }

    /// Has packets cross the underlay as they would a NIC that cannot cut those of a tunnel: the
    /// sender's kernel cuts them, and the receiver's merges them; or as it was, whole.
    pub(super) fn segment(&self, segmented: bool) -> Result<()> {
        let (whole, merged) = if segmented { ("off", "on") } else { ("on", "off") };
        for host in self.hosts() {
            let features = ["tso", whole, "tx-udp_tnl-segmentation", whole, "gro", merged];
            host.run(["ethtool", "-K", "eth0"].iter().chain(&features))?.ok()?;
        }
        Ok(())
    }

    /// Takes it down; fails where something is left.
    pub(super) fn end(self) -> Result<()> {
        drop((self.server, self.near, self.far));
        match self.parts {
            Parts::Host(host) => {
                drop(host);
                Ok(())
            }
            Parts::Pair(pair) => {
                drop(pair);
                Ok(())
            }
            Parts::Programs(pair, programs) => {
                drop((programs, pair));
                Ok(())
            }
            Parts::Engines(pair, engines) => {
                drop((engines, pair));
                Ok(())
            }
            Parts::Lab(lab) => lab.end(),
            Parts::Plugged(engines, lab) => {
                drop(engines);
                lab.end()
            }
        }
    }
}
