//! What the underlay device's driver received: of VXLAN for this host, what is from a host and for a network that are
//! known goes on, and so does all that is no such VXLAN, or that cannot be read without reassembling or looking for it.

use std::net::IpAddr;

use netctl_common::{DropReason, Verdict};

use super::{
    Answer, Input,
    frame::{UDP, array, is_mapped, number},
};
use crate::world::World;

pub(super) fn answer(world: &World, input: &Input) -> Result<Answer, DropReason> {
    let bytes = &input.bytes;
    let (udp, host) = match bytes.get(12..14) {
        Some([0x08, 0x00]) if bytes.len() >= 34 => {
            // Without options, and neither "more fragments" nor an offset.
            let readable = bytes[14] == 0x45 && number(bytes, 20).is_multiple_of(0x4000);
            if !readable || bytes[23] != UDP || world.local.ip4 != Some(array(bytes, 30)) {
                return Ok(Answer::NotOurs);
            }
            (34, IpAddr::from(array::<4>(bytes, 26)))
        }
        Some([0x86, 0xdd]) if bytes.len() >= 54 => {
            if bytes[20] != UDP || world.local.ip6 != Some(array(bytes, 38)) {
                return Ok(Answer::NotOurs);
            }
            // VXLAN or not: the kernel drops all from there (`ip6_rcv_core`).
            if is_mapped(&bytes[22..]) {
                return Err(DropReason::UnknownTunnelSource);
            }
            (54, IpAddr::from(array::<16>(bytes, 22)))
        }
        _ => return Ok(Answer::NotOurs),
    };
    // What can be seen may end before the packet does.
    if bytes.len() < udp + 16 || number(bytes, udp + 2) != usize::from(world.vxlan_port) {
        return Ok(Answer::NotOurs);
    }
    let vxlan = &bytes[udp + 8..];
    if vxlan[0] & 8 == 0 {
        return Err(DropReason::MalformedVxlan);
    }
    let vni = u32::from_be_bytes([0, vxlan[4], vxlan[5], vxlan[6]]);
    if !world.is_host(host) {
        Err(DropReason::UnknownTunnelSource)
    } else if vni != 0 && !world.networks.contains_key(&vni) {
        Err(DropReason::UnknownVni)
    } else {
        Ok(Answer::Pass(Verdict::Passed))
    }
}
