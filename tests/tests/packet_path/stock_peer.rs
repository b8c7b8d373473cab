use anyhow::{Result, ensure};
use netctl_common::{Direction, DropReason, Outcome, Verdict, maps::FdbTarget};
use testbed::Netns;

use crate::{
    object,
    rig::Container,
    rig::{MTU, Rig, Station, VNI},
    sockets,
};

const HOST: [u8; 4] = [192, 0, 2, 3];

/// A host that knows nothing of netctl: the kernel's vxlan device with static entries.
fn stock(rig: &mut Rig, vni: u32) -> Result<Container> {
    let station = Station { mac: [2, 0, 0, 0, 0, 0x31], address: [10, 0, 0, 31] };
    let netns = Netns::new(rig.run.dir(), "stock")?;
    rig.underlay.join(&netns, 3)?;
    let near = rig.near.station;
    netns.ip([
        format!(
            "link add vx address {} type vxlan id {vni} local 192.0.2.3 dstport {} nolearning udpcsum",
            station.mac_text(),
            object::PORT
        ),
        format!("link set vx mtu {MTU} up"),
        format!("addr add {}/24 dev vx", station.ip()),
        format!("neigh add {} lladdr {} dev vx nud permanent", near.ip(), near.mac_text()),
    ])?;
    netns.run(["bridge", "fdb", "add", &near.mac_text(), "dev", "vx", "dst", "192.0.2.1"])?.ok()?;
    Ok(Container { netns, station })
}

/// The kernel verifies the checksums that its vxlan device sends, and joins the fragments.
#[test]
fn a_stock_vxlan_device_is_a_peer() -> Result<()> {
    let mut rig = Rig::new()?;
    let stock = stock(&mut rig, VNI)?;
    rig.a.knows_host(HOST)?;
    rig.a.knows(stock.station, FdbTarget::Remote(u32::from(HOST[3])))?;
    rig.near.ping(&stock.station.ip())?;
    stock.ping(&rig.near.station.ip())?;
    sockets::transfer(&rig.near, &stock, 8)?;
    sockets::transfer(&stock, &rig.near, 8)?;
    sockets::segments(&rig.near, &stock, false)?;
    sockets::segments(&stock, &rig.near, false)?;

    let handed = |rig: &Rig| -> Result<_> {
        let counters = rig.a.counters()?;
        let at = |direction, verdict| {
            counters.get(&(direction, Outcome::Forwarded(verdict))).copied().unwrap_or_default().0
        };
        let outer = at(Direction::FromUnderlay, Verdict::HandedOver);
        Ok((outer, at(Direction::FromTunnel, Verdict::ToContainer)))
    };
    let (outer, inner) = handed(&rig)?;
    assert!(outer > 0 && outer == inner, "{outer} were handed over, {inner} delivered");

    // Only the first fragment shows ports: all are the kernel's from the start. The answers do not fit the way back.
    stock.netns.ip(["link set eth0 mtu 1000"])?;
    let words = ["ping", "-n", "-c", "5", "-i", "0.02", "-W", "0.1", "-s", "1300", "-M", "dont"];
    stock.netns.run(words.into_iter().chain([rig.near.station.ip().as_str()]))?;
    let (outer_now, inner_now) = handed(&rig)?;
    // After the first, its sender knows the way's MTU and sends smaller packets, which are no fragments of a tunnel's.
    assert!(inner_now - inner > outer_now - outer, "none was joined");
    Ok(())
}

/// Its checksums are the kernel's to verify, but not before it is known who sent them.
#[test]
fn a_stock_vxlan_device_is_validated() -> Result<()> {
    for (vni, host_known, reason) in [
        (VNI, false, DropReason::UnknownTunnelSource),
        (VNI, true, DropReason::InnerSource),
        (VNI + 1, true, DropReason::UnknownVni),
    ] {
        let mut rig = Rig::new()?;
        let stock = stock(&mut rig, vni)?;
        if host_known {
            rig.a.knows_host(HOST)?;
        }
        let ip = rig.near.station.ip();
        let output = stock.netns.run(["ping", "-n", "-c", "3", "-i", "0.02", "-W", "0.1", &ip])?;
        ensure!(!output.success(), "{reason:?}: {output:?}");
        let place = (Direction::FromUnderlay, Outcome::Dropped(reason));
        let counters = rig.a.counters()?;
        ensure!(counters.get(&place).is_some_and(|count| count.0 == 3), "{reason:?}: {counters:?}");
    }
    Ok(())
}
