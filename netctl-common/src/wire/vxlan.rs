use super::wire_type;

/// A UDP header (RFC 768).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C, align(4))]
pub struct Udp {
    source: [u8; 2],
    destination: [u8; 2],
    length: [u8; 2],
    checksum: [u8; 2],
}

/// A VXLAN header (RFC 7348 section 5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C, align(4))]
pub struct Vxlan {
    flags: u8,
    _reserved: [u8; 3],
    vni: [u8; 3],
    _reserved2: u8,
}

wire_type!(Udp => 8, Vxlan => 8);

impl Udp {
    /// The receiver's port, in host order.
    #[inline(always)]
    pub const fn destination(&self) -> u16 {
        u16::from_be_bytes(self.destination)
    }

    /// The length in bytes, header included.
    #[inline(always)]
    pub const fn length(&self) -> u16 {
        u16::from_be_bytes(self.length)
    }

    /// Whether the sender computed a checksum.
    #[inline(always)]
    pub const fn has_checksum(&self) -> bool {
        u16::from_ne_bytes(self.checksum) != 0
    }
}

impl Vxlan {
    const VNI_VALID: u8 = 0x08;

    /// The network's identifier, in host order; `None` where the flag for it is not set.
    ///
    /// Reserved bits are ignored, as section 5 asks.
    #[inline(always)]
    pub const fn vni(&self) -> Option<u32> {
        let [a, b, c] = self.vni;
        if self.flags & Self::VNI_VALID == 0 {
            None
        } else {
            Some(u32::from_be_bytes([0, a, b, c]))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vni_needs_its_flag() {
        for (flags, vni) in
            [(0x08, Some(0x010203)), (0xff, Some(0x010203)), (0xf7, None), (0, None)]
        {
            let header = Vxlan { flags, _reserved: [9; 3], vni: [1, 2, 3], _reserved2: 9 };
            assert_eq!(header.vni(), vni, "{flags:#04x}");
        }
    }
}
