//! Address pools, addresses and VNIs, allocated atomically through the store.
//!
//! Nothing is allocated here by itself. Each function reads what is taken, chooses, and returns a [`Claim`]: the
//! choice, and the piece of a transaction that takes it. The caller adds the piece to the transaction that makes the
//! object, so that an address is never taken without an owner, and tries again where another was faster.

mod address;
mod pool;
mod vni;

pub use self::{
    address::{address_key, addresses, mac, mac_key},
    pool::{PoolWish, pools, release_pools},
    vni::{vni, vni_key},
};
use crate::{
    model::{MacAddr, Name, SubnetError, Vni},
    store::{self, Txn},
};

/// Something chosen, and the piece of a transaction that takes it.
#[derive(Clone, Debug)]
pub struct Claim<T> {
    /// What was chosen.
    pub value: T,
    /// Guards that fail where another took it in the meantime, and the puts that take it.
    pub txn: Txn,
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
        pool: ipnet::IpNet,
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
    /// The host itself uses addresses of the subnet.
    #[error(
        "subnet {wanted} overlaps with {other}, which this host uses on {device}: choose another"
    )]
    HostOverlap {
        /// The wanted subnet.
        wanted: ipnet::IpNet,
        /// The host's.
        other: ipnet::IpNet,
        /// The host's device.
        device: String,
    },
    /// All default pools are taken.
    #[error("no subnet is left in the default pool {pool}: give one with --subnet")]
    NoPool {
        /// The pool.
        pool: ipnet::IpNet,
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
