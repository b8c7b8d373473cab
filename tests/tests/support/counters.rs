//! What the programs counted.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use aya::{Ebpf, maps::PerCpuArray};
use netctl_common::{
    Direction, Outcome,
    counter::{self, COUNTERS, Count},
};

/// Packets and bytes by direction and outcome, over all CPUs; what is zero is left out.
pub(crate) type Counters = BTreeMap<(Direction, Outcome), (u64, u64)>;

pub(crate) fn read(ebpf: &Ebpf) -> Result<Counters> {
    let map = ebpf.map(COUNTERS).context("no map of counters")?;
    let map: PerCpuArray<_, Count> = map.try_into()?;
    let mut counters = Counters::new();
    for direction in Direction::ALL {
        for outcome in Outcome::all() {
            let mut sum = (0, 0);
            for count in map.get(&counter::index(direction, outcome), 0)?.iter() {
                sum.0 += count.packets;
                sum.1 += count.bytes;
            }
            if sum != (0, 0) {
                counters.insert((direction, outcome), sum);
            }
        }
    }
    Ok(counters)
}
