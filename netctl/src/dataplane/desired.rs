//! What the data plane should hold, as plain data.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use serde::{Deserialize, Serialize};

use crate::model::{EndpointId, MacAddr, Vni};

/// All that the data plane of this host should hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Desired {
    /// The networks with an endpoint on this host.
    pub networks: BTreeMap<Vni, NetworkEntry>,
    /// The host's side of the endpoints' links, by interface index.
    pub ports: BTreeMap<u32, Port>,
    /// Where each station is.
    pub fdb: BTreeMap<(Vni, MacAddr), FdbTarget>,
    /// Who gets what is sent to all of a network: ports, the host's own endpoint, and other hosts, each once.
    pub flood: BTreeMap<Vni, BTreeSet<FdbTarget>>,
    /// The link-layer address of each address, for answers to ARP and to neighbour solicitations.
    pub neigh: BTreeMap<(Vni, IpAddr), MacAddr>,
    /// The other hosts, by their address on the underlay, each with what fits a tunnel to it, in bytes of the inner
    /// packet from the network layer on. Every remote target in `fdb` and `flood` is among them.
    pub tunnels: BTreeMap<IpAddr, u16>,
}

impl Desired {
    /// Adds all of another.
    pub fn extend(&mut self, other: &Self) {
        let Self { networks, ports, fdb, flood, neigh, tunnels } = other;
        self.networks.extend(networks);
        self.ports.extend(ports.iter().map(|(index, port)| (*index, port.clone())));
        self.fdb.extend(fdb);
        self.flood.extend(flood.iter().map(|(vni, members)| (*vni, members.clone())));
        self.neigh.extend(neigh);
        self.tunnels.extend(tunnels);
    }

    /// Adds what another has of this, and all of its tunnels.
    pub fn extend_with(&mut self, other: &Self, touched: &Touched) {
        fn extend<K: Ord + Copy, V: Clone>(
            to: &mut BTreeMap<K, V>,
            from: &BTreeMap<K, V>,
            keys: &BTreeSet<K>,
        ) {
            let of = |key: &K| from.get(key).map(|value| (*key, value.clone()));
            to.extend(keys.iter().filter_map(of));
        }
        extend(&mut self.networks, &other.networks, &touched.networks);
        extend(&mut self.ports, &other.ports, &touched.ports);
        extend(&mut self.fdb, &other.fdb, &touched.fdb);
        extend(&mut self.flood, &other.flood, &touched.networks);
        extend(&mut self.neigh, &other.neigh, &touched.neigh);
        self.tunnels.extend(&other.tunnels);
    }
}

/// Which entries a change is about: those that are there, and those that are to be gone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Touched {
    /// The networks themselves, each with its list of members.
    pub networks: BTreeSet<Vni>,
    /// See [`Desired::ports`].
    pub ports: BTreeSet<u32>,
    /// See [`Desired::fdb`].
    pub fdb: BTreeSet<(Vni, MacAddr)>,
    /// See [`Desired::neigh`].
    pub neigh: BTreeSet<(Vni, IpAddr)>,
}

impl Touched {
    /// Adds all entries that there are.
    pub fn add(&mut self, desired: &Desired) {
        self.networks.extend(desired.networks.keys().chain(desired.flood.keys()));
        self.ports.extend(desired.ports.keys());
        self.fdb.extend(desired.fdb.keys());
        self.neigh.extend(desired.neigh.keys());
    }

    /// Whether that is nothing.
    pub fn is_empty(&self) -> bool {
        let Self { networks, ports, fdb, neigh } = self;
        networks.is_empty() && ports.is_empty() && fdb.is_empty() && neigh.is_empty()
    }
}

/// One station of a network: what the data plane holds of one endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Station {
    /// Its network.
    pub vni: Vni,
    /// Its link-layer address.
    pub mac: MacAddr,
    /// Its addresses.
    pub addresses: Vec<IpAddr>,
    /// Where it is.
    pub target: FdbTarget,
    /// What leads there.
    pub way: Way,
}

/// What leads to a station.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Way {
    /// A port of this host, of the index that the target names.
    Port(Port),
    /// A tunnel to the target, with what fits it: see [`Desired::tunnels`].
    Tunnel(u16),
}

/// One network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkEntry {
    /// The gateway's link-layer address, the same on every host; `None` where the network has no gateway.
    pub gateway_mac: Option<MacAddr>,
    /// The largest IP packet that its endpoints send, in bytes.
    pub mtu: u16,
    /// Its endpoints may have addresses that nobody else knows of: who asks for one asks all members.
    pub open: bool,
}

/// One device whose received packets the data plane takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Port {
    /// The device's name in the namespace of the host.
    pub ifname: String,
    /// Who is behind it.
    pub entry: PortEntry,
}

/// Who is behind a port.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortEntry {
    /// The network that it is in.
    pub vni: Vni,
    /// The endpoint; `None` where it is the host's own.
    pub endpoint: Option<EndpointId>,
    /// The only source address of its frames.
    pub mac: MacAddr,
    /// The only source addresses of its packets: at most [`netctl_common::maps::PORT_ADDRESSES`] of each family.
    pub addresses: BTreeSet<IpAddr>,
    /// The gateway's addresses in the endpoint's own subnets, at most one of each family: what it is told from when its
    /// packets have no hop left.
    pub gateways: BTreeSet<IpAddr>,
    /// Any IP source address may come from it: it is the host's own endpoint, which routes for others, or its network
    /// is open.
    pub any_source: bool,
    /// It reaches the host's own endpoint, and no other of the network.
    pub isolated: bool,
}

/// Where a station is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FdbTarget {
    /// A container of this host.
    Container {
        /// The device that leads to it: the host's side of a veth pair.
        ifindex: u32,
    },
    /// A container of this host that bridges onward: packets leave by the device as any that the host sends, since what
    /// is put behind the peer directly is not seen by a bridge there.
    Bridging {
        /// The same.
        ifindex: u32,
    },
    /// The host's own endpoint: packets are handed to the device itself, not to its peer.
    Host {
        /// The device that has the gateway's addresses.
        ifindex: u32,
    },
    /// On another host.
    Remote {
        /// The address of that host on the underlay.
        vtep: IpAddr,
    },
}

/// One and the same member of a network's list, whatever is known of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Member {
    Device(u32),
    Tunnel(IpAddr),
}

impl FdbTarget {
    /// The device, where it is one of this host.
    pub fn device(self) -> Option<u32> {
        match self.member() {
            Member::Device(ifindex) => Some(ifindex),
            Member::Tunnel(_) => None,
        }
    }

    /// Which member of a list it is.
    pub(super) fn member(self) -> Member {
        match self {
            Self::Container { ifindex } | Self::Bridging { ifindex } | Self::Host { ifindex } => {
                Member::Device(ifindex)
            }
            Self::Remote { vtep } => Member::Tunnel(vtep),
        }
    }
}

/// What becomes of entries that are held and not desired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sweep {
    /// They are removed: what is desired is complete.
    Remove,
    /// They stay: what is desired is what is known so far.
    Keep,
}

/// What [`super::Dataplane::apply`] did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// Entries that were not there.
    pub added: usize,
    /// Entries that had another value.
    pub replaced: usize,
    /// Entries that are gone.
    pub removed: usize,
    /// Interface indices of ports that got the program just now.
    pub attached: Vec<u32>,
    /// Desired ports that have no program, by interface index, and why: the device is not there or has another name, or
    /// the kernel refused.
    pub failed: Vec<(u32, String)>,
}
