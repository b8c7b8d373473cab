use anyhow::Result;
use netctl_common::{Direction, DropReason, Verdict};

use testbed::frames::{TCP, UDP, arp, ethernet, ipv4, udp, vxlan};

use crate::{
    object::PORT,
    rig::{
        BESIDE, Case, DROP, FAR, GATEWAY, HOST_A, HOST_B, HOST_C, LOST, NEAR, NEXT, REDIRECT, Rig,
        Seen, VNI, dropped, forwarded,
    },
};

/// The addresses of the underlay's devices: the program's own device is `lo`.
const DEVICE: [u8; 6] = [0; 6];
const ROUTER: [u8; 6] = [2, 0, 0, 0, 1, 1];

fn run(rig: &mut Rig, packet: &[u8], segment: u32) -> Seen {
    rig.run(Direction::FromUnderlay, packet, segment)
}

/// What a packet from another host differs in from the ordinary.
#[derive(Clone, Copy)]
struct Packet {
    device: [u8; 6],
    ether_type: u16,
    host: [u8; 4],
    to_host: [u8; 4],
    outer_tos: u8,
    port: u16,
    vni: u32,
    from: [u8; 6],
    to: [u8; 6],
    inner_type: u16,
    inner_tos: u8,
    protocol: u8,
}

const ORDINARY: Packet = Packet {
    device: DEVICE,
    ether_type: 0x0800,
    host: HOST_B,
    to_host: HOST_A,
    outer_tos: 0,
    port: PORT,
    vni: VNI,
    from: FAR.0,
    to: NEAR.0,
    inner_type: 0x0800,
    inner_tos: 0,
    protocol: UDP,
};

impl Packet {
    fn inner(self, tos: u8) -> Vec<u8> {
        let payload = ipv4(FAR.1, NEAR.1, tos, self.protocol, &udp(53, 5353, &[0x5a; 1000]));
        ethernet(self.to, self.from, self.inner_type, &payload)
    }

    fn around(self, frame: &[u8]) -> Vec<u8> {
        let datagram = udp(50_000, self.port, &vxlan(self.vni, frame));
        let packet = ipv4(self.host, self.to_host, self.outer_tos, UDP, &datagram);
        ethernet(self.device, ROUTER, self.ether_type, &packet)
    }

    fn bytes(self) -> Vec<u8> {
        self.around(&self.inner(self.inner_tos))
    }

    /// Some bytes of the whole changed, and the outer checksum left as it is: the program leaves that to the kernel.
    fn changed(self, changes: &[(usize, u8)]) -> Vec<u8> {
        let mut bytes = self.bytes();
        for (place, value) in changes {
            bytes[*place] = *value;
        }
        bytes
    }
}

#[test]
fn verdicts() -> Result<()> {
    let mut rig = Rig::new()?;
    let o = ORDINARY;
    let total = o.bytes().len() - 14;
    let [high, low] = u16::try_from(total)?.to_be_bytes();
    #[rustfmt::skip]
    let cases: &[Case<'_>] = &[
        ("to a container", o.bytes(), 0, REDIRECT, forwarded(Verdict::ToContainer)),
        ("to another container", Packet { to: BESIDE.0, ..o }.bytes(), 0, REDIRECT, forwarded(Verdict::ToContainer)),
        ("to the host", Packet { to: GATEWAY.0, ..o }.bytes(), 0, REDIRECT, forwarded(Verdict::ToHost)),
        ("from another host itself", Packet { from: GATEWAY.0, host: HOST_C, ..o }.bytes(), 0, REDIRECT, forwarded(Verdict::ToContainer)),
        ("reserved bits", o.changed(&[(42, 0xff), (43, 0xff), (49, 0xff)]), 0, REDIRECT, forwarded(Verdict::ToContainer)),
        // What the kernel does.
        ("UDP segments", o.bytes(), 500, NEXT, forwarded(Verdict::HandedOver)),
        ("outer checksum", o.changed(&[(40, 1)]), 0, NEXT, forwarded(Verdict::HandedOver)),
        ("datagram shorter than its packet", o.changed(&[(38, high), (39, low - 21)]), 0, NEXT, forwarded(Verdict::HandedOver)),
        // Not ours.
        ("another protocol", Packet { ether_type: 0x86dd, ..o }.bytes(), 0, NEXT, None),
        ("TCP", o.changed(&[(23, TCP)]), 0, NEXT, None),
        ("another port", Packet { port: PORT + 1, ..o }.bytes(), 0, NEXT, None),
        ("another address", Packet { to_host: HOST_C, ..o }.bytes(), 0, NEXT, None),
        ("another station", Packet { device: ROUTER, ..o }.bytes(), 0, NEXT, None),
        ("first fragment", o.changed(&[(20, 0x20)]), 0, NEXT, None),
        ("later fragment", o.changed(&[(21, 0x10)]), 0, NEXT, None),
        ("options", o.changed(&[(14, 0x46)]), 0, NEXT, None),
        ("VLAN", Packet { ether_type: 0x8100, ..o }.bytes(), 0, NEXT, None),
        // Malformed.
        ("total past the end", o.changed(&[(16, high), (17, low + 1)]), 0, DROP, dropped(DropReason::MalformedOuter)),
        ("datagram past its packet", o.changed(&[(38, high), (39, low - 19)]), 0, DROP, dropped(DropReason::MalformedOuter)),
        ("no valid VNI", o.changed(&[(42, 0xf7)]), 0, DROP, dropped(DropReason::MalformedVxlan)),
        ("inner version", o.changed(&[(64, 0x65)]), 0, DROP, dropped(DropReason::MalformedInner)),
        ("inner total past the end", o.changed(&[(66, 0x40)]), 0, DROP, dropped(DropReason::MalformedInner)),
        ("inner ARP", o.around(&arp(1, FAR, ([0; 6], NEAR.1))), 0, DROP, dropped(DropReason::InnerEtherType)),
        ("inner VLAN", Packet { inner_type: 0x8100, ..o }.bytes(), 0, DROP, dropped(DropReason::InnerEtherType)),
        ("inner IPv6", Packet { inner_type: 0x86dd, ..o }.bytes(), 0, DROP, dropped(DropReason::InnerEtherType)),
        // Forged.
        ("unknown host", Packet { host: [192, 0, 2, 99], ..o }.bytes(), 0, DROP, dropped(DropReason::UnknownTunnelSource)),
        ("unknown host as a host itself", Packet { from: GATEWAY.0, host: [192, 0, 2, 99], ..o }.bytes(), 0, DROP, dropped(DropReason::UnknownTunnelSource)),
        ("another host than the station's", Packet { host: HOST_C, ..o }.bytes(), 0, DROP, dropped(DropReason::InnerSource)),
        ("unknown station", Packet { from: [2; 6], ..o }.bytes(), 0, DROP, dropped(DropReason::InnerSource)),
        ("a station of ours", Packet { from: BESIDE.0, ..o }.bytes(), 0, DROP, dropped(DropReason::InnerSource)),
        ("a station of no host", Packet { from: LOST, ..o }.bytes(), 0, DROP, dropped(DropReason::InnerSource)),
        ("unknown VNI", Packet { vni: VNI + 1, ..o }.bytes(), 0, DROP, dropped(DropReason::UnknownVni)),
        ("VNI zero", Packet { vni: 0, ..o }.bytes(), 0, DROP, dropped(DropReason::UnknownVni)),
        // For nobody here.
        ("to an unknown station", Packet { to: [2; 6], ..o }.bytes(), 0, DROP, dropped(DropReason::NotLocal)),
        ("to where it came from", Packet { to: FAR.0, ..o }.bytes(), 0, DROP, dropped(DropReason::NotLocal)),
        ("broadcast", Packet { to: [0xff; 6], ..o }.bytes(), 0, DROP, dropped(DropReason::GroupDestination)),
        ("congestion marked on the unwitting", Packet { outer_tos: 0b11, ..o }.bytes(), 0, DROP, dropped(DropReason::CongestionMark)),
        // The kernel refuses to shrink what is merged of neither TCP nor UDP, and a test cannot say which it is.
        ("segments the kernel refuses", Packet { protocol: TCP, ..o }.bytes(), 500, DROP, dropped(DropReason::DecapFailed)),
    ];
    for (name, packet, segment, action, outcome) in cases {
        let seen = run(&mut rig, packet, *segment);
        assert_eq!((seen.action, seen.outcome), (*action, *outcome), "{name}");
        if *action != REDIRECT {
            assert_eq!(seen.packet, *packet, "{name}: the packet is left as it was");
        }
    }
    Ok(())
}

#[test]
fn the_inner_frame_comes_out_byte_for_byte() -> Result<()> {
    let mut rig = Rig::new()?;
    for (inner_tos, outer_tos, expected) in [
        (0, 0, 0),
        (46 << 2, 0, 46 << 2),
        (0b10, 0b10, 0b10),
        (0b10, 0b11, 0b11),
        (0b01, 0b11, 0b11),
        (0b10, 0b01, 0b01),
        (0b11, 0b10, 0b11),
        (46 << 2 | 0b10, 0b11, 46 << 2 | 0b11),
    ] {
        let packet = Packet { outer_tos, inner_tos, ..ORDINARY };
        let seen = run(&mut rig, &packet.bytes(), 0);
        assert_eq!((seen.action, seen.outcome), (REDIRECT, forwarded(Verdict::ToContainer)));
        assert_eq!(seen.packet, packet.inner(expected), "{inner_tos:#04x} in {outer_tos:#04x}");
    }
    Ok(())
}

#[test]
fn cut_anywhere_it_is_dropped_or_passed() -> Result<()> {
    let mut rig = Rig::new()?;
    let whole = ORDINARY.bytes();
    // The kernel takes no shorter ones for a test; `packet_path` sends them.
    for length in 34..whole.len() {
        let seen = run(&mut rig, &whole[..length], 0);
        let expected =
            if length < 42 { (NEXT, None) } else { (DROP, dropped(DropReason::MalformedOuter)) };
        assert_eq!((seen.action, seen.outcome), expected, "cut to {length} bytes");
    }
    Ok(())
}

/// The same with lengths that agree at each cut, so that the later checks are reached.
#[test]
fn a_short_packet_is_dropped_or_passed() -> Result<()> {
    let mut rig = Rig::new()?;
    let frame = ORDINARY.inner(0);
    let whole = vxlan(VNI, &frame);
    for length in 0..whole.len() {
        let datagram = udp(50_000, PORT, &whole[..length]);
        let packet = ethernet(DEVICE, ROUTER, 0x0800, &ipv4(HOST_B, HOST_A, 0, UDP, &datagram));
        let seen = run(&mut rig, &packet, 0);
        let reason =
            if length < 8 { DropReason::MalformedVxlan } else { DropReason::MalformedInner };
        assert_eq!((seen.action, seen.outcome), (DROP, dropped(reason)), "{length} bytes of VXLAN");
    }
    Ok(())
}
