//! What a driver is given: the host, and what there is to be on it.

use std::{collections::BTreeSet, path::Path};

use tokio::sync::watch;

use crate::{
    kernel::{Insides, Netlink, Netns},
    model::{EndpointId, NetworkId, Vni, Vteps},
};

/// What leads to the other hosts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Footing {
    /// The name of the device.
    pub name: String,
    /// Its number: another, if it was removed and made again.
    pub index: u32,
    /// The host's tunnel addresses on it.
    pub vteps: Vteps,
    /// In bytes.
    pub mtu: u32,
}

/// The host, as drivers see it.
#[derive(Clone, Debug)]
pub struct HostContext {
    /// The links, addresses and settings of the host's network namespace.
    pub netlink: Netlink,
    /// The device that leads to the other hosts. Whenever it changes, all is entered and joined again.
    pub underlay: watch::Receiver<Footing>,
    /// The largest IPv4 packets that endpoints send and take, to be cut later, in bytes.
    pub super_packets: u32,
}

impl HostContext {
    /// Its own tunnel addresses.
    pub fn vteps(&self) -> Vteps {
        self.underlay.borrow().vteps
    }

    /// The MTU of the underlay device, in bytes.
    pub fn underlay_mtu(&self) -> u32 {
        self.underlay.borrow().mtu
    }
}

/// An endpoint's place in a sandbox.
#[derive(Debug)]
pub struct Place<'a> {
    /// The sandbox's network namespace.
    pub netns: &'a Netns,
    /// Sockets in this namespace and others.
    pub insides: &'a Insides,
    /// Where that is bound.
    pub path: &'a Path,
    /// What its interface is to be called there.
    pub device: &'a str,
    /// Whether people chose that name.
    pub named: bool,
}

/// What there should be on this host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Present {
    /// Segments of networks with an endpoint here.
    pub segments: BTreeSet<Vni>,
    /// Endpoints that are attached here.
    pub endpoints: BTreeSet<EndpointId>,
    /// Of [`super::Drivers::noted_networks`] those that are nowhere any more.
    pub gone: BTreeSet<NetworkId>,
}
