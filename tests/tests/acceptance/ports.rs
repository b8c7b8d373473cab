//! What a container may send, and how it is reached where it is a bridge itself.

use anyhow::{Result, ensure};
use testbed::{Host, Lab};

use crate::{
    container::Container,
    stage::{field, json},
};

on_both_stores! {
    without_port_security_any_address_may_be_used on 2;
    a_container_may_bridge_onward on 2;
}

/// ```text
///   h1: box-one, 10.30.0.99 and fd00:30::99 besides ─┐
///   h2: box-two ─────────────────────────────────────┴─ network open, then network shut
/// ```
fn without_port_security_any_address_may_be_used(lab: &Lab) -> Result<()> {
    let subnets = ["--subnet", "10.30.0.0/24", "--subnet", "fd00:30::/64"];
    for (network, security) in [("open", "off"), ("shut", "on")] {
        let option = format!("port-security={security}");
        let further = ["-o", "allow-overlap=true", "-o", &option, network];
        lab.host(1).ok(["network", "create"].into_iter().chain(subnets).chain(further))?;
        let one = Container::new(lab.host(1), &format!("one-{network}"), network, &[])?;
        let two = Container::new(lab.host(2), &format!("two-{network}"), network, &[])?;
        one.reaches(&two.address_at(0)?)?;
        two.reaches(&one.address_at(1)?)?;
        one.ok(&["ip", "addr", "add", "10.30.0.99/24", "dev", "eth0"])?;
        one.ok(&["ip", "addr", "add", "fd00:30::99/64", "dev", "eth0", "nodad"])?;
        for added in ["10.30.0.99", "fd00:30::99"] {
            if security == "off" {
                two.reaches(added)?;
                one.ok(&["ping", "-I", added, "-c", "1", "-W", "1", &peer(&two, added)?])?;
            } else {
                two.does_not_reach(added)?;
                let ping = ["ping", "-I", added, "-c", "1", "-W", "1", &peer(&two, added)?];
                ensure!(!one.exec(&ping)?.success(), "{added} may be used");
            }
        }
        let shown =
            field(lab.host(1), &["network", "inspect", network], "/0/options/port-security")?;
        ensure!(shown == security, "{shown}");
    }
    Ok(())
}

/// The address of a container that is of the same family as `address`.
fn peer(container: &Container<'_>, address: &str) -> Result<String> {
    container.address_at(usize::from(address.contains(':')))
}

/// ```text
///   h1: box-bridge: eth0 ── br0 10.31.0.2   box-near ─┐
///   h2: box-far ──────────────────────────────────────┴─ network dev
/// ```
fn a_container_may_bridge_onward(lab: &Lab) -> Result<()> {
    lab.host(1).ok(["network", "create", "--subnet", "10.31.0.0/24", "dev"])?;
    let bridge = Container::new(lab.host(1), "bridge", "dev", &["--bridging"])?;
    let near = Container::new(lab.host(1), "near", "dev", &[])?;
    let far = Container::new(lab.host(2), "far", "dev", &[])?;
    let shown = json(lab.host(2), &["service", "inspect", "bridge.dev"])?;
    ensure!(shown[0]["bridging"] == true, "{shown}");
    ensure!(
        lab.host(1)
            .ok(["service", "inspect", "bridge.dev", "--format", "table"])?
            .contains("Bridging")
    );
    let address = bridge.address()?;
    near.reaches(&address)?;
    let mac = netctl_common::MacAddr(bridge.mac()?).to_string();
    for words in [
        ["ip", "addr", "flush", "dev", "eth0"].as_slice(),
        &["ip", "link", "add", "br0", "address", &mac, "type", "bridge"],
        &["ip", "link", "set", "eth0", "master", "br0"],
        &["ip", "link", "set", "br0", "up"],
        &["ip", "addr", "add", &format!("{address}/24"), "dev", "br0"],
    ] {
        bridge.ok(words)?;
    }
    for other in [&near, &far] {
        other.reaches(&address)?;
        bridge.reaches(&other.address()?)?;
    }
    as_a_service_of_run(lab.host(2))
}

/// `run` takes it too.
fn as_a_service_of_run(host: &Host) -> Result<()> {
    let run =
        ["run", "--name", "short", "--bridging", "--publish-service", "short.dev", "--", "true"];
    host.ok(run)?;
    let shown = json(host, &["service", "inspect", "short.dev"])?;
    ensure!(shown[0]["bridging"] == true, "{shown}");
    Ok(())
}
