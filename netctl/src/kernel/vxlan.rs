//! The flow-based vxlan device.

use std::net::Ipv6Addr;

use nix::errno::Errno;
use rtnetlink::{
    packet_core::{NLM_F_CREATE, NLM_F_EXCL},
    packet_route::{
        RouteNetlinkMessage,
        link::{InfoData, InfoKind, InfoVxlan, LinkAttribute, LinkInfo},
    },
};

use super::{
    Error, Link, Netlink,
    link::{describe, named},
};

/// From where the outer source ports are taken, as of RFC 6335 section 6: the dynamic ports.
const SOURCE_PORTS: (u16, u16) = (49_152, 65_535);

/// What there is to say of a vxlan device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Vxlan {
    /// The UDP port that it takes packets on.
    pub port: u16,
    /// Its network; `None` if it is flow-based.
    pub vni: Option<u32>,
    /// Whether the network and the other end come with each packet (`external`, collect-metadata).
    pub flow_based: bool,
}

impl Netlink {
    /// Makes a flow-based vxlan device on a UDP port and sets it up, unless it is there. Its sockets, one of each family,
    /// which the kernel opens when the device goes up (`vxlan_sock_add`), are what registers UDP tunnel GRO for the port.
    ///
    /// # Errors
    /// [`Error::PortTaken`] naming the device that holds the port, [`Error::LinkExists`] if the name is taken.
    pub async fn ensure_flow_vxlan(&self, name: &str, port: u16) -> Result<Link, Error> {
        let mut message = named(name);
        message.attributes.push(LinkAttribute::LinkInfo(vec![
            LinkInfo::Kind(InfoKind::Vxlan),
            LinkInfo::Data(InfoData::Vxlan(vec![
                InfoVxlan::CollectMetadata(true),
                InfoVxlan::Learning(false),
                InfoVxlan::Port(port),
                // The UDP checksum is left out over IPv6 too (RFC 6935), by us and by others.
                InfoVxlan::UDPZeroCsumRX(true),
                InfoVxlan::UDPZeroCsumTX(true),
                // As the programs have it; the kernel takes the range of ordinary sockets otherwise.
                InfoVxlan::PortRange(SOURCE_PORTS),
            ])),
        ]));
        let created = match self
            .change(RouteNetlinkMessage::NewLink(message), NLM_F_CREATE | NLM_F_EXCL)
            .await
        {
            Ok(()) => true,
            // The kernel says so of the name, and of another flow-based device on the port.
            Err(failure) if failure.errno() == Some(Errno::EEXIST) => false,
            Err(failure) => {
                return Err(
                    failure.doing(format!("make the vxlan device {name} on UDP port {port}"))
                );
            }
        };
        let Some(link) = self.find_link(name).await? else {
            return Err(Error::PortTaken {
                port,
                holder: self.vxlan_port_holder(port, name).await?,
            });
        };
        if !link.vxlan.is_some_and(|vxlan| vxlan.flow_based && vxlan.port == port) {
            return Err(Error::LinkExists { name: name.to_owned(), found: describe_vxlan(&link) });
        }
        match self.set_up(&link).await {
            Ok(()) => Ok(Link { up: true, ..link }),
            Err(error) => {
                if created {
                    self.delete_link(name).await?;
                }
                if matches!(error, Error::Refused { errno: Errno::EADDRINUSE, .. }) {
                    return Err(Error::PortTaken {
                        port,
                        holder: self.vxlan_port_holder(port, name).await?,
                    });
                }
                Err(error)
            }
        }
    }

    /// Makes a vxlan device of a VNI on a UDP port, and leaves it down, unless there is one of the name. While it is
    /// down it has no socket. It asks for headroom enough for outer headers of IPv6, where the kernel has IPv6.
    ///
    /// # Errors
    /// [`Error::LinkExists`] if the name is taken by something else.
    pub async fn ensure_idle_vxlan(&self, name: &str, vni: u32, port: u16) -> Result<Link, Error> {
        let create = async |local: Option<InfoVxlan>| {
            let mut message = named(name);
            let mut data = vec![InfoVxlan::Id(vni), InfoVxlan::Port(port)];
            data.extend(local);
            message.attributes.push(LinkAttribute::LinkInfo(vec![
                LinkInfo::Kind(InfoKind::Vxlan),
                LinkInfo::Data(InfoData::Vxlan(data)),
            ]));
            let flags = NLM_F_CREATE | NLM_F_EXCL;
            self.change(RouteNetlinkMessage::NewLink(message), flags).await
        };
        let over_ipv6 = create(Some(InfoVxlan::Local6(Ipv6Addr::LOCALHOST))).await;
        let created = match over_ipv6 {
            Err(failure) if failure.errno() == Some(Errno::EPFNOSUPPORT) => create(None).await,
            other => other,
        };
        let taken = match created {
            Ok(()) => None,
            // The kernel says so of the name, and of another device with this VNI and port.
            Err(failure) if failure.errno() == Some(Errno::EEXIST) => Some(failure),
            Err(failure) => return Err(failure.doing(format!("make the vxlan device {name}"))),
        };
        let link = match (self.find_link(name).await?, taken) {
            (Some(link), _) => link,
            (None, Some(failure)) => {
                return Err(failure.doing(format!("make the vxlan device {name}")));
            }
            (None, None) => return Err(Error::LinkMissing { name: name.to_owned() }),
        };
        if link.vxlan.is_some_and(|vxlan| vxlan.vni == Some(vni)) {
            Ok(link)
        } else {
            Err(Error::LinkExists { name: name.to_owned(), found: describe_vxlan(&link) })
        }
    }

    async fn vxlan_port_holder(&self, port: u16, except: &str) -> Result<String, Error> {
        let other =
            self.links().await?.into_iter().find(|link| {
                link.name != except && link.vxlan.is_some_and(|vxlan| vxlan.port == port)
            });
        Ok(match other {
            Some(link) => format!("the vxlan device {}", link.name),
            None => "the socket of another program".to_owned(),
        })
    }
}

fn describe_vxlan(link: &Link) -> String {
    match link.vxlan {
        Some(vxlan) if vxlan.flow_based => {
            format!("a flow-based vxlan device on UDP port {}", vxlan.port)
        }
        Some(Vxlan { port, vni: Some(vni), .. }) => {
            format!("a vxlan device of VNI {vni} on UDP port {port}")
        }
        _ => describe(link),
    }
}
