//! The remote network driver protocol (libnetwork, `drivers/remote/api/api.go`): names and order of fields as Docker
//! sends them.

use std::{collections::BTreeMap, net::IpAddr, path::Path};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Caller, Error};
use crate::model::{EndpointId, MacAddr, NetworkId};

/// The longest name of a device, `IFNAMSIZ` less its end.
const DEVICE_NAME: usize = 15;
/// A route whose destination is on the link, of `StaticRoute.RouteType`; 0 is one with a next hop.
const CONNECTED: i64 = 1;
const NODE: u8 = 1;

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
    options: BTreeMap<&'static str, Value>,
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
    options: BTreeMap<&'static str, Value>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct ConnectivityRequest<'a> {
    #[serde(flatten)]
    of: OfEndpoint<'a>,
    options: BTreeMap<&'static str, Value>,
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

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct JoinText {
    interfacename: InterfaceNameText,
    gateway: String,
    gatewayipv6: String,
    staticroutes: Vec<StaticRouteText>,
    disablegatewayservice: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct InterfaceNameText {
    srcname: String,
    dstprefix: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct StaticRouteText {
    destination: String,
    routetype: i64,
    nexthop: String,
}

/// What an endpoint is to get in its sandbox.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JoinAnswer {
    /// The device on the host that is to be moved there; none where the driver makes none.
    pub device: Option<String>,
    /// What its name there begins with.
    pub prefix: String,
    /// The routers to all that no other route leads to.
    pub gateways: Gateways,
    /// Further routes.
    pub routes: Vec<StaticRoute>,
    /// Whether the sandbox is to have no way out by another device for want of a gateway.
    pub no_gateway_service: bool,
}

/// The default routers of each family.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gateways {
    /// Of IPv4.
    pub v4: Option<IpAddr>,
    /// Of IPv6.
    pub v6: Option<IpAddr>,
}

/// A route for a sandbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StaticRoute {
    /// Where to.
    pub destination: IpNet,
    /// By which router; `None` for what is on the link.
    pub next_hop: Option<IpAddr>,
}

/// A host that comes or goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct NodeData {
    /// Its address.
    pub address: IpAddr,
    /// Whether it is this one.
    pub own: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Discovery {
    discovery_type: u8,
    discovery_data: NodeText,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct NodeText {
    address: IpAddr,
    /// Empty for another host.
    bind_address: String,
    #[serde(rename = "Self")]
    own: bool,
}

impl NodeData {
    fn text(self) -> Discovery {
        let Self { address, own } = self;
        let bind_address = if own { address.to_string() } else { String::new() };
        Discovery { discovery_type: NODE, discovery_data: NodeText { address, bind_address, own } }
    }
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
    ) -> Result<Option<MacAddr>, Error> {
        const METHOD: &str = "NetworkDriver.CreateEndpoint";
        let text = |address: Option<IpNet>| address.map(|a| a.to_string()).unwrap_or_default();
        let mut options = if interface.internal { BTreeMap::new() } else { no_ports() };
        if let Some(mac) = interface.mac.filter(|_| interface.mac_wanted) {
            options.insert("com.docker.network.endpoint.macaddress", base64(mac.0).into());
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
    ) -> Result<JoinAnswer, Error> {
        const METHOD: &str = "NetworkDriver.Join";
        let of = OfEndpoint { network, endpoint };
        let request = JoinRequest { of, sandbox_key: sandbox, options: no_ports() };
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
    ) -> Result<(), Error> {
        let of = OfEndpoint { network, endpoint };
        let request = ConnectivityRequest { of, options: no_ports() };
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

impl JoinText {
    fn read(self) -> Result<JoinAnswer, String> {
        let InterfaceNameText { srcname, dstprefix } = self.interfacename;
        let device = Some(srcname).filter(|name| !name.is_empty());
        if let Some(name) = &device
            && !is_device(name)
        {
            return Err(format!("SrcName {name:?} is no name of a device"));
        }
        let prefix = if dstprefix.is_empty() { "eth".to_owned() } else { dstprefix };
        // There is to be room for a number behind it.
        if !is_device(&format!("{prefix}0000")) {
            return Err(format!("DstPrefix {prefix:?} is no beginning of a device's name"));
        }
        let router = |what: &str, text: &str, v6: bool| match text {
            "" => Ok(None),
            text => match text.parse::<IpAddr>() {
                Ok(address) if address.is_ipv6() == v6 && !address.is_unspecified() => {
                    Ok(Some(address))
                }
                _ => Err(format!("{what} {text:?} is no address of a router")),
            },
        };
        let v4 = router("Gateway", &self.gateway, false)?;
        let v6 = router("GatewayIPv6", &self.gatewayipv6, true)?;
        let route = |text: StaticRouteText| {
            let StaticRouteText { destination, routetype, nexthop } = text;
            let to = destination
                .parse::<IpNet>()
                .map_err(|_not| format!("route Destination {destination:?} is no subnet"))?;
            let next_hop = match (routetype, &*nexthop) {
                (CONNECTED, "") => None,
                (CONNECTED, _) => Err(format!("the route to {to} is connected and has a NextHop"))?,
                (0, text) => router("NextHop", text, to.addr().is_ipv6())?
                    .ok_or_else(|| format!("the route to {to} has no NextHop"))
                    .map(Some)?,
                (other, _) => Err(format!("the route to {to} is of RouteType {other}"))?,
            };
            Ok::<_, String>(StaticRoute { destination: to.trunc(), next_hop })
        };
        Ok(JoinAnswer {
            device,
            prefix,
            gateways: Gateways { v4, v6 },
            routes: self.staticroutes.into_iter().map(route).collect::<Result<_, _>>()?,
            no_gateway_service: self.disablegatewayservice,
        })
    }
}

impl Gateways {
    /// Those that there are, IPv4 first.
    pub fn iter(self) -> impl Iterator<Item = IpAddr> {
        self.v4.into_iter().chain(self.v6)
    }
}

/// A driver that does not know the call has nothing to do there (libnetwork, `driver.go`).
fn tolerated(told: Result<(), Error>) -> Result<(), Error> {
    match told {
        Err(Error::Unknown { .. }) => Ok(()),
        other => other,
    }
}

/// No ports are published, and none exposed.
fn no_ports() -> BTreeMap<&'static str, Value> {
    let keys = ["com.docker.network.endpoint.exposedports", "com.docker.network.portmap"];
    keys.into_iter().map(|key| (key, json!([]))).collect()
}

/// Whether a device may have this name (`dev_valid_name`).
fn is_device(name: &str) -> bool {
    let inner = |c: char| c.is_ascii_graphic() && c != '/' && c != ':';
    (1..=DEVICE_NAME).contains(&name.len())
        && name != "."
        && name != ".."
        && name.chars().all(inner)
}

/// Go writes the bytes of a `net.HardwareAddr` so. Six are eight characters without padding.
fn base64(bytes: [u8; 6]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let number = bytes.iter().fold(0_u64, |number, &byte| number << 8 | u64::from(byte));
    let digit = |at: u32| char::from(DIGITS[usize::try_from(number >> (6 * at) & 63).unwrap_or(0)]);
    (0..8).rev().map(digit).collect()
}
