use super::{protocol, wire_type};

/// The ports that TCP (RFC 9293), UDP (RFC 768) and SCTP (RFC 9260) begin with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C, align(4))]
pub struct Ports {
    source_destination: [u8; 4],
}

wire_type!(Ports => 4);

impl Ports {
    /// Whether the protocol begins with ports.
    #[inline(always)]
    pub const fn begin(protocol: u8) -> bool {
        matches!(protocol, protocol::TCP | protocol::UDP | protocol::SCTP)
    }

    /// Both as they stand in memory.
    #[inline(always)]
    pub const fn word(&self) -> u32 {
        u32::from_ne_bytes(self.source_destination)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_both_as_they_stand() {
        let ports = Ports { source_destination: [1, 2, 3, 4] };
        assert_eq!(ports.word().to_ne_bytes(), [1, 2, 3, 4]);
    }

    #[test]
    fn protocols_with_ports() {
        for (protocol, expected) in
            [(6, true), (17, true), (132, true), (1, false), (58, false), (44, false), (0, false)]
        {
            assert_eq!(Ports::begin(protocol), expected, "{protocol}");
        }
    }
}
