//! Watching one link and its addresses for change.

use std::{net::IpAddr, time::Duration};

use futures_util::{StreamExt as _, stream::BoxStream};
use ipnet::IpNet;
use rtnetlink::{MulticastGroup, packet_core::NetlinkPayload, packet_route::RouteNetlinkMessage};
use tokio::{
    runtime,
    time::{Instant, sleep, timeout, timeout_at},
};

use super::{Error, Link, Netlink};

/// A change counts as over when the kernel has been silent for this long…
const SETTLED: Duration = Duration::from_millis(50);
/// …or has gone on for this long.
const SETTLED_AT_LAST: Duration = Duration::from_millis(500);
/// The state is read this often even without a notification, since the kernel drops those that a full socket cannot
/// take.
const RESYNC: Duration = Duration::from_secs(30);

/// What may change of a link and matters to those who send through it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkState {
    /// Its number: another one if the link was removed and made again.
    pub index: u32,
    /// In bytes.
    pub mtu: u32,
    /// Whether it is set up.
    pub up: bool,
    /// Whether it has a carrier.
    pub carrier: bool,
    /// Its global addresses, the first of a subnet before the secondary ones.
    pub addresses: Vec<IpNet>,
}

impl LinkState {
    /// Whether the link has this address.
    pub fn has(&self, address: IpAddr) -> bool {
        self.addresses.iter().any(|net| net.addr() == address)
    }
}

/// The changes of one link, by name.
pub struct LinkWatch {
    name: String,
    netlink: Netlink,
    state: Option<LinkState>,
    index: Option<u32>,
    /// The numbers of the links that notifications are about.
    touched: BoxStream<'static, Touched>,
}

/// What a notification is about.
enum Touched {
    Link { index: u32, name: Option<String> },
    Address { index: u32 },
}

impl LinkWatch {
    /// Watches the link of a name, which need not be there yet.
    pub async fn open(netlink: &Netlink, name: &str) -> Result<Self, Error> {
        // A second link of the same name cannot be, so events before the first reading are not missed, but repeated.
        let touched = subscribe(netlink).await?;
        let mut watch = Self {
            name: name.to_owned(),
            netlink: netlink.clone(),
            state: None,
            index: None,
            touched,
        };
        watch.state = watch.read().await?;
        Ok(watch)
    }

    /// The state last seen; `None` while there is no such link.
    pub fn state(&self) -> Option<&LinkState> {
        self.state.as_ref()
    }

    /// Waits for the state to differ from that last seen, and returns it. A burst of changes is one. Cancelling the
    /// call loses nothing: a change is found by the next.
    pub async fn changed(&mut self) -> Result<Option<&LinkState>, Error> {
        loop {
            let state = self.read().await?;
            if state != self.state {
                self.state = state;
                return Ok(self.state.as_ref());
            }
            // What comes between the reading above and the waiting here is still in the stream.
            if timeout(RESYNC, self.notified()).await.is_ok() {
                self.settle().await;
            }
        }
    }

    /// Waits until a notification is about the link.
    async fn notified(&mut self) {
        loop {
            match self.touched.next().await {
                Some(Touched::Link { index, name }) => {
                    if Some(index) == self.index || name.as_deref() == Some(self.name.as_str()) {
                        return;
                    }
                }
                Some(Touched::Address { index }) => {
                    if Some(index) == self.index {
                        return;
                    }
                }
                // The socket was lost: what is left is reading the state now and then.
                None => sleep(RESYNC).await,
            }
        }
    }

    async fn settle(&mut self) {
        let end = Instant::now() + SETTLED_AT_LAST;
        while timeout_at(end.min(Instant::now() + SETTLED), self.notified()).await.is_ok() {
            if Instant::now() >= end {
                return;
            }
        }
    }

    async fn read(&mut self) -> Result<Option<LinkState>, Error> {
        let Some(link) = self.netlink.find_link(&self.name).await? else {
            self.index = None;
            return Ok(None);
        };
        self.index = Some(link.index);
        let addresses = global_addresses(&self.netlink, &link).await?;
        Ok(Some(LinkState {
            index: link.index,
            mtu: link.mtu,
            up: link.up,
            carrier: link.carrier,
            addresses,
        }))
    }
}

async fn global_addresses(netlink: &Netlink, link: &Link) -> Result<Vec<IpNet>, Error> {
    let mut addresses = netlink.addresses_of(link).await?;
    addresses.retain(|address| address.global);
    addresses.sort_by_key(|address| address.secondary);
    Ok(addresses.into_iter().map(|address| address.net).collect())
}

async fn subscribe(netlink: &Netlink) -> Result<BoxStream<'static, Touched>, Error> {
    let runtime = runtime::Handle::current();
    let (connection, messages) = netlink
        .netns()
        .run(move || {
            let _entered = runtime.enter();
            let groups =
                [MulticastGroup::Link, MulticastGroup::Ipv4Ifaddr, MulticastGroup::Ipv6Ifaddr];
            let (mut connection, _handle, messages) = rtnetlink::new_multicast_connection(&groups)?;
            // An overrun would end the connection; the resync makes up for what it loses.
            rtnetlink::sys::AsyncSocket::socket_mut(connection.socket_mut())
                .set_no_enobufs(true)?;
            Ok((connection, messages))
        })
        .await?
        .map_err(|source| Error::System { doing: "watch for changes of interfaces", source })?;
    drop(tokio::spawn(connection));
    Ok(messages
        .filter_map(async |(message, _)| match message.payload {
            NetlinkPayload::InnerMessage(object) => touched(&object),
            _ => None,
        })
        .boxed())
}

fn touched(object: &RouteNetlinkMessage) -> Option<Touched> {
    use rtnetlink::packet_route::link::LinkAttribute;
    match object {
        RouteNetlinkMessage::NewLink(message) | RouteNetlinkMessage::DelLink(message) => {
            Some(Touched::Link {
                index: message.header.index,
                name: message.attributes.iter().find_map(|attribute| {
                    if let LinkAttribute::IfName(name) = attribute {
                        Some(name.clone())
                    } else {
                        None
                    }
                }),
            })
        }
        RouteNetlinkMessage::NewAddress(message) | RouteNetlinkMessage::DelAddress(message) => {
            Some(Touched::Address { index: message.header.index })
        }
        _ => None,
    }
}
