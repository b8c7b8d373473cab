//! A host without netctl as a member of an overlay network: the kernel's vxlan device with static entries.

use anyhow::Result;
use testbed::Lab;

use crate::{
    container::{Container, SOON},
    stage::{field, refused},
};

on_both_stores! {
    a_stock_host_is_a_member on 2;
}

const MAC: &str = "02:00:00:00:00:50";

/// ```text
///   h1: box-one ─┐
///   h2: box-two ─┴─ network dev, VNI 7000 ── external: vxlan device vx, 10.50.0.50, service stock
/// ```
fn a_stock_host_is_a_member(lab: &Lab) -> Result<()> {
    let (h1, h2, external) = (lab.host(1), lab.host(2), lab.external());
    h1.ok(["network", "create", "--subnet", "10.50.0.0/24", "-o", "vni=7000", "dev"])?;
    let station = ["--ip", "10.50.0.50", "--mac", MAC, "--vtep", &external.address(), "stock.dev"];
    h1.ok(["service", "publish"].into_iter().chain(station))?;
    let containers =
        [Container::new(h1, "one", "dev", &[])?, Container::new(h2, "two", "dev", &[])?];

    external.netns().ip([
        format!(
            "link add vx address {MAC} type vxlan id 7000 local {} dstport 4789 nolearning",
            external.address()
        ),
        "link set vx mtu 1450 up".to_owned(),
        "addr add 10.50.0.50/24 dev vx".to_owned(),
    ])?;
    for container in &containers {
        let (vtep, mac) = (container.host.address(), mac(container)?);
        for mac in ["00:00:00:00:00:00", &mac] {
            let words = ["bridge", "fdb", "append", mac, "dev", "vx", "dst", &vtep];
            external.run(words)?.ok()?;
        }
    }
    for container in &containers {
        container.reaches("10.50.0.50")?;
        container.reaches("stock")?;
        let address = container.address()?;
        testbed::eventually("the stock host reaches it", SOON, || {
            external.run(["ping", "-c", "1", "-W", "1", &address])?.ok().map(drop)
        })?;
    }
    let vtep = field(h2, &["service", "inspect", "stock.dev"], "/0/vtep")?;
    anyhow::ensure!(vtep == external.address(), "{vtep}");

    h1.ok(["sandbox", "create", "box"])?;
    let words = ["service", "attach", "box", "stock.dev"];
    refused(h1, &words, &["service stock.dev is a station at", "it cannot be attached"])?;
    let words = ["service", "publish", "--vtep", &h2.address(), "x.dev"];
    refused(h1, &words, &["is that of host h2"])?;
    // Who is not published any more is not let in, and not found.
    h2.ok(["service", "unpublish", "stock.dev"])?;
    for container in &containers {
        testbed::eventually("it is gone", SOON, || container.does_not_reach("10.50.0.50"))?;
    }
    external.netns().ip(["link del vx"])
}

fn mac(container: &Container<'_>) -> Result<String> {
    field(container.host, &["service", "inspect", &container.reference()], "/0/mac")
}
