//! The filter in the underlay device's driver.

use anyhow::Result;
use netctl_common::{Direction, DropReason};

use testbed::frames::{TCP, UDP, ethernet, ipv4, ipv6, udp, vxlan};

use crate::{
    object::PORT,
    rig::{
        FAR, HOST_A, HOST_A6, HOST_B, HOST_C, HOST_D6, HOST_E, NEAR, PASSED, Rig, UNFILTERED, VNI,
        filtered,
    },
    table::{Case, Table, check},
};

const DEVICE: [u8; 6] = [2, 0, 0, 0, 2, 2];
const ROUTER: [u8; 6] = [2, 0, 0, 0, 2, 1];
const STRANGER6: [u8; 16] = [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x99];

fn tunnel(port: u16, vni: u32) -> Vec<u8> {
    let inner = ethernet(NEAR.0, FAR.0, 0x0800, &ipv4(FAR.1, NEAR.1, 0, UDP, &udp(1, 2, b"data")));
    udp(50_000, port, &vxlan(vni, &inner))
}

fn four(from: [u8; 4], to: [u8; 4], port: u16, vni: u32) -> Vec<u8> {
    ethernet(DEVICE, ROUTER, 0x0800, &ipv4(from, to, 0, UDP, &tunnel(port, vni)))
}

fn six(from: [u8; 16], to: [u8; 16], port: u16, vni: u32) -> Vec<u8> {
    ethernet(DEVICE, ROUTER, 0x86dd, &ipv6(from, to, 0, UDP, &tunnel(port, vni)))
}

fn changed(mut frame: Vec<u8>, place: usize, value: u8) -> Vec<u8> {
    frame[place] = value;
    frame
}

pub(crate) fn tables() -> Vec<Table> {
    let (b, a) = (HOST_B, HOST_A);
    let (d6, a6) = (HOST_D6, HOST_A6);
    let (good, good6) = (four(b, a, PORT, VNI), six(d6, a6, PORT, VNI));
    let vlan = |frame: &[u8]| [&frame[..12], &[0x81, 0, 0, 1], &frame[12..]].concat();
    let stranger = filtered(DropReason::UnknownTunnelSource);
    let nowhere = filtered(DropReason::UnknownVni);
    let malformed = filtered(DropReason::MalformedVxlan);
    #[rustfmt::skip]
    let cases: Vec<Case> = vec![
        ("from a host", good.clone(), 0, PASSED),
        ("from a host that is in another network alone", four(HOST_E, a, PORT, VNI), 0, PASSED),
        ("from an unknown host", four([192, 0, 2, 99], a, PORT, VNI), 0, stranger),
        ("from oneself", four(a, a, PORT, VNI), 0, stranger),
        ("in an unknown network", four(b, a, PORT, VNI + 1), 0, nowhere),
        ("a probe, or nearly", four(b, a, PORT, 0), 0, PASSED),
        ("a probe of an unknown host", four([192, 0, 2, 99], a, PORT, 0), 0, stranger),
        ("without a valid VNI", changed(good.clone(), 42, 0xf7), 0, malformed),
        ("with reserved bits", changed(changed(good.clone(), 42, 0xff), 49, 0xff), 0, PASSED),
        ("with a checksum", changed(good.clone(), 40, 1), 0, PASSED),
        ("on another port", four(b, a, PORT + 1, VNI), 0, UNFILTERED),
        ("to another address", four(b, HOST_C, PORT, VNI), 0, UNFILTERED),
        ("TCP", changed(good.clone(), 23, TCP), 0, UNFILTERED),
        ("first fragment", changed(good.clone(), 20, 0x20), 0, UNFILTERED),
        ("later fragment", changed(good.clone(), 21, 0x10), 0, UNFILTERED),
        ("may not be cut", changed(good.clone(), 20, 0x40), 0, PASSED),
        ("with options", changed(good.clone(), 14, 0x46), 0, UNFILTERED),
        ("with a VLAN tag", vlan(&good), 0, UNFILTERED),
        ("of another ether type", changed(good.clone(), 13, 6), 0, UNFILTERED),
        ("from a host, IPv6", good6.clone(), 0, PASSED),
        ("from an unknown host, IPv6", six(STRANGER6, a6, PORT, VNI), 0, stranger),
        ("in an unknown network, IPv6", six(d6, a6, PORT, VNI + 1), 0, nowhere),
        ("without a valid VNI, IPv6", changed(good6.clone(), 62, 0xf7), 0, malformed),
        ("on another port, IPv6", six(d6, a6, PORT + 1, VNI), 0, UNFILTERED),
        ("to another address, IPv6", six(d6, STRANGER6, PORT, VNI), 0, UNFILTERED),
        ("TCP, IPv6", changed(good6.clone(), 20, TCP), 0, UNFILTERED),
        ("fragment, IPv6", changed(good6.clone(), 20, 44), 0, UNFILTERED),
        ("behind a header of options, IPv6", changed(good6.clone(), 20, 0), 0, UNFILTERED),
        ("with a VLAN tag, IPv6", vlan(&good6), 0, UNFILTERED),
    ];
    vec![Table { direction: Direction::UnderlayFilter, setting: |_| Ok(()), cases }]
}

#[test]
fn verdicts() -> Result<()> {
    check(&tables())
}

/// What ends before the ports may be anybody's; what ends in the VXLAN header is nobody's; the rest is not looked at.
#[test]
fn cut_anywhere_it_is_passed_or_dropped() -> Result<()> {
    let mut rig = Rig::new()?;
    for (whole, udp_end) in
        [(four(HOST_B, HOST_A, PORT, VNI), 42), (six(HOST_D6, HOST_A6, PORT, VNI), 62)]
    {
        for length in 14..=whole.len() {
            let seen = rig.run(Direction::UnderlayFilter, &whole[..length], 0);
            // What ends before the VXLAN header does may go on elsewhere in memory, and is for `from_underlay` to judge.
            let expected = if length < udp_end + 8 { UNFILTERED } else { PASSED };
            assert_eq!(seen.end, expected, "cut to {length} bytes");
            assert_eq!(seen.packet, whole[..length], "cut to {length} bytes");
        }
    }
    Ok(())
}
