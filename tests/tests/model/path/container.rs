//! What a container sent.

use netctl_common::{DropReason, Verdict};

use super::{
    Answer, Input, Sent, arp, flood,
    frame::{self, Flaw, Frame, Payload},
    ndp,
    outer::Tunnelled,
    router::{self, Routed},
    size::{self, Fit},
    too_big,
};
use crate::world::{Endpoint, Host, Mac, Place, World};

pub(super) fn answer(world: &World, input: &Input) -> Result<Answer, DropReason> {
    let endpoint = world.ports.get(&input.device).ok_or(DropReason::UnknownPort)?;
    let sender = frame::sender(&input.bytes).ok_or(DropReason::MalformedEthernet)?;
    if sender != endpoint.station.mac {
        return Err(DropReason::SourceMac);
    }
    let frame = frame::read(&input.bytes, input.segment != 0).map_err(|flaw| match flaw {
        Flaw::Ipv4 => DropReason::MalformedIpv4,
        Flaw::Ipv6 => DropReason::MalformedIpv6,
    })?;
    let group = frame::is_group(frame.to);
    let answered = match &frame.payload {
        Payload::Ipv4(ip) => {
            // One who asks for an address has none yet (RFC 2131 section 4.1).
            let own = ip.from == endpoint.station.ip4 || ip.from == [0; 4] && group;
            if !endpoint.any_source && !own {
                return Err(DropReason::SourceAddress);
            }
            None
        }
        Payload::Ipv6(ip) => {
            // The same, while it is not sure of it (RFC 4862 section 5.4.2, RFC 3590).
            let own = owns(endpoint, ip.from) || ip.from == [0; 16] && group;
            if !endpoint.any_source && !own {
                return Err(DropReason::SourceAddress);
            }
            ndp::answer(world, endpoint, &input.bytes, ip)?
        }
        Payload::Arp(arp) => arp::answer(world, endpoint, arp)?,
        Payload::Other => None,
    };
    match answered {
        Some(answer) => Ok(answer),
        None => forward(world, endpoint, input, &frame),
    }
}

/// Whether the endpoint has the address: its own, and the link-local one that it makes of its MAC.
pub(super) fn owns(endpoint: &Endpoint, address: [u8; 16]) -> bool {
    address == endpoint.station.ip6 || address == endpoint.station.link_local()
}

fn forward(
    world: &World,
    endpoint: &Endpoint,
    input: &Input,
    frame: &Frame,
) -> Result<Answer, DropReason> {
    let known = world.stations.get(&(endpoint.vni, frame.to));
    if known.is_none() && frame::is_group(frame.to) {
        return flood::from_here(world, endpoint, input, frame);
    }
    let (to, place) = match known {
        Some(place) => (frame.to, *place),
        None => readdress(world, endpoint.vni, frame)?,
    };
    let mut bytes = input.bytes.clone();
    bytes[..6].copy_from_slice(&to);
    let (bytes, place) = if matches!(place, Place::Host(_)) {
        let input = Input { bytes, ..*input };
        match router::route(world, endpoint, &input, frame, to)? {
            Routed::ToHost => (input.bytes, place),
            Routed::On(bytes, place) => (bytes, place),
            Routed::Expired(answer) => return Ok(answer),
        }
    } else {
        (bytes, place)
    };
    match place {
        // As on every wire, nobody gets what he sent himself.
        Place::Container(device) | Place::Bridging(device) if device == input.device => {
            Err(DropReason::OwnStation)
        }
        Place::Container(_) | Place::Bridging(_) | Place::Remote(_) if endpoint.isolated => {
            Err(DropReason::Isolated)
        }
        Place::Container(_) | Place::Bridging(_) => {
            Ok(Answer::Send(Verdict::ToContainer, Sent::Bytes(bytes)))
        }
        Place::Host(_) if endpoint.any_source && flood::is_from_host(world, &frame.payload) => {
            Err(DropReason::SourceAddress)
        }
        Place::Host(_) => Ok(Answer::Send(Verdict::ToHost, Sent::Bytes(bytes))),
        Place::Remote(index) => {
            let host = world.hosts.get(&index).ok_or(DropReason::UnknownVtep)?;
            let next_hop = world.next_hops.get(&index).copied();
            tunnel(world, endpoint, Input { bytes, ..*input }, frame, (host, next_hop))
        }
    }
}

fn tunnel(
    world: &World,
    endpoint: &Endpoint,
    input: Input,
    frame: &Frame,
    (host, next_hop): (&Host, Option<(Mac, Mac)>),
) -> Result<Answer, DropReason> {
    let fit = size::fit(&input, &frame.payload, host);
    let tos = match &frame.payload {
        Payload::Ipv4(ip) => ip.tos,
        Payload::Ipv6(ip) => ip.tos,
        Payload::Arp(_) | Payload::Other => 0,
    };
    match fit {
        // The kernel makes room in IP packets alone. In what it is to cut it makes none here, since a test cannot say
        // of which protocol that is (`bpf_skb_net_grow`).
        Fit::Whole
            if input.segment == 0 && !matches!(frame.payload, Payload::Arp(_) | Payload::Other) =>
        {
            let tunnelled = Tunnelled {
                // Routes can be of one DSCP alone; the way that is known is that of packets without.
                next_hop: next_hop.filter(|_| tos / 4 == 0),
                to: host.address,
                port: world.vxlan_port,
                tos,
                vni: endpoint.vni,
                frame: input.bytes,
            };
            Ok(Answer::Send(Verdict::ToUnderlay, Sent::Tunnelled(tunnelled)))
        }
        Fit::Whole | Fit::InParts => {
            Ok(Answer::Send(Verdict::HandedOver, Sent::Bytes(input.bytes)))
        }
        Fit::Never => too_big::report(endpoint, &input.bytes, &frame.payload, host.mtu),
    }
}

/// Where the station is now that has the destination address, of a frame whose destination MAC nobody has: the sender
/// has not noticed yet that another one has it.
fn readdress(world: &World, vni: u32, frame: &Frame) -> Result<(Mac, Place), DropReason> {
    let owner = match &frame.payload {
        Payload::Ipv4(ip) => world.neighbours4.get(&(vni, ip.to)).copied(),
        Payload::Ipv6(ip) => ndp::owner(world, vni, ip.to),
        Payload::Arp(_) | Payload::Other => None,
    };
    let owner = owner.ok_or(DropReason::UnknownDestination)?;
    let place = world.stations.get(&(vni, owner)).ok_or(DropReason::UnknownDestination)?;
    Ok((owner, *place))
}
