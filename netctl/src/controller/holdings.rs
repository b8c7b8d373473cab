//! What objects hold in the store besides themselves: names, addresses, pools, identifiers, attachments.
//!
//! A key of these is put in the transaction that makes its object, or changes it, and removed in the one that removes
//! it. [`of_network`] and [`of_endpoint`] say which there are; nothing else does.

use super::{keys, networks::GATEWAY};
use crate::{
    ipam::{self, Hold},
    model::{Endpoint, EndpointId, Host, Network, NetworkId},
    store::{Entry, Txn},
};

/// What the keys of one network begin with, before its identifier, that it and its endpoints hold.
pub(super) const OF_NETWORKS: [&str; 4] =
    [ipam::ADDRESSES, ipam::MACS, ipam::HINTS, keys::ENDPOINT_NAMES];

/// What the keys begin with that networks hold, and that are together for all of them.
pub(super) const SHARED: [&str; 5] =
    [ipam::POOLS, ipam::VNIS, keys::NETWORK_NAMES, keys::LOCAL_NAMES, keys::SOLE];

/// A key that an object holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Holding {
    pub(super) key: String,
    pub(super) value: Vec<u8>,
    /// Whether the object cannot be without.
    pub(super) required: bool,
}

impl Holding {
    fn new(key: String, value: impl Into<Vec<u8>>) -> Self {
        Self { key, value: value.into(), required: true }
    }
}

/// What a network holds, but for hints, which are no loss.
pub(super) fn of_network(network: &Network) -> Vec<Holding> {
    let Network { id, name, host, .. } = network;
    let mut held = vec![Holding::new(keys::name_of(network), id.as_str())];
    for subnet in &network.subnets {
        let (key, value) = ipam::pool_entry(subnet.cidr, id, name, host.as_ref());
        held.push(Holding::new(key, value));
        held.push(Holding::new(ipam::address_key(id, subnet.gateway), GATEWAY));
    }
    if let Some(mac) = network.gateway_mac {
        held.push(Holding::new(ipam::mac_key(id, mac), GATEWAY));
    }
    if let Some(vni) = network.vni {
        held.push(Holding::new(ipam::vni_key(vni), name.as_str()));
    }
    if let Some(host) = host {
        // Of a driver that a host can have one network of; only the driver knows that.
        let sole = Holding::new(keys::sole(&network.driver, host), name.as_str());
        held.push(Holding { required: false, ..sole });
    }
    held
}

/// What an endpoint holds.
pub(super) fn of_endpoint(endpoint: &Endpoint) -> Vec<Holding> {
    let Endpoint { id, network, name, .. } = endpoint;
    let mut held = vec![Holding::new(keys::endpoint_name(network, name), id.as_str())];
    for address in &endpoint.addresses {
        held.push(Holding::new(ipam::address_key(network, address.addr()), id.as_str()));
    }
    if let Some(mac) = endpoint.mac {
        held.push(Holding::new(ipam::mac_key(network, mac), id.as_str()));
    }
    if let Some(owner) = &endpoint.owner {
        let key = keys::attachment(&owner.host, id);
        held.push(Holding::new(key, keys::write(network)));
    }
    held
}

/// All keys of a network in the store, each with its value: its own, and those that it holds.
pub fn network_entries(network: &Network) -> Vec<(String, Vec<u8>)> {
    let own = (keys::network(&network.id), keys::write(network));
    entries(own, of_network(network))
}

/// All keys of an endpoint in the store, each with its value: its own, and those that it holds.
pub fn endpoint_entries(endpoint: &Endpoint) -> Vec<(String, Vec<u8>)> {
    let own = (keys::endpoint(&endpoint.network, &endpoint.id), keys::write(endpoint));
    entries(own, of_endpoint(endpoint))
}

/// The key by which a host says under its lease that it is alive, with its value.
pub fn host_entry(host: &Host) -> (String, Vec<u8>) {
    (keys::host(&host.name), keys::write(host))
}

fn entries(own: (String, Vec<u8>), held: Vec<Holding>) -> Vec<(String, Vec<u8>)> {
    let held = held.into_iter().filter(|holding| holding.required);
    std::iter::once(own).chain(held.map(|Holding { key, value, .. }| (key, value))).collect()
}

/// The piece of a transaction that gives back what an object held.
pub(super) fn released(held: Vec<Holding>) -> Txn {
    held.into_iter().fold(Txn::new(), |txn, held| txn.delete(held.key))
}

/// Whose a key says that it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Named {
    /// That of the object with this key.
    Object(String),
    /// A network's, of which it has a name that another may have had before.
    SomeNetwork,
}

/// Whose `entry`, a key of [`PREFIXES`], says that it is; nothing where it cannot be read.
pub(super) fn named(entry: &Entry) -> Option<Named> {
    let value = std::str::from_utf8(&entry.value).ok()?;
    let network = |id: &str| id.parse::<NetworkId>().ok().map(|id| keys::network(&id));
    let endpoint = |network: &str, id: &str| {
        let (network, id) = (network.parse::<NetworkId>().ok()?, id.parse::<EndpointId>().ok()?);
        Some(keys::endpoint(&network, &id))
    };
    let parts: Vec<&str> = entry.key.split('/').collect();
    let object = match *parts.as_slice() {
        ["ipam", "addresses" | "macs", of, _] if value == GATEWAY => network(of),
        // Its value alone says that it is taken, for as long as the network is there.
        ["ipam", "addresses", of, _] if Hold::read(&entry.value).is_some() => network(of),
        ["ipam", "addresses" | "macs", of, _] => endpoint(of, value),
        ["ipam", "pools", _, _, of] | ["ipam", "hints", of, ..] => network(of),
        ["names", "networks", _] | ["names", "local", _, _] => network(value),
        ["names", "endpoints", of, _] => endpoint(of, value),
        ["attachments", _, id] => {
            let of: NetworkId = serde_json::from_slice(&entry.value).ok()?;
            endpoint(of.as_str(), id)
        }
        ["vnis", _] | ["sole", _, _] => return Some(Named::SomeNetwork),
        _ => None,
    };
    object.map(Named::Object)
}

/// What the object of an entry holds.
pub(super) fn of(entry: &Entry) -> super::Result<Vec<Holding>> {
    if entry.key.starts_with(keys::NETWORKS) {
        keys::parse(entry).map(|network| of_network(&network))
    } else {
        keys::parse(entry).map(|endpoint| of_endpoint(&endpoint))
    }
}
