//! What the underlay device received.

use std::net::IpAddr;

use netctl_common::{DropReason, Verdict};
use testbed::frames::checksum;

use super::{
    Answer, Input, Sent,
    frame::{self, Payload, TCP, UDP, number},
};
use crate::world::{Mac, Place, UNDERLAY_MAC, World};

/// The outer IP header.
struct Outer {
    /// How long it is.
    header: usize,
    from: IpAddr,
    tos: u8,
    /// The length of what it says that it carries; `None` where it is merged of so much that it cannot say.
    payload: Option<usize>,
}

pub(super) fn answer(world: &World, input: &Input) -> Result<Answer, DropReason> {
    let bytes = &input.bytes;
    let merged = input.segment != 0;
    let Some(outer) = outer(world, bytes, merged)? else { return Ok(Answer::NotOurs) };

    let udp = 14 + outer.header;
    let datagram = number(bytes, udp + 4);
    if outer.payload.is_some_and(|payload| datagram > payload) {
        return Err(DropReason::MalformedOuter);
    }
    // The kernel cuts off what a datagram does not cover, and verifies a checksum.
    let whole = outer.payload.is_none_or(|payload| datagram == payload);
    let checked = number(bytes, udp + 6) != 0;

    let inside = udp + 8 + 8;
    if bytes.len() < inside || bytes[udp + 8] & 8 == 0 {
        return Err(DropReason::MalformedVxlan);
    }
    let vni = u32::from_be_bytes([0, bytes[udp + 12], bytes[udp + 13], bytes[udp + 14]]);
    let inside = &bytes[inside..];
    let sender = frame::sender(inside).ok_or(DropReason::MalformedInner)?;
    if let Err(reason) = check_sender(world, vni, sender, outer.from) {
        let probe = vni == 0 && reason == DropReason::UnknownVni && whole && !checked && !merged;
        return if probe { probed(bytes, outer.header) } else { Err(reason) };
    }
    let frame = frame::read(inside, merged).map_err(|_flaw| DropReason::MalformedInner)?;

    let (tos, tcp) = match &frame.payload {
        Payload::Ipv4(ip) => (ip.tos, ip.protocol == TCP),
        Payload::Ipv6(ip) => (ip.tos, ip.next == TCP),
        // The kernel makes room in IP packets alone.
        Payload::Arp(_) | Payload::Other => return Ok(Answer::Pass(Verdict::HandedOver)),
    };
    if checked || !whole || frame::is_group(frame.to) || merged && !tcp {
        return Ok(Answer::Pass(Verdict::HandedOver));
    }
    let verdict = match world.stations.get(&(vni, frame.to)) {
        Some(Place::Container(_) | Place::Bridging(_)) => Verdict::ToContainer,
        Some(Place::Host(_)) => Verdict::ToHost,
        // What came by a tunnel does not leave by one.
        Some(Place::Remote(_)) | None => return Err(DropReason::NotLocal),
    };
    let tos = combine(tos, outer.tos).ok_or(DropReason::CongestionMark)?;
    if merged {
        // The kernel refuses to shrink what is merged of neither TCP nor UDP, and a test cannot say of which it is.
        return Err(DropReason::DecapFailed);
    }
    let mut inside = inside.to_vec();
    set_tos(&mut inside[14..], matches!(frame.payload, Payload::Ipv4(_)), tos);
    Ok(Answer::Send(verdict, Sent::Bytes(inside)))
}

/// A probe from a host that is known goes back, to the port that it came from or as what is tunnelled goes; what came
/// back so is for the port that asked.
fn probed(bytes: &[u8], header: usize) -> Result<Answer, DropReason> {
    let mut turned = bytes.to_vec();
    let swap = |turned: &mut Vec<u8>, at: usize, length: usize| {
        let (one, other) = (bytes[at..at + length].to_vec(), at + length);
        turned.copy_within(other..other + length, at);
        turned[other..other + length].copy_from_slice(&one);
    };
    let udp = 14 + header;
    match bytes[udp + 15] {
        3 if number(bytes, udp) < 49_152 => return Err(DropReason::UnknownVni),
        3 => {
            swap(&mut turned, udp, 2);
            return Ok(Answer::Change(Verdict::Probe, turned));
        }
        1 => swap(&mut turned, udp, 2),
        2 => turned[udp + 8..udp + 16].copy_from_slice(&[8, 0, 0, 0, 0, 0, 0, 3]),
        _ => return Err(DropReason::UnknownVni),
    }
    swap(&mut turned, 0, 6);
    if header == 20 {
        swap(&mut turned, 26, 4);
    } else {
        swap(&mut turned, 22, 16);
    }
    Ok(Answer::Send(Verdict::Probe, Sent::Bytes(turned)))
}

/// The outer header of VXLAN for this host, of the kind that can be read without reassembling or looking for it.
fn outer(world: &World, bytes: &[u8], merged: bool) -> Result<Option<Outer>, DropReason> {
    if bytes.len() < 14 || bytes[..6] != UNDERLAY_MAC {
        return Ok(None);
    }
    let is_vxlan = |header: usize| {
        bytes.len() >= 14 + header + 8
            && number(bytes, 14 + header + 2) == usize::from(world.vxlan_port)
    };
    match number(bytes, 12) {
        0x0800 => {
            let ours = is_vxlan(20)
                && bytes[14] == 0x45
                // "More fragments", or an offset.
                && number(bytes, 20).is_multiple_of(0x4000)
                && bytes[23] == UDP
                && world.local.ip4 == Some(frame::array(bytes, 30));
            if !ours {
                return Ok(None);
            }
            let ip = frame::ipv4(&bytes[14..], merged).ok_or(DropReason::MalformedOuter)?;
            // Over a header with its right checksum there is nothing left (RFC 1071).
            if checksum(&bytes[14..34]) != [0; 2] {
                return Err(DropReason::MalformedOuter);
            }
            let total = number(bytes, 16);
            let payload = (total != 0).then(|| total - 20);
            Ok(Some(Outer { header: 20, from: IpAddr::from(ip.from), tos: ip.tos, payload }))
        }
        0x86dd => {
            if !is_vxlan(40) || bytes[20] != UDP || world.local.ip6 != Some(frame::array(bytes, 38))
            {
                return Ok(None);
            }
            if frame::is_mapped(&bytes[22..]) {
                return Err(DropReason::UnknownTunnelSource);
            }
            let ip = frame::ipv6(&bytes[14..], merged).ok_or(DropReason::MalformedOuter)?;
            let payload = (ip.payload != 0).then_some(ip.payload);
            Ok(Some(Outer { header: 40, from: IpAddr::from(ip.from), tos: ip.tos, payload }))
        }
        _ => Ok(None),
    }
}

/// A station's frames come from the host that the station is on. The gateway is on every host with members.
pub(super) fn check_sender(
    world: &World,
    vni: u32,
    sender: Mac,
    host: IpAddr,
) -> Result<(), DropReason> {
    let network = world.networks.get(&vni);
    let member = network.is_some_and(|network| network.hosts.contains(&host));
    let genuine = match world.stations.get(&(vni, sender)) {
        Some(Place::Remote(index)) => {
            world.hosts.get(index).is_some_and(|known| known.address == host)
        }
        Some(Place::Host(_)) => member,
        Some(Place::Container(_) | Place::Bridging(_)) | None => false,
    };
    if genuine {
        Ok(())
    } else if !world.is_host(host) {
        Err(DropReason::UnknownTunnelSource)
    } else if network.is_none() {
        Err(DropReason::UnknownVni)
    } else if !member {
        Err(DropReason::NotMember)
    } else {
        Err(DropReason::InnerSource)
    }
}

/// DSCP and ECN after the outer header went (RFC 6040 section 4.2): the words of its table.
pub(super) fn combine(inner: u8, outer: u8) -> Option<u8> {
    const NOT_ECT: u8 = 0;
    const ECT_1: u8 = 1;
    const ECT_0: u8 = 2;
    const CE: u8 = 3;
    let ecn = match (inner % 4, outer % 4) {
        (NOT_ECT, CE) => return None,
        (NOT_ECT, _) => NOT_ECT,
        (CE, _) | (_, CE) => CE,
        (ECT_0, ECT_1) => ECT_1,
        (inner, _) => inner,
    };
    Some(inner - inner % 4 + ecn)
}

/// Sets DSCP and ECN of a packet. The checksum of an IPv4 header changes by as much, so that a wrong one stays as wrong
/// as it was.
pub(super) fn set_tos(packet: &mut [u8], is_ipv4: bool, tos: u8) {
    if !is_ipv4 {
        packet[0] = packet[0] / 16 * 16 + tos / 16;
        packet[1] = tos % 16 * 16 + packet[1] % 16;
    } else if packet[1] != tos {
        let before = number(packet, 0);
        packet[1] = tos;
        let checksum = frame::corrected(number(packet, 10), before, number(packet, 0));
        packet[10..12].copy_from_slice(&checksum);
    }
}
