use anyhow::Result;
use netctl_common::{Direction, DropReason, Outcome, Verdict};

use testbed::frames::{TCP, UDP, arp, ethernet, ipv4, udp, vxlan};

use crate::{
    object::PORT,
    rig::{
        BESIDE, BRIDGE, End, FAR, GATEWAY, HOST_A, HOST_B, HOST_C, HOST_E, LEFT, LOST, NEAR, NEXT,
        NOT_OURS, Rig, Seen, VNI, dropped, sent,
    },
    table::{Case, Table, check},
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

fn probe(kind: u8) -> Vec<u8> {
    Packet { vni: 0, ..ORDINARY }.changed(&[(49, kind)])
}

fn in_probe(mut probe: Vec<u8>, changes: &[(usize, u8)]) -> Vec<u8> {
    for (place, value) in changes {
        probe[*place] = *value;
    }
    probe
}

/// An answer goes to who had asked.
const ASKED: End = (NEXT, Some(Outcome::Forwarded(Verdict::Probe)));

pub(crate) fn tables() -> Vec<Table> {
    let o = ORDINARY;
    let total = o.bytes().len() - 14;
    let [high, low] = u16::try_from(total).expect("a short packet").to_be_bytes();
    #[rustfmt::skip]
    let cases: Vec<Case> = vec![
        ("to a container", o.bytes(), 0, sent(Verdict::ToContainer)),
        ("to another container", Packet { to: BESIDE.0, ..o }.bytes(), 0, sent(Verdict::ToContainer)),
        ("to a container that bridges", Packet { to: BRIDGE.0, ..o }.bytes(), 0, sent(Verdict::ToContainer)),
        ("to the host", Packet { to: GATEWAY.0, ..o }.bytes(), 0, sent(Verdict::ToHost)),
        ("from another host itself", Packet { from: GATEWAY.0, host: HOST_C, ..o }.bytes(), 0, sent(Verdict::ToContainer)),
        ("reserved bits", o.changed(&[(42, 0xff), (43, 0xff), (49, 0xff)]), 0, sent(Verdict::ToContainer)),
        // What the kernel does.
        ("UDP segments", o.bytes(), 500, LEFT),
        ("outer checksum", o.changed(&[(40, 1)]), 0, LEFT),
        ("datagram shorter than its packet", o.changed(&[(38, high), (39, low - 21)]), 0, LEFT),
        ("inner ARP", o.around(&arp(1, FAR, ([0; 6], NEAR.1))), 0, LEFT),
        ("inner VLAN", Packet { inner_type: 0x8100, ..o }.bytes(), 0, LEFT),
        ("broadcast", Packet { to: [0xff; 6], ..o }.bytes(), 0, LEFT),
        // Not ours.
        ("another protocol", Packet { ether_type: 0x86dd, ..o }.bytes(), 0, NOT_OURS),
        ("TCP", o.changed(&[(23, TCP)]), 0, NOT_OURS),
        ("another port", Packet { port: PORT + 1, ..o }.bytes(), 0, NOT_OURS),
        ("another address", Packet { to_host: HOST_C, ..o }.bytes(), 0, NOT_OURS),
        ("another station", Packet { device: ROUTER, ..o }.bytes(), 0, NOT_OURS),
        ("first fragment", o.changed(&[(20, 0x20)]), 0, NOT_OURS),
        ("later fragment", o.changed(&[(21, 0x10)]), 0, NOT_OURS),
        ("options", o.changed(&[(14, 0x46)]), 0, NOT_OURS),
        ("VLAN", Packet { ether_type: 0x8100, ..o }.bytes(), 0, NOT_OURS),
        // Malformed.
        ("total past the end", o.changed(&[(16, high), (17, low + 1)]), 0, dropped(DropReason::MalformedOuter)),
        ("datagram past its packet", o.changed(&[(38, high), (39, low - 19)]), 0, dropped(DropReason::MalformedOuter)),
        ("no valid VNI", o.changed(&[(42, 0xf7)]), 0, dropped(DropReason::MalformedVxlan)),
        ("inner version", o.changed(&[(64, 0x65)]), 0, dropped(DropReason::MalformedInner)),
        ("inner total past the end", o.changed(&[(66, 0x40)]), 0, dropped(DropReason::MalformedInner)),
        ("inner IPv6", Packet { inner_type: 0x86dd, ..o }.bytes(), 0, dropped(DropReason::MalformedInner)),
        // Forged.
        ("unknown host", Packet { host: [192, 0, 2, 99], ..o }.bytes(), 0, dropped(DropReason::UnknownTunnelSource)),
        ("unknown host as a host itself", Packet { from: GATEWAY.0, host: [192, 0, 2, 99], ..o }.bytes(), 0, dropped(DropReason::UnknownTunnelSource)),
        ("another host than the station's", Packet { host: HOST_C, ..o }.bytes(), 0, dropped(DropReason::InnerSource)),
        ("a host that is not in the network", Packet { host: HOST_E, ..o }.bytes(), 0, dropped(DropReason::NotMember)),
        ("the same as a host itself", Packet { from: GATEWAY.0, host: HOST_E, ..o }.bytes(), 0, dropped(DropReason::NotMember)),
        ("a station that bridges here", Packet { from: BRIDGE.0, ..o }.bytes(), 0, dropped(DropReason::InnerSource)),
        ("unknown station", Packet { from: [2; 6], ..o }.bytes(), 0, dropped(DropReason::InnerSource)),
        ("a station of ours", Packet { from: BESIDE.0, ..o }.bytes(), 0, dropped(DropReason::InnerSource)),
        ("a station of no host", Packet { from: LOST, ..o }.bytes(), 0, dropped(DropReason::InnerSource)),
        ("unknown VNI", Packet { vni: VNI + 1, ..o }.bytes(), 0, dropped(DropReason::UnknownVni)),
        ("VNI zero", Packet { vni: 0, ..o }.bytes(), 0, dropped(DropReason::UnknownVni)),
        // Probes.
        ("probe", probe(1), 0, sent(Verdict::Probe)),
        ("probe of the tunnels' port", probe(2), 0, sent(Verdict::Probe)),
        ("probe that came back", probe(3), 0, ASKED),
        ("the same to a port that none is sent from", in_probe(probe(3), &[(34, 0x12)]), 0, dropped(DropReason::UnknownVni)),
        ("probe of another kind", probe(4), 0, dropped(DropReason::UnknownVni)),
        ("probe of an unknown host", in_probe(Packet { host: [192, 0, 2, 99], vni: 0, ..o }.bytes(), &[(49, 1)]), 0, dropped(DropReason::UnknownTunnelSource)),
        ("probe with a checksum", in_probe(probe(1), &[(40, 1)]), 0, dropped(DropReason::UnknownVni)),
        ("probes that were merged", probe(1), 500, dropped(DropReason::UnknownVni)),
        ("probe in a network", in_probe(probe(1), &[(48, 5)]), 0, dropped(DropReason::UnknownVni)),
        // For nobody here.
        ("to an unknown station", Packet { to: [2; 6], ..o }.bytes(), 0, dropped(DropReason::NotLocal)),
        ("to where it came from", Packet { to: FAR.0, ..o }.bytes(), 0, dropped(DropReason::NotLocal)),
        ("congestion marked on the unwitting", Packet { outer_tos: 0b11, ..o }.bytes(), 0, dropped(DropReason::CongestionMark)),
        // The kernel refuses to shrink what is merged of neither TCP nor UDP, and a test cannot say which it is.
        ("segments the kernel refuses", Packet { protocol: TCP, ..o }.bytes(), 500, dropped(DropReason::DecapFailed)),
    ];
    vec![Table { direction: Direction::FromUnderlay, setting: |_| Ok(()), cases }]
}

#[test]
fn verdicts() -> Result<()> {
    check(&tables())
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
        assert_eq!(seen.end, sent(Verdict::ToContainer));
        assert_eq!(seen.packet, packet.inner(expected), "{inner_tos:#04x} in {outer_tos:#04x}");
    }
    Ok(())
}

/// What has come by a tunnel's way goes back by it: the hosts change places, and the ports only where that was asked.
#[test]
fn probes_go_back_the_way_they_came() -> Result<()> {
    let mut rig = Rig::new()?;
    let turned = |probe: &[u8], ports: bool| {
        let (udp, source) = (&probe[34..], &probe[26..30]);
        let ports = if ports { [&udp[2..4], &udp[..2]].concat() } else { udp[..4].to_vec() };
        [&ROUTER[..], &DEVICE, &probe[12..26], &probe[30..34], source, &ports, &udp[4..]].concat()
    };
    assert_eq!(run(&mut rig, &probe(1), 0).packet, turned(&probe(1), true));
    let mut answer = turned(&probe(2), false);
    answer[49] = 3;
    assert_eq!(run(&mut rig, &probe(2), 0).packet, answer);
    let mut given = probe(3);
    given[34..38].rotate_left(2);
    assert_eq!(run(&mut rig, &probe(3), 0).packet, given);
    Ok(())
}

#[test]
fn cut_anywhere_it_is_dropped_or_passed() -> Result<()> {
    let mut rig = Rig::new()?;
    let whole = ORDINARY.bytes();
    // The kernel takes no shorter ones for a test; `packet_path` sends them.
    for length in 34..whole.len() {
        let seen = run(&mut rig, &whole[..length], 0);
        let expected = if length < 42 { NOT_OURS } else { dropped(DropReason::MalformedOuter) };
        assert_eq!(seen.end, expected, "cut to {length} bytes");
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
        assert_eq!(seen.end, dropped(reason), "{length} bytes of VXLAN");
    }
    Ok(())
}
