//! What links have carried, as the kernel counts it anyway: reading costs packets nothing.
//!
//! Which of a veth pair's counts are right depends on how packets come in. What one end sends, both ends count, also
//! where a program on the other takes it from there. What is given to one end by `bpf_redirect_peer` is counted there
//! alone (`dev_sw_netstats_rx_add` in `skb_do_redirect`, since Linux 6.6.4): the end that the packet was taken past
//! knows nothing of it. So an endpoint is counted at the end in its sandbox, which the kernel shows by that end's number
//! and the id of its namespace (`IFLA_TARGET_NETNSID`): no namespace is entered or opened.

use nix::errno::Errno;
use rtnetlink::packet_route::{
    RouteNetlinkMessage,
    link::{LinkAttribute, LinkMessage},
};

use super::{Error, Netlink, Peer, link::peer_of};

/// One direction. What the kernel has merged of many packets counts as one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Carried {
    /// Packets.
    pub packets: u64,
    /// Their bytes, from the Ethernet header on.
    pub bytes: u64,
    /// Packets that were lost, for want of room or of somebody to take them.
    pub dropped: u64,
}

/// What a link has carried since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// What came in.
    pub received: Carried,
    /// What went out.
    pub sent: Carried,
}

/// A link with what it has carried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Carrier {
    /// Its number.
    pub index: u32,
    /// The link that it is joined to or lies on.
    pub peer: Option<Peer>,
    /// What it has carried.
    pub traffic: Traffic,
}

impl Carrier {
    fn from_message(message: &LinkMessage) -> Self {
        let traffic = message.attributes.iter().find_map(|attribute| {
            let LinkAttribute::Stats64(stats) = attribute else { return None };
            Some(Traffic {
                received: Carried {
                    packets: stats.rx_packets,
                    bytes: stats.rx_bytes,
                    dropped: stats.rx_dropped,
                },
                sent: Carried {
                    packets: stats.tx_packets,
                    bytes: stats.tx_bytes,
                    dropped: stats.tx_dropped,
                },
            })
        });
        let peer = peer_of(message);
        Self { index: message.header.index, peer, traffic: traffic.unwrap_or_default() }
    }
}

impl Netlink {
    /// What every link has carried.
    pub async fn traffic(&self) -> Result<Vec<Carrier>, Error> {
        let answer = self
            .dump(RouteNetlinkMessage::GetLink(LinkMessage::default()))
            .await
            .map_err(|failure| failure.doing("list what the interfaces have carried"))?;
        Ok(answer.iter().filter_map(carrier).collect())
    }

    /// What the other end of a veth pair has carried, wherever that is; `None` where it is gone.
    pub async fn traffic_of(&self, peer: Peer) -> Result<Option<Traffic>, Error> {
        let mut message = LinkMessage::default();
        message.header.index = peer.index;
        message.attributes.extend(peer.netnsid.map(LinkAttribute::IfNetnsId));
        match self.request(RouteNetlinkMessage::GetLink(message), 0).await {
            Ok(answer) => Ok(answer.iter().find_map(carrier).map(|carrier| carrier.traffic)),
            // An id without a namespace is an invalid argument (`rtnl_getlink` in `net/core/rtnetlink.c`).
            Err(failure) if matches!(failure.errno(), Some(Errno::ENODEV | Errno::EINVAL)) => {
                Ok(None)
            }
            Err(failure) => {
                Err(failure.doing(format!("read what interface {} has carried", peer.index)))
            }
        }
    }
}

fn carrier(message: &RouteNetlinkMessage) -> Option<Carrier> {
    if let RouteNetlinkMessage::NewLink(message) = message {
        Some(Carrier::from_message(message))
    } else {
        None
    }
}
