//! Routes of the main table.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use nix::errno::Errno;
use rtnetlink::{
    packet_core::{NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE},
    packet_route::{
        AddressFamily, RouteNetlinkMessage,
        route::{
            RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteProtocol, RouteScope,
            RouteType,
        },
    },
};

use super::{Error, Netlink};

/// A unicast route of the main table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    /// Where to; a prefix length of 0 is the default route.
    pub destination: IpNet,
    /// By way of; `None` if the destination is on the link.
    pub gateway: Option<IpAddr>,
    /// The number of the link; `None` to have the kernel find it by the gateway, and for routes over several links.
    pub link: Option<u32>,
    /// The source address for connections that name none.
    pub source: Option<IpAddr>,
    /// The smaller is preferred.
    pub metric: u32,
    /// Who put it there, by a number of rtnetlink(7): 2 for the kernel itself, 3 and 4 for people.
    pub protocol: u8,
}

impl Route {
    /// Who puts the routes of netctl: a number that nobody has in `linux/rtnetlink.h` or in iproute2's `rt_protos`.
    pub const OURS: u8 = 110;

    /// A route of ours, preferred as one that a person puts without a metric.
    pub fn ours(destination: IpNet, gateway: Option<IpAddr>, link: u32) -> Self {
        // What IPv6 makes of none (`IP6_RT_PRIO_USER`).
        let metric = if destination.addr().is_ipv6() { 1024 } else { 0 };
        Self { destination, gateway, link: Some(link), source: None, metric, protocol: Self::OURS }
    }

    /// Whether it is the default route of its family.
    pub fn is_default(&self) -> bool {
        self.destination.prefix_len() == 0
    }
}

impl Netlink {
    /// The unicast routes of the main table, IPv4 before IPv6.
    pub async fn routes(&self) -> Result<Vec<Route>, Error> {
        let mut routes = Vec::new();
        for family in [AddressFamily::Inet, AddressFamily::Inet6] {
            let mut message = RouteMessage::default();
            message.header.address_family = family;
            let answer = self
                .dump(RouteNetlinkMessage::GetRoute(message))
                .await
                .map_err(|failure| failure.doing("list the routes"))?;
            routes.extend(answer.iter().filter_map(|object| {
                if let RouteNetlinkMessage::NewRoute(message) = object {
                    read(message)
                } else {
                    None
                }
            }));
        }
        Ok(routes)
    }

    /// Adds a route.
    ///
    /// # Errors
    /// Also where there is one to the same destination with the same metric.
    pub async fn add_route(&self, route: &Route) -> Result<(), Error> {
        self.put_route(route, NLM_F_CREATE | NLM_F_EXCL).await
    }

    /// Puts a route in the place of the first with the same destination and metric, whoever put that; packets find the
    /// one or the other all the time.
    pub async fn replace_route(&self, route: &Route) -> Result<(), Error> {
        self.put_route(route, NLM_F_CREATE | NLM_F_REPLACE).await
    }

    async fn put_route(&self, route: &Route, flags: u16) -> Result<(), Error> {
        self.change(RouteNetlinkMessage::NewRoute(write(route)), flags)
            .await
            .map_err(|failure| failure.doing(format!("route packets to {}", named(route))))
    }

    /// Removes just this route; `false` if it is not there.
    pub async fn delete_route(&self, route: &Route) -> Result<bool, Error> {
        match self.change(RouteNetlinkMessage::DelRoute(write(route)), 0).await {
            Ok(()) => Ok(true),
            // A route goes with its device (ENODEV, of IPv4) or its address.
            Err(failure) if matches!(failure.errno(), Some(Errno::ESRCH | Errno::ENODEV)) => {
                Ok(false)
            }
            Err(failure) => Err(failure.doing(format!("remove the route to {}", named(route)))),
        }
    }
}

/// A route for people.
fn named(route: &Route) -> String {
    match route.gateway {
        Some(gateway) => format!("{} by {gateway}", route.destination),
        None => route.destination.to_string(),
    }
}

fn write(route: &Route) -> RouteMessage {
    let mut message = RouteMessage::default();
    let header = &mut message.header;
    header.address_family =
        if route.destination.addr().is_ipv6() { AddressFamily::Inet6 } else { AddressFamily::Inet };
    header.destination_prefix_length = route.destination.prefix_len();
    header.table = RouteHeader::RT_TABLE_MAIN;
    header.protocol = RouteProtocol::from(route.protocol);
    header.kind = RouteType::Unicast;
    header.scope = if route.gateway.is_none() { RouteScope::Link } else { RouteScope::Universe };
    let attributes = &mut message.attributes;
    attributes.push(RouteAttribute::Destination(route.destination.network().into()));
    attributes.extend(route.gateway.map(|gateway| RouteAttribute::Gateway(gateway.into())));
    attributes.extend(route.source.map(|source| RouteAttribute::PrefSource(source.into())));
    attributes.extend(route.link.map(RouteAttribute::Oif));
    attributes.push(RouteAttribute::Priority(route.metric));
    message
}

fn read(message: &RouteMessage) -> Option<Route> {
    let header = &message.header;
    if header.table != RouteHeader::RT_TABLE_MAIN || header.kind != RouteType::Unicast {
        return None;
    }
    let mut destination = match header.address_family {
        AddressFamily::Inet => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        AddressFamily::Inet6 => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        _ => return None,
    };
    let (mut gateway, mut link, mut source, mut metric) = (None, None, None, 0);
    for attribute in &message.attributes {
        match attribute {
            RouteAttribute::Destination(address) => destination = ip(address)?,
            RouteAttribute::Gateway(address) => gateway = ip(address),
            RouteAttribute::PrefSource(address) => source = ip(address),
            RouteAttribute::Oif(index) => link = Some(*index),
            RouteAttribute::Priority(value) => metric = *value,
            _ => {}
        }
    }
    let destination = IpNet::new(destination, header.destination_prefix_length).ok()?;
    let protocol = u8::from(header.protocol);
    Some(Route { destination, gateway, link, source, metric, protocol })
}

fn ip(address: &RouteAddress) -> Option<IpAddr> {
    match address {
        RouteAddress::Inet(ip) => Some(IpAddr::V4(*ip)),
        RouteAddress::Inet6(ip) => Some(IpAddr::V6(*ip)),
        _ => None,
    }
}
