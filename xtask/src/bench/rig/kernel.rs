//! The kernel's own overlay, laid out as Docker does: on each host a namespace with a bridge, to
//! which the container's veth and a vxlan device are joined, with static entries for the peer.
//! Bridges show their packets to the packet filter, where the machine's default says so.
//!
//! ```text
//!   c1 ─ veth0 ─ br0 ─ vxlan0 ── h1 ── eth0 ── h2 ── vxlan0 ─ br0 ─ veth0 ─ c2
//! ```

use std::path::Path;

use anyhow::Result;
use testbed::{Netns, address};

use super::{Ends, Pair, Parts};

pub(super) fn containers(dir: &Path) -> Result<Ends> {
    laid_out(dir, "kernel")
}

/// The layout on a pair of hosts of its own.
pub(super) fn laid_out(dir: &Path, name: &str) -> Result<Ends> {
    let pair = Pair::new(dir, name)?;
    let containers =
        [Netns::new(dir, &format!("{name}-c1"))?, Netns::new(dir, &format!("{name}-c2"))?];
    let sides = pair.hosts.iter().zip(&containers);
    for ((host, container), (own, peer)) in sides.zip([(1, 2), (2, 1)]) {
        let mut overlay = Netns::new(dir, &format!("{name}-o{own}"))?;
        side(host, &overlay, container, own, peer)?;
        overlay.keep();
    }
    let [near, far] = containers;
    Ok(Ends { near, far, address: "10.2.0.2".to_owned(), parts: Parts::Pair(pair) })
}

fn side(host: &Netns, overlay: &Netns, container: &Netns, own: u8, peer: u8) -> Result<()> {
    // Made in the host's namespace, so that its socket stays there, and moved.
    host.ip([
        format!(
            "link add vxlan0 type vxlan id 4096 dstport 4789 local {} nolearning proxy l2miss l3miss",
            address(own)
        ),
        format!("link set vxlan0 netns {}", overlay.path().display()),
    ])?;
    overlay.ip([
        "link add br0 type bridge".to_owned(),
        "address add 10.2.0.254/24 dev br0".to_owned(),
        "link set br0 up".to_owned(),
        "link set vxlan0 master br0 up".to_owned(),
        format!(
            "link add veth0 mtu 1450 type veth peer name eth0 mtu 1450 address {} netns {}",
            mac(own),
            container.path().display()
        ),
        "link set veth0 master br0 up".to_owned(),
        format!("neigh replace 10.2.0.{peer} lladdr {} dev vxlan0 nud permanent", mac(peer)),
    ])?;
    let (remote, dst) = (mac(peer), address(peer));
    let entry = ["bridge", "fdb", "replace", &remote, "dev", "vxlan0", "dst", &dst];
    overlay.run(entry.iter().chain(&["self", "permanent"]))?.ok()?;
    container.ip([format!("address add 10.2.0.{own}/24 dev eth0"), "link set eth0 up".to_owned()])
}

fn mac(number: u8) -> String {
    format!("02:42:0a:02:00:{number:02x}")
}
