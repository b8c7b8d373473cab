use super::{Ethernet, Ipv6, NdpKind, ether_type, protocol, wire_type};
use crate::{MacAddr, addr6, checksum};

const SOLICITATION: u8 = 135;
const ADVERTISEMENT: u8 = 136;
/// Flags of an advertisement (RFC 4861 section 4.4): it answers; it replaces what is known.
const SOLICITED: u8 = 0x40;
const OVERRIDE: u8 = 0x20;
const SOURCE_ADDRESS: u8 = 1;
const TARGET_ADDRESS: u8 = 2;
/// The length of an option that holds an Ethernet address, in units of eight bytes.
const ETHERNET_ADDRESS: u8 = 1;
/// Ethernet's address of `ff02::1` (RFC 2464 section 7).
const ALL_NODES: MacAddr = MacAddr([0x33, 0x33, 0, 0, 0, 1]);

/// A neighbour solicitation or advertisement without its options (RFC 4861 sections 4.3 and 4.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C, align(8))]
pub struct NeighbourMessage {
    kind: u8,
    code: u8,
    checksum: [u8; 2],
    /// Only the first byte has any.
    flags: [u8; 4],
    target: [u8; 16],
}

/// The option that holds a link-layer address (RFC 4861 section 4.6.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C, align(8))]
pub struct LinkLayerOption {
    kind: u8,
    length: u8,
    mac: [u8; 6],
}

/// An answer to a neighbour solicitation, from the IPv6 header to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C, align(8))]
pub struct NeighbourAnswer {
    ip: Ipv6,
    message: NeighbourMessage,
    option: LinkLayerOption,
}

wire_type!(NeighbourMessage => 24, LinkLayerOption => 8, NeighbourAnswer => 72);

/// What stands behind the IPv6 header of an answer, in bytes.
const PAYLOAD: u16 = 32;
const _: () = assert!(size_of::<NeighbourAnswer>() == size_of::<Ipv6>() + PAYLOAD as usize);

impl NeighbourMessage {
    /// Whether a receiver would take it, as far as it can be told without its checksum and options (RFC 4861
    /// sections 7.1.1 and 7.1.2). `ip` is the header in front of it.
    #[inline(always)]
    pub const fn is_sound(&self, ip: &Ipv6) -> bool {
        let fits = self.code == 0
            && ip.hop_limit() == 255
            && ip.payload() as usize >= size_of::<Self>()
            && !addr6::is_multicast(self.target);
        match self.ndp() {
            Some(NdpKind::NeighbourSolicitation) => {
                fits && (!addr6::is_unspecified(ip.source())
                    || addr6::is_solicited_node(ip.destination()))
            }
            Some(NdpKind::NeighbourAdvertisement) => {
                fits && !(addr6::is_multicast(ip.destination()) && self.flags[0] & SOLICITED != 0)
            }
            _ => false,
        }
    }

    #[inline(always)]
    const fn ndp(&self) -> Option<NdpKind> {
        match self.kind {
            SOLICITATION => Some(NdpKind::NeighbourSolicitation),
            ADVERTISEMENT => Some(NdpKind::NeighbourAdvertisement),
            _ => None,
        }
    }

    /// The address that is asked for or announced, in wire order.
    #[inline(always)]
    pub const fn target(&self) -> [u8; 16] {
        self.target
    }
}

impl LinkLayerOption {
    /// The sender's link-layer address; `None` where it is another option.
    #[inline(always)]
    pub const fn source(&self) -> Option<MacAddr> {
        self.address(SOURCE_ADDRESS)
    }

    /// The target's link-layer address; `None` where it is another option.
    #[inline(always)]
    pub const fn target(&self) -> Option<MacAddr> {
        self.address(TARGET_ADDRESS)
    }

    #[inline(always)]
    const fn address(self, kind: u8) -> Option<MacAddr> {
        if self.kind == kind && self.length == ETHERNET_ADDRESS {
            Some(MacAddr(self.mac))
        } else {
            None
        }
    }
}

impl NeighbourAnswer {
    /// Says to `asker`, the source address of a solicitation, that `owner` has the address `target`.
    ///
    /// One who has no address yet asks whether the target is free (duplicate address detection, RFC 4862 section
    /// 5.4.3): the answer goes to all nodes then, and answers nobody (RFC 4861 section 7.2.4).
    #[inline(always)]
    pub const fn new(owner: MacAddr, target: [u8; 16], asker: [u8; 16]) -> Self {
        let (destination, flags) = if addr6::is_unspecified(asker) {
            (addr6::ALL_NODES, OVERRIDE)
        } else {
            (asker, SOLICITED | OVERRIDE)
        };
        let ip = Ipv6 {
            version_class_label: [0x60, 0, 0, 0],
            payload: PAYLOAD.to_be_bytes(),
            next_header: protocol::ICMPV6,
            hop_limit: 255,
            source: target,
            destination,
        };
        let [mac0, mac1, low @ ..] = owner.0;
        let [length_high, length_low] = ip.payload;
        let sum = checksum::add_native(
            0,
            [
                u32::from_ne_bytes([0, 0, length_high, length_low]),
                u32::from_ne_bytes([0, 0, 0, protocol::ICMPV6]),
                u32::from_ne_bytes([ADVERTISEMENT, 0, 0, 0]),
                u32::from_ne_bytes([flags, 0, 0, 0]),
                u32::from_ne_bytes([TARGET_ADDRESS, ETHERNET_ADDRESS, mac0, mac1]),
                u32::from_ne_bytes(low),
            ],
        );
        // The target is in it twice: as the source address and by itself.
        let target_words = addr6::words(target);
        let sum = checksum::add_native(sum, target_words);
        let sum = checksum::add_native(sum, target_words);
        let sum = checksum::add_native(sum, addr6::words(destination));
        let message = NeighbourMessage {
            kind: ADVERTISEMENT,
            code: 0,
            checksum: checksum::finish_native(sum),
            flags: [flags, 0, 0, 0],
            target,
        };
        let option =
            LinkLayerOption { kind: TARGET_ADDRESS, length: ETHERNET_ADDRESS, mac: owner.0 };
        Self { ip, message, option }
    }

    /// The header of the frame that carries it from `owner` to the station `asker`.
    #[inline(always)]
    pub const fn ethernet(&self, owner: MacAddr, asker: MacAddr) -> Ethernet {
        let answers = self.message.flags[0] & SOLICITED != 0;
        Ethernet::new(if answers { asker } else { ALL_NODES }, owner, ether_type::IPV6)
    }
}

#[cfg(test)]
mod tests {
    use core::net::Ipv6Addr;

    use etherparse::{
        EtherType, Ethernet2Header, Icmpv6Header, Icmpv6Type, IpNumber, Ipv6Header,
        icmpv6::NeighborAdvertisementHeader,
    };
    use proptest::prelude::*;

    use super::*;

    const OWNER: MacAddr = MacAddr([2, 0, 0, 0, 0, 0x21]);
    const ASKER: MacAddr = MacAddr([2, 0, 0, 0, 0, 0x11]);

    fn address(text: &str) -> [u8; 16] {
        text.parse::<Ipv6Addr>().expect("an address").octets()
    }

    fn bytes(answer: NeighbourAnswer) -> [u8; 72] {
        // SAFETY: it consists of bytes, as many as the array has.
        unsafe { core::mem::transmute(answer) }
    }

    fn ip(from: &str, to: &str, hop_limit: u8, payload: u16) -> Ipv6 {
        Ipv6 {
            version_class_label: [0x60, 0, 0, 0],
            payload: payload.to_be_bytes(),
            next_header: 58,
            hop_limit,
            source: address(from),
            destination: address(to),
        }
    }

    fn message(kind: u8, flags: u8, target: &str) -> NeighbourMessage {
        let target = address(target);
        NeighbourMessage { kind, code: 0, checksum: [0; 2], flags: [flags, 0, 0, 0], target }
    }

    #[test]
    fn soundness() {
        let group = "ff02::1:ff00:2";
        for (what, kind, flags, target, from, to, hops, payload, expected) in [
            ("a solicitation", 135, 0, "fd00::2", "fd00::1", group, 255, 32, true),
            ("to the station itself", 135, 0, "fd00::2", "fd00::1", "fd00::2", 255, 32, true),
            ("whether it is free", 135, 0, "fd00::2", "::", group, 255, 24, true),
            ("whether it is free, to one", 135, 0, "fd00::2", "::", "fd00::2", 255, 24, false),
            ("forwarded", 135, 0, "fd00::2", "fd00::1", group, 254, 32, false),
            ("too short", 135, 0, "fd00::2", "fd00::1", group, 255, 23, false),
            ("for a group", 135, 0, "ff02::2", "fd00::1", group, 255, 32, false),
            ("an advertisement", 136, 0x60, "fd00::2", "fd00::2", "fd00::1", 255, 32, true),
            ("unasked", 136, 0x20, "fd00::2", "fd00::2", "ff02::1", 255, 32, true),
            ("an answer to all", 136, 0x40, "fd00::2", "fd00::2", "ff02::1", 255, 32, false),
            ("an advertised group", 136, 0x20, "ff02::2", "fd00::2", "ff02::1", 255, 32, false),
            ("a router's", 134, 0, "fd00::2", "fd00::1", "ff02::1", 255, 32, false),
        ] {
            let message = message(kind, flags, target);
            let ip = ip(from, to, hops, payload);
            assert_eq!(message.is_sound(&ip), expected, "{what}");
            assert!(!NeighbourMessage { code: 1, ..message }.is_sound(&ip), "{what}");
        }
    }

    #[test]
    fn options() {
        for (kind, length, source, target) in [
            (1, 1, Some(OWNER), None),
            (2, 1, None, Some(OWNER)),
            (1, 2, None, None),
            (2, 0, None, None),
            (14, 1, None, None),
        ] {
            let option = LinkLayerOption { kind, length, mac: OWNER.0 };
            assert_eq!((option.source(), option.target()), (source, target), "{kind} {length}");
        }
    }

    /// The answer as another implementation writes it.
    fn reference(owner: [u8; 6], target: [u8; 16], asker: Option<[u8; 16]>) -> Vec<u8> {
        let to = asker.unwrap_or_else(|| address("ff02::1"));
        let flags = NeighborAdvertisementHeader {
            router: false,
            solicited: asker.is_some(),
            r#override: true,
        };
        let payload = [&target[..], &[2, 1], &owner].concat();
        let kind = Icmpv6Type::NeighborAdvertisement(flags);
        let message = Icmpv6Header::with_checksum(kind, target, to, &payload).expect("short");
        let ip = Ipv6Header {
            payload_length: 32,
            next_header: IpNumber::IPV6_ICMP,
            hop_limit: 255,
            source: target,
            destination: to,
            ..Ipv6Header::default()
        };
        [&ip.to_bytes()[..], &message.to_bytes(), &payload].concat()
    }

    proptest! {
        #[test]
        fn an_answer_is_as_others_write_it(owner: [u8; 6], target: [u8; 16], asker: [u8; 16]) {
            prop_assume!(asker != [0; 16]);
            let answer = NeighbourAnswer::new(MacAddr(owner), target, asker);
            prop_assert_eq!(bytes(answer).to_vec(), reference(owner, target, Some(asker)));
            let answer = NeighbourAnswer::new(MacAddr(owner), target, addr6::UNSPECIFIED);
            prop_assert_eq!(bytes(answer).to_vec(), reference(owner, target, None));
        }
    }

    #[test]
    fn answers_are_sound_and_addressed() {
        for (asker, to) in [("fd00::1", ASKER.0), ("::", [0x33, 0x33, 0, 0, 0, 1])] {
            let answer = NeighbourAnswer::new(OWNER, address("fd00::2"), address(asker));
            assert!(answer.message.is_sound(&answer.ip), "{asker}");
            assert_eq!(answer.option.target(), Some(OWNER), "{asker}");
            let ethernet = answer.ethernet(OWNER, ASKER);
            let known =
                Ethernet2Header { destination: to, source: OWNER.0, ether_type: EtherType::IPV6 };
            // SAFETY: it consists of bytes, as many as the array has.
            let bytes: [u8; 14] = unsafe { core::mem::transmute(ethernet) };
            assert_eq!(bytes, known.to_bytes(), "{asker}");
        }
    }
}
