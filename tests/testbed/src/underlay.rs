//! The network that the hosts are joined by.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

use crate::netns::Netns;

/// The last byte of the address of the host that runs etcd: 192.0.2.253.
pub const ETCD: u8 = 253;

/// The last byte of the address of the host outside every network: 192.0.2.254.
pub const EXTERNAL: u8 = 254;

/// A host's address on the underlay (TEST-NET-1, RFC 5737).
pub fn address(last: u8) -> String {
    format!("192.0.2.{last}")
}

/// The same of IPv6 (RFC 3849), with the last byte in hexadecimal.
pub fn address6(last: u8) -> String {
    format!("2001:db8::{last:x}")
}

/// Which addresses the hosts have on the underlay.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
pub enum Families {
    /// IPv4 alone.
    #[default]
    V4,
    /// IPv6 alone.
    V6,
    /// One of each.
    Both,
}

/// A bridge in a namespace of its own, to which each host's `eth0` is joined.
#[derive(Debug)]
pub struct Underlay {
    netns: Netns,
    mtu: u32,
    families: Families,
}

impl Underlay {
    /// Makes the bridge; `mtu` in bytes is that of every device joined to it.
    pub fn new(run: &Path, mtu: u32) -> Result<Self> {
        Self::of(run, mtu, Families::V4)
    }

    /// Makes the bridge, for hosts with these addresses.
    pub fn of(run: &Path, mtu: u32, families: Families) -> Result<Self> {
        let netns = Netns::new(run, "underlay")?;
        // A switch shows no frame to the packet filter, so neither does this one.
        if fs::exists("/proc/sys/net/bridge/bridge-nf-call-iptables")? {
            for table in ["arptables", "iptables", "ip6tables"] {
                netns.set_sysctl(&format!("net/bridge/bridge-nf-call-{table}"), "0")?;
            }
        }
        netns.ip(["link add underlay type bridge mcast_snooping 0", "link set underlay up"])?;
        Ok(Self { netns, mtu, families })
    }

    /// The namespace with the bridge `underlay`, whose ports are named like the hosts.
    pub fn netns(&self) -> &Netns {
        &self.netns
    }

    /// Gives `host` the device `eth0` with `address(last)`/24, `address6(last)`/64 or both, joined to the bridge.
    pub fn join(&self, host: &Netns, last: u8) -> Result<()> {
        self.join_with(host, last, self.families)
    }

    pub(crate) fn join_with(&self, host: &Netns, last: u8, families: Families) -> Result<()> {
        let (port, mtu) = (host.name(), self.mtu);
        let inside = host.path().display();
        self.netns.ip([
            format!(
                "link add name {port} mtu {mtu} type veth peer name eth0 mtu {mtu} netns {inside}"
            ),
            format!("link set dev {port} master underlay up"),
        ])?;
        configure(host, last, families)
    }

    pub(crate) fn keep(mut self) {
        self.netns.keep();
    }
}

/// Joins two hosts directly, `eth0` to `eth0`: nothing but a veth pair between them.
pub(crate) fn join_directly(
    left: &Netns,
    right: &Netns,
    mtu: u32,
    families: Families,
) -> Result<()> {
    let inside = right.path().display();
    left.ip([format!(
        "link add name eth0 mtu {mtu} type veth peer name eth0 mtu {mtu} netns {inside}"
    )])?;
    configure(left, 1, families)?;
    configure(right, 2, families)
}

fn configure(host: &Netns, last: u8, families: Families) -> Result<()> {
    let mut commands = vec!["link set eth0 up".to_owned()];
    if families != Families::V6 {
        commands.push(format!("addr add {}/24 dev eth0", address(last)));
    }
    if families != Families::V4 {
        commands.push(format!("addr add {}/64 dev eth0 nodad", address6(last)));
    }
    host.ip(commands).with_context(|| format!("cannot join {} to the underlay", host.name()))
}
