//! Address pools, addresses and VNIs, allocated atomically through the store.
//!
//! Nothing is allocated here by itself. Each function reads what is taken, chooses, and returns a [`Claim`]: the
//! choice, and the piece of a transaction that takes it. The caller adds the piece to the transaction that makes the
//! object, so that an address is never taken without an owner, and tries again where another was faster.

mod address;
mod default_pool;
mod field;
mod hold;
mod mac;
mod memory;
mod pool;
#[cfg(test)]
mod tests;
mod vni;

use self::address::Held;
pub use self::{
    address::{ADDRESSES, AddressWish, Allocator, address_key, addresses_prefix, check_options},
    default_pool::{DefaultPool, DefaultPoolError},
    hold::{Hold, Holder},
    mac::{MACS, derived_mac, mac, mac_key, random_mac},
    memory::{HINTS, forget, last_key, remember},
    pool::{PREFIX as POOLS, PoolWish, free_pool, pool_entry, pools, unsettle_pools},
    vni::{PREFIX as VNIS, vni, vni_key},
};
use crate::{
    model::{MacAddr, Name, SubnetError, Vni},
    store::{self, Txn},
};

/// Something chosen, and the piece of a transaction that takes it.
#[derive(Debug, Default)]
pub struct Claim<T> {
    /// What was chosen.
    pub value: T,
    /// Guards that fail where another took it in the meantime, and the puts that take it.
    pub txn: Txn,
    /// Kept until the transaction has ended, so that no other operation of this host chooses the same meanwhile.
    held: Vec<Held>,
}

impl<T> Claim<T> {
    fn new(value: T, txn: Txn) -> Self {
        Self { value, txn, held: Vec::new() }
    }

    /// Both, taken together.
    pub fn with<U, V>(self, other: Claim<U>, both: impl FnOnce(T, U) -> V) -> Claim<V> {
        let mut held = self.held;
        held.extend(other.held);
        Claim { value: both(self.value, other.value), txn: self.txn.and(other.txn), held }
    }
}

/// Why there is nothing to claim.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Somebody has the address.
    #[error(
        "address {address} is taken on network {network}: choose another, or let netctl choose"
    )]
    AddressTaken {
        /// The address.
        address: std::net::IpAddr,
        /// The network.
        network: Name,
    },
    /// The address is somebody's who is no endpoint.
    #[error(
        "address {address} of network {network} is kept for {name}: choose another, or let netctl choose"
    )]
    AddressKept {
        /// The address.
        address: std::net::IpAddr,
        /// What it is called.
        name: Name,
        /// The network.
        network: Name,
    },
    /// The network's link-layer addresses follow from IP addresses.
    #[error(
        "MAC address {mac} is not that of {address}, which is {derived} on network {network}: leave it out"
    )]
    MacDerived {
        /// What was wanted.
        mac: MacAddr,
        /// What it is.
        derived: MacAddr,
        /// The address that it follows from.
        address: std::net::IpAddr,
        /// The network.
        network: Name,
    },
    /// An option of how addresses are chosen is unusable.
    #[error("ipam option {option}={value}: {reason}")]
    Option {
        /// The option.
        option: String,
        /// Its value.
        value: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// Somebody has the link-layer address.
    #[error(
        "MAC address {mac} is taken on network {network}: choose another, or let netctl choose"
    )]
    MacTaken {
        /// The address.
        mac: MacAddr,
        /// The network.
        network: Name,
    },
    /// The network has no such subnet.
    #[error("address {address} is in no subnet of network {network}, which has {subnets}")]
    AddressOutside {
        /// The address.
        address: std::net::IpAddr,
        /// The network.
        network: Name,
        /// Its subnets.
        subnets: String,
    },
    /// No address is left.
    #[error(
        "network {network} has no free address left in {pool}: unpublish services, or add a larger network"
    )]
    Exhausted {
        /// The network.
        network: Name,
        /// Where it looked.
        pool: String,
    },
    /// The address is one that no host can have, or a range or gateway does not fit.
    #[error(transparent)]
    Subnet(#[from] SubnetError),
    /// Another network has addresses of the subnet.
    #[error(
        "subnet {wanted} overlaps with {other} of network {network}: choose another, \
         or allow it with -o allow-overlap=true"
    )]
    PoolOverlap {
        /// The wanted subnet.
        wanted: ipnet::IpNet,
        /// The subnet in the way.
        other: ipnet::IpNet,
        /// Whose it is: the network's name where it is known, else its identifier.
        network: String,
    },
    /// Two subnets of one request overlap.
    #[error("subnets {one} and {other} of network {network} overlap: give each address once")]
    OwnOverlap {
        /// One subnet.
        one: ipnet::IpNet,
        /// The other.
        other: ipnet::IpNet,
        /// The network.
        network: Name,
    },
    /// The hosts themselves use addresses of the subnet.
    #[error("subnet {wanted} overlaps with {other}, {user}: choose another")]
    HostOverlap {
        /// The wanted subnet.
        wanted: ipnet::IpNet,
        /// The host's.
        other: ipnet::IpNet,
        /// What uses it: `which this host uses on eth0`.
        user: String,
    },
    /// All default pools are taken.
    #[error("no subnet is left in the default pool {pools}: give one with --subnet")]
    NoPool {
        /// The pools.
        pools: String,
    },
    /// The daemon has no default pool of the family.
    #[error(
        "there is no default pool of {family}: give a subnet with --subnet, or the daemon a --default-pool"
    )]
    NoPoolOf {
        /// `IPv4` or `IPv6`.
        family: &'static str,
    },
    /// Another network has the VNI.
    #[error("VNI {vni} is in use by network {network}: choose another, or let netctl choose")]
    VniTaken {
        /// The identifier.
        vni: Vni,
        /// Whose it is.
        network: String,
    },
    /// All VNIs are taken.
    #[error("no VNI is left: remove networks")]
    NoVni,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] store::Error),
}
