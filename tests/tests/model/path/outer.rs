//! Outer headers.

use std::net::IpAddr;

use testbed::frames::{UDP, checksum, udp, vxlan};

use crate::world::{LOCAL4, LOCAL6, Mac};

/// A frame in a tunnel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Tunnelled {
    /// The link-layer addresses of the next hop, its and ours; `None` where the kernel will write them.
    pub(super) next_hop: Option<(Mac, Mac)>,
    pub(crate) to: IpAddr,
    pub(super) port: u16,
    pub(super) tos: u8,
    pub(super) vni: u32,
    pub(crate) frame: Vec<u8>,
}

impl Tunnelled {
    /// What must be sent, with the entropy that `sent` has: the source port, the identification or the flow label.
    /// `None` where that is no such entropy.
    pub(crate) fn bytes_like(&self, sent: &[u8]) -> Option<Vec<u8>> {
        let header = if self.to.is_ipv4() { 20 } else { 40 };
        let port = sent.get(14 + header..16 + header)?;
        let port = u16::from_be_bytes(port.try_into().ok()?);
        // Dynamic (RFC 6335 section 6).
        if port < 49_152 {
            return None;
        }
        let datagram = udp(port, self.port, &vxlan(self.vni, &self.frame));
        let ip = match self.to {
            IpAddr::V4(to) => {
                let identification = [sent[18], sent[19]];
                self.ipv4(to.octets(), identification, datagram.len())
            }
            IpAddr::V6(to) => {
                let label = [sent[15] % 16, sent[16], sent[17]];
                // Both are of one hash: its first 14 bits, and its last 20.
                if u16::from(label[0] / 4) != port % 4 {
                    return None;
                }
                self.ipv6(to.octets(), label, datagram.len())
            }
        };
        let ethernet = match self.next_hop {
            Some((to, from)) => {
                let ether_type = if self.to.is_ipv4() { [0x08, 0x00] } else { [0x86, 0xdd] };
                [&to[..], &from, &ether_type].concat()
            }
            None => sent[..14].to_vec(),
        };
        Some([ethernet, ip, datagram].concat())
    }

    fn ipv4(&self, to: [u8; 4], identification: [u8; 2], datagram: usize) -> Vec<u8> {
        let total = u16::try_from(20 + datagram).expect("a short packet").to_be_bytes();
        // No options; "don't fragment"; a TTL of 64.
        let start = [&[0x45, self.tos][..], &total, &identification, &[0x40, 0, 64, UDP, 0, 0]];
        let mut ip = [&start.concat()[..], &LOCAL4, &to].concat();
        let sum = checksum(&ip);
        ip.splice(10..12, sum);
        ip
    }

    fn ipv6(&self, to: [u8; 16], label: [u8; 3], datagram: usize) -> Vec<u8> {
        let payload = u16::try_from(datagram).expect("a short packet").to_be_bytes();
        let class = [0x60 + self.tos / 16, self.tos % 16 * 16 + label[0], label[1], label[2]];
        [&class[..], &payload, &[UDP, 64], &LOCAL6, &to].concat()
    }
}
