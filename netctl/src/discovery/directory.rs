//! What the servers answer from: a snapshot, never changed, only replaced.

use std::{
    collections::{HashMap, HashSet},
    net::IpAddr,
    sync::Arc,
};

use super::zone::Zone;
use crate::model::{LinkAlias, NetworkId};

/// The names of every network of interest, and which of them each asker on this host may see.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Directory {
    zones: HashMap<NetworkId, Arc<Zone>>,
    /// Askers by the address that they ask from, in each network.
    askers: HashMap<NetworkId, HashMap<IpAddr, Arc<Asker>>>,
    gateways: HashSet<IpAddr>,
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
    pub fn new(
        zones: impl IntoIterator<Item = (NetworkId, Arc<Zone>)>,
        askers: impl IntoIterator<Item = Asker>,
    ) -> Self {
        let zones: HashMap<NetworkId, Arc<Zone>> = zones.into_iter().collect();
        let gateways = zones.values().flat_map(|zone| zone.gateways.iter().copied()).collect();
        let mut directory = Self { zones, askers: HashMap::new(), gateways };
        for asker in askers.into_iter().map(Arc::new) {
            for Joined { network, addresses, .. } in &asker.joined {
                let here = directory.askers.entry(network.clone()).or_default();
                here.extend(addresses.iter().map(|&address| (address, Arc::clone(&asker))));
            }
        }
        directory
    }

    /// What the asker sees; nothing where the network is not known (yet).
    ///
    /// An asker that is not known sees the network that it asks in: the listener is bound to that network's device
    /// and the data plane has checked the source, so a member is what it is.
    pub(super) fn seen_by(&self, network: &NetworkId, asker: IpAddr) -> Option<View<'_>> {
        let (network, own) = self.zones.get_key_value(network)?;
        let asker = self.askers.get(network).and_then(|here| here.get(&asker)).map(Arc::as_ref);
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
