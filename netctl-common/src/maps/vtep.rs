use super::{TunnelAddr, map_type};

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
    outer: [u8; OUTER_SPACE],
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
        outer: [0; OUTER_SPACE],
        checksum: 0,
    };

    /// The host at `remote`, reached from `local` by IPv4, both in wire order, on UDP port `port`.
    ///
    /// `mtu` is what fits the path to it, in bytes of the inner packet from the network layer on.
    pub fn new_v4(local: [u8; 4], remote: [u8; 4], port: u16, mtu: u32) -> Self {
        let header = crate::outer::template4(local, remote, port);
        let mut outer = [0; OUTER_SPACE];
        outer[..header.len()].copy_from_slice(&header);
        Self {
            flags: Self::USED,
            mtu,
            remote: TunnelAddr::from_v4(remote),
            outer,
            checksum: crate::outer::template4_sum(&header),
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

    /// The outer header but for what differs from packet to packet: see [`crate::outer`].
    #[inline(always)]
    pub const fn outer(&self) -> &[u8; OUTER_SPACE] {
        &self.outer
    }

    /// The sum of the constant words of the outer IPv4 header, unfolded.
    #[inline(always)]
    pub const fn checksum(&self) -> u32 {
        self.checksum
    }
}
