//! Overlays with what people choose themselves.

use anyhow::{Result, ensure};
use testbed::Lab;

use crate::{
    container::{Container, all_pairs},
    stage::json,
};

on_both_stores! {
    several_subnets_and_a_vni on 2;
}

/// ```text
///   h1: box-a (10.21.0.0/24), box-b (10.22.0.0/24) ─┐
///   h2: box-c (10.21.0.0/24), box-d (10.22.0.0/24) ─┴─ network dev, overlay, VNI 70007
/// ```
fn several_subnets_and_a_vni(lab: &Lab) -> Result<()> {
    let (h1, h2) = (lab.host(1), lab.host(2));
    let subnets = ["10.21.0.0/24", "10.22.0.0/24"];
    h1.ok([
        "network",
        "create",
        "--subnet",
        subnets[0],
        "--ip-range",
        "10.21.0.128/25",
        "--subnet",
        subnets[1],
        "--gateway",
        "10.22.0.254",
        "-o",
        "com.docker.network.driver.overlay.vxlanid_list=70007",
        "-o",
        "com.docker.network.driver.mtu=1300",
        "dev",
    ])?;
    let a = Container::new(h1, "a", "dev", &[])?;
    let b = Container::new(h1, "b", "dev", &["--ip", "10.22.0.7"])?;
    let c = Container::new(h2, "c", "dev", &[])?;
    let d = Container::new(h2, "d", "dev", &["--ip", "10.22.0.8"])?;
    for container in [&a, &c] {
        let address = container.octets()?;
        ensure!(
            address[..3] == [10, 21, 0] && address[3] >= 128,
            "{address:?} is not of the range"
        );
    }
    all_pairs(&[&a, &c])?;
    all_pairs(&[&b, &d])?;
    for (from, gateway) in
        [(&a, "10.21.0.1"), (&c, "10.21.0.1"), (&b, "10.22.0.254"), (&d, "10.22.0.254")]
    {
        from.ping(gateway)?;
    }
    for host in [h1, h2] {
        let rows = json(host, &["fdb"])?;
        ensure!(rows.as_array().is_some_and(|rows| rows.iter().all(|row| row["vni"] == 70_007)));
    }
    let link = a.ok(&["ip", "link", "show", "dev", "eth0"])?;
    ensure!(link.contains(" mtu 1300 "), "{link}");
    Ok(())
}
