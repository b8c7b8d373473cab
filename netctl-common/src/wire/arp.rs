use super::wire_type;
use crate::MacAddr;

/// Ethernet, IPv4, and the lengths of their addresses.
const ETHERNET_IPV4: [u8; 6] = [0, 1, 0x08, 0, 6, 4];
const REQUEST: [u8; 2] = [0, 1];
const REPLY: [u8; 2] = [0, 2];

/// An ARP packet for IPv4 over Ethernet (RFC 826).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C, align(4))]
pub struct Arp {
    format: [u8; 6],
    operation: [u8; 2],
    sender_mac: [u8; 6],
    sender: [u8; 4],
    target_mac: [u8; 6],
    target: [u8; 4],
}

wire_type!(Arp => 28);

/// What an ARP packet wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ArpKind {
    /// "Who has the target address?", from one who has an address.
    Request,
    /// The same from one who wants to know whether the address is free (RFC 5227 section 2.1.1).
    Probe,
    /// "I have this address" (RFC 5227 section 2.3), as a request or as a reply.
    Announcement,
    /// An answer to somebody's request.
    Reply,
}

impl Arp {
    /// What it wants; `None` where it is not about IPv4 over Ethernet or not known.
    #[inline(always)]
    pub const fn kind(&self) -> Option<ArpKind> {
        let [f0, f1, f2, f3, f4, f5] = self.format;
        let [e0, e1, e2, e3, e4, e5] = ETHERNET_IPV4;
        if u32::from_ne_bytes([f0, f1, f2, f3]) != u32::from_ne_bytes([e0, e1, e2, e3])
            || u16::from_ne_bytes([f4, f5]) != u16::from_ne_bytes([e4, e5])
        {
            return None;
        }
        let sender = u32::from_ne_bytes(self.sender);
        let announces = sender == u32::from_ne_bytes(self.target);
        match self.operation {
            REQUEST if sender == 0 => Some(ArpKind::Probe),
            REQUEST if announces => Some(ArpKind::Announcement),
            REQUEST => Some(ArpKind::Request),
            REPLY if announces => Some(ArpKind::Announcement),
            REPLY => Some(ArpKind::Reply),
            _ => None,
        }
    }

    /// The sender's link-layer address, as the packet claims it.
    #[inline(always)]
    pub const fn sender_mac(&self) -> MacAddr {
        MacAddr(self.sender_mac)
    }

    /// The sender's address, in wire order.
    #[inline(always)]
    pub const fn sender(&self) -> [u8; 4] {
        self.sender
    }

    /// The address that is asked for, in wire order.
    #[inline(always)]
    pub const fn target(&self) -> [u8; 4] {
        self.target
    }

    /// The reply that says that `mac` has the address that this packet asks for.
    #[inline(always)]
    #[must_use]
    pub const fn reply(&self, mac: MacAddr) -> Self {
        Self {
            format: ETHERNET_IPV4,
            operation: REPLY,
            sender_mac: mac.0,
            sender: self.target,
            target_mac: self.sender_mac,
            target: self.sender,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: [u8; 4] = [10, 0, 0, 1];
    const B: [u8; 4] = [10, 0, 0, 2];

    fn packet(operation: [u8; 2], sender: [u8; 4], target: [u8; 4]) -> Arp {
        Arp {
            format: ETHERNET_IPV4,
            operation,
            sender_mac: [2; 6],
            sender,
            target_mac: [0; 6],
            target,
        }
    }

    #[test]
    fn kinds() {
        for (operation, sender, target, kind) in [
            (REQUEST, A, B, Some(ArpKind::Request)),
            (REQUEST, [0; 4], B, Some(ArpKind::Probe)),
            (REQUEST, A, A, Some(ArpKind::Announcement)),
            (REPLY, A, A, Some(ArpKind::Announcement)),
            (REPLY, A, B, Some(ArpKind::Reply)),
            ([0, 3], A, B, None),
            ([1, 0], A, B, None),
        ] {
            assert_eq!(
                packet(operation, sender, target).kind(),
                kind,
                "{operation:?} {sender:?} {target:?}"
            );
        }
        for place in 0..6 {
            let mut other = packet(REQUEST, A, B);
            other.format[place] ^= 1;
            assert_eq!(other.kind(), None, "byte {place} of the format");
        }
    }

    #[test]
    fn a_reply_turns_the_request_around() {
        let reply = packet(REQUEST, A, B).reply(MacAddr([4; 6]));
        assert_eq!(reply.kind(), Some(ArpKind::Reply));
        assert_eq!((reply.sender_mac, reply.sender), ([4; 6], B));
        assert_eq!((reply.target_mac, reply.target), ([2; 6], A));
    }
}
