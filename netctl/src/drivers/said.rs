//! What a driver says: what a network needs, and what it has made of one.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::{
    kernel::Link,
    model::{Peer, Policy, Vni},
};

/// Where a network is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Scope {
    /// On one host alone; others may have one of the same name.
    Host,
    /// On one host alone, which has no other of this driver.
    Sole,
    /// On any host of the cluster.
    #[default]
    Cluster,
}

/// What a network of some specification needs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Where it is.
    pub scope: Scope,
    /// Subnets, a gateway, and addresses for its endpoints.
    pub addresses: bool,
    /// A VNI.
    pub segment: bool,
    /// The VNI, where it is to be a certain one.
    pub vni: Option<Vni>,
    /// Whether its subnets may overlap with those of other networks.
    pub allow_overlap: bool,
    /// What it lets its endpoints do.
    pub policy: Policy,
    /// Hosts that share no store, and what each of them has.
    pub peers: Vec<Peer>,
}

/// How a network is present on this host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Presence {
    /// The device that carries the gateway's address, and on which names are served.
    pub gateway: Option<Device>,
    /// The port of the data plane that leads to it.
    pub port: Option<Device>,
}

/// A device of the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    /// Its name.
    pub name: String,
    /// Its index.
    pub index: u32,
}

impl Device {
    pub(super) fn of(link: &Link) -> Self {
        Self { name: link.name.clone(), index: link.index }
    }
}

/// What an endpoint's interface is, and where it leads.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Joined {
    /// The host's side of it; `None` where the driver makes no interface, or is not the one to serve it.
    pub port: Option<Device>,
    /// What it is called in the sandbox, where the driver chose another name than it was given.
    pub device: Option<String>,
    /// The routers on its network that its sandbox may send to what no other route leads to; of each family at most
    /// one. None where the network is internal.
    pub gateways: Vec<IpAddr>,
    /// Where else its network leads.
    pub routes: Vec<Route>,
}

/// A route that an endpoint's network gives its sandbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    /// Where to.
    pub destination: IpNet,
    /// The router; `None` for what is reached on the link itself.
    pub next_hop: Option<IpAddr>,
}
