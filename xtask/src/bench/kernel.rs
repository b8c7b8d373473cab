//! The kernel's own overlay, laid out as Docker does: on each host a namespace with a bridge, to
//! which the container's veth and a vxlan device are joined, with static entries for the peer.

use anyhow::Result;
use testbed::{Lab, Netns};

/// The address of the second container.
pub(super) const TARGET: &str = "10.2.0.2";

/// Builds it on the lab's two hosts, and gives the two containers.
pub(super) fn overlay(lab: &Lab) -> Result<[Netns; 2]> {
    let containers = [Netns::new(lab.dir(), "c1")?, Netns::new(lab.dir(), "c2")?];
    for (container, (own, peer)) in containers.iter().zip([(1, 2), (2, 1)]) {
        side(lab, container, own, peer)?;
    }
    Ok(containers)
}

fn side(lab: &Lab, container: &Netns, own: usize, peer: usize) -> Result<()> {
    let mut overlay = Netns::new(lab.dir(), &format!("ov{own}"))?;
    let (host, other) = (lab.host(own), lab.host(peer));
    let (mac, remote) = (mac(own), mac(peer));
    // Made in the host's namespace, so that its socket stays there, and moved.
    host.netns().ip([
        format!(
            "link add vxlan0 type vxlan id 4096 dstport 4789 local {} nolearning proxy l2miss l3miss",
            host.address()
        ),
        format!("link set vxlan0 netns {}", overlay.path().display()),
    ])?;
    overlay.ip([
        "link add br0 type bridge".to_owned(),
        "address add 10.2.0.254/24 dev br0".to_owned(),
        "link set br0 up".to_owned(),
        "link set vxlan0 master br0 up".to_owned(),
        format!(
            "link add veth0 mtu 1450 type veth peer name eth0 mtu 1450 address {mac} netns {}",
            container.path().display()
        ),
        "link set veth0 master br0 up".to_owned(),
        format!("neigh replace 10.2.0.{peer} lladdr {remote} dev vxlan0 nud permanent"),
    ])?;
    let dst = other.address();
    overlay
        .run([
            "bridge",
            "fdb",
            "replace",
            &remote,
            "dev",
            "vxlan0",
            "dst",
            &dst,
            "self",
            "permanent",
        ])?
        .ok()?;
    container
        .ip([format!("address add 10.2.0.{own}/24 dev eth0"), "link set eth0 up".to_owned()])?;
    overlay.keep();
    Ok(())
}

fn mac(number: usize) -> String {
    format!("02:42:0a:02:00:{number:02x}")
}
