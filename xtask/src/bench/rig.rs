//! Paths between two containers, or two hosts, each with hosts of its own.

mod kernel;
mod overlay;
mod pair;
mod routed;

use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use testbed::{Netns, Process};

use self::pair::Pair;
use super::generator::{Generator, Outcome, Traffic};
use crate::measure::use_cubic;

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
    Pair(Pair),
    Lab(Box<testbed::Lab>),
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
    build: fn(&Ground<'_>) -> Result<Ends>,
}

/// What paths are built on.
pub(super) struct Ground<'a> {
    /// The directory of the run, in which all namespaces are.
    pub(super) dir: &'a Path,
    /// `netctl`.
    pub(super) binary: &'a Path,
}

/// A new path is one more line here.
pub(super) const COLUMNS: &[Column] = &[
    Column { name: "underlay", build: |ground| pair::hosts(ground.dir) },
    Column { name: "routed", build: |ground| routed::containers(ground.dir) },
    Column { name: "kernel_vxlan", build: |ground| kernel::containers(ground.dir) },
    Column { name: "netctl", build: overlay::containers },
];

impl Column {
    /// Builds the path, and starts what answers at its far end. All that is sent goes by cubic.
    pub(super) fn build(&self, ground: &Ground<'_>) -> Result<Rig> {
        let Ends { near, far, address, parts } = (self.build)(ground)?;
        use_cubic(&near)?;
        use_cubic(&far)?;
        let generator = Generator::new(ground.binary);
        let server = generator.serve(&far, &address, &format!("{}-server", self.name))?;
        Ok(Rig { name: self.name, near, address, generator, server, far, parts })
    }
}

impl Rig {
    /// Has a load on it.
    pub(super) fn run(&self, traffic: Traffic, time: Duration) -> Result<Outcome> {
        self.generator.run(&self.near, &self.address, traffic, time)
    }

    /// Takes it down; fails where something is left.
    pub(super) fn end(self) -> Result<()> {
        drop((self.server, self.near, self.far));
        match self.parts {
            Parts::Pair(pair) => {
                drop(pair);
                Ok(())
            }
            Parts::Lab(lab) => lab.end(),
        }
    }
}
