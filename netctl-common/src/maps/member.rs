use super::{TunnelAddr, map_type};
use crate::Vni;

/// Hash: [`MemberKey`] → index into `VTEPS` (`u32`).
pub const MEMBERS: &str = "MEMBERS";
/// How many memberships of other hosts one host can know.
pub const MEMBER_ENTRIES: u32 = 131_072;

/// Another host, as a member of a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(C)]
pub struct MemberKey {
    vni: u32,
    host: TunnelAddr,
}

map_type!(MemberKey => 20);

impl MemberKey {
    /// The host with the tunnel address `host` in the network `vni`.
    pub const fn new(vni: Vni, host: TunnelAddr) -> Self {
        Self::from_wire(vni.get(), host)
    }

    /// The same from a number that was not checked.
    #[inline(always)]
    pub const fn from_wire(vni: u32, host: TunnelAddr) -> Self {
        Self { vni, host }
    }

    /// The network's identifier, in host order.
    pub const fn vni(&self) -> u32 {
        self.vni
    }

    /// The host's tunnel address.
    pub const fn host(&self) -> &TunnelAddr {
        &self.host
    }
}
