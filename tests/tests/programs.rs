//! Each program as a table: a packet in; a verdict, a packet and exactly one moved counter out.
//!
//! Nothing is attached: `BPF_PROG_TEST_RUN` gives the packet to the program as if `lo` had received it, and a redirect
//! is only noted. `lo` has the address `00:00:00:00:00:00`, so that is what outer frames are addressed to here.

#[path = "programs/rig.rs"]
mod rig;

#[path = "programs/from_container.rs"]
mod from_container;
#[path = "programs/from_tunnel.rs"]
mod from_tunnel;
#[path = "programs/from_underlay.rs"]
mod from_underlay;

#[path = "programs/probe.rs"]
mod probe;

#[path = "support/counters.rs"]
mod counters;
#[path = "support/object.rs"]
mod object;

/// The kernel's limit is a million. A program near it would be refused by an older verifier, which follows more paths.
#[test]
fn the_verifier_has_little_to_follow() -> anyhow::Result<()> {
    use netctl_common::config::{FROM_CONTAINER, FROM_TUNNEL, FROM_UNDERLAY};
    let mut rig = rig::Rig::new()?;
    for name in [FROM_CONTAINER, FROM_UNDERLAY, FROM_TUNNEL] {
        let verified = rig.verified(name)?;
        println!("{name}: {verified} instructions");
        assert!(verified < 10_000, "{name}: {verified} instructions");
    }
    Ok(())
}
