//! Link-layer addresses.

use std::net::IpAddr;

use super::{Claim, Error};
use crate::{
    model::{MacAddr, Network, NetworkId},
    store::{Guard, Store, Txn},
};

/// What a derived address begins with, before the last four bytes of the IP address: as Docker derives them.
const DERIVED: [u8; 2] = [0x02, 0x42];

/// What the keys of all link-layer addresses begin with; the network follows.
pub const MACS: &str = "ipam/macs/";

/// The key that says whose a link-layer address of a network is.
pub fn mac_key(network: &NetworkId, mac: MacAddr) -> String {
    format!("{MACS}{network}/{mac}")
}

/// Claims a link-layer address for who has `address`: the one that follows from it where the network has it so, else
/// `wanted`, or a random one.
pub async fn mac(
    store: &dyn Store,
    network: &Network,
    address: IpAddr,
    wanted: Option<MacAddr>,
    owner: &str,
) -> Result<Claim<MacAddr>, Error> {
    let value = match wanted {
        _ if !network.peers.is_empty() => {
            let derived = derived_mac(address);
            if let Some(wanted) = wanted.filter(|wanted| *wanted != derived) {
                let network = network.name.clone();
                return Err(Error::MacDerived { mac: wanted, derived, address, network });
            }
            derived
        }
        Some(wanted) => wanted,
        None => random_mac(),
    };
    let key = mac_key(&network.id, value);
    if store.get(&key).await?.is_some() {
        return Err(Error::MacTaken { mac: value, network: network.name.clone() });
    }
    Ok(Claim::new(value, Txn::new().when(Guard::Absent(key.clone())).put(key, owner)))
}

/// The link-layer address that follows from an IP address, for networks of hosts that share no store.
pub fn derived_mac(address: IpAddr) -> MacAddr {
    let [a, b, c, d] = match address {
        IpAddr::V4(v4) => v4.octets(),
        IpAddr::V6(v6) => {
            let [.., a, b, c, d] = v6.octets();
            [a, b, c, d]
        }
    };
    MacAddr([DERIVED[0], DERIVED[1], a, b, c, d])
}

/// A random, locally administered address. It does not follow from the IP address, so that a neighbour's memory of
/// an earlier holder of the address never leads to a later one.
pub fn random_mac() -> MacAddr {
    let mut bytes = [0; 6];
    getrandom::fill(&mut bytes).expect("the kernel gives random numbers");
    MacAddr::local_from(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_spells_a_unicast_and_local_mac() {
        for (address, mac) in
            [("10.1.2.3", "02:42:0a:01:02:03"), ("fd00::1:2:ff03", "02:42:00:02:ff:03")]
        {
            let derived = derived_mac(address.parse().expect("an address"));
            assert_eq!(derived.to_string(), mac);
            assert_eq!(derived, MacAddr::local_from(derived.0), "no group's, and local");
        }
    }
}
