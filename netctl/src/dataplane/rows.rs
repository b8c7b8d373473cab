//! What the maps hold, in rows for people.

use std::net::IpAddr;

use aya::maps::{MapData, MapError, PerCpuArray};
use netctl_common::{
    Direction, Outcome,
    counter::{self, Count},
};

use super::{Error, FdbTarget, PortEntry, layout::COUNTERS};
use crate::model::{MacAddr, Vni};

/// Where a station is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FdbRow {
    /// Its network.
    pub vni: Vni,
    /// Its link-layer address.
    pub mac: MacAddr,
    /// Where it is.
    pub target: FdbTarget,
}

/// Who gets what is sent to all of a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FloodRow {
    /// The network.
    pub vni: Vni,
    /// The place in its list.
    pub position: u32,
    /// Where the member is.
    pub target: FdbTarget,
}

/// Who answers for an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NeighRow {
    /// The network.
    pub vni: Vni,
    /// The address.
    pub address: IpAddr,
    /// The link-layer address of who has it.
    pub mac: MacAddr,
}

/// A device that endpoints are behind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortRow {
    /// Its index.
    pub ifindex: u32,
    /// Its name; `None` where the device is gone.
    pub ifname: Option<String>,
    /// Who is behind it.
    pub entry: PortEntry,
}

/// How many packets ended in one way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CounterRow {
    /// Who saw them.
    pub direction: Direction,
    /// How they ended; it has a label and a sentence.
    pub outcome: Outcome,
    /// How many, on all processors. What the kernel has merged of many counts as one.
    pub packets: u64,
    /// Their bytes, from the Ethernet header on.
    pub bytes: u64,
}

/// Reads all counters, those that are zero too.
pub(super) fn counters(map: &PerCpuArray<MapData, Count>) -> Result<Vec<CounterRow>, Error> {
    let failed = |source: MapError| Error::Map { what: "read", map: COUNTERS.name, source };
    let places = Direction::ALL
        .into_iter()
        .flat_map(|direction| Outcome::all().map(move |outcome| (direction, outcome)));
    let row = |(direction, outcome)| {
        let counts = map.get(&counter::index(direction, outcome), 0).map_err(failed)?;
        let packets = counts.iter().map(|count| count.packets).sum();
        let bytes = counts.iter().map(|count| count.bytes).sum();
        Ok(CounterRow { direction, outcome, packets, bytes })
    };
    places.map(row).collect()
}
