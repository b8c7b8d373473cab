//! What the underlay device received.

use netctl_common::{DropReason, Verdict};

use super::{
    Answer, Input, Sent,
    frame::{self, Frame, Payload, number},
};
use crate::world::{DEVICE_MAC, Ip4, Place, World};

const TCP: u8 = 6;
const UDP: u8 = 17;
/// Ethernet, IPv4, UDP and VXLAN.
const OUTER: usize = 14 + 20 + 8 + 8;

pub(super) fn answer(world: &World, input: &Input) -> Result<Answer, DropReason> {
    let bytes = &input.bytes;
    let merged = input.segment != 0;
    if !is_ours(world, bytes) {
        return Ok(Answer::NotOurs);
    }

    let ip = frame::ipv4(&bytes[14..], merged).ok_or(DropReason::MalformedOuter)?;
    let (said, datagram) = (number(bytes, 16), number(bytes, 38));
    let whole = said == 20 + datagram || (merged && said == 0);
    if !whole && 20 + datagram > said {
        return Err(DropReason::MalformedOuter);
    }
    if bytes.len() < OUTER || bytes[42] & 8 == 0 {
        return Err(DropReason::MalformedVxlan);
    }
    let vni = u32::from_be_bytes([0, bytes[46], bytes[47], bytes[48]]);
    // The kernel verifies a checksum, and cuts off what a datagram does not cover.
    if [bytes[40], bytes[41]] != [0, 0] || !whole {
        return Ok(Answer::Pass(Verdict::HandedOver));
    }

    let frame = frame::read(&bytes[OUTER..], merged).map_err(|_flaw| DropReason::MalformedInner)?;
    let tcp = matches!(&frame.payload, Payload::Ipv4(inner) if inner.protocol == TCP);
    if merged && !tcp {
        return Ok(Answer::Pass(Verdict::HandedOver));
    }
    let Payload::Ipv4(inner) = &frame.payload else { return Err(DropReason::InnerEtherType) };
    check_sender(world, vni, &frame, ip.from)?;
    let verdict = match world.stations.get(&(vni, frame.to)) {
        Some(Place::Container(_)) => Verdict::ToContainer,
        Some(Place::Host(_)) => Verdict::ToHost,
        None if frame::is_group(frame.to) => return Err(DropReason::GroupDestination),
        // What came by a tunnel does not leave by one.
        Some(Place::Remote(_)) | None => return Err(DropReason::NotLocal),
    };
    let tos = tos(inner.tos, ip.tos).ok_or(DropReason::CongestionMark)?;
    if merged {
        // As for growing: see `container`.
        return Err(DropReason::DecapFailed);
    }
    let mut inside = bytes[OUTER..].to_vec();
    set_tos(&mut inside[14..], tos);
    Ok(Answer::Send(verdict, Sent::Bytes(inside)))
}

/// Whether it is VXLAN for this host, of the kind that can be read without reassembling or looking for it.
fn is_ours(world: &World, bytes: &[u8]) -> bool {
    bytes.len() >= 42
        && bytes[..6] == DEVICE_MAC
        && number(bytes, 12) == 0x0800
        && bytes[14] == 0x45
        // "More fragments", or an offset.
        && number(bytes, 20).is_multiple_of(0x4000)
        && bytes[23] == UDP
        && bytes[30..34] == world.local4
        && number(bytes, 36) == usize::from(world.vxlan_port)
}

/// A station's frames come from the host that the station is on. The gateway is on every host.
fn check_sender(world: &World, vni: u32, frame: &Frame, host: Ip4) -> Result<(), DropReason> {
    let genuine = match world.stations.get(&(vni, frame.from)) {
        Some(Place::Remote(index)) => {
            world.hosts.get(index).is_some_and(|known| known.address == host)
        }
        Some(Place::Host(_)) => world.tunnels.contains(&host),
        Some(Place::Container(_)) | None => false,
    };
    if genuine {
        Ok(())
    } else if !world.tunnels.contains(&host) {
        Err(DropReason::UnknownTunnelSource)
    } else if !world.networks.contains_key(&vni) {
        Err(DropReason::UnknownVni)
    } else {
        Err(DropReason::InnerSource)
    }
}

/// DSCP and ECN after the outer header went (RFC 6040 section 4.2): the words of its table.
fn tos(inner: u8, outer: u8) -> Option<u8> {
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

/// Sets the second byte of an IPv4 header, and changes its checksum by as much, so that a wrong one stays as wrong as
/// it was.
fn set_tos(ip: &mut [u8], tos: u8) {
    if ip[1] == tos {
        return;
    }
    // The checksum is the complement of a sum with the carry around (RFC 1624, equation 3).
    let mut sum = 0xffff - number(ip, 10) + (0xffff - number(ip, 0));
    ip[1] = tos;
    sum += number(ip, 0);
    while sum > 0xffff {
        sum = sum % 65_536 + sum / 65_536;
    }
    let checksum = u16::try_from(0xffff - sum).expect("folded");
    ip[10..12].copy_from_slice(&checksum.to_be_bytes());
}
