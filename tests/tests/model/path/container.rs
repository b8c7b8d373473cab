//! What a container sent.

use netctl_common::{DropReason, Verdict};

use super::{
    Answer, Input, Sent, arp,
    frame::{self, Flaw, Frame, Ipv4, Payload},
    outer::Tunnelled,
};
use crate::world::{DEVICE, Endpoint, Mac, Place, World};

const TCP: u8 = 6;

pub(super) fn answer(world: &World, input: &Input) -> Result<Answer, DropReason> {
    let endpoint = world.ports.get(&DEVICE).ok_or(DropReason::UnknownPort)?;
    let frame = frame::read(&input.bytes, input.segment != 0).map_err(|flaw| match flaw {
        Flaw::Ethernet => DropReason::MalformedEthernet,
        Flaw::Ipv4 => DropReason::MalformedIpv4,
    })?;
    if frame.from != endpoint.mac {
        return Err(DropReason::SourceMac);
    }
    match &frame.payload {
        Payload::Ipv4(ip) => ipv4(world, endpoint, input, &frame, ip),
        Payload::Arp(arp) => arp::answer(world, endpoint, arp),
        Payload::Ipv6 => Err(DropReason::Ipv6),
        Payload::Other => Err(DropReason::EtherType),
    }
}

fn ipv4(
    world: &World,
    endpoint: &Endpoint,
    input: &Input,
    frame: &Frame,
    ip: &Ipv4,
) -> Result<Answer, DropReason> {
    if !endpoint.any_source && !endpoint.addresses4.contains(&ip.from) {
        return Err(DropReason::SourceAddress);
    }
    let (to, place) = destination(world, endpoint.vni, frame, ip)?;
    let mut bytes = input.bytes.clone();
    bytes[..6].copy_from_slice(&to);
    match place {
        Place::Container(_) => Ok(Answer::Send(Verdict::ToContainer, Sent::Bytes(bytes))),
        Place::Host(_) => Ok(Answer::Send(Verdict::ToHost, Sent::Bytes(bytes))),
        Place::Remote(index) => {
            let host = world.hosts.get(&index).ok_or(DropReason::UnknownVtep)?;
            // The shortest headers that the parts can have.
            let longest = match (input.segment as usize, ip.protocol) {
                (0, _) => bytes.len() - 14,
                (segment, TCP) => segment + 40,
                (segment, _) => segment + 28,
            };
            if longest > host.mtu as usize {
                return Err(DropReason::TooBig);
            }
            if input.segment != 0 && ip.protocol != TCP {
                return Ok(Answer::Send(Verdict::HandedOver, Sent::Bytes(bytes)));
            }
            if input.segment != 0 {
                // The kernel refuses to grow what is merged of neither TCP nor UDP (`bpf_skb_net_grow`), and a test
                // cannot say of which a packet is.
                return Err(DropReason::EncapFailed);
            }
            let tunnelled = Tunnelled {
                from: world.local4,
                to: host.address,
                port: world.vxlan_port,
                tos: ip.tos,
                vni: endpoint.vni,
                frame: bytes,
            };
            Ok(Answer::Send(Verdict::ToUnderlay, Sent::Tunnelled(tunnelled)))
        }
    }
}

/// Whose station it is for, and where that is.
///
/// Where nobody has the destination MAC, it is for who has the destination address: the sender has not noticed yet that
/// another station has it now.
fn destination(
    world: &World,
    vni: u32,
    frame: &Frame,
    ip: &Ipv4,
) -> Result<(Mac, Place), DropReason> {
    if let Some(place) = world.stations.get(&(vni, frame.to)) {
        return Ok((frame.to, *place));
    }
    if frame::is_group(frame.to) {
        return Err(DropReason::GroupDestination);
    }
    let owner = world.neighbours4.get(&(vni, ip.to)).ok_or(DropReason::UnknownDestination)?;
    let place = world.stations.get(&(vni, *owner)).ok_or(DropReason::UnknownDestination)?;
    Ok((*owner, *place))
}
