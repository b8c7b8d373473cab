use super::wire_type;

/// The first eight bytes of an ICMPv6 message (RFC 4443 section 2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C, align(8))]
pub struct Icmpv6 {
    kind: u8,
    code: u8,
    checksum: [u8; 2],
    rest: [u8; 4],
}

wire_type!(Icmpv6 => 8);

/// The messages of neighbour discovery (RFC 4861 section 4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NdpKind {
    /// "Is there a router?"
    RouterSolicitation,
    /// "I am a router."
    RouterAdvertisement,
    /// "Who has the target address?"
    NeighbourSolicitation,
    /// "I have the target address."
    NeighbourAdvertisement,
    /// "There is a better way to this destination."
    Redirect,
}

impl Icmpv6 {
    /// Whether it tells of an error, about which none is told (RFC 4443 sections 2.1 and 2.4, e).
    #[inline(always)]
    pub const fn is_error(&self) -> bool {
        self.kind < 128
    }

    /// What it is for neighbour discovery; `None` for other messages.
    #[inline(always)]
    pub const fn ndp(&self) -> Option<NdpKind> {
        match self.kind {
            133 => Some(NdpKind::RouterSolicitation),
            134 => Some(NdpKind::RouterAdvertisement),
            135 => Some(NdpKind::NeighbourSolicitation),
            136 => Some(NdpKind::NeighbourAdvertisement),
            137 => Some(NdpKind::Redirect),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use etherparse::{
        IcmpEchoHeader, Icmpv6Header, Icmpv6Type,
        icmpv6::{NeighborAdvertisementHeader, RouterAdvertisementHeader},
    };

    use super::*;

    #[test]
    fn kinds() {
        let router = RouterAdvertisementHeader {
            cur_hop_limit: 64,
            managed_address_config: false,
            other_config: false,
            router_lifetime: 0,
        };
        let neighbour =
            NeighborAdvertisementHeader { router: false, solicited: true, r#override: true };
        let echo = IcmpEchoHeader { id: 1, seq: 2 };
        for (kind, expected) in [
            (Icmpv6Type::RouterSolicitation, Some(NdpKind::RouterSolicitation)),
            (Icmpv6Type::RouterAdvertisement(router), Some(NdpKind::RouterAdvertisement)),
            (Icmpv6Type::NeighborSolicitation, Some(NdpKind::NeighbourSolicitation)),
            (Icmpv6Type::NeighborAdvertisement(neighbour), Some(NdpKind::NeighbourAdvertisement)),
            (Icmpv6Type::Redirect, Some(NdpKind::Redirect)),
            (Icmpv6Type::EchoRequest(echo), None),
            (Icmpv6Type::PacketTooBig { mtu: 1280 }, None),
        ] {
            let bytes = Icmpv6Header::new(kind).to_bytes();
            let [kind, code, c0, c1, r0, r1, r2, r3] = bytes[..8] else { panic!("a header") };
            let message = Icmpv6 { kind, code, checksum: [c0, c1], rest: [r0, r1, r2, r3] };
            assert_eq!(message.ndp(), expected, "{kind}");
        }
    }
}
