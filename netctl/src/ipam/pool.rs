//! Subnets of networks.

use ipnet::{IpNet, Ipv4Net};

use super::{Claim, Error};
use crate::{
    model::{Name, NetworkId, Subnet},
    store::{Entry, Guard, Store, Txn},
};

const PREFIX: &str = "ipam/pools/";
/// Put by every transaction that takes a pool, and guarded by it: two pools may overlap without being equal, which
/// no guard on their own keys would see.
const SERIAL: &str = "ipam/pools-serial";
/// Where subnets are chosen from, cut in pieces of [`DEFAULT_PREFIX`] bits.
const DEFAULT: [u8; 4] = [10, 0, 0, 0];
const DEFAULT_BITS: u8 = 8;
const DEFAULT_PREFIX: u8 = 24;

fn pool_key(cidr: IpNet, network: &NetworkId) -> String {
    format!("{PREFIX}{cidr}/{network}")
}

/// What a network wants for subnets.
#[derive(Clone, Debug)]
pub struct PoolWish<'a> {
    /// The network.
    pub id: &'a NetworkId,
    /// Its name, for errors.
    pub name: &'a Name,
    /// The subnets; one of the default pool's is chosen where there is none.
    pub subnets: Vec<Subnet>,
    /// Whether other networks may have the same addresses.
    pub overlap: bool,
    /// What this host uses itself, with the device.
    pub host: &'a [(IpNet, String)],
}

/// Claims the subnets of a network.
pub async fn pools(store: &dyn Store, wish: PoolWish<'_>) -> Result<Claim<Vec<Subnet>>, Error> {
    // Read before the listing, so that what is taken in between makes the guard fail.
    let serial = store.get(SERIAL).await?;
    let taken: Vec<(IpNet, String)> =
        store.list(PREFIX).await?.entries.iter().filter_map(parse_key).collect();
    let subnets = if wish.subnets.is_empty() {
        vec![first_free(&taken, wish.host)?]
    } else {
        check(&wish, &taken)?;
        wish.subnets
    };
    let mut txn = Txn::new().when(serial_guard(serial)).put(SERIAL, wish.id.as_str());
    for subnet in &subnets {
        txn = txn.put(pool_key(subnet.cidr, wish.id), wish.name.as_str());
    }
    Ok(Claim { value: subnets, txn })
}

/// The piece of a transaction that gives the subnets of a network back.
pub fn release_pools(id: &NetworkId, subnets: &[Subnet]) -> Txn {
    subnets.iter().fold(Txn::new(), |txn, subnet| txn.delete(pool_key(subnet.cidr, id)))
}

fn serial_guard(serial: Option<Entry>) -> Guard {
    match serial {
        Some(entry) => Guard::Unchanged(SERIAL.to_owned(), entry.modified),
        None => Guard::Absent(SERIAL.to_owned()),
    }
}

fn parse_key(entry: &Entry) -> Option<(IpNet, String)> {
    let (cidr, _network) = entry.key.strip_prefix(PREFIX)?.rsplit_once('/')?;
    Some((cidr.parse().ok()?, String::from_utf8_lossy(&entry.value).into_owned()))
}

fn overlaps(one: &IpNet, other: &IpNet) -> bool {
    one.contains(other) || other.contains(one)
}

fn check(wish: &PoolWish<'_>, taken: &[(IpNet, String)]) -> Result<(), Error> {
    for (index, subnet) in wish.subnets.iter().enumerate() {
        let wanted = subnet.cidr;
        if let Some(other) =
            wish.subnets[..index].iter().find(|other| overlaps(&other.cidr, &wanted))
        {
            return Err(Error::OwnOverlap {
                one: other.cidr,
                other: wanted,
                network: wish.name.clone(),
            });
        }
        if let Some((other, device)) = wish.host.iter().find(|(other, _)| overlaps(other, &wanted))
        {
            return Err(Error::HostOverlap { wanted, other: *other, device: device.clone() });
        }
        if !wish.overlap
            && let Some((other, network)) = taken.iter().find(|(other, _)| overlaps(other, &wanted))
        {
            return Err(Error::PoolOverlap { wanted, other: *other, network: network.clone() });
        }
    }
    Ok(())
}

fn first_free(taken: &[(IpNet, String)], host: &[(IpNet, String)]) -> Result<Subnet, Error> {
    let pool = Ipv4Net::new_assert(DEFAULT.into(), DEFAULT_BITS);
    pool.subnets(DEFAULT_PREFIX)
        .into_iter()
        .flatten()
        .map(IpNet::V4)
        .find(|cidr| taken.iter().chain(host).all(|(other, _)| !overlaps(other, cidr)))
        .and_then(|cidr| Subnet::new(cidr, None, None).ok())
        .ok_or(Error::NoPool { pool: pool.into() })
}
