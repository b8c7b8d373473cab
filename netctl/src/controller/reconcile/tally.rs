//! What the data plane should hold of one network, kept up station by station: a change costs what changes, however
//! many stations there are.

use std::{
    collections::{BTreeMap, btree_map},
    net::IpAddr,
};

use crate::{
    dataplane::{Desired, FdbTarget, Station, Touched, Way},
    model::EndpointId,
};

/// The sum of what is desired of a network and of its stations.
#[derive(Debug, Default)]
pub(super) struct Tally {
    /// What is desired without any station.
    base: Desired,
    sum: Desired,
    stations: BTreeMap<EndpointId, Station>,
    /// How many stations are behind each tunnel.
    behind: BTreeMap<IpAddr, usize>,
    /// Whether two of them claimed the same, so that one cannot be taken out without the other.
    contended: bool,
}

impl Tally {
    /// Of a network without stations yet.
    pub(super) fn new(base: Desired) -> Self {
        Self { sum: base.clone(), base, ..Self::default() }
    }

    /// What is desired.
    pub(super) fn desired(&self) -> &Desired {
        &self.sum
    }

    /// Has endpoints be these stations, or none; which entries that is about is added to `touched`.
    ///
    /// `false` where two claim the same, be it for a moment between the first change and the last: what is desired may
    /// then lack what one of them has, and is to be made anew.
    pub(super) fn change(
        &mut self,
        changes: impl IntoIterator<Item = (EndpointId, Option<Station>)>,
        touched: &mut Touched,
    ) -> bool {
        for (id, station) in changes {
            self.set(id, station, touched);
        }
        !self.contended
    }

    fn set(&mut self, id: EndpointId, station: Option<Station>, touched: &mut Touched) {
        if self.stations.get(&id) == station.as_ref() {
            return;
        }
        if let Some(old) = self.stations.remove(&id) {
            self.subtract(&old, touched);
        }
        if let Some(new) = station {
            self.add(&new, touched);
            self.stations.insert(id, new);
        }
    }

    fn add(&mut self, station: &Station, touched: &mut Touched) {
        let Station { vni, mac, addresses, target, way } = station;
        let sum = &mut self.sum;
        self.contended |= sum.fdb.insert((*vni, *mac), *target).is_some();
        touched.fdb.insert((*vni, *mac));
        for &address in addresses {
            self.contended |= sum.neigh.insert((*vni, address), *mac).is_some();
            touched.neigh.insert((*vni, address));
        }
        if sum.flood.entry(*vni).or_default().insert(*target) {
            touched.networks.insert(*vni);
        }
        match (target, way) {
            (FdbTarget::Remote { vtep }, Way::Tunnel(mtu)) => {
                *self.behind.entry(*vtep).or_default() += 1;
                sum.tunnels.insert(*vtep, *mtu);
            }
            (_, Way::Port(port)) => {
                if let Some(index) = target.device() {
                    self.contended |= sum.ports.insert(index, port.clone()).is_some();
                    touched.ports.insert(index);
                }
            }
            (_, Way::Tunnel(_)) => {}
        }
    }

    fn subtract(&mut self, station: &Station, touched: &mut Touched) {
        let Station { vni, mac, addresses, target, way: _ } = station;
        let sum = &mut self.sum;
        sum.fdb.remove(&(*vni, *mac));
        touched.fdb.insert((*vni, *mac));
        for &address in addresses {
            sum.neigh.remove(&(*vni, address));
            touched.neigh.insert((*vni, address));
        }
        if let Some(index) = target.device() {
            sum.ports.remove(&index);
            touched.ports.insert(index);
        }
        if let FdbTarget::Remote { vtep } = target {
            if let btree_map::Entry::Occupied(mut behind) = self.behind.entry(*vtep) {
                *behind.get_mut() -= 1;
                if *behind.get() > 0 {
                    return;
                }
                behind.remove();
            }
            if self.base.tunnels.contains_key(vtep) {
                return;
            }
            sum.tunnels.remove(vtep);
        }
        sum.flood.entry(*vni).or_default().remove(target);
        touched.networks.insert(*vni);
    }
}

#[cfg(test)]
mod tests;
