//! What an IPAM driver that is a plugin gave for a network or an endpoint, and is to have back with it.

use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::DriverName;

/// Pools and addresses of one driver.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// The driver.
    pub driver: DriverName,
    /// The driver's name for what it gives of: one for networks of one host, another for those of the cluster.
    pub space: String,
    /// The pools.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pools: Vec<LeasedPool>,
    /// The addresses, of these pools or of the network's.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<LeasedAddress>,
}

/// A pool of a driver.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeasedPool {
    /// The driver's name for it.
    pub id: String,
    /// Its addresses.
    pub subnet: IpNet,
}

/// An address of a pool.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeasedAddress {
    /// The driver's name for the pool.
    pub pool: String,
    /// The address.
    pub address: IpAddr,
}

impl Lease {
    /// Nothing yet of this space of a driver.
    pub fn of(driver: DriverName, space: String) -> Self {
        Self { driver, space, pools: Vec::new(), addresses: Vec::new() }
    }

    /// The first of the pools with this address, or where none is given, of IPv6 or else of IPv4.
    pub fn pool_of(&self, address: Option<IpAddr>, v6: bool) -> Option<&LeasedPool> {
        self.pools.iter().find(|pool| match address {
            Some(address) => pool.subnet.contains(&address),
            None => pool.subnet.addr().is_ipv6() == v6,
        })
    }
}
