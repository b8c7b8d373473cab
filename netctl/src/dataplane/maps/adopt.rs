//! Reading the maps, and mending what an earlier process left in them.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use netctl_common::maps::{
    FdbEntry, FdbKey, FloodKey, FloodMember, MemberKey, Neighbour, TunnelAddr, Vtep,
};
use tracing::warn;

use super::{Maps, read, read_all, remove, written};
use crate::{
    dataplane::{
        Error, FdbTarget, PortEntry,
        layout::{FDB, FLOOD, MEMBERS, NEIGH4, NEIGH6, NETWORKS, PORTS, VTEP_BY_ADDR, VTEPS},
        plan::{HeldNetwork, Tables, VtepEntry},
        values,
    },
    model::{MacAddr, Vni},
};

impl Maps {
    /// Reads all maps into the copy, and mends what a process that was killed between two writes, or one with other
    /// addresses of its own, left.
    pub(super) fn adopt(&mut self) -> Result<(), Error> {
        let mut vteps = self.vteps()?;
        for (address, VtepEntry { index, mtu }) in vteps.clone() {
            let Some(expected) = values::vtep(self.tunnel, address, mtu) else {
                warn!(%address, "removing a host of a family that this host has no tunnel address of any more");
                remove(&mut self.vtep_by_addr, &VTEP_BY_ADDR, &TunnelAddr::from(address))?;
                self.vteps.set(index, Vtep::UNUSED, 0).map_err(|e| written(&VTEPS, e))?;
                vteps.remove(&address);
                continue;
            };
            if self.vteps.get(&index, 0).map_err(|e| read(&VTEPS, e))? != expected {
                self.vteps.set(index, expected, 0).map_err(|e| written(&VTEPS, e))?;
            }
        }
        self.remove_dangling(&vteps)?;
        self.tables = Tables {
            members: self.members(&vteps)?,
            flood: self.flood()?,
            networks: self.networks()?,
            ports: self.ports()?,
            fdb: self.fdb()?,
            neigh: self.neigh()?,
            vteps,
        };
        Ok(())
    }

    /// Removes what names a host that is none of `vteps`.
    fn remove_dangling(&mut self, vteps: &BTreeMap<IpAddr, VtepEntry>) -> Result<(), Error> {
        let hosts = by_index(vteps);
        for (key, entry) in read_all(&self.fdb, &FDB)? {
            if values::target_of(entry.target(), &hosts).is_none() {
                warn!(vni = key.vni(), mac = %key.mac(), "removing an FDB entry whose host is not in VTEPS");
                remove(&mut self.fdb, &FDB, &key)?;
            }
        }
        for (key, member) in read_all(&self.flood, &FLOOD)? {
            if values::target_of(member.target(), &hosts).is_none() {
                let (vni, position) = (key.vni(), key.position());
                warn!(vni, position, "removing a FLOOD entry whose host is not in VTEPS");
                remove(&mut self.flood, &FLOOD, &key)?;
            }
        }
        for (key, index) in read_all(&self.members, &MEMBERS)? {
            if hosts.get(&index) != Some(&key.host().ip()) {
                warn!(vni = key.vni(), host = %key.host().ip(), "removing a MEMBERS entry that is not in VTEPS");
                remove(&mut self.members, &MEMBERS, &key)?;
            }
        }
        Ok(())
    }

    fn networks(&self) -> Result<BTreeMap<Vni, HeldNetwork>, Error> {
        let all = read_all(&self.networks, &NETWORKS)?.into_iter();
        Ok(all
            .filter_map(|(vni, network)| Some((Vni::new(vni)?, values::network_of(&network))))
            .collect())
    }

    /// Reads PORTS.
    pub(in crate::dataplane) fn ports(&self) -> Result<BTreeMap<u32, PortEntry>, Error> {
        let all = read_all(&self.ports, &PORTS)?.into_iter();
        Ok(all.filter_map(|(ifindex, port)| Some((ifindex, values::port_of(&port)?))).collect())
    }

    /// Reads NEIGH4 and NEIGH6.
    pub(in crate::dataplane) fn neigh(&self) -> Result<BTreeMap<(Vni, IpAddr), MacAddr>, Error> {
        let row = |vni: u32, address: IpAddr, neighbour: &Neighbour| {
            Some(((Vni::new(vni)?, address), neighbour.mac()))
        };
        let v4 = read_all(&self.neigh4, &NEIGH4)?.into_iter().filter_map(|(key, neighbour)| {
            row(key.vni(), Ipv4Addr::from(key.address()).into(), &neighbour)
        });
        let v6 = read_all(&self.neigh6, &NEIGH6)?.into_iter().filter_map(|(key, neighbour)| {
            row(key.vni(), Ipv6Addr::from(key.address()).into(), &neighbour)
        });
        Ok(v4.chain(v6).collect())
    }

    /// Reads FDB, without entries whose host is not known.
    pub(in crate::dataplane) fn fdb(&self) -> Result<BTreeMap<(Vni, MacAddr), FdbTarget>, Error> {
        let hosts = by_index(&self.vteps()?);
        let all = read_all(&self.fdb, &FDB)?.into_iter();
        let row = |(key, entry): (FdbKey, FdbEntry)| {
            let target = values::target_of(entry.target(), &hosts)?;
            Some(((Vni::new(key.vni())?, key.mac()), target))
        };
        Ok(all.filter_map(row).collect())
    }

    /// Reads FLOOD, without entries whose host is not known.
    pub(in crate::dataplane) fn flood(&self) -> Result<BTreeMap<(Vni, u32), FdbTarget>, Error> {
        let hosts = by_index(&self.vteps()?);
        let all = read_all(&self.flood, &FLOOD)?.into_iter();
        let row = |(key, member): (FloodKey, FloodMember)| {
            let target = values::target_of(member.target(), &hosts)?;
            Some(((Vni::new(key.vni())?, key.position()), target))
        };
        Ok(all.filter_map(row).collect())
    }

    fn members(
        &self,
        vteps: &BTreeMap<IpAddr, VtepEntry>,
    ) -> Result<BTreeMap<(Vni, IpAddr), u32>, Error> {
        let all = read_all(&self.members, &MEMBERS)?.into_iter();
        let row = |(key, index): (MemberKey, u32)| {
            let host = key.host().ip();
            vteps.contains_key(&host).then_some(((Vni::new(key.vni())?, host), index))
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
}

fn by_index(vteps: &BTreeMap<IpAddr, VtepEntry>) -> BTreeMap<u32, IpAddr> {
    vteps.iter().map(|(&address, entry)| (entry.index, address)).collect()
}
