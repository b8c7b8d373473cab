//! The device that leads to the other hosts.

use std::net::IpAddr;

use super::{Error, Netlink};

/// The device that tunnels run over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Underlay {
    /// Its name.
    pub device: String,
    /// Its index.
    pub index: u32,
    /// The address that tunnels begin and end at.
    pub address: IpAddr,
    /// Its MTU, in bytes.
    pub mtu: u32,
}

/// Finds the underlay: the device `wanted`, or the only one that is up and has an address other hosts may know.
pub async fn find_underlay(netlink: &Netlink, wanted: Option<&str>) -> Result<Underlay, Error> {
    let links = netlink.links().await?;
    let mut found = Vec::new();
    for link in links
        .iter()
        .filter(|link| wanted.map_or(link.up && is_own(&link.name), |name| name == link.name))
    {
        let addresses = netlink.addresses(link.index).await?;
        let usable = |address: &IpAddr| match address {
            IpAddr::V4(address) => !address.is_loopback() && !address.is_link_local(),
            IpAddr::V6(_) => false,
        };
        let address = addresses.iter().map(ipnet::IpNet::addr).find(usable);
        if let Some(address) = address {
            let (device, index, mtu) = (link.name.clone(), link.index, link.mtu);
            found.push(Underlay { device, index, address, mtu });
        } else if wanted.is_some() {
            return Err(Error::NoAddress { name: link.name.clone() });
        }
    }
    match (found.pop(), found.is_empty(), wanted) {
        (Some(underlay), true, _) => Ok(underlay),
        (Some(last), false, _) => {
            let names: Vec<&str> =
                found.iter().chain([&last]).map(|underlay| underlay.device.as_str()).collect();
            Err(Error::ManyUnderlays { candidates: names.join(", ") })
        }
        (None, _, Some(name)) => {
            let known: Vec<&str> = links.iter().map(|link| link.name.as_str()).collect();
            Err(Error::NoInterface { name: name.to_owned(), known: known.join(", ") })
        }
        (None, _, None) => Err(Error::NoUnderlay),
    }
}

/// Not what netctl or a container engine made: those lead to containers.
fn is_own(name: &str) -> bool {
    !["nh-", "docker", "br-", "veth", "virbr", "cni", "podman"]
        .iter()
        .any(|prefix| name.starts_with(prefix))
}
