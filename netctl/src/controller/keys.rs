//! Where things are in the store, and how they are written there.

use std::net::IpAddr;

use serde::{Serialize, de::DeserializeOwned};

use super::{Error, Result};
use crate::{
    model::{
        DriverName, Endpoint, EndpointId, EngineNetworkId, HostName, Name, Network, NetworkId,
    },
    store::{Entry, Guard, Revision, Store},
};

pub(super) const NETWORKS: &str = "networks/";
pub(super) const ENDPOINTS: &str = "endpoints/";
pub(super) const HOSTS: &str = "hosts/";
pub(super) const NETWORK_NAMES: &str = "names/networks/";
pub(super) const LOCAL_NAMES: &str = "names/local/";
pub(super) const ENDPOINT_NAMES: &str = "names/endpoints/";
pub(super) const SOLE: &str = "sole/";
pub(super) const ATTACHMENTS: &str = "attachments/";
pub(super) const REAPED: &str = "reaped/";
pub(super) const ENGINE_NETWORKS: &str = "docker/networks/";
pub(super) const ENGINE_POOLS: &str = "docker/pools/";

pub(super) fn network(id: &NetworkId) -> String {
    format!("{NETWORKS}{id}")
}

/// Names are told apart without regard to case, as they are in DNS (RFC 4343).
pub(super) fn network_name(name: &Name) -> String {
    format!("{NETWORK_NAMES}{}", name.as_str().to_ascii_lowercase())
}

/// A local network's name on its host.
pub(super) fn local_name(name: &Name, host: &HostName) -> String {
    format!("{}{host}", local_names(name))
}

/// The hosts that have a local network of this name.
pub(super) fn local_names(name: &Name) -> String {
    format!("{LOCAL_NAMES}{}/", name.as_str().to_ascii_lowercase())
}

/// Put with the one network of a driver that a host can have one of; the value is its name.
pub(super) fn sole(driver: &DriverName, host: &HostName) -> String {
    format!("{SOLE}{driver}/{host}")
}

/// The key that says whose name a network's is.
pub(super) fn name_of(network: &Network) -> String {
    match &network.host {
        Some(host) => local_name(&network.name, host),
        None => network_name(&network.name),
    }
}

pub(super) fn endpoints(network: &NetworkId) -> String {
    format!("{ENDPOINTS}{network}/")
}

pub(super) fn endpoint(network: &NetworkId, id: &EndpointId) -> String {
    format!("{ENDPOINTS}{network}/{id}")
}

pub(super) fn endpoint_name(network: &NetworkId, name: &Name) -> String {
    format!("{ENDPOINT_NAMES}{network}/{}", name.as_str().to_ascii_lowercase())
}

pub(super) fn host(name: &HostName) -> String {
    format!("{HOSTS}{name}")
}

/// What a host watches to know its own endpoints and, from them and its engine's networks, those of interest.
pub(super) fn attachments(host: &HostName) -> String {
    format!("{ATTACHMENTS}{host}/")
}

/// Written and removed in the transaction that sets and clears the endpoint's owner; the value is the network.
pub(super) fn attachment(host: &HostName, id: &EndpointId) -> String {
    format!("{ATTACHMENTS}{host}/{id}")
}

/// What was taken from a host while it was away.
pub(super) fn reaped(host: &HostName) -> String {
    format!("{REAPED}{host}/")
}

/// The host and the endpoint of a key of [`attachment`].
pub(super) fn attached(key: &str) -> Option<(HostName, EndpointId)> {
    let (host, id) = key.strip_prefix(ATTACHMENTS)?.split_once('/')?;
    Some((host.parse().ok()?, id.parse().ok()?))
}

/// What a host's engine is called.
pub(super) fn engine_of_host(host: &HostName) -> String {
    format!("host/{host}")
}

/// The networks of one engine, or of a Swarm: of what is called `of`.
pub(super) fn engine_networks(of: &str) -> String {
    format!("{ENGINE_NETWORKS}{of}/")
}

pub(super) fn engine_network(of: &str, id: &EngineNetworkId) -> String {
    format!("{ENGINE_NETWORKS}{of}/{id}")
}

pub(super) fn engine_pools(of: &str) -> String {
    format!("{ENGINE_POOLS}{of}/")
}

pub(super) fn engine_pool(of: &str, id: &str) -> String {
    format!("{ENGINE_POOLS}{of}/{id}")
}

/// The endpoints that the engine of a host has made.
pub(super) fn engine_endpoints(host: &HostName) -> String {
    format!("docker/endpoints/{host}/")
}

pub(super) fn engine_endpoint(host: &HostName, id: &EndpointId) -> String {
    format!("docker/endpoints/{host}/{id}")
}

pub(super) fn swarm_addresses(network: &NetworkId) -> String {
    format!("docker/swarm/{network}/")
}

/// Put while a Swarm has an address, whatever becomes of the endpoint that has it.
pub(super) fn swarm_address(network: &NetworkId, address: IpAddr) -> String {
    format!("{}{address}", swarm_addresses(network))
}

/// A stored object with the revision that a compare-and-set of it names.
#[derive(Clone, Debug)]
pub(super) struct Stored<T> {
    pub(super) value: T,
    pub(super) key: String,
    pub(super) modified: Revision,
}

impl<T: DeserializeOwned> Stored<T> {
    pub(super) fn read(entry: Entry) -> Result<Self> {
        let value = parse(&entry)?;
        let Entry { key, modified, .. } = entry;
        Ok(Self { value, key, modified })
    }

    /// Holds while nobody has changed it.
    pub(super) fn unchanged(&self) -> Guard {
        Guard::Unchanged(self.key.clone(), self.modified)
    }
}

/// The object of an entry.
pub(super) fn parse<T: DeserializeOwned>(entry: &Entry) -> Result<T> {
    let Entry { key, value, .. } = entry;
    serde_json::from_slice(value).map_err(|error| {
        Error::internal(format!("the store's value of {key} cannot be read: {error}"))
    })
}

pub(super) fn write<T: Serialize>(value: &T) -> Vec<u8> {
    serde_json::to_vec(value).expect("the model's types have string keys and no maps that fail")
}

pub(super) async fn get<T: DeserializeOwned>(
    store: &dyn Store,
    key: &str,
) -> Result<Option<Stored<T>>> {
    store.get(key).await?.map(Stored::read).transpose()
}

pub(super) async fn list<T: DeserializeOwned>(
    store: &dyn Store,
    prefix: &str,
) -> Result<Vec<Stored<T>>> {
    store.list(prefix).await?.entries.into_iter().map(Stored::read).collect()
}

pub(super) async fn list_networks(store: &dyn Store) -> Result<Vec<Stored<Network>>> {
    list(store, NETWORKS).await
}

pub(super) async fn list_endpoints(
    store: &dyn Store,
    network: &NetworkId,
) -> Result<Vec<Stored<Endpoint>>> {
    list(store, &endpoints(network)).await
}
