//! Frames that are not IP, or are another VLAN's: only stations are known of them.

use anyhow::Result;
use testbed::frames::{UDP, ethernet, ipv4, ipv6, udp};

use crate::{
    group::SENDERS,
    members::{Members, Sent, same},
};

const GROUP: [u8; 6] = [0x03, 0, 0, 0, 0, 7];
/// Types for experiments (IEEE 802, clause 9), MPLS, LLDP; and a length, as of old.
const TYPES: [u16; 4] = [0x88b5, 0x8847, 0x88cc, 60];

/// A tag of this type (IEEE 802.1Q or 802.1ad) and this priority and VLAN, in front of a frame's own type.
pub(crate) fn tagged(kind: u16, tag: u16, frame: &[u8]) -> Vec<u8> {
    let words = [kind.to_be_bytes(), tag.to_be_bytes()].concat();
    [&frame[..12], &words, &frame[12..]].concat()
}

/// Who sends to whom: here, to the host, from it, and to other hosts.
const PAIRS: [(&str, &str, &str); 7] = [
    ("near", "beside", "beside"),
    ("near", "gateway", "gateway a"),
    ("gateway a", "beside", "beside"),
    ("near", "far", "far"),
    ("far", "near", "near"),
    ("gateway b", "away", "away"),
    ("away", "beside", "beside"),
];

/// Frames of other kinds from one station to another, up to the largest of `mtu` bytes.
fn frames(to: [u8; 6], from: [u8; 6], mtu: u32) -> Vec<Sent> {
    let mut frames = Vec::new();
    for ether_type in TYPES {
        let frame = ethernet(to, from, ether_type, &[0x5a; 60]);
        frames.push(same(format!("type {ether_type:#06x}"), frame));
    }
    let datagram = udp(9, 9, b"in another VLAN");
    // Addresses of no station, as another VLAN has them.
    let four =
        ethernet(to, from, 0x0800, &ipv4([172, 16, 0, 1], [172, 16, 0, 2], 0, UDP, &datagram));
    let six = ethernet(to, from, 0x86dd, &ipv6([0xfd; 16], [0xfc; 16], 0, UDP, &datagram));
    let largest = ethernet(to, from, 0x88b5, &vec![0x5a; mtu as usize]);
    // A packet socket counts no tag of the second type as one.
    frames.push(same("the largest frame with a tag", tagged(0x8100, 7, &largest)));
    for (what, frame) in [("IPv4", &four), ("IPv6", &six)] {
        for (kind, tag) in [(0x8100, 7), (0x8100, 0xefff), (0x88a8, 8)] {
            let what = format!("{what} with tag {kind:#06x} {tag:#06x}");
            frames.push(same(what, tagged(kind, tag, frame)));
        }
    }
    frames.push(same("two tags", tagged(0x88a8, 8, &tagged(0x8100, 7, &four))));
    frames
}

#[test]
fn other_frames_reach_the_station_that_they_are_for() -> Result<()> {
    let members = Members::new()?;
    let (taps, mtu) = (members.taps()?, members.rig.setup.inner_mtu());
    for (from, to, place) in PAIRS {
        taps.arrive(from, &frames(members.mac(to), members.mac(from), mtu), &[place])?;
    }
    Ok(())
}

#[test]
fn other_frames_for_a_group_reach_everybody_once() -> Result<()> {
    let members = Members::new()?;
    let (taps, mtu) = (members.taps()?, members.rig.setup.inner_mtu());
    for (from, receivers) in SENDERS {
        taps.arrive(from, &frames(GROUP, members.mac(from), mtu), receivers)?;
    }
    Ok(())
}

/// VLAN 0 is none: the tag has only a priority, and the frame goes without it (IEEE 802.1Q section 6.9.1).
#[test]
fn a_tag_of_vlan_zero_is_taken_off() -> Result<()> {
    let members = Members::new()?;
    let taps = members.taps()?;
    let near = members.rig.near.station;
    for (to, address) in
        [("beside", members.rig.beside.station.address), ("far", members.rig.far.station.address)]
    {
        let packet = ipv4(near.address, address, 0, UDP, &udp(9, 9, b"with a priority"));
        let frame = ethernet(members.mac(to), near.mac, 0x0800, &packet);
        let sent = tagged(0x8100, 0xe000, &frame);
        taps.arrive("near", &[("VLAN 0".to_owned(), sent, frame)], &[to])?;
    }
    Ok(())
}

/// What a tag hides is no less forged than what stands in the open.
#[test]
fn a_tag_of_vlan_zero_hides_no_forged_address() -> Result<()> {
    let members = Members::new()?;
    let taps = members.taps()?;
    let forged = ipv4([10, 0, 0, 12], [10, 0, 0, 21], 0, UDP, &udp(9, 9, b"forged"));
    let frame = ethernet(members.mac("far"), members.mac("near"), 0x0800, &forged);
    for sent in [tagged(0x8100, 0, &frame), tagged(0x8100, 0, &tagged(0x8100, 0, &frame))] {
        let what = "a forged source behind VLAN 0";
        taps.arrive("near", &[same(what, sent.clone())], &[])?;
        taps.arrive("near", &[(what.to_owned(), sent, frame.clone())], &[])?;
    }
    Ok(())
}
