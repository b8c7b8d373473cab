//! What the kernel decapsulates, because it comes in fragments: nobody has looked at it before.

use anyhow::Result;
use netctl_common::{Direction, DropReason, Outcome, Verdict};
use testbed::{
    Wire,
    frames::{UDP, checksum, ethernet, ipv4, ipv6, udp, vxlan},
};

use crate::{
    forged::{counted, silence},
    object::PORT,
    rig::{GATEWAY, Rig, VNI, mac_of},
};

/// A host that nobody knows, and one that has no members of the network.
const STRANGER: [u8; 4] = [192, 0, 2, 99];
const ELSEWHERE: [u8; 4] = [192, 0, 2, 98];
const NOBODY: [u8; 6] = [2; 6];
/// Where the first fragment ends, behind the IP header, in units of eight bytes.
const OFFSET: u8 = 5;
const CUT: usize = OFFSET as usize * 8;

/// A frame by a tunnel from `host` to `here`, in two fragments, the second first.
pub(crate) fn fragments(
    device: [u8; 6],
    host: [u8; 4],
    here: [u8; 4],
    vni: u32,
    frame: &[u8],
    number: u8,
) -> [Vec<u8>; 2] {
    let datagram = udp(50_000, PORT, &vxlan(vni, frame));
    let (first, second) = datagram.split_at(CUT);
    [([0, OFFSET], second), ([0x20, 0], first)].map(|(flags, part)| {
        let mut packet = ipv4(host, here, 0, UDP, part);
        packet[5] = number;
        packet[6..8].copy_from_slice(&flags);
        packet.splice(10..12, [0, 0]);
        let checksum = checksum(&packet[..20]);
        packet.splice(10..12, checksum);
        ethernet(device, [2, 0, 0, 0, 1, 1], 0x0800, &packet)
    })
}

#[test]
fn what_the_kernel_decapsulates_is_validated() -> Result<()> {
    let mut rig = Rig::new()?;
    rig.a.knows_host(ELSEWHERE)?;
    rig.far.ping(&rig.near.station.ip())?;
    silence(&rig.a.netns)?;
    silence(&rig.b.netns)?;
    let (near, far) = (rig.near.station, rig.far.station);
    let (a, b) = (rig.a.address, rig.b.address);
    let four = ipv4(far.address, near.address, 0, UDP, &udp(9, 9, &[0x5a; 60]));
    let six = ipv6([0xfd; 16], [0xfc; 16], 0, UDP, &udp(9, 9, &[0x5a; 60]));
    let frame = |to, from| ethernet(to, from, 0x0800, &four);
    let frame6 = |to, from| ethernet(to, from, 0x86dd, &six);
    let malformed = |ether_type| ethernet(near.mac, far.mac, ether_type, &[0x5f; 60]);
    let other = ethernet(near.mac, far.mac, 0x88b5, &[0x5a; 60]);
    let forwarded = Outcome::Forwarded;
    let dropped = Outcome::Dropped;
    #[rustfmt::skip]
    let cases = [
        ("IPv4", b, VNI, frame(near.mac, far.mac), forwarded(Verdict::ToContainer)),
        ("IPv6", b, VNI, frame6(near.mac, far.mac), forwarded(Verdict::ToContainer)),
        ("another type", b, VNI, other, forwarded(Verdict::ToContainer)),
        ("to the host", b, VNI, frame(GATEWAY.mac, far.mac), forwarded(Verdict::ToHost)),
        ("from a host itself", b, VNI, frame(near.mac, GATEWAY.mac), forwarded(Verdict::ToContainer)),
        ("broadcast", b, VNI, frame([0xff; 6], far.mac), forwarded(Verdict::Flooded)),
        ("from a stranger", STRANGER, VNI, frame(near.mac, far.mac), dropped(DropReason::UnknownTunnelSource)),
        ("broadcast by a stranger", STRANGER, VNI, frame([0xff; 6], far.mac), dropped(DropReason::UnknownTunnelSource)),
        ("not a member", ELSEWHERE, VNI, frame(near.mac, far.mac), dropped(DropReason::NotMember)),
        ("another network", b, VNI + 1, frame(near.mac, far.mac), dropped(DropReason::UnknownVni)),
        ("an unknown station", b, VNI, frame(near.mac, NOBODY), dropped(DropReason::InnerSource)),
        ("a station of ours", b, VNI, frame([0xff; 6], rig.beside.station.mac), dropped(DropReason::InnerSource)),
        ("to nobody", b, VNI, frame(NOBODY, far.mac), dropped(DropReason::NotLocal)),
        ("back to the other host", b, VNI, frame(far.mac, far.mac), dropped(DropReason::NotLocal)),
        ("no IPv4", b, VNI, malformed(0x0800), dropped(DropReason::MalformedInner)),
        ("no IPv6", b, VNI, malformed(0x86dd), dropped(DropReason::MalformedInner)),
    ];
    let device = mac_of(&rig.a.netns, "eth0")?.0;
    let wire = Wire::new(&rig.b.netns, "eth0")?;
    for (number, (what, host, vni, frame, outcome)) in (1..).zip(cases) {
        let before = rig.a.counters()?;
        for fragment in fragments(device, host, a, vni, &frame, number) {
            wire.send(&fragment)?;
        }
        let moved = counted(&rig.a, &before, Direction::FromTunnel, 1)?;
        let place = (Direction::FromTunnel, outcome);
        assert_eq!(moved.keys().collect::<Vec<_>>(), [&place], "{what}: {moved:?}");
    }
    Ok(())
}
