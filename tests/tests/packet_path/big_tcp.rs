//! TCP packets of more than 64 KiB.

use anyhow::{Context as _, Result, ensure};
use netctl::kernel::{Netlink, Netns as Handle};
use testbed::{Capture, Netns};

use crate::{
    rig::{Rig, switch},
    sockets::transfer,
};

/// What the daemon gives endpoints and the underlay, in bytes.
const BIG: u32 = 196_608;
/// The largest IPv4 packet whose total length says how long it is, with an Ethernet header.
const LARGEST: u32 = 65_535 + 14;

/// Has the devices of one namespace take packets of that size.
fn raise(netns: &Netns, devices: &[&str]) -> Result<()> {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    runtime.block_on(async {
        let netlink = Netlink::open(&Handle::open(netns.path())?).await?;
        for device in devices {
            let link = netlink.link_by_name(device).await?;
            netlink.set_gso_ipv4(&link, BIG).await?;
            netlink.set_gro_ipv4(&link, BIG).await?;
        }
        Ok(())
    })
}

/// The rig with endpoints that send such packets; pacing would keep them smaller than they can be.
fn rig() -> Result<Rig> {
    let rig = Rig::new()?;
    for container in [&rig.near, &rig.far] {
        raise(&container.netns, &["eth0"])?;
        container.netns.ip(["route replace 10.0.0.0/24 dev eth0 congctl cubic"])?;
    }
    raise(&rig.a.netns, &["ncnear"])?;
    raise(&rig.b.netns, &["ncfar"])?;
    Ok(rig)
}

/// The largest frame that crosses `device` while bytes go from near to far, in bytes.
fn largest(rig: &Rig, netns: &Netns, device: &str, filter: &str) -> Result<u32> {
    let capture = Capture::start(netns, device, filter, "big")?;
    transfer(&rig.near, &rig.far, 32)?;
    let text = capture.stop(&["-e"])?;
    // `12:00:00.000000 SOURCE > DESTINATION, ethertype IPv4 (0x0800), length 1514: …`
    let length = |line: &str| line.split_once(", length ")?.1.split_once(':')?.0.parse().ok();
    text.lines().filter_map(length).max().context("no frame was captured")
}

#[test]
fn packets_of_more_than_64_kib_cross_the_underlay_whole() -> Result<()> {
    let rig = rig()?;
    raise(rig.underlay.netns(), &["h1", "h2"])?;
    for host in [&rig.a, &rig.b] {
        raise(&host.netns, &["eth0"])?;
    }
    let length = largest(&rig, &rig.b.netns, "eth0", "udp port 4789")?;
    ensure!(length > LARGEST, "the largest frame on the underlay had {length} bytes");
    Ok(())
}

#[test]
fn an_underlay_that_does_not_take_them_gets_them_cut() -> Result<()> {
    // By its size alone, where smaller ones pass whole; and by its driver, which cuts nothing by itself.
    for (features, most) in [(&[][..], LARGEST), (&["tso", "tx-udp_tnl-segmentation"], 1514)] {
        let rig = rig()?;
        switch(&rig.a.netns, "eth0", features, "off")?;
        let length = largest(&rig, &rig.a.netns, "ncnear", "tcp")?;
        ensure!(length > LARGEST, "the largest frame of the container had {length} bytes");
        let length = largest(&rig, &rig.b.netns, "eth0", "udp port 4789")?;
        ensure!(length <= most, "the largest frame on the underlay had {length} bytes");
    }
    Ok(())
}
