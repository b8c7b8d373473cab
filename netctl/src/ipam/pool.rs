//! Subnets of networks.

use ipnet::IpNet;

use super::{Claim, DefaultPool, Error, default_pool};
use crate::{
    model::{HostName, Name, NetworkId, Subnet},
    store::{Entry, Guard, Store, Txn},
};

/// What the keys of all pools begin with.
pub const PREFIX: &str = "ipam/pools/";
/// Put by every transaction that takes a pool, and guarded by it: two pools may overlap without being equal, which
/// no guard on their own keys would see.
const SERIAL: &str = "ipam/pools-serial";

/// What a network wants for subnets.
#[derive(Clone, Debug)]
pub struct PoolWish<'a> {
    /// The network.
    pub id: &'a NetworkId,
    /// Its name, for errors.
    pub name: &'a Name,
    /// The host that it is on alone, where it is local.
    pub local: Option<&'a HostName>,
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
    let pools = store.list(PREFIX).await?.entries;
    let taken: Vec<(IpNet, String)> =
        pools.iter().filter_map(|entry| in_the_way(entry, wish.local)).collect();
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
        let (key, value) = pool_entry(subnet.cidr, wish.id, wish.name, wish.local);
        txn = txn.put(key, value);
    }
    Ok(Claim::new(subnets, txn))
}

/// A subnet of a family in `defaults` that no network has, no host uses and that is not in `asked`, with a transaction that
/// loses where another takes one meanwhile. It takes nothing: that is left to who makes a network of it.
pub async fn free_pool(
    store: &dyn Store,
    defaults: &[DefaultPool],
    v6: bool,
    hosts: &[(IpNet, String)],
    asked: &[IpNet],
) -> Result<Claim<IpNet>, Error> {
    let serial = store.get(SERIAL).await?;
    let pools = store.list(PREFIX).await?.entries;
    let taken: Vec<IpNet> =
        pools.iter().filter_map(|entry| Some(in_the_way(entry, None)?.0)).collect();
    let free = |cidr: &IpNet| {
        let used = hosts.iter().map(|(used, _)| used);
        taken.iter().chain(asked).chain(used).all(|other| !overlaps(other, cidr))
    };
    let id = NetworkId::random();
    let subnet = default_pool::choose(defaults, v6, &id, free)?;
    let txn = Txn::new().when(serial_guard(serial)).put(SERIAL, id.as_str());
    Ok(Claim::new(subnet.cidr, txn))
}

/// The key that says whose a subnet is, and its value: the network's name, and behind a space the host of a local one.
pub fn pool_entry(
    cidr: IpNet,
    id: &NetworkId,
    name: &Name,
    local: Option<&HostName>,
) -> (String, String) {
    (format!("{PREFIX}{cidr}/{id}"), holder(name, local))
}

/// The piece of a transaction that makes those lose that take a pool at the same time, for who puts back the pool of a
/// network.
pub fn unsettle_pools(id: &NetworkId) -> Txn {
    Txn::new().put(SERIAL, id.as_str())
}

fn serial_guard(serial: Option<Entry>) -> Guard {
    match serial {
        Some(entry) => Guard::Unchanged(SERIAL.to_owned(), entry.modified),
        None => Guard::Absent(SERIAL.to_owned()),
    }
}

fn holder(network: &Name, local: Option<&HostName>) -> String {
    local.map_or_else(|| network.to_string(), |host| format!("{network} {host}"))
}

/// A pool that another network has, with that network, unless both are local and on different hosts.
fn in_the_way(entry: &Entry, local: Option<&HostName>) -> Option<(IpNet, String)> {
    let (cidr, _network) = entry.key.strip_prefix(PREFIX)?.rsplit_once('/')?;
    let holder = String::from_utf8_lossy(&entry.value);
    let network = match (holder.split_once(' '), local) {
        (Some((_, host)), Some(local)) if host != local.as_str() => return None,
        (Some((network, host)), None) => format!("{network} on host {host}"),
        (Some((network, _)), Some(_)) => network.to_owned(),
        (None, _) => holder.into_owned(),
    };
    Some((cidr.parse().ok()?, network))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn local_pools_are_in_the_way_of_their_host_and_of_the_cluster() {
        let host = |name: &str| name.parse::<HostName>().expect("a name");
        let (here, there) = (host("h1"), host("h2"));
        let pool = |local: Option<&HostName>| Entry {
            key: format!("{PREFIX}10.1.0.0/24/{}", NetworkId::from_bytes([1; 32])),
            value: holder(&"br0".parse().expect("a name"), local).into_bytes(),
            modified: crate::store::Revision(1),
        };
        let whose = |pool: &Entry, local| in_the_way(pool, local).map(|(_, network)| network);
        let (own, of_all) = (pool(Some(&here)), pool(None));
        assert_eq!(whose(&own, Some(&here)).as_deref(), Some("br0"));
        assert_eq!(whose(&own, Some(&there)), None);
        assert_eq!(whose(&own, None).as_deref(), Some("br0 on host h1"));
        assert_eq!(whose(&of_all, Some(&here)).as_deref(), Some("br0"));
        assert_eq!(whose(&of_all, None).as_deref(), Some("br0"));
    }
}
