//! What a container may send whose network keeps containers apart.

use anyhow::Result;
use netctl_common::{Direction, DropReason, Verdict, maps::Port};

use testbed::frames::{UDP, arp, ethernet, ipv4, ipv6, solicitation, udp};

use crate::{
    rig::{
        BESIDE, BRIDGE, DISTANT, FAR, FLOODED, GATEWAY, LOST, NEAR, Rig, Station, dropped, sent,
        six,
    },
    table::{Case, Table, check},
};

fn four(mac: [u8; 6], to: [u8; 4]) -> Vec<u8> {
    ethernet(mac, NEAR.0, 0x0800, &ipv4(NEAR.1, to, 0, UDP, &udp(1000, 2000, b"data")))
}

fn six_to(mac: [u8; 6], to: [u8; 16]) -> Vec<u8> {
    ethernet(mac, NEAR.0, 0x86dd, &ipv6(six(NEAR), to, 0, UDP, &udp(1000, 2000, b"data")))
}

fn asks(station: Station) -> Vec<u8> {
    let option = [&[1, 1][..], &NEAR.0].concat();
    let packet = solicitation(six(NEAR), six(station), six(station), &option);
    ethernet(station.0, NEAR.0, 0x86dd, &packet)
}

pub(crate) fn tables() -> Vec<Table> {
    let apart = dropped(DropReason::Isolated);
    let mut cases: Vec<Case> = Vec::new();
    for station in [BESIDE, BRIDGE, FAR, DISTANT] {
        let (mac, four_of, six_of) = (station.0, station.1, six(station));
        let no_hops = {
            let mut packet = four(GATEWAY.0, four_of);
            packet[22] = 1;
            packet
        };
        cases.extend([
            ("to another", four(mac, four_of), 0, apart),
            ("to another over IPv6", six_to(mac, six_of), 0, apart),
            ("to another, of another protocol", ethernet(mac, NEAR.0, 0x88b5, &[1; 60]), 0, apart),
            ("a reply to ARP", arp(2, NEAR, (mac, four_of)), 0, apart),
            ("by the gateway", four(GATEWAY.0, four_of), 0, apart),
            ("by the gateway over IPv6", six_to(GATEWAY.0, six_of), 0, apart),
            ("by the gateway with no hop left", no_hops, 0, apart),
            // Who asks is told: that it is there is no secret, and what is then sent is counted for what it is.
            ("ARP", arp(1, NEAR, ([0; 6], four_of)), 0, sent(Verdict::ArpAnswered)),
            ("neighbour solicitation", asks(station), 0, sent(Verdict::NdAnswered)),
        ]);
    }
    let elsewhere = [198, 51, 100, 7];
    #[rustfmt::skip]
    cases.extend([
        ("to the gateway", four(GATEWAY.0, GATEWAY.1), 0, sent(Verdict::ToHost)),
        ("to the gateway over IPv6", six_to(GATEWAY.0, six(GATEWAY)), 0, sent(Verdict::ToHost)),
        ("out by the gateway", four(GATEWAY.0, elsewhere), 0, sent(Verdict::ToHost)),
        ("a reply to the gateway's ARP", arp(2, NEAR, GATEWAY), 0, sent(Verdict::ToHost)),
        ("asks for the gateway", arp(1, NEAR, ([0; 6], GATEWAY.1)), 0, sent(Verdict::ArpAnswered)),
        ("to oneself", four(NEAR.0, NEAR.1), 0, dropped(DropReason::OwnStation)),
        ("to nobody", four([2; 6], elsewhere), 0, dropped(DropReason::UnknownDestination)),
        ("to a station of no host", four(LOST, FAR.1), 0, apart),
        // The host gets a copy, and nobody else: `packet_path` and the model look where copies come out.
        ("to all", four([0xff; 6], [255; 4]), 0, FLOODED),
    ]);
    let setting = |rig: &mut Rig| rig.set_port(Port::ISOLATED);
    vec![Table { direction: Direction::FromContainer, setting, cases }]
}

#[test]
fn verdicts() -> Result<()> {
    check(&tables())
}

#[test]
fn who_has_the_address_of_a_station_that_is_gone_is_another_too() -> Result<()> {
    let mut rig = Rig::new()?;
    rig.set_port(Port::ISOLATED)?;
    for packet in [four([2; 6], BESIDE.1), six_to([2; 6], six(FAR))] {
        let seen = rig.run(Direction::FromContainer, &packet, 0);
        assert_eq!(seen.end, dropped(DropReason::Isolated));
    }
    Ok(())
}
