//! From what the maps hold to what they should: a list of single writes, in an order that is safe at every step.
//!
//! An entry of FDB that names another host is written after that host's entry in VTEPS and removed before it, so a
//! packet never finds a target without an outer header. Entries of one map are added before others are removed, so
//! nothing that should work ever stops; only where a map has no room for both does it go the other way round.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use super::{
    Desired, Error, FdbTarget, NetworkEntry, PortEntry, Sweep,
    layout::{FDB, Layout, NEIGH4, NETWORKS, PORTS, VTEPS},
};
use crate::model::{MacAddr, Vni};

/// The contents of the maps.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Tables {
    pub(super) vteps: BTreeMap<IpAddr, VtepEntry>,
    pub(super) networks: BTreeMap<Vni, NetworkEntry>,
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

/// One write to one map, or the pair of writes that one host takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Op {
    SetVtep { address: IpAddr, entry: VtepEntry },
    SetNetwork { vni: Vni, entry: NetworkEntry },
    SetFdb { vni: Vni, mac: MacAddr, target: FdbTarget },
    SetNeigh { vni: Vni, address: IpAddr, mac: MacAddr },
    SetPort { ifindex: u32, entry: PortEntry },
    RemovePort { ifindex: u32 },
    RemoveNeigh { vni: Vni, address: IpAddr },
    RemoveFdb { vni: Vni, mac: MacAddr },
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
        match op {
            Op::SetVtep { address, entry } => set(&mut self.vteps, address, entry),
            Op::SetNetwork { vni, entry } => set(&mut self.networks, vni, entry),
            Op::SetFdb { vni, mac, target } => set(&mut self.fdb, (vni, mac), target),
            Op::SetNeigh { vni, address, mac } => set(&mut self.neigh, (vni, address), mac),
            Op::SetPort { ifindex, entry } => set(&mut self.ports, ifindex, entry),
            Op::RemovePort { ifindex } => {
                self.ports.remove(&ifindex);
                Effect::Removed
            }
            Op::RemoveNeigh { vni, address } => {
                self.neigh.remove(&(vni, address));
                Effect::Removed
            }
            Op::RemoveFdb { vni, mac } => {
                self.fdb.remove(&(vni, mac));
                Effect::Removed
            }
            Op::RemoveVtep { address, index: _ } => {
                self.vteps.remove(&address);
                Effect::Removed
            }
            Op::RemoveNetwork { vni } => {
                self.networks.remove(&vni);
                Effect::Removed
            }
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

/// Compares `held` with `desired`.
///
/// # Errors
///
/// [`Error::Full`] where a map has no room for what it should hold in the end; nothing is to be written then.
pub(super) fn plan(held: &Tables, desired: &Desired, sweep: Sweep) -> Result<Plan, Error> {
    let ports: BTreeMap<_, _> =
        desired.ports.iter().map(|(&index, port)| (index, port.entry.clone())).collect();
    let remotes = desired.fdb.values().filter_map(|target| match *target {
        FdbTarget::Remote { vtep } => Some(vtep),
        FdbTarget::Local { .. } => None,
    });
    let vteps = hosts(&held.vteps, &remotes.collect(), desired.tunnel_mtu, sweep)?;
    let networks = Difference::of(&NETWORKS, &held.networks, &desired.networks, sweep)?
        .order(|vni, entry| Op::SetNetwork { vni, entry }, |vni| Op::RemoveNetwork { vni });
    let fdb = Difference::of(&FDB, &held.fdb, &desired.fdb, sweep)?.order(
        |(vni, mac), target| Op::SetFdb { vni, mac, target },
        |(vni, mac)| Op::RemoveFdb { vni, mac },
    );
    let neigh = Difference::of(&NEIGH4, &held.neigh, &desired.neigh, sweep)?.order(
        |(vni, address), mac| Op::SetNeigh { vni, address, mac },
        |(vni, address)| Op::RemoveNeigh { vni, address },
    );
    let ports = Difference::of(&PORTS, &held.ports, &ports, sweep)?.order(
        |ifindex, entry| Op::SetPort { ifindex, entry },
        |ifindex| Op::RemovePort { ifindex },
    );

    let mut plan = Plan::default();
    for (first, _) in [&vteps, &networks, &fdb, &neigh, &ports] {
        plan.first.extend_from_slice(first);
    }
    for (_, then) in [&ports, &neigh, &fdb, &vteps, &networks] {
        plan.then.extend_from_slice(then);
    }
    Ok(plan)
}

/// Gives each host that is new the lowest index that no other host has, or had until now.
fn hosts(
    held: &BTreeMap<IpAddr, VtepEntry>,
    wanted: &BTreeSet<IpAddr>,
    mtu: u16,
    sweep: Sweep,
) -> Result<(Vec<Op>, Vec<Op>), Error> {
    let taken: BTreeSet<u32> = held.values().map(|entry| entry.index).collect();
    let mut free = VTEPS.indices().filter(|index| !taken.contains(index));
    let mut set = Vec::new();
    for &address in wanted {
        let old = held.get(&address);
        let index = old.map(|entry| entry.index).or_else(|| free.next());
        let index = index.ok_or_else(|| VTEPS.full(held.len() + wanted.len()))?;
        let entry = VtepEntry { index, mtu };
        if old != Some(&entry) {
            set.push(Op::SetVtep { address, entry });
        }
    }
    let gone =
        held.iter().filter(|(address, _)| sweep == Sweep::Remove && !wanted.contains(*address));
    let gone = gone.map(|(&address, &VtepEntry { index, .. })| Op::RemoveVtep { address, index });
    Ok((set, gone.collect()))
}

/// How one map has to change.
struct Difference<K, V> {
    set: Vec<(K, V)>,
    gone: Vec<K>,
    /// The map cannot hold both what comes and what goes.
    crowded: bool,
}

impl<K: Ord + Copy, V: PartialEq + Clone> Difference<K, V> {
    fn of(
        map: &Layout,
        held: &BTreeMap<K, V>,
        desired: &BTreeMap<K, V>,
        sweep: Sweep,
    ) -> Result<Self, Error> {
        let set = desired.iter().filter(|(key, value)| held.get(key) != Some(value));
        let set: Vec<(K, V)> = set.map(|(&key, value)| (key, value.clone())).collect();
        let gone: Vec<K> = match sweep {
            Sweep::Remove => {
                held.keys().copied().filter(|key| !desired.contains_key(key)).collect()
            }
            Sweep::Keep => Vec::new(),
        };
        let new = set.iter().filter(|(key, _)| !held.contains_key(key)).count();
        let together = held.len() + new;
        let after = together - gone.len();
        let capacity = usize::try_from(map.capacity).unwrap_or(usize::MAX);
        if after > capacity {
            return Err(map.full(after));
        }
        Ok(Self { set, gone, crowded: together > capacity })
    }

    /// Makes of it what is done first, and what is done after all that.
    fn order(self, set: impl Fn(K, V) -> Op, remove: impl Fn(K) -> Op) -> (Vec<Op>, Vec<Op>) {
        let set = self.set.into_iter().map(|(key, value)| set(key, value));
        let gone = self.gone.into_iter().map(remove);
        if self.crowded {
            (gone.chain(set).collect(), Vec::new())
        } else {
            (set.collect(), gone.collect())
        }
    }
}

#[cfg(test)]
mod tests;
