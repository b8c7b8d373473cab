//! Links (network interfaces) of a namespace.

use std::os::fd::{AsFd as _, AsRawFd as _};

use netctl_common::MacAddr;
use nix::{errno::Errno, net::if_::if_indextoname};
use rtnetlink::{
    packet_core::NLM_F_ACK,
    packet_route::{
        RouteNetlinkMessage,
        link::{InfoData, InfoVxlan, LinkAttribute, LinkFlags, LinkInfo, LinkMessage},
    },
};

use super::{Error, Netlink, Netns, Vxlan};

/// A link as the kernel describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// Its number in the namespace.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// Its Ethernet address; `None` for devices of another kind.
    pub mac: Option<MacAddr>,
    /// In bytes.
    pub mtu: u32,
    /// Whether it is set up (`IFF_UP`).
    pub up: bool,
    /// Whether it has a carrier.
    pub carrier: bool,
    /// The kernel's name for its driver (`veth`, `vxlan`, …); `None` for real devices and the loopback.
    pub kind: Option<String>,
    /// The bridge or bond that it is a port of, by number.
    pub master: Option<u32>,
    /// The link that it is joined to or lies on.
    pub peer: Option<Peer>,
    /// What there is to say of a vxlan device.
    pub vxlan: Option<Vxlan>,
    /// The largest packets that it sends and merges.
    pub sizes: Sizes,
}

/// The largest packets that a link takes to be cut later (GSO), or makes of those it receives (GRO), in bytes. Zero is
/// what a kernel says that does not know of it: Linux 6.3 brought those of IPv4.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sizes {
    /// Of IPv4, sent.
    pub gso_ipv4: u32,
    /// Of IPv4, received.
    pub gro_ipv4: u32,
    /// What the driver can send at most.
    pub tso: u32,
    /// The largest MTU that the driver takes.
    pub mtu: u32,
}

/// The other end of a veth pair, or the lower device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Its number, in its own namespace.
    pub index: u32,
    /// The id by which this namespace knows the other's; `None` if they are the same.
    pub netnsid: Option<i32>,
}

impl Link {
    fn from_message(message: &LinkMessage) -> Self {
        let mut link = Self {
            index: message.header.index,
            name: String::new(),
            mac: None,
            mtu: 0,
            up: message.header.flags.contains(LinkFlags::Up),
            carrier: false,
            kind: None,
            master: None,
            peer: None,
            vxlan: None,
            sizes: Sizes::default(),
        };
        for attribute in &message.attributes {
            match attribute {
                LinkAttribute::IfName(name) => link.name.clone_from(name),
                LinkAttribute::Address(bytes) => {
                    link.mac = <[u8; 6]>::try_from(&bytes[..]).ok().map(MacAddr);
                }
                LinkAttribute::Mtu(mtu) => link.mtu = *mtu,
                LinkAttribute::Carrier(carrier) => link.carrier = *carrier != 0,
                LinkAttribute::Controller(index) => {
                    link.master = Some(*index).filter(|index| *index != 0);
                }
                LinkAttribute::LinkInfo(infos) => link.take_infos(infos),
                LinkAttribute::GsoIpv4MaxSize(bytes) => link.sizes.gso_ipv4 = *bytes,
                LinkAttribute::GroIpv4MaxSize(bytes) => link.sizes.gro_ipv4 = *bytes,
                LinkAttribute::TsoMaxSize(bytes) => link.sizes.tso = *bytes,
                LinkAttribute::MaxMtu(bytes) => link.sizes.mtu = *bytes,
                _ => {}
            }
        }
        link.peer = peer_of(message);
        link
    }

    fn take_infos(&mut self, infos: &[LinkInfo]) {
        for info in infos {
            match info {
                LinkInfo::Kind(kind) => self.kind = Some(kind.to_string()),
                LinkInfo::Data(InfoData::Vxlan(attributes)) => {
                    self.vxlan = Some(Vxlan::from_attributes(attributes));
                }
                _ => {}
            }
        }
    }
}

impl Vxlan {
    fn from_attributes(attributes: &[InfoVxlan]) -> Self {
        let mut vxlan = Self { port: 0, vni: None, flow_based: false };
        for attribute in attributes {
            match attribute {
                InfoVxlan::Port(port) => vxlan.port = *port,
                InfoVxlan::Id(vni) => vxlan.vni = Some(*vni),
                InfoVxlan::CollectMetadata(on) => vxlan.flow_based = *on,
                _ => {}
            }
        }
        vxlan.vni = vxlan.vni.filter(|_| !vxlan.flow_based);
        vxlan
    }
}

impl Netlink {
    /// All links, in the order of their numbers.
    pub async fn links(&self) -> Result<Vec<Link>, Error> {
        let answer = self
            .dump(RouteNetlinkMessage::GetLink(LinkMessage::default()))
            .await
            .map_err(|failure| failure.doing("list the interfaces"))?;
        let mut links: Vec<Link> = answer.iter().filter_map(new_link).collect();
        links.sort_by_key(|link| link.index);
        Ok(links)
    }

    /// # Errors
    /// [`Error::LinkMissing`].
    pub async fn link_by_name(&self, name: &str) -> Result<Link, Error> {
        self.find_link(name).await?.ok_or_else(|| Error::LinkMissing { name: name.to_owned() })
    }

    /// # Errors
    /// [`Error::LinkMissing`].
    pub async fn link_by_index(&self, index: u32) -> Result<Link, Error> {
        let mut message = LinkMessage::default();
        message.header.index = index;
        self.get_link(message, format!("number {index}"))
            .await?
            .ok_or_else(|| Error::LinkMissing { name: format!("number {index}") })
    }

    /// The link of a name, if there is one.
    pub async fn find_link(&self, name: &str) -> Result<Option<Link>, Error> {
        self.get_link(named(name), name.to_owned()).await
    }

    /// Sets the link up. Setting one up that is up changes nothing.
    pub async fn set_up(&self, link: &Link) -> Result<(), Error> {
        self.set_up_by(link.index, &link.name).await
    }

    /// As [`Self::set_up`], by the link's number; the name is for the error.
    pub async fn set_up_by(&self, index: u32, name: &str) -> Result<(), Error> {
        let mut message = LinkMessage::default();
        message.header.flags = LinkFlags::Up;
        message.header.change_mask = LinkFlags::Up;
        self.set(index, message)
            .await
            .map_err(|failure| failure.doing(format!("set the interface {name} up")))
    }

    /// Gives the link an Ethernet address.
    pub async fn set_mac(&self, link: &Link, mac: MacAddr) -> Result<(), Error> {
        self.set_attribute(link, LinkAttribute::Address(mac.0.to_vec())).await.map_err(|failure| {
            failure.doing(format!("give the interface {} the address {mac}", link.name))
        })
    }

    /// Gives the link an MTU, in bytes.
    pub async fn set_mtu(&self, link: &Link, mtu: u32) -> Result<(), Error> {
        self.set_attribute(link, LinkAttribute::Mtu(mtu)).await.map_err(|failure| {
            failure.doing(format!("give the interface {} the MTU {mtu}", link.name))
        })
    }

    /// Has the link take IPv4 packets of so many bytes to send.
    pub async fn set_gso_ipv4(&self, link: &Link, bytes: u32) -> Result<(), Error> {
        self.set_attribute(link, LinkAttribute::GsoIpv4MaxSize(bytes)).await.map_err(|failure| {
            failure.doing(format!("have {} take packets of {bytes} bytes", link.name))
        })
    }

    /// Has the link merge IPv4 packets that it receives up to so many bytes.
    pub async fn set_gro_ipv4(&self, link: &Link, bytes: u32) -> Result<(), Error> {
        self.set_attribute(link, LinkAttribute::GroIpv4MaxSize(bytes)).await.map_err(|failure| {
            failure.doing(format!("have {} merge packets up to {bytes} bytes", link.name))
        })
    }

    /// Gives the link another name. Since Linux 6.2 it may be up meanwhile.
    ///
    /// # Errors
    /// [`Error::LinkExists`] if another link has the name.
    pub async fn rename(&self, link: &Link, name: &str) -> Result<(), Error> {
        let Err(failure) = self.set_attribute(link, LinkAttribute::IfName(name.to_owned())).await
        else {
            return Ok(());
        };
        if failure.errno() == Some(Errno::EEXIST)
            && let Some(other) = self.find_link(name).await?
        {
            return Err(Error::LinkExists { name: name.to_owned(), found: describe(&other) });
        }
        Err(failure.doing(format!("rename the interface {} to {name}", link.name)))
    }

    /// Moves the link to another namespace, where it gets the name `name` and is down.
    pub async fn move_link(&self, link: &Link, netns: &Netns, name: &str) -> Result<(), Error> {
        let mut message = LinkMessage::default();
        message.header.index = link.index;
        message.attributes = vec![
            LinkAttribute::NetNsFd(netns.as_fd().as_raw_fd()),
            LinkAttribute::IfName(name.to_owned()),
        ];
        let request = RouteNetlinkMessage::SetLink(message);
        self.request_with(request, NLM_F_ACK, Some(netns.clone())).await.map(drop).map_err(
            |failure| {
                let what =
                    format!("move the interface {} to another namespace as {name}", link.name);
                failure.doing(what)
            },
        )
    }

    /// Removes the link of a name, and with it its peer; `false` if there is none.
    pub async fn delete_link(&self, name: &str) -> Result<bool, Error> {
        match self.change(RouteNetlinkMessage::DelLink(named(name)), 0).await {
            Ok(()) => Ok(true),
            Err(failure) if failure.errno() == Some(Errno::ENODEV) => Ok(false),
            Err(failure) => Err(failure.doing(format!("remove the interface {name}"))),
        }
    }

    async fn get_link(&self, message: LinkMessage, what: String) -> Result<Option<Link>, Error> {
        match self.request(RouteNetlinkMessage::GetLink(message), 0).await {
            Ok(answer) => Ok(answer.iter().find_map(new_link)),
            Err(failure) if failure.errno() == Some(Errno::ENODEV) => Ok(None),
            Err(failure) => Err(failure.doing(format!("look up the interface {what}"))),
        }
    }

    pub(super) async fn set_attribute(
        &self,
        link: &Link,
        attribute: LinkAttribute,
    ) -> Result<(), super::netlink::Failure> {
        let mut message = LinkMessage::default();
        message.attributes.push(attribute);
        self.set(link.index, message).await
    }

    async fn set(
        &self,
        index: u32,
        mut message: LinkMessage,
    ) -> Result<(), super::netlink::Failure> {
        message.header.index = index;
        self.change(RouteNetlinkMessage::SetLink(message), 0).await
    }
}

/// The other end, or the lower device, of the link that a message is about.
pub(super) fn peer_of(message: &LinkMessage) -> Option<Peer> {
    let (mut lower, mut netnsid) = (None, None);
    for attribute in &message.attributes {
        match attribute {
            LinkAttribute::Link(index) => lower = Some(*index).filter(|index| *index != 0),
            LinkAttribute::LinkNetNsId(id) => netnsid = Some(*id),
            _ => {}
        }
    }
    lower.map(|index| Peer { index, netnsid })
}

/// The name of the link of this index in the namespace of the calling thread, if it is there.
pub fn device_name(index: u32) -> Option<String> {
    if_indextoname(index).ok()?.into_string().ok()
}

/// What a link is, for an error: its kind.
pub(super) fn describe(link: &Link) -> String {
    match &link.kind {
        Some(kind) => format!("a {kind} device"),
        None => "a device of another kind".to_owned(),
    }
}

/// A message that asks for a link by name.
pub(super) fn named(name: &str) -> LinkMessage {
    let mut message = LinkMessage::default();
    message.attributes.push(LinkAttribute::IfName(name.to_owned()));
    message
}

fn new_link(message: &RouteNetlinkMessage) -> Option<Link> {
    if let RouteNetlinkMessage::NewLink(message) = message {
        Some(Link::from_message(message))
    } else {
        None
    }
}
