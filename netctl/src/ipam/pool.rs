//! Subnets of networks.

use ipnet::IpNet;

use super::{Claim, DefaultPool, Error, default_pool};
use crate::{
    model::{Name, NetworkId, Subnet},
    store::{Entry, Guard, Store, Txn},
};

pub(super) const PREFIX: &str = "ipam/pools/";
/// Put by every transaction that takes a pool, and guarded by it: two pools may overlap without being equal, which
/// no guard on their own keys would see.
const SERIAL: &str = "ipam/pools-serial";

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
    /// The subnets; one of IPv4 is chosen where there is none.
    pub subnets: Vec<Subnet>,
    /// Both families: a subnet is chosen for the one that `subnets` has none of.
    pub dual: bool,
    /// Whether other networks may have the same addresses.
    pub overlap: bool,
    /// What hosts use themselves, each with what uses it: `which this host uses on eth0`.
    pub host: &'a [(IpNet, String)],
    /// Where a subnet is chosen from.
    pub defaults: &'a [DefaultPool],
}

/// Claims the subnets of a network.
pub async fn pools(store: &dyn Store, wish: PoolWish<'_>) -> Result<Claim<Vec<Subnet>>, Error> {
    // Read before the listing, so that what is taken in between makes the guard fail.
    let serial = store.get(SERIAL).await?;
    let taken: Vec<(IpNet, String)> =
        store.list(PREFIX).await?.entries.iter().filter_map(parse_key).collect();
    check(&wish, &taken)?;
    let lacks = |v6: bool| !wish.subnets.iter().any(|subnet| subnet.is_v6() == v6);
    let (v4, v6) = (lacks(false) && (wish.dual || lacks(true)), lacks(true) && wish.dual);
    let free = |cidr: &IpNet| {
        taken.iter().chain(wish.host).all(|(other, _)| !overlaps(other, cidr))
            && wish.subnets.iter().all(|own| !overlaps(&own.cidr, cidr))
    };
    let choose = |v6| default_pool::choose(wish.defaults, v6, wish.id, free);
    let mut subnets = wish.subnets.clone();
    if v4 {
        subnets.insert(0, choose(false)?);
    }
    if v6 {
        subnets.push(choose(true)?);
    }
    let mut txn = Txn::new().when(serial_guard(serial)).put(SERIAL, wish.id.as_str());
    for subnet in &subnets {
        txn = txn.put(pool_key(subnet.cidr, wish.id), wish.name.as_str());
    }
    Ok(Claim::new(subnets, txn))
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
        if let Some((other, user)) = wish.host.iter().find(|(other, _)| overlaps(other, &wanted)) {
            return Err(Error::HostOverlap { wanted, other: *other, user: user.clone() });
        }
        if !wish.overlap
            && let Some((other, network)) = taken.iter().find(|(other, _)| overlaps(other, &wanted))
        {
            return Err(Error::PoolOverlap { wanted, other: *other, network: network.clone() });
        }
    }
    Ok(())
}
