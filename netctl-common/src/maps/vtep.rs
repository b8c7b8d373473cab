use super::{TunnelAddr, map_type};
use crate::outer::{self, OUTER4_WORDS, OUTER6_WORDS, Outer4, Outer6};

/// Array: index → [`Vtep`]. An index that is not in use holds zeroes.
pub const VTEPS: &str = "VTEPS";
/// Hash: [`TunnelAddr`] → index into `VTEPS` (`u32`).
pub const VTEP_BY_ADDR: &str = "VTEP_BY_ADDR";
/// How many other hosts one host can know.
pub const VTEP_ENTRIES: u32 = 16_384;

/// Another host, as the far end of a tunnel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Vtep {
    flags: u32,
    mtu: u32,
    remote: TunnelAddr,
    /// Over IPv4 only the first words are used.
    outer: Outer6,
    checksum: u32,
}

map_type!(Vtep => 84);

impl Vtep {
    /// The index is in use.
    const USED: u32 = 1;
    /// The tunnel runs over IPv6.
    const OVER_V6: u32 = 2;

    /// What an index that is not in use holds.
    pub const UNUSED: Self = Self {
        flags: 0,
        mtu: 0,
        remote: TunnelAddr::UNSPECIFIED,
        outer: [0; OUTER6_WORDS],
        checksum: 0,
    };

    /// The host at `remote`, reached from `local` by IPv4, both in wire order, on UDP port `port`.
    ///
    /// `mtu` is what fits the path to it, in bytes of the inner packet from the network layer on.
    pub const fn new_v4(local: [u8; 4], remote: [u8; 4], port: u16, mtu: u32) -> Self {
        let outer4 = outer::template4(local, remote, port);
        let mut outer = [0; OUTER6_WORDS];
        let mut index = 0;
        while index < OUTER4_WORDS {
            outer[index] = outer4[index];
            index += 1;
        }
        Self {
            flags: Self::USED,
            mtu,
            remote: TunnelAddr::from_v4(remote),
            outer,
            checksum: outer::template4_sum(&outer4),
        }
    }

    /// The same for a host that is reached by IPv6.
    pub const fn new_v6(local: [u8; 16], remote: [u8; 16], port: u16, mtu: u32) -> Self {
        Self {
            flags: Self::USED | Self::OVER_V6,
            mtu,
            remote: TunnelAddr::from_v6(remote),
            outer: outer::template6(local, remote, port),
            checksum: 0,
        }
    }

    /// Whether the index is in use.
    #[inline(always)]
    pub const fn is_used(&self) -> bool {
        self.flags & Self::USED != 0
    }

    /// Whether the tunnel runs over IPv6, and [`Vtep::outer6`] has its headers, or over IPv4 and [`Vtep::outer4`].
    #[inline(always)]
    pub const fn is_over_v6(&self) -> bool {
        self.flags & Self::OVER_V6 != 0
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
        let [outer4 @ .., _, _, _, _, _] = &self.outer;
        outer4
    }

    /// The same over IPv6.
    #[inline(always)]
    pub const fn outer6(&self) -> &Outer6 {
        &self.outer
    }

    /// The sum of the constant words of the outer IPv4 header, unfolded.
    #[inline(always)]
    pub const fn checksum(&self) -> u32 {
        self.checksum
    }
}
