//! The maps themselves, and the copy of their contents that the owner keeps.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr},
};

use aya::{
    Ebpf, Pod,
    maps::{Array, HashMap, Map, MapData, MapError, PerCpuArray},
};
use netctl_common::{
    counter::Count,
    maps::{self as abi, FdbEntry, FdbKey, Neighbour, NeighbourKey4, TunnelAddr, Vtep},
};
use tracing::warn;

use super::{
    Error, FdbTarget, NetworkEntry, PortEntry,
    layout::{COUNTERS, FDB, Layout, NEIGH4, NETWORKS, PORTS, VTEP_BY_ADDR, VTEPS},
    plan::{Effect, Op, Tables, VtepEntry},
    values,
};
use crate::model::{MacAddr, Vni};

/// Every map that the daemon writes, and the counters. There is one of it for a directory of pins.
pub(super) struct Maps {
    networks: HashMap<MapData, u32, abi::Network>,
    ports: HashMap<MapData, u32, abi::Port>,
    fdb: HashMap<MapData, FdbKey, FdbEntry>,
    neigh4: HashMap<MapData, NeighbourKey4, Neighbour>,
    vteps: Array<MapData, Vtep>,
    vtep_by_addr: HashMap<MapData, TunnelAddr, u32>,
    pub(super) counters: PerCpuArray<MapData, Count>,
    tunnel: Tunnel,
    tables: Tables,
}

/// What the outer headers to every host have in common.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tunnel {
    /// This host's own address.
    pub(super) local: Ipv4Addr,
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
            neigh4: take(ebpf, &NEIGH4)?,
            vteps: take(ebpf, &VTEPS)?,
            vtep_by_addr: take(ebpf, &VTEP_BY_ADDR)?,
            counters: take(ebpf, &COUNTERS)?,
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

    /// Writes what `op` says.
    pub(super) fn execute(&mut self, op: Op) -> Result<Effect, Error> {
        match &op {
            Op::SetVtep { address, entry } => {
                let vtep = values::vtep(self.tunnel, *address, *entry)?;
                self.vteps.set(entry.index, vtep, 0).map_err(|e| written(&VTEPS, e))?;
                // Whoever finds the index must find the header behind it.
                insert(
                    &mut self.vtep_by_addr,
                    &VTEP_BY_ADDR,
                    TunnelAddr::from(*address),
                    entry.index,
                )?;
            }
            Op::SetNetwork { vni, entry } => {
                insert(&mut self.networks, &NETWORKS, vni.get(), values::network(entry))?;
            }
            Op::SetFdb { vni, mac, target } => {
                let entry = values::fdb(*target, &self.tables.vteps)?;
                insert(&mut self.fdb, &FDB, FdbKey::new(*vni, *mac), entry)?;
            }
            Op::SetNeigh { vni, address, mac } => {
                let key = values::neighbour_key(*vni, *address)?;
                insert(&mut self.neigh4, &NEIGH4, key, Neighbour::new(*mac))?;
            }
            Op::SetPort { ifindex, entry } => {
                insert(&mut self.ports, &PORTS, *ifindex, values::port(entry)?)?;
            }
            Op::RemovePort { ifindex } => remove(&mut self.ports, &PORTS, ifindex)?,
            Op::RemoveNeigh { vni, address } => {
                remove(&mut self.neigh4, &NEIGH4, &values::neighbour_key(*vni, *address)?)?;
            }
            Op::RemoveFdb { vni, mac } => remove(&mut self.fdb, &FDB, &FdbKey::new(*vni, *mac))?,
            Op::RemoveVtep { address, index } => {
                remove(&mut self.vtep_by_addr, &VTEP_BY_ADDR, &TunnelAddr::from(*address))?;
                self.vteps.set(*index, Vtep::UNUSED, 0).map_err(|e| written(&VTEPS, e))?;
            }
            Op::RemoveNetwork { vni } => remove(&mut self.networks, &NETWORKS, &vni.get())?,
        }
        Ok(self.tables.record(op))
    }

    /// Reads all maps into the copy, and mends what a process that was killed between two writes, or one with another
    /// address of its own, left.
    fn adopt(&mut self) -> Result<(), Error> {
        let vteps = self.vteps()?;
        for (&address, &entry) in &vteps {
            let expected = values::vtep(self.tunnel, address, entry)?;
            if self.vteps.get(&entry.index, 0).map_err(|e| read(&VTEPS, e))? != expected {
                self.vteps.set(entry.index, expected, 0).map_err(|e| written(&VTEPS, e))?;
            }
        }
        for key in self.dangling(&vteps)? {
            warn!(vni = key.vni(), mac = %key.mac(), "removing an FDB entry whose host is not in VTEPS");
            remove(&mut self.fdb, &FDB, &key)?;
        }
        self.tables = Tables {
            networks: self.networks()?,
            ports: self.ports()?,
            fdb: self.fdb()?,
            neigh: self.neigh()?,
            vteps,
        };
        Ok(())
    }

    fn networks(&self) -> Result<BTreeMap<Vni, NetworkEntry>, Error> {
        let all = read_all(&self.networks, &NETWORKS)?.into_iter();
        Ok(all
            .filter_map(|(vni, network)| Some((Vni::new(vni)?, values::network_of(&network))))
            .collect())
    }

    /// Reads PORTS.
    pub(super) fn ports(&self) -> Result<BTreeMap<u32, PortEntry>, Error> {
        let all = read_all(&self.ports, &PORTS)?.into_iter();
        Ok(all.filter_map(|(ifindex, port)| Some((ifindex, values::port_of(&port)?))).collect())
    }

    /// Reads NEIGH4.
    pub(super) fn neigh(&self) -> Result<BTreeMap<(Vni, IpAddr), MacAddr>, Error> {
        let all = read_all(&self.neigh4, &NEIGH4)?.into_iter();
        let row = |(key, neighbour): (NeighbourKey4, Neighbour)| {
            Some(((Vni::new(key.vni())?, IpAddr::from(key.address())), neighbour.mac()))
        };
        Ok(all.filter_map(row).collect())
    }

    /// Reads FDB, without entries whose host is not known.
    pub(super) fn fdb(&self) -> Result<BTreeMap<(Vni, MacAddr), FdbTarget>, Error> {
        let addresses = by_index(&self.vteps()?);
        let all = read_all(&self.fdb, &FDB)?.into_iter();
        let row = |(key, entry): (FdbKey, FdbEntry)| {
            let target = match entry.target() {
                abi::FdbTarget::Container(ifindex) | abi::FdbTarget::Bridging(ifindex) => {
                    FdbTarget::Local { ifindex, host: false }
                }
                abi::FdbTarget::Host(ifindex) => FdbTarget::Local { ifindex, host: true },
                abi::FdbTarget::Remote(index) => {
                    FdbTarget::Remote { vtep: *addresses.get(&index)? }
                }
            };
            Some(((Vni::new(key.vni())?, key.mac()), target))
        };
        Ok(all.filter_map(row).collect())
    }

    fn vteps(&self) -> Result<BTreeMap<IpAddr, VtepEntry>, Error> {
        let mut vteps = BTreeMap::new();
        for (address, index) in read_all(&self.vtep_by_addr, &VTEP_BY_ADDR)? {
            let held = self.vteps.get(&index, 0).map_err(|e| read(&VTEPS, e))?;
            let mtu = u16::try_from(held.mtu()).unwrap_or(u16::MAX);
            vteps.insert(address.ip(), VtepEntry { index, mtu });
        }
        Ok(vteps)
    }

    /// The entries of FDB that name an index of none of `vteps`.
    fn dangling(&self, vteps: &BTreeMap<IpAddr, VtepEntry>) -> Result<Vec<FdbKey>, Error> {
        let addresses = by_index(vteps);
        let all = read_all(&self.fdb, &FDB)?.into_iter();
        let lost = |entry: &FdbEntry| match entry.target() {
            abi::FdbTarget::Remote(index) => !addresses.contains_key(&index),
            abi::FdbTarget::Container(_)
            | abi::FdbTarget::Bridging(_)
            | abi::FdbTarget::Host(_) => false,
        };
        Ok(all.filter(|(_, entry)| lost(entry)).map(|(key, _)| key).collect())
    }
}

fn by_index(vteps: &BTreeMap<IpAddr, VtepEntry>) -> BTreeMap<u32, IpAddr> {
    vteps.iter().map(|(&address, entry)| (entry.index, address)).collect()
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
