//! The flows that the kernel knows of a namespace, and that it translates.

use std::net::IpAddr;

use futures_util::StreamExt as _;
use netlink_packet_netfilter::{
    NetfilterHeader, NetfilterMessage, NetfilterMessageInner, NetfilterProtoFamily,
    conntrack::{ConntrackAttribute, ConntrackMessage, IPTuple, ProtoTuple, Tuple},
};
use nix::errno::Errno;
use rtnetlink::{
    packet_core::{
        NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload,
    },
    proto::{ConnectionHandle, new_connection},
    sys::{SocketAddr, protocols::NETLINK_NETFILTER},
};
use tokio::runtime;

use super::{Error, Netns};

/// One end of a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlowEnd {
    /// Its address.
    pub address: IpAddr,
    /// The number of the protocol.
    pub protocol: u8,
    /// Its port.
    pub port: u16,
}

/// A flow of a protocol with ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flow {
    /// Whom its first packet was sent to.
    pub asked: FlowEnd,
    /// Who answers, which is another where the destination is translated.
    pub answering: FlowEnd,
}

impl Netns {
    /// Has the kernel forget the flows that `ended` says are no more, of the family of IPv6 or else of IPv4. Their next
    /// packets are those of new flows.
    pub async fn forget_flows(
        &self,
        v6: bool,
        ended: impl Fn(&Flow) -> bool + Send,
    ) -> Result<(), Error> {
        let handle = self.netfilter().await?;
        let family = if v6 { NetfilterProtoFamily::IPv6 } else { NetfilterProtoFamily::IPv4 };
        let asking = ConntrackMessage::Get(Vec::new());
        for attributes in request(&handle, family, asking, NLM_F_DUMP).await? {
            let Some(flow) = flow(&attributes).filter(&ended) else { continue };
            tracing::debug!(?flow, "a flow is forgotten");
            let tuple = attributes
                .into_iter()
                .filter(|attribute| matches!(attribute, ConntrackAttribute::CtaTupleOrig(_)))
                .collect();
            // It may have ended by itself.
            match request(&handle, family, ConntrackMessage::Delete(tuple), NLM_F_ACK).await {
                Err(Error::Refused { errno: Errno::ENOENT, .. }) | Ok(_) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Has flows looked up.
    pub async fn flows(&self) -> Result<Flows, Error> {
        Ok(Flows { handle: self.netfilter().await? })
    }

    async fn netfilter(&self) -> Result<ConnectionHandle<NetfilterMessage>, Error> {
        let runtime = runtime::Handle::current();
        let opened = move || {
            let _entered = runtime.enter();
            new_connection::<NetfilterMessage>(NETLINK_NETFILTER)
        };
        let (connection, handle, _) = self
            .run(opened)
            .await?
            .map_err(|source| Error::System { doing: "open a netlink socket", source })?;
        // It ends with the handle.
        drop(tokio::spawn(connection));
        Ok(handle)
    }
}

/// Looks flows up in the kernel's table.
#[derive(Clone, Debug)]
pub struct Flows {
    handle: ConnectionHandle<NetfilterMessage>,
}

impl Flows {
    /// Whom a flow's first packet was sent to, where it is `answering` who answers it and `began` who began it; nothing
    /// where there is no such flow.
    pub async fn asked(
        &self,
        began: std::net::SocketAddr,
        answering: FlowEnd,
    ) -> Result<Option<FlowEnd>, Error> {
        let v6 = answering.address.is_ipv6();
        let family = if v6 { NetfilterProtoFamily::IPv6 } else { NetfilterProtoFamily::IPv4 };
        let addresses = vec![
            IPTuple::SourceAddress(answering.address),
            IPTuple::DestinationAddress(began.ip()),
        ];
        let ports = vec![
            ProtoTuple::Protocol(answering.protocol.into()),
            ProtoTuple::SourcePort(answering.port),
            ProtoTuple::DestinationPort(began.port()),
        ];
        let reply =
            ConntrackAttribute::CtaTupleReply(vec![Tuple::Ip(addresses), Tuple::Proto(ports)]);
        match request(&self.handle, family, ConntrackMessage::Get(vec![reply]), NLM_F_ACK).await {
            Ok(flows) => Ok(flows.iter().find_map(|f| flow(f)).map(|flow| flow.asked)),
            Err(Error::Refused { errno: Errno::ENOENT, .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

async fn request(
    handle: &ConnectionHandle<NetfilterMessage>,
    family: NetfilterProtoFamily,
    message: ConntrackMessage,
    flags: u16,
) -> Result<Vec<Vec<ConntrackAttribute>>, Error> {
    let doing = || "look after the flows that the kernel knows".to_owned();
    // `NFNETLINK_V0`, and no resource.
    let message = NetfilterMessage::new(NetfilterHeader::new(family, 0, 0), message);
    let mut request = NetlinkMessage::new(NetlinkHeader::default(), NetlinkPayload::from(message));
    request.header.flags = NLM_F_REQUEST | flags;
    request.finalize();
    let mut answers = handle
        .request(request, SocketAddr::new(0, 0))
        .map_err(|_closed| Error::ConnectionLost { doing: doing() })?;
    let mut flows = Vec::new();
    while let Some(answer) = answers.next().await {
        match answer.payload {
            NetlinkPayload::InnerMessage(message) => {
                if let NetfilterMessageInner::Conntrack(ConntrackMessage::New(attributes)) =
                    message.inner
                {
                    flows.push(attributes);
                }
            }
            NetlinkPayload::Error(error) => {
                if let Some(code) = error.code {
                    let errno = Errno::from_raw(-code.get());
                    return Err(Error::Refused { doing: doing(), errno, detail: None });
                }
            }
            _ => {}
        }
    }
    Ok(flows)
}

fn flow(attributes: &[ConntrackAttribute]) -> Option<Flow> {
    let mut asked = None;
    let mut answering = None;
    for attribute in attributes {
        match attribute {
            ConntrackAttribute::CtaTupleOrig(tuples) => asked = end(tuples, false),
            ConntrackAttribute::CtaTupleReply(tuples) => answering = end(tuples, true),
            _ => {}
        }
    }
    Some(Flow { asked: asked?, answering: answering? })
}

/// The source of a direction, or its destination.
fn end(tuples: &[Tuple], source: bool) -> Option<FlowEnd> {
    let (mut address, mut protocol, mut port) = (None, None, None);
    for tuple in tuples {
        match tuple {
            Tuple::Ip(parts) => {
                for part in parts {
                    match part {
                        IPTuple::SourceAddress(ip) if source => address = Some(*ip),
                        IPTuple::DestinationAddress(ip) if !source => address = Some(*ip),
                        _ => {}
                    }
                }
            }
            Tuple::Proto(parts) => {
                for part in parts {
                    match part {
                        ProtoTuple::Protocol(number) => protocol = Some(u8::from(*number)),
                        ProtoTuple::SourcePort(number) if source => port = Some(*number),
                        ProtoTuple::DestinationPort(number) if !source => port = Some(*number),
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }
    Some(FlowEnd { address: address?, protocol: protocol?, port: port? })
}
