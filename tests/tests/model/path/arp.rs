//! ARP from a container.

use netctl_common::{DropReason, Verdict};

use super::{
    Answer, Sent,
    frame::{array, number},
};
use crate::world::{Endpoint, Ip4, Mac, World};

/// The answer to what stands behind the Ethernet header of a frame that the endpoint sent.
///
/// `None` where it is to be forwarded: it says what is true, or asks what only the members can know.
pub(super) fn answer(
    world: &World,
    endpoint: &Endpoint,
    arp: &[u8],
) -> Result<Option<Answer>, DropReason> {
    // Ethernet and IPv4, with addresses of six and four bytes.
    if arp.len() < 28 || arp[..6] != [0, 1, 8, 0, 6, 4] {
        return Err(DropReason::MalformedArp);
    }
    let operation = number(arp, 6);
    let sender_mac: Mac = array(arp, 8);
    let sender: Ip4 = array(arp, 14);
    let target: Ip4 = array(arp, 24);
    if operation != 1 && operation != 2 {
        return Err(DropReason::MalformedArp);
    }

    // One who probes has no address yet (RFC 5227 section 2.1.1); nobody else may be without or have another's.
    let probes = operation == 1 && sender == [0; 4];
    let own = endpoint.any_source || sender == endpoint.station.ip4;
    if sender_mac != endpoint.station.mac || !(probes || own) {
        return Err(DropReason::ArpSource);
    }
    if operation == 2 || sender == target && !probes {
        return Ok(None);
    }
    let Some(owner) = world.neighbours4.get(&(endpoint.vni, target)).copied() else {
        let open = world.networks.get(&endpoint.vni).is_some_and(|network| network.open);
        return if open { Ok(None) } else { Err(DropReason::ArpUnknown) };
    };
    if owner == endpoint.station.mac {
        return Err(DropReason::ArpOwnAddress);
    }
    let ethernet = [&endpoint.station.mac[..], &owner, &[8, 6]].concat();
    let addresses = [&owner[..], &target, &endpoint.station.mac, &sender].concat();
    let reply = [&ethernet[..], &[0, 1, 8, 0, 6, 4, 0, 2], &addresses, &arp[28..]].concat();
    Ok(Some(Answer::Send(Verdict::ArpAnswered, Sent::Bytes(reply))))
}
