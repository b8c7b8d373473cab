//! Networks and their subnets.

use std::{collections::BTreeMap, net::IpAddr};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::{HostName, Lease, MacAddr, Name, NetworkId, Peer, Policy, SCHEMA, UnixTime, Vni};

/// The name of a driver.
pub type DriverName = Name;

/// A group of endpoints that reach each other directly, by the means of its driver.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Network {
    /// See [`super::SCHEMA`].
    pub schema: u32,
    /// Unique in the cluster.
    pub id: NetworkId,
    /// Unique in the cluster at any one time; that of a local network, on its host.
    pub name: Name,
    /// The host that it is on alone, where it is local.
    #[serde(default)]
    pub host: Option<HostName>,
    /// Who carries its packets.
    pub driver: DriverName,
    /// Where its endpoints' addresses come from; empty where the driver needs none.
    pub subnets: Vec<Subnet>,
    /// Which VXLAN segment it is, where the driver needs one.
    pub vni: Option<Vni>,
    /// The link-layer address of the gateway, the same on every host.
    pub gateway_mac: Option<MacAddr>,
    /// No way out, and no names from outside.
    pub internal: bool,
    /// What it lets its endpoints do.
    #[serde(default)]
    pub policy: Policy,
    /// What the driver was told.
    pub options: BTreeMap<String, String>,
    /// What the driver chose in place of that, once for all hosts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allotted: Option<BTreeMap<String, String>>,
    /// What was said of how addresses are chosen.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub ipam_options: BTreeMap<String, String>,
    /// Hosts that share no store with this one, and what each of them has. Where there are any, link-layer addresses
    /// follow from IP addresses, so that who knows the one knows the other.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub peers: Vec<Peer>,
    /// What an IPAM driver that is a plugin gave it, and gives its endpoints of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease: Option<Lease>,
    /// What people noted.
    pub labels: BTreeMap<String, String>,
    /// Whether it was made for a container engine, and goes with the last one that has it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub engine_made: bool,
    /// When it was made.
    pub created: UnixTime,
}

impl Network {
    /// One of the whole cluster, without addresses and all else that it may have.
    pub fn new(id: NetworkId, name: Name, driver: DriverName, created: UnixTime) -> Self {
        Self {
            schema: SCHEMA,
            id,
            name,
            host: None,
            driver,
            subnets: Vec::new(),
            vni: None,
            gateway_mac: None,
            internal: false,
            policy: Policy::default(),
            options: BTreeMap::new(),
            allotted: None,
            ipam_options: BTreeMap::new(),
            peers: Vec::new(),
            lease: None,
            labels: BTreeMap::new(),
            engine_made: false,
            created,
        }
    }

    /// Whether a host can have endpoints in it.
    pub fn is_on(&self, host: &HostName) -> bool {
        self.host.as_ref().is_none_or(|own| own == host)
    }
}

/// One subnet of a network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subnet {
    /// The subnet, with no host bits set.
    pub cidr: IpNet,
    /// The part of it that addresses are handed out from; the whole where there is none.
    pub range: Option<IpNet>,
    /// The same for what is published on certain hosts.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub host_ranges: BTreeMap<HostName, IpNet>,
    /// The address of the gateway, the same on every host.
    pub gateway: IpAddr,
    /// Addresses that are somebody else's, by what they are called, and never handed out.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub aux: BTreeMap<Name, IpAddr>,
}

/// Why a subnet is unusable.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SubnetError {
    /// Bits behind the prefix are set.
    #[error("subnet {cidr} has host bits set; did you mean {trunc}?", trunc = cidr.trunc())]
    HostBits {
        /// The subnet.
        cidr: IpNet,
    },
    /// No room for a gateway and an endpoint.
    #[error("subnet {cidr} is too small: it needs room for a gateway and an endpoint")]
    TooSmall {
        /// The subnet.
        cidr: IpNet,
    },
    /// Not addresses that hosts can have.
    #[error("subnet {cidr} is not of unicast addresses")]
    NotUnicast {
        /// The subnet.
        cidr: IpNet,
    },
    /// Addresses that mean something else.
    #[error("subnet {cidr} is of link-local or IPv4-mapped addresses: choose another")]
    Reserved {
        /// The subnet.
        cidr: IpNet,
    },
    /// An address or a range does not lie in the subnet, or is one that no host can have.
    #[error("{what} {value} is not a usable address of subnet {cidr}")]
    Outside {
        /// What was given: `gateway`, `address`, `ip-range`.
        what: &'static str,
        /// What it was.
        value: String,
        /// The subnet.
        cidr: IpNet,
    },
    /// An address has two meanings.
    #[error(
        "auxiliary address {name}={address} is that of {other} already: give each address once"
    )]
    Twice {
        /// What it is called.
        name: Name,
        /// The address.
        address: IpAddr,
        /// What it is already.
        other: String,
    },
}

impl Subnet {
    /// Checks the parts and chooses the first address for the gateway where none is given.
    pub fn new(
        cidr: IpNet,
        range: Option<IpNet>,
        gateway: Option<IpAddr>,
    ) -> Result<Self, SubnetError> {
        if cidr.trunc() != cidr {
            return Err(SubnetError::HostBits { cidr });
        }
        if cidr.max_prefix_len() - cidr.prefix_len() < 2 {
            return Err(SubnetError::TooSmall { cidr });
        }
        let first = cidr.network();
        let multicast = match cidr {
            IpNet::V4(net) => net.addr().octets()[0] >= 224,
            IpNet::V6(net) => net.addr().is_multicast(),
        };
        // Each link has all of fe80::/64 for itself, and ::ffff:0:0/96 stands for IPv4 (RFC 4291, sections 2.5.5.2, 2.5.6).
        let reserved = match cidr {
            IpNet::V4(_) => false,
            IpNet::V6(net) => {
                net.addr().is_unicast_link_local() || net.addr().to_ipv4_mapped().is_some()
            }
        };
        if reserved {
            return Err(SubnetError::Reserved { cidr });
        }
        if multicast || first.is_loopback() || first.is_unspecified() {
            return Err(SubnetError::NotUnicast { cidr });
        }
        if let Some(range) = range {
            check_range(cidr, range)?;
        }
        // The first address of an IPv6 subnet means its routers (RFC 4291, section 2.6.1).
        let mut hosts = cidr.hosts().filter(|address| *address != first);
        let Some(gateway) = gateway.or_else(|| hosts.next()) else {
            return Err(SubnetError::TooSmall { cidr });
        };
        let (host_ranges, aux) = (BTreeMap::new(), BTreeMap::new());
        let subnet = Self { cidr, range, host_ranges, gateway, aux };
        subnet.check_host("gateway", gateway).map(|()| subnet)
    }

    /// Gives what is published on `host` a range of its own.
    pub fn set_host_range(&mut self, host: HostName, range: IpNet) -> Result<(), SubnetError> {
        check_range(self.cidr, range)?;
        self.host_ranges.insert(host, range);
        Ok(())
    }

    /// Keeps an address for somebody else.
    pub fn add_aux(&mut self, name: Name, address: IpAddr) -> Result<(), SubnetError> {
        self.check_host("auxiliary address", address)?;
        let mut others = self.aux.iter().filter(|(_, other)| **other == address);
        let other = if address == self.gateway {
            Some("the gateway".to_owned())
        } else {
            others.next().map(|(other, _)| other.to_string())
        };
        if let Some(other) = other {
            return Err(SubnetError::Twice { name, address, other });
        }
        self.aux.insert(name, address);
        Ok(())
    }

    /// What is handed out to what is published on `host`.
    pub fn range_of(&self, host: &HostName) -> IpNet {
        self.host_ranges.get(host).copied().or(self.range).unwrap_or(self.cidr)
    }

    /// Whether it is of IPv6.
    pub fn is_v6(&self) -> bool {
        self.cidr.addr().is_ipv6()
    }

    /// Checks that `address`, which is a `what`, is one that a host of this subnet can have.
    pub fn check_host(&self, what: &'static str, address: IpAddr) -> Result<(), SubnetError> {
        let usable = self.cidr.contains(&address)
            && address != self.cidr.network()
            && (self.cidr.addr().is_ipv6() || address != self.cidr.broadcast());
        if usable {
            Ok(())
        } else {
            Err(SubnetError::Outside { what, value: address.to_string(), cidr: self.cidr })
        }
    }
}

fn check_range(cidr: IpNet, range: IpNet) -> Result<(), SubnetError> {
    if cidr.contains(&range) && range.trunc() == range {
        return Ok(());
    }
    Err(SubnetError::Outside { what: "ip-range", value: range.to_string(), cidr })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subnet(cidr: &str, range: Option<&str>, gateway: Option<&str>) -> Result<Subnet, String> {
        let parse = |text: &str| text.parse().expect("a test's own text");
        Subnet::new(
            parse(cidr),
            range.map(parse),
            gateway.map(|text| text.parse().expect("an address")),
        )
        .map_err(|error| error.to_string())
    }

    #[test]
    fn the_first_address_is_the_gateway_unless_told() {
        assert_eq!(
            subnet("10.1.0.0/24", None, None).map(|s| s.gateway.to_string()),
            Ok("10.1.0.1".into())
        );
        assert_eq!(
            subnet("fd00:1::/64", None, None).map(|s| s.gateway.to_string()),
            Ok("fd00:1::1".into())
        );
        let told = subnet("10.1.0.0/24", Some("10.1.0.128/25"), Some("10.1.0.254"));
        assert_eq!(told.map(|s| s.gateway.to_string()), Ok("10.1.0.254".into()));
    }

    #[test]
    fn unusable_subnets_say_why() {
        for (cidr, range, gateway, message) in [
            (
                "10.1.0.1/24",
                None,
                None,
                "subnet 10.1.0.1/24 has host bits set; did you mean 10.1.0.0/24?",
            ),
            ("10.1.0.0/31", None, None, "subnet 10.1.0.0/31 is too small"),
            ("224.0.0.0/8", None, None, "subnet 224.0.0.0/8 is not of unicast addresses"),
            ("127.0.0.0/8", None, None, "subnet 127.0.0.0/8 is not of unicast addresses"),
            (
                "fd00::1/64",
                None,
                None,
                "subnet fd00::1/64 has host bits set; did you mean fd00::/64?",
            ),
            ("fd00::/127", None, None, "subnet fd00::/127 is too small"),
            ("ff05::/16", None, None, "subnet ff05::/16 is not of unicast addresses"),
            ("fe80::/64", None, None, "subnet fe80::/64 is of link-local or IPv4-mapped addresses"),
            ("::ffff:10.0.0.0/104", None, None, "subnet ::ffff:10.0.0.0/104 is of link-local"),
            ("fd00::/64", None, Some("fd00::"), "gateway fd00:: is not a usable address"),
            ("fd00::/64", None, Some("10.2.0.1"), "gateway 10.2.0.1 is not a usable address"),
            (
                "10.1.0.0/24",
                Some("10.2.0.0/25"),
                None,
                "ip-range 10.2.0.0/25 is not a usable address of subnet",
            ),
            (
                "10.1.0.0/24",
                None,
                Some("10.2.0.1"),
                "gateway 10.2.0.1 is not a usable address of subnet 10.1.0.0/24",
            ),
            ("10.1.0.0/24", None, Some("10.1.0.0"), "gateway 10.1.0.0 is not a usable address"),
            ("10.1.0.0/24", None, Some("10.1.0.255"), "gateway 10.1.0.255 is not a usable address"),
        ] {
            let error = subnet(cidr, range, gateway).expect_err(cidr);
            assert!(error.starts_with(message), "{error}");
        }
    }
}
