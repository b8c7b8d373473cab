//! Each program as a table: a packet in; a verdict, a packet and exactly one moved counter out.
//!
//! Nothing is attached: `BPF_PROG_TEST_RUN` gives the packet to the program as if `lo` had received it, and a redirect
//! is only noted. `lo` has the address `00:00:00:00:00:00`, so that is what outer frames are addressed to here.

#[path = "programs/rig.rs"]
mod rig;
#[path = "programs/table.rs"]
mod table;

#[path = "programs/events.rs"]
mod events;
#[path = "programs/filter.rs"]
mod filter;
#[path = "programs/from_container.rs"]
mod from_container;
#[path = "programs/from_tunnel.rs"]
mod from_tunnel;
#[path = "programs/from_underlay.rs"]
mod from_underlay;
#[path = "programs/group.rs"]
mod group;
#[path = "programs/hops.rs"]
mod hops;
#[path = "programs/ipv6.rs"]
mod ipv6;
#[path = "programs/isolated.rs"]
mod isolated;
#[path = "programs/neighbours4.rs"]
mod neighbours4;
#[path = "programs/neighbours6.rs"]
mod neighbours6;
#[path = "programs/next_hop.rs"]
mod next_hop;
#[path = "programs/routed.rs"]
mod routed;
#[path = "programs/too_big.rs"]
mod too_big;
#[path = "programs/underlay6.rs"]
mod underlay6;

#[path = "programs/probe.rs"]
mod probe;

#[path = "support/counters.rs"]
mod counters;
#[path = "support/object.rs"]
mod object;

/// The kernel's limit is a million. A program near it would be refused by an older verifier, which follows more paths.
///
/// The bounds are what was measured and half as much again: what goes beyond deserves a look.
#[test]
fn the_verifier_has_little_to_follow() -> anyhow::Result<()> {
    use netctl_common::config::{FROM_CONTAINER, FROM_TUNNEL, FROM_UNDERLAY, XDP_UNDERLAY};
    let mut rig = rig::Rig::new()?;
    for (name, most) in [
        (FROM_CONTAINER, 42_000),
        (FROM_UNDERLAY, 17_000),
        (FROM_TUNNEL, 8_400),
        (XDP_UNDERLAY, 2_200),
    ] {
        let verified = rig.verified(name)?;
        println!("{name}: {verified} instructions");
        assert!(verified < most, "{name}: {verified} instructions");
    }
    Ok(())
}
