//! Two hosts, joined by one veth pair.

use std::path::Path;

use anyhow::Result;
use testbed::{Netns, address};

use super::{Ends, Parts};

/// Two namespaces with `eth0` each, of MTU 1500; nothing but a veth pair between them.
pub(super) struct Pair {
    pub(super) hosts: [Netns; 2],
}

impl Pair {
    /// Named `<name>-h1` and `<name>-h2`.
    pub(super) fn new(dir: &Path, name: &str) -> Result<Self> {
        let hosts =
            [Netns::new(dir, &format!("{name}-h1"))?, Netns::new(dir, &format!("{name}-h2"))?];
        let [left, right] = &hosts;
        left.ip([format!(
            "link add name eth0 mtu 1500 type veth peer name eth0 mtu 1500 netns {}",
            right.path().display()
        )])?;
        for (host, last) in [(left, 1), (right, 2)] {
            host.ip([
                format!("address add {}/24 dev eth0", address(last)),
                "link set eth0 up".to_owned(),
            ])?;
        }
        Ok(Self { hosts })
    }
}

/// The bare underlay, host to host.
pub(super) fn hosts(dir: &Path) -> Result<Ends> {
    let pair = Pair::new(dir, "underlay")?;
    let [near, far] = pair.hosts.each_ref().map(|host| Netns::open(dir, host.path()));
    Ok(Ends { near, far, address: address(2), parts: Parts::Pair(pair) })
}
