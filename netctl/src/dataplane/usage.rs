//! How full the maps are, and how long the programs ran.

use std::{fs, time::Duration};

use aya::{Ebpf, programs::ProgramInfo};
use netctl_common::config::XDP_UNDERLAY;

use super::{
    CounterRow, Error,
    layout::{FDB, FLOOD, Layout, MEMBERS, NEIGH4, NEIGH6, NETWORKS, PORTS, VTEP_BY_ADDR, VTEPS},
    links::{self, Role},
    plan::Tables,
};

/// Whether the kernel always counts how long programs run.
const STATISTICS: &str = "/proc/sys/kernel/bpf_stats_enabled";

/// What the data plane has done and holds, at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Usage {
    /// The maps that may become full.
    pub maps: Vec<MapRow>,
    /// All counters, those that are zero too.
    pub counters: Vec<CounterRow>,
    /// The programs; none where the kernel does not count.
    pub programs: Vec<ProgramRow>,
}

/// How full a map is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MapRow {
    /// Its name.
    pub name: &'static str,
    /// How many entries it has.
    pub entries: usize,
    /// How many it takes.
    pub capacity: usize,
}

/// How much a program ran since it was loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProgramRow {
    /// Its name.
    pub name: &'static str,
    /// How often.
    pub runs: u64,
    /// How long, all runs together, on all processors.
    pub time: Duration,
}

/// How full the maps are, by the copy of their contents.
pub(super) fn maps(tables: &Tables) -> Vec<MapRow> {
    let of =
        |layout: &Layout, entries| MapRow { name: layout.name, entries, capacity: layout.room() };
    let neigh4 = tables.neigh.keys().filter(|(_, address)| address.is_ipv4()).count();
    let places = tables.vteps.len();
    vec![
        of(&NETWORKS, tables.networks.len()),
        of(&PORTS, tables.ports.len()),
        of(&FDB, tables.fdb.len()),
        of(&FLOOD, tables.flood.len()),
        of(&MEMBERS, tables.members.len()),
        of(&NEIGH4, neigh4),
        of(&NEIGH6, tables.neigh.len() - neigh4),
        of(&VTEPS, places),
        of(&VTEP_BY_ADDR, places),
    ]
}

/// How long the programs ran, where the kernel counts it: by its setting, or because a process asks for it
/// (`BPF_ENABLE_STATS`), as `bpftool prog profile` and others do.
pub(super) fn programs(ebpf: &mut Ebpf) -> Result<Vec<ProgramRow>, Error> {
    let counted = fs::read_to_string(STATISTICS).is_ok_and(|text| text.trim() != "0");
    let row = |name, info: &ProgramInfo| ProgramRow {
        name,
        runs: info.run_count(),
        time: info.run_time(),
    };
    let mut rows = Vec::new();
    for role in Role::ALL {
        let name = role.program();
        let info = links::program(ebpf, role)?.info();
        let info =
            info.map_err(|error| Error::Load { program: name, reason: links::words(&error) })?;
        rows.push(row(name, &info));
    }
    // It is loaded where it is wanted.
    let filter = ebpf.program(XDP_UNDERLAY).and_then(|program| program.info().ok());
    rows.extend(filter.map(|info| row(XDP_UNDERLAY, &info)));
    if !counted && rows.iter().all(|row| row.runs == 0) {
        rows.clear();
    }
    Ok(rows)
}
