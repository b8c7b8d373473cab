//! Next hops on the underlay: the program writes the Ethernet header where it may, and the kernel where not.

use std::time::Duration;

use anyhow::Result;
use netctl_common::{Direction, MacAddr, Verdict, maps::NextHop};
use nix::time::{ClockId, clock_gettime};

use crate::{
    from_container::datagram,
    rig::{DISTANT, FAR, NEAR, Rig, Station, VTEP_B, VTEP_D, sent},
};

const ROUTER: [u8; 6] = [2, 0, 0, 0, 2, 1];
const DEVICE: [u8; 6] = [2, 0, 0, 0, 2, 2];

fn now() -> Result<Duration> {
    Ok(clock_gettime(ClockId::CLOCK_MONOTONIC)?.into())
}

fn lease(rig: &mut Rig, until: Duration) -> Result<()> {
    rig.set_lease(u64::try_from(until.as_nanos())?)
}

/// The Ethernet header of a packet to the station, as the program leaves it.
fn header(rig: &mut Rig, station: Station) -> Vec<u8> {
    let seen = rig.run(Direction::FromContainer, &datagram(station, 100), 0);
    assert_eq!(seen.end, sent(Verdict::ToUnderlay));
    let behind = if station == FAR { 50 } else { 70 };
    assert_eq!(seen.packet[behind..], datagram(station, 100), "what is inside stays as it was");
    seen.packet[..14].to_vec()
}

/// What is in its place where the kernel is to write it.
fn inner(station: Station) -> Vec<u8> {
    [&station.0[..], &NEAR.0, &[8, 0]].concat()
}

#[test]
fn a_next_hop_is_used_for_as_long_as_its_lease_lasts() -> Result<()> {
    let mut rig = Rig::new()?;
    let minute = Duration::from_mins(1);
    for (station, index, ether_type) in [(FAR, VTEP_B, [0x08, 0]), (DISTANT, VTEP_D, [0x86, 0xdd])]
    {
        let known = [&ROUTER[..], &DEVICE, &ether_type].concat();
        let unknown = inner(station);
        rig.set_lease(0)?;
        assert_eq!(header(&mut rig, station), unknown, "neither lease nor next hop");
        lease(&mut rig, now()? + minute)?;
        assert_eq!(header(&mut rig, station), unknown, "no next hop");
        rig.set_next_hop(index, NextHop::new(MacAddr(ROUTER), MacAddr(DEVICE)))?;
        assert_eq!(header(&mut rig, station), known, "both");
        // The program reads a clock that ticks some hundred times a second.
        lease(&mut rig, now()?.saturating_sub(Duration::from_secs(1)))?;
        assert_eq!(header(&mut rig, station), unknown, "the lease has run out");
        rig.set_lease(0)?;
        assert_eq!(header(&mut rig, station), unknown, "there never was a lease");
        lease(&mut rig, now()? + minute)?;
        assert_eq!(header(&mut rig, station), known, "the lease is renewed");
        rig.set_next_hop(index, NextHop::UNKNOWN)?;
        assert_eq!(header(&mut rig, station), unknown, "the next hop is gone");
    }
    Ok(())
}

#[test]
fn a_next_hop_is_one_hosts_alone() -> Result<()> {
    let mut rig = Rig::new()?;
    lease(&mut rig, now()? + Duration::from_mins(1))?;
    rig.set_next_hop(VTEP_D, NextHop::new(MacAddr(ROUTER), MacAddr(DEVICE)))?;
    assert_eq!(header(&mut rig, FAR), inner(FAR));
    Ok(())
}
