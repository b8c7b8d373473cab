//! Subnets of networks.

use std::net::Ipv6Addr;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::{Claim, Error};
use crate::{
    model::{HostName, Name, NetworkId, Subnet},
    store::{Entry, Guard, Store, Txn},
};

const PREFIX: &str = "ipam/pools/";
/// Put by every transaction that takes a pool, and guarded by it: two pools may overlap without being equal, which
/// no guard on their own keys would see.
const SERIAL: &str = "ipam/pools-serial";
/// Where subnets of IPv4 are chosen from, cut in pieces of [`DEFAULT_PREFIX`] bits.
const DEFAULT: [u8; 4] = [10, 0, 0, 0];
const DEFAULT_BITS: u8 = 8;
const DEFAULT_PREFIX: u8 = 24;
/// Where subnets of IPv6 are chosen from: locally assigned unique local addresses (RFC 4193, section 3.2).
const DEFAULT6: u8 = 0xfd;
const DEFAULT6_BITS: u8 = 8;
/// What a link has (RFC 4291, section 2.5.4): behind the 8 bits of the pool, a global identifier of 40 and a subnet
/// identifier of 16, both random.
const DEFAULT6_PREFIX: u8 = 64;
const RANDOM6: usize = 7;

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
    /// The host that it is on alone, where it is local.
    pub local: Option<&'a HostName>,
    /// The subnets; one of IPv4 is chosen where there is none.
    pub subnets: Vec<Subnet>,
    /// Both families: a subnet is chosen for the one that `subnets` has none of.
    pub dual: bool,
    /// Whether other networks may have the same addresses.
    pub overlap: bool,
    /// What this host uses itself, with the device.
    pub host: &'a [(IpNet, String)],
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
    let mut subnets = wish.subnets;
    if v4 {
        subnets.insert(0, first_free(&taken, wish.host)?);
    }
    if v6 {
        subnets.push(unique_local(wish.id, &taken, wish.host)?);
    }
    let mut txn = Txn::new().when(serial_guard(serial)).put(SERIAL, wish.id.as_str());
    for subnet in &subnets {
        txn = txn.put(pool_key(subnet.cidr, wish.id), holder(wish.name, wish.local));
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

/// Whose a pool is, as it stands in the store: a network's name, and behind a space the host of a local one.
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

/// The first subnet spelt by random bytes of the network's own identifier that nobody has: which it is follows from the
/// identifier, and meeting another by chance is as unlikely as RFC 4193 wants it.
fn unique_local(
    id: &NetworkId,
    taken: &[(IpNet, String)],
    host: &[(IpNet, String)],
) -> Result<Subnet, Error> {
    let spelt = |random: &[u8]| {
        let mut bytes = [0; 16];
        bytes[0] = DEFAULT6;
        bytes[1..=RANDOM6].copy_from_slice(random);
        IpNet::V6(Ipv6Net::new_assert(Ipv6Addr::from(bytes), DEFAULT6_PREFIX))
    };
    id.to_bytes()
        .windows(RANDOM6)
        .map(spelt)
        .find(|cidr| taken.iter().chain(host).all(|(other, _)| !overlaps(other, cidr)))
        .and_then(|cidr| Subnet::new(cidr, None, None).ok())
        .ok_or_else(|| {
            let pool = Ipv6Addr::from([u16::from(DEFAULT6) << 8, 0, 0, 0, 0, 0, 0, 0]);
            Error::NoPool { pool: Ipv6Net::new_assert(pool, DEFAULT6_BITS).into() }
        })
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

    #[test]
    fn the_identifier_spells_a_unique_local_subnet() {
        let bytes: [u8; 32] = std::array::from_fn(|at| u8::try_from(at).expect("few"));
        let id = NetworkId::from_bytes(bytes);
        let cidr = |taken: &[&str]| {
            let named = |text: &&str| (text.parse().expect("a subnet"), String::new());
            let taken: Vec<(IpNet, String)> = taken.iter().map(named).collect();
            unique_local(&id, &taken, &[]).map(|subnet| subnet.cidr.to_string())
        };
        let first = "fd00:102:304:506::/64";
        assert_eq!(cidr(&["10.0.0.0/8"]).expect("there is room"), first);
        assert_eq!(cidr(&[first]).expect("there is room"), "fd01:203:405:607::/64");
        let full = cidr(&["fd00::/8"]).expect_err("there is no room").to_string();
        assert_eq!(full, "no subnet is left in the default pool fd00::/8: give one with --subnet");
    }
}
