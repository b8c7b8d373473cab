//! Whether a packet fits a tunnel.

use super::{
    Input,
    frame::{HOP_BY_HOP, Payload, TCP, UDP},
};
use crate::world::Host;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fit {
    Whole,
    /// If the outer packet may be cut.
    InParts,
    Never,
}

/// Whether it goes through the tunnel to this host, of whose kind depends whether outer packets are ever cut.
pub(super) fn fit(input: &Input, payload: &Payload, host: &Host) -> Fit {
    let mtu = host.mtu;
    // What the kernel cuts where its own buffers end (`GSO_BY_FRAGS`).
    let by_fragments = input.segment == 0xffff;
    match payload {
        Payload::Ipv4(ip) => match longest(input, ip.header, ip.protocol) {
            longest if longest <= mtu => Fit::Whole,
            _ if ip.may_be_cut && host.address.is_ipv4() || by_fragments => Fit::InParts,
            _ => Fit::Never,
        },
        Payload::Ipv6(ip) => {
            // The header with which the kernel says how much it has merged in front of TCP is not on the parts.
            let jumbo = ip.next == HOP_BY_HOP && input.segment != 0;
            let (protocol, header) = if jumbo { (TCP, 48) } else { (ip.next, 40) };
            let more = header - 40;
            match longest(input, header, protocol).saturating_sub(more) {
                longest if longest <= mtu => Fit::Whole,
                _ if by_fragments => Fit::InParts,
                _ => Fit::Never,
            }
        }
        // Who sends it knows of no size but his device's.
        Payload::Arp(_) | Payload::Other => Fit::InParts,
    }
}

/// The longest packet that leaves: itself, or one of the parts that it is cut into. `header` is what stands in front of
/// TCP or UDP.
fn longest(input: &Input, header: usize, protocol: u8) -> usize {
    let transport = match protocol {
        UDP => 8,
        // How long it says that it is, in words of four bytes.
        _ => input.bytes.get(14 + header + 12).map_or(0, |byte| usize::from(byte / 16) * 4),
    };
    match input.segment {
        0 => input.bytes.len() - 14,
        segment => segment + header + transport,
    }
}
