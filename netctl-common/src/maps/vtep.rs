use super::{TunnelAddr, map_type};
use crate::outer::{self, OUTER4, Outer4};

/// Array: index → [`Vtep`]. An index that is not in use holds zeroes.
pub const VTEPS: &str = "VTEPS";
/// Hash: [`TunnelAddr`] → index into `VTEPS` (`u32`).
pub const VTEP_BY_ADDR: &str = "VTEP_BY_ADDR";
/// How many other hosts one host can know.
pub const VTEP_ENTRIES: u32 = 16_384;
/// Room for the longest outer header: IPv6 (40), UDP (8), VXLAN (8).
pub const OUTER_SPACE: usize = 56;

/// Another host, as the far end of a tunnel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Vtep {
    flags: u32,
    mtu: u32,
    remote: TunnelAddr,
    outer4: Outer4,
    _longer: [u8; OUTER_SPACE - OUTER4 as usize],
    checksum: u32,
}

map_type!(Vtep => 84);

impl Vtep {
    /// The index is in use.
    const USED: u32 = 1;

    /// What an index that is not in use holds.
    pub const UNUSED: Self = Self {
        flags: 0,
        mtu: 0,
        remote: TunnelAddr::UNSPECIFIED,
        outer4: [0; outer::OUTER4_WORDS],
        _longer: [0; OUTER_SPACE - OUTER4 as usize],
        checksum: 0,
    };

    /// The host at `remote`, reached from `local` by IPv4, both in wire order, on UDP port `port`.
    ///
    /// `mtu` is what fits the path to it, in bytes of the inner packet from the network layer on.
    pub const fn new_v4(local: [u8; 4], remote: [u8; 4], port: u16, mtu: u32) -> Self {
        let outer4 = outer::template4(local, remote, port);
        Self {
            flags: Self::USED,
            mtu,
            remote: TunnelAddr::from_v4(remote),
            outer4,
            _longer: [0; OUTER_SPACE - OUTER4 as usize],
            checksum: outer::template4_sum(&outer4),
        }
    }

    /// Whether the index is in use.
    #[inline(always)]
    pub const fn is_used(&self) -> bool {
        self.flags & Self::USED != 0
    }

    /// What fits the path, in bytes of the inner packet from the network layer on.
    #[inline(always)]
    pub const fn mtu(&self) -> u32 {
        self.mtu
    }

    /// The host's tunnel address.
    #[inline(always)]
    pub const fn remote(&self) -> &TunnelAddr {
        &self.remote
    }

    /// The outer headers over IPv4, but for what differs from packet to packet: see [`crate::outer`].
    #[inline(always)]
    pub const fn outer4(&self) -> &Outer4 {
        &self.outer4
    }

    /// The sum of the constant words of the outer IPv4 header, unfolded.
    #[inline(always)]
    pub const fn checksum(&self) -> u32 {
        self.checksum
    }
}
