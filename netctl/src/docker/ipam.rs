//! The IPAM driver's calls (libnetwork, `ipams/remote/api/api.go`).

use std::{collections::BTreeMap, net::IpAddr};

use serde::Deserialize;
use serde_json::{Value, json};

use super::call::{Call, Failure};
use crate::controller::{EngineAddress, EnginePoolSpec, EngineScope, Error};

/// Our names for addresses of one engine, and of a Swarm.
const LOCAL: &str = "netctl-local";
const GLOBAL: &str = "netctl-global";
/// The option of a network that says which of netctl's it is.
pub(super) const NETWORK: &str = "netctl.network";
/// Options that Docker itself gives begin so; those that mean nothing here are passed over.
const DOCKER: &str = "com.docker.network.";
const ADDRESS_TYPE: &str = "RequestAddressType";
const GATEWAY: &str = "com.docker.network.gateway";

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct PoolText {
    addressspace: String,
    pool: String,
    subpool: String,
    options: BTreeMap<String, String>,
    v6: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct AddressText {
    poolid: String,
    address: String,
    options: BTreeMap<String, String>,
}

/// Nothing need be asked for again when an engine is started: the store remembers it. So an engine that is started while
/// the store is away keeps its networks.
pub(super) fn capabilities() -> Value {
    json!({"RequiresMACAddress": false, "RequiresRequestReplay": false})
}

pub(super) fn spaces() -> Value {
    json!({"LocalDefaultAddressSpace": LOCAL, "GlobalDefaultAddressSpace": GLOBAL})
}

/// Whose addresses those of a space are.
pub(super) fn scope_of(space: &str) -> Option<EngineScope> {
    match space {
        LOCAL => Some(EngineScope::Host),
        GLOBAL => Some(EngineScope::Swarm),
        _ => None,
    }
}

pub(super) async fn request_pool(call: &Call<'_>) -> Result<Value, Failure> {
    let PoolText { addressspace: space, pool, subpool, options, v6 } = call.read()?;
    let scope = scope_of(&space).ok_or_else(|| {
        call.garbled(format!("AddressSpace {space:?} is neither {LOCAL} nor {GLOBAL}"))
    })?;
    let unknown = |option: &&String| *option != NETWORK && !option.starts_with(DOCKER);
    if let Some(option) = options.keys().find(unknown) {
        let reason = format!("there is no ipam option {option}: there is {NETWORK}=NAME");
        return Err(Error::unusable(reason).into());
    }
    let spec = EnginePoolSpec {
        scope,
        cidr: call.parse_some("Pool", &pool)?,
        range: call.parse_some("SubPool", &subpool)?,
        name: options.get(NETWORK).map(|name| call.parse(NETWORK, name)).transpose()?,
        v6,
    };
    let given = call.controller.request_pool(&spec).await?;
    let id = format!("{space}/{}", given.id);
    Ok(json!({"PoolID": id, "Pool": given.cidr, "Data": {}}))
}

pub(super) async fn release_pool(call: &Call<'_>) -> Result<Value, Failure> {
    let AddressText { poolid, .. } = call.read()?;
    // A pool that nobody here gave is not there any more.
    if let Some((scope, pool)) = split(&poolid) {
        call.controller.release_pool(scope, pool).await?;
    }
    Ok(json!({}))
}

pub(super) async fn request_address(call: &Call<'_>) -> Result<Value, Failure> {
    let AddressText { poolid, address, options } = call.read()?;
    let (scope, pool) = split(&poolid)
        .ok_or_else(|| call.garbled(format!("PoolID {poolid:?} is none of netctl's")))?;
    let address: Option<IpAddr> = call.parse_some("Address", &address)?;
    let wanted = if options.get(ADDRESS_TYPE).is_some_and(|kind| kind == GATEWAY) {
        EngineAddress::Gateway(address)
    } else {
        address.map_or(EngineAddress::Any, EngineAddress::Certain)
    };
    let given = call.controller.request_address(scope, pool, wanted).await?;
    Ok(json!({"Address": given, "Data": {}}))
}

pub(super) async fn release_address(call: &Call<'_>) -> Result<Value, Failure> {
    let AddressText { poolid, address, .. } = call.read()?;
    let address = call.parse("Address", &address)?;
    if let Some((scope, pool)) = split(&poolid) {
        call.controller.release_address(scope, pool, address).await?;
    }
    Ok(json!({}))
}

fn split(pool: &str) -> Option<(EngineScope, &str)> {
    let (space, pool) = pool.split_once('/')?;
    scope_of(space).map(|scope| (scope, pool))
}
