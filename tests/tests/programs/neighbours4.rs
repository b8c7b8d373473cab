//! ARP.

use anyhow::Result;
use netctl_common::{Direction, DropReason, Verdict, maps::Network};

use testbed::frames::arp;

use crate::{
    rig::{BESIDE, BRIDGE, DISTANT, FAR, FLOODED, GATEWAY, NEAR, Rig, dropped, sent},
    table::{Table, check},
};

const ANYBODY: [u8; 6] = [0; 6];
const NOWHERE: [u8; 4] = [0; 4];
const NOBODY: [u8; 4] = [10, 0, 0, 99];

fn changed(place: usize, value: u8) -> Vec<u8> {
    let mut frame = arp(1, NEAR, (ANYBODY, FAR.1));
    frame[place] = value;
    frame
}

pub(crate) fn tables() -> Vec<Table> {
    let direction = Direction::FromContainer;
    #[rustfmt::skip]
    let cases = vec![
        ("request", arp(1, NEAR, (ANYBODY, FAR.1)), 0, sent(Verdict::ArpAnswered)),
        ("for nobody", arp(1, NEAR, (ANYBODY, NOBODY)), 0, dropped(DropReason::ArpUnknown)),
        ("probe for nobody", arp(1, (NEAR.0, NOWHERE), (ANYBODY, NOBODY)), 0, dropped(DropReason::ArpUnknown)),
        ("probe for oneself", arp(1, (NEAR.0, NOWHERE), (ANYBODY, NEAR.1)), 0, dropped(DropReason::ArpOwnAddress)),
        ("announcement", arp(1, NEAR, (ANYBODY, NEAR.1)), 0, FLOODED),
        ("announcement as a reply", arp(2, NEAR, ([0xff; 6], NEAR.1)), 0, FLOODED),
        ("announcement of another's", arp(1, (NEAR.0, FAR.1), (ANYBODY, FAR.1)), 0, dropped(DropReason::ArpSource)),
        ("from another's address", arp(1, (NEAR.0, BESIDE.1), (ANYBODY, FAR.1)), 0, dropped(DropReason::ArpSource)),
        ("from another's station", changed(27, 0x12), 0, dropped(DropReason::ArpSource)),
        ("probe from another's station", arp(1, (FAR.0, NOWHERE), (ANYBODY, NOBODY)), 0, dropped(DropReason::SourceMac)),
        ("reply to another host", arp(2, NEAR, FAR), 0, sent(Verdict::HandedOver)),
        ("reply to a container here", arp(2, NEAR, BESIDE), 0, sent(Verdict::ToContainer)),
        ("reply to a container that bridges", arp(2, NEAR, BRIDGE), 0, sent(Verdict::ToContainer)),
        ("reply to the host", arp(2, NEAR, GATEWAY), 0, sent(Verdict::ToHost)),
        ("reply to nobody", arp(2, NEAR, ([2; 6], NOBODY)), 0, dropped(DropReason::UnknownDestination)),
        ("reply with another's address", arp(2, (NEAR.0, BESIDE.1), FAR), 0, dropped(DropReason::ArpSource)),
        ("of another format", changed(18, 8), 0, dropped(DropReason::MalformedArp)),
        ("of another kind", changed(21, 3), 0, dropped(DropReason::MalformedArp)),
        ("cut short", arp(1, NEAR, (ANYBODY, FAR.1))[..41].to_vec(), 0, dropped(DropReason::MalformedArp)),
    ];
    #[rustfmt::skip]
    let open = vec![
        ("for nobody known", arp(1, NEAR, (ANYBODY, NOBODY)), 0, FLOODED),
        ("probe for nobody known", arp(1, (NEAR.0, NOWHERE), (ANYBODY, NOBODY)), 0, FLOODED),
        ("for one who is known", arp(1, NEAR, (ANYBODY, FAR.1)), 0, sent(Verdict::ArpAnswered)),
        ("for oneself", arp(1, (NEAR.0, NOWHERE), (ANYBODY, NEAR.1)), 0, dropped(DropReason::ArpOwnAddress)),
    ];
    vec![
        Table { direction, setting: |_| Ok(()), cases },
        Table { direction, setting: |rig| rig.set_network(Network::OPEN), cases: open },
    ]
}

#[test]
fn verdicts() -> Result<()> {
    check(&tables())
}

#[test]
fn a_request_is_answered_in_place() -> Result<()> {
    let mut rig = Rig::new()?;
    for (name, asker, asked) in [
        ("a container of another host", NEAR, FAR),
        ("a container of another host over IPv6", NEAR, DISTANT),
        ("a container here", NEAR, BESIDE),
        ("a container that bridges", NEAR, BRIDGE),
        ("the gateway", NEAR, GATEWAY),
        ("a probe for an address that is taken", (NEAR.0, NOWHERE), FAR),
    ] {
        let seen = rig.run(Direction::FromContainer, &arp(1, asker, (ANYBODY, asked.1)), 0);
        assert_eq!(seen.end, sent(Verdict::ArpAnswered), "{name}");
        assert_eq!(seen.packet, arp(2, asked, asker), "{name}");
    }
    Ok(())
}
