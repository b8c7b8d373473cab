//! IPv6 addresses (RFC 4291), in wire order as everywhere here, and read in pieces of eight bytes.

use crate::MacAddr;

/// `::`, which nobody has: the source of one who has no address yet.
pub const UNSPECIFIED: [u8; 16] = [0; 16];
/// `ff02::1`, all nodes on the link.
pub const ALL_NODES: [u8; 16] = [0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];

/// `fe80::/64`. The standard has ten bits and then zeroes (section 2.5.6).
const LINK_LOCAL: u64 = u64::from_ne_bytes([0xfe, 0x80, 0, 0, 0, 0, 0, 0]);
/// `ff02::1:ff00:0/104`, cut into the 8 bytes at the start and 4 of the 5 that follow; the last of them is
/// [`SOLICITED_NODE_LAST`].
const SOLICITED_NODE: u64 = u64::from_ne_bytes([0xff, 2, 0, 0, 0, 0, 0, 0]);
const SOLICITED_NODE_NEXT: u32 = u32::from_ne_bytes([0, 0, 0, 1]);
const SOLICITED_NODE_LAST: u8 = 0xff;
/// "Universal or local", which an interface identifier has the other way round (appendix A).
const UNIVERSAL_LOCAL: u8 = 0x02;

/// The two halves of an address, as they stand in memory.
#[inline(always)]
pub const fn halves(address: [u8; 16]) -> [u64; 2] {
    let [high @ .., _, _, _, _, _, _, _, _] = address;
    let [_, _, _, _, _, _, _, _, low @ ..] = address;
    [u64::from_ne_bytes(high), u64::from_ne_bytes(low)]
}

/// The four words of an address, as they stand in memory.
#[inline(always)]
pub const fn words(address: [u8; 16]) -> [u32; 4] {
    let [a @ .., _, _, _, _, _, _, _, _, _, _, _, _] = address;
    let [_, _, _, _, b @ .., _, _, _, _, _, _, _, _] = address;
    let [_, _, _, _, _, _, _, _, c @ .., _, _, _, _] = address;
    let [_, _, _, _, _, _, _, _, _, _, _, _, d @ ..] = address;
    [u32::from_ne_bytes(a), u32::from_ne_bytes(b), u32::from_ne_bytes(c), u32::from_ne_bytes(d)]
}

/// The address of four words as they stand in memory.
#[inline(always)]
pub const fn from_words(words: [u32; 4]) -> [u8; 16] {
    let ([a0, a1, a2, a3], [b0, b1, b2, b3]) = (words[0].to_ne_bytes(), words[1].to_ne_bytes());
    let ([c0, c1, c2, c3], [d0, d1, d2, d3]) = (words[2].to_ne_bytes(), words[3].to_ne_bytes());
    [a0, a1, a2, a3, b0, b1, b2, b3, c0, c1, c2, c3, d0, d1, d2, d3]
}

/// Whether both are the same address, in two comparisons; `==` would call a function in an eBPF program.
#[inline(always)]
pub const fn same(one: [u8; 16], other: [u8; 16]) -> bool {
    let ([high, low], [other_high, other_low]) = (halves(one), halves(other));
    high == other_high && low == other_low
}

/// Whether it is `::`.
#[inline(always)]
pub const fn is_unspecified(address: [u8; 16]) -> bool {
    let [high, low] = halves(address);
    high | low == 0
}

/// Whether it is an IPv4 address in the form of an IPv6 address, `::ffff:0:0/96`, which no packet carries (section
/// 2.5.5.2).
#[inline(always)]
pub const fn is_mapped(address: [u8; 16]) -> bool {
    let [high, _] = halves(address);
    let [_, _, next, _] = words(address);
    high == 0 && next == u32::from_ne_bytes([0, 0, 0xff, 0xff])
}

/// Whether it is an address of a group: `ff00::/8`.
#[inline(always)]
pub const fn is_multicast(address: [u8; 16]) -> bool {
    address[0] == 0xff
}

/// Whether it is meant for this link alone: `fe80::/10`.
#[inline(always)]
pub const fn is_link_local(address: [u8; 16]) -> bool {
    address[0] == 0xfe && address[1] & 0xc0 == 0x80
}

/// The link-local address that a station makes of its own link-layer address (section 2.5.6 and appendix A).
#[inline(always)]
pub const fn link_local(mac: MacAddr) -> [u8; 16] {
    let [first, oui1, oui2, low @ ..] = mac.0;
    let first = first ^ UNIVERSAL_LOCAL;
    [0xfe, 0x80, 0, 0, 0, 0, 0, 0, first, oui1, oui2, 0xff, 0xfe, low[0], low[1], low[2]]
}

/// The station whose [`link_local`] address this is; `None` where it was made in another way.
#[inline(always)]
pub const fn mac_of_link_local(address: [u8; 16]) -> Option<MacAddr> {
    let [prefix, _] = halves(address);
    let [_, _, _, _, _, _, _, _, first, oui1, oui2, ff, fe, low @ ..] = address;
    let mac = MacAddr([first ^ UNIVERSAL_LOCAL, oui1, oui2, low[0], low[1], low[2]]);
    if prefix != LINK_LOCAL || ff != 0xff || fe != 0xfe || mac.is_group() {
        None
    } else {
        Some(mac)
    }
}

/// Whether it is a group in which one asks for the link-layer address of a station (section 2.7.1).
#[inline(always)]
pub const fn is_solicited_node(address: [u8; 16]) -> bool {
    let [high, _] = halves(address);
    let [_, _, next, _] = words(address);
    high == SOLICITED_NODE && next == SOLICITED_NODE_NEXT && address[12] == SOLICITED_NODE_LAST
}

#[cfg(test)]
mod tests {
    use core::net::Ipv6Addr;

    use proptest::prelude::*;

    use super::*;

    fn address(text: &str) -> [u8; 16] {
        text.parse::<Ipv6Addr>().expect("an address").octets()
    }

    #[test]
    fn kinds() {
        for (text, unspecified, multicast, link_local, solicited_node) in [
            ("::", true, false, false, false),
            ("::1", false, false, false, false),
            ("1::", false, false, false, false),
            ("2001:db8::1", false, false, false, false),
            ("fe80::1", false, false, true, false),
            ("febf:ffff::", false, false, true, false),
            ("fec0::1", false, false, false, false),
            ("ff02::1", false, true, false, false),
            ("ff02::1:ff00:0", false, true, false, true),
            ("ff02::1:ffff:ffff", false, true, false, true),
            ("ff02::1:fe00:0", false, true, false, false),
            ("ff02::2:ff00:0", false, true, false, false),
            ("ff02::1:1:ff00:0", false, true, false, false),
            ("ff05::1:ff00:0", false, true, false, false),
            ("ff02:0:0:1::1:ff00:0", false, true, false, false),
        ] {
            let bytes = address(text);
            assert_eq!(is_unspecified(bytes), unspecified, "{text}");
            assert_eq!(is_multicast(bytes), multicast, "{text}");
            assert_eq!(is_link_local(bytes), link_local, "{text}");
            assert_eq!(is_solicited_node(bytes), solicited_node, "{text}");
        }
        assert_eq!(UNSPECIFIED, address("::"));
        assert_eq!(ALL_NODES, address("ff02::1"));
    }

    #[test]
    fn link_local_addresses_of_stations() {
        // The example of RFC 4291, appendix A, and one whose bit is the other way round.
        for (mac, text) in [
            ([0x34, 0x56, 0x78, 0x9a, 0xbc, 0xde], "fe80::3656:78ff:fe9a:bcde"),
            ([0x02, 0, 0, 0, 0, 0x11], "fe80::ff:fe00:11"),
        ] {
            assert_eq!(link_local(MacAddr(mac)), address(text), "{text}");
            assert_eq!(mac_of_link_local(address(text)), Some(MacAddr(mac)), "{text}");
        }
        for text in [
            "::",
            "fe80::1",
            "fe80::3656:78ff:ff9a:bcde",
            "fe80::3656:78fe:fe9a:bcde",
            "fe80:0:0:1:3656:78ff:fe9a:bcde",
            "2001:db8::3656:78ff:fe9a:bcde",
            // Its station would be a group.
            "fe80::3756:78ff:fe9a:bcde",
        ] {
            assert_eq!(mac_of_link_local(address(text)), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn every_station_is_found_again(random: [u8; 6]) {
            let mac = MacAddr::local_from(random);
            let own = link_local(mac);
            prop_assert!(is_link_local(own));
            prop_assert_eq!(mac_of_link_local(own), Some(mac));
        }

        #[test]
        fn pieces_are_the_whole(bytes: [u8; 16]) {
            prop_assert_eq!(halves(bytes).map(u64::to_ne_bytes).concat(), bytes);
            prop_assert_eq!(words(bytes).map(u32::to_ne_bytes).concat(), bytes);
        }

        #[test]
        fn one_bit_makes_another_address(bytes: [u8; 16], bit in 0_u32..128) {
            let other = (u128::from_ne_bytes(bytes) ^ (1 << bit)).to_ne_bytes();
            prop_assert!(same(bytes, bytes));
            prop_assert!(!same(bytes, other));
            prop_assert_eq!(is_unspecified(bytes), bytes == UNSPECIFIED);
        }

        #[test]
        fn kinds_equal_those_of_the_standard_library(bytes: [u8; 16], prefix in 0_usize..4) {
            let mut bytes = bytes;
            match prefix {
                0 => bytes[0] = 0xff,
                1 => bytes[0] = 0xfe,
                2 => bytes[..8].copy_from_slice(&[0xfe, 0x80, 0, 0, 0, 0, 0, 0]),
                _ => {}
            }
            let known = Ipv6Addr::from(bytes);
            prop_assert_eq!(is_multicast(bytes), known.is_multicast());
            prop_assert_eq!(is_link_local(bytes), known.is_unicast_link_local());
        }
    }
}
