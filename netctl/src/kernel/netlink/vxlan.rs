//! The flow-based vxlan device: one for all segments, told by each packet's metadata where it goes.

use futures_util::TryStreamExt as _;
use rtnetlink::{
    LinkVxlan,
    packet_route::link::{InfoData, InfoVxlan, LinkAttribute, LinkInfo, LinkMessage},
};

use super::{Added, Error, Link, Netlink};

impl Netlink {
    /// Makes sure that the flow-based vxlan device `name` is there, up, and listens on UDP `port`.
    ///
    /// Its socket is what gives UDP tunnels GRO on the receiving side (`udp_tunnel_update_gro_rcv`). It learns nothing
    /// and has no segment of its own.
    pub async fn create_flow_vxlan(&self, name: &str, port: u16) -> Result<Link, Error> {
        match self.flow_vxlan_port(name).await? {
            Some(existing) if existing == Some(port) => {}
            Some(Some(_)) => {
                let old = self.expect(name).await?;
                self.delete(old.index).await?;
                self.add_flow_vxlan(name, port).await?;
            }
            Some(None) => return Err(Error::Foreign { name: name.to_owned() }),
            None => self.add_flow_vxlan(name, port).await?,
        }
        let link = self.expect(name).await?;
        if !link.up {
            self.set_up(link.index).await.map_err(|error| port_taken(error, port))?;
        }
        self.expect(name).await
    }

    async fn add_flow_vxlan(&self, name: &str, port: u16) -> Result<(), Error> {
        let message = LinkVxlan::new(name, 0)
            .collect_metadata(true)
            .learning(false)
            .port(port)
            .udp_csum(false)
            .udp_zero_csum6_tx(true)
            .udp_zero_csum6_rx(true)
            .build();
        match self
            .add_link(name, without_segment(message))
            .await
            .map_err(|error| port_taken(error, port))?
        {
            Added::New => Ok(()),
            // There is none of this name: another flow-based device has the port (`vxlan_config_validate`).
            Added::Exists => Err(Error::PortTaken { port }),
        }
    }

    /// Nothing where there is no such link; no port where it is not a flow-based vxlan device.
    async fn flow_vxlan_port(&self, name: &str) -> Result<Option<Option<u16>>, Error> {
        let _turn = self.turn.lock().await;
        match self.handle.link().get().match_name(name.to_owned()).execute().try_next().await {
            Ok(message) => Ok(message.map(|message| port_of(&message))),
            Err(error) if super::errno(&error) == nix::libc::ENODEV => Ok(None),
            Err(error) => Err(super::refused("look up", name, error)),
        }
    }
}

fn infos(message: &LinkMessage) -> impl Iterator<Item = &LinkInfo> {
    message.attributes.iter().flat_map(|attribute| match attribute {
        LinkAttribute::LinkInfo(infos) => infos.as_slice(),
        _ => &[],
    })
}

fn port_of(message: &LinkMessage) -> Option<u16> {
    let vxlan = infos(message).find_map(|info| match info {
        LinkInfo::Data(InfoData::Vxlan(infos)) => Some(infos),
        _ => None,
    })?;
    let flow_based = vxlan.iter().any(|info| matches!(info, InfoVxlan::CollectMetadata(true)));
    let port = vxlan.iter().find_map(|info| match info {
        InfoVxlan::Port(port) => Some(*port),
        _ => None,
    })?;
    flow_based.then_some(port)
}

/// A flow-based device must not name a segment (`vxlan_nl2conf`), but the builder always does.
fn without_segment(mut message: LinkMessage) -> LinkMessage {
    for attribute in &mut message.attributes {
        if let LinkAttribute::LinkInfo(infos) = attribute {
            for info in infos {
                if let LinkInfo::Data(InfoData::Vxlan(vxlan)) = info {
                    vxlan.retain(|info| !matches!(info, InfoVxlan::Id(_)));
                }
            }
        }
    }
    message
}

fn port_taken(error: Error, port: u16) -> Error {
    match error {
        Error::Netlink { ref source, .. }
            if source.raw_os_error() == Some(nix::libc::EADDRINUSE) =>
        {
            Error::PortTaken { port }
        }
        other => other,
    }
}
