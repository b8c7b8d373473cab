use super::wire_type;

/// The VNI of probes of the path between two hosts: no network has it.
pub const PROBE_VNI: u32 = 0;
/// The first UDP port that probes are sent from: the dynamic ones of RFC 6335 section 6. What is answered is handed to
/// no other.
pub const PROBE_PORTS: u16 = 49_152;

/// What a probe asks for, in the header's last byte, which is reserved otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Probe {
    /// Send it back to the port that it came from.
    Back = 1,
    /// Send it as packets in tunnels are sent: to the port of VXLAN.
    Tunnel = 2,
    /// So it was sent: it is for whoever has the port that it came from.
    Answer = 3,
}

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
    probe: u8,
}

wire_type!(Udp => 8, Vxlan => 8);

impl Udp {
    /// The receiver's port, in host order.
    #[inline(always)]
    pub const fn destination(&self) -> u16 {
        u16::from_be_bytes(self.destination)
    }

    /// The port that it came from, in host order.
    #[inline(always)]
    pub const fn source(&self) -> u16 {
        u16::from_be_bytes(self.source)
    }

    /// Makes it one of the other way. A checksum stays right.
    #[inline(always)]
    pub const fn turn(&mut self) {
        (self.source, self.destination) = (self.destination, self.source);
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

    /// The header of a probe.
    #[inline(always)]
    pub const fn of_probe(probe: Probe) -> Self {
        Self { flags: Self::VNI_VALID, _reserved: [0; 3], vni: [0; 3], probe: probe as u8 }
    }

    /// What is asked for by a packet of [`PROBE_VNI`].
    #[inline(always)]
    pub const fn probe(&self) -> Option<Probe> {
        match self.probe {
            1 => Some(Probe::Back),
            2 => Some(Probe::Tunnel),
            3 => Some(Probe::Answer),
            _ => None,
        }
    }

    /// The bytes of [`Vxlan::of_probe`].
    pub const fn bytes_of_probe(probe: Probe) -> [u8; 8] {
        [Self::VNI_VALID, 0, 0, 0, 0, 0, 0, probe as u8]
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
            let header = Vxlan { flags, _reserved: [9; 3], vni: [1, 2, 3], probe: 9 };
            assert_eq!(header.vni(), vni, "{flags:#04x}");
        }
    }

    #[test]
    fn probes_are_told_from_their_headers() {
        for probe in [Probe::Back, Probe::Tunnel, Probe::Answer] {
            let header = Vxlan::of_probe(probe);
            assert_eq!((header.vni(), header.probe()), (Some(PROBE_VNI), Some(probe)));
            assert_eq!(Vxlan::bytes_of_probe(probe), [8, 0, 0, 0, 0, 0, 0, probe as u8]);
        }
        assert_eq!(Vxlan { probe: 4, ..Vxlan::of_probe(Probe::Back) }.probe(), None);
    }
}
