//! Packets that no kernel would send.

use anyhow::{Result, ensure};
use netctl_common::{Direction, DropReason, MacAddr, Outcome, addr6};
use testbed::{
    Netns, Wire, eventually,
    frames::{UDP, advertisement, ethernet, ipv4, udp, vxlan},
};

use crate::{
    counters::Counters,
    host::Host,
    object::PORT,
    rig::{GATEWAY, Rig, VNI, mac_of},
};

/// What the host counted in `direction`, once it is `packets` more than `before`.
pub(crate) fn counted(
    host: &Host,
    before: &Counters,
    direction: Direction,
    packets: u64,
) -> Result<Counters> {
    eventually("the packets are counted", std::time::Duration::from_secs(5), || {
        let mut moved = host.counters_since(before)?;
        moved.retain(|(seen, _), _| *seen == direction);
        let sum: u64 = moved.values().map(|count| count.0).sum();
        ensure!(sum == packets, "{sum} of {packets}: {moved:?}");
        Ok(moved)
    })
}

/// IPv6 is what a host's kernel itself sends on a new interface: it would be counted too.
pub(crate) fn silence(netns: &Netns) -> Result<()> {
    netns.set_sysctl("net/ipv6/conf/all/disable_ipv6", "1")
}

#[test]
fn short_frames_from_a_container_are_dropped_and_counted() -> Result<()> {
    let rig = Rig::new()?;
    silence(&rig.a.netns)?;
    let wire = Wire::new(&rig.near.netns, "eth0")?;
    let addresses = [rig.far.station.mac, rig.near.station.mac].concat();
    for (ether_type, lengths, reason) in [
        ([8, 0], 14..34, DropReason::MalformedIpv4),
        ([8, 6], 14..42, DropReason::MalformedArp),
        ([0x86, 0xdd], 14..54, DropReason::MalformedIpv6),
    ] {
        let before = rig.a.counters()?;
        let packets = lengths.len() as u64;
        for length in lengths {
            let mut frame = [&addresses[..], &ether_type].concat();
            frame.resize(length, 0x45);
            wire.send(&frame)?;
        }
        let moved = counted(&rig.a, &before, Direction::FromContainer, packets)?;
        let place = (Direction::FromContainer, Outcome::Dropped(reason));
        assert_eq!(moved.keys().collect::<Vec<_>>(), [&place], "{moved:?}");
    }
    Ok(())
}

/// A container decides how much of its frame stands together: what does not is looked for in its pages.
#[test]
fn a_forged_advertisement_in_pieces_is_dropped() -> Result<()> {
    let rig = Rig::new()?;
    silence(&rig.a.netns)?;
    rig.a.netns.ip(["link set ncnear mtu 9000"])?;
    rig.near.netns.ip(["link set eth0 mtu 9000"])?;
    let (near, beside) = (rig.near.station, rig.beside.station);
    let own = addr6::link_local(MacAddr(near.mac));
    // The gateway's address, claimed for the container's own station.
    let target = GATEWAY.ip6().octets();
    let option = [&[2, 1][..], &near.mac].concat();
    let message = advertisement(own, target, 0x60, target, &option);
    let mut frame = ethernet(beside.mac, near.mac, 0x86dd, &message);
    frame.resize(5000, 0);
    let wire = Wire::new(&rig.near.netns, "eth0")?;
    let before = rig.a.counters()?;
    for head in 14..=100 {
        wire.send_apart(head, &frame)?;
    }
    let moved = counted(&rig.a, &before, Direction::FromContainer, 87)?;
    let place = (Direction::FromContainer, Outcome::Dropped(DropReason::NdSource));
    assert_eq!(moved.keys().collect::<Vec<_>>(), [&place], "{moved:?}");
    Ok(())
}

/// A VXLAN packet for the container is cut after each of its bytes: a host that takes it for its own drops it.
#[test]
fn cut_packets_from_the_underlay_reach_nobody() -> Result<()> {
    let rig = Rig::new()?;
    rig.far.ping(&rig.near.station.ip())?;
    silence(&rig.a.netns)?;
    silence(&rig.b.netns)?;
    let wire = Wire::new(&rig.b.netns, "eth0")?;
    let mac = mac_of(&rig.a.netns, "eth0")?.0;
    let frame = packet(mac, &rig);
    let before = rig.a.counters()?;
    for length in 14..frame.len() {
        wire.send(&frame[..length])?;
    }
    // Up to the ports it is anybody's packet; from there on it is ours, and its lengths are wrong.
    let packets = (frame.len() - 42) as u64;
    let moved = counted(&rig.a, &before, Direction::FromUnderlay, packets)?;
    let place = (Direction::FromUnderlay, Outcome::Dropped(DropReason::MalformedOuter));
    assert_eq!(moved.keys().collect::<Vec<_>>(), [&place], "{moved:?}");
    Ok(())
}

/// An ICMP echo request from the far container to the near one, on the wire.
fn packet(to: [u8; 6], rig: &Rig) -> Vec<u8> {
    let (far, near) = (rig.far.station, rig.near.station);
    let echo = [8, 0, 0xf7, 0xfd, 0, 1, 0, 1];
    let inner = ethernet(near.mac, far.mac, 0x0800, &ipv4(far.address, near.address, 0, 1, &echo));
    let datagram = udp(50_000, PORT, &vxlan(VNI, &inner));
    ethernet(to, [2; 6], 0x0800, &ipv4(rig.b.address, rig.a.address, 0, UDP, &datagram))
}
