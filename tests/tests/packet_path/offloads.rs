//! Offloads on and off: whoever cuts, merges and sums, the same bytes arrive.

use anyhow::{Context as _, Result};

use crate::{
    rig::{Rig, Setup, switch},
    sockets::{segments_to, transfer_to},
};

/// What cuts TCP and UDP in the device, inside a tunnel or not.
const CUT: &[&str] = &["tso", "tx-udp-segmentation", "tx-udp_tnl-segmentation"];
const CUT_SUMMED: &[&str] = &["tso", "tx-udp_tnl-segmentation", "tx-udp_tnl-csum-segmentation"];
const SUM: &[&str] = &["tx"];
const MERGE: &[&str] = &["gro"];
const RECEIVE: &[&str] = &["rx"];

/// TCP and datagrams, sent in one write and received by sockets that take them merged or not, both families, both ways.
fn everything_crosses(rig: &Rig) -> Result<()> {
    for (from, to) in [(&rig.near, &rig.far), (&rig.far, &rig.near), (&rig.near, &rig.beside)] {
        for address in to.station.both() {
            let to_address = || format!("to {address} of {}", to.netns.name());
            transfer_to(from, to, address, 2).with_context(to_address)?;
            for merge in [false, true] {
                segments_to(from, to, address, merge).with_context(to_address)?;
            }
        }
        from.ping(&to.station.ip())?;
        from.ping(&to.station.ip6().to_string())?;
    }
    Ok(())
}

#[test]
fn the_underlay_may_cut_merge_and_sum_or_not() -> Result<()> {
    for setup in Setup::DUAL {
        let rig = Rig::of(setup)?;
        let set = |features, state| {
            [&rig.a, &rig.b]
                .iter()
                .try_for_each(|host| switch(&host.netns, "eth0", features, state))
        };
        for (off, on) in [
            (&[][..], &[][..]),
            (CUT, &[]),
            (CUT, MERGE),
            (CUT_SUMMED, MERGE),
            (SUM, &[]),
            (SUM, MERGE),
            (RECEIVE, &[]),
        ] {
            set(off, "off")?;
            set(on, "on")?;
            everything_crosses(&rig)
                .with_context(|| format!("{setup:?}, off {off:?}, on {on:?}"))?;
            set(off, "on")?;
            set(on, "off")?;
        }
    }
    Ok(())
}

#[test]
fn containers_may_cut_merge_and_sum_or_not() -> Result<()> {
    for setup in Setup::DUAL {
        let rig = Rig::of(setup)?;
        let set = |features, state| {
            let all = [&rig.near, &rig.beside, &rig.far];
            all.iter().try_for_each(|container| switch(&container.netns, "eth0", features, state))
        };
        for (off, on) in [(CUT, &[][..]), (SUM, &[]), (SUM, MERGE), (&[], MERGE), (RECEIVE, &[])] {
            set(off, "off")?;
            set(on, "on")?;
            everything_crosses(&rig)
                .with_context(|| format!("{setup:?}, off {off:?}, on {on:?}"))?;
            set(off, "on")?;
            set(on, "off")?;
        }
    }
    Ok(())
}
