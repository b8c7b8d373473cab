//! What the servers answer from: a snapshot, never changed, only replaced.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    net::IpAddr,
    sync::Arc,
};

use ipnet::IpNet;

use crate::model::{Endpoint, Name, Network, NetworkId, SandboxId};

/// The names of every network of interest, and which of them each asker on this host may see.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Directory {
    zones: HashMap<NetworkId, Zone>,
    gateways: HashSet<IpAddr>,
}

/// One network's names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Zone {
    /// The network's name, in lower case.
    pub(super) name: String,
    /// Whether its members have no names from outside.
    pub(super) internal: bool,
    /// Its subnets: addresses in them are not asked for elsewhere.
    pub(super) subnets: Vec<IpNet>,
    /// Names and aliases in lower case, for RFC 4343 has names compared without case.
    addresses: HashMap<String, Vec<IpAddr>>,
    /// The names of endpoints by address, as they were given.
    names: HashMap<IpAddr, Vec<Name>>,
    /// The networks of the sandbox that asks from an address of this network, in the order joined.
    joined: HashMap<IpAddr, Arc<[NetworkId]>>,
}

impl Directory {
    /// Makes the snapshot in one pass over `networks` and `endpoints`.
    ///
    /// Endpoints that are not attached have no names, but for stations outside; those of a host that died keep theirs until they are taken.
    /// `joined` names the sandboxes of this host, each with its networks in the order joined. A network in which a
    /// sandbox has an endpoint but that is not in its list comes after those that are.
    pub fn build<'a>(
        networks: impl IntoIterator<Item = &'a Network>,
        endpoints: impl IntoIterator<Item = &'a Endpoint>,
        joined: &BTreeMap<SandboxId, Vec<NetworkId>>,
    ) -> Self {
        let mut directory = Self::default();
        for network in networks {
            directory.gateways.extend(network.subnets.iter().map(|subnet| subnet.gateway));
            directory.zones.insert(network.id.clone(), Zone::of(network));
        }
        let mut local: BTreeMap<&SandboxId, Vec<&Endpoint>> = BTreeMap::new();
        for endpoint in endpoints {
            if endpoint.vteps().is_none() {
                continue;
            }
            let Some(zone) = directory.zones.get_mut(&endpoint.network) else { continue };
            zone.add(endpoint);
            if let Some(owner) = &endpoint.owner
                && joined.contains_key(&owner.sandbox)
            {
                local.entry(&owner.sandbox).or_default().push(endpoint);
            }
        }
        for (sandbox, endpoints) in local {
            let order = joined.get(sandbox).map_or(&[][..], Vec::as_slice);
            directory.add_asker(order, &endpoints);
        }
        directory
    }

    fn add_asker(&mut self, order: &[NetworkId], endpoints: &[&Endpoint]) {
        let member: BTreeSet<&NetworkId> = endpoints.iter().map(|e| &e.network).collect();
        let mut networks: Vec<NetworkId> = Vec::with_capacity(member.len());
        for network in order.iter().chain(endpoints.iter().map(|e| &e.network)) {
            if member.contains(network) && !networks.contains(network) {
                networks.push(network.clone());
            }
        }
        let networks: Arc<[NetworkId]> = networks.into();
        for endpoint in endpoints {
            if let Some(zone) = self.zones.get_mut(&endpoint.network) {
                let addresses = endpoint.addresses.iter().map(IpNet::addr);
                zone.joined.extend(addresses.map(|address| (address, Arc::clone(&networks))));
            }
        }
    }

    /// The networks whose names the asker sees, in the order joined; nothing where the network is not known (yet).
    ///
    /// An asker that is not known sees the network that it asks in: the listener is bound to that network's device
    /// and the data plane has checked the source, so a member is what it is.
    pub(super) fn seen_by(&self, network: &NetworkId, asker: IpAddr) -> Vec<&Zone> {
        let Some(zone) = self.zones.get(network) else { return Vec::new() };
        match zone.joined.get(&asker) {
            Some(networks) => networks.iter().filter_map(|id| self.zones.get(id)).collect(),
            None => vec![zone],
        }
    }

    /// Whether an address is the gateway of one of our networks, where we ourselves would answer.
    pub(super) fn is_gateway(&self, address: IpAddr) -> bool {
        self.gateways.contains(&address)
    }
}

impl Zone {
    fn of(network: &Network) -> Self {
        Self {
            name: network.name.as_str().to_ascii_lowercase(),
            internal: network.internal,
            subnets: network.subnets.iter().map(|subnet| subnet.cidr).collect(),
            ..Self::default()
        }
    }

    fn add(&mut self, endpoint: &Endpoint) {
        // An alias may repeat the name or, but for its case, another alias.
        let names: BTreeSet<String> = std::iter::once(&endpoint.name)
            .chain(&endpoint.aliases)
            .map(|name| name.as_str().to_ascii_lowercase())
            .collect();
        for name in names {
            let addresses = endpoint.addresses.iter().map(IpNet::addr);
            self.addresses.entry(name).or_default().extend(addresses);
        }
        for address in &endpoint.addresses {
            self.names.entry(address.addr()).or_default().push(endpoint.name.clone());
        }
    }

    /// The addresses of a name that is in lower case already.
    pub(super) fn addresses(&self, name: &str) -> Option<&[IpAddr]> {
        self.addresses.get(name).map(Vec::as_slice)
    }

    /// The names of the endpoints that have an address.
    pub(super) fn names(&self, address: IpAddr) -> Option<&[Name]> {
        self.names.get(&address).map(Vec::as_slice)
    }
}
