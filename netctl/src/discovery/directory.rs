//! What the servers answer from: a snapshot, never changed, only replaced.

use std::{
    collections::{HashMap, HashSet},
    net::IpAddr,
    sync::Arc,
};

use rpds::HashTrieMapSync;

use super::zone::Zone;
use crate::model::{LinkAlias, NetworkId, SandboxId};

/// The names of every network of interest, and which of them each asker on this host may see.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Directory {
    zones: HashMap<NetworkId, Arc<Zone>>,
    askers: Askers,
    gateways: HashSet<IpAddr>,
}

/// Those who ask. A copy shares what is the same with what it was copied from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Askers {
    all: HashTrieMapSync<SandboxId, Arc<Asker>>,
    /// By the address that they ask from, in each network.
    at: HashTrieMapSync<(NetworkId, IpAddr), (SandboxId, Arc<Asker>)>,
    contended: bool,
}

impl Askers {
    /// Has a sandbox be this, or not there, in place of what it was.
    pub fn set(&mut self, sandbox: &SandboxId, asker: Option<Asker>) {
        if self.all.get(sandbox).map(Arc::as_ref) == asker.as_ref() {
            return;
        }
        if let Some(old) = self.all.get(sandbox).cloned() {
            self.all.remove_mut(sandbox);
            for place in old.places() {
                if self.at.get(&place).is_some_and(|(of, _)| of == sandbox) {
                    self.at.remove_mut(&place);
                }
            }
        }
        let Some(new) = asker.map(Arc::new) else { return };
        self.all.insert_mut(sandbox.clone(), Arc::clone(&new));
        for place in new.places() {
            self.contended |= self.at.get(&place).is_some_and(|(of, _)| of != sandbox);
            self.at.insert_mut(place, (sandbox.clone(), Arc::clone(&new)));
        }
    }

    /// Whether two of them ever had the same address, so that what is known of one may be hidden by the other: it is to be
    /// made anew.
    pub fn are_contended(&self) -> bool {
        self.contended
    }

    fn at(&self, network: &NetworkId, address: IpAddr) -> Option<&Asker> {
        self.at.get(&(network.clone(), address)).map(|(_, asker)| asker.as_ref())
    }
}

/// A sandbox of this host, as one who asks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Asker {
    /// What it joined, in that order.
    pub joined: Vec<Joined>,
    /// Name servers to ask for names from outside, in place of the host's.
    pub servers: Vec<IpAddr>,
    /// Whether names without a dot are asked for nowhere else: its own resolver tries them with a domain.
    pub qualifies: bool,
    /// Whether its questions are led here though they are meant for others, who are asked for names from outside.
    pub led: bool,
    /// Whether it is in other networks too, by which it has a way to name servers outside.
    pub elsewhere: bool,
}

impl Asker {
    /// Where it asks from.
    fn places(&self) -> impl Iterator<Item = (NetworkId, IpAddr)> {
        let of = |joined: &'_ Joined| (joined.network.clone(), joined.addresses.clone());
        let all = self.joined.iter().map(of);
        all.flat_map(|(network, addresses)| {
            addresses.into_iter().map(move |a| (network.clone(), a))
        })
    }
}

/// A network as one sandbox sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Joined {
    /// The network.
    pub network: NetworkId,
    /// The sandbox's own addresses there.
    pub addresses: Vec<IpAddr>,
    /// Names that the sandbox alone has for services there.
    pub aliases: Vec<LinkAlias>,
}

/// What one asker sees.
#[derive(Debug)]
pub(super) struct View<'a> {
    /// The networks whose names it sees, in the order joined.
    pub(super) zones: Vec<(&'a NetworkId, &'a Zone)>,
    /// Who it is, if that is known.
    pub(super) asker: Option<&'a Asker>,
}

impl Directory {
    /// Makes the snapshot of the networks of interest and the sandboxes of this host.
    pub fn new(zones: impl IntoIterator<Item = (NetworkId, Arc<Zone>)>, askers: Askers) -> Self {
        let zones: HashMap<NetworkId, Arc<Zone>> = zones.into_iter().collect();
        let gateways = zones.values().flat_map(|zone| zone.gateways.iter().copied()).collect();
        Self { zones, askers, gateways }
    }

    /// What the asker sees; nothing where the network is not known (yet).
    ///
    /// An asker that is not known sees the network that it asks in: the listener is bound to that network's device
    /// and the data plane has checked the source, so a member is what it is.
    pub(super) fn seen_by(&self, network: &NetworkId, asker: IpAddr) -> Option<View<'_>> {
        let (network, own) = self.zones.get_key_value(network)?;
        let asker = self.askers.at(network, asker);
        let mut zones: Vec<(&NetworkId, &Zone)> = Vec::new();
        for Joined { network, .. } in asker.iter().flat_map(|asker| &asker.joined) {
            if let Some(zone) = self.zones.get(network)
                && !zones.iter().any(|(seen, _)| *seen == network)
            {
                zones.push((network, zone));
            }
        }
        if zones.is_empty() {
            zones.push((network, own));
        }
        Some(View { zones, asker })
    }

    /// Whether an address is the gateway of one of our networks, where we ourselves would answer.
    pub(super) fn is_gateway(&self, address: IpAddr) -> bool {
        self.gateways.contains(&address)
    }
}

impl View<'_> {
    /// The names that the asker alone has for services of a network.
    pub(super) fn aliases(&self, network: &NetworkId) -> impl Iterator<Item = &LinkAlias> {
        let joined = self.asker.into_iter().flat_map(|asker| &asker.joined);
        joined.filter(move |joined| joined.network == *network).flat_map(|joined| &joined.aliases)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    /// A sandbox with these addresses in one network.
    fn asker(network: &NetworkId, addresses: &[u8]) -> Asker {
        let addresses = addresses.iter().map(|last| IpAddr::from([10, 0, 0, *last])).collect();
        let joined = vec![Joined { network: network.clone(), addresses, aliases: Vec::new() }];
        Asker { joined, ..Asker::default() }
    }

    proptest! {
        #[test]
        fn askers_that_changed_are_those_that_are_made_anew(
            changes in prop::collection::vec(
                (0..4_u8, prop::option::of(prop::collection::vec(0..9_u8, 0..3))), 1..30,
            ),
        ) {
            let network = NetworkId::random();
            let (mut askers, mut all) = (Askers::default(), BTreeMap::new());
            for (sandbox, addresses) in changes {
                let sandbox = SandboxId::from_bytes([sandbox; 32]);
                let asker = addresses.map(|addresses| asker(&network, &addresses));
                askers.set(&sandbox, asker.clone());
                all.remove(&sandbox);
                all.extend(asker.map(|asker| (sandbox, asker)));
                let mut anew = Askers::default();
                for (sandbox, asker) in &all {
                    anew.set(sandbox, Some(asker.clone()));
                }
                if askers.are_contended() {
                    // It says so, and is made anew.
                    askers = anew;
                } else {
                    prop_assert_eq!(&askers, &anew);
                }
            }
        }
    }
}
