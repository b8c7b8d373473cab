//! What the kernel's vxlan device gives to the programs of what it received.

use std::net::IpAddr;

use netctl_common::{DropReason, Outcome, Verdict};

use super::{
    Answer, Copy, Sent,
    flood::{is_from_host, members},
    frame,
    underlay::{check_sender, combine, set_tos},
};
use crate::world::{Place, World};

/// What a tunnel brings: a frame, the network and the host it comes from, and the outer DSCP and ECN.
#[derive(Clone, Debug)]
pub(crate) struct Tunnelled {
    pub(crate) vni: u32,
    pub(crate) host: IpAddr,
    pub(crate) tos: u8,
    pub(crate) frame: Vec<u8>,
}

/// The frame as the device hands it on, if it does; it wants the IP header that the type promises (`vxlan_rcv`), or a
/// whole VLAN tag (`skb_vlan_untag`), and carries congestion marks over (RFC 6040).
pub(crate) fn received(tunnelled: &Tunnelled) -> Option<Vec<u8>> {
    let mut bytes = tunnelled.frame.clone();
    let shortest = match bytes.get(12..14)? {
        [0x08, 0x00] => 14 + 20,
        [0x86, 0xdd] => 14 + 40,
        [0x81, 0x00] | [0x88, 0xa8] => 14 + 6,
        _ => 14,
    };
    if bytes.len() < shortest {
        return None;
    }
    // It does not look whether the header is sound.
    let inner = match bytes[12..14] {
        [0x08, 0x00] => Some(bytes[15]),
        [0x86, 0xdd] => Some(bytes[14] % 16 * 16 + bytes[15] / 16),
        _ => None,
    };
    if let Some(inner) = inner {
        let tos = combine(inner, tunnelled.tos)?;
        let is_ipv4 = bytes[12] == 0x08;
        set_tos(&mut bytes[14..], is_ipv4, tos);
    }
    Some(bytes)
}

/// What becomes of a frame that the device handed on.
pub(crate) fn answer(world: &World, tunnelled: &Tunnelled, bytes: &[u8]) -> Answer {
    decide(world, tunnelled, bytes).unwrap_or_else(|reason| Answer::End(Outcome::Dropped(reason)))
}

/// The frame without a tag for VLAN 0, which is no VLAN: it only says a priority. `None` where there are two such tags,
/// or only a piece of the second tag.
pub(crate) fn without_priority(bytes: &[u8]) -> Option<Vec<u8>> {
    if !is_priority_tag(&bytes[12..]) {
        return Some(bytes.to_vec());
    }
    let rest = &bytes[16..];
    let short = matches!(rest[..2], [0x81, 0x00] | [0x88, 0xa8]) && rest.len() < 6;
    (!short && !is_priority_tag(rest)).then(|| [&bytes[..12], rest].concat())
}

fn is_priority_tag(bytes: &[u8]) -> bool {
    matches!(bytes, [0x81, 0x00, high, 0, ..] | [0x88, 0xa8, high, 0, ..] if high % 16 == 0)
}

fn decide(world: &World, tunnelled: &Tunnelled, bytes: &[u8]) -> Result<Answer, DropReason> {
    let Tunnelled { vni, host, .. } = tunnelled;
    let sender = frame::sender(bytes).ok_or(DropReason::MalformedInner)?;
    let bytes = &without_priority(bytes).ok_or(DropReason::MalformedInner)?;
    let frame = frame::read(bytes, false).map_err(|_flaw| DropReason::MalformedInner)?;
    check_sender(world, *vni, sender, *host)?;
    if frame::is_group(frame.to) {
        let network = world.networks.get(vni).ok_or(DropReason::UnknownVni)?;
        let sender = world.stations.get(&(*vni, sender));
        let from_host = is_from_host(world, &frame.payload);
        // All hosts have got it from the sender's own.
        let here = members(network, sender, from_host).filter_map(|member| match member {
            Place::Container(device) | Place::Bridging(device) | Place::Host(device) => {
                Some(Copy::Local(device, bytes.clone()))
            }
            Place::Remote(_) => None,
        });
        return Ok(Answer::Flood(here.collect()));
    }
    let verdict = match world.stations.get(&(*vni, frame.to)) {
        Some(Place::Container(_) | Place::Bridging(_)) => Verdict::ToContainer,
        Some(Place::Host(_)) => Verdict::ToHost,
        Some(Place::Remote(_)) | None => return Err(DropReason::NotLocal),
    };
    Ok(Answer::Send(verdict, Sent::Bytes(bytes.clone())))
}
