//! The remote network driver protocol (libnetwork, `drivers/remote/api/api.go`): names and order of fields as Docker
//! sends them.

mod join;
mod node;
mod ports;

use std::{collections::BTreeMap, path::Path};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use self::{join::JoinText, ports::Setting};
pub use self::{
    join::{Gateways, JoinAnswer, StaticRoute},
    node::NodeData,
    ports::Ports,
};
use super::{Caller, Error};
use crate::model::{EndpointId, MacAddr, NetworkId};

/// Where a plugin's networks are, or how far what it connects reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PluginScope {
    /// On one host.
    Local,
    /// In the cluster.
    Global,
}

/// What a network driver says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// Where its networks are.
    pub scope: PluginScope,
    /// How far they reach.
    pub connectivity: PluginScope,
}

/// One address pool of a network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct AddressData {
    /// Who gives the addresses: a name of the IPAM driver's.
    pub address_space: String,
    /// Addresses that are taken by name, with the pool's prefix length.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub aux_addresses: BTreeMap<String, IpNet>,
    /// The gateway's address, with the pool's prefix length.
    pub gateway: IpNet,
    /// The pool.
    pub pool: IpNet,
}

/// A network to be made, as it is told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct NetworkRequest {
    /// The network.
    #[serde(rename = "NetworkID")]
    pub network: NetworkId,
    /// Settings under their Docker names.
    pub options: BTreeMap<String, Value>,
    /// Its IPv4 pools.
    #[serde(rename = "IPv4Data")]
    pub ipv4: Vec<AddressData>,
    /// Its IPv6 pools.
    #[serde(rename = "IPv6Data")]
    pub ipv6: Vec<AddressData>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Allocation<'a> {
    #[serde(rename = "NetworkID")]
    network: &'a NetworkId,
    options: &'a BTreeMap<String, String>,
    #[serde(rename = "IPv4Data")]
    ipv4: Option<&'a [AddressData]>,
    #[serde(rename = "IPv6Data")]
    ipv6: Option<&'a [AddressData]>,
}

#[derive(Serialize)]
struct OfNetwork<'a> {
    #[serde(rename = "NetworkID")]
    network: &'a NetworkId,
}

#[derive(Serialize)]
struct OfEndpoint<'a> {
    #[serde(rename = "NetworkID")]
    network: &'a NetworkId,
    #[serde(rename = "EndpointID")]
    endpoint: &'a EndpointId,
}

/// What an endpoint has; what is not given the driver chooses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RequestedInterface {
    /// Its IPv4 address with its prefix length.
    pub address: Option<IpNet>,
    /// Its IPv6 address with its prefix length.
    pub address6: Option<IpNet>,
    /// Its link-layer address.
    pub mac: Option<MacAddr>,
    /// Whether people gave the link-layer address.
    pub mac_wanted: bool,
    /// Whether its network has no way out.
    pub internal: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct EndpointRequest<'a> {
    #[serde(flatten)]
    of: OfEndpoint<'a>,
    interface: InterfaceText,
    options: BTreeMap<&'static str, Setting<'a>>,
}

/// Empty where it is not set.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "PascalCase")]
struct InterfaceText {
    address: String,
    #[serde(rename = "AddressIPv6")]
    address6: String,
    mac_address: String,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct JoinRequest<'a> {
    #[serde(flatten)]
    of: OfEndpoint<'a>,
    sandbox_key: &'a Path,
    options: BTreeMap<&'static str, Setting<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct ConnectivityRequest<'a> {
    #[serde(flatten)]
    of: OfEndpoint<'a>,
    options: BTreeMap<&'static str, Setting<'a>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct CapabilitiesAnswer {
    scope: String,
    connectivityscope: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct AllocationAnswer {
    options: BTreeMap<String, String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct EndpointAnswer {
    interface: ChosenInterface,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ChosenInterface {
    address: String,
    addressipv6: String,
    macaddress: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct InfoAnswer {
    value: BTreeMap<String, Value>,
}

/// A plugin that is a network driver. Cheap to clone.
#[derive(Clone, Debug)]
pub struct NetworkPlugin {
    caller: Caller,
    capabilities: Capabilities,
}

impl NetworkPlugin {
    pub(super) fn new(caller: Caller, capabilities: Capabilities) -> Self {
        Self { caller, capabilities }
    }

    pub(super) async fn capabilities_of(caller: &Caller) -> Result<Capabilities, Error> {
        let answer: CapabilitiesAnswer = caller.ask("NetworkDriver.GetCapabilities").await?;
        let read = |scope: &str| match scope {
            "local" => Ok(PluginScope::Local),
            "global" => Ok(PluginScope::Global),
            other => Err(Error::Scope { name: caller.name.clone(), scope: other.to_owned() }),
        };
        let scope = read(&answer.scope)?;
        let connectivity = match &*answer.connectivityscope {
            "" => scope,
            other => read(other)?,
        };
        Ok(Capabilities { scope, connectivity })
    }

    /// What it says of itself.
    pub fn capabilities(&self) -> Capabilities {
        self.capabilities
    }

    /// Has a driver of the whole cluster choose what all hosts are to tell it of a network.
    pub async fn allocate_network(
        &self,
        network: &NetworkId,
        options: &BTreeMap<String, String>,
        [ipv4, ipv6]: [&[AddressData]; 2],
    ) -> Result<BTreeMap<String, String>, Error> {
        // Docker's swarm says `null` of a family that a network does not have.
        let some = |data: &'_ [AddressData]| (!data.is_empty()).then(|| data.to_vec());
        let (ipv4, ipv6) = (some(ipv4), some(ipv6));
        let (ipv4, ipv6) = (ipv4.as_deref(), ipv6.as_deref());
        let request = Allocation { network, options, ipv4, ipv6 };
        let answer: AllocationAnswer =
            self.caller.call("NetworkDriver.AllocateNetwork", &request).await?;
        Ok(answer.options)
    }

    /// Gives that back.
    pub async fn free_network(&self, network: &NetworkId) -> Result<(), Error> {
        self.caller.tell("NetworkDriver.FreeNetwork", &OfNetwork { network }).await
    }

    /// Makes a network.
    pub async fn create_network(&self, request: &NetworkRequest) -> Result<(), Error> {
        self.caller.tell("NetworkDriver.CreateNetwork", request).await
    }

    /// Removes a network.
    pub async fn delete_network(&self, network: &NetworkId) -> Result<(), Error> {
        self.caller.tell("NetworkDriver.DeleteNetwork", &OfNetwork { network }).await
    }

    /// Makes an endpoint; the link-layer address that the driver has chosen for it, if so.
    ///
    /// # Errors
    /// [`Error::Garbled`] where the answer is not to be used: the endpoint was made.
    pub async fn create_endpoint(
        &self,
        network: &NetworkId,
        endpoint: &EndpointId,
        interface: &RequestedInterface,
        ports: &Ports,
    ) -> Result<Option<MacAddr>, Error> {
        const METHOD: &str = "NetworkDriver.CreateEndpoint";
        let text = |address: Option<IpNet>| address.map(|a| a.to_string()).unwrap_or_default();
        let mut options = if interface.internal { BTreeMap::new() } else { ports.settings() };
        if let Some(mac) = interface.mac.filter(|_| interface.mac_wanted) {
            let text = Setting::Text(base64(mac.0));
            options.insert("com.docker.network.endpoint.macaddress", text);
        }
        let request = EndpointRequest {
            of: OfEndpoint { network, endpoint },
            interface: InterfaceText {
                address: text(interface.address),
                address6: text(interface.address6),
                mac_address: interface.mac.map(|mac| mac.to_string()).unwrap_or_default(),
            },
            options,
        };
        let EndpointAnswer { interface: chosen } = self.caller.call(METHOD, &request).await?;
        let RequestedInterface { address, address6, mac, .. } = interface;
        for (what, given, answered) in [
            ("Address", address.is_some(), &chosen.address),
            ("AddressIPv6", address6.is_some(), &chosen.addressipv6),
            ("MacAddress", mac.is_some(), &chosen.macaddress),
        ] {
            if answered.is_empty() {
                continue;
            }
            let reason = if given {
                format!("it changes the {what}, which it was given, to {answered}")
            } else if what == "MacAddress" {
                continue;
            } else {
                format!("it gives the {what} {answered}, which the network has no subnet for")
            };
            return Err(self.caller.garbled(METHOD, reason));
        }
        let chosen = Some(chosen.macaddress).filter(|text| !text.is_empty());
        chosen
            .map(|text| {
                let reason = format!("MacAddress {text:?} is no MAC address that a host can have");
                let mac = text.parse::<MacAddr>().ok().filter(|mac| mac.0[0] & 1 == 0);
                mac.filter(|mac| mac.0 != [0; 6]).ok_or_else(|| self.caller.garbled(METHOD, reason))
            })
            .transpose()
    }

    /// What there is to know of an endpoint, for people.
    pub async fn endpoint_info(
        &self,
        network: &NetworkId,
        endpoint: &EndpointId,
    ) -> Result<BTreeMap<String, Value>, Error> {
        let request = OfEndpoint { network, endpoint };
        let answer: InfoAnswer =
            self.caller.call("NetworkDriver.EndpointOperInfo", &request).await?;
        Ok(answer.value)
    }

    /// Removes an endpoint.
    pub async fn delete_endpoint(
        &self,
        network: &NetworkId,
        endpoint: &EndpointId,
    ) -> Result<(), Error> {
        let request = OfEndpoint { network, endpoint };
        self.caller.tell("NetworkDriver.DeleteEndpoint", &request).await
    }

    /// Has an endpoint join the sandbox whose network namespace is at `sandbox`.
    ///
    /// # Errors
    /// [`Error::Garbled`] where the answer is not to be used: the endpoint has joined.
    pub async fn join(
        &self,
        network: &NetworkId,
        endpoint: &EndpointId,
        sandbox: &Path,
        ports: &Ports,
    ) -> Result<JoinAnswer, Error> {
        const METHOD: &str = "NetworkDriver.Join";
        let of = OfEndpoint { network, endpoint };
        let request = JoinRequest { of, sandbox_key: sandbox, options: ports.settings() };
        let text: JoinText = self.caller.call(METHOD, &request).await?;
        text.read().map_err(|reason| self.caller.garbled(METHOD, reason))
    }

    /// Has an endpoint leave its sandbox.
    pub async fn leave(&self, network: &NetworkId, endpoint: &EndpointId) -> Result<(), Error> {
        self.caller.tell("NetworkDriver.Leave", &OfEndpoint { network, endpoint }).await
    }

    /// Says that an endpoint is its sandbox's way out. A driver need not know of that.
    pub async fn program_connectivity(
        &self,
        network: &NetworkId,
        endpoint: &EndpointId,
        ports: &Ports,
    ) -> Result<(), Error> {
        let of = OfEndpoint { network, endpoint };
        let request = ConnectivityRequest { of, options: ports.settings() };
        tolerated(self.caller.tell("NetworkDriver.ProgramExternalConnectivity", &request).await)
    }

    /// Says that it is so no more.
    pub async fn revoke_connectivity(
        &self,
        network: &NetworkId,
        endpoint: &EndpointId,
    ) -> Result<(), Error> {
        let request = OfEndpoint { network, endpoint };
        tolerated(self.caller.tell("NetworkDriver.RevokeExternalConnectivity", &request).await)
    }

    /// Says that a host came.
    pub async fn discover_new(&self, node: NodeData) -> Result<(), Error> {
        self.caller.tell("NetworkDriver.DiscoverNew", &node.text()).await
    }

    /// Says that a host went.
    pub async fn discover_delete(&self, node: NodeData) -> Result<(), Error> {
        self.caller.tell("NetworkDriver.DiscoverDelete", &node.text()).await
    }
}

/// A driver that does not know the call has nothing to do there (libnetwork, `driver.go`).
fn tolerated(told: Result<(), Error>) -> Result<(), Error> {
    match told {
        Err(Error::Unknown { .. }) => Ok(()),
        other => other,
    }
}

/// Go writes the bytes of a `net.HardwareAddr` so. Six are eight characters without padding.
fn base64(bytes: [u8; 6]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let number = bytes.iter().fold(0_u64, |number, &byte| number << 8 | u64::from(byte));
    let digit = |at: u32| char::from(DIGITS[usize::try_from(number >> (6 * at) & 63).unwrap_or(0)]);
    (0..8).rev().map(digit).collect()
}
