//! What each map must look like, and whether those pinned do.

use std::path::Path;

use aya::maps::{MapError, MapInfo, MapType};
use netctl_common::{
    counter::{self, Count},
    event::{self, Budget, EventKind, Purpose},
    maps,
    traffic::{self, LossKey, PairKey},
};

use super::Error;

/// The form of one map.
pub(super) struct Layout {
    /// Its name in the object, and of its pin.
    pub(super) name: &'static str,
    kind: MapType,
    key: usize,
    value: usize,
    /// How many entries it takes.
    pub(super) capacity: u32,
}

impl Layout {
    const fn new<K, V>(name: &'static str, kind: MapType, capacity: u32) -> Self {
        Self { name, kind, key: size_of::<K>(), value: size_of::<V>(), capacity }
    }

    /// How many entries it takes, to compare with.
    pub(super) fn room(&self) -> usize {
        usize::try_from(self.capacity).unwrap_or(usize::MAX)
    }

    /// The positions of an array.
    pub(super) fn indices(&self) -> std::ops::Range<u32> {
        0..self.capacity
    }

    /// The error of a map that should hold `wanted` entries.
    pub(super) fn full(&self, wanted: usize) -> Error {
        Error::Full { map: self.name, capacity: self.capacity, wanted }
    }

    fn describe(&self) -> String {
        let Self { name: _, kind, key, value, capacity } = self;
        format!("{kind:?}, {key}-byte keys, {value}-byte values, {capacity} entries")
    }

    /// Compares it with the map that is pinned at `path`, if one is.
    fn check(&self, path: &Path) -> Result<(), Error> {
        let info = match MapInfo::from_pin(path) {
            Ok(info) => info,
            Err(MapError::SyscallError(error))
                if error.io_error.kind() == std::io::ErrorKind::NotFound =>
            {
                return Ok(());
            }
            Err(source) => {
                return Err(Error::Map { what: "read the pinned", map: self.name, source });
            }
        };
        let kind = info
            .map_type()
            .map_or_else(|_unknown| "unknown type".to_owned(), |kind| format!("{kind:?}"));
        let (key, value, capacity) = (info.key_size(), info.value_size(), info.max_entries());
        let found = format!("{kind}, {key}-byte keys, {value}-byte values, {capacity} entries");
        let expected = self.describe();
        if found == expected {
            Ok(())
        } else {
            Err(Error::Layout { path: path.to_owned(), found, expected })
        }
    }
}

pub(super) const NETWORKS: Layout =
    Layout::new::<u32, maps::Network>(maps::NETWORKS, MapType::Hash, maps::NETWORK_ENTRIES);
pub(super) const PORTS: Layout =
    Layout::new::<u32, maps::Port>(maps::PORTS, MapType::Hash, maps::PORT_ENTRIES);
pub(super) const FDB: Layout =
    Layout::new::<maps::FdbKey, maps::FdbEntry>(maps::FDB, MapType::Hash, maps::FDB_ENTRIES);
pub(super) const NEIGH4: Layout = Layout::new::<maps::NeighbourKey4, maps::Neighbour>(
    maps::NEIGH4,
    MapType::Hash,
    maps::NEIGH_ENTRIES,
);
pub(super) const NEIGH6: Layout = Layout::new::<maps::NeighbourKey6, maps::Neighbour>(
    maps::NEIGH6,
    MapType::Hash,
    maps::NEIGH_ENTRIES,
);
pub(super) const FLOOD: Layout = Layout::new::<maps::FloodKey, maps::FloodMember>(
    maps::FLOOD,
    MapType::Hash,
    maps::FLOOD_ENTRIES,
);
pub(super) const MEMBERS: Layout =
    Layout::new::<maps::MemberKey, u32>(maps::MEMBERS, MapType::Hash, maps::MEMBER_ENTRIES);
pub(super) const VTEPS: Layout =
    Layout::new::<u32, maps::Vtep>(maps::VTEPS, MapType::Array, maps::VTEP_ENTRIES);
pub(super) const VTEP_BY_ADDR: Layout =
    Layout::new::<maps::TunnelAddr, u32>(maps::VTEP_BY_ADDR, MapType::Hash, maps::VTEP_ENTRIES);
pub(super) const COUNTERS: Layout =
    Layout::new::<u32, Count>(counter::COUNTERS, MapType::PerCpuArray, counter::COUNTER_ENTRIES);
/// It has records of one kind, neither keys nor values.
pub(super) const EVENTS: Layout =
    Layout::new::<(), ()>(event::EVENTS, MapType::RingBuf, event::EVENT_BYTES);
pub(super) const EVENTS_UNTIL: Layout =
    Layout::new::<u32, u64>(event::EVENTS_UNTIL, MapType::Array, EVENT_KINDS);
pub(super) const EVENT_BUDGETS: Layout =
    Layout::new::<u32, Budget>(event::EVENT_BUDGETS, MapType::PerCpuArray, EVENT_KINDS);

pub(super) const LOOKS_UNTIL: Layout =
    Layout::new::<u32, u64>(event::LOOKS_UNTIL, MapType::Array, PURPOSES);
/// These two are not pinned: nothing is told by them of a time when nobody looked.
pub(super) const PAIRS: Layout =
    Layout::new::<PairKey, Count>(traffic::PAIRS, MapType::LruPerCpuHash, traffic::PAIR_ENTRIES);
pub(super) const LOSSES: Layout =
    Layout::new::<LossKey, Count>(traffic::LOSSES, MapType::LruPerCpuHash, traffic::LOSS_ENTRIES);

const PURPOSES: u32 = Purpose::Traffic as u32 + 1;
const EVENT_KINDS: u32 = EventKind::Flow as u32 + 1;

/// All maps that are pinned.
pub(super) const ALL: [&Layout; 14] = [
    &NETWORKS,
    &PORTS,
    &FDB,
    &FLOOD,
    &MEMBERS,
    &NEIGH4,
    &NEIGH6,
    &VTEPS,
    &VTEP_BY_ADDR,
    &COUNTERS,
    &EVENTS,
    &EVENTS_UNTIL,
    &EVENT_BUDGETS,
    &LOOKS_UNTIL,
];

/// Those of them by which programs tell what they have seen; no decision follows from these.
pub(super) const TOLD: [&Layout; 5] =
    [&COUNTERS, &EVENTS, &EVENTS_UNTIL, &EVENT_BUDGETS, &LOOKS_UNTIL];

/// The maps that what becomes of a packet follows from.
pub(super) fn deciding() -> impl Iterator<Item = &'static Layout> {
    ALL.into_iter().filter(|layout| TOLD.iter().all(|told| told.name != layout.name))
}

/// Refuses maps that another layout pinned: the kernel would load programs on them that read past their values, and
/// says no more than "permission denied" when it does not.
pub(super) fn check(maps: &Path) -> Result<(), Error> {
    ALL.iter().try_for_each(|layout| layout.check(&maps.join(layout.name)))
}
