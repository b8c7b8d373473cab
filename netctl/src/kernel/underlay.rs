//! The device and the addresses by which other hosts are reached.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    time::Duration,
};

use tokio::time::{Instant, sleep};

use super::{Address, AddressState, Error, Link, Netlink, Route};

/// How long to wait for an IPv6 address that is not known yet to be unique: one probe and a second's silence, after a
/// second at most (RFC 4862, section 5.4.2), and some.
const DETECTION: Duration = Duration::from_secs(3);
/// How often to look meanwhile.
const PAUSE: Duration = Duration::from_millis(100);

/// The device that carries the packets between hosts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Underlay {
    /// Its name.
    pub name: String,
    /// Its number.
    pub index: u32,
    /// The IPv4 address that other hosts send to; it has this one or the other, or both.
    pub v4: Option<Ipv4Addr>,
    /// The IPv6 address that other hosts send to.
    pub v6: Option<Ipv6Addr>,
    /// In bytes.
    pub mtu: u32,
}

/// Finds the underlay: the interface of the name given, else that of the default route, of IPv4 before IPv6, else the
/// only one that is up with a global address. Links for which `own` holds are never chosen: those that netctl itself
/// made.
///
/// An IPv6 address that is not known yet to be unique is waited for, a few seconds at most.
///
/// # Errors
/// [`Error::UnderlayMissing`], [`Error::UnderlayDown`], [`Error::UnderlayWithoutAddress`], [`Error::NoUnderlay`],
/// [`Error::AmbiguousUnderlay`].
pub async fn find_underlay(
    netlink: &Netlink,
    bind_interface: Option<&str>,
    own: impl Fn(&Link) -> bool,
) -> Result<Underlay, Error> {
    let end = Instant::now() + DETECTION;
    loop {
        let mut links = netlink.links().await?;
        links.retain(|link| !own(link));
        let addresses = netlink.addresses().await?;
        let found = match bind_interface {
            Some(name) => named(name, &links, &addresses),
            None => choose(&links, &addresses, &netlink.routes().await?),
        };
        let coming = |link: &Link| {
            let tentative = |address: &Address| {
                address.link == link.index
                    && address.global
                    && address.state == AddressState::Tentative
            };
            link.up && addresses.iter().any(tentative)
        };
        let wait = match &found {
            Ok(underlay) => {
                underlay.v6.is_none()
                    && links.iter().any(|link| link.index == underlay.index && coming(link))
            }
            Err(Error::UnderlayWithoutAddress { name }) => {
                links.iter().any(|link| link.name == *name && coming(link))
            }
            Err(Error::NoUnderlay) => links.iter().any(coming),
            Err(_) => false,
        };
        if !wait || Instant::now() >= end {
            return found;
        }
        sleep(PAUSE).await;
    }
}

fn named(name: &str, links: &[Link], addresses: &[Address]) -> Result<Underlay, Error> {
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
    usable(link, addresses).ok_or_else(|| Error::UnderlayWithoutAddress { name: name.to_owned() })
}

fn choose(links: &[Link], addresses: &[Address], routes: &[Route]) -> Result<Underlay, Error> {
    let default = routes
        .iter()
        .filter(|route| route.is_default())
        .min_by_key(|route| (route.destination.addr().is_ipv6(), route.metric))
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

/// The link as an underlay, if it is up and has a global address that lasts: of several the one that is there longest,
/// which the kernel lists first of IPv4 and last of IPv6 (`ipv6_link_dev_addr`).
fn usable(link: &Link, addresses: &[Address]) -> Option<Underlay> {
    let lasting = |address: &&Address| {
        address.link == link.index
            && address.global
            && address.state == AddressState::Preferred
            && !address.net.addr().is_loopback()
    };
    let lasting = || addresses.iter().filter(lasting);
    let v4 = lasting().find_map(|address| match address.net.addr() {
        IpAddr::V4(ip) => Some(ip),
        IpAddr::V6(_) => None,
    });
    // A temporary address goes when its time is over (RFC 8981).
    let v6 = lasting().rev().find_map(|address| match address.net.addr() {
        IpAddr::V6(ip) if !address.secondary => Some(ip),
        IpAddr::V4(_) | IpAddr::V6(_) => None,
    });
    (link.up && (v4.is_some() || v6.is_some())).then(|| Underlay {
        name: link.name.clone(),
        index: link.index,
        v4,
        v6,
        mtu: link.mtu,
    })
}
