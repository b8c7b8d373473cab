//! Containers that reach each other by plain routing over their hosts, without an overlay.
//!
//! ```text
//!   c1 10.3.1.2 ─ veth ─ h1 ── eth0 ── h2 ─ veth ─ c2 10.3.2.2
//! ```

use std::path::Path;

use anyhow::Result;
use testbed::{Netns, address};

use super::{Ends, Pair, Parts};

pub(super) fn containers(dir: &Path) -> Result<Ends> {
    let pair = Pair::new(dir, "routed")?;
    let containers = [Netns::new(dir, "routed-c1")?, Netns::new(dir, "routed-c2")?];
    let sides = pair.hosts.iter().zip(&containers);
    for ((host, container), (own, peer)) in sides.zip([(1, 2), (2, 1)]) {
        host.set_sysctl("net/ipv4/ip_forward", "1")?;
        host.ip([
            format!(
                "link add veth0 mtu 1500 type veth peer name eth0 mtu 1500 netns {}",
                container.path().display()
            ),
            format!("address add 10.3.{own}.1/24 dev veth0"),
            "link set veth0 up".to_owned(),
            format!("route add 10.3.{peer}.0/24 via {}", address(peer)),
        ])?;
        container.ip([
            format!("address add 10.3.{own}.2/24 dev eth0"),
            "link set eth0 up".to_owned(),
            format!("route add default via 10.3.{own}.1"),
        ])?;
    }
    let [near, far] = containers;
    Ok(Ends { near, far, address: "10.3.2.2".to_owned(), parts: Parts::Pair(pair) })
}
