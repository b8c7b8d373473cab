//! Bridges and their ports.

use nix::errno::Errno;
use rtnetlink::{
    packet_core::{NLM_F_CREATE, NLM_F_EXCL},
    packet_route::{
        RouteNetlinkMessage,
        link::{InfoKind, LinkAttribute, LinkInfo},
    },
};

use super::{
    Error, Link, Netlink,
    link::{describe, named},
};

impl Netlink {
    /// Makes a bridge and leaves it down, unless there is one of the name.
    ///
    /// # Errors
    /// [`Error::LinkExists`] if the name is taken by something else.
    pub async fn ensure_bridge(&self, name: &str) -> Result<Link, Error> {
        let mut message = named(name);
        message.attributes.push(LinkAttribute::LinkInfo(vec![LinkInfo::Kind(InfoKind::Bridge)]));
        let flags = NLM_F_CREATE | NLM_F_EXCL;
        match self.change(RouteNetlinkMessage::NewLink(message), flags).await {
            Ok(()) => {}
            Err(failure) if failure.errno() == Some(Errno::EEXIST) => {}
            Err(failure) => return Err(failure.doing(format!("make the bridge {name}"))),
        }
        let link = self.link_by_name(name).await?;
        if link.kind.as_deref() == Some("bridge") {
            Ok(link)
        } else {
            Err(Error::LinkExists { name: name.to_owned(), found: describe(&link) })
        }
    }

    /// Makes a link a port of a bridge, and of no other; `false` if the bridge has all the ports that it can have.
    pub async fn set_master(&self, link: &Link, bridge: &Link) -> Result<bool, Error> {
        match self.set_attribute(link, LinkAttribute::Controller(bridge.index)).await {
            Ok(()) => Ok(true),
            // What `find_portno` in net/bridge/br_if.c says.
            Err(failure) if failure.errno() == Some(Errno::EXFULL) => Ok(false),
            Err(failure) => {
                Err(failure.doing(format!("make {} a port of {}", link.name, bridge.name)))
            }
        }
    }
}
