//! Routes of the main table.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use nix::errno::Errno;
use rtnetlink::{
    packet_core::{NLM_F_CREATE, NLM_F_REPLACE},
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
}

impl Route {
    /// The default route by way of a gateway on a link.
    pub fn default_by(gateway: IpAddr, link: u32) -> Self {
        let destination = match gateway {
            IpAddr::V4(_) => IpNet::V4(Ipv4Net::default()),
            IpAddr::V6(_) => IpNet::V6(Ipv6Net::default()),
        };
        Self { destination, gateway: Some(gateway), link: Some(link), source: None, metric: 0 }
    }

    /// The route to a subnet on a link.
    pub fn on_link(destination: IpNet, link: u32) -> Self {
        Self { destination, gateway: None, link: Some(link), source: None, metric: 0 }
    }

    /// Whether it is the default route of its family.
    pub fn is_default(&self) -> bool {
        self.destination.prefix_len() == 0
    }
}

impl Netlink {
    /// Adds the route, in place of one to the same destination with the same metric.
    pub async fn replace_route(&self, route: &Route) -> Result<(), Error> {
        let message = RouteNetlinkMessage::NewRoute(message(route)?);
        self.change(message, NLM_F_CREATE | NLM_F_REPLACE)
            .await
            .map_err(|failure| failure.doing(format!("add the route to {}", describe(route))))
    }

    /// Removes the route; `false` if it was not there.
    pub async fn delete_route(&self, route: &Route) -> Result<bool, Error> {
        match self.change(RouteNetlinkMessage::DelRoute(message(route)?), 0).await {
            Ok(()) => Ok(true),
            Err(failure) if failure.errno() == Some(Errno::ESRCH) => Ok(false),
            Err(failure) => Err(failure.doing(format!("remove the route to {}", describe(route)))),
        }
    }

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
}

fn message(route: &Route) -> Result<RouteMessage, Error> {
    if let Some(gateway) = route.gateway
        && gateway.is_ipv4() != route.destination.addr().is_ipv4()
    {
        return Err(Error::MixedFamilies { destination: route.destination, gateway });
    }
    let mut message = RouteMessage::default();
    message.header.address_family = match route.destination {
        IpNet::V4(_) => AddressFamily::Inet,
        IpNet::V6(_) => AddressFamily::Inet6,
    };
    message.header.destination_prefix_length = route.destination.prefix_len();
    message.header.table = RouteHeader::RT_TABLE_MAIN;
    message.header.protocol = RouteProtocol::Static;
    message.header.kind = RouteType::Unicast;
    message.header.scope =
        if route.gateway.is_some() { RouteScope::Universe } else { RouteScope::Link };
    let attributes = &mut message.attributes;
    if !route.is_default() {
        attributes
            .push(RouteAttribute::Destination(RouteAddress::from(route.destination.network())));
    }
    attributes.extend(route.gateway.map(|ip| RouteAttribute::Gateway(RouteAddress::from(ip))));
    attributes.extend(route.link.map(RouteAttribute::Oif));
    attributes.extend(route.source.map(|ip| RouteAttribute::PrefSource(RouteAddress::from(ip))));
    attributes
        .extend(Some(route.metric).filter(|metric| *metric != 0).map(RouteAttribute::Priority));
    Ok(message)
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
    Some(Route { destination, gateway, link, source, metric })
}

fn ip(address: &RouteAddress) -> Option<IpAddr> {
    match address {
        RouteAddress::Inet(ip) => Some(IpAddr::V4(*ip)),
        RouteAddress::Inet6(ip) => Some(IpAddr::V6(*ip)),
        _ => None,
    }
}

fn describe(route: &Route) -> String {
    match route.gateway {
        Some(gateway) => format!("{} by way of {gateway}", route.destination),
        None => route.destination.to_string(),
    }
}
