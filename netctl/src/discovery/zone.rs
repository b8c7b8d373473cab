//! One network's names.

use std::{collections::BTreeSet, net::IpAddr, sync::Arc};

use ipnet::IpNet;
use rpds::HashTrieMapSync;

use crate::model::{Endpoint, EndpointId, ExposedPort, HostName, Name, Network, Transport};

/// One network's names: what its endpoints make of them, and nothing else.
///
/// It is never changed once it is served: one that differs in some endpoints shares the rest with it.
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
    /// The endpoints, each with whether it can be reached.
    endpoints: HashTrieMapSync<EndpointId, (Arc<Endpoint>, bool)>,
    /// By name and alias in lower case, for RFC 4343 has names compared without case. A name that is taken, but by nobody who
    /// can be reached, is there without members.
    names: HashTrieMapSync<String, Named>,
    /// Those that can be reached, by address.
    addresses: HashTrieMapSync<IpAddr, Members>,
}

/// Who has a name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Named {
    /// How many have it.
    holders: usize,
    /// Those of them that can be reached.
    members: Members,
}

/// Endpoints, in the order of their identifiers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Members(Vec<Arc<Endpoint>>);

impl Members {
    fn add(&mut self, endpoint: &Arc<Endpoint>) {
        let at = self.0.partition_point(|member| member.id < endpoint.id);
        self.0.insert(at, Arc::clone(endpoint));
    }

    fn remove(&mut self, endpoint: &Endpoint) {
        self.0.retain(|member| member.id != endpoint.id);
    }

    fn all(&self) -> Vec<&Endpoint> {
        self.0.iter().map(Arc::as_ref).collect()
    }
}

impl Zone {
    /// Makes it of a network and its endpoints.
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
            zone.set(&endpoint.id, Some(endpoint), &dead);
        }
        zone
    }

    /// Has an endpoint be this, or not there, in place of what it was.
    pub fn set(
        &mut self,
        id: &EndpointId,
        endpoint: Option<&Arc<Endpoint>>,
        dead: impl Fn(&HostName) -> bool,
    ) {
        if let Some((old, reachable)) = self.endpoints.get(id).cloned() {
            self.endpoints.remove_mut(id);
            self.remove(&old, reachable);
        }
        if let Some(endpoint) = endpoint {
            let reachable = match &endpoint.owner {
                Some(owner) => !dead(&owner.host),
                // Where it is, nobody here can see.
                None => endpoint.vtep.is_some(),
            };
            self.endpoints.insert_mut(id.clone(), (Arc::clone(endpoint), reachable));
            self.add(endpoint, reachable);
        }
    }

    fn add(&mut self, endpoint: &Arc<Endpoint>, reachable: bool) {
        for name in names(endpoint) {
            let mut named = self.names.get(&name).cloned().unwrap_or_default();
            named.holders += 1;
            if reachable {
                named.members.add(endpoint);
            }
            self.names.insert_mut(name, named);
        }
        for address in addresses(endpoint).filter(|_| reachable) {
            let mut members = self.addresses.get(&address).cloned().unwrap_or_default();
            members.add(endpoint);
            self.addresses.insert_mut(address, members);
        }
    }

    fn remove(&mut self, endpoint: &Endpoint, reachable: bool) {
        for name in names(endpoint) {
            let Some(named) = self.names.get_mut(&name) else { continue };
            named.holders -= 1;
            named.members.remove(endpoint);
            if named.holders == 0 {
                self.names.remove_mut(&name);
            }
        }
        for address in addresses(endpoint).filter(|_| reachable) {
            let Some(members) = self.addresses.get_mut(&address) else { continue };
            members.remove(endpoint);
            if members.0.is_empty() {
                self.addresses.remove_mut(&address);
            }
        }
    }

    /// Who has a name that is in lower case already; nothing where the name is not the network's.
    pub(super) fn named(&self, name: &str) -> Option<Vec<&Endpoint>> {
        self.names.get(name).map(|named| named.members.all())
    }

    /// Who has an address.
    pub(super) fn at(&self, address: IpAddr) -> Option<Vec<&Endpoint>> {
        self.addresses.get(&address).map(Members::all)
    }
}

/// What an endpoint is called, in lower case: an alias may repeat the name or, but for its case, another alias.
fn names(endpoint: &Endpoint) -> BTreeSet<String> {
    let all = std::iter::once(&endpoint.name).chain(&endpoint.aliases);
    all.map(|name| name.as_str().to_ascii_lowercase()).collect()
}

/// Its addresses, each once.
fn addresses(endpoint: &Endpoint) -> impl Iterator<Item = IpAddr> {
    endpoint.addresses.iter().map(IpNet::addr).collect::<BTreeSet<_>>().into_iter()
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
