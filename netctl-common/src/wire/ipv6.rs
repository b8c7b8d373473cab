use super::{protocol, wire_type};

/// The length of the fixed header, in bytes.
const HEADER: u32 = 40;

/// An IPv6 header (RFC 8200 section 3).
///
/// It is aligned for whole addresses to be read at once, which is more than it is within a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C, align(8))]
pub struct Ipv6 {
    pub(super) version_class_label: [u8; 4],
    pub(super) payload: [u8; 2],
    pub(super) next_header: u8,
    pub(super) hop_limit: u8,
    pub(super) source: [u8; 16],
    pub(super) destination: [u8; 16],
}

/// The first two bytes of a header of options or of a route (RFC 8200 sections 4.3, 4.4 and 4.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct ExtensionHeader {
    next_header: u8,
    length: u8,
}

/// The header of a fragment (RFC 8200 section 4.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct FragmentHeader {
    next_header: u8,
    _reserved: u8,
    offset: [u8; 2],
    _identification: [u8; 4],
}

wire_type!(Ipv6 => 40, ExtensionHeader => 2, FragmentHeader => 8);

impl FragmentHeader {
    /// What the whole packet begins with.
    #[inline(always)]
    pub const fn next_header(&self) -> u8 {
        self.next_header
    }

    /// Whether it is not the first part.
    #[inline(always)]
    pub const fn is_later(&self) -> bool {
        u16::from_be_bytes(self.offset) & 0xfff8 != 0
    }
}

impl ExtensionHeader {
    /// What follows it.
    #[inline(always)]
    pub const fn next_header(&self) -> u8 {
        self.next_header
    }

    /// Its whole length in bytes.
    #[inline(always)]
    pub const fn length(&self) -> u32 {
        (self.length as u32 + 1) * 8
    }
}

impl Ipv6 {
    /// Whether version and length agree with each other and with the `available` bytes from this header on.
    ///
    /// The payload length is zero where there is none, where a hop-by-hop header says the length instead, and where
    /// the kernel joined several packets into this one (`merged`), because the truth does not fit it (BIG TCP).
    #[inline(always)]
    pub const fn is_sound(&self, available: u32, merged: bool) -> bool {
        let payload = self.payload() as u32;
        let said = match self.next_header {
            protocol::HOP_BY_HOP | protocol::NO_NEXT_HEADER => true,
            _ => payload != 0 || merged,
        };
        self.version_class_label[0] >> 4 == 6 && said && payload + HEADER <= available
    }

    /// The traffic class: DSCP (upper six bits) and ECN (lower two).
    #[inline(always)]
    pub const fn tos(&self) -> u8 {
        let [high, low, _, _] = self.version_class_label;
        high << 4 | low >> 4
    }

    /// The four bytes that the traffic class is in, as they stand in memory.
    #[inline(always)]
    pub const fn first_word(&self) -> u32 {
        u32::from_ne_bytes(self.version_class_label)
    }

    /// Sets the traffic class. No checksum covers it.
    #[inline(always)]
    pub const fn set_tos(&mut self, tos: u8) {
        let [high, low, _, _] = &mut self.version_class_label;
        *high = *high & 0xf0 | tos >> 4;
        *low = tos << 4 | *low & 0x0f;
    }

    /// The four bytes that the hop limit is in, as they stand in memory.
    #[inline(always)]
    pub const fn second_word(&self) -> u32 {
        u32::from_ne_bytes([self.payload[0], self.payload[1], self.next_header, self.hop_limit])
    }

    /// Takes one off the hop limit, which must not be zero. No checksum covers it.
    #[inline(always)]
    pub const fn pass_router(&mut self) {
        self.hop_limit = self.hop_limit.wrapping_sub(1);
    }

    /// The length of what follows this header, in bytes.
    #[inline(always)]
    pub const fn payload(&self) -> u16 {
        u16::from_be_bytes(self.payload)
    }

    /// What follows this header: an extension header or a [`protocol`].
    #[inline(always)]
    pub const fn next_header(&self) -> u8 {
        self.next_header
    }

    /// How many routers may still forward it.
    #[inline(always)]
    pub const fn hop_limit(&self) -> u8 {
        self.hop_limit
    }

    /// Makes it one of the other way. Checksums stay right.
    #[inline(always)]
    pub const fn turn(&mut self) {
        (self.source, self.destination) = (self.destination, self.source);
    }

    /// The sender, in wire order.
    #[inline(always)]
    pub const fn source(&self) -> [u8; 16] {
        self.source
    }

    /// The receiver, in wire order.
    #[inline(always)]
    pub const fn destination(&self) -> [u8; 16] {
        self.destination
    }
}

#[cfg(test)]
pub(super) mod tests {
    use etherparse::{IpNumber, Ipv6FlowLabel, Ipv6Header};
    use proptest::prelude::*;

    use super::*;

    /// Reads a header as it stands on the wire.
    pub(in super::super) fn header(bytes: [u8; 40]) -> Ipv6 {
        // SAFETY: it consists of bytes, as many as the array has.
        unsafe { core::mem::transmute(bytes) }
    }

    fn sound() -> Ipv6Header {
        Ipv6Header {
            payload_length: 20,
            next_header: IpNumber::TCP,
            hop_limit: 64,
            ..Ipv6Header::default()
        }
    }

    #[test]
    fn soundness() {
        for (what, version, payload, next, available, merged, expected) in [
            ("whole", 6, 20, protocol::TCP, 60, false, true),
            ("padded", 6, 20, protocol::TCP, 64, false, true),
            ("cut short", 6, 20, protocol::TCP, 59, false, false),
            ("version 4", 4, 20, protocol::TCP, 60, false, false),
            ("version 0", 0, 20, protocol::TCP, 60, false, false),
            ("version 14", 14, 20, protocol::TCP, 60, false, false),
            ("as long as can be", 6, 0xffff, protocol::TCP, 0xffff + 40, false, true),
            ("no length", 6, 0, protocol::TCP, 60, false, false),
            ("no length, merged", 6, 0, protocol::TCP, 70_000, true, true),
            ("no length, jumbogram", 6, 0, protocol::HOP_BY_HOP, 70_000, false, true),
            ("nothing follows", 6, 0, protocol::NO_NEXT_HEADER, 40, false, true),
            ("merged and cut short", 6, 20, protocol::TCP, 59, true, false),
        ] {
            let mut bytes =
                Ipv6Header { payload_length: payload, next_header: IpNumber(next), ..sound() }
                    .to_bytes();
            bytes[0] = bytes[0] & 0x0f | version << 4;
            assert_eq!(header(bytes).is_sound(available, merged), expected, "{what}");
        }
    }

    proptest! {
        #[test]
        fn fields_are_where_others_put_them(
            tos: u8, new: u8, label in 0_u32..1 << 20, payload: u16, next: u8, hops: u8,
            source: [u8; 16], destination: [u8; 16],
        ) {
            let mut known = Ipv6Header {
                traffic_class: tos,
                flow_label: Ipv6FlowLabel::try_new(label).expect("20 bits"),
                payload_length: payload,
                next_header: IpNumber(next),
                hop_limit: hops,
                source,
                destination,
            };
            let mut ip = header(known.to_bytes());
            prop_assert_eq!(
                (ip.tos(), ip.payload(), ip.next_header(), ip.hop_limit()),
                (tos, payload, next, hops)
            );
            prop_assert_eq!((ip.source(), ip.destination()), (source, destination));
            ip.set_tos(new);
            known.traffic_class = new;
            prop_assert_eq!(ip, header(known.to_bytes()));
            if hops != 0 {
                ip.pass_router();
                known.hop_limit -= 1;
                prop_assert_eq!(ip, header(known.to_bytes()));
                let bytes = known.to_bytes();
                prop_assert_eq!(ip.second_word().to_ne_bytes(), [bytes[4], bytes[5], bytes[6], bytes[7]]);
            }
        }
    }
}
