//! Hosts on one underlay, with containers in one network.

use std::net::{IpAddr, Ipv6Addr};

use anyhow::{Context as _, Result};
use netctl_common::{MacAddr, Vni, maps::FdbTarget};
use testbed::{Families, Netns, Run, Underlay};

use crate::host::{Container, Host};

pub(crate) const VNI: u32 = 4097;
/// The network that all stations are in, where nothing else is said.
pub(crate) const NETWORK: Vni = Vni::new(VNI).expect("a VNI");
pub(crate) const UNDERLAY_MTU: u32 = 1500;
/// The hosts' own endpoint, the same station on all of them.
pub(crate) const GATEWAY: Station = Station::number(1);

/// What hosts and containers speak.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setup {
    /// Hosts reach each other by IPv6, not IPv4.
    pub(crate) over6: bool,
    /// The underlay's, in bytes.
    pub(crate) mtu: u32,
    /// Containers have IPv6 beside IPv4. Without it they, and the hosts' ends of them, are silent by themselves.
    pub(crate) dual: bool,
    /// The programs know the next hops, and leave nothing of the way to the kernel.
    pub(crate) next_hops: bool,
}

impl Setup {
    const PLAIN: Self = Self { over6: false, mtu: UNDERLAY_MTU, dual: false, next_hops: false };
    /// Both families in containers, over either on the underlay; each way to the next hop once.
    pub(crate) const DUAL: [Self; 2] = [
        Self { dual: true, next_hops: true, ..Self::PLAIN },
        Self { dual: true, over6: true, ..Self::PLAIN },
    ];

    /// What fits a tunnel, in bytes of the inner packet.
    pub(crate) fn inner_mtu(self) -> u32 {
        self.mtu - if self.over6 { 70 } else { 50 }
    }

    fn families(self) -> Families {
        if self.over6 { Families::V6 } else { Families::V4 }
    }
}

/// An interface in a network.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Station {
    pub(crate) network: Vni,
    pub(crate) mac: [u8; 6],
    pub(crate) address: [u8; 4],
}

impl Station {
    /// One of [`NETWORK`].
    pub(crate) const fn number(last: u8) -> Self {
        Self { network: NETWORK, mac: [2, 0, 0, 0, 0, last], address: [10, 0, 0, last] }
    }

    pub(crate) fn ip(self) -> String {
        std::net::Ipv4Addr::from(self.address).to_string()
    }

    /// Its address of IPv6, where the rig gives any: `fd00::` and the last byte of the other.
    pub(crate) fn ip6(self) -> Ipv6Addr {
        let [.., last] = self.address;
        Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, last.into())
    }

    /// One of each family.
    pub(crate) fn both(self) -> [IpAddr; 2] {
        [self.address.into(), self.ip6().into()]
    }

    pub(crate) fn mac_text(self) -> String {
        MacAddr(self.mac).to_string()
    }
}

pub(crate) struct Rig {
    pub(crate) near: Container,
    pub(crate) beside: Container,
    pub(crate) far: Container,
    pub(crate) a: Host,
    pub(crate) b: Host,
    pub(crate) underlay: Underlay,
    pub(crate) setup: Setup,
    pub(crate) run: Run,
}

impl Rig {
    /// IPv4 inside and outside.
    pub(crate) fn new() -> Result<Self> {
        Self::of(Setup::PLAIN)
    }

    pub(crate) fn of(setup: Setup) -> Result<Self> {
        let run = Run::new()?;
        let underlay = Underlay::of(run.dir(), setup.mtu, setup.families())?;
        let mut a = Host::new(&run, &underlay, "h1", 1, setup)?;
        let mut b = Host::new(&run, &underlay, "h2", 2, setup)?;
        let near = a.container(&run, "near", Station::number(11))?;
        let beside = a.container(&run, "beside", Station::number(12))?;
        let far = b.container(&run, "far", Station::number(21))?;
        a.knows_member(NETWORK, b.address)?;
        a.knows(far.station, FdbTarget::Remote(b.index()))?;
        b.knows_member(NETWORK, a.address)?;
        for container in [&near, &beside] {
            b.knows(container.station, FdbTarget::Remote(a.index()))?;
        }
        if setup.next_hops {
            let (mac_a, mac_b) = (mac_of(&a.netns, "eth0")?, mac_of(&b.netns, "eth0")?);
            a.knows_next_hop(b.index(), mac_b, mac_a)?;
            b.knows_next_hop(a.index(), mac_a, mac_b)?;
        }
        Ok(Self { near, beside, far, a, b, underlay, setup, run })
    }
}

/// The IPv6 address on the underlay of the host with that address of IPv4.
pub(crate) fn address6(address: [u8; 4]) -> [u8; 16] {
    let [.., last] = address;
    Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, last.into()).octets()
}

pub(crate) fn index(netns: &Netns, device: &str) -> Result<u32> {
    let index = netns.within(|| Ok(nix::net::if_::if_nametoindex(device)?));
    index.with_context(|| format!("{device} in {}", netns.name()))
}

pub(crate) fn mac_of(netns: &Netns, device: &str) -> Result<MacAddr> {
    let text = netns.run(["ip", "-brief", "link", "show", "dev", device])?.ok()?;
    let mac = text.split_whitespace().nth(2).context("no address")?;
    mac.parse().map_err(|error| anyhow::anyhow!("{mac}: {error}"))
}

/// Switches features of a device by ethtool(8): `tso`, `gro`, ….
pub(crate) fn switch(netns: &Netns, device: &str, features: &[&str], state: &str) -> Result<()> {
    if features.is_empty() {
        return Ok(());
    }
    let pairs = features.iter().flat_map(|feature| [*feature, state]);
    netns.run(["ethtool", "-K", device].into_iter().chain(pairs))?.ok().map(drop)
}
