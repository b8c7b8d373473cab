//! Routing between the subnets of one network: the host's own endpoint is the router, on every host the same.

use netctl_common::{DropReason, Verdict};

use super::{
    Answer, Input, Sent,
    frame::{self, Frame, Payload, number},
    ndp,
    too_big::{icmp, icmpv6},
};
use crate::world::{Endpoint, Mac, Place, World};

/// What becomes of a frame for the router.
pub(super) enum Routed {
    /// It is the host's, or the host's to route.
    ToHost,
    /// It goes on as this, to this station.
    On(Vec<u8>, Place),
    /// Its sender is told that its hops have ended.
    Expired(Answer),
}

/// `router` is the MAC that the frame came to.
pub(super) fn route(
    world: &World,
    endpoint: &Endpoint,
    input: &Input,
    frame: &Frame,
    router: Mac,
) -> Result<Routed, DropReason> {
    let Some((owner, place)) = station(world, endpoint.vni, frame, router) else {
        return Ok(Routed::ToHost);
    };
    if endpoint.isolated {
        return Err(DropReason::Isolated);
    }
    let hops = match &frame.payload {
        Payload::Ipv4(ip) => ip.hops,
        Payload::Ipv6(ip) => ip.hops,
        Payload::Arp(_) | Payload::Other => unreachable!("they have no address to be routed to"),
    };
    if hops <= 1 {
        return expire(endpoint, &input.bytes, &frame.payload, router).map(Routed::Expired);
    }
    let mut bytes = [&owner[..], &router, &input.bytes[12..]].concat();
    match &frame.payload {
        Payload::Ipv6(_) | Payload::Arp(_) | Payload::Other => bytes[21] -= 1,
        Payload::Ipv4(_) => {
            let before = number(&bytes, 22);
            bytes[22] -= 1;
            let checksum = frame::corrected(number(&bytes, 24), before, number(&bytes, 22));
            bytes.splice(24..26, checksum);
        }
    }
    Ok(Routed::On(bytes, place))
}

/// The station of the network that has the destination address, if that is not the router or a host itself.
fn station(world: &World, vni: u32, frame: &Frame, router: Mac) -> Option<(Mac, Place)> {
    let owner = match &frame.payload {
        Payload::Ipv4(ip) => world.neighbours4.get(&(vni, ip.to)).copied(),
        // What is of one link stays on it (RFC 4291 section 2.5.6).
        Payload::Ipv6(ip) if is_link_local(ip.from) || is_link_local(ip.to) => None,
        Payload::Ipv6(ip) => ndp::owner(world, vni, ip.to),
        Payload::Arp(_) | Payload::Other => None,
    };
    let owner = owner.filter(|owner| *owner != router)?;
    let place = *world.stations.get(&(vni, owner))?;
    (!matches!(place, Place::Host(_))).then_some((owner, place))
}

fn is_link_local(address: [u8; 16]) -> bool {
    address[0] == 0xfe && address[1] & 0xc0 == 0x80
}

/// The report comes from the gateway of the sender's subnet.
fn expire(
    endpoint: &Endpoint,
    bytes: &[u8],
    payload: &Payload,
    router: Mac,
) -> Result<Answer, DropReason> {
    let gateway = endpoint.gateway.ok_or(DropReason::TtlExpired)?;
    let packet = &bytes[14..];
    let about_error =
        |errors: &[u8], header: usize| packet.get(header).is_some_and(|kind| errors.contains(kind));
    let report = match payload {
        Payload::Ipv4(ip) => {
            let error = ip.protocol == 1 && about_error(&[3, 4, 5, 11, 12], 20);
            if ip.header != 20 || ip.later_fragment || error {
                return Err(DropReason::TtlExpired);
            }
            let quoted = quoted(packet, 20).ok_or(DropReason::TtlExpired)?;
            icmp(gateway.ip4, ip.from, [&[11, 0, 0, 0, 0, 0, 0, 0], quoted].concat())
        }
        Payload::Ipv6(ip) => {
            let errors: Vec<u8> = (0..128).collect();
            // A message has four bytes at least.
            let error = ip.next == frame::ICMPV6 && packet.len() >= 44 && about_error(&errors, 40);
            if error {
                return Err(DropReason::TtlExpired);
            }
            let quoted = quoted(packet, 40).ok_or(DropReason::TtlExpired)?;
            let message = [&[3, 0, 0, 0, 0, 0, 0, 0], quoted].concat();
            icmpv6(gateway.ip6, ip.from, 0xc0, 64, message)
        }
        Payload::Arp(_) | Payload::Other => unreachable!("they have no hops"),
    };
    let ethernet = [&endpoint.station.mac[..], &router, &bytes[12..14]].concat();
    Ok(Answer::Send(Verdict::TtlReported, Sent::Bytes([ethernet, report].concat())))
}

/// Of what is behind the header 20 bytes, or 8 where there are not so many.
fn quoted(packet: &[u8], header: usize) -> Option<&[u8]> {
    packet.get(..header + 20).or_else(|| packet.get(..header + 8))
}
