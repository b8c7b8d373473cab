//! Addresses of endpoints and gateways.

use std::{collections::BTreeSet, net::IpAddr};

use ipnet::IpNet;

use super::{Claim, Error};
use crate::{
    model::{MacAddr, Network, NetworkId, Subnet},
    store::{Guard, Store, Txn},
};

fn addresses_prefix(network: &NetworkId) -> String {
    format!("ipam/addresses/{network}/")
}

/// The key that says whose an address of a network is.
pub fn address_key(network: &NetworkId, address: IpAddr) -> String {
    format!("{}{address}", addresses_prefix(network))
}

/// The key that says whose a link-layer address of a network is.
pub fn mac_key(network: &NetworkId, mac: MacAddr) -> String {
    format!("ipam/macs/{network}/{mac}")
}

/// Claims for `owner` an address of each family that the network has, IPv4 first: that which is `wanted`, or the lowest
/// free one of the first of the family's subnets that has one.
///
/// `attempt` counts the tries of one operation that were lost to others; each makes the choice among more addresses,
/// so that many hosts that publish at once do not fight for one address for ever.
pub async fn addresses(
    store: &dyn Store,
    network: &Network,
    wanted: &[IpAddr],
    owner: &str,
    attempt: u32,
) -> Result<Claim<Vec<IpNet>>, Error> {
    let mut claim = Claim { value: Vec::new(), txn: Txn::new() };
    for v6 in [false, true] {
        let of_family = |subnet: &&Subnet| subnet.is_v6() == v6;
        let subnets: Vec<&Subnet> = network.subnets.iter().filter(of_family).collect();
        let address = match (wanted.iter().find(|address| address.is_ipv6() == v6), subnets.last())
        {
            (Some(&address), _) => given(store, network, address).await?,
            (None, Some(last)) => {
                let free = lowest_free(store, &network.id, &subnets, attempt).await?;
                free.ok_or_else(|| Error::Exhausted {
                    network: network.name.clone(),
                    pool: last.range.unwrap_or(last.cidr),
                })?
            }
            (None, None) => continue,
        };
        let key = address_key(&network.id, address.addr());
        claim.txn = claim.txn.when(Guard::Absent(key.clone())).put(key, owner);
        claim.value.push(address);
    }
    Ok(claim)
}

/// Claims a link-layer address: `wanted`, or a random one.
pub async fn mac(
    store: &dyn Store,
    network: &Network,
    wanted: Option<MacAddr>,
    owner: &str,
) -> Result<Claim<MacAddr>, Error> {
    let value = wanted.unwrap_or_else(random_mac);
    let key = mac_key(&network.id, value);
    if store.get(&key).await?.is_some() {
        return Err(Error::MacTaken { mac: value, network: network.name.clone() });
    }
    Ok(Claim { value, txn: Txn::new().when(Guard::Absent(key.clone())).put(key, owner) })
}

/// A random, locally administered address. It does not follow from the IP address, so that a neighbour's memory of
/// an earlier holder of the address never leads to a later one.
fn random_mac() -> MacAddr {
    let mut bytes = [0; 6];
    getrandom::fill(&mut bytes).expect("the kernel gives random numbers");
    MacAddr::local_from(bytes)
}

async fn given(store: &dyn Store, network: &Network, address: IpAddr) -> Result<IpNet, Error> {
    let Some(subnet) = network.subnets.iter().find(|subnet| subnet.cidr.contains(&address)) else {
        let subnets = network
            .subnets
            .iter()
            .map(|subnet| subnet.cidr.to_string())
            .collect::<Vec<_>>()
            .join(", ");
        return Err(Error::AddressOutside { address, network: network.name.clone(), subnets });
    };
    subnet.check_host("address", address)?;
    if store.get(&address_key(&network.id, address)).await?.is_some() {
        return Err(Error::AddressTaken { address, network: network.name.clone() });
    }
    Ok(with_prefix(subnet, address))
}

async fn lowest_free(
    store: &dyn Store,
    network: &NetworkId,
    subnets: &[&Subnet],
    attempt: u32,
) -> Result<Option<IpNet>, Error> {
    let prefix = addresses_prefix(network);
    let listing = store.list(&prefix).await?;
    let taken: BTreeSet<IpAddr> = listing
        .entries
        .iter()
        .filter_map(|entry| entry.key.strip_prefix(&prefix)?.parse().ok())
        .collect();
    let skip = spread(attempt);
    for subnet in subnets {
        let free = candidates(subnet)
            .filter(|address| !taken.contains(address))
            .take(skip + 1)
            .collect::<Vec<IpAddr>>();
        if let Some(&address) = free.last() {
            return Ok(Some(with_prefix(subnet, address)));
        }
    }
    Ok(None)
}

/// How many free addresses to pass over: none at first, then up to 1, 3, 7, … 255, at random.
fn spread(attempt: u32) -> usize {
    let mask = (1_u32 << attempt.min(8)) - 1;
    let mut bytes = [0; 4];
    getrandom::fill(&mut bytes).expect("the kernel gives random numbers");
    usize::try_from(u32::from_ne_bytes(bytes) & mask).unwrap_or(0)
}

fn candidates(subnet: &Subnet) -> impl Iterator<Item = IpAddr> + '_ {
    // Of IPv4, `hosts` leaves out the first and last address of a range though they may be inside the subnet.
    let range = subnet.range.unwrap_or(subnet.cidr);
    let ends = [range.network(), range.broadcast()];
    let first = (range != subnet.cidr).then_some(ends[0]);
    let last = (range != subnet.cidr && ends[0] != ends[1]).then_some(ends[1]);
    first
        .into_iter()
        .chain(
            range.hosts().filter(move |address| Some(*address) != first && Some(*address) != last),
        )
        .chain(last)
        .filter(|&address| {
            address != subnet.gateway && subnet.check_host("address", address).is_ok()
        })
}

fn with_prefix(subnet: &Subnet, address: IpAddr) -> IpNet {
    IpNet::new_assert(address, subnet.cidr.prefix_len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(cidr: &str, range: Option<&str>) -> Vec<String> {
        let parse = |text: &str| text.parse().expect("a test's own text");
        let subnet = Subnet::new(parse(cidr), range.map(parse), None).expect("usable");
        candidates(&subnet).map(|address| address.to_string()).take(5).collect()
    }

    #[test]
    fn candidates_are_hosts_but_the_gateway() {
        assert_eq!(
            all("10.0.0.0/29", None),
            ["10.0.0.2", "10.0.0.3", "10.0.0.4", "10.0.0.5", "10.0.0.6"]
        );
        assert_eq!(all("10.0.0.0/30", None), ["10.0.0.2"]);
        assert_eq!(all("fd00::/126", None), ["fd00::2", "fd00::3"]);
        let many = ["fd00::2", "fd00::3", "fd00::4", "fd00::5", "fd00::6"];
        assert_eq!(all("fd00::/64", None), many, "of as many as nobody could list");
    }

    #[test]
    fn a_range_is_used_to_its_ends() {
        assert_eq!(
            all("10.0.0.0/24", Some("10.0.0.8/30")),
            ["10.0.0.8", "10.0.0.9", "10.0.0.10", "10.0.0.11"]
        );
        assert_eq!(
            all("10.0.0.0/24", Some("10.0.0.252/30")),
            ["10.0.0.252", "10.0.0.253", "10.0.0.254"]
        );
        assert_eq!(all("10.0.0.0/24", Some("10.0.0.9/32")), ["10.0.0.9"]);
        assert_eq!(all("fd00::/64", Some("fd00::8/127")), ["fd00::8", "fd00::9"]);
        assert_eq!(all("10.0.0.0/24", Some("10.0.0.8/31")), ["10.0.0.8", "10.0.0.9"]);
    }
}
