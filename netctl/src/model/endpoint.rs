//! Endpoints: what a service is in one network.

use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::{
    BoundPort, CniName, EndpointId, ExposedPort, HostName, Lease, MacAddr, Name, NetworkId,
    PublishedPort, SCHEMA, SandboxId, UnixTime, Vteps,
};

/// Joins at most one sandbox to exactly one network. People call it a service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    /// See [`super::SCHEMA`].
    pub schema: u32,
    /// Unique in the cluster.
    pub id: EndpointId,
    /// The network it is published on.
    pub network: NetworkId,
    /// Unique in the network at any one time.
    pub name: Name,
    /// Further names in the network; several endpoints may share one.
    pub aliases: Vec<Name>,
    /// Ports that it listens on, which SRV records tell.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exposed: Vec<ExposedPort>,
    /// Ports that it is to be reached at by addresses of the host that it is attached on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<PublishedPort>,
    /// Its link-layer address; none where the driver needs none.
    pub mac: Option<MacAddr>,
    /// Its addresses, each with its subnet's prefix length: at most one of each family, IPv4 first.
    pub addresses: Vec<IpNet>,
    /// Its sandbox bridges onward to stations of its own.
    #[serde(default)]
    pub bridging: bool,
    /// Where it is for ever, where that is no host of netctl: the tunnel address of an external station.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vtep: Option<IpAddr>,
    /// What an IPAM driver that is a plugin gave it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease: Option<Lease>,
    /// The container that it is of: it goes with that, and so never stays behind with nobody attached.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container: Option<CniName>,
    /// Who has it attached. It changes by compare-and-set only.
    pub owner: Option<Owner>,
    /// When it was published.
    pub created: UnixTime,
}

impl Endpoint {
    /// One that nobody has attached, without addresses and all else that it may have.
    pub fn new(id: EndpointId, network: NetworkId, name: Name, created: UnixTime) -> Self {
        Self {
            schema: SCHEMA,
            id,
            network,
            name,
            aliases: Vec::new(),
            exposed: Vec::new(),
            ports: Vec::new(),
            mac: None,
            addresses: Vec::new(),
            bridging: false,
            vtep: None,
            lease: None,
            container: None,
            owner: None,
            created,
        }
    }

    /// Where packets for it are tunnelled to from other hosts; `None` where it is nowhere.
    pub fn vteps(&self) -> Option<Vteps> {
        self.owner.as_ref().map(|owner| owner.vteps).or_else(|| self.vtep.map(Vteps::from))
    }
}

/// The sandbox that an endpoint is attached to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    /// The host of the sandbox.
    pub host: HostName,
    /// The sandbox.
    pub sandbox: SandboxId,
    /// Where packets for the endpoint are tunnelled to: the host's addresses on the underlay.
    ///
    /// They stand here, not with the host, so that what others need to forward is one value that changes at once, and
    /// does not vanish with the host's lease.
    pub vteps: Vteps,
    /// What the endpoint's published ports are bound to on that host, in the order of the ports.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<BoundPort>,
    /// Whether the endpoint was published for the sandbox, and goes with it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub takes_along: bool,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_was_stored_before_there_were_ports_is_read_and_written_as_it_was() {
        let id = "0123456789abcdef".repeat(4);
        let owner = json!({"host": "h1", "sandbox": id, "vteps": ["192.0.2.1"]});
        let stored = json!({
            "schema": 1, "id": id, "network": id, "name": "web", "aliases": [], "mac": null,
            "addresses": ["10.0.0.2/24"], "bridging": false, "owner": owner, "created": 0,
        });
        let endpoint: Endpoint = serde_json::from_value(stored.clone()).expect("an endpoint");
        assert_eq!(endpoint.ports, []);
        assert_eq!(endpoint.owner.as_ref().map(|owner| owner.ports.len()), Some(0));
        assert_eq!(serde_json::to_value(&endpoint).expect("JSON"), stored);
    }
}
