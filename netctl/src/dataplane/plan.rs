//! From what the maps hold to what they should: a list of single writes, in an order that is safe at every step.
//!
//! What names another host (entries of FDB, FLOOD and MEMBERS) is written after that host's entry in VTEPS and removed
//! before it, so a packet never finds a target without an outer header, and an index is not used again before nothing
//! names it. A host is among a network's members before anything is sent to it there, since it may answer at once. A
//! port is the last to be written and the first to be removed: who may send is known to all of its network. Entries of
//! one map are added before others are removed, so nothing that should work ever stops; only where a map has no room
//! for both does it go the other way round.

mod difference;
mod flood;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    ops::RangeInclusive,
};

pub(super) use self::difference::Extent;
use self::{
    difference::{Difference, Held},
    flood::Lists,
};
use super::{
    Desired, Error, FdbTarget, NetworkEntry, PortEntry, Sweep,
    layout::{FDB, Layout, MEMBERS, NEIGH4, NEIGH6, NETWORKS, PORTS, VTEPS},
};
use crate::model::{MacAddr, Vni};

/// The contents of the maps.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Tables {
    pub(super) vteps: BTreeMap<IpAddr, VtepEntry>,
    /// Which hosts have endpoints in which networks, by their tunnel address, with their place in VTEPS.
    pub(super) members: BTreeMap<(Vni, IpAddr), u32>,
    /// By network and place.
    pub(super) flood: BTreeMap<(Vni, u32), FdbTarget>,
    pub(super) networks: BTreeMap<Vni, HeldNetwork>,
    pub(super) ports: BTreeMap<u32, PortEntry>,
    pub(super) fdb: BTreeMap<(Vni, MacAddr), FdbTarget>,
    pub(super) neigh: BTreeMap<(Vni, IpAddr), MacAddr>,
}

/// What is known of another host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct VtepEntry {
    /// Its place in VTEPS.
    pub(super) index: u32,
    /// What fits a tunnel to it, in bytes from the inner network layer on.
    pub(super) mtu: u16,
}

/// A network with its list of members.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct HeldNetwork {
    pub(super) entry: NetworkEntry,
    /// How many places its list in FLOOD has, empty ones among them.
    pub(super) places: u32,
}

/// One write to one map, or the pair of writes that one host takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Op {
    SetVtep { address: IpAddr, entry: VtepEntry },
    SetMember { vni: Vni, vtep: IpAddr, index: u32 },
    SetFlood { vni: Vni, position: u32, target: FdbTarget },
    SetNetwork { vni: Vni, network: HeldNetwork },
    SetFdb { vni: Vni, mac: MacAddr, target: FdbTarget },
    SetNeigh { vni: Vni, address: IpAddr, mac: MacAddr },
    SetPort { ifindex: u32, entry: PortEntry },
    RemovePort { ifindex: u32 },
    RemoveNeigh { vni: Vni, address: IpAddr },
    RemoveFdb { vni: Vni, mac: MacAddr },
    RemoveFlood { vni: Vni, position: u32 },
    RemoveMember { vni: Vni, vtep: IpAddr },
    RemoveVtep { address: IpAddr, index: u32 },
    RemoveNetwork { vni: Vni },
}

/// What an [`Op`] did to the contents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    Added,
    Replaced,
    Removed,
}

impl Tables {
    /// Does to this copy what `op` does to the maps.
    pub(super) fn record(&mut self, op: Op) -> Effect {
        fn set<K: Ord, V>(table: &mut BTreeMap<K, V>, key: K, value: V) -> Effect {
            table.insert(key, value).map_or(Effect::Added, |_old| Effect::Replaced)
        }
        fn remove<K: Ord, V>(table: &mut BTreeMap<K, V>, key: &K) -> Effect {
            table.remove(key);
            Effect::Removed
        }
        match op {
            Op::SetVtep { address, entry } => set(&mut self.vteps, address, entry),
            Op::SetMember { vni, vtep, index } => set(&mut self.members, (vni, vtep), index),
            Op::SetFlood { vni, position, target } => set(&mut self.flood, (vni, position), target),
            Op::SetNetwork { vni, network } => set(&mut self.networks, vni, network),
            Op::SetFdb { vni, mac, target } => set(&mut self.fdb, (vni, mac), target),
            Op::SetNeigh { vni, address, mac } => set(&mut self.neigh, (vni, address), mac),
            Op::SetPort { ifindex, entry } => set(&mut self.ports, ifindex, entry),
            Op::RemovePort { ifindex } => remove(&mut self.ports, &ifindex),
            Op::RemoveNeigh { vni, address } => remove(&mut self.neigh, &(vni, address)),
            Op::RemoveFdb { vni, mac } => remove(&mut self.fdb, &(vni, mac)),
            Op::RemoveFlood { vni, position } => remove(&mut self.flood, &(vni, position)),
            Op::RemoveMember { vni, vtep } => remove(&mut self.members, &(vni, vtep)),
            Op::RemoveVtep { address, index: _ } => remove(&mut self.vteps, &address),
            Op::RemoveNetwork { vni } => remove(&mut self.networks, &vni),
        }
    }
}

/// The writes that lead from `held` to `desired`: those for before the ports' links are reconciled, and those for
/// after it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Plan {
    /// What is added and replaced.
    pub(super) first: Vec<Op>,
    /// What is removed.
    pub(super) then: Vec<Op>,
}

/// Compares `held` with `desired`, which says of the entries of `extent` what there should be, and of all tunnels.
///
/// # Errors
///
/// [`Error::Full`] where a map has no room for what it should hold in the end; nothing is to be written then.
pub(super) fn plan(
    held: &Tables,
    desired: &Desired,
    sweep: Sweep,
    extent: Extent<'_>,
) -> Result<Plan, Error> {
    let hosts = hosts(&held.vteps, &desired.tunnels)?;
    let vteps = Difference::between(&VTEPS, Held::whole(&held.vteps), &hosts, sweep)?.order(
        |address, entry| Op::SetVtep { address, entry },
        |address| Op::RemoveVtep { address, index: held.vteps[&address].index },
    );
    let members = members(desired, &hosts);
    let there = extent.of_networks(&held.members, members_of);
    let members = Difference::between(&MEMBERS, there, &members, sweep)?.order(
        |(vni, vtep), index| Op::SetMember { vni, vtep, index },
        |(vni, vtep)| Op::RemoveMember { vni, vtep },
    );
    let lists = Lists::of(&held.flood, &desired.flood, sweep, extent)?;
    let with_list = |(&vni, &entry): (&Vni, &NetworkEntry)| {
        (vni, HeldNetwork { entry, places: lists.places(vni).during })
    };
    let networks: BTreeMap<_, _> = desired.networks.iter().map(with_list).collect();
    let shorter = networks.iter().filter_map(|(&vni, network)| {
        let places = lists.places(vni).after;
        let network = HeldNetwork { places, ..*network };
        (places < lists.places(vni).during).then_some(Op::SetNetwork { vni, network })
    });
    let shorter: Vec<Op> = shorter.collect();
    let there = extent.held(&held.networks, |of| &of.networks);
    let networks = Difference::between(&NETWORKS, there, &networks, sweep)?
        .order(|vni, network| Op::SetNetwork { vni, network }, |vni| Op::RemoveNetwork { vni });
    let flood = lists.order();
    let there = extent.held(&held.fdb, |of| &of.fdb);
    let fdb = Difference::between(&FDB, there, &desired.fdb, sweep)?.order(
        |(vni, mac), target| Op::SetFdb { vni, mac, target },
        |(vni, mac)| Op::RemoveFdb { vni, mac },
    );
    let neigh4 = neighbours(&NEIGH4, (held, desired), sweep, extent, IpAddr::is_ipv4)?;
    let neigh6 = neighbours(&NEIGH6, (held, desired), sweep, extent, IpAddr::is_ipv6)?;
    let ports = desired.ports.iter().map(|(index, port)| (index, &port.entry));
    let there = extent.held(&held.ports, |of| &of.ports);
    let ports = Difference::between(&PORTS, there, ports, sweep)?.order(
        |ifindex, entry| Op::SetPort { ifindex, entry },
        |ifindex| Op::RemovePort { ifindex },
    );

    let mut plan = Plan::default();
    for (first, _) in [&vteps, &members, &flood, &networks, &fdb, &neigh4, &neigh6, &ports] {
        plan.first.extend_from_slice(first);
    }
    let shorter = (Vec::new(), shorter);
    for (_, then) in [&ports, &neigh6, &neigh4, &fdb, &flood, &shorter, &members, &vteps, &networks]
    {
        plan.then.extend_from_slice(then);
    }
    Ok(plan)
}

/// Gives each host that is new the lowest index that no other host has, or had until now.
fn hosts(
    held: &BTreeMap<IpAddr, VtepEntry>,
    wanted: &BTreeMap<IpAddr, u16>,
) -> Result<BTreeMap<IpAddr, VtepEntry>, Error> {
    let taken: BTreeSet<u32> = held.values().map(|entry| entry.index).collect();
    let mut free = VTEPS.indices().filter(|index| !taken.contains(index));
    let entry = |(&address, &mtu): (&IpAddr, &u16)| {
        let old = held.get(&address).map(|entry| entry.index);
        let index = old.or_else(|| free.next());
        let index = index.ok_or_else(|| VTEPS.full(held.len() + wanted.len()))?;
        Ok((address, VtepEntry { index, mtu }))
    };
    wanted.iter().map(entry).collect()
}

/// The other hosts with a place in the list of each network.
fn members(desired: &Desired, hosts: &BTreeMap<IpAddr, VtepEntry>) -> BTreeMap<(Vni, IpAddr), u32> {
    let all = desired.flood.iter().flat_map(|(&vni, list)| list.iter().map(move |of| (vni, of)));
    all.filter_map(|(vni, target)| {
        let FdbTarget::Remote { vtep } = *target else { return None };
        Some(((vni, vtep), hosts.get(&vtep)?.index))
    })
    .collect()
}

/// The keys that MEMBERS may have of one network.
fn members_of(vni: Vni) -> RangeInclusive<(Vni, IpAddr)> {
    (vni, Ipv4Addr::UNSPECIFIED.into())..=(vni, Ipv6Addr::from_bits(u128::MAX).into())
}

/// How the neighbours of one family have to change.
fn neighbours(
    map: &Layout,
    (held, desired): (&Tables, &Desired),
    sweep: Sweep,
    extent: Extent<'_>,
    of_family: impl Fn(&IpAddr) -> bool,
) -> Result<(Vec<Op>, Vec<Op>), Error> {
    let belongs = |((_, address), _): &(&(Vni, IpAddr), &MacAddr)| of_family(address);
    let there = extent.held(&held.neigh, |of| &of.neigh);
    let there = Held {
        entries: Box::new(there.entries.filter(belongs)),
        all: held.neigh.keys().filter(|(_, address)| of_family(address)).count(),
    };
    let wanted = desired.neigh.iter().filter(belongs);
    Ok(Difference::between(map, there, wanted, sweep)?.order(
        |(vni, address), mac| Op::SetNeigh { vni, address, mac },
        |(vni, address)| Op::RemoveNeigh { vni, address },
    ))
}

#[cfg(test)]
mod tests;
