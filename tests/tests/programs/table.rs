//! Tables: packets, and how each ends.

use anyhow::Result;
use netctl_common::{Direction, Outcome, Verdict};

use crate::{
    filter, from_container, from_tunnel, from_underlay, group, hops, ipv6, isolated, neighbours4,
    neighbours6,
    rig::{End, Rig},
    too_big, underlay6,
};

/// What it is, the packet and how long the parts are that the kernel would cut it into; its end.
pub(crate) type Case = (&'static str, Vec<u8>, u32, End);

/// Packets for one program.
pub(crate) struct Table {
    pub(crate) direction: Direction,
    /// What differs from the ordinary in the maps.
    pub(crate) setting: fn(&mut Rig) -> Result<()>,
    pub(crate) cases: Vec<Case>,
}

/// Runs each packet. One that is not answered, wrapped or unwrapped has to come out as it went in.
pub(crate) fn check(tables: &[Table]) -> Result<()> {
    for table in tables {
        let mut rig = Rig::new()?;
        (table.setting)(&mut rig)?;
        for (name, packet, segment, end) in &table.cases {
            let seen = rig.run(table.direction, packet, *segment);
            assert_eq!(seen.end, *end, "{:?}: {name}", table.direction);
            if !changes(table.direction, end.1) {
                assert_eq!(seen.packet, *packet, "{name}: the packet is left as it was");
            }
        }
    }
    Ok(())
}

fn changes(direction: Direction, outcome: Option<Outcome>) -> bool {
    let Some(Outcome::Forwarded(verdict)) = outcome else { return false };
    match verdict {
        Verdict::ToUnderlay
        | Verdict::ArpAnswered
        | Verdict::NdAnswered
        | Verdict::TooBigReported
        | Verdict::Probe
        | Verdict::TtlReported => true,
        Verdict::ToContainer | Verdict::ToHost => direction == Direction::FromUnderlay,
        Verdict::HandedOver | Verdict::Flooded | Verdict::Passed | Verdict::ArpAbsorbed => false,
    }
}

/// What no packet of a table can end in, and why.
const UNREACHED: &[(&str, &str)] = &[
    ("arp-absorbed", "no longer used"),
    ("ether-type", "no longer used"),
    ("ipv6", "no longer used"),
    ("group-destination", "no longer used"),
    ("arp-reply", "no longer used"),
    ("encap-failed", "no longer used"),
    ("inner-ether-type", "no longer used"),
    ("malformed-ethernet", "the kernel takes no packet for a test that is shorter than a header"),
    ("hand-over-failed", "the kernel refuses a tunnel key for want of memory alone"),
    ("not-writable", "the kernel refuses to write for want of memory alone"),
    ("too-big-report-failed", "the kernel refuses to make room for want of memory alone"),
];

/// A new verdict or reason needs a row, or a word on why it can have none.
#[test]
fn every_outcome_has_a_row() {
    let tables = [
        filter::tables(),
        from_container::tables(),
        from_tunnel::tables(),
        from_underlay::tables(),
        group::tables(),
        hops::tables(),
        ipv6::tables(),
        isolated::tables(),
        neighbours4::tables(),
        neighbours6::tables(),
        too_big::tables(),
        underlay6::tables(),
    ];
    let rows = tables.iter().flatten().flat_map(|table| &table.cases);
    let reached: Vec<Outcome> = rows.filter_map(|(_, _, _, end)| end.1).collect();
    for outcome in Outcome::all() {
        let name = outcome.as_str();
        let excuse = UNREACHED.iter().find(|(unreached, _)| *unreached == name);
        match (reached.contains(&outcome), excuse) {
            (true, None) | (false, Some(_)) => {}
            (true, Some((_, why))) => panic!("{name} has a row, though {why}"),
            (false, None) => panic!("{name} has no row"),
        }
    }
}
