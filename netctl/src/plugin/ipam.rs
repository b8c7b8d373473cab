//! The remote IPAM protocol (libnetwork, `ipams/remote/api/api.go`).

use std::{collections::BTreeMap, net::IpAddr};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::{Caller, Error};
use crate::model::MacAddr;

/// Says what an address is for (libnetwork, `ipamapi/contract.go`).
const ADDRESS_TYPE: &str = "RequestAddressType";
/// The value for a gateway's, and the name under which a pool's data may hold one.
const GATEWAY: &str = "com.docker.network.gateway";
const MAC: &str = "com.docker.network.endpoint.macaddress";

/// What an IPAM driver needs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct IpamCapabilities {
    /// The endpoint's link-layer address, with each request for an address.
    #[serde(rename = "requiresmacaddress")]
    pub requires_mac: bool,
    /// All requests again after it was started again.
    #[serde(rename = "requiresrequestreplay")]
    pub requires_replay: bool,
}

/// Its names for what is on one host, and in the cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct AddressSpaces {
    /// For networks of one host.
    #[serde(rename = "localdefaultaddressspace")]
    pub local: String,
    /// For those of the cluster.
    #[serde(rename = "globaldefaultaddressspace")]
    pub global: String,
}

/// A pool to be had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolRequest<'a> {
    /// One of [`AddressSpaces`].
    pub space: &'a str,
    /// The subnet; any where there is none.
    pub pool: Option<IpNet>,
    /// The part of it to give addresses from.
    pub range: Option<IpNet>,
    /// What people gave the driver.
    pub options: &'a BTreeMap<String, String>,
    /// Whether it is of IPv6.
    pub v6: bool,
}

/// A pool that was had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestedPool {
    /// The driver's name for it.
    pub id: String,
    /// The subnet.
    pub subnet: IpNet,
    /// The gateway that came with it.
    pub gateway: Option<IpAddr>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct PoolText<'a> {
    address_space: &'a str,
    pool: String,
    sub_pool: String,
    options: &'a BTreeMap<String, String>,
    #[serde(rename = "V6")]
    v6: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct PoolAnswer {
    poolid: String,
    pool: String,
    data: BTreeMap<String, String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct AddressText<'a> {
    #[serde(rename = "PoolID")]
    pool: &'a str,
    address: String,
    /// Go writes a map that was never made as `null`.
    options: Option<BTreeMap<&'static str, String>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct AddressAnswer {
    address: String,
}

#[derive(Serialize)]
struct OfPool<'a> {
    #[serde(rename = "PoolID")]
    pool: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct OfAddress<'a> {
    #[serde(rename = "PoolID")]
    pool: &'a str,
    address: IpAddr,
}

/// A plugin that is an IPAM driver. Cheap to clone.
#[derive(Clone, Debug)]
pub struct IpamPlugin {
    caller: Caller,
    capabilities: IpamCapabilities,
    spaces: AddressSpaces,
}

impl IpamPlugin {
    pub(super) fn new(
        caller: Caller,
        capabilities: IpamCapabilities,
        spaces: AddressSpaces,
    ) -> Self {
        Self { caller, capabilities, spaces }
    }

    pub(super) async fn describe(
        caller: &Caller,
    ) -> Result<(IpamCapabilities, AddressSpaces), Error> {
        let capabilities = match caller.ask("IpamDriver.GetCapabilities").await {
            Ok(capabilities) => capabilities,
            // It came later than the other calls.
            Err(error) if error.is_answer() => IpamCapabilities::default(),
            Err(error) => return Err(error),
        };
        let spaces = caller.ask("IpamDriver.GetDefaultAddressSpaces").await?;
        Ok((capabilities, spaces))
    }

    /// What it needs.
    pub fn capabilities(&self) -> IpamCapabilities {
        self.capabilities
    }

    /// Its names for what is on one host, and in the cluster.
    pub fn spaces(&self) -> &AddressSpaces {
        &self.spaces
    }

    /// Takes a pool.
    ///
    /// # Errors
    /// [`Error::Garbled`] where the answer is not to be used; with its name, if it has one, the pool is taken.
    pub async fn request_pool(
        &self,
        request: &PoolRequest<'_>,
    ) -> Result<RequestedPool, (Option<String>, Error)> {
        const METHOD: &str = "IpamDriver.RequestPool";
        let text = |net: Option<IpNet>| net.map(|net| net.to_string()).unwrap_or_default();
        let PoolRequest { space, pool, range, options, v6 } = *request;
        let asked =
            PoolText { address_space: space, pool: text(pool), sub_pool: text(range), options, v6 };
        let answer: PoolAnswer =
            self.caller.call(METHOD, &asked).await.map_err(|error| (None, error))?;
        let named = Some(answer.poolid.clone()).filter(|id| !id.is_empty());
        let garbled = |reason: String| (named.clone(), self.caller.garbled(METHOD, reason));
        if answer.poolid.is_empty() {
            return Err(garbled("it has no PoolID".to_owned()));
        }
        let subnet = answer.pool.parse::<IpNet>().ok().filter(|net| net.addr().is_ipv6() == v6);
        let Some(subnet) = subnet.filter(|net| net.trunc() == *net) else {
            let family = if v6 { "IPv6" } else { "IPv4" };
            return Err(garbled(format!("Pool {:?} is no {family} subnet", answer.pool)));
        };
        if let Some(wanted) = pool.filter(|wanted| *wanted != subnet) {
            return Err(garbled(format!(
                "Pool {subnet} is another than {wanted}, which it was asked for"
            )));
        }
        let gateway = match answer.data.get(GATEWAY) {
            None => None,
            Some(text) => match read_address(text) {
                Some(address) if subnet.contains(&address) => Some(address),
                _ => {
                    return Err(garbled(format!(
                        "gateway {text:?} is no address of pool {subnet}"
                    )));
                }
            },
        };
        Ok(RequestedPool { id: answer.poolid, subnet, gateway })
    }

    /// Gives a pool back.
    pub async fn release_pool(&self, pool: &str) -> Result<(), Error> {
        self.caller.tell("IpamDriver.ReleasePool", &OfPool { pool }).await
    }

    /// Takes an address of a pool: that which is `wanted`, or any.
    ///
    /// # Errors
    /// [`Error::Garbled`] where the answer is not to be used; with the address, if it has one, which is taken.
    pub async fn request_address(
        &self,
        pool: &RequestedPool,
        wanted: Option<IpAddr>,
        purpose: Purpose,
    ) -> Result<IpAddr, (Option<IpAddr>, Error)> {
        const METHOD: &str = "IpamDriver.RequestAddress";
        let options = match purpose {
            Purpose::Gateway => Some((ADDRESS_TYPE, GATEWAY.to_owned())),
            Purpose::Endpoint { mac } => {
                mac.filter(|_| self.capabilities.requires_mac).map(|mac| (MAC, mac.to_string()))
            }
        };
        let request = AddressText {
            pool: &pool.id,
            address: wanted.map(|address| address.to_string()).unwrap_or_default(),
            options: options.map(|option| BTreeMap::from([option])),
        };
        let answer: AddressAnswer =
            self.caller.call(METHOD, &request).await.map_err(|error| (None, error))?;
        let address = read_address(&answer.address);
        let garbled = |reason: String| (address, self.caller.garbled(METHOD, reason));
        let Some(given) = address else {
            return Err(garbled(format!("Address {:?} is no address", answer.address)));
        };
        if !pool.subnet.contains(&given) {
            return Err(garbled(format!("Address {given} is not of pool {}", pool.subnet)));
        }
        if let Some(wanted) = wanted.filter(|wanted| *wanted != given) {
            return Err(garbled(format!(
                "Address {given} is another than {wanted}, which it was asked for"
            )));
        }
        Ok(given)
    }

    /// Gives an address back.
    pub async fn release_address(&self, pool: &str, address: IpAddr) -> Result<(), Error> {
        self.caller.tell("IpamDriver.ReleaseAddress", &OfAddress { pool, address }).await
    }
}

/// What an address is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// A network's gateway.
    Gateway,
    /// An endpoint, with its link-layer address if it has one yet.
    Endpoint {
        /// The address.
        mac: Option<MacAddr>,
    },
}

/// An address, with or without the length of its prefix.
fn read_address(text: &str) -> Option<IpAddr> {
    text.parse::<IpNet>().map(|net| net.addr()).or_else(|_not| text.parse()).ok()
}
