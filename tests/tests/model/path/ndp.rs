//! Neighbour discovery from a container (RFC 4861).

use netctl_common::{DropReason, Verdict};

use super::{
    Answer, Sent,
    container::owns,
    frame::{DESTINATION_OPTIONS, FRAGMENT, HOP_BY_HOP, ICMPV6, Ipv6, ROUTING, array, number},
    too_big::icmpv6,
};
use crate::world::{Endpoint, Ip6, Mac, World, link_local};

/// `ff02::1`, and Ethernet's address for it.
const ALL_NODES: Ip6 = [0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
const ALL_NODES_MAC: Mac = [0x33, 0x33, 0, 0, 0, 1];
/// The first option of a solicitation or an advertisement: behind Ethernet, IPv6, and 24 bytes of the message.
const OPTION: usize = 14 + 40 + 24;

/// The answer to a frame with this IPv6 packet, if it is a solicitation; `None` where it is to be forwarded.
pub(super) fn answer(
    world: &World,
    endpoint: &Endpoint,
    bytes: &[u8],
    ip: &Ipv6,
) -> Result<Option<Answer>, DropReason> {
    if ip.next == ICMPV6 {
        // The shortest message of them all has eight bytes.
        let message = bytes.get(54..62).ok_or(DropReason::MalformedNd)?;
        match message[0] {
            134 | 137 if !endpoint.any_source => return Err(DropReason::RouterAdvertisement),
            135 => return solicitation(world, endpoint, bytes, ip),
            136 => advertisement(endpoint, bytes, ip)?,
            _ => {}
        }
    }
    look_behind(bytes, ip)?;
    Ok(None)
}

/// Nobody sends neighbour discovery behind other headers, but receivers would believe it.
fn look_behind(bytes: &[u8], ip: &Ipv6) -> Result<(), DropReason> {
    let mut next = ip.next;
    let mut place = 54;
    let mut passed = 0;
    while matches!(next, HOP_BY_HOP | ROUTING | FRAGMENT | DESTINATION_OPTIONS) {
        passed += 1;
        let seen = if next == FRAGMENT { 8 } else { 2 };
        let header = bytes.get(place..place + seen).ok_or(DropReason::MalformedIpv6)?;
        // A later part begins anywhere in the packet.
        if next == FRAGMENT && number(header, 2) >= 8 {
            return Ok(());
        }
        if passed > 4 {
            return Err(DropReason::MalformedIpv6);
        }
        place += if next == FRAGMENT { 8 } else { 8 * (1 + usize::from(header[1])) };
        next = header[0];
    }
    if passed > 0 && next == ICMPV6 {
        let message = bytes.get(place..place + 8).ok_or(DropReason::MalformedIpv6)?;
        if (133..=137).contains(&message[0]) {
            return Err(DropReason::MalformedNd);
        }
    }
    Ok(())
}

fn solicitation(
    world: &World,
    endpoint: &Endpoint,
    bytes: &[u8],
    ip: &Ipv6,
) -> Result<Option<Answer>, DropReason> {
    let target = sound(bytes, ip)?;
    let probes = ip.from == [0; 16];
    // `ff02::1:ff00:0/104`.
    let solicited = ip.to[..13] == [0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff];
    if probes && !solicited {
        return Err(DropReason::MalformedNd);
    }
    if option(bytes, 1).is_some_and(|mac| mac != endpoint.station.mac) {
        return Err(DropReason::NdSource);
    }
    let Some(owner) = owner(world, endpoint.vni, target) else {
        let open = world.networks.get(&endpoint.vni).is_some_and(|network| network.open);
        return if open { Ok(None) } else { Err(DropReason::NdUnknown) };
    };
    if owner == endpoint.station.mac {
        return Err(DropReason::NdOwnAddress);
    }

    // One who probes has no address to answer to: all nodes get it, and it answers nobody.
    let (to, mac, flags) = if probes {
        (ALL_NODES, ALL_NODES_MAC, 0x20)
    } else {
        (ip.from, endpoint.station.mac, 0x60)
    };
    let message = [&[136, 0, 0, 0, flags, 0, 0, 0][..], &target, &[2, 1], &owner].concat();
    let ethernet = [&mac[..], &owner, &[0x86, 0xdd]].concat();
    let reply = [ethernet, icmpv6(target, to, 0, 255, message)].concat();
    Ok(Some(Answer::Send(Verdict::NdAnswered, Sent::Bytes(reply))))
}

/// An endpoint announces nothing but its own addresses and MAC.
fn advertisement(endpoint: &Endpoint, bytes: &[u8], ip: &Ipv6) -> Result<(), DropReason> {
    let target = sound(bytes, ip)?;
    // An answer is to one; and there is one option (section 4.4).
    if ip.to[0] == 0xff && bytes[58] & 0x40 != 0 || ip.payload > 32 {
        return Err(DropReason::MalformedNd);
    }
    let own = endpoint.any_source || owns(endpoint, target);
    if !own || option(bytes, 2).is_some_and(|mac| mac != endpoint.station.mac) {
        return Err(DropReason::NdSource);
    }
    Ok(())
}

/// The target of a message that a receiver would take (sections 7.1.1 and 7.1.2).
fn sound(bytes: &[u8], ip: &Ipv6) -> Result<Ip6, DropReason> {
    let sound = bytes.len() >= OPTION
        && ip.payload >= 24
        && ip.hops == 255
        && bytes[55] == 0
        && bytes[62] != 0xff;
    if sound { Ok(array(bytes, 62)) } else { Err(DropReason::MalformedNd) }
}

/// The link-layer address in the first option, if it is of this kind.
fn option(bytes: &[u8], kind: u8) -> Option<Mac> {
    let option = bytes.get(OPTION..OPTION + 8)?;
    (number(option, 0) == usize::from(kind) * 256 + 1).then(|| array(option, 2))
}

/// Who has the address. A link-local address tells by itself whose it is.
pub(super) fn owner(world: &World, vni: u32, address: Ip6) -> Option<Mac> {
    let known = world.neighbours6.get(&(vni, address)).copied();
    known.or_else(|| {
        let mut mac: Mac = array(&[&address[8..11], &address[13..]].concat(), 0);
        mac[0] ^= 2;
        let made = link_local(mac) == address && world.stations.contains_key(&(vni, mac));
        made.then_some(mac)
    })
}
