//! One network's names.

use std::{
    collections::{BTreeSet, HashMap},
    net::IpAddr,
    sync::Arc,
};

use ipnet::IpNet;

use crate::model::{Endpoint, ExposedPort, HostName, Name, Network, Transport};

/// One network's names: what its endpoints make of them, and nothing else.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Zone {
    /// The network's name, in lower case.
    pub(super) name: String,
    /// Whether its members have no names from outside.
    pub(super) internal: bool,
    /// Its subnets: addresses in them are not asked for elsewhere.
    pub(super) subnets: Vec<IpNet>,
    /// Where its names are served.
    pub(super) gateways: Vec<IpAddr>,
    /// The endpoints that can be reached.
    members: Vec<Arc<Endpoint>>,
    /// Members by name and alias in lower case, for RFC 4343 has names compared without case. A name that is taken, but
    /// by nobody who can be reached, is there without members.
    names: HashMap<String, Vec<usize>>,
    addresses: HashMap<IpAddr, Vec<usize>>,
}

impl Zone {
    /// Makes it of a network and its endpoints, in one pass.
    ///
    /// Endpoints that are not attached, but for stations outside, and those of hosts that are `dead`, have no addresses to tell; their names stay
    /// the network's.
    pub fn build<'a>(
        network: &'a Network,
        endpoints: impl IntoIterator<Item = &'a Arc<Endpoint>>,
        dead: impl Fn(&HostName) -> bool,
    ) -> Self {
        let mut zone = Self {
            name: network.name.as_str().to_ascii_lowercase(),
            internal: network.internal,
            subnets: network.subnets.iter().map(|subnet| subnet.cidr).collect(),
            gateways: network.subnets.iter().map(|subnet| subnet.gateway).collect(),
            ..Self::default()
        };
        for endpoint in endpoints {
            let reachable = match &endpoint.owner {
                Some(owner) => !dead(&owner.host),
                // Where it is, nobody here can see.
                None => endpoint.vtep.is_some(),
            };
            zone.add(endpoint, reachable);
        }
        zone
    }

    fn add(&mut self, endpoint: &Arc<Endpoint>, reachable: bool) {
        let index = self.members.len();
        for name in std::iter::once(&endpoint.name).chain(&endpoint.aliases) {
            let members = self.names.entry(name.as_str().to_ascii_lowercase()).or_default();
            // An alias may repeat the name or, but for its case, another alias.
            if reachable && members.last() != Some(&index) {
                members.push(index);
            }
        }
        if reachable {
            for address in endpoint.addresses.iter().map(IpNet::addr) {
                self.addresses.entry(address).or_default().push(index);
            }
            self.members.push(Arc::clone(endpoint));
        }
    }

    /// Who has a name that is in lower case already; nothing where the name is not the network's.
    pub(super) fn named(&self, name: &str) -> Option<Vec<&Endpoint>> {
        self.names.get(name).map(|members| self.members(members))
    }

    /// Who has an address.
    pub(super) fn at(&self, address: IpAddr) -> Option<Vec<&Endpoint>> {
        self.addresses.get(&address).map(|members| self.members(members))
    }

    fn members(&self, indices: &[usize]) -> Vec<&Endpoint> {
        indices.iter().filter_map(|&index| self.members.get(index)).map(Arc::as_ref).collect()
    }
}

/// The numbers of an endpoint's ports of that transport that are called so, by name or by number.
pub(super) fn ports(endpoint: &Endpoint, called: &str, transport: Transport) -> BTreeSet<u16> {
    let is_called = |port: &&ExposedPort| {
        let name = port.name.as_ref().map(Name::as_str);
        name.is_some_and(|name| name.eq_ignore_ascii_case(called))
            || port.port.to_string() == called
    };
    endpoint
        .exposed
        .iter()
        .filter(|port| port.transport == transport)
        .filter(is_called)
        .map(|port| port.port.get())
        .collect()
}
