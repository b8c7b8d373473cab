//! Outer headers.

use testbed::frames::{UDP, checksum, udp, vxlan};

use crate::world::Ip4;

/// A frame in a tunnel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Tunnelled {
    pub(super) from: Ip4,
    pub(super) to: Ip4,
    pub(super) port: u16,
    pub(super) tos: u8,
    pub(super) vni: u32,
    pub(super) frame: Vec<u8>,
}

impl Tunnelled {
    /// What must stand behind the outer Ethernet header of `sent`, which has the same source port and identification:
    /// they are the flow's entropy. `None` where the port is not dynamic (RFC 6335 section 6).
    pub(crate) fn bytes_like(&self, sent: &[u8]) -> Option<Vec<u8>> {
        let identification = sent.get(18..20)?;
        let port = sent.get(34..36)?;
        let port = u16::from_be_bytes(port.try_into().ok()?);
        if port < 49_152 {
            return None;
        }
        let datagram = udp(port, self.port, &vxlan(self.vni, &self.frame));
        let total = u16::try_from(20 + datagram.len()).ok()?.to_be_bytes();
        // No options; "don't fragment"; a TTL of 64.
        let start = [0x45, self.tos, total[0], total[1], identification[0], identification[1]];
        let mut ip = [&start[..], &[0x40, 0, 64, UDP, 0, 0], &self.from, &self.to].concat();
        let sum = checksum(&ip);
        ip.splice(10..12, sum);
        Some([ip, datagram].concat())
    }
}
