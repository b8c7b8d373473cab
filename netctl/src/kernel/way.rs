//! The way to another host: the kernel's route and neighbour.

use std::net::IpAddr;

use netctl_common::MacAddr;
use nix::errno::Errno;
use rtnetlink::{
    packet_core::NLM_F_REPLACE,
    packet_route::{
        AddressFamily, RouteNetlinkMessage,
        neighbour::{
            NeighbourAddress, NeighbourAttribute, NeighbourFlags, NeighbourMessage, NeighbourState,
        },
        route::{RouteAddress, RouteAttribute, RouteFlags, RouteMessage, RouteMetric, RouteType},
        rule::{RuleAttribute, RuleMessage},
    },
};

use super::{Error, Netlink};

/// How packets to an address leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Way {
    /// Whom they are handed to: a gateway or the address itself. `None` where that is not one and the same station for
    /// all of them: several next hops, a route that encapsulates, one of another family, or one by another link.
    pub neighbour: Option<IpAddr>,
    /// What the route says that fits, be it set or discovered, in bytes; `None` for what fits the link.
    pub mtu: Option<u32>,
}

/// How a packet of this namespace's own leaves it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Departure {
    /// The link that it leaves by.
    pub link: u32,
    /// Whom it is handed to, where that is not the destination itself.
    pub gateway: Option<IpAddr>,
    /// The source address that it gets where it names none.
    pub source: Option<IpAddr>,
    /// Whether it does not leave at all: the destination is the namespace's own.
    pub local: bool,
    /// Whether it is for all who are on the link.
    pub broadcast: bool,
}

/// Another station on the link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Station {
    /// Its Ethernet address.
    pub mac: MacAddr,
    /// It was right once and has not been seen to be so for a while: who sends to it must say so by
    /// [`Netlink::use_neighbour`], for the kernel to look.
    pub stale: bool,
}

impl Netlink {
    /// How packets from `source` to `destination` leave by the link; `None` if they do not.
    pub async fn way(
        &self,
        destination: IpAddr,
        source: IpAddr,
        link: u32,
    ) -> Result<Option<Way>, Error> {
        // The route as it was written tells whether there are several next hops…
        let Some(route) = self.route_to(destination, Some(source), Some(link), true).await? else {
            return Ok(None);
        };
        // …and the route as it was looked up what is known of the path.
        let Some(path) = self.route_to(destination, Some(source), Some(link), false).await? else {
            return Ok(None);
        };
        if path.header.kind != RouteType::Unicast {
            return Ok(None);
        }
        let plain = |attribute: &RouteAttribute| {
            !matches!(
                attribute,
                RouteAttribute::MultiPath(_)
                    | RouteAttribute::Encap(_)
                    | RouteAttribute::EncapType(_)
                    | RouteAttribute::Via(_)
            )
        };
        let by_link = |attribute: &RouteAttribute| *attribute == RouteAttribute::Oif(link);
        let single = route.attributes.iter().chain(&path.attributes).all(plain)
            && route.attributes.iter().any(by_link)
            && path.attributes.iter().any(by_link);
        let gateway = gateway(&path);
        let mtu = path.attributes.iter().find_map(|attribute| match attribute {
            RouteAttribute::Metrics(metrics) => metrics.iter().find_map(|metric| match metric {
                RouteMetric::Mtu(bytes) => Some(*bytes),
                _ => None,
            }),
            _ => None,
        });
        Ok(Some(Way { neighbour: single.then(|| gateway.unwrap_or(destination)), mtu }))
    }

    /// How packets to `destination` leave this namespace, from `source` where they name one; `None` if they do not.
    pub async fn departure(
        &self,
        destination: IpAddr,
        source: Option<IpAddr>,
    ) -> Result<Option<Departure>, Error> {
        let Some(route) = self.route_to(destination, source, None, false).await? else {
            return Ok(None);
        };
        let [local, broadcast] =
            [RouteType::Local, RouteType::Broadcast].map(|kind| route.header.kind == kind);
        let leaves = [RouteType::Unicast, RouteType::Multicast].contains(&route.header.kind);
        let link = route.attributes.iter().find_map(|attribute| match attribute {
            RouteAttribute::Oif(link) => Some(*link),
            _ => None,
        });
        let preferred = route.attributes.iter().find_map(|attribute| match attribute {
            RouteAttribute::PrefSource(address) => read_address(address),
            _ => None,
        });
        let departure = link.map(|link| Departure {
            link,
            gateway: gateway(&route),
            source: source.or(preferred),
            local,
            broadcast,
        });
        Ok(departure.filter(|_| local || broadcast || leaves))
    }

    /// The kernel's route for such packets; as it is in the table if `written`, and otherwise as looked up.
    async fn route_to(
        &self,
        destination: IpAddr,
        source: Option<IpAddr>,
        link: Option<u32>,
        written: bool,
    ) -> Result<Option<RouteMessage>, Error> {
        let mut message = RouteMessage::default();
        let bits = if destination.is_ipv4() { 32 } else { 128 };
        message.header.address_family = family(destination);
        message.header.destination_prefix_length = bits;
        message.header.source_prefix_length = if source.is_some() { bits } else { 0 };
        if written {
            message.header.flags = RouteFlags::FibMatch;
        }
        message.attributes = vec![RouteAttribute::Destination(destination.into())];
        message.attributes.extend(source.map(|source| RouteAttribute::Source(source.into())));
        message.attributes.extend(link.map(RouteAttribute::Oif));
        match self.request(RouteNetlinkMessage::GetRoute(message), 0).await {
            Ok(answer) => Ok(answer.into_iter().find_map(|object| match object {
                RouteNetlinkMessage::NewRoute(message) => Some(message),
                _ => None,
            })),
            // No route, one that prohibits, or a source that is not ours any more.
            Err(failure) if failure.errno().is_some_and(|errno| errno != Errno::EPERM) => Ok(None),
            Err(failure) => Err(failure.doing(format!("look up the route to {destination}"))),
        }
    }

    /// Whether some routing rule looks at more of a packet than its addresses and its link: then a route that was looked
    /// up for an address is not that of every packet to it.
    pub async fn rules_look_at_packets(&self) -> Result<bool, Error> {
        for family in [AddressFamily::Inet, AddressFamily::Inet6] {
            let mut message = RuleMessage::default();
            message.header.family = family;
            let rules = match self.dump(RouteNetlinkMessage::GetRule(message)).await {
                Ok(rules) => rules,
                // A kernel without rules, or without IPv6.
                Err(failure) if failure.errno() == Some(Errno::EOPNOTSUPP) => continue,
                Err(failure) => return Err(failure.doing("list the routing rules")),
            };
            if rules.iter().any(looks_at_packets) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The station that has the address, as the kernel knows; `None` if it does not.
    pub async fn station(&self, link: u32, address: IpAddr) -> Result<Option<Station>, Error> {
        let message = neighbour(link, address);
        match self.request(RouteNetlinkMessage::GetNeighbour(message), 0).await {
            Ok(answer) => Ok(answer.iter().find_map(|object| match object {
                RouteNetlinkMessage::NewNeighbour(message) => read_station(message),
                _ => None,
            })),
            Err(failure) if failure.errno() == Some(Errno::ENOENT) => Ok(None),
            Err(failure) => Err(failure.doing(format!("look up the neighbour {address}"))),
        }
    }

    /// Tells the kernel that packets go to a neighbour that it knows, as though it had sent them itself: one that is
    /// stale is asked whether it is there yet (`neigh_event_send`).
    pub async fn use_neighbour(&self, link: u32, address: IpAddr) -> Result<(), Error> {
        let mut message = neighbour(link, address);
        message.header.flags = NeighbourFlags::Use;
        match self.change(RouteNetlinkMessage::NewNeighbour(message), NLM_F_REPLACE).await {
            Ok(()) => Ok(()),
            Err(failure) if failure.errno() == Some(Errno::ENOENT) => Ok(()),
            Err(failure) => Err(failure.doing(format!("use the neighbour {address}"))),
        }
    }
}

fn gateway(route: &RouteMessage) -> Option<IpAddr> {
    route.attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::Gateway(address) => read_address(address),
        _ => None,
    })
}

fn read_address(address: &RouteAddress) -> Option<IpAddr> {
    match address {
        RouteAddress::Inet(ip) => Some(IpAddr::V4(*ip)),
        RouteAddress::Inet6(ip) => Some(IpAddr::V6(*ip)),
        _ => None,
    }
}

fn looks_at_packets(object: &RouteNetlinkMessage) -> bool {
    let RouteNetlinkMessage::NewRule(rule) = object else { return false };
    let known = |attribute: &RuleAttribute| {
        matches!(
            attribute,
            RuleAttribute::Destination(_)
                | RuleAttribute::Source(_)
                | RuleAttribute::Iifname(_)
                | RuleAttribute::Oifname(_)
                | RuleAttribute::Goto(_)
                | RuleAttribute::Priority(_)
                | RuleAttribute::Table(_)
                | RuleAttribute::L3MDev(_)
                | RuleAttribute::Protocol(_)
                | RuleAttribute::SuppressIfGroup(_)
                | RuleAttribute::SuppressPrefixLen(_)
        )
    };
    rule.header.tos != 0 || !rule.attributes.iter().all(known)
}

fn read_station(message: &NeighbourMessage) -> Option<Station> {
    let stale = match message.header.state {
        NeighbourState::Stale => true,
        NeighbourState::Reachable
        | NeighbourState::Delay
        | NeighbourState::Probe
        | NeighbourState::Permanent => false,
        // It is being looked for, was not found, or has no link-layer address.
        _ => return None,
    };
    let mac = message.attributes.iter().find_map(|attribute| match attribute {
        NeighbourAttribute::LinkLayerAddress(bytes) => <[u8; 6]>::try_from(&bytes[..]).ok(),
        _ => None,
    })?;
    Some(Station { mac: MacAddr(mac), stale })
}

fn neighbour(link: u32, address: IpAddr) -> NeighbourMessage {
    let mut message = NeighbourMessage::default();
    message.header.family = family(address);
    message.header.ifindex = link;
    message.attributes = vec![NeighbourAttribute::Destination(match address {
        IpAddr::V4(ip) => NeighbourAddress::Inet(ip),
        IpAddr::V6(ip) => NeighbourAddress::Inet6(ip),
    })];
    message
}

fn family(address: IpAddr) -> AddressFamily {
    if address.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 }
}
