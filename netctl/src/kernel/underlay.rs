//! The device and the address by which other hosts are reached.

use std::net::{IpAddr, Ipv4Addr};

use super::{Address, Error, Link, Netlink, Route};

/// The device that carries the packets between hosts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Underlay {
    /// Its name.
    pub name: String,
    /// Its number.
    pub index: u32,
    /// The address that other hosts send to.
    pub address: Ipv4Addr,
    /// In bytes.
    pub mtu: u32,
}

/// Finds the underlay: the interface of the name given, else that of the default route, else the only one that is up
/// with a global address. Links for which `own` holds are never chosen: those that netctl itself made.
///
/// # Errors
/// [`Error::UnderlayMissing`], [`Error::UnderlayDown`], [`Error::UnderlayWithoutAddress`], [`Error::NoUnderlay`],
/// [`Error::AmbiguousUnderlay`].
pub async fn find_underlay(
    netlink: &Netlink,
    bind_interface: Option<&str>,
    own: impl Fn(&Link) -> bool,
) -> Result<Underlay, Error> {
    let mut links = netlink.links().await?;
    links.retain(|link| !own(link));
    let addresses = netlink.addresses().await?;
    let Some(name) = bind_interface else {
        return choose(&links, &addresses, &netlink.routes().await?);
    };
    let link =
        links.iter().find(|link| link.name == name).ok_or_else(|| Error::UnderlayMissing {
            name: name.to_owned(),
            present: links
                .iter()
                .filter(|link| link.name != "lo")
                .map(|link| link.name.clone())
                .collect(),
        })?;
    if !link.up {
        return Err(Error::UnderlayDown { name: name.to_owned() });
    }
    usable(link, &addresses).ok_or_else(|| Error::UnderlayWithoutAddress { name: name.to_owned() })
}

fn choose(links: &[Link], addresses: &[Address], routes: &[Route]) -> Result<Underlay, Error> {
    let default = routes
        .iter()
        .filter(|route| route.is_default() && route.destination.addr().is_ipv4())
        .min_by_key(|route| route.metric)
        .and_then(|route| links.iter().find(|link| Some(link.index) == route.link))
        .and_then(|link| usable(link, addresses));
    if let Some(underlay) = default {
        return Ok(underlay);
    }
    let mut candidates: Vec<Underlay> =
        links.iter().filter_map(|link| usable(link, addresses)).collect();
    match candidates.pop() {
        None => Err(Error::NoUnderlay),
        Some(only) if candidates.is_empty() => Ok(only),
        Some(last) => {
            candidates.push(last);
            Err(Error::AmbiguousUnderlay {
                candidates: candidates.into_iter().map(|c| c.name).collect(),
            })
        }
    }
}

/// The link as an underlay, if it is up and has a global IPv4 address; of several the first, as the kernel does when it
/// chooses a source.
fn usable(link: &Link, addresses: &[Address]) -> Option<Underlay> {
    let address = addresses.iter().find_map(|address| match address.net.addr() {
        IpAddr::V4(ip) if address.link == link.index && address.global && !ip.is_loopback() => {
            Some(ip)
        }
        _ => None,
    })?;
    link.up.then(|| Underlay { name: link.name.clone(), index: link.index, address, mtu: link.mtu })
}
