use super::wire_type;
use crate::checksum;

/// Values of the protocol field of IPv4 and of the next header field of IPv6.
pub mod protocol {
    /// IPv6's header of options for every hop.
    pub const HOP_BY_HOP: u8 = 0;
    /// ICMP for IPv4.
    pub const ICMP: u8 = 1;
    /// TCP.
    pub const TCP: u8 = 6;
    /// UDP.
    pub const UDP: u8 = 17;
    /// IPv6's header of a route.
    pub const ROUTING: u8 = 43;
    /// IPv6's header of a fragment.
    pub const FRAGMENT: u8 = 44;
    /// ICMP for IPv6.
    pub const ICMPV6: u8 = 58;
    /// Nothing follows the IPv6 header (RFC 8200 section 4.7).
    pub const NO_NEXT_HEADER: u8 = 59;
    /// IPv6's header of options for the destination.
    pub const DESTINATION_OPTIONS: u8 = 60;
    /// SCTP.
    pub const SCTP: u8 = 132;
}

/// "More fragments" and the fragment's offset: a packet is whole where both are zero.
const FRAGMENT: u16 = 0x3fff;
const OFFSET: u16 = 0x1fff;
const DONT_FRAGMENT: u16 = 0x4000;
const WITHOUT_OPTIONS: u8 = 0x45;
const SHORTEST: u32 = 20;

/// An IPv4 header (RFC 791 section 3.1) without its options.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C, align(4))]
pub struct Ipv4 {
    version_length: u8,
    tos: u8,
    total: [u8; 2],
    identification: [u8; 2],
    fragment: [u8; 2],
    ttl: u8,
    protocol: u8,
    checksum: [u8; 2],
    source: [u8; 4],
    destination: [u8; 4],
}

wire_type!(Ipv4 => 20);

impl Ipv4 {
    /// Whether it is version 4 and as short as can be, so that the next header is where one expects it.
    #[inline(always)]
    pub const fn has_no_options(&self) -> bool {
        self.version_length == WITHOUT_OPTIONS
    }

    /// Whether the packet is a part of another.
    #[inline(always)]
    pub const fn is_fragment(&self) -> bool {
        u16::from_be_bytes(self.fragment) & FRAGMENT != 0
    }

    /// Whether it is a part of another, and not the first.
    #[inline(always)]
    pub const fn is_later_fragment(&self) -> bool {
        u16::from_be_bytes(self.fragment) & OFFSET != 0
    }

    /// Whether a router may cut it into fragments.
    #[inline(always)]
    pub const fn may_be_cut(&self) -> bool {
        u16::from_be_bytes(self.fragment) & DONT_FRAGMENT == 0
    }

    /// The length of this header with its options, in bytes.
    #[inline(always)]
    pub const fn header(&self) -> u32 {
        (self.version_length & 0x0f) as u32 * 4
    }

    /// Whether version and lengths agree with each other and with the `available` bytes from this header on.
    ///
    /// `merged` says that the kernel joined several packets into this one: the total length may be zero then, because
    /// the truth does not fit it (BIG TCP, `iph_totlen` in `include/linux/ip.h`).
    #[inline(always)]
    pub const fn is_sound(&self, available: u32, merged: bool) -> bool {
        let header = self.header();
        let total = self.total() as u32;
        let total = if total == 0 && merged { available } else { total };
        self.version_length >> 4 == 4 && header >= SHORTEST && total >= header && total <= available
    }

    /// Whether the checksum is right, of a header without options (RFC 1071).
    #[inline(always)]
    pub const fn sums_up(&self) -> bool {
        let words = [
            u32::from_ne_bytes([self.version_length, self.tos, self.total[0], self.total[1]]),
            u32::from_ne_bytes([
                self.identification[0],
                self.identification[1],
                self.fragment[0],
                self.fragment[1],
            ]),
            u32::from_ne_bytes([self.ttl, self.protocol, self.checksum[0], self.checksum[1]]),
            u32::from_ne_bytes(self.source),
            u32::from_ne_bytes(self.destination),
        ];
        u16::from_ne_bytes(checksum::finish_native(checksum::add_native(0, words))) == 0
    }

    /// DSCP (upper six bits) and ECN (lower two).
    #[inline(always)]
    pub const fn tos(&self) -> u8 {
        self.tos
    }

    /// Sets DSCP and ECN and corrects the checksum.
    #[inline(always)]
    pub const fn set_tos(&mut self, tos: u8) {
        let old = u16::from_be_bytes([self.version_length, self.tos]);
        let new = u16::from_be_bytes([self.version_length, tos]);
        self.tos = tos;
        self.checksum = checksum::replace_word(self.checksum, old, new);
    }

    /// How many routers may still forward it, and one more.
    #[inline(always)]
    pub const fn ttl(&self) -> u8 {
        self.ttl
    }

    /// Takes one off the TTL, which must not be zero, and corrects the checksum.
    #[inline(always)]
    pub const fn pass_router(&mut self) {
        let old = u16::from_be_bytes([self.ttl, self.protocol]);
        self.ttl = self.ttl.wrapping_sub(1);
        let new = u16::from_be_bytes([self.ttl, self.protocol]);
        self.checksum = checksum::replace_word(self.checksum, old, new);
    }

    /// The total length in bytes, header included.
    #[inline(always)]
    pub const fn total(&self) -> u16 {
        u16::from_be_bytes(self.total)
    }

    /// The protocol it carries: see [`protocol`].
    #[inline(always)]
    pub const fn protocol(&self) -> u8 {
        self.protocol
    }

    /// Makes it one of the other way. Checksums stay right.
    #[inline(always)]
    pub const fn turn(&mut self) {
        (self.source, self.destination) = (self.destination, self.source);
    }

    /// The sender, in wire order.
    #[inline(always)]
    pub const fn source(&self) -> [u8; 4] {
        self.source
    }

    /// The receiver, in wire order.
    #[inline(always)]
    pub const fn destination(&self) -> [u8; 4] {
        self.destination
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HEADER: [u8; 20] =
        [0x45, 0, 0, 40, 0, 1, 0x40, 0, 64, protocol::TCP, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2];

    fn header(bytes: [u8; 20]) -> Ipv4 {
        let [version_length, tos, t0, t1, i0, i1, f0, f1, ttl, protocol, c0, c1, rest @ ..] = bytes;
        let [s0, s1, s2, s3, d0, d1, d2, d3] = rest;
        Ipv4 {
            version_length,
            tos,
            total: [t0, t1],
            identification: [i0, i1],
            fragment: [f0, f1],
            ttl,
            protocol,
            checksum: [c0, c1],
            source: [s0, s1, s2, s3],
            destination: [d0, d1, d2, d3],
        }
    }

    #[test]
    fn soundness() {
        for (what, place, value, available, merged, sound) in [
            ("whole", 0, 0x45, 40, false, true),
            ("padded", 0, 0x45, 46, false, true),
            ("cut short", 0, 0x45, 39, false, false),
            ("options", 0, 0x4a, 40, false, true),
            ("options past the end", 0, 0x4b, 40, false, false),
            ("header too short", 0, 0x44, 40, false, false),
            ("version 6", 0, 0x65, 40, false, false),
            ("shorter than its header", 3, 19, 40, false, false),
            ("no length", 3, 0, 40, false, false),
            ("no length, merged", 3, 0, 40, true, true),
            ("merged and cut short", 0, 0x45, 39, true, false),
        ] {
            let mut bytes = HEADER;
            bytes[place] = value;
            assert_eq!(header(bytes).is_sound(available, merged), sound, "{what}");
        }
    }

    #[test]
    fn fragments() {
        for (word, fragment) in
            [(0x4000_u16, false), (0, false), (0x2000, true), (1, true), (0x3fff, true)]
        {
            let mut bytes = HEADER;
            [bytes[6], bytes[7]] = word.to_be_bytes();
            assert_eq!(header(bytes).is_fragment(), fragment, "{word:#06x}");
        }
    }

    #[test]
    fn a_checksum_after_a_router_is_what_it_would_be_made_anew() {
        // The identification goes through all values, and with it the checksum.
        for identification in 0..=u16::MAX {
            let mut ip = Ipv4 { identification: identification.to_be_bytes(), ..header(HEADER) };
            ip.checksum = checksum::finish(sum(&Ipv4 { checksum: [0; 2], ..ip }));
            ip.pass_router();
            assert_eq!(ip.checksum, checksum::finish(sum(&Ipv4 { checksum: [0; 2], ..ip })));
        }
    }

    /// All words of the header, its checksum's too.
    fn sum(ip: &Ipv4) -> u32 {
        let words = [
            [ip.version_length, ip.tos],
            ip.total,
            ip.identification,
            ip.fragment,
            [ip.ttl, ip.protocol],
            ip.checksum,
            [ip.source[0], ip.source[1]],
            [ip.source[2], ip.source[3]],
            [ip.destination[0], ip.destination[1]],
            [ip.destination[2], ip.destination[3]],
        ];
        words.iter().map(|word| u32::from(u16::from_be_bytes(*word))).sum()
    }

    proptest! {
        #[test]
        fn a_changed_tos_or_ttl_leaves_the_checksum_right(tos: u8, new: u8, source: [u8; 4]) {
            let mut ip = Ipv4 { tos, source, ..header(HEADER) };
            let is_right = |ip: &Ipv4| sum(ip).is_multiple_of(0xffff);
            ip.checksum = checksum::finish(sum(&ip) % 0xffff);
            prop_assert!(is_right(&ip));
            ip.set_tos(new);
            prop_assert_eq!(ip.tos(), new);
            prop_assert!(is_right(&ip));
            for ttl in (0..ip.ttl()).rev() {
                ip.pass_router();
                prop_assert_eq!(ip.ttl(), ttl);
                prop_assert!(is_right(&ip));
            }
        }
    }
}
