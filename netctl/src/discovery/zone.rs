//! One network's names.

use std::{
    collections::{BTreeSet, HashMap},
    net::IpAddr,
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
    members: Vec<Member>,
    /// Members by name and alias in lower case, for RFC 4343 has names compared without case. A name that is taken, but
    /// by nobody who can be reached, is there without members.
    names: HashMap<String, Vec<usize>>,
    addresses: HashMap<IpAddr, Vec<usize>>,
}

/// An endpoint that can be reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Member {
    /// As it was given.
    pub(super) name: Name,
    pub(super) addresses: Vec<IpAddr>,
    exposed: Vec<ExposedPort>,
}

impl Zone {
    /// Makes it of a network and its endpoints, in one pass.
    ///
    /// Endpoints that are not attached, but for stations outside, and those of hosts that are `dead`, have no addresses to tell; their names stay
    /// the network's.
    pub fn build<'a>(
        network: &'a Network,
        endpoints: impl IntoIterator<Item = &'a Endpoint>,
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

    fn add(&mut self, endpoint: &Endpoint, reachable: bool) {
        // An alias may repeat the name or, but for its case, another alias.
        let names: BTreeSet<String> = std::iter::once(&endpoint.name)
            .chain(&endpoint.aliases)
            .map(|name| name.as_str().to_ascii_lowercase())
            .collect();
        let index = self.members.len();
        for name in names {
            self.names.entry(name).or_default().extend(reachable.then_some(index));
        }
        if reachable {
            let addresses: Vec<IpAddr> = endpoint.addresses.iter().map(IpNet::addr).collect();
            for &address in &addresses {
                self.addresses.entry(address).or_default().push(index);
            }
            let (name, exposed) = (endpoint.name.clone(), endpoint.exposed.clone());
            self.members.push(Member { name, addresses, exposed });
        }
    }

    /// Who has a name that is in lower case already; nothing where the name is not the network's.
    pub(super) fn named(&self, name: &str) -> Option<Vec<&Member>> {
        self.names.get(name).map(|members| self.members(members))
    }

    /// Who has an address.
    pub(super) fn at(&self, address: IpAddr) -> Option<Vec<&Member>> {
        self.addresses.get(&address).map(|members| self.members(members))
    }

    fn members(&self, indices: &[usize]) -> Vec<&Member> {
        indices.iter().filter_map(|&index| self.members.get(index)).collect()
    }
}

impl Member {
    /// The numbers of its ports of that transport that are called so, by name or by number.
    pub(super) fn ports(&self, called: &str, transport: Transport) -> BTreeSet<u16> {
        let is_called = |port: &&ExposedPort| {
            let name = port.name.as_ref().map(Name::as_str);
            name.is_some_and(|name| name.eq_ignore_ascii_case(called))
                || port.port.to_string() == called
        };
        self.exposed
            .iter()
            .filter(|port| port.transport == transport)
            .filter(is_called)
            .map(|port| port.port.get())
            .collect()
    }
}
