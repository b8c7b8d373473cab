//! The network driver's calls (libnetwork, `drivers/remote/api/api.go`).

use std::{collections::BTreeMap, path::Path};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    Scope,
    call::{Call, Failure},
    ipam::{self, NETWORK},
    ports, resolvers,
};
use crate::{
    controller::{EngineEndpointSpec, EngineNetworkSpec, EngineScope, EngineSubnet, Error},
    model::{EndpointId, EngineNetworkId},
};

const GENERIC: &str = "com.docker.network.generic";
const INTERNAL: &str = "com.docker.network.internal";
/// What an interface's name in a container begins with; Docker adds a number.
const PREFIX: &str = "eth";

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct NetworkText {
    networkid: String,
    options: BTreeMap<String, Value>,
    ipv4data: Vec<DataText>,
    ipv6data: Vec<DataText>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct DataText {
    addressspace: String,
    pool: String,
    gateway: String,
    auxaddresses: BTreeMap<String, String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct EndpointText {
    networkid: String,
    endpointid: String,
    interface: InterfaceText,
    options: BTreeMap<String, Value>,
    sandboxkey: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct InterfaceText {
    address: String,
    addressipv6: String,
    macaddress: String,
}

pub(super) fn capabilities(scope: Scope) -> Value {
    json!({"Scope": scope, "ConnectivityScope": Scope::Global})
}

/// A Swarm's manager makes a network: what is answered is all that its nodes are told as options.
pub(super) async fn allocate(call: &Call<'_>) -> Result<Value, Failure> {
    let spec = network_spec(call, EngineScope::Swarm)?;
    let network = call.controller.adopt_network(&spec).await?;
    Ok(json!({"Options": {NETWORK: network.id}}))
}

pub(super) async fn free(call: &Call<'_>) -> Result<Value, Failure> {
    let NetworkText { networkid, .. } = call.read()?;
    if let Ok(id) = networkid.parse() {
        call.controller.drop_network(EngineScope::Swarm, &id).await?;
    }
    Ok(json!({}))
}

pub(super) async fn create(call: &Call<'_>) -> Result<Value, Failure> {
    let spec = network_spec(call, EngineScope::Host)?;
    call.controller.adopt_network(&spec).await?;
    Ok(json!({}))
}

pub(super) async fn delete(call: &Call<'_>) -> Result<Value, Failure> {
    let NetworkText { networkid, .. } = call.read()?;
    if let Ok(id) = networkid.parse() {
        call.controller.drop_network(EngineScope::Host, &id).await?;
    }
    Ok(json!({}))
}

pub(super) async fn create_endpoint(call: &Call<'_>) -> Result<Value, Failure> {
    let text: EndpointText = call.read()?;
    let InterfaceText { address, addressipv6, macaddress } = &text.interface;
    let spec = EngineEndpointSpec {
        id: endpoint_id(call, &text)?,
        network: call.parse("NetworkID", &text.networkid)?,
        address: call.parse_some::<Ipv4Net>("Address", address)?.map(|net| net.addr()),
        address6: call.parse_some::<Ipv6Net>("AddressIPv6", addressipv6)?.map(|net| net.addr()),
        mac: call.parse_some("MacAddress", macaddress)?,
        exposed: ports::exposed(&text.options).map_err(|reason| call.garbled(reason))?,
    };
    let endpoint = call.controller.make_engine_endpoint(&spec).await?;
    // What was given must not be said again (libnetwork, `drivers/remote/driver.go`).
    Ok(match endpoint.mac.filter(|_| spec.mac.is_none()) {
        Some(mac) => json!({"Interface": {"MacAddress": mac.to_string()}}),
        None => json!({"Interface": {}}),
    })
}

pub(super) async fn delete_endpoint(call: &Call<'_>) -> Result<Value, Failure> {
    let text: EndpointText = call.read()?;
    if let Ok(id) = text.endpointid.parse() {
        call.controller.remove_engine_endpoint(&id).await?;
    }
    Ok(json!({}))
}

pub(super) async fn join(call: &Call<'_>) -> Result<Value, Failure> {
    let text: EndpointText = call.read()?;
    let id = endpoint_id(call, &text)?;
    if text.sandboxkey.is_empty() {
        return Err(call.garbled("it has no SandboxKey"));
    }
    let path = Path::new(&text.sandboxkey);
    let attached = call.controller.attach_engine_endpoint(&id, path).await?;
    let gateway = |v6: bool| attached.gateways.iter().find(|gateway| gateway.is_ipv6() == v6);
    let routes = attached.routes.iter().map(|route| match route.next_hop {
        Some(router) => {
            json!({"Destination": route.destination, "RouteType": 0, "NextHop": router})
        }
        None => json!({"Destination": route.destination, "RouteType": 1, "NextHop": ""}),
    });
    let names = attached.names.iter().flat_map(|gateway| {
        let servers = resolvers::of_host().into_iter();
        let same = servers.filter(|server| server.is_ipv4() == gateway.is_ipv4());
        same.map(move |server| {
            json!({"Destination": IpNet::from(server), "RouteType": 0, "NextHop": gateway})
        })
    });
    let routes: Vec<Value> = routes.chain(names).collect();
    let mut answer = json!({
        "InterfaceName": {"SrcName": attached.device, "DstPrefix": PREFIX},
        "StaticRoutes": routes,
        // Otherwise Docker would give the container a way out by a bridge of its own.
        "DisableGatewayService": attached.gateways.is_empty(),
    });
    for (field, v6) in [("Gateway", false), ("GatewayIPv6", true)] {
        if let Some(gateway) = gateway(v6) {
            answer[field] = json!(gateway);
        }
    }
    Ok(answer)
}

pub(super) async fn leave(call: &Call<'_>) -> Result<Value, Failure> {
    let text: EndpointText = call.read()?;
    if let Ok(id) = text.endpointid.parse() {
        call.controller.detach_engine_endpoint(&id).await?;
    }
    Ok(json!({}))
}

/// The endpoint is its container's way out now, and so what its ports are published by.
pub(super) async fn open_ports(call: &Call<'_>) -> Result<Value, Failure> {
    let text: EndpointText = call.read()?;
    let ports = ports::published(&text.options).map_err(|reason| call.garbled(reason))?;
    call.controller.publish_engine_ports(&endpoint_id(call, &text)?, &ports).await?;
    Ok(json!({}))
}

pub(super) async fn close_ports(call: &Call<'_>) -> Result<Value, Failure> {
    let text: EndpointText = call.read()?;
    if let Ok(id) = text.endpointid.parse() {
        call.controller.publish_engine_ports(&id, &[]).await?;
    }
    Ok(json!({}))
}

fn endpoint_id(call: &Call<'_>, text: &EndpointText) -> Result<EndpointId, Failure> {
    call.parse("EndpointID", &text.endpointid)
}

fn network_spec(call: &Call<'_>, scope: EngineScope) -> Result<EngineNetworkSpec, Failure> {
    let NetworkText { networkid, options, ipv4data, ipv6data } = call.read()?;
    let id: EngineNetworkId = call.parse("NetworkID", &networkid)?;
    // A Swarm's manager gives the driver's options alone.
    let (generic, internal) = match scope {
        EngineScope::Swarm => (options, false),
        EngineScope::Host => {
            let generic = match options.get(GENERIC) {
                Some(Value::Object(generic)) => generic.clone().into_iter().collect(),
                _ => BTreeMap::new(),
            };
            (generic, options.get(INTERNAL) == Some(&Value::Bool(true)))
        }
    };
    let mut options: BTreeMap<String, String> = generic
        .into_iter()
        .map(|(option, value)| {
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            (option, text)
        })
        .collect();
    let named = options.remove(NETWORK);
    let subnets = ipv4data
        .iter()
        .chain(&ipv6data)
        .map(|data| subnet(call, scope, data))
        .collect::<Result<_, _>>()?;
    Ok(EngineNetworkSpec { id, scope, named, subnets, internal, options })
}

fn subnet(call: &Call<'_>, scope: EngineScope, data: &DataText) -> Result<EngineSubnet, Failure> {
    let DataText { addressspace: space, pool, gateway, auxaddresses } = data;
    let of_space = ipam::scope_of(space);
    if scope == EngineScope::Host && of_space == Some(EngineScope::Swarm) {
        let reason = "this plugin is for networks of a Swarm, which this node does not manage: use the driver `netctl`";
        return Err(Error::forbidden(reason).into());
    }
    if scope == EngineScope::Host && of_space.is_none() {
        let reason = format!(
            "subnet {pool} is not from netctl, whose networks have addresses that are unique on all hosts: add \
             `--ipam-driver netctl`"
        );
        return Err(Error::unusable(reason).into());
    }
    let aux = auxaddresses.iter().map(|(name, address)| {
        let address: IpNet = call.parse("AuxAddresses", address)?;
        Ok((call.parse("AuxAddresses", name)?, address.addr()))
    });
    Ok(EngineSubnet {
        cidr: call.parse("Pool", pool)?,
        gateway: call.parse_some::<IpNet>("Gateway", gateway)?.map(|net| net.addr()),
        aux: aux.collect::<Result<_, Failure>>()?,
    })
}
