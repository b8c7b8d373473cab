use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::map_type;
use crate::addr6;

/// The address of a tunnel's end: IPv6, or IPv4 mapped into it (`::ffff:a.b.c.d`, RFC 4291 section 2.5.5.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(C)]
pub struct TunnelAddr([u8; 16]);

map_type!(TunnelAddr => 16);

impl TunnelAddr {
    /// No address at all.
    pub const UNSPECIFIED: Self = Self([0; 16]);

    /// An IPv4 address, in wire order.
    #[inline(always)]
    pub const fn from_v4(address: [u8; 4]) -> Self {
        let [a, b, c, d] = address;
        Self([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, a, b, c, d])
    }

    /// An IPv6 address, in wire order.
    #[inline(always)]
    pub const fn from_v6(address: [u8; 16]) -> Self {
        Self(address)
    }

    /// Whether both are the same, by words; `==` would call a function in an eBPF program.
    #[inline(always)]
    pub const fn same(&self, other: &Self) -> bool {
        addr6::same(self.0, other.0)
    }

    /// All sixteen bytes, in wire order.
    #[inline(always)]
    pub const fn octets(&self) -> [u8; 16] {
        self.0
    }

    /// The four bytes that tell IPv4 addresses apart; of an IPv6 address, its last four.
    #[inline(always)]
    pub const fn low(&self) -> [u8; 4] {
        let [.., a, b, c, d] = self.0;
        [a, b, c, d]
    }

    /// The address as users write it.
    pub const fn ip(&self) -> IpAddr {
        let address = Ipv6Addr::from_octets(self.0);
        match address.to_ipv4_mapped() {
            Some(v4) => IpAddr::V4(v4),
            None => IpAddr::V6(address),
        }
    }
}

impl From<Ipv4Addr> for TunnelAddr {
    fn from(address: Ipv4Addr) -> Self {
        Self::from_v4(address.octets())
    }
}

impl From<IpAddr> for TunnelAddr {
    fn from(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(v4) => Self::from(v4),
            IpAddr::V6(v6) => Self(v6.octets()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_families_survive() {
        for text in ["192.0.2.1", "2001:db8::1"] {
            let address: IpAddr = text.parse().expect("an address");
            assert_eq!(TunnelAddr::from(address).ip(), address);
        }
        assert_eq!(TunnelAddr::from_v4([192, 0, 2, 1]).low(), [192, 0, 2, 1]);
    }
}
