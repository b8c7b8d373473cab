//! What people ask for: the bodies of requests.

use std::{
    collections::BTreeMap,
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    path::PathBuf,
    str::FromStr,
};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::{
    CniName, DeviceName, DriverName, ExposedPort, HostEntry, HostName, LinkAlias, MacAddr, Name,
    PublishedPort, ResolverOption, SearchDomain, ServiceRef, Sysctl,
};

/// A network to create.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NetworkSpec {
    /// Its name.
    pub name: Name,
    /// Its driver; `overlay` where none is given.
    #[serde(default)]
    pub driver: Option<DriverName>,
    /// Its subnets; one of IPv4 is chosen where the driver needs one and none is given.
    #[serde(default)]
    pub subnets: Vec<IpNet>,
    /// IPv4 and IPv6: a subnet is chosen for the family that none is given of.
    #[serde(default)]
    pub ipv6: bool,
    /// For each subnet that contains one, the part to hand out addresses from, to all or to what is on a host.
    #[serde(default)]
    pub ip_ranges: Vec<RangeSpec>,
    /// For each subnet that contains one, the address of its gateway.
    #[serde(default)]
    pub gateways: Vec<IpAddr>,
    /// Addresses that are somebody else's, by what they are called.
    #[serde(default)]
    pub aux_addresses: BTreeMap<Name, IpAddr>,
    /// The plugin that gives its addresses; netctl does where none is given.
    #[serde(default)]
    pub ipam_driver: Option<DriverName>,
    /// How addresses are chosen, or options for the plugin.
    #[serde(default)]
    pub ipam_options: BTreeMap<String, String>,
    /// No way out, and no names from outside.
    #[serde(default)]
    pub internal: bool,
    /// Options for the driver.
    #[serde(default)]
    pub options: BTreeMap<String, String>,
    /// Notes.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
}

impl NetworkSpec {
    /// A network of which all is chosen but its name.
    pub fn of(name: Name) -> Self {
        Self {
            name,
            driver: None,
            subnets: Vec::new(),
            ipv6: false,
            ip_ranges: Vec::new(),
            gateways: Vec::new(),
            aux_addresses: BTreeMap::new(),
            ipam_driver: None,
            ipam_options: BTreeMap::new(),
            internal: false,
            options: BTreeMap::new(),
            labels: BTreeMap::new(),
        }
    }
}

/// A part of a subnet, for all or for what is published on one host: `10.1.1.0/24`, `h1=10.1.1.0/24`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RangeSpec {
    /// The host, where it is for one.
    pub host: Option<HostName>,
    /// The part.
    pub range: IpNet,
}

/// A text that is no range.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("range {text:?} is none: write CIDR, or HOST=CIDR for what is published on one host")]
pub struct RangeError {
    text: String,
}

impl FromStr for RangeSpec {
    type Err = RangeError;

    fn from_str(text: &str) -> Result<Self, RangeError> {
        let (host, range) = match text.split_once('=') {
            Some((host, range)) => (Some(host.parse()), range),
            None => (None, text),
        };
        match (host.transpose(), range.parse()) {
            (Ok(host), Ok(range)) => Ok(Self { host, range }),
            _ => Err(RangeError { text: text.to_owned() }),
        }
    }
}

impl TryFrom<String> for RangeSpec {
    type Error = RangeError;

    fn try_from(text: String) -> Result<Self, RangeError> {
        text.parse()
    }
}

impl fmt::Display for RangeSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(host) = &self.host {
            write!(f, "{host}=")?;
        }
        write!(f, "{}", self.range)
    }
}

impl From<RangeSpec> for String {
    fn from(range: RangeSpec) -> Self {
        range.to_string()
    }
}

/// A service to publish.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServiceSpec {
    /// Its name and its network.
    pub service: ServiceRef,
    /// Further names, which other services of the network may share.
    #[serde(default)]
    pub aliases: Vec<Name>,
    /// Ports that it listens on, for SRV records.
    #[serde(default)]
    pub exposed: Vec<ExposedPort>,
    /// Ports that it is to be reached at by addresses of the host that it is attached on.
    #[serde(default)]
    pub ports: Vec<PublishedPort>,
    /// Its IPv4 address, where it is to have a certain one.
    #[serde(default)]
    pub address: Option<Ipv4Addr>,
    /// Its IPv6 address, where it is to have a certain one.
    #[serde(default)]
    pub address6: Option<Ipv6Addr>,
    /// Its link-layer address, where it is to have a certain one.
    #[serde(default)]
    pub mac: Option<MacAddr>,
    /// Its sandbox bridges onward to stations of its own.
    #[serde(default)]
    pub bridging: bool,
    /// The tunnel address that it is behind, where that is no host of netctl's.
    #[serde(default)]
    pub vtep: Option<IpAddr>,
    /// The container that it is of, and goes with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container: Option<CniName>,
}

impl ServiceSpec {
    /// A service of which all is chosen but its name.
    pub fn of(service: ServiceRef) -> Self {
        Self {
            service,
            aliases: Vec::new(),
            exposed: Vec::new(),
            ports: Vec::new(),
            address: None,
            address6: None,
            mac: None,
            bridging: false,
            vtep: None,
            container: None,
        }
    }
}

/// What to attach a service to, and how.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AttachSpec {
    /// The sandbox: its name, its id, or the beginning of its id.
    pub sandbox: String,
    /// Take it from where it is attached.
    #[serde(default)]
    pub force: bool,
    /// Names that the sandbox alone is to have for services of the network.
    #[serde(default)]
    pub aliases: Vec<LinkAlias>,
    /// Of a sandbox's networks with a way out, that with the highest has the default route.
    #[serde(default)]
    pub gw_priority: i32,
    /// What its interface is to be called; `eth` and the first free number where none is given.
    #[serde(default)]
    pub device: Option<DeviceName>,
    /// Settings of its interface, which each stand for by `IFNAME`.
    #[serde(default)]
    pub sysctls: Vec<Sysctl>,
    /// The CNI network configuration that says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub configuration: Option<CniName>,
}

impl AttachSpec {
    /// To this sandbox, as all that is not told otherwise.
    pub fn to(sandbox: impl Into<String>) -> Self {
        Self {
            sandbox: sandbox.into(),
            force: false,
            aliases: Vec::new(),
            gw_priority: 0,
            device: None,
            sysctls: Vec::new(),
            configuration: None,
        }
    }
}

/// A service to publish and to attach in one step, as `netctl network connect` does: both happen, or nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConnectSpec {
    /// The service.
    pub publish: ServiceSpec,
    /// What to attach it to. One that was just published is attached nowhere, so `force` means nothing here.
    pub attach: AttachSpec,
}

/// A sandbox to create.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SandboxSpec {
    /// Its name; its short identifier where none is given.
    #[serde(default)]
    pub name: Option<Name>,
    /// An existing network namespace to use in place of a new one.
    #[serde(default)]
    pub netns: Option<PathBuf>,
    /// A process whose network namespace to use in place of a new one.
    #[serde(default)]
    pub pid: Option<u32>,
    /// The host's own network stack in place of a new namespace.
    #[serde(default)]
    pub host_stack: bool,
    /// Name servers to ask for names from outside, in place of the host's.
    #[serde(default)]
    pub dns: Vec<IpAddr>,
    /// Domains to look for names in, in place of the host's.
    #[serde(default)]
    pub dns_search: Vec<SearchDomain>,
    /// Options for its resolver.
    #[serde(default)]
    pub dns_options: Vec<ResolverOption>,
    /// The name of the host that its processes see; they see the host's own where none is given.
    #[serde(default)]
    pub hostname: Option<HostName>,
    /// Further lines of its `/etc/hosts`.
    #[serde(default)]
    pub extra_hosts: Vec<HostEntry>,
    /// Settings of its network stack.
    #[serde(default)]
    pub sysctls: Vec<Sysctl>,
    /// The container that it is of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container: Option<CniName>,
}

/// A sandbox to create together with services for it, as `netctl run` does: all of it happens, or nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunSpec {
    /// The sandbox.
    #[serde(default)]
    pub sandbox: SandboxSpec,
    /// Services to publish and attach, each with the network to make if it is not there.
    #[serde(default)]
    pub publish: Vec<ServiceSpec>,
}
