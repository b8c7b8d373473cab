use super::wire_type;
use crate::MacAddr;

/// Values of the type field, in host order.
pub mod ether_type {
    /// IPv4.
    pub const IPV4: u16 = 0x0800;
    /// ARP.
    pub const ARP: u16 = 0x0806;
    /// IPv6.
    pub const IPV6: u16 = 0x86dd;
}

/// An Ethernet II header without a VLAN tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C, align(2))]
pub struct Ethernet {
    destination: [u8; 6],
    source: [u8; 6],
    ether_type: [u8; 2],
}

wire_type!(Ethernet => 14);

impl Ethernet {
    /// A header of these fields; the type in host order.
    #[inline(always)]
    pub const fn new(destination: MacAddr, source: MacAddr, ether_type: u16) -> Self {
        Self { destination: destination.0, source: source.0, ether_type: ether_type.to_be_bytes() }
    }

    /// Sends it back.
    #[inline(always)]
    pub const fn turn(&mut self) {
        (self.source, self.destination) = (self.destination, self.source);
    }

    /// Whom it is for.
    #[inline(always)]
    pub const fn destination(&self) -> MacAddr {
        MacAddr(self.destination)
    }

    /// Who sent it.
    #[inline(always)]
    pub const fn source(&self) -> MacAddr {
        MacAddr(self.source)
    }

    /// What it carries, in host order: see [`ether_type`].
    #[inline(always)]
    pub const fn ether_type(&self) -> u16 {
        u16::from_be_bytes(self.ether_type)
    }
}
