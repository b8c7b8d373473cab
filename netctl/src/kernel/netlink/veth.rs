//! Pairs of virtual Ethernet devices.

use std::os::fd::{AsFd as _, AsRawFd as _};

use rtnetlink::{
    LinkMessageBuilder, LinkUnspec, LinkVeth,
    packet_route::link::{InfoData, InfoVeth, LinkMessage},
};

use super::{Added, Error, Link, Netlink};
use crate::{kernel::Netns, model::MacAddr};

/// A pair to create, seen from the namespace of the request.
#[derive(Debug)]
pub struct VethSpec<'a> {
    /// The near end's name.
    pub name: String,
    /// Its address; random where none is given.
    pub mac: Option<MacAddr>,
    /// The MTU of both ends, in bytes.
    pub mtu: u32,
    /// The far end.
    pub peer: VethPeer<'a>,
}

/// The far end of a pair.
#[derive(Debug)]
pub struct VethPeer<'a> {
    /// Its name.
    pub name: String,
    /// Its namespace, if it is another.
    pub netns: Option<&'a Netns>,
    /// Its address; random where none is given.
    pub mac: Option<MacAddr>,
}

impl Netlink {
    /// Creates a pair, both ends down, in one request: the far end is never seen elsewhere or by another name.
    /// Returns the near end. Where a link of that name is there already, it is [`Error::Foreign`].
    pub async fn create_veth(&self, spec: &VethSpec<'_>) -> Result<Link, Error> {
        let VethPeer { name: peer, netns, mac: peer_mac } = &spec.peer;
        let mut far = end(LinkMessageBuilder::<LinkUnspec>::new(), peer, spec.mtu, *peer_mac);
        if let Some(netns) = netns {
            far = far.setns_by_fd(netns.as_fd().as_raw_fd());
        }
        let near = end(
            LinkMessageBuilder::<LinkVeth>::new(&spec.name, peer),
            &spec.name,
            spec.mtu,
            spec.mac,
        );
        let message: LinkMessage =
            near.set_info_data(InfoData::Veth(InfoVeth::Peer(far.build()))).build();
        if self.add_link(&spec.name, message).await? == Added::Exists {
            return Err(Error::Foreign { name: spec.name.clone() });
        }
        self.expect(&spec.name).await
    }

    /// A link that was there a moment ago.
    pub(super) async fn expect(&self, name: &str) -> Result<Link, Error> {
        let gone = || std::io::Error::from_raw_os_error(nix::libc::ENODEV);
        self.link_by_name(name).await?.ok_or_else(|| super::failed("find", name, gone()))
    }
}

fn end<T: Default>(
    builder: LinkMessageBuilder<T>,
    name: &str,
    mtu: u32,
    mac: Option<MacAddr>,
) -> LinkMessageBuilder<T> {
    let builder = builder.name(name.to_owned()).mtu(mtu);
    match mac {
        Some(mac) => builder.address(mac.0.to_vec()),
        None => builder,
    }
}
