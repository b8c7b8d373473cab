//! Pairs of virtual Ethernet devices.

use std::os::fd::{AsFd as _, AsRawFd as _};

use netctl_common::MacAddr;
use nix::errno::Errno;
use rtnetlink::{
    packet_core::{NLM_F_ACK, NLM_F_CREATE, NLM_F_EXCL},
    packet_route::{
        RouteNetlinkMessage,
        link::{InfoData, InfoKind, InfoVeth, LinkAttribute, LinkInfo, LinkMessage},
    },
};

use super::{
    Error, Link, Netlink,
    link::{describe, named},
};

/// A pair to make.
#[derive(Clone, Debug)]
pub struct VethSpec<'a> {
    /// The name of the end in the namespace of the [`Netlink`].
    pub name: &'a str,
    /// The name of the other end.
    pub peer_name: &'a str,
    /// Where the other end goes; `None` for the same namespace.
    pub peer_side: Option<&'a Netlink>,
    /// Of both ends, in bytes; `None` for the kernel's default of 1500.
    pub mtu: Option<u32>,
    /// The largest IPv4 packets that both ends send and merge, in bytes; `None` for the kernel's default. A kernel that
    /// does not know of it keeps its own, and so does a pair that is found.
    pub super_packets: Option<u32>,
    /// `None` for a random one.
    pub mac: Option<MacAddr>,
    /// `None` for a random one.
    pub peer_mac: Option<MacAddr>,
}

/// Both ends of a pair, each as its own namespace sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VethPair {
    /// The end in the namespace of the [`Netlink`].
    pub host: Link,
    /// The other.
    pub peer: Link,
    /// Whether this call made it, rather than finding it.
    pub created: bool,
}

impl Netlink {
    /// Makes a pair, both ends down. It is one request: either both ends are there, each in its namespace with its
    /// name, or neither.
    ///
    /// # Errors
    /// [`Error::LinkExists`] if one of the names is taken, be it by the same pair.
    pub async fn create_veth(&self, spec: &VethSpec<'_>) -> Result<VethPair, Error> {
        match self.try_create_veth(spec).await {
            Ok(()) => {
                let host = self.link_by_name(spec.name).await?;
                let peer = self.peer_side(spec).link_by_name(spec.peer_name).await?;
                Ok(VethPair { host, peer, created: true })
            }
            Err(failure) if failure.errno() == Some(Errno::EEXIST) => {
                Err(self.veth_conflict(spec).await?)
            }
            Err(failure) => {
                Err(failure
                    .doing(format!("make the veth pair {} and {}", spec.name, spec.peer_name)))
            }
        }
    }

    /// Makes a pair unless it is there: two veths of these names, in these namespaces, joined to each other. The MTU
    /// and the MACs of a pair that is found are made what is asked for.
    ///
    /// # Errors
    /// [`Error::LinkExists`] if one of the names is taken by something else; where both are, it names the other end's.
    pub async fn ensure_veth(&self, spec: &VethSpec<'_>) -> Result<VethPair, Error> {
        let conflict = match self.create_veth(spec).await {
            Err(conflict @ Error::LinkExists { .. }) => conflict,
            other => return other,
        };
        let peer_side = self.peer_side(spec);
        let (host, peer) =
            (self.find_link(spec.name).await?, peer_side.find_link(spec.peer_name).await?);
        let Some((host, peer)) = host.zip(peer).filter(|(host, peer)| joined(host, peer)) else {
            return Err(conflict);
        };
        let host = self.adjust(host, spec.mtu, spec.mac).await?;
        let peer = peer_side.adjust(peer, spec.mtu, spec.peer_mac).await?;
        Ok(VethPair { host, peer, created: false })
    }

    async fn try_create_veth(&self, spec: &VethSpec<'_>) -> Result<(), super::netlink::Failure> {
        let mut peer = described(spec.peer_name, spec, spec.peer_mac);
        let netns = spec.peer_side.map(|side| side.netns().clone());
        if let Some(netns) = &netns {
            peer.attributes.push(LinkAttribute::NetNsFd(netns.as_fd().as_raw_fd()));
        }
        let mut message = described(spec.name, spec, spec.mac);
        message.attributes.push(LinkAttribute::LinkInfo(vec![
            LinkInfo::Kind(InfoKind::Veth),
            LinkInfo::Data(InfoData::Veth(InfoVeth::Peer(peer))),
        ]));
        let flags = NLM_F_CREATE | NLM_F_EXCL | NLM_F_ACK;
        self.request_with(RouteNetlinkMessage::NewLink(message), flags, netns).await.map(drop)
    }

    fn peer_side<'a>(&'a self, spec: &VethSpec<'a>) -> &'a Self {
        spec.peer_side.unwrap_or(self)
    }

    /// Which of the two names is taken, and by what; where both are, it is the other end's.
    async fn veth_conflict(&self, spec: &VethSpec<'_>) -> Result<Error, Error> {
        let (name, found) = match self.peer_side(spec).find_link(spec.peer_name).await? {
            Some(link) => (spec.peer_name, Some(link)),
            None => (spec.name, self.find_link(spec.name).await?),
        };
        // What took the name a moment ago may be gone again.
        let found = found.as_ref().map_or_else(|| "it has just gone".to_owned(), describe);
        Ok(Error::LinkExists { name: name.to_owned(), found })
    }

    async fn adjust(
        &self,
        mut link: Link,
        mtu: Option<u32>,
        mac: Option<MacAddr>,
    ) -> Result<Link, Error> {
        if let Some(mtu) = mtu.filter(|mtu| *mtu != link.mtu) {
            self.set_mtu(&link, mtu).await?;
            link.mtu = mtu;
        }
        if let Some(mac) = mac.filter(|mac| Some(*mac) != link.mac) {
            self.set_mac(&link, mac).await?;
            link.mac = Some(mac);
        }
        Ok(link)
    }
}

/// Whether two links, each looked up in its own namespace, are the ends of one pair.
fn joined(host: &Link, peer: &Link) -> bool {
    let veth = |link: &Link| link.kind.as_deref() == Some("veth");
    veth(host)
        && veth(peer)
        && host.peer.is_some_and(|end| end.index == peer.index)
        && peer.peer.is_some_and(|end| end.index == host.index)
}

fn described(name: &str, spec: &VethSpec<'_>, mac: Option<MacAddr>) -> LinkMessage {
    let mut message = named(name);
    // As many queues as are used. Without a word the kernel makes one for each processor and then waits for all of them
    // to have seen that it leaves all but one aside (`veth_init_queues`).
    message.attributes.extend([LinkAttribute::NumTxQueues(1), LinkAttribute::NumRxQueues(1)]);
    message.attributes.extend(spec.mtu.map(LinkAttribute::Mtu));
    message.attributes.extend(spec.super_packets.map(LinkAttribute::GsoIpv4MaxSize));
    message.attributes.extend(spec.super_packets.map(LinkAttribute::GroIpv4MaxSize));
    message.attributes.extend(mac.map(|mac| LinkAttribute::Address(mac.0.to_vec())));
    message
}
