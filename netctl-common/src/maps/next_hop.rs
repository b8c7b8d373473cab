use super::map_type;
use crate::{MacAddr, wire::Ethernet};

/// Array: the index of a host in `VTEPS` → [`NextHop`].
pub const NEXT_HOPS: &str = "NEXT_HOPS";
/// Array of one: until when the next hops may be used, in nanoseconds of `CLOCK_MONOTONIC` (`u64`).
///
/// The daemon renews it for as long as it follows the kernel's neighbours. Where it does not, the kernel's own look-up
/// takes over, so that what a packet is sent to is never older than the lease.
pub const NEXT_HOPS_UNTIL: &str = "NEXT_HOPS_UNTIL";

/// The link-layer addresses of the way to another host: a copy of the kernel's route and neighbour.
///
/// Each half is written and read as one word, and says for itself whether it holds an address, so that a packet that
/// comes in the middle of a change gets an old address or a new one and never a mixture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct NextHop {
    destination: u64,
    source: u64,
}

map_type!(NextHop => 16);

impl NextHop {
    /// There is no copy: the kernel has to be asked for each packet.
    pub const UNKNOWN: Self = Self { destination: 0, source: 0 };

    /// By the underlay device, whose own address is `source`, to the station `destination`.
    pub const fn new(destination: MacAddr, source: MacAddr) -> Self {
        Self { destination: word(destination), source: word(source) }
    }

    /// The Ethernet header of a packet of this type; `None` where the way is not known.
    #[inline(always)]
    pub const fn ethernet(&self, ether_type: u16) -> Option<Ethernet> {
        match (mac(self.destination), mac(self.source)) {
            (Some(destination), Some(source)) => {
                Some(Ethernet::new(destination, source, ether_type))
            }
            _ => None,
        }
    }
}

/// The address in the first six bytes, and a byte that is not zero.
const fn word(mac: MacAddr) -> u64 {
    let [m0, m1, m2, m3, m4, m5] = mac.0;
    u64::from_ne_bytes([m0, m1, m2, m3, m4, m5, 1, 0])
}

#[inline(always)]
const fn mac(word: u64) -> Option<MacAddr> {
    let [mac @ .., known, _] = word.to_ne_bytes();
    if known == 0 { None } else { Some(MacAddr(mac)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::ether_type;

    #[test]
    fn a_way_is_known_only_if_both_ends_are() {
        let (near, far) = (MacAddr([2, 0, 0, 0, 0, 1]), MacAddr([2, 0, 0, 0, 0, 2]));
        let hop = NextHop::new(far, near);
        let expected = Ethernet::new(far, near, ether_type::IPV4);
        assert_eq!(hop.ethernet(ether_type::IPV4), Some(expected));
        assert_eq!(NextHop::UNKNOWN.ethernet(ether_type::IPV4), None);
        assert_eq!(NextHop { source: 0, ..hop }.ethernet(ether_type::IPV4), None);
        assert_eq!(NextHop { destination: 0, ..hop }.ethernet(ether_type::IPV4), None);
    }

    #[test]
    fn a_station_of_zeroes_is_an_address_all_the_same() {
        let zero = MacAddr([0; 6]);
        assert!(NextHop::new(zero, zero).ethernet(ether_type::IPV6).is_some());
    }
}
