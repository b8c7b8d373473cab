//! The maps themselves, and the copy of their contents that the owner keeps.

mod adopt;
mod pinned;

use std::{collections::BTreeMap, net::IpAddr};

use aya::{
    Ebpf, Pod,
    maps::{Array, HashMap, Map, MapData, MapError, PerCpuArray, PerCpuHashMap},
};
use netctl_common::{
    counter::Count,
    maps::{
        self as abi, FdbEntry, FdbKey, FloodKey, FloodMember, MemberKey, Neighbour, NeighbourKey4,
        NeighbourKey6, TunnelAddr, Vtep,
    },
    outer::overhead,
    traffic::{LossKey, PairKey},
};

pub(super) use self::pinned::PinnedMaps;
use super::{
    Error,
    layout::{
        COUNTERS, FDB, FLOOD, LOSSES, Layout, MEMBERS, NEIGH4, NEIGH6, NETWORKS, PAIRS, PORTS,
        VTEP_BY_ADDR, VTEPS,
    },
    paths::{Path, Paths},
    plan::{Effect, Op, Tables, VtepEntry},
    values,
};
use crate::{
    crash,
    model::{MacAddr, Vteps},
};

/// Every map that the daemon writes, and what the programs count. There is one of it for a directory of pins.
pub(super) struct Maps {
    networks: HashMap<MapData, u32, abi::Network>,
    ports: HashMap<MapData, u32, abi::Port>,
    fdb: HashMap<MapData, FdbKey, FdbEntry>,
    flood: HashMap<MapData, FloodKey, FloodMember>,
    members: HashMap<MapData, MemberKey, u32>,
    neigh4: HashMap<MapData, NeighbourKey4, Neighbour>,
    neigh6: HashMap<MapData, NeighbourKey6, Neighbour>,
    vteps: Array<MapData, Vtep>,
    vtep_by_addr: HashMap<MapData, TunnelAddr, u32>,
    pub(super) counters: PerCpuArray<MapData, Count>,
    pub(super) pairs: PerCpuHashMap<MapData, PairKey, Count>,
    pub(super) losses: PerCpuHashMap<MapData, LossKey, Count>,
    paths: Paths,
    tunnel: Tunnel,
    tables: Tables,
}

/// What the outer headers to every host have in common.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tunnel {
    /// This host's own addresses.
    pub(super) local: Vteps,
    /// The UDP port of VXLAN.
    pub(super) port: u16,
}

impl Maps {
    /// Takes the maps out of the object and reads what they hold.
    pub(super) fn take(ebpf: &mut Ebpf, tunnel: Tunnel) -> Result<Self, Error> {
        let mut maps = Self {
            networks: take(ebpf, &NETWORKS)?,
            ports: take(ebpf, &PORTS)?,
            fdb: take(ebpf, &FDB)?,
            flood: take(ebpf, &FLOOD)?,
            members: take(ebpf, &MEMBERS)?,
            neigh4: take(ebpf, &NEIGH4)?,
            neigh6: take(ebpf, &NEIGH6)?,
            vteps: take(ebpf, &VTEPS)?,
            vtep_by_addr: take(ebpf, &VTEP_BY_ADDR)?,
            counters: take(ebpf, &COUNTERS)?,
            pairs: take(ebpf, &PAIRS)?,
            losses: take(ebpf, &LOSSES)?,
            paths: Paths::take(ebpf)?,
            tunnel,
            tables: Tables::default(),
        };
        maps.adopt()?;
        Ok(maps)
    }

    /// What the maps hold.
    pub(super) fn tables(&self) -> &Tables {
        &self.tables
    }

    /// This host's own tunnel addresses.
    pub(super) fn local(&self) -> Vteps {
        self.tunnel.local
    }

    /// Writes what `op` says.
    pub(super) fn execute(&mut self, op: Op) -> Result<Effect, Error> {
        crash::step("before an entry of a map");
        match &op {
            Op::SetVtep { address, entry } => {
                self.set_vtep(*address, *entry)?;
                // Whoever finds the index must find the header behind it.
                insert(
                    &mut self.vtep_by_addr,
                    &VTEP_BY_ADDR,
                    TunnelAddr::from(*address),
                    entry.index,
                )?;
            }
            Op::SetMember { vni, vtep, index } => {
                let key = MemberKey::new(*vni, TunnelAddr::from(*vtep));
                insert(&mut self.members, &MEMBERS, key, *index)?;
            }
            Op::SetFlood { vni, position, target } => {
                let member = FloodMember::new(values::target(*target, &self.tables.vteps)?);
                insert(&mut self.flood, &FLOOD, FloodKey::new(*vni, *position), member)?;
            }
            Op::SetNetwork { vni, network } => {
                insert(&mut self.networks, &NETWORKS, vni.get(), values::network(network))?;
            }
            Op::SetFdb { vni, mac, target } => {
                let entry = FdbEntry::new(values::target(*target, &self.tables.vteps)?);
                insert(&mut self.fdb, &FDB, FdbKey::new(*vni, *mac), entry)?;
            }
            Op::SetNeigh { vni, address, mac } => {
                let neighbour = Neighbour::new(*mac);
                match address {
                    IpAddr::V4(address) => {
                        let key = NeighbourKey4::new(*vni, address.octets());
                        insert(&mut self.neigh4, &NEIGH4, key, neighbour)?;
                    }
                    IpAddr::V6(address) => {
                        let key = NeighbourKey6::new(*vni, address.octets());
                        insert(&mut self.neigh6, &NEIGH6, key, neighbour)?;
                    }
                }
            }
            Op::SetPort { ifindex, entry } => {
                insert(&mut self.ports, &PORTS, *ifindex, values::port(entry))?;
            }
            Op::RemovePort { ifindex } => remove(&mut self.ports, &PORTS, ifindex)?,
            Op::RemoveNeigh { vni, address } => match address {
                IpAddr::V4(address) => {
                    let key = NeighbourKey4::new(*vni, address.octets());
                    remove(&mut self.neigh4, &NEIGH4, &key)?;
                }
                IpAddr::V6(address) => {
                    let key = NeighbourKey6::new(*vni, address.octets());
                    remove(&mut self.neigh6, &NEIGH6, &key)?;
                }
            },
            Op::RemoveFdb { vni, mac } => remove(&mut self.fdb, &FDB, &FdbKey::new(*vni, *mac))?,
            Op::RemoveFlood { vni, position } => {
                remove(&mut self.flood, &FLOOD, &FloodKey::new(*vni, *position))?;
            }
            Op::RemoveMember { vni, vtep } => {
                let key = MemberKey::new(*vni, TunnelAddr::from(*vtep));
                remove(&mut self.members, &MEMBERS, &key)?;
            }
            Op::RemoveVtep { address, index } => {
                remove(&mut self.vtep_by_addr, &VTEP_BY_ADDR, &TunnelAddr::from(*address))?;
                self.paths.forget(*address, *index)?;
                self.vteps.set(*index, Vtep::UNUSED, 0).map_err(|e| written(&VTEPS, e))?;
            }
            Op::RemoveNetwork { vni } => remove(&mut self.networks, &NETWORKS, &vni.get())?,
        }
        Ok(self.tables.record(op))
    }

    /// Writes the headers to a host, with the MTU that is desired or the path's, whichever is less.
    fn set_vtep(
        &mut self,
        address: IpAddr,
        VtepEntry { index, mtu }: VtepEntry,
    ) -> Result<(), Error> {
        let path = self.paths.to(address).mtu.map(|mtu| mtu.saturating_sub(overhead(address)));
        let path = path.and_then(|mtu| u16::try_from(mtu).ok()).unwrap_or(u16::MAX);
        let vtep = values::vtep(self.tunnel, address, mtu.min(path)).ok_or_else(|| {
            values::unsupported(address, "this host has no tunnel address of its family")
        })?;
        self.vteps.set(index, vtep, 0).map_err(|e| written(&VTEPS, e))
    }

    /// Holds the way to a host, if it is one still; `source` is the underlay device's own address.
    pub(super) fn set_path(
        &mut self,
        host: IpAddr,
        path: Path,
        source: MacAddr,
    ) -> Result<(), Error> {
        let Some(&entry) = self.tables.vteps.get(&host) else { return Ok(()) };
        let before = self.paths.to(host);
        self.paths.set(host, entry.index, path, source)?;
        if before.mtu == path.mtu { Ok(()) } else { self.set_vtep(host, entry) }
    }

    /// Until when the ways that are held may be used.
    pub(super) fn vouch(&mut self, until: u64) -> Result<(), Error> {
        self.paths.vouch(until)
    }

    /// The ways to all hosts.
    pub(super) fn paths(&self) -> BTreeMap<IpAddr, Path> {
        self.tables.vteps.keys().map(|&host| (host, self.paths.to(host))).collect()
    }
}

fn take<T: TryFrom<Map, Error = MapError>>(ebpf: &mut Ebpf, layout: &Layout) -> Result<T, Error> {
    let map =
        ebpf.take_map(layout.name).ok_or(Error::Incomplete { what: "map", name: layout.name })?;
    T::try_from(map).map_err(|source| Error::Map { what: "open", map: layout.name, source })
}

fn read_all<K: Pod, V: Pod>(
    map: &HashMap<MapData, K, V>,
    layout: &Layout,
) -> Result<Vec<(K, V)>, Error> {
    map.iter().collect::<Result<_, _>>().map_err(|e| read(layout, e))
}

fn insert<K: Pod, V: Pod>(
    map: &mut HashMap<MapData, K, V>,
    layout: &Layout,
    key: K,
    value: V,
) -> Result<(), Error> {
    map.insert(key, value, 0).map_err(|e| written(layout, e))
}

/// An entry that is not there was removed: the end is the same.
fn remove<K: Pod, V: Pod>(
    map: &mut HashMap<MapData, K, V>,
    layout: &Layout,
    key: &K,
) -> Result<(), Error> {
    match map.remove(key) {
        Ok(()) => Ok(()),
        Err(MapError::SyscallError(error))
            if error.io_error.kind() == std::io::ErrorKind::NotFound =>
        {
            Ok(())
        }
        Err(error) => Err(written(layout, error)),
    }
}

fn read(layout: &Layout, source: MapError) -> Error {
    Error::Map { what: "read", map: layout.name, source }
}

fn written(layout: &Layout, source: MapError) -> Error {
    Error::Map { what: "write", map: layout.name, source }
}
