//! Hearing of every change that may move the way to another host.

use std::{io, net::IpAddr};

use ipnet::IpNet;
use rtnetlink::{
    MulticastGroup,
    packet_core::{NetlinkMessage, NetlinkPayload},
    packet_route::{
        RouteNetlinkMessage,
        neighbour::{NeighbourAddress, NeighbourAttribute, NeighbourMessage},
        route::{RouteAddress, RouteAttribute, RouteMessage},
    },
    sys::{
        AsyncSocket as _, AsyncSocketExt as _, SocketAddr, TokioSocket, protocols::NETLINK_ROUTE,
    },
};
use tokio::runtime;

use super::{Error, Netlink};

/// What the socket may hold before changes are lost, in bytes: some thousands.
const BUFFER: usize = 1 << 20;
/// `struct nlmsghdr`: its length comes first.
const HEADER: usize = 16;

/// What changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// A neighbour on a link.
    Neighbour {
        /// The number of the link.
        link: u32,
        /// Its address.
        address: IpAddr,
    },
    /// A route to these addresses.
    Route(IpNet),
    /// A link, or its addresses, by its number.
    Link(u32),
    /// Anything else that has to do with routes.
    Other,
}

/// Every change of a namespace's links, addresses, neighbours, routes and rules.
pub struct Monitor {
    socket: TokioSocket,
}

impl Monitor {
    /// Hears of changes from now on.
    pub async fn open(netlink: &Netlink) -> Result<Self, Error> {
        let runtime = runtime::Handle::current();
        let opened = move || {
            let _entered = runtime.enter();
            subscribe()
        };
        let socket = netlink.netns().run(opened).await?;
        let doing = "watch for changes of routes and neighbours";
        Ok(Self { socket: socket.map_err(|source| Error::System { doing, source })? })
    }

    /// Waits for changes. Cancelling the call loses none.
    ///
    /// # Errors
    /// Where changes were lost; the next call hears of later ones.
    pub async fn changes(&mut self) -> io::Result<Vec<Change>> {
        let (bytes, _) = self.socket.recv_from_full().await?;
        let mut rest = &bytes[..];
        let mut changes = Vec::new();
        while let Some(header) = rest.first_chunk::<4>() {
            let length = usize::try_from(u32::from_ne_bytes(*header)).unwrap_or(usize::MAX);
            let Some(message) = rest.get(..length).filter(|message| message.len() >= HEADER) else {
                break;
            };
            changes.extend(read(message));
            rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        }
        Ok(changes)
    }
}

fn subscribe() -> io::Result<TokioSocket> {
    use MulticastGroup as G;
    let mut socket = TokioSocket::new(NETLINK_ROUTE)?;
    let inner = socket.socket_mut();
    inner.set_rx_buf_sz(BUFFER)?;
    inner.bind(&SocketAddr::new(0, 0))?;
    for group in [
        G::Link,
        G::Neigh,
        G::Ipv4Ifaddr,
        G::Ipv6Ifaddr,
        G::Ipv4Route,
        G::Ipv6Route,
        G::Ipv4Rule,
        G::Ipv6Rule,
        G::Nexthop,
    ] {
        inner.add_membership(group as u32)?;
    }
    Ok(socket)
}

/// What a message is about; `None` for what moves no way.
fn read(message: &[u8]) -> Option<Change> {
    let payload = match NetlinkMessage::<RouteNetlinkMessage>::deserialize(message) {
        Ok(message) => message.payload,
        // One that the library does not know, such as of a next hop.
        Err(_unknown) => return Some(Change::Other),
    };
    let NetlinkPayload::InnerMessage(object) = payload else { return None };
    match object {
        RouteNetlinkMessage::NewNeighbour(message) | RouteNetlinkMessage::DelNeighbour(message) => {
            neighbour(&message)
        }
        RouteNetlinkMessage::NewRoute(message) | RouteNetlinkMessage::DelRoute(message) => {
            Some(destination(&message).map_or(Change::Other, Change::Route))
        }
        RouteNetlinkMessage::NewLink(message) | RouteNetlinkMessage::DelLink(message) => {
            Some(Change::Link(message.header.index))
        }
        RouteNetlinkMessage::NewAddress(message) | RouteNetlinkMessage::DelAddress(message) => {
            Some(Change::Link(message.header.index))
        }
        _ => Some(Change::Other),
    }
}

/// Entries of bridges, which come by the same name, have no address of a network layer.
fn neighbour(message: &NeighbourMessage) -> Option<Change> {
    let address = message.attributes.iter().find_map(|attribute| match attribute {
        NeighbourAttribute::Destination(NeighbourAddress::Inet(ip)) => Some(IpAddr::V4(*ip)),
        NeighbourAttribute::Destination(NeighbourAddress::Inet6(ip)) => Some(IpAddr::V6(*ip)),
        _ => None,
    })?;
    Some(Change::Neighbour { link: message.header.ifindex, address })
}

/// The destination of a route; `None` for a default route, which has none.
fn destination(message: &RouteMessage) -> Option<IpNet> {
    let address = message.attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::Destination(RouteAddress::Inet(ip)) => Some(IpAddr::V4(*ip)),
        RouteAttribute::Destination(RouteAddress::Inet6(ip)) => Some(IpAddr::V6(*ip)),
        _ => None,
    })?;
    IpNet::new(address, message.header.destination_prefix_length).ok()
}
