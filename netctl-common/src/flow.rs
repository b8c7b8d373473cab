//! A hash of a packet's flow, for packets that carry none: the underlay spreads flows over its paths by it.
//!
//! Words are hashed in pairs, each pair by one multiplication, and the products are added (NH, the
//! first layer of UMAC, RFC 4418 section 5.2.2). Two steps as at the end of `MurmurHash3` then carry all bits of the sum
//! to all bits of the result.

use crate::addr6;

/// A number without structure for each word of a flow: the fractional part of the square root of a prime, as in
/// SHA-2, without its last bit, so that an eBPF instruction can hold it.
const KEYS: [u32; 10] = [
    0x35047333, 0x5dd9b3c2, 0x1e3779b9, 0x52a7fa9d, 0x2887293f, 0x4d82b446, 0x0fc1ecd5, 0x2df0668c,
    0x65ddceae, 0x314d1495,
];
/// The multipliers of `MurmurHash3`'s `fmix64`.
const FIRST: u64 = 0xff51afd7ed558ccd;
const SECOND: u64 = 0xc4ceb9fe1a85ec53;

/// The hash of a flow over IPv4. Addresses are in wire order; `ports` are [`crate::wire::Ports::word`], zero where there
/// are none.
#[inline(always)]
pub const fn hash4(source: [u8; 4], destination: [u8; 4], protocol: u8, ports: u32) -> u32 {
    let addresses = pair(0, u32::from_ne_bytes(source), u32::from_ne_bytes(destination));
    finish(addresses.wrapping_add(pair(8, ports, protocol as u32)))
}

/// The hash of a flow over IPv6, in the same terms.
#[inline(always)]
pub const fn hash6(source: [u8; 16], destination: [u8; 16], next_header: u8, ports: u32) -> u32 {
    let ([s0, s1, s2, s3], [d0, d1, d2, d3]) = (addr6::words(source), addr6::words(destination));
    finish(
        pair(0, s0, d0)
            .wrapping_add(pair(2, s1, d1))
            .wrapping_add(pair(4, s2, d2))
            .wrapping_add(pair(6, s3, d3))
            .wrapping_add(pair(8, ports, next_header as u32)),
    )
}

/// The product of two words, with the keys at `key` and the next.
#[inline(always)]
const fn pair(key: usize, one: u32, other: u32) -> u64 {
    let one = one as u64 + KEYS[key] as u64;
    let other = other as u64 + KEYS[key + 1] as u64;
    one.wrapping_mul(other)
}

#[inline(always)]
const fn finish(sum: u64) -> u32 {
    let mixed = (sum ^ sum >> 32).wrapping_mul(FIRST);
    ((mixed ^ mixed >> 32).wrapping_mul(SECOND) >> 32) as u32
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// How many flows are looked at.
    const FLOWS: u32 = 16_384;
    /// How many paths they are spread over, by the high bits.
    const PATHS: u32 = 64;

    /// Whether the flows' hashes look random in their high 14 bits, which become the source port, and in the low 20,
    /// which become the flow label.
    ///
    /// Random ones fill 63 % of the ports, and chi-square over 64 paths is 63 give or take 11: beyond 150 for one in
    /// ten thousand million.
    fn assert_spread(hash: impl Fn(u32) -> u32, what: &str) {
        for (bits, shift) in [("high", 18), ("low", 0)] {
            let mut seen = vec![false; 1 << 14];
            let mut paths = [0_u32; PATHS as usize];
            for flow in 0..FLOWS {
                let port = (hash(flow) >> shift) as usize & 0x3fff;
                seen[port] = true;
                paths[port >> 8] += 1;
            }
            let filled = seen.iter().filter(|seen| **seen).count();
            assert!(filled > 9_900, "{what}, {bits} bits: only {filled} of 16384 ports");
            let expected = f64::from(FLOWS) / f64::from(PATHS);
            let chi_square: f64 =
                paths.iter().map(|count| (f64::from(*count) - expected).powi(2) / expected).sum();
            assert!(chi_square < 150.0, "{what}, {bits} bits: chi-square {chi_square}");
        }
    }

    fn ports(source: u16, destination: u16) -> u32 {
        u32::from_ne_bytes(
            [source.to_be_bytes(), destination.to_be_bytes()]
                .concat()
                .try_into()
                .expect("four bytes"),
        )
    }

    fn plus(address: [u8; 4], more: u32) -> [u8; 4] {
        u32::from_be_bytes(address).wrapping_add(more).to_be_bytes()
    }

    fn plus6(address: [u8; 16], more: u32) -> [u8; 16] {
        u128::from_be_bytes(address).wrapping_add(more.into()).to_be_bytes()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(12))]

        #[test]
        fn sequential_flows_over_ipv4_spread(a: [u8; 4], b: [u8; 4], source: u16, destination: u16) {
            let (tcp, word) = (6, ports(source, destination));
            let next = |flow: u32| source.wrapping_add(u16::try_from(flow).expect("16,384 flows"));
            assert_spread(|flow| hash4(a, b, tcp, ports(next(flow), destination)), "source ports");
            assert_spread(|flow| hash4(a, b, tcp, ports(destination, next(flow))), "destination ports");
            assert_spread(|flow| hash4(plus(a, flow), b, tcp, word), "source addresses");
            assert_spread(|flow| hash4(a, plus(b, flow), tcp, word), "destination addresses");
            assert_spread(|flow| hash4(plus(a, flow / 128), plus(b, flow % 128), tcp, 0), "pairs");
        }

        #[test]
        fn sequential_flows_over_ipv6_spread(a: [u8; 16], b: [u8; 16], source: u16, destination: u16) {
            let (tcp, word) = (6, ports(source, destination));
            let next = |flow: u32| source.wrapping_add(u16::try_from(flow).expect("16,384 flows"));
            assert_spread(|flow| hash6(a, b, tcp, ports(next(flow), destination)), "source ports");
            assert_spread(|flow| hash6(a, b, tcp, ports(destination, next(flow))), "destination ports");
            assert_spread(|flow| hash6(plus6(a, flow), b, tcp, word), "source addresses");
            assert_spread(|flow| hash6(a, plus6(b, flow), tcp, word), "destination addresses");
            assert_spread(|flow| hash6(plus6(a, flow / 128), plus6(b, flow % 128), tcp, 0), "pairs");
            let networks = |flow: u32| (u128::from_be_bytes(a).wrapping_add(u128::from(flow) << 64)).to_be_bytes();
            assert_spread(|flow| hash6(networks(flow), b, tcp, word), "source networks");
        }
    }

    proptest! {
        #[test]
        fn every_bit_counts(a: [u8; 16], b: [u8; 16], protocol: u8, ports: u32, bit in 0_u32..296) {
            let flip = |address: [u8; 16], bit: u32| (u128::from_ne_bytes(address) ^ 1 << bit).to_ne_bytes();
            let (mut a2, mut b2, mut protocol2, mut ports2) = (a, b, protocol, ports);
            match bit {
                0..128 => a2 = flip(a, bit),
                128..256 => b2 = flip(b, bit - 128),
                256..264 => protocol2 ^= 1 << (bit - 256),
                _ => ports2 ^= 1 << (bit - 264),
            }
            prop_assert_ne!(hash6(a, b, protocol, ports), hash6(a2, b2, protocol2, ports2));
            let short = |address: [u8; 16]| [address[0], address[1], address[2], address[3]];
            if (short(a), short(b)) != (short(a2), short(b2)) || (protocol, ports) != (protocol2, ports2) {
                prop_assert_ne!(
                    hash4(short(a), short(b), protocol, ports),
                    hash4(short(a2), short(b2), protocol2, ports2)
                );
            }
        }
    }
}
