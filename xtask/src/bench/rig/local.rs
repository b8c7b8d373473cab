//! Containers of one host.
//!
//! ```text
//!   c1 ─ veth1 ─ br0 ─ veth2 ─ c2       a Linux bridge
//!   c1 ─ programs of netctl ─ c2
//! ```

use std::path::Path;

use anyhow::Result;
use testbed::{Lab, Netns, Options};

use super::{Ends, Ground, Parts, overlay};

/// On a bridge, as every engine lays it by default.
pub(super) fn bridge(dir: &Path) -> Result<Ends> {
    let host = Netns::new(dir, "bridge-h")?;
    host.ip(["link add br0 type bridge", "link set br0 up"])?;
    let containers = [Netns::new(dir, "bridge-c1")?, Netns::new(dir, "bridge-c2")?];
    for (container, own) in containers.iter().zip(1..) {
        let inside = container.path().display();
        host.ip([
            format!("link add veth{own} type veth peer name eth0 netns {inside}"),
            format!("link set veth{own} master br0 up"),
        ])?;
        container
            .ip([format!("address add 10.5.0.{own}/24 dev eth0"), "link set eth0 up".to_owned()])?;
    }
    let [near, far] = containers;
    Ok(Ends { near, far, address: "10.5.0.2".to_owned(), parts: Parts::Host(host) })
}

/// Two containers of an overlay network on one host with netctl's daemon.
pub(super) fn netctl(ground: &Ground<'_>) -> Result<Ends> {
    let binary = Some(ground.binary.to_owned());
    let lab = Lab::start(Options { hosts: 1, binary, ..Options::default() })?;
    let ends = joined(&lab).map_err(|error| lab.explain(error))?;
    let [near, far] = ends;
    Ok(Ends { near, far, address: "10.1.0.12".to_owned(), parts: Parts::Lab(Box::new(lab)) })
}

fn joined(lab: &Lab) -> Result<[Netns; 2]> {
    let host = lab.host(1);
    host.ok(["network", "create", "-d", "overlay", "--subnet", "10.1.0.0/24", "bench"])?;
    Ok([
        overlay::container(lab, host, "near", "10.1.0.11")?,
        overlay::container(lab, host, "far", "10.1.0.12")?,
    ])
}
